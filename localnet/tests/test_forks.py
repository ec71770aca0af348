"""Forks: whatever happened on the way, the node ends up as if it had seen the canonical branch only."""

import contextlib
import shutil
import struct
import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule
from solders.hash import Hash
from solders.instruction import AccountMeta, Instruction
from solders.keypair import Keypair
from solders.message import Message
from solders.pubkey import Pubkey
from solders.system_program import (
    CreateAccountParams,
    InitializeNonceAccountParams,
    TransferParams,
    create_account,
    initialize_nonce_account,
    transfer,
)
from solders.transaction import VersionedTransaction
from support.chain import make_validator, signed

from tieout_localnet import programs
from tieout_localnet.chain import CannotSwitch, Commitment, Signature, SlotNode
from tieout_localnet.forks import FATES, Forks, elsewhere, lost, reversed_order
from tieout_localnet.rpc.blocks import find_block
from tieout_localnet.rpc.history import recent_outcome
from tieout_localnet.transaction import TransactionRefused
from tieout_localnet.validator import Validator

SEED = 7
SOL = 10**9
NONCE = Keypair.from_seed(b"n" * 32)
PAYERS = [Keypair.from_seed(bytes([n]) * 32) for n in (1, 2, 3)]


def pay(validator: Validator, source: Keypair, to: Pubkey, lamports: int) -> VersionedTransaction:
    move = transfer(TransferParams(from_pubkey=source.pubkey(), to_pubkey=to, lamports=lamports))
    return signed(validator, [move], source)


def advance_nonce(validator: Validator, lamports: int) -> VersionedTransaction | None:
    """A payment under the durable nonce, if its account exists now."""
    state = validator.accounts.get(NONCE.pubkey())
    if state is None:
        return None
    payer = PAYERS[0]
    keys = [
        AccountMeta(NONCE.pubkey(), False, True),
        AccountMeta(programs.RECENT_BLOCKHASHES, False, False),
        AccountMeta(payer.pubkey(), True, False),
    ]
    advance = Instruction(programs.SYSTEM, struct.pack("<I", 4), keys)
    move = transfer(
        TransferParams(from_pubkey=payer.pubkey(), to_pubkey=PAYERS[1].pubkey(), lamports=lamports)
    )
    message = Message.new_with_blockhash([advance, move], payer.pubkey(), Hash.from_bytes(state.data[40:72]))
    return VersionedTransaction(message, [payer])


def create_nonce(validator: Validator) -> VersionedTransaction:
    payer = PAYERS[0]
    rent = validator.engine.rent_exempt_minimum(80)
    create = create_account(
        CreateAccountParams(
            from_pubkey=payer.pubkey(),
            to_pubkey=NONCE.pubkey(),
            lamports=rent,
            space=80,
            owner=programs.SYSTEM,
        )
    )
    begin = initialize_nonce_account(
        InitializeNonceAccountParams(nonce_pubkey=NONCE.pubkey(), authority=payer.pubkey())
    )
    return signed(validator, [create, begin], payer, NONCE)


