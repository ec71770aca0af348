"""What a run says: plain frozen values, with JSON both ways.

Shares are exact ``Fraction`` values (finite decimals); raw amounts are integers. None is unknown,
never zero.
"""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import date, datetime
from enum import StrEnum
from fractions import Fraction
from typing import Any

from tieout_reconcile.canonical import Raw, canonical_bytes, from_plain, to_plain
from tieout_reconcile.exact import decimal_text
from tieout_reconcile.history import History
from tieout_reconcile.lines import CrossingLines
from tieout_reconcile.registry import HARD_EVIDENCE
from tieout_reconcile.told_twice import TwiceLine

RUN_SCHEMA = "tieout/run/1"
RULES = "9"
"""The version of the rules by which a run decides; it grows when the same input may say something else."""

KEY_LETTERS = 12
# no text holds these bytes: in a text each quotation mark has a backslash before it
_NO_INSTRUMENTS = b'"instruments":[]'
_NO_CROSSINGS = b'"crossings":[]'


class Verdict(StrEnum):
    """Whether the figures tie out, per instrument and for a run."""

    TIES_OUT = "ties_out"
    TIES_OUT_IN_SETTLEMENT = "ties_out_in_settlement"
    INCOMPLETE = "incomplete"
    DOES_NOT_TIE_OUT = "does_not_tie_out"

    @classmethod
    def _missing_(cls, value: object) -> "Verdict | None":
        # what runs under older rules said
        return cls.DOES_NOT_TIE_OUT if value in ("over_backed", "under_backed") else None


_WORST_LAST = list(Verdict)


def worst(verdicts: list[Verdict]) -> Verdict:
    """Return the verdict of a whole: the worst of its parts' verdicts, in the order in which they stand above."""
    return max(verdicts, key=_WORST_LAST.index, default=Verdict.INCOMPLETE)


def finding_id(key: str) -> str:
    """Return a finding's short name, from its key alone."""
    return hashlib.sha256(key.encode()).hexdigest()[:KEY_LETTERS]


@dataclass(frozen=True, slots=True)
class Finding:
    """One named thing: a break to be worked off, or a notice that is explained by itself.

    ``key`` is the same in every run that finds it, ``id`` is its short form for people.
    """

    key: str
    code: str
    name: str
    severity: str
    symbol: str
    summary: str
    raw: Raw | None = None
    shares: Fraction | None = None
    at: datetime | None = None
    signature: str | None = None
    request_id: str | None = None
    details: dict[str, Any] = field(default_factory=dict)

    @property
    def id(self) -> str:
        """The short name, from the key alone."""
        return finding_id(self.key)

    @property
    def is_break(self) -> bool:
        """Whether it counts as a break."""
        return self.severity == "break"

    def to_json(self) -> dict[str, Any]:
        """Return plain values, the short id among them."""
        return {"id": self.id} | to_plain(self)


@dataclass(frozen=True, slots=True)
class Encumbrance:
    """Shares in an account that are not free, and why: lent, pledged, blocked, borrowed, not_available."""

    kind: str
    shares: Fraction


@dataclass(frozen=True, slots=True)
class CustodyLine:
    """What one custody account holds by its latest settled statement; ``shares`` None: unknown, for ``problem``.

    ``shares`` are those that count: ``aggregate`` less ``encumbered`` (lent, pledged, blocked, borrowed). Where
    the statement of ``stated_at`` was rolled to ``as_of``, ``moved`` is what settled in between.
    """

    custodian: str
    account: str
    shares: Fraction | None
    as_of: datetime | None
    load: int | None
    code: str | None
    problem: str | None
    aggregate: Fraction | None = None
    encumbered: Fraction | None = None
    encumbrances: tuple[Encumbrance, ...] = ()
    stated_at: datetime | None = None
    moved: Fraction | None = None
    evidence: str = "custodian"

    @property
    def is_hard(self) -> bool:
        """Whether it counts as settled custody: a custodian or broker says so, not an affiliate or management."""
        return self.evidence in HARD_EVIDENCE


