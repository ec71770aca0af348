"""The validator: executes transactions into the open slot, closes slots into blocks, answers for past state.

Not thread-safe and without I/O of its own except the store: the server calls it from one event loop.
"""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from solders.hash import Hash
from solders.instruction import Instruction
from solders.keypair import Keypair
from solders.message import Message
from solders.pubkey import Pubkey
from solders.system_program import TransferParams, transfer
from solders.transaction import VersionedTransaction

from tieout_localnet import balances, cost, encoding, nonce, programs
from tieout_localnet import transaction as tx
from tieout_localnet.accounts import AccountsDb, AccountState
from tieout_localnet.chain import (
    BLOCKHASH_QUEUE_BLOCKS,
    STATUS_CACHE_BLOCKS,
    Block,
    Blockhash,
    Chain,
    Commitment,
    Detour,
    Reward,
    Signature,
    Slot,
    SlotNode,
    leader_fee,
)
from tieout_localnet.clock import ChainClock
from tieout_localnet.engine import SLOT_HASHES_MAX, Engine, Execution
from tieout_localnet.genesis import Identity
from tieout_localnet.pool import Fate, Pending, Pool
from tieout_localnet.recent import RecentTransactions
from tieout_localnet.slots import OpenSlot, SlotClosed, Switched
from tieout_localnet.store import Store, StoredTransaction
from tieout_localnet.transaction import Resolved, TransactionRefused

SLOT_HASHES_KEPT: Final = SLOT_HASHES_MAX + STATUS_CACHE_BLOCKS
"""More than a program sees, so that as many are left when a branch is given up."""


@dataclass(frozen=True, slots=True)
class StateView:
    """Accounts as of one slot."""

    validator: "Validator"
    slot: Slot
    unix_s: int

    def get(self, key: Pubkey) -> AccountState | None:
        """An account in this state."""
        return self.validator.account_at(key, self.slot)

    def owned_by(self, program: Pubkey) -> list[tuple[Pubkey, AccountState]]:
        """Accounts that a program owns in this state, by address."""
        return self.validator.owned_by_at(program, self.slot)


@dataclass(frozen=True, slots=True)
class Prepared:
    """A transaction that may run: what to hand to the engine, and the nonce that it spends, if any."""

    resolved: Resolved
    runnable: VersionedTransaction
    nonce_account: Pubkey | None


@dataclass(frozen=True, slots=True)
class Simulation:
    """What a transaction would do, and to which balances."""

    resolved: Resolved
    execution: Execution
    balances: encoding.Balances
    loaded_bytes: int