class ForkedChain(RuleBasedStateMachine):
    """A chain that forks, skips and switches at will, beside which a plain one is built at the end."""

    def __init__(self) -> None:
        super().__init__()
        self.directory = Path(tempfile.mkdtemp())
        (self.directory / "one").mkdir()
        (self.directory / "two").mkdir()
        self.validator = make_validator(self.directory / "one", finalized_depth=5, seed=SEED)
        self.validator.chain.confirmed_depth = 4
        self.forks = Forks(self.validator)
        self.seen: dict[Signature, VersionedTransaction] = {}
        self.hashes: set[str] = set()
        for payer in PAYERS:
            self._note(self.validator.airdrop(payer.pubkey(), 10 * SOL, None))
        self.send(create_nonce(self.validator))
        self.forks.close_slot()

    def _note(self, signature: Signature) -> None:
        record = next(r for r in self.validator.open.records if r.signature == signature)
        self.seen[signature] = VersionedTransaction.from_bytes(record.wire)

    def send(self, transaction: VersionedTransaction) -> None:
        self.seen[Signature(str(transaction.signatures[0]))] = transaction
        with contextlib.suppress(TransactionRefused):
            self.validator.submit(transaction)

    @rule(source=st.integers(0, 2), to=st.integers(0, 2), lamports=st.integers(1, 12 * SOL))
    def payment(self, source: int, to: int, lamports: int) -> None:
        self.send(pay(self.validator, PAYERS[source], PAYERS[to].pubkey(), lamports))

    @rule(lamports=st.integers(1, 12 * SOL))
    def payment_under_the_nonce(self, lamports: int) -> None:
        transaction = advance_nonce(self.validator, lamports)
        if transaction is not None:
            self.send(transaction)

    @rule(count=st.integers(1, 3))
    def produce(self, count: int) -> None:
        for _ in range(count):
            self.forks.close_slot()

    @rule(count=st.integers(1, 4))
    def skip(self, count: int) -> None:
        self.forks.skip(count)

    @rule(depth=st.integers(1, 4), fate=st.sampled_from(sorted(FATES)), rollback=st.booleans())
    def fork(self, depth: int, fate: str, rollback: bool) -> None:
        with contextlib.suppress(CannotSwitch):
            self.forks.give_up(depth, FATES[fate]("seed"), rollback=rollback)

    @rule(depth=st.integers(1, 3), duplicate=st.booleans())
    def fork_ahead(self, depth: int, duplicate: bool) -> None:
        if self.forks.plan is None:
            self.forks.begin(1 if duplicate else depth, elsewhere, duplicate=duplicate)

    @rule(data=st.data(), rollback=st.booleans())
    def switch(self, data: st.DataObject, rollback: bool) -> None:
        side = sorted(node.block.blockhash for node in self.validator.chain.side())
        if side:
            with contextlib.suppress(CannotSwitch):
                self.forks.switch(data.draw(st.sampled_from(side)), elsewhere, rollback=rollback)

    @invariant()
    def positions_are_ordered(self) -> None:
        validator = self.validator
        final, confirmed, processed = (
            validator.position(level)
            for level in (Commitment.FINALIZED, Commitment.CONFIRMED, Commitment.PROCESSED)
        )
        assert final <= confirmed <= validator.chain.tip.block.slot < processed
        self.hashes.add(validator.chain.tip.block.blockhash)

    def teardown(self) -> None:
        try:
            plain = replayed(self.validator, self.directory / "two")
            compare(self.validator, plain, self.seen, self.hashes)
            plain.store.close()
        finally:
            self.validator.store.close()
            shutil.rmtree(self.directory)


def replayed(validator: Validator, directory: Path) -> Validator:
    """A chain that only ever saw the canonical branch."""
    plain = make_validator(directory, finalized_depth=5, seed=SEED)
    nodes = validator.chain.after(plain.chain.tip.block.slot)
    for node in nodes:
        versions = [n for n in validator.chain.side() if n.block.slot == node.block.slot]
        plain.skip_slots(node.block.slot - plain.open.slot)
        for record in validator.transactions(node.block.slot):
            plain.submit(VersionedTransaction.from_bytes(record.wire))
        if plain_hash(plain) != node.block.blockhash:
            # The winner of two blocks in one slot says so in its hash; the version is not told anywhere.
            plain.open.version = 1
            while plain_hash(plain) != node.block.blockhash:
                plain.open.version += 1
                assert plain.open.version < 20, versions
        plain.close_slot()
    plain.skip_slots(validator.open.slot - plain.open.slot)
    for record in validator.open.records:
        plain.submit(VersionedTransaction.from_bytes(record.wire))
    return plain


def plain_hash(validator: Validator) -> str:
    return validator._block(validator.open, ()).blockhash