@dataclass(frozen=True, slots=True)
class UnprovenLine:
    """A wallet of the issuer without dated proof of control and a stated owner, and the figures without it.

    ``raw`` it takes off the liability; were it a stranger's, ``liability``, ``difference`` and ``verdict`` would be
    these (shares; None where they are unknown).
    """

    address: str
    role: str
    raw: Raw
    liability: Fraction | None
    difference: Fraction | None
    verdict: Verdict


@dataclass(frozen=True, slots=True)
class TradeLine:
    """A trade that is not settled and counts as such: the shares that will come, below zero those that will go."""

    custodian: str
    account: str
    reference: str
    shares: Fraction
    traded_at: datetime
    settles_on: str


@dataclass(frozen=True, slots=True)
class NetworkLine:
    """What another network holds outside the issuer's wallets, in shares at the cut-off; None: unknown."""

    network: str
    shares: Fraction | None
    unit: str | None
    as_of: datetime | None
    block: str | None
    source: str | None
    problem: str | None


@dataclass(frozen=True, slots=True)
class WrapperLine:
    """A token that wraps an instrument's: left out of what is owed, for what it wraps is counted where it lies.

    ``supply`` and ``escrowed`` in shares at the cut-off, None where unknown, for ``problem``; ``covered``: whether its
    escrow holds all that it promises, by the figures as they were read. ``on_ledger``: ``escrowed`` is what the ledger
    has in the registered escrow, and ``declared`` what the file says of it.
    """

    network: str
    wrapper: str
    wraps: str
    supply: Fraction | None
    escrowed: Fraction | None
    covered: bool
    as_of: datetime
    source: str
    problem: str | None
    declared: Fraction | None = None
    on_ledger: bool = False


@dataclass(frozen=True, slots=True)
class FlightLine:
    """Tokens that left one chain and are not on the other yet: owed by neither chain's own figures."""

    message_id: str
    direction: str
    network: str
    raw: Raw
    sent_at: datetime


@dataclass(frozen=True, slots=True)
class ReceivableLine:
    """Shares that a corporate action brings and custody has yet to book; below zero: booked before the step.

    Counts until and on ``expires_on`` and never as settled. ``sure``: evidence says so, not the figures.
    """

    action_id: str
    kind: str
    shares: Fraction
    pay_date: date | None
    expires_on: date
    sure: bool


@dataclass(frozen=True, slots=True)
class HeldLine:
    """Shares that custody has booked for tokens that are not released yet.

    ``network``: another one, whose tokens are known by readings alone; below zero there, shares that went for
    tokens which the last reading still has. ``sure`` False: the reading may show it already.
    """

    reference: str
    shares: Fraction
    settled_at: datetime | None
    until: date
    network: str | None = None
    sure: bool = True


@dataclass(frozen=True, slots=True)
class LoanLine:
    """Shares that are lent out, their recall, and the cash held against them: none of it ever counts as custody.

    ``position``: whether the custodian's statements still include them. ``state``: lent, recalled (to come back by
    ``due_on``, and counted as coming until ``expires_on``), overdue. ``collateral_amount`` is in units of its currency.
    """

    custodian: str
    account: str
    reference: str
    shares: Fraction
    position: str
    state: str
    lent_at: datetime
    recalled_at: datetime | None
    due_on: date | None
    expires_on: date | None
    collateral_amount: Fraction | None
    collateral_currency: str | None
    borrower: str | None
    document: str
    evidence: str


@dataclass(frozen=True, slots=True)
class CashLine:
    """The cash of one order, in units of ``currency``, exact: delivery versus payment.

    ``kind``: payable (a redemption, paid out) or receivable (an issue, paid in). ``agreed`` is the order's amount, 0
    where it is settled in kind; ``owed`` what of it is due to be paid since ``owed_since``, by ``due_on``; ``paid`` and
    ``returned`` what went either way; ``overdue`` what of ``outstanding`` is unpaid after that day. ``state``:
    pending, prepaid, open, overdue, paid, overpaid, void (rejected, or in kind). ``ahead``: what went out before its
    counterpart was there, tokens or cash. ``paid_at`` is the last payment's instant, ``payments`` their references.
    """

    request_id: str
    kind: str
    currency: str
    agreed: Fraction
    owed: Fraction
    paid: Fraction
    returned: Fraction
    outstanding: Fraction
    overdue: Fraction
    overpaid: Fraction
    state: str
    owed_since: datetime | None
    due_on: date | None
    tokens_at: datetime | None
    paid_at: datetime | None
    ahead: str | None
    payments: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class CashTotal:
    """What all orders of a kind (payable, receivable) owe in one currency; ``owed`` - ``paid`` = ``outstanding``.

    ``orders`` counts those that are not paid in full. What one order has too much pays no other: ``overpaid``.
    """

    kind: str
    currency: str
    orders: int
    owed: Fraction
    paid: Fraction
    outstanding: Fraction
    overdue: Fraction
    overpaid: Fraction