class Validator:
    """One chain, being made."""

    def __init__(
        self,
        store: Store,
        engine: Engine,
        identity: Identity,
        clock: ChainClock,
        *,
        confirmed_depth: int,
        finalized_depth: int,
        leaders: int = 1,
    ) -> None:
        self.store = store
        self.engine = engine
        self.identity = identity
        self.clock = clock
        self.listeners: list[Callable[[SlotClosed], None]] = []
        self.switch_listeners: list[Callable[[Switched], None]] = []
        self.pool = Pool()
        self.leaders = leaders
        self.accounts = AccountsDb(engine.builtin_accounts())
        stored = dict(store.accounts())
        self.accounts.apply(stored)
        engine.restore(stored)
        self.chain = Chain(_nodes(store), confirmed_depth, finalized_depth)
        self._slot_hashes = [
            (int(b.slot), Hash.from_string(b.blockhash))
            for b in reversed(store.newest_blocks(SLOT_HASHES_KEPT))
        ]
        self._recent = RecentTransactions()
        self.open = self._open_next()

    # State

    def position(self, commitment: Commitment) -> Slot:
        """The slot that a commitment level stands for now."""
        return self.chain.position(commitment)

    def view(self, commitment: Commitment) -> StateView:
        """The state that a client reads at a commitment level."""
        return self.view_at(self.position(commitment))

    def view_at(self, slot: Slot) -> StateView:
        """The state of a slot that is not older than the newest final one."""
        node = self.chain.node(slot)
        return StateView(self, slot, self.open.unix_s if node is None else node.block.block_time)

    def account_at(self, key: Pubkey, slot: Slot) -> AccountState | None:
        """An account as of a slot. Sysvars are always those of the open slot."""
        if key in programs.SYSVARS:
            return self.engine.account(key)
        if slot < self.open.slot:
            for node in self.chain.after(slot):
                if key in node.pre_images:
                    return node.pre_images[key]
            if key in self.open.pre_images:
                return self.open.pre_images[key]
        return self.accounts.get(key)

    def changed_since(self, slot: Slot) -> set[Pubkey]:
        """Accounts that newer slots have changed."""
        keys: set[Pubkey] = set()
        if slot < self.open.slot:
            keys.update(self.open.pre_images)
            for node in self.chain.after(slot):
                keys.update(node.pre_images)
        return keys

    def owned_by_at(self, program: Pubkey, slot: Slot) -> list[tuple[Pubkey, AccountState]]:
        """Accounts of a program as of a slot, by address."""
        keys = self.accounts.owned_by(program) | self.changed_since(slot)
        found = ((key, self.account_at(key, slot)) for key in keys)
        owned = [(key, state) for key, state in found if state is not None and state.owner == program]
        return sorted(owned, key=lambda pair: bytes(pair[0]))

    # Transactions

    def submit(self, transaction: VersionedTransaction) -> Signature:
        """Execute a transaction into the open slot; raises TransactionRefused when it cannot land."""
        signature = tx.first_signature(transaction)
        if signature in self.open.errors or self.chain.landed(signature) is not None:
            raise TransactionRefused("AlreadyProcessed")
        prepared = self._prepare(transaction, self.view_at(self.open.slot))
        self._execute(prepared)
        return signature

    def _prepare(self, transaction: VersionedTransaction, view: StateView) -> Prepared:
        resolved = tx.resolve(transaction, view.get, view.slot)
        bank_hash = Hash.from_string(self.chain.tip.block.blockhash)
        nonce_account: Pubkey | None = None
        if not self.chain.accepts_blockhash(resolved.recent_blockhash, view.slot):
            nonce_account = nonce.usable_nonce(resolved, view.get, bank_hash)
            if nonce_account is None:
                raise TransactionRefused("BlockhashNotFound")
        # LiteSVM derives nonces from the message's blockhash; a bank derives them from its own.
        touches = nonce.touches_nonce(resolved)
        runnable = tx.with_blockhash(transaction, bank_hash) if touches else transaction
        return Prepared(resolved, runnable, nonce_account)

    def _execute(self, prepared: Prepared) -> None:
        resolved = prepared.resolved
        before = {key: self.accounts.get(key) for key in resolved.keys}
        watched = [key for key, writable in zip(resolved.keys, resolved.writable, strict=True) if writable]
        execution = self.engine.execute(prepared.runnable, watched)
        if not execution.lands:
            raise TransactionRefused(execution.err)
        after = dict(execution.post)
        self._settle(prepared, execution, before, after)
        loaded = cost.loaded_bytes(resolved.keys, self.accounts.get)
        pre_tokens = self._token_rows(resolved, before)
        self._apply({key: state for key, state in after.items() if before[key] != state})
        post_tokens = pre_tokens if execution.err is not None else self._token_rows(resolved, {})
        shown = encoding.Balances(
            [_lamports(before[key]) for key in resolved.keys],
            [_lamports(after.get(key, before[key])) for key in resolved.keys],
            pre_tokens,
            post_tokens,
        )
        units = cost.cost_units(resolved, execution.units, loaded)
        self._record(resolved, execution, encoding.meta_of(resolved, execution, shown, units))

    def _settle(
        self,
        prepared: Prepared,
        execution: Execution,
        before: dict[Pubkey, AccountState | None],
        after: dict[Pubkey, AccountState | None],
    ) -> None:
        """Correct what the engine leaves out for failed transactions: the fee of one that could not be
        loaded, and the nonce, which a failure spends too."""
        if execution.err is None:
            return
        payer = prepared.resolved.payer
        state = before[payer]
        if state is not None and after.get(payer) == state:
            after[payer] = AccountState(state.lamports - execution.fee, state.data, state.owner)
            self.engine.restore({payer: after[payer]})
        key = prepared.nonce_account
        stored = None if key is None else after.get(key, before.get(key))
        if key is not None and stored is not None:
            after[key] = nonce.advanced(stored, Hash.from_string(self.chain.tip.block.blockhash))
            self.engine.restore({key: after[key]})

    def _token_rows(
        self, resolved: Resolved, known: dict[Pubkey, AccountState | None]
    ) -> tuple[balances.TokenBalance, ...]:
        called = frozenset(instruction.program_id_index for instruction in resolved.instructions)
        return balances.token_balances(
            resolved.keys, called, lambda key: known[key] if key in known else self.accounts.get(key)
        )

    def _apply(self, changes: dict[Pubkey, AccountState | None]) -> None:
        for key in changes:
            if key not in self.open.pre_images:
                self.open.pre_images[key] = self.accounts.get(key)
        self.accounts.apply(changes)

    def _record(self, resolved: Resolved, execution: Execution, meta: encoding.Json) -> None:
        index = len(self.open.records)
        loaded = b"".join(bytes(key) for key in resolved.keys[resolved.static_count :])
        record = StoredTransaction(
            self.open.slot,
            index,
            resolved.signature,
            execution.err,
            tx.memo_of(resolved),
            resolved.wire,
            loaded,
            resolved.loaded_writable_count,
            meta,
        )
        self.open.records.append(record)
        self.open.errors[resolved.signature] = execution.err
        self.open.addresses.extend((bytes(key), index) for key in resolved.keys)
        base = tx.LAMPORTS_PER_SIGNATURE * resolved.transaction.message.header.num_required_signatures
        self.open.fees += execution.fee
        self.open.priority_fees += max(execution.fee - base, 0)

    def simulate(
        self, transaction: VersionedTransaction, view: StateView, *, replace_blockhash: bool = False
    ) -> Simulation:
        """What a transaction would do in the state of `view`; raises TransactionRefused if it cannot run."""
        if replace_blockhash:
            newest = Hash.from_string(self.chain.tip.block.blockhash)
            transaction = tx.with_blockhash(transaction, newest)
            at_tip = self.view_at(self.open.slot)
            prepared = Prepared(tx.resolve(transaction, at_tip.get, at_tip.slot), transaction, None)
        else:
            landed = self.chain.landed(tx.first_signature(transaction))
            if (landed is not None and landed <= view.slot) or self._in_open(transaction, view):
                raise TransactionRefused("AlreadyProcessed")
            prepared = self._prepare(transaction, view)
        resolved = prepared.resolved
        before = {key: view.get(key) for key in resolved.keys}
        newer = self.changed_since(view.slot)
        moved = {key: before[key] for key in resolved.keys if key in newer}
        present = {key: self.accounts.get(key) for key in moved}
        self.engine.restore(moved)
        try:
            execution = self.engine.simulate(prepared.runnable, resolved.keys)
        finally:
            self.engine.restore(present)
        shown = self._simulated_balances(resolved, execution, before)
        return Simulation(resolved, execution, shown, cost.loaded_bytes(resolved.keys, view.get))

    def _in_open(self, transaction: VersionedTransaction, view: StateView) -> bool:
        return view.slot >= self.open.slot and tx.first_signature(transaction) in self.open.errors

    def _simulated_balances(
        self, resolved: Resolved, execution: Execution, before: dict[Pubkey, AccountState | None]
    ) -> encoding.Balances:
        after = {key: execution.post.get(key, state) for key, state in before.items()}
        pre = [_lamports(before[key]) for key in resolved.keys]
        post = [_lamports(after[key]) for key in resolved.keys]
        if execution.err is not None and execution.lands:
            post[0] -= execution.fee
        return encoding.Balances(
            pre, post, self._token_rows(resolved, before), self._token_rows(resolved, after)
        )

    def airdrop(self, to: Pubkey, lamports: int, blockhash: str | None) -> Signature:
        """Transfer from the faucet; equal airdrops differ in their blockhash, so that each lands."""
        instruction = transfer(
            TransferParams(from_pubkey=self.identity.faucet.pubkey(), to_pubkey=to, lamports=lamports)
        )
        recent = [b.blockhash for b in self.chain.recent_blocks(BLOCKHASH_QUEUE_BLOCKS)]
        for candidate in [blockhash] if blockhash else recent:
            transaction = _signed(instruction, self.identity.faucet, candidate)
            signature = tx.first_signature(transaction)
            if signature not in self.open.errors and self.chain.landed(signature) is None:
                return self.submit(transaction)
        raise TransactionRefused("AlreadyProcessed")

    # Slots

    def _open_next(self, version: int = 0) -> OpenSlot:
        slot = self.chain.open_slot
        unix_s = self.clock.next_slot()
        self.engine.open_slot(slot, unix_s, self._slot_hashes)
        return OpenSlot(slot, self.chain.open_height, unix_s, version=version)

    def skip_slots(self, slots: int) -> Switched:
        """Leave the open slot and perhaps more without a block; what ran in it waits in the pool."""
        waiting = self._undo_open()
        self.chain.skip(slots)
        return self._reopened(Switched((), (), (), self.chain.tip.block.slot, self.chain.open_slot), waiting)

    def follow(
        self, target: SlotNode, fate: Fate, *, rollback: bool = False, reopen: Slot | None = None
    ) -> Switched:
        """Make a block of the tree the tip: undo what is not on its branch, do again what is.

        `fate` orders and thins the transactions that lost their block; `reopen` opens a slot that had a
        block on the branch given up. Raises CannotSwitch, and then nothing has changed.
        """
        detour = self.chain.detour(target, rollback=rollback)
        waiting = self._undo_open()
        waiting = [_pending(r, self.chain) for n in reversed(detour.undone) for r in n.records] + waiting
        state: dict[Pubkey, AccountState | None] = {}
        for node in detour.undone:
            state.update(node.pre_images)
        for node in detour.redone:
            state.update(node.post_images)
        self.engine.restore(state)
        self.accounts.apply(state)
        self.store.switch(detour, state)
        self.chain.switch(detour)
        self._follow_caches(detour)
        slot = self.chain.open_slot
        version = 0 if reopen is None else 1 + sum(n.block.slot == reopen for n in self.chain.side())
        if reopen is not None:
            self.chain.reopen(reopen)
            slot = reopen
        event = Switched(detour.undone, detour.redone, list(state), self.chain.tip.block.slot, slot)
        return self._reopened(event, fate(waiting), version)

    def _undo_open(self) -> list[Pending]:
        """Take back what the open slot has executed; its transactions."""
        opened = self.open
        self.engine.restore(opened.pre_images)
        self.accounts.apply(opened.pre_images)
        waiting = [_pending(record, self.chain) for record in opened.records]
        self.open = OpenSlot(opened.slot, opened.height, opened.unix_s, version=opened.version)
        return waiting

    def _follow_caches(self, detour: Detour) -> None:
        for node in detour.undone:
            self._recent.drop(node.block.slot)
        base = detour.base.block.slot
        self._slot_hashes = [pair for pair in self._slot_hashes if pair[0] <= base]
        for node in detour.redone:
            self._recent.add(node.block.slot, node.records)
            self._slot_hashes.insert(0, (int(node.block.slot), Hash.from_string(node.block.blockhash)))

    def _reopened(self, event: Switched, waiting: Sequence[Pending], version: int = 0) -> Switched:
        self.open = self._open_next(version)
        for listener in self.switch_listeners:
            listener(event)
        for pending in waiting:
            self.pool.add(pending)
        self._offer()
        return event

    def _offer(self) -> None:
        if self.pool:
            self.pool.offer(self.open.height, self._place)

    def _place(self, pending: Pending) -> bool:
        """Run a waiting transaction; whether it needs to wait no longer."""
        try:
            self.submit(VersionedTransaction.from_bytes(pending.wire))
        except TransactionRefused as refused:
            return refused.err == "AlreadyProcessed"
        return True

    def close_slot(self) -> SlotClosed:
        """Make a block of the open slot, write it, open the next slot, and tell the listeners."""
        opened = self.open
        rewards = self._pay_leader(opened)
        block = self._block(opened, rewards)
        changes = {key: self.accounts.get(key) for key in opened.pre_images}
        self.store.write_slot(block, opened.records, opened.addresses, changes)
        was_confirmed = self.chain.position(Commitment.CONFIRMED)
        node = SlotNode(
            block, self.chain.tip, opened.errors, opened.pre_images, changes, opened.records, opened.addresses
        )
        final = self.chain.extend(node)
        self._recent.add(block.slot, opened.records)
        self._slot_hashes.insert(0, (int(block.slot), Hash.from_string(block.blockhash)))
        del self._slot_hashes[SLOT_HASHES_KEPT:]
        self.open = self._open_next()
        confirmed = [
            n
            for n in self.chain.after(was_confirmed)
            if n.block.slot <= self.chain.position(Commitment.CONFIRMED)
        ]
        event = SlotClosed(node, opened.records, final, confirmed, self.open.slot)
        for listener in self.listeners:
            listener(event)
        self.chain.release(final)
        self._offer()
        return event

    def _block(self, opened: OpenSlot, rewards: tuple[Reward, ...]) -> Block:
        parent = self.chain.tip.block
        digest = hashlib.sha256(parent.blockhash.encode() + opened.slot.to_bytes(8, "little"))
        for record in opened.records:
            digest.update(record.signature.encode())
        if opened.version:
            digest.update(b"version" + opened.version.to_bytes(4, "little"))
        return Block(
            opened.slot,
            parent.slot,
            opened.height,
            Blockhash(str(Hash.from_bytes(digest.digest()))),
            parent.blockhash,
            opened.unix_s,
            rewards,
            parent.transaction_count + len(opened.records),
        )

    def _pay_leader(self, opened: OpenSlot) -> tuple[Reward, ...]:
        lamports = leader_fee(opened.fees, opened.priority_fees)
        if not lamports:
            return ()
        key = self.leader(opened.slot)
        state = self.accounts.get(key) or AccountState(0, b"", programs.SYSTEM)
        paid = AccountState(state.lamports + lamports, state.data, state.owner, state.executable)
        self.engine.restore({key: paid})
        self._apply({key: paid})
        return (Reward(str(key), lamports, paid.lamports),)

    def leader(self, slot: int) -> Pubkey:
        """Who makes the block of a slot."""
        return self.identity.leader(slot, self.leaders)

    # History

    def transactions(self, slot: Slot) -> Sequence[StoredTransaction]:
        """The transactions of a complete block; recent blocks come from memory."""
        recent = self._recent.of(slot)
        return self.store.transactions(slot) if recent is None else recent

    def transaction(self, slot: Slot, index: int, signature: Signature) -> StoredTransaction | None:
        """One transaction of a complete block."""
        recent = self._recent.of(slot)
        return self.store.transaction(signature) if recent is None else recent[index]

    @property
    def transaction_count(self) -> int:
        """Transactions since genesis, the open slot's included."""
        return self.chain.tip.block.transaction_count + len(self.open.records)


def _pending(record: StoredTransaction, chain: Chain) -> Pending:
    blockhash = str(VersionedTransaction.from_bytes(record.wire).message.recent_blockhash)
    return Pending(record.signature, record.wire, chain.last_valid_height(blockhash))


def _lamports(state: AccountState | None) -> int:
    return 0 if state is None else state.lamports


def _nodes(store: Store) -> list[SlotNode]:
    """The newest blocks on disk as a branch."""
    nodes: list[SlotNode] = []
    for block in store.newest_blocks(STATUS_CACHE_BLOCKS):
        nodes.append(SlotNode(block, nodes[-1] if nodes else None))
    by_slot = {node.block.slot: node for node in nodes}
    for slot, signature, err in store.errors(nodes[0].block.slot):
        by_slot[slot].errors[signature] = err
    return nodes


def _signed(instruction: Instruction, payer: Keypair, blockhash: str) -> VersionedTransaction:
    message = Message.new_with_blockhash([instruction], payer.pubkey(), Hash.from_string(blockhash))
    return VersionedTransaction(message, [payer])
