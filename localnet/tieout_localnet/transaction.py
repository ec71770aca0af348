"""A transaction as the runtime sees it: every account it names, looked up, and what it may do with each.

Account order is the network's: the message's own keys, then writable, then read-only keys of lookup tables.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from solders.hash import Hash
from solders.instruction import CompiledInstruction
from solders.message import Message, MessageV0
from solders.pubkey import Pubkey
from solders.signature import Signature as WireSignature
from solders.transaction import VersionedTransaction

from tieout_localnet import programs
from tieout_localnet.accounts import AccountState
from tieout_localnet.chain import Signature

LAMPORTS_PER_SIGNATURE: Final = 5_000
DEFAULT_INSTRUCTION_UNITS: Final = 200_000
BUILTIN_INSTRUCTION_UNITS: Final = 3_000
TRANSACTION_UNITS_MAX: Final = 1_400_000
MICRO_LAMPORTS: Final = 1_000_000

TABLE_HEADER_BYTES: Final = 56
TABLE_LAST_EXTENDED_AT: Final = 12
TABLE_LAST_START_AT: Final = 20

ReadAccount = Callable[[Pubkey], AccountState | None]


class TransactionRefused(Exception):
    """The transaction cannot run at all, so that it never reaches a block; holds the error as JSON."""

    def __init__(self, err: object) -> None:
        super().__init__(str(err))
        self.err = err


@dataclass(frozen=True, slots=True)
class Resolved:
    """A transaction with all its accounts resolved."""

    transaction: VersionedTransaction
    wire: bytes
    signature: Signature
    keys: tuple[Pubkey, ...]
    writable: tuple[bool, ...]
    static_count: int
    loaded_writable_count: int
    instructions: tuple[CompiledInstruction, ...]

    @property
    def payer(self) -> Pubkey:
        """The account that pays the fee."""
        return self.keys[0]

    @property
    def loaded_writable(self) -> tuple[Pubkey, ...]:
        """Keys that lookup tables added for writing."""
        return self.keys[self.static_count : self.static_count + self.loaded_writable_count]

    @property
    def loaded_readonly(self) -> tuple[Pubkey, ...]:
        """Keys that lookup tables added for reading."""
        return self.keys[self.static_count + self.loaded_writable_count :]

    @property
    def recent_blockhash(self) -> str:
        """The blockhash (or durable nonce) that the message names."""
        return str(self.transaction.message.recent_blockhash)

    @property
    def is_legacy(self) -> bool:
        """Whether it is in the format without a version."""
        return isinstance(self.transaction.message, Message)


def first_signature(transaction: VersionedTransaction) -> Signature:
    """The signature that names the transaction."""
    return Signature(str(transaction.signatures[0]))


def resolve(transaction: VersionedTransaction, read: ReadAccount, slot: int) -> Resolved:
    """Look up every account of a transaction in the state of a slot."""
    message = transaction.message
    if not isinstance(message, Message | MessageV0):
        raise TransactionRefused("UnsupportedVersion")
    static = tuple(message.account_keys)
    writable_keys, readonly_keys = _looked_up(message, read, slot)
    keys = static + writable_keys + readonly_keys
    if len(set(keys)) != len(keys):
        raise TransactionRefused("AccountLoadedTwice")
    instructions = tuple(message.instructions)
    writable = _writable(message, keys, len(static), len(writable_keys), instructions)
    return Resolved(
        transaction,
        bytes(transaction),
        first_signature(transaction),
        keys,
        writable,
        len(static),
        len(writable_keys),
        instructions,
    )


def from_stored(wire: bytes, loaded: bytes, loaded_writable: int) -> Resolved:
    """A transaction of a block, with the keys that were looked up when it ran."""
    transaction = VersionedTransaction.from_bytes(wire)
    message = transaction.message
    if not isinstance(message, Message | MessageV0):
        raise TransactionRefused("UnsupportedVersion")
    static = tuple(message.account_keys)
    keys = static + tuple(Pubkey.from_bytes(loaded[i : i + 32]) for i in range(0, len(loaded), 32))
    instructions = tuple(message.instructions)
    writable = _writable(message, keys, len(static), loaded_writable, instructions)
    signature = first_signature(transaction)
    return Resolved(transaction, wire, signature, keys, writable, len(static), loaded_writable, instructions)


def _looked_up(
    message: Message | MessageV0, read: ReadAccount, slot: int
) -> tuple[tuple[Pubkey, ...], tuple[Pubkey, ...]]:
    if isinstance(message, Message):
        return (), ()
    writable: list[Pubkey] = []
    readonly: list[Pubkey] = []
    for lookup in message.address_table_lookups:
        addresses = _table_addresses(read(lookup.account_key), slot)
        for indexes, into in ((lookup.writable_indexes, writable), (lookup.readonly_indexes, readonly)):
            for index in bytes(indexes):
                if index >= len(addresses):
                    raise TransactionRefused("InvalidAddressLookupTableIndex")
                into.append(addresses[index])
    return tuple(writable), tuple(readonly)


def _table_addresses(table: AccountState | None, slot: int) -> list[Pubkey]:
    """Addresses of a lookup table; what was added in this very slot does not count yet."""
    if table is None:
        raise TransactionRefused("AddressLookupTableNotFound")
    if table.owner != programs.LOOKUP_TABLE:
        raise TransactionRefused("InvalidAddressLookupTableOwner")
    if len(table.data) < TABLE_HEADER_BYTES or table.data[:4] != b"\x01\0\0\0":
        raise TransactionRefused("InvalidAddressLookupTableData")
    last_extended = int.from_bytes(table.data[TABLE_LAST_EXTENDED_AT : TABLE_LAST_EXTENDED_AT + 8], "little")
    data = table.data[TABLE_HEADER_BYTES:]
    count = len(data) // 32 if slot > last_extended else table.data[TABLE_LAST_START_AT]
    return [Pubkey.from_bytes(data[i * 32 : i * 32 + 32]) for i in range(count)]


def _writable(
    message: Message | MessageV0,
    keys: tuple[Pubkey, ...],
    static_count: int,
    loaded_writable_count: int,
    instructions: tuple[CompiledInstruction, ...],
) -> tuple[bool, ...]:
    header = message.header
    signed = header.num_required_signatures
    called = {instruction.program_id_index for instruction in instructions}
    upgrades = programs.UPGRADEABLE_LOADER in keys

    def may_write(index: int, key: Pubkey) -> bool:
        if index >= static_count:
            asked = index < static_count + loaded_writable_count
        elif index < signed:
            asked = index < signed - header.num_readonly_signed_accounts
        else:
            asked = index < static_count - header.num_readonly_unsigned_accounts
        return asked and key not in programs.RESERVED_KEYS and (index not in called or upgrades)

    return tuple(may_write(index, key) for index, key in enumerate(keys))


def with_blockhash(transaction: VersionedTransaction, blockhash: Hash) -> VersionedTransaction:
    """The same transaction under another recent blockhash; its signatures no longer fit."""
    message = transaction.message
    if isinstance(message, MessageV0):
        changed: Message | MessageV0 = MessageV0(
            message.header,
            message.account_keys,
            blockhash,
            message.instructions,
            message.address_table_lookups,
        )
    elif isinstance(message, Message):
        header = message.header
        changed = Message.new_with_compiled_instructions(
            header.num_required_signatures,
            header.num_readonly_signed_accounts,
            header.num_readonly_unsigned_accounts,
            message.account_keys,
            blockhash,
            message.instructions,
        )
    else:
        raise TransactionRefused("UnsupportedVersion")
    return VersionedTransaction.populate(changed, transaction.signatures)


def signatures_valid(transaction: VersionedTransaction) -> bool:
    """Whether every signature is present and right."""
    if len(transaction.signatures) != transaction.message.header.num_required_signatures:
        return False
    if any(signature == WireSignature.default() for signature in transaction.signatures):
        return False
    return all(transaction.verify_with_results())


@dataclass(frozen=True, slots=True)
class Fee:
    """What a transaction pays, in lamports."""

    base: int
    priority: int

    @property
    def total(self) -> int:
        """Base and priority fee together."""
        return self.base + self.priority


def fee_of(message: Message | MessageV0) -> Fee:
    """The fee of a message: its signatures, and the price it offers for the compute units it asks for."""
    keys = message.account_keys
    limit: int | None = None
    price = default_units = 0
    for instruction in message.instructions:
        program = keys[instruction.program_id_index] if instruction.program_id_index < len(keys) else None
        data = bytes(instruction.data)
        default_units += (
            BUILTIN_INSTRUCTION_UNITS if program in programs.BUILTIN_PROGRAMS else DEFAULT_INSTRUCTION_UNITS
        )
        if program == programs.COMPUTE_BUDGET and data[:1] == b"\x02":
            limit = int.from_bytes(data[1:5], "little")
        elif program == programs.COMPUTE_BUDGET and data[:1] == b"\x03":
            price = int.from_bytes(data[1:9], "little")
    units = min(default_units if limit is None else limit, TRANSACTION_UNITS_MAX)
    base = LAMPORTS_PER_SIGNATURE * message.header.num_required_signatures
    return Fee(base, -(-price * units // MICRO_LAMPORTS))


def memo_of(resolved: Resolved) -> str | None:
    """The memos of a transaction as getSignaturesForAddress shows them: "[length] text; …"."""
    parts: list[str] = []
    for instruction in resolved.instructions:
        if resolved.keys[instruction.program_id_index] in programs.MEMO_PROGRAMS:
            data = bytes(instruction.data)
            try:
                parts.append(f"[{len(data)}] {data.decode()}")
            except UnicodeDecodeError:
                parts.append(f"[{len(data)}] (unparseable)")
    return "; ".join(parts) or None