def compare(
    forked: Validator, plain: Validator, seen: dict[Signature, VersionedTransaction], hashes: set[str]
) -> None:
    """Accounts in memory, engine and ledger; statuses; blockhashes; history."""
    stored = dict(plain.accounts.stored())
    assert dict(forked.accounts.stored()) == stored
    assert {key: forked.engine.account(key) for key in stored} == stored
    assert dict(forked.store.accounts()) == dict(plain.store.accounts())
    for signature in seen:
        assert recent_outcome(forked, signature) == recent_outcome(plain, signature)
        assert forked.store.place(signature) == plain.store.place(signature)
    for blockhash in hashes:
        for chain in (forked.chain, plain.chain):
            assert chain.open_height == plain.chain.open_height
        accepted = forked.chain.accepts_blockhash(blockhash, forked.open.slot)
        assert accepted == plain.chain.accepts_blockhash(blockhash, plain.open.slot)
    for payer in PAYERS:
        rows = [v.store.history(bytes(payer.pubkey()), 10_000, None, None, 1_000) for v in (forked, plain)]
        assert rows[0] == rows[1]
    slots = forked.store.slots(0, 10_000, 10_000)
    assert slots == plain.store.slots(0, 10_000, 10_000)
    for slot in slots[1:]:
        ours, theirs = forked.store.block(slot), plain.store.block(slot)
        assert ours is not None
        assert theirs is not None
        assert (ours.blockhash, ours.parent_slot, ours.height, ours.rewards) == (
            theirs.blockhash,
            theirs.parent_slot,
            theirs.height,
            theirs.rewards,
        )


ForkedChain.TestCase.settings = settings(
    max_examples=40, stateful_step_count=25, deadline=None, suppress_health_check=list(HealthCheck)
)
TestForkedChain = ForkedChain.TestCase


@pytest.fixture
def validator(tmp_path: Path) -> Validator:
    """A chain with three funded payers, all of it final."""
    found = make_validator(tmp_path, finalized_depth=31, seed=SEED)
    for payer in PAYERS:
        found.airdrop(payer.pubkey(), 10 * SOL, None)
    for _ in range(32):
        found.close_slot()
    return found


def balance(validator: Validator, key: Pubkey) -> int:
    state = validator.accounts.get(key)
    return 0 if state is None else state.lamports


def test_a_transaction_of_a_lost_fork_lands_in_another_slot(validator: Validator) -> None:
    forks, to = Forks(validator), Keypair().pubkey()
    forks.begin(3, elsewhere)
    confirmed = validator.position(Commitment.CONFIRMED)
    signature = validator.submit(pay(validator, PAYERS[0], to, SOL))
    first = validator.open.slot
    forks.close_slot()
    assert validator.chain.landed(signature) == first
    assert validator.position(Commitment.CONFIRMED) == confirmed
    forks.close_slot()
    forks.close_slot()
    assert validator.chain.landed(signature) is None
    assert validator.open.slot == first + 3
    assert recent_outcome(validator, signature) == (first + 3, None)
    event = forks.close_slot()
    assert event.node.block.parent_slot == confirmed
    assert validator.position(Commitment.CONFIRMED) == first + 3
    assert balance(validator, to) == SOL


def test_a_lost_transaction_never_lands_and_may_be_sent_again(validator: Validator) -> None:
    forks, to = Forks(validator), Keypair().pubkey()
    transaction = pay(validator, PAYERS[0], to, SOL)
    forks.begin(1, lost)
    signature = validator.submit(transaction)
    forks.close_slot()
    assert recent_outcome(validator, signature) is None
    assert balance(validator, to) == 0
    assert validator.submit(transaction) == signature
    assert balance(validator, to) == SOL