@dataclass(frozen=True, slots=True)
class PaymentCheck:
    """A payment that names its transaction on Solana, held against it.

    ``state``: equal, different, missing (the chain is known there and has no such transfer), unchecked (nobody can
    know: weaker evidence). ``said`` is what all payments by that transaction say flowed into ``wallet`` (below zero:
    out of it), ``found`` what did, in units of ``currency``; both where they differ. ``moved_at``: its block's time.
    """

    reference: str
    request_id: str | None
    direction: str
    amount: Fraction
    currency: str
    paid_at: datetime
    signature: str
    state: str
    moved_at: datetime | None
    wallet: str | None
    said: Fraction | None
    found: Fraction | None
    why: str | None

    @property
    def told(self) -> str:
        """What was seen, where it is not equal: both values as they flowed the way that was said, or why."""
        if self.said is None or self.found is None:
            return self.why or ""
        sign = 1 if self.said > 0 else -1
        said, found = (f"{decimal_text(sign * value)} {self.currency}" for value in (self.said, self.found))
        return f"{'into' if self.said > 0 else 'out of'} {self.wallet} that is {said}, and on chain it was {found}"


@dataclass(frozen=True, slots=True)
class OpinionLine:
    """Somebody else's issuer-wide figures, beside ours: they never count."""

    source: str
    as_of: datetime
    circulating: Fraction
    held: Fraction | None


@dataclass(frozen=True, slots=True)
class RoleLine:
    """What the wallets of one role hold together, in raw."""

    role: str
    raw: Raw


@dataclass(frozen=True, slots=True)
class InstrumentResult:
    """One instrument as of the slot, with its derivation.

    circulating = supply - inventory - in_transit; liability_raw = circulating + owed_returns +
    owed_forced; liability = (liability_raw + in_flight - escrowed) x multiplier / 10^decimals + other_chains;
    difference = custody - liability, on the settled (hard) basis; custody_traded = custody + unsettled is the
    trade-date (soft) one, and never counts as settled. ``escrowed`` lies with a bridge here and is counted on
    the network that it backs. ``soft`` is what affiliates and management say they hold: never part of custody.
    ``cash`` sums ``cash_legs`` by kind and currency: no part of any figure in shares, nor of the verdict.
    ``frozen`` is what of the circulating tokens lies in frozen accounts, ``frozen_unknown`` in accounts of which
    nobody knows whether they are: still owed, and taken off nowhere. ``told_twice``: trades that a movement tells too.
    ``history``: the way there, where nothing of it is open; no part of the bytes.
    """

    symbol: str
    mint: str
    isin: str
    decimals: int
    verdict: Verdict
    reasons: tuple[str, ...]
    supply: Raw | None
    inventory: Raw | None
    in_transit: Raw | None
    circulating: Raw | None
    owed_returns: Raw | None
    owed_forced: Raw | None
    liability_raw: Raw | None
    multiplier_bits: bytes | None
    multiplier: Fraction | None
    liability: Fraction | None
    custody: Fraction | None
    difference: Fraction | None
    tolerance_short: Fraction | None
    tolerance_over: Fraction | None
    tolerance_derivation: str
    roles: tuple[RoleLine, ...]
    accounts: tuple[CustodyLine, ...]
    crossings: CrossingLines
    unsettled: Fraction | None = None
    custody_traded: Fraction | None = None
    trades: tuple[TradeLine, ...] = ()
    in_flight: Raw | None = None
    escrowed: Raw | None = None
    other_chains: Fraction | None = None
    networks: tuple[NetworkLine, ...] = ()
    flights: tuple[FlightLine, ...] = ()
    receivables: tuple[ReceivableLine, ...] = ()
    held: tuple[HeldLine, ...] = ()
    opinions: tuple[OpinionLine, ...] = ()
    soft: Fraction | None = None
    unproven: tuple[UnprovenLine, ...] = ()
    cash: tuple[CashTotal, ...] = ()
    cash_legs: tuple[CashLine, ...] = ()
    frozen: Raw | None = None
    frozen_unknown: Raw | None = None
    loans: tuple[LoanLine, ...] = ()
    wrappers: tuple[WrapperLine, ...] = ()
    told_twice: tuple[TwiceLine, ...] = ()
    history: History | None = field(default=None, compare=False, metadata={"canonical": False})

    def to_json(self) -> dict[str, Any]:
        """Return plain values."""
        return to_plain(self)

    def canonical_parts(self) -> Iterator[bytes]:
        """Yield the canonical bytes (RFC 8785) piece by piece."""
        before, after = canonical_bytes(to_plain(replace(self, crossings=CrossingLines()))).split(_NO_CROSSINGS)
        yield before + _NO_CROSSINGS[:-1]
        for number, chunk in enumerate(self.crossings.chunks):
            yield b"," if number else b""
            yield chunk.text()[1:-1]
        yield _NO_CROSSINGS[-1:] + after


