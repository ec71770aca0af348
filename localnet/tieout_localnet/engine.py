"""The execution engine: LiteSVM behind the few operations that a bank needs.

What LiteSVM does not do is done around it: the blockhash queue and duplicate checks (switched off here),
signature checks, slots, durable nonces of failed transactions, and the state before and after.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from solders import transaction_metadata as metadata
from solders.account import Account
from solders.clock import Clock
from solders.hash import Hash
from solders.litesvm import FeatureSet, LiteSVM
from solders.pubkey import Pubkey
from solders.transaction import VersionedTransaction
from solders.transaction_metadata import (
    FailedTransactionMetadata,
    SimulatedTransactionInfo,
    TransactionMetadata,
)

from tieout_localnet import programs
from tieout_localnet.accounts import AccountState, Changes
from tieout_localnet.chain import BLOCKHASH_QUEUE_BLOCKS
from tieout_localnet.transaction import LAMPORTS_PER_SIGNATURE

P_TOKEN_FEATURE: Final = Pubkey.from_string("ptokFjwyJtrwCa9Kgo9xoDS59V4QccBGEaRFnRPnSdP")
SLOTS_PER_EPOCH: Final = 432_000
SLOT_HASHES_MAX: Final = 512
LOG_BYTES_MAX: Final = 10_000

NEVER_LANDS: Final = frozenset(
    {
        "AccountNotFound",
        "InsufficientFundsForFee",
        "InvalidAccountForFee",
        "SanitizeFailure",
        "AccountLoadedTwice",
        "TooManyAccountLocks",
        "BlockhashNotFound",
        "AlreadyProcessed",
        "SignatureFailure",
        "UnsupportedVersion",
        "AddressLookupTableNotFound",
        "InvalidAddressLookupTableOwner",
        "InvalidAddressLookupTableData",
        "InvalidAddressLookupTableIndex",
        "InvalidComputeBudget",
        "DuplicateInstruction",
    }
)
"""Errors found before the fee is charged: such a transaction is never in a block."""


@dataclass(frozen=True, slots=True)
class InnerInstruction:
    """An instruction that a program called; indexes refer to the transaction's account list."""

    program_index: int
    accounts: bytes
    data: bytes
    stack_height: int


@dataclass(frozen=True, slots=True)
class Execution:
    """What running one transaction did."""

    err: object
    logs: tuple[str, ...]
    inner: tuple[tuple[InnerInstruction, ...], ...]
    units: int
    fee: int
    return_data: tuple[Pubkey, bytes] | None
    post: Mapping[Pubkey, AccountState | None] = field(default_factory=dict)

    @property
    def lands(self) -> bool:
        """Whether the transaction is part of a block (it may have failed there)."""
        name = next(iter(self.err)) if isinstance(self.err, dict) else self.err
        return name not in NEVER_LANDS


