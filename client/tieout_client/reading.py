"""Reading an instrument and its accounts back from the chain."""

import base64
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from types import MappingProxyType
from typing import Any

import msgspec
from solders.pubkey import Pubkey

from tieout_client.amounts import UNIT_MULTIPLIER
from tieout_client.errors import BadInput
from tieout_client.sending import Commitment
from tieout_idl import (
    TOKEN_2022_PROGRAM,
    Mint,
    ScaledUiAmount,
    TokenAccount,
    TokenFormatError,
    exact_multiplier,
    multiplier_bits,
    parse_account,
    parse_mint,
)
from tieout_rpc import RpcClient

CLOCK = Pubkey.from_string("SysvarC1ock11111111111111111111111111111111")
"""The account that tells the chain's own time."""

_CLOCK_UNIX_TIMESTAMP_OFFSET = 32


class _Account(msgspec.Struct):
    data: tuple[str, str]
    owner: str
    lamports: int


class _Context(msgspec.Struct):
    slot: int


class _Accounts(msgspec.Struct):
    context: _Context
    value: list[_Account | None]


@dataclass(frozen=True, slots=True)
class Multiplier:
    """One multiplier: its eight on-chain bytes, its exact value, and the unix second it applies from."""

    bits: bytes
    value: Fraction
    effective_timestamp: int

    @property
    def as_float(self) -> float:
        """The value as the chain's own binary64 number."""
        return float(self.value)


@dataclass(frozen=True, slots=True, kw_only=True)
class Instrument:
    """A mint as one slot shows it. ``supply`` is raw; ``chain_time`` unix seconds by the chain's clock.

    ``multiplier`` is the one in force at ``chain_time``, ``pending`` the announced one that is
    not, or None. ``authorities`` maps each role to its base58 key, None where nobody holds it.
    """

    address: str
    slot: int
    chain_time: int
    space: int
    mint: Mint
    symbol: str
    name: str
    uri: str
    paused: bool
    multiplier: Multiplier
    pending: Multiplier | None
    authorities: Mapping[str, str | None]

    @property
    def decimals(self) -> int:
        """The mint's decimals."""
        return self.mint.decimals

    @property
    def starts_frozen(self) -> bool:
        """True while new accounts start frozen: there is an allowlist."""
        return _fields(self.mint, "default_account_state").get("state") == "frozen"

    @property
    def supply(self) -> int:
        """Raw units in existence, treasury included: not the liability."""
        return self.mint.supply


@dataclass(frozen=True, slots=True, kw_only=True)
class Balance:
    """A token account as one slot shows it; ``raw`` units, never scaled."""

    address: str
    slot: int
    mint: str
    owner: str
    raw: int
    state: str
    account: TokenAccount

    @property
    def frozen(self) -> bool:
        """True while the account is frozen."""
        return self.state == "frozen"

    @property
    def wants_memo(self) -> bool:
        """True while the account takes transfers only right behind a memo."""
        found = next((e for e in self.account.extensions if e.name == "memo_transfer"), None)
        return found is not None and bool(found.fields["require_incoming_transfer_memos"])


async def read_accounts(
    rpc: RpcClient, addresses: Sequence[Pubkey], commitment: Commitment
) -> tuple[int, list[tuple[str, bytes] | None]]:
    """Return ``(slot, [(owning program, data) or None])``, all read at one slot."""
    config = {"encoding": "base64", "commitment": commitment}
    keys = [str(a) for a in addresses]
    answer: _Accounts = await rpc.call("getMultipleAccounts", [keys, config], _Accounts)
    found = [None if a is None else (a.owner, base64.b64decode(a.data[0])) for a in answer.value]
    return answer.context.slot, found


async def read_instrument(rpc: RpcClient, mint: Pubkey, commitment: Commitment = "confirmed") -> Instrument:
    """Return a mint with the multiplier in force by the chain's clock. Raises BadInput when it is none."""
    slot, (account, clock) = await read_accounts(rpc, [mint, CLOCK], commitment)
    return parse_instrument(mint, slot, account, clock)


def parse_instrument(
    mint: Pubkey, slot: int, account: tuple[str, bytes] | None, clock: tuple[str, bytes] | None
) -> Instrument:
    """Return a mint's account, read together with the clock's, as an Instrument. Raises BadInput."""
    data = _owned_by_token_2022(mint, account, "mint")
    now = chain_time(clock)
    try:
        parsed = parse_mint(data)
    except TokenFormatError as bad:
        raise BadInput(f"{mint} is no mint: {bad}") from bad
    if not parsed.is_initialized:
        raise BadInput(f"{mint} is a mint that was never initialized")
    return describe_mint(str(mint), slot, now, len(data), parsed)


