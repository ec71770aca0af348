"""What other networks add to the liability: which reading counts, in which unit, at which multiplier. Pure.

A reading is carried over to the cut-off by the multipliers in force at both instants. An adjusted figure
divided by a multiplier has no finite decimals: it is rounded up at 18 places, so that nothing owed is lost.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from fractions import Fraction
from math import ceil

from tieout_reconcile.other_chains import EVERY_NETWORK, ChainReading
from tieout_reconcile.registry import SOLANA, Instrument, instant_text

PLACES = 18
MultiplierAt = Callable[[datetime], Fraction | None]
"""The multiplier in force on our chain at an instant; None when it is unknown."""


@dataclass(frozen=True, slots=True)
class NetworkShares:
    """What a network holds outside the issuer's own wallets, in shares at the cut-off.

    ``shares`` None: unknown, for ``problem``; ``code`` then names it. ``rounding`` is how far the figure
    was rounded by its source.
    """

    network: str
    shares: Fraction | None
    reading: ChainReading | None
    rounding: Fraction = Fraction(0)
    code: str | None = None
    problem: str | None = None


@dataclass(frozen=True, slots=True)
class Wrapped:
    """A wrapper's supply and what its escrow holds of the wrapped token, in shares at the cut-off; None: unknown.

    It adds nothing to what is owed: what it wraps is counted where it lies. ``declared`` is what its file says that
    the escrow held; ``seen``: ``escrowed`` is what the ledger has instead, of the wallets that are registered as it.
    """

    reading: ChainReading
    supply: Fraction | None
    escrowed: Fraction | None
    problem: str | None = None
    declared: Fraction | None = None
    seen: bool = False

    @property
    def uncovered(self) -> bool:
        """Whether more claims are out than its escrow holds tokens for, by the figures as they were read."""
        if self.seen:
            return None not in (self.supply, self.escrowed) and _above(self.supply, self.escrowed)
        return self.reading.quantity > (self.reading.escrowed or Fraction(0))

    @property
    def differs(self) -> bool:
        """Whether the ledger has another escrow than its file declares."""
        one, other = self.declared, self.escrowed
        return self.seen and None not in (one, other) and (_above(one, other) or _above(other, one))


def _above(one: Fraction | None, other: Fraction | None) -> bool:
    """Whether a figure is above another by more than carrying it over a multiplier rounds it up."""
    return (one or Fraction(0)) - (other or Fraction(0)) >= Fraction(1, 10**PLACES)


@dataclass(frozen=True, slots=True)
class Opinion:
    """An issuer-wide figure of somebody else's, beside ours."""

    source: str
    as_of: datetime
    circulating: Fraction
    held: Fraction | None


def networks(
    instrument: Instrument,
    readings: Sequence[ChainReading],
    multiplier_at: MultiplierAt,
    at: datetime,
    used: Collection[str] = (),
) -> tuple[NetworkShares, ...]:
    """Return one line for each network that the registry names, and for each other one that was read or used.

    ``used`` are networks, in small letters, of which an order is completed, or where a bridge's message had its
    other side: what lies there is owed; so is one on which a wrapper of the token is. Names are compared, and told, in
    small letters.
    """
    latest: dict[str, ChainReading] = {}
    for reading in readings:
        network = reading.network.lower()
        if reading.mint == instrument.mint and reading.as_of <= at and reading.is_of_network:
            latest[network] = max(latest.get(network, reading), reading, key=lambda r: r.as_of)
    # what a wrapper wraps lies on its network, and is owed there
    wrapped = {r.network for r in readings if r.wrapper and r.mint == instrument.mint and r.as_of <= at} - {SOLANA}
    named = {*(network.lower() for network in instrument.chains), *latest, *used, *wrapped}
    return tuple(_line(instrument, network, latest.get(network), multiplier_at, at) for network in sorted(named))


