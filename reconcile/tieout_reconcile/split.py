"""Who holds the supply: by venue and role, unlabelled, unseen; and venues' ledgers against their wallets. Pure.

labelled + unlabelled + withheld or hidden = supply, always: where it does not add up, that is a break.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from fractions import Fraction
from math import ceil

from tieout_reconcile.canonical import Raw
from tieout_reconcile.crossings import RoleBook
from tieout_reconcile.exact import decimal_text, rounded_text
from tieout_reconcile.facts import Holders, Holding, VenueHolding
from tieout_reconcile.findings import finding, shares_text
from tieout_reconcile.registry import ISSUER_ROLES, VENUE_ROLES, Instrument, Registry, Wallet, instant_text
from tieout_reconcile.results import Finding
from tieout_reconcile.venues import Totals, VenueLine, totals

_PLACES = 9


def large_from(instrument: Instrument, supply: int) -> int | None:
    """Return from how much raw an unlabelled owner is told; None where none is."""
    return None if instrument.large_share is None else max(1, ceil(supply * instrument.large_share))


def wallets_of(registry: Registry, venue: str, symbol: str, at: datetime) -> list[Wallet]:
    """Return the wallets that a venue has for an instrument at an instant."""
    return [
        w for w in registry.wallets
        if w.venue == venue and w.role in VENUE_ROLES and w.covers(symbol) and w.holds_at(at)
    ]  # fmt: skip


def holder_findings(
    instrument: Instrument, supply: int, holders: Holders, book: RoleBook, unit: Fraction | None, at: datetime
) -> Iterator[Finding]:
    """Yield a break where the accounts do not add up to the supply, and for each large owner without a label."""
    rest = supply - holders.visible - holders.unseen
    if rest:
        text = (
            f"the accounts of {instrument.symbol} hold {holders.visible} raw, {holders.unseen} are withheld or hidden; "
            f"the supply is {supply}: {rest} raw are nobody's"
        )
        yield finding("D5", instrument, "", text, raw=Raw(rest), shares=None if unit is None else rest * unit)
    bound = large_from(instrument, supply)
    for holder in holders.large:
        if bound is None or holder.amount < bound or book.role(None, holder.owner, at) is not None:
            continue
        shares = None if unit is None else holder.amount * unit
        part = rounded_text(Fraction(holder.amount, supply) * 100, 2)
        text = (
            f"{holder.owner} holds {shares_text(shares, instrument, holder.amount)}, {part} % of the supply, unlabelled"
        )
        yield finding(
            "D1", instrument, f"owner/{holder.owner}", text, raw=Raw(holder.amount), shares=shares,
            details={"owner": holder.owner},
        )  # fmt: skip


def expired_findings(
    instrument: Instrument, holdings: Sequence[Holding], registry: Registry, book: RoleBook, unit: Fraction | None,
    at: datetime,
) -> Iterator[Finding]:  # fmt: skip
    """Yield the wallets whose label ended with tokens in them, and that nothing labels since.

    Where an issuer's role ended, the crossing of its boundary is told already.
    """
    for holding in holdings:
        if not holding.amount or book.role(holding.account, holding.owner, at) is not None:
            continue
        ended = [
            w for w in registry.wallets
            if w.covers(instrument.symbol) and w.address in (holding.account, holding.owner)
            and w.valid_to is not None and w.valid_to <= at
        ]  # fmt: skip
        last = max(ended, key=lambda w: w.valid_to or w.valid_from, default=None)
        if last is None or last.role in ISSUER_ROLES:
            continue
        shares = None if unit is None else holding.amount * unit
        text = (
            f"{shares_text(shares, instrument, holding.amount)} lie in {holding.account} of {holding.owner}, whose "
            f"label {last.role}{f' of {last.venue}' if last.venue else ''} ended at {instant_text(last.valid_to)}"
        )
        yield finding(
            "D3", instrument, f"expired/{holding.account}", text, raw=Raw(holding.amount), shares=shares,
            at=last.valid_to, details={"owner": holding.owner, "role": str(last.role), "venue": last.venue},
        )  # fmt: skip


@dataclass(frozen=True, slots=True)
class Ledger:
    """The latest ledger of a venue for an instrument at an instant, as its lines."""

    venue: str
    as_of: datetime
    lines: tuple[VenueLine, ...]


def ledgers(lines: Sequence[VenueLine], mint: str, at: datetime) -> list[Ledger]:
    """Return each venue's latest ledger of a mint at or before an instant."""
    by_venue: dict[str, dict[datetime, list[VenueLine]]] = {}
    for line in lines:
        if line.mint == mint and line.as_of <= at:
            by_venue.setdefault(line.venue, {}).setdefault(line.as_of, []).append(line)
    return [Ledger(venue, max(found), tuple(found[max(found)])) for venue, found in sorted(by_venue.items())]


