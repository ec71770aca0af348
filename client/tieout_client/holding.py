"""What an owner holds: token accounts in raw units, and in shares at an instant."""

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Final

import msgspec
from solders.pubkey import Pubkey

from tieout_client.errors import BadInput
from tieout_client.keys import Address, address
from tieout_client.reading import (
    CLOCK,
    Balance,
    Instrument,
    Multiplier,
    chain_time,
    multipliers_at,
    parse_balance,
    parse_instrument,
    read_accounts,
)
from tieout_client.session import Session
from tieout_idl import TOKEN_2022_PROGRAM, shares_from_raw

_READ_AT_ONCE: Final = 99


@dataclass(frozen=True, slots=True, kw_only=True)
class Holding:
    """One token account of an owner, and the exact ``shares`` that its raw units stand for at the instant asked for."""

    instrument: Instrument
    balance: Balance
    multiplier: Multiplier
    shares: Fraction


@dataclass(frozen=True, slots=True, kw_only=True)
class Portfolio:
    """What an owner holds at unix second ``at``; ``chain_time`` is the chain's clock at ``slot``, where it was read."""

    owner: str
    at: int
    chain_time: int
    slot: int
    holdings: tuple[Holding, ...]


class _Account(msgspec.Struct):
    data: tuple[str, str]
    owner: str


class _Keyed(msgspec.Struct):
    pubkey: str
    account: _Account


class _Context(msgspec.Struct):
    slot: int


class _Answer(msgspec.Struct):
    context: _Context
    value: list[_Keyed]


class Holdings(Session):
    """Looking at owners."""

    async def portfolio(self, owner: Address, *, at: int | None = None) -> Portfolio:
        """Return an owner's token accounts with their shares at unix second ``at``, by default the chain's now.

        For a later instant an announced multiplier counts from when it applies. For an earlier
        one the chain tells only back to its last change; before that it is BadInput.
        """
        who = address(owner, "owner")
        config = {"encoding": "base64", "commitment": "confirmed"}
        query = [str(who), {"programId": TOKEN_2022_PROGRAM}, config]
        answer: _Answer = await self.rpc.call("getTokenAccountsByOwner", query, _Answer)
        slot = answer.context.slot
        balances = [
            parse_balance(Pubkey.from_string(k.pubkey), slot, (k.account.owner, base64.b64decode(k.account.data[0])))
            for k in answer.value
        ]
        now, instruments = await self._instruments(sorted({b.mint for b in balances}))
        when = now if at is None else at
        holdings = [_holding(instruments[b.mint], b, when) for b in balances]
        holdings.sort(key=lambda h: (h.instrument.symbol, h.instrument.address, h.balance.address))
        return Portfolio(owner=str(who), at=when, chain_time=now, slot=slot, holdings=tuple(holdings))

    async def _instruments(self, mints: Sequence[str]) -> tuple[int, dict[str, Instrument]]:
        found: dict[str, Instrument] = {}
        now = 0
        for first in range(0, max(len(mints), 1), _READ_AT_ONCE):
            part = [Pubkey.from_string(mint) for mint in mints[first : first + _READ_AT_ONCE]]
            slot, (clock, *accounts) = await read_accounts(self.rpc, [CLOCK, *part], "confirmed")
            now = chain_time(clock)
            for mint, account in zip(part, accounts, strict=True):
                found[str(mint)] = parse_instrument(mint, slot, account, clock)
        return now, found


def _holding(instrument: Instrument, balance: Balance, at: int) -> Holding:
    multiplier = multiplier_at(instrument, at)
    shares = shares_from_raw(balance.raw, instrument.decimals, multiplier.bits)
    return Holding(instrument=instrument, balance=balance, multiplier=multiplier, shares=shares)


def multiplier_at(instrument: Instrument, at: int) -> Multiplier:
    """Return the multiplier of unix second ``at``, as far as the mint's account tells. Raises BadInput. Pure."""
    since = instrument.multiplier.effective_timestamp
    # Once another is announced, the account no longer tells since when the one in force applies.
    if at < instrument.chain_time and (at < since or instrument.pending is not None):
        raise BadInput(
            f"the account of {instrument.symbol or instrument.address} tells the multiplier of now and of later, "
            f"not that of {at}: ask the ledger (ledger.multiplier_at)"
        )
    return multipliers_at(instrument.mint, max(at, instrument.chain_time))[0]