def wrappers(
    instrument: Instrument,
    readings: Sequence[ChainReading],
    multiplier_at: MultiplierAt,
    at: datetime,
    held: Mapping[str, int | None],
) -> tuple[Wrapped, ...]:
    """Return the latest reading of each wrapper of an instrument's token at an instant, by network and name.

    ``held`` is what the ledger has, raw, in the escrow of each wrapper on our chain that is registered; None: unknown.
    """
    latest: dict[tuple[str, str], ChainReading] = {}
    for reading in readings:
        if reading.wrapper and reading.mint == instrument.mint and reading.as_of <= at:
            key = (reading.network, reading.wrapper)
            latest[key] = max(latest.get(key, reading), reading, key=lambda r: r.as_of)
    found = (_wrapped(instrument, latest[key], multiplier_at, at) for key in sorted(latest))
    return tuple(_seen(instrument, one, held, multiplier_at(at)) for one in found)


def _seen(instrument: Instrument, one: Wrapped, held: Mapping[str, int | None], now: Fraction | None) -> Wrapped:
    """Put what the ledger has in an escrow in the place of what its file declares."""
    if one.reading.network != SOLANA or one.reading.wrapper not in held:
        return one
    raw = held[one.reading.wrapper]
    if raw is None or now is None:
        problem = one.problem or "what its escrow holds is not proven on the ledger"
        return replace(one, escrowed=None, problem=problem, declared=one.escrowed, seen=True)
    return replace(one, escrowed=raw * now / 10**instrument.decimals, declared=one.escrowed, seen=True)


def _wrapped(instrument: Instrument, reading: ChainReading, multiplier_at: MultiplierAt, at: datetime) -> Wrapped:
    held = replace(reading, quantity=reading.escrowed or Fraction(0))
    what = f"{reading.wrapper} on {reading.network}"
    supply, escrow = (_line(instrument, what, r, multiplier_at, at) for r in (reading, held))
    return Wrapped(reading, supply.shares, escrow.shares, supply.problem)


def opinion(instrument: Instrument, readings: Sequence[ChainReading], at: datetime) -> Opinion | None:
    """Return the latest issuer-wide figure at an instant."""
    found = [r for r in readings if r.mint == instrument.mint and r.network == EVERY_NETWORK and r.as_of <= at]
    if not found:
        return None
    last = max(found, key=lambda r: r.as_of)
    return Opinion(last.source, last.as_of, last.quantity - last.issuer_held, last.held)


def _line(
    instrument: Instrument, network: str, reading: ChainReading | None, multiplier_at: MultiplierAt, at: datetime
) -> NetworkShares:
    if reading is None:
        return NetworkShares(network, None, None, code="B8", problem=f"no reading of {network} is known at the cut-off")
    hours = instrument.chain_age_hours_max
    if at - reading.as_of > timedelta(hours=hours):
        problem = (
            f"the reading of {network}, of {instant_text(reading.as_of)}, is over {hours} hours old at the cut-off"
        )
        return NetworkShares(network, None, reading, code="B8", problem=problem)
    then, now = multiplier_at(reading.as_of), multiplier_at(at)
    if then is None or now is None:
        problem = f"the multiplier at the reading of {network} is unknown"
        return NetworkShares(network, None, reading, code="B12", problem=problem)
    if reading.multiplier is not None and not is_same_number(reading.multiplier, then):
        problem = f"{network} has the multiplier {reading.multiplier} at {instant_text(reading.as_of)}, ours is another"
        return NetworkShares(network, None, reading, code="A7", problem=problem)
    outside = reading.quantity - reading.issuer_held
    scale = Fraction(1, 10 ** (reading.decimals or 0))
    if reading.unit == "raw":
        return NetworkShares(network, outside * scale * now, reading)
    shares = outside if then == now else Fraction(ceil(outside / then * now * 10**PLACES), 10**PLACES)
    return NetworkShares(network, shares, reading, Fraction(0) if reading.decimals is None else scale)


def is_same_number(text: str, value: Fraction) -> bool:
    """Whether a number as it is written is the exact one, or names the same double: a rounder one is another."""
    said = Fraction(text)
    return said == value or Fraction(float(said)) == value
