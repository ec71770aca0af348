"""Token accounts and mints as far as balances go, for both token programs, extensions skipped.

Layouts: token account = mint 0..32, owner 32..64, amount 64..72, delegate 72..108, state 108; mint = supply
36..44, decimals 44, initialized 45. Longer accounts carry their type in byte 165 (1 mint, 2 token account)
and extensions (type u16, length u16, value) from byte 166.
"""

import math
import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Final

from solders.pubkey import Pubkey

from tieout_localnet import programs
from tieout_localnet.accounts import AccountState

ACCOUNT_BYTES: Final = 165
MINT_BYTES: Final = 82
MULTISIG_BYTES: Final = 355
TYPE_AT: Final = 165
TYPE_MINT: Final = 1
TYPE_ACCOUNT: Final = 2
EXTENSIONS_AT: Final = 166
SCALED_UI_AMOUNT: Final = 25


@dataclass(frozen=True, slots=True)
class TokenAccount:
    """The balance part of a token account."""

    mint: Pubkey
    owner: Pubkey
    amount: int
    delegate: Pubkey | None
    program: Pubkey


@dataclass(frozen=True, slots=True)
class Mint:
    """The amount part of a mint."""

    supply: int
    decimals: int
    scale: tuple[float, int, float] | None = None
    """ScaledUiAmount: the multiplier, when the next one takes effect (unix s), the next one."""

    def multiplier(self, unix_s: int) -> float:
        """The multiplier in force at a time."""
        if self.scale is None:
            return 1.0
        current, effective_at, following = self.scale
        return following if unix_s >= effective_at else current


@dataclass(frozen=True, slots=True)
class TokenBalance:
    """One row of preTokenBalances or postTokenBalances."""

    account_index: int
    mint: str
    owner: str
    program: str
    amount: int
    decimals: int


def _extended(data: bytes, base: int, kind: int) -> bool:
    if len(data) == base:
        return True
    return len(data) > TYPE_AT and len(data) != MULTISIG_BYTES and data[TYPE_AT] == kind


def parse_token_account(state: AccountState) -> TokenAccount | None:
    """A token account, or None for anything else."""
    data = state.data
    if state.owner not in programs.TOKEN_PROGRAMS or not _extended(data, ACCOUNT_BYTES, TYPE_ACCOUNT):
        return None
    if data[108] == 0:
        return None
    delegate = Pubkey.from_bytes(data[76:108]) if data[72] == 1 else None
    amount = int.from_bytes(data[64:72], "little")
    return TokenAccount(
        Pubkey.from_bytes(data[:32]), Pubkey.from_bytes(data[32:64]), amount, delegate, state.owner
    )


def parse_mint(state: AccountState) -> Mint | None:
    """A mint, or None for anything else."""
    data = state.data
    if state.owner not in programs.TOKEN_PROGRAMS or not _extended(data, MINT_BYTES, TYPE_MINT):
        return None
    if data[45] == 0:
        return None
    return Mint(int.from_bytes(data[36:44], "little"), data[44], _scale(data))


def _scale(data: bytes) -> tuple[float, int, float] | None:
    at = EXTENSIONS_AT
    while at + 4 <= len(data):
        kind, length = struct.unpack_from("<HH", data, at)
        if kind == SCALED_UI_AMOUNT and at + 4 + 56 <= len(data):
            current, effective_at, following = struct.unpack_from("<dqd", data, at + 36)
            return current, effective_at, following
        if kind == 0:
            return None
        at += 4 + length
    return None


def token_balances(
    keys: Sequence[Pubkey],
    called: frozenset[int],
    read: Callable[[Pubkey], AccountState | None],
) -> tuple[TokenBalance, ...]:
    """The token balances among a transaction's accounts, in the state that `read` gives.

    As nodes do it: nothing at all unless a token program is among the keys, and no invoked program.
    """
    if not any(key in programs.TOKEN_PROGRAMS for key in keys):
        return ()
    rows: list[TokenBalance] = []
    for index, key in enumerate(keys):
        if index in called:
            continue
        row = _balance(index, read(key), read)
        if row is not None:
            rows.append(row)
    return tuple(rows)


def _balance(
    index: int, state: AccountState | None, read: Callable[[Pubkey], AccountState | None]
) -> TokenBalance | None:
    token = parse_token_account(state) if state is not None else None
    if token is None:
        return None
    mint_state = read(token.mint)
    mint = parse_mint(mint_state) if mint_state is not None else None
    if mint is None and token.mint != programs.NATIVE_MINT:
        return None
    decimals = 9 if mint is None else mint.decimals
    return TokenBalance(index, str(token.mint), str(token.owner), str(token.program), token.amount, decimals)


def amount_text(amount: int, decimals: int) -> str:
    """A raw amount in units, exact, without trailing zeros."""
    text = f"{Decimal(amount).scaleb(-decimals):f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def unscaled_ui_amount(amount: int, decimals: int) -> dict[str, object]:
    """The `uiTokenAmount` of a balance row: never scaled, and null for zero."""
    return {
        "amount": str(amount),
        "decimals": decimals,
        "uiAmount": amount / 10**decimals if amount else None,
        "uiAmountString": amount_text(amount, decimals),
    }


def scaled_ui_amount(amount: int, mint: Mint, unix_s: int) -> dict[str, object]:
    """The amount as getTokenAccountBalance and its kin show it: times the multiplier, truncated."""
    shown = amount
    if mint.scale is not None:
        product = amount * mint.multiplier(unix_s)
        shown = int(product) if math.isfinite(product) else 0
    return {
        "amount": str(amount),
        "decimals": mint.decimals,
        "uiAmount": shown / 10**mint.decimals,
        "uiAmountString": amount_text(shown, mint.decimals),
    }