@dataclass(frozen=True, slots=True)
class Inputs:
    """All that a run depends on. The same inputs give the same bytes, today or in a year."""

    genesis_hash: str | None
    as_of_slot: int
    as_of_time: datetime | None
    blockhash: str | None
    known_batch: int
    batch_hash: str | None
    known_load: int
    loads_sha256: str
    registry_load: int
    registry_sha256: str


@dataclass(frozen=True, slots=True)
class Run:
    """A reconciliation of all instruments; ``payments`` are those that name a transaction.

    ``run`` and ``ran_at``, its place in the history, are not in its bytes.
    """

    rules: str
    verdict: Verdict
    inputs: Inputs
    instruments: tuple[InstrumentResult, ...]
    findings: tuple[Finding, ...]
    payments: tuple[PaymentCheck, ...] = ()
    run: int | None = field(default=None, metadata={"canonical": False})
    ran_at: datetime | None = field(default=None, metadata={"canonical": False})

    @property
    def breaks(self) -> tuple[Finding, ...]:
        """The findings that somebody must work off."""
        return tuple(f for f in self.findings if f.is_break)

    @property
    def clean(self) -> bool:
        """Whether the figures tie out, be it in settlement, and there is no break."""
        return self.verdict in (Verdict.TIES_OUT, Verdict.TIES_OUT_IN_SETTLEMENT) and not self.breaks

    def instrument(self, symbol: str) -> InstrumentResult | None:
        """Return the result of a symbol."""
        return next((i for i in self.instruments if i.symbol == symbol), None)

    def to_json(self) -> dict[str, Any]:
        """Return plain values, without the place in the history."""
        return {"schema": RUN_SCHEMA} | to_plain(self)

    def canonical_parts(self) -> Iterator[bytes]:
        """Yield the canonical bytes (RFC 8785) piece by piece: a large run is never whole in memory."""
        plain = to_plain(replace(self, instruments=())) | {"schema": RUN_SCHEMA}
        before, after = canonical_bytes(plain).split(_NO_INSTRUMENTS)
        yield before + _NO_INSTRUMENTS[:-1]
        for number, instrument in enumerate(self.instruments):
            yield b"," if number else b""
            yield from instrument.canonical_parts()
        yield _NO_INSTRUMENTS[-1:] + after

    def canonical_json(self) -> bytes:
        """Return the canonical bytes (RFC 8785)."""
        return b"".join(self.canonical_parts())

    @property
    def digest(self) -> str:
        """The SHA-256 of the canonical bytes, in hexadecimal."""
        digest = hashlib.sha256()
        for part in self.canonical_parts():
            digest.update(part)
        return digest.hexdigest()


def run_from_json(plain: dict[str, Any]) -> Run:
    """Return the run that ``to_json`` wrote."""
    return from_plain(Run, plain)
