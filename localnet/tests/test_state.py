"""Past state: whatever slots did, each slot's state can still be read until it is final."""

import sqlite3
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from solders.hash import Hash
from solders.keypair import Keypair
from solders.message import Message
from solders.pubkey import Pubkey
from solders.system_program import TransferParams, transfer
from solders.transaction import VersionedTransaction
from support.chain import make_validator, signed

from tieout_localnet.chain import Commitment, Slot
from tieout_localnet.store import Store

STEPS = st.lists(st.one_of(st.just("close"), st.tuples(st.integers(0, 2), st.integers(1, 5))), max_size=25)


@settings(max_examples=25, deadline=None)
@given(STEPS)
def test_reads_at_any_slot_that_is_not_final_give_that_slots_state(steps: list[object]) -> None:
    with TemporaryDirectory() as directory:
        validator = make_validator(Path(directory), finalized_depth=4)
        payer, wallets = Keypair(), [Keypair().pubkey() for _ in range(3)]
        validator.airdrop(payer.pubkey(), 10**12, None)
        expected = dict.fromkeys(wallets, 0)
        at_slot: dict[Slot, dict[Pubkey, int]] = {}
        for number, step in enumerate(steps):
            if isinstance(step, tuple):
                index, sols = step
                lamports = sols * 10**9 + number
                move = transfer(
                    TransferParams(from_pubkey=payer.pubkey(), to_pubkey=wallets[index], lamports=lamports)
                )
                validator.submit(signed(validator, [move], payer))
                expected[wallets[index]] += lamports
            else:
                at_slot[validator.open.slot] = dict(expected)
                validator.close_slot()
        root = validator.position(Commitment.FINALIZED)
        for slot, balances in at_slot.items():
            if slot >= root:
                for wallet in wallets:
                    state = validator.account_at(wallet, slot)
                    assert (state.lamports if state else 0) == balances[wallet]
        validator.store.close()


def test_simulating_in_past_state_sees_it_and_leaves_the_newest_alone(tmp_path: Path) -> None:
    validator = make_validator(tmp_path)
    payer, to = Keypair(), Keypair().pubkey()
    validator.airdrop(payer.pubkey(), 10**10, None)
    for _ in range(5):
        validator.close_slot()
    move = transfer(TransferParams(from_pubkey=payer.pubkey(), to_pubkey=to, lamports=10**9))
    validator.submit(signed(validator, [move], payer))
    validator.close_slot()
    past = validator.view(Commitment.FINALIZED)
    known = validator.chain.node(past.slot)
    assert known is not None
    message = Message.new_with_blockhash([move], payer.pubkey(), Hash.from_string(known.block.blockhash))
    simulation = validator.simulate(VersionedTransaction(message, [payer]), past)
    assert simulation.execution.err is None
    assert simulation.balances.pre[:2] == [10**10, 0]
    assert simulation.balances.post[:2] == [9 * 10**9 - 5_000, 10**9]
    for key, expected in ((payer.pubkey(), 9 * 10**9 - 5_000), (to, 10**9)):
        state = validator.engine.account(key)
        assert state == validator.accounts.get(key)
        assert state is not None
        assert state.lamports == expected
    validator.store.close()


def test_a_ledger_reopens_with_the_same_accounts(tmp_path: Path) -> None:
    validator = make_validator(tmp_path)
    for _ in range(3):
        validator.airdrop(Keypair().pubkey(), 10**9, None)
        validator.close_slot()
    before = dict(validator.accounts.stored())
    validator.store.close()
    again = make_validator(tmp_path)
    assert dict(again.accounts.stored()) == before
    assert again.chain.tip.block == validator.chain.tip.block
    again.store.close()


def test_a_slot_is_written_whole_or_not_at_all(tmp_path: Path) -> None:
    validator = make_validator(tmp_path)
    validator.airdrop(Keypair().pubkey(), 10**9, None)
    block = validator.chain.tip.block
    broken = [*validator.open.records, *validator.open.records]
    with pytest.raises(sqlite3.IntegrityError):
        validator.store.write_slot(block, broken, (), {})
    assert validator.store.transactions(validator.open.slot) == []
    validator.store.close()
    Store(tmp_path / "ledger.sqlite3").close()