def test_in_another_order_the_same_transaction_has_another_result(validator: Validator) -> None:
    forks = Forks(validator)
    poor, to = Keypair(), Keypair().pubkey()
    forks.begin(1, reversed_order)
    validator.submit(pay(validator, PAYERS[0], poor.pubkey(), SOL))
    validator.submit(pay(validator, PAYERS[1], PAYERS[0].pubkey(), 9 * SOL))
    signature = validator.submit(pay(validator, PAYERS[0], to, 17 * SOL))
    assert validator.open.errors[signature] is None
    forks.close_slot()
    assert validator.open.errors[signature] is not None


def test_a_transaction_on_a_blockhash_of_the_lost_branch_waits_until_it_expires(validator: Validator) -> None:
    forks = Forks(validator)
    forks.begin(2, elsewhere)
    forks.close_slot()
    signature = validator.submit(pay(validator, PAYERS[0], PAYERS[1].pubkey(), SOL))
    forks.close_slot()
    assert recent_outcome(validator, signature) is None
    assert signature in validator.pool
    for _ in range(152):
        forks.close_slot()
    assert signature not in validator.pool


def test_a_switch_back_makes_the_same_blocks_canonical_again(validator: Validator) -> None:
    forks = Forks(validator)
    validator.chain.contest(validator.chain.tip.block.slot)
    signature = validator.submit(pay(validator, PAYERS[0], PAYERS[1].pubkey(), SOL))
    node = forks.close_slot().node
    forks.give_up(1, lost)
    forks.close_slot()
    other = validator.chain.tip.block
    forks.switch(node.block.blockhash, elsewhere)
    assert validator.chain.tip.block == node.block
    assert validator.chain.landed(signature) == node.block.slot
    assert validator.store.block(other.slot) is None
    assert validator.open.slot == other.slot + 1


def test_a_duplicate_block_has_the_slot_and_another_hash(validator: Validator) -> None:
    forks = Forks(validator)
    forks.begin(1, elsewhere, duplicate=True)
    first = forks.close_slot().node.block
    second = validator.chain.tip.block
    assert (first.slot, first.parent_slot) == (second.slot, second.parent_slot)
    assert first.blockhash != second.blockhash


def test_what_is_confirmed_is_given_up_only_when_asked(validator: Validator) -> None:
    forks = Forks(validator)
    with pytest.raises(CannotSwitch, match="ask for a rollback"):
        forks.give_up(1, elsewhere)
    confirmed = validator.position(Commitment.CONFIRMED)
    forks.give_up(1, elsewhere, rollback=True)
    assert validator.position(Commitment.CONFIRMED) == confirmed - 1


def test_what_is_final_is_never_given_up(validator: Validator) -> None:
    with pytest.raises(CannotSwitch, match="below the root"):
        Forks(validator).give_up(32, elsewhere, rollback=True)


def test_a_skipped_slot_is_unavailable_and_later_skipped(validator: Validator) -> None:
    forks = Forks(validator)
    slot = validator.open.slot
    signature = validator.submit(pay(validator, PAYERS[0], PAYERS[1].pubkey(), SOL))
    forks.skip(4)
    assert recent_outcome(validator, signature) == (slot + 4, None)
    codes: list[int] = []
    for _ in range(40):
        forks.close_slot()
        try:
            find_block(validator, slot, Commitment.CONFIRMED)
        except Exception as error:
            codes.append(getattr(error, "code", 0))
    assert codes == [-32004] * 31 + [-32007] * 9
    node: SlotNode | None = validator.chain.node(validator.chain.newest_at(slot + 4))
    assert node is not None
    assert node.block.parent_slot == slot - 1


def test_a_restart_continues_the_branch_that_was_followed(tmp_path: Path) -> None:
    validator = make_validator(tmp_path, seed=SEED)
    forks = Forks(validator)
    validator.airdrop(PAYERS[0].pubkey(), SOL, None)
    forks.begin(2, lost)
    for _ in range(4):
        forks.close_slot()
    tip = validator.chain.tip.block
    validator.store.close()
    again = make_validator(tmp_path)
    assert again.chain.tip.block == tip
    assert again.accounts.get(PAYERS[0].pubkey()) is None
    again.store.close()