def chain_time(clock: tuple[str, bytes] | None) -> int:
    """Return the unix second of the clock's account. Raises BadInput where there is none."""
    if clock is None:
        raise BadInput(f"the node has no clock account {CLOCK}: it is no Solana chain that can be driven")
    now: int = struct.unpack_from("<q", clock[1], _CLOCK_UNIX_TIMESTAMP_OFFSET)[0]
    return now


def describe_mint(address: str, slot: int, now: int, space: int, mint: Mint) -> Instrument:
    """Return a parsed mint as an Instrument at unix second ``now``; pure."""
    metadata, pausable = _fields(mint, "token_metadata"), _fields(mint, "pausable_config")
    multiplier, pending = multipliers_at(mint, now)
    return Instrument(
        address=address,
        slot=slot,
        chain_time=now,
        space=space,
        mint=mint,
        symbol=metadata.get("symbol", ""),
        name=metadata.get("name", ""),
        uri=metadata.get("uri", ""),
        paused=bool(pausable.get("paused", False)),
        multiplier=multiplier,
        pending=pending,
        authorities=MappingProxyType(_authorities(mint)),
    )


def multipliers_at(mint: Mint, now: int) -> tuple[Multiplier, Multiplier | None]:
    """Return ``(in force, pending or None)`` at a unix second; 1 for a mint that has no multiplier."""
    fields = _fields(mint, "scaled_ui_amount_config")
    if not fields:
        return Multiplier(UNIT_MULTIPLIER, Fraction(1), 0), None
    since = int(fields["new_multiplier_effective_timestamp"])
    old, new = multiplier_bits(fields["multiplier"]), multiplier_bits(fields["new_multiplier"])
    current = ScaledUiAmount(old, since, new).at(now)
    if now >= since:
        return Multiplier(current, exact_multiplier(current), since), None
    # When the one in force was set is not in the account once another is announced.
    return Multiplier(current, exact_multiplier(current), 0), Multiplier(new, exact_multiplier(new), since)


async def read_balance(rpc: RpcClient, account: Pubkey, commitment: Commitment = "confirmed") -> Balance:
    """Return a token account. Raises BadInput when there is none at this address."""
    slot, (found,) = await read_accounts(rpc, [account], commitment)
    return parse_balance(account, slot, found)


def parse_balance(account: Pubkey, slot: int, found: tuple[str, bytes] | None) -> Balance:
    """Return an account's bytes as a token account. Raises BadInput."""
    data = _owned_by_token_2022(account, found, "token account")
    try:
        parsed = parse_account(data)
    except TokenFormatError as bad:
        raise BadInput(f"{account} is no token account: {bad}") from bad
    return Balance(
        address=str(account),
        slot=slot,
        mint=parsed.mint,
        owner=parsed.owner,
        raw=parsed.amount,
        state=parsed.state,
        account=parsed,
    )


def _owned_by_token_2022(address: Pubkey, account: tuple[str, bytes] | None, what: str) -> bytes:
    if account is None:
        raise BadInput(f"there is no account at {address}: check the address and the node's chain")
    if account[0] != TOKEN_2022_PROGRAM:
        raise BadInput(f"{address} is no Token-2022 {what}: it belongs to the program {account[0]}")
    return account[1]


def _fields(mint: Mint, name: str) -> Mapping[str, Any]:
    extension = mint.extension(name)
    return {} if extension is None else extension.fields


_AUTHORITY_FIELDS = (
    ("metadata_pointer", "metadata_pointer", "authority"),
    ("metadata_update", "token_metadata", "update_authority"),
    ("permanent_delegate", "permanent_delegate", "delegate"),
    ("scaled_ui_amount", "scaled_ui_amount_config", "authority"),
    ("pause", "pausable_config", "authority"),
    ("confidential_transfer_mint", "confidential_transfer_mint", "authority"),
    ("transfer_hook_program_id", "transfer_hook", "authority"),
    ("transfer_fee_config", "transfer_fee_config", "transfer_fee_config_authority"),
    ("withheld_withdraw", "transfer_fee_config", "withdraw_withheld_authority"),
    ("close_mint", "mint_close_authority", "close_authority"),
)


def _authorities(mint: Mint) -> dict[str, str | None]:
    # Named as SetAuthority names them; metadata's update authority has an instruction of its own.
    found = {"mint_tokens": mint.mint_authority, "freeze_account": mint.freeze_authority}
    for role, extension, field in _AUTHORITY_FIELDS:
        if mint.extension(extension) is not None:
            found[role] = _fields(mint, extension)[field]
    return found