class Engine:
    """LiteSVM with Token-2022, the token program, associated accounts, memo and lookup tables."""

    def __init__(self, *, classic_token: bool = False) -> None:
        self._svm = (
            LiteSVM()
            .with_blockhash_check(False)
            .with_sigverify(False)
            .with_transaction_history(0)
            .with_log_bytes_limit(LOG_BYTES_MAX)
        )
        if classic_token:
            self._svm.set_account(programs.TOKEN, _classic_token())

    def builtin_accounts(self) -> dict[Pubkey, AccountState]:
        """Programs and sysvars that exist before the first block."""
        owners = (*programs.LOADERS, programs.SYSVAR_OWNER)
        found = (pair for owner in owners for pair in self._svm.get_program_accounts(owner))
        return {key: AccountState.from_engine(account) for key, account in found}

    def account(self, key: Pubkey) -> AccountState | None:
        """An account as the engine has it; an emptied one does not exist."""
        account = self._svm.get_account(key)
        if account is None or account.lamports == 0:
            return None
        return AccountState.from_engine(account)

    def restore(self, changes: Changes) -> None:
        """Set accounts to given values."""
        # A program is loaded when its account is set: the account with its code has to be there before.
        for key, state in sorted(
            changes.items(), key=lambda pair: pair[1] is not None and pair[1].executable
        ):
            self._svm.set_account(key, (state or AccountState(0, b"", programs.SYSTEM)).to_engine())

    def open_slot(self, slot: int, unix_s: int, hashes: Sequence[tuple[int, Hash]]) -> None:
        """Move the sysvars to a new slot; `hashes` are (slot, blockhash), newest first."""
        epoch = slot // SLOTS_PER_EPOCH
        self._svm.expire_blockhash()
        self._svm.set_clock(Clock(slot, 0, epoch, epoch + 1, unix_s))
        self._svm.set_slot_hashes(hashes[:SLOT_HASHES_MAX])
        recent = hashes[:BLOCKHASH_QUEUE_BLOCKS]
        fee = LAMPORTS_PER_SIGNATURE.to_bytes(8, "little")
        data = len(recent).to_bytes(8, "little") + b"".join(bytes(value) + fee for _, value in recent)
        state = AccountState(42_706_560, data.ljust(6_008, b"\0"), programs.SYSVAR_OWNER)
        self._svm.set_account(programs.RECENT_BLOCKHASHES, state.to_engine())

    def execute(self, transaction: VersionedTransaction, watched: Sequence[Pubkey]) -> Execution:
        """Run a transaction for good; `watched` accounts are read back afterwards."""
        result = self._svm.send_transaction(transaction)
        return _execution(result, {key: self.account(key) for key in watched})

    def simulate(self, transaction: VersionedTransaction, watched: Sequence[Pubkey]) -> Execution:
        """Run a transaction without keeping anything; `watched` accounts as they would be."""
        result = self._svm.simulate_transaction(transaction)
        if isinstance(result, FailedTransactionMetadata):
            return _execution(result, {})
        post: dict[Pubkey, AccountState | None] = {
            key: AccountState.from_engine(account) if account.lamports else None
            for key, account in result.post_accounts()
        }
        return _execution(result, {key: post[key] for key in watched if key in post})

    def rent_exempt_minimum(self, data_bytes: int) -> int:
        """Lamports that keep an account of this size alive."""
        return self._svm.minimum_balance_for_rent_exemption(data_bytes)


def _classic_token() -> Account:
    """The token program as it was before p-token took its address."""
    features = FeatureSet.all_enabled()
    features.deactivate(P_TOKEN_FEATURE)
    account = LiteSVM().with_feature_set(features).with_default_programs().get_account(programs.TOKEN)
    if account is None:
        raise LookupError("the engine has no classic token program")
    return account


def program_accounts(key: Pubkey, elf: bytes) -> dict[Pubkey, AccountState]:
    """The accounts of a program with this code; none when it cannot be loaded."""
    svm = LiteSVM()
    try:
        svm.add_program(key, elf)
    except BaseException as error:
        # The engine panics on what is no program.
        if not isinstance(error, Exception) and type(error).__name__ != "PanicException":
            raise
        return {}
    found: dict[Pubkey, AccountState] = {}
    for address in (key, Pubkey.find_program_address([bytes(key)], programs.UPGRADEABLE_LOADER)[0]):
        account = svm.get_account(address)
        if account is not None:
            found[address] = AccountState.from_engine(account)
    return found


def _execution(
    result: TransactionMetadata | FailedTransactionMetadata | SimulatedTransactionInfo,
    post: Mapping[Pubkey, AccountState | None],
) -> Execution:
    err: object = None
    if isinstance(result, FailedTransactionMetadata):
        err = json.loads(result.to_json())["err"]
    meta = result if isinstance(result, TransactionMetadata) else result.meta()
    returned = meta.return_data()
    data = bytes(returned.data)
    return Execution(
        err,
        tuple(meta.logs()),
        tuple(tuple(map(_inner, group)) for group in meta.inner_instructions()),
        meta.compute_units_consumed(),
        meta.fee(),
        (returned.program_id, data) if data else None,
        post,
    )


def _inner(inner: metadata.InnerInstruction) -> InnerInstruction:
    compiled = inner.instruction()
    return InnerInstruction(
        compiled.program_id_index, bytes(compiled.accounts), bytes(compiled.data), inner.stack_height() or 2
    )