def venue_findings(
    instrument: Instrument,
    found: Sequence[Ledger],
    holdings: Mapping[tuple[str, datetime], VenueHolding],
    units: Mapping[datetime, Fraction | None],
    registry: Registry,
    at: datetime,
) -> Iterator[Finding]:
    """Yield a break for each venue that holds less (D4), or more (D2), than its ledger owes; D2 where it is unknown.

    A ledger that is too old at ``at`` says nothing of it: neither that the venue holds enough nor that it does not.
    """
    for ledger in found:
        held, unit = holdings.get((ledger.venue, ledger.as_of)), units.get(ledger.as_of)
        hours = registry.venue_age_hours(ledger.venue)
        if at - ledger.as_of > timedelta(hours=hours):
            yield _stale(instrument, ledger, hours, held, unit)
        elif held is None or held.amount is None or unit is None:
            text = (
                f"the ledger of {ledger.venue} for {instrument.symbol} is of {instant_text(ledger.as_of)}: what its "
                "wallets held then is not known (is the chain proven to that instant?)"
            )
            yield finding("D2", instrument, f"venue/{ledger.venue}", text, at=ledger.as_of)
        elif (told := _compared(instrument, ledger, held.amount, totals(ledger.lines, unit), unit)) is not None:
            yield told


def _stale(
    instrument: Instrument, ledger: Ledger, hours: int, held: VenueHolding | None, unit: Fraction | None
) -> Finding:
    """What the venue owes is not known: its figures of then are shown as such, and nothing is concluded from them."""
    had = None if held is None or held.amount is None else str(held.amount)
    owed = None if unit is None else rounded_text(totals(ledger.lines, unit).owed, 2)
    text = (
        f"the ledger of {ledger.venue} for {instrument.symbol} is of {instant_text(ledger.as_of)}, over {hours} hours "
        f"older than the cut-off: what it owes is not known (then it owed {owed or 'an unknown number of'} raw, and "
        f"{had or 'an unknown number of'} raw were in its wallets)"
    )
    return finding(
        "D2", instrument, f"venue/{ledger.venue}", text, at=ledger.as_of,
        details={"venue": ledger.venue, "max_age_hours": hours, "old_owed_raw": owed, "old_held_raw": had},
    )  # fmt: skip


def _compared(instrument: Instrument, ledger: Ledger, held: int, owed: Totals, unit: Fraction) -> Finding | None:
    difference = held + owed.elsewhere - owed.owed
    # a line kept in shares may lie off its whole raw units by less than one
    if not difference or abs(difference) < owed.rounding:
        return None
    code = "D4" if difference < 0 else "D2"
    side = "fewer" if difference < 0 else "more"
    shares = difference * unit
    parts = (
        f"{rounded_text(owed.customers, 2)} of customers + {rounded_text(owed.house, 2)} of the house + "
        f"{rounded_text(owed.withdrawals, 2)} in withdrawals + {rounded_text(owed.received, 2)} received, not credited"
    )
    text = (
        f"{ledger.venue} holds {rounded_text(abs(difference), 2)} raw of {instrument.symbol} {side} than its ledger of "
        f"{instant_text(ledger.as_of)} owes: {held} in its wallets + {rounded_text(owed.elsewhere, 2)} elsewhere, "
        f"against {parts}"
    )
    whole = Raw(int(difference)) if difference.denominator == 1 else None
    return finding(
        code, instrument, f"venue/{ledger.venue}", text, raw=whole, shares=_finite(shares), at=ledger.as_of,
        details={"venue": ledger.venue, "negative_customers_raw": rounded_text(owed.negative, 2)},
    )  # fmt: skip


def _finite(value: Fraction) -> Fraction:
    """The value itself where it has finite decimals, else rounded at 18 places."""
    try:
        decimal_text(value)
    except ValueError:
        return Fraction(round(value * 10**18), 10**18)
    return value
