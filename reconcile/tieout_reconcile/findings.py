"""Findings: what a person must look at, named one by one, with keys that stay the same across runs. Pure.

Codes follow the break taxonomy: A ledger against chain, B supply against custody, C orders, D wallets.
A break must be worked off; a notice explains itself (a holder's burn, a seizure) and is shown.
"""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace
from datetime import datetime
from fractions import Fraction
from typing import Any

import msgspec

from tieout_reconcile.canonical import Raw
from tieout_reconcile.crossings import Crossing, Kind
from tieout_reconcile.exact import decimal_text, rounded_text
from tieout_reconcile.files import shown
from tieout_reconcile.fitting import falls_short, fits
from tieout_reconcile.liability import Tolerance
from tieout_reconcile.matching import Match, Matching, Mismatch, memo_references
from tieout_reconcile.orders import Order
from tieout_reconcile.registry import Instrument, Role, instant_text
from tieout_reconcile.results import CustodyLine, Finding, TradeLine
from tieout_reconcile.told_twice import TwiceLine
from tieout_reconcile.trades import Trade

SHOWN_PLACES = 9
EVERY = "*"
"""The symbol of a finding that is about no one instrument."""

NAMES = {
    "A1": "GAP",
    "A2": "DUPLICATE",
    "A3": "UNDECODED",
    "A4": "ORPHANED",
    "A5": "SUPPLY_DRIFT",
    "A6": "BALANCE_DRIFT",
    "A7": "SOURCE_DISAGREE",
    "A8": "HIDDEN_BALANCE",
    "A9": "AUTHORITY_ACTION",
    "B1": "UNDER_BACKED",
    "B2": "OVER_BACKED",
    "B3": "UNSETTLED",
    "B4": "CORPORATE_ACTION_WINDOW",
    "B5": "STALE_STATEMENT",
    "B6": "MISSING_POSITION",
    "B7": "UNMAPPED_IDENTIFIER",
    "B8": "OTHER_CHAIN_UNKNOWN",
    "B9": "ROUNDING",
    "B10": "ENCUMBERED",
    "B11": "MULTIPLIER_REPLAY_MISMATCH",
    "B12": "MULTIPLIER_UNKNOWN",
    "B13": "STEP_UNANNOUNCED",
    "B14": "STEP_BACKDATED",
    "B15": "STEP_OVERRIDDEN",
    "B16": "ACTION_NOT_APPLIED",
    "B17": "STEP_WRONG_RATE",
    "B18": "ACTION_NOT_BOOKED",
    "B19": "DIVIDEND_CASH_DIFFERS",
    "B20": "RECALL_OVERDUE",
    "B21": "WRAPPER_UNBACKED",
    "C1": "MINT_NO_DEPOSIT",
    "C2": "DEPOSIT_NO_MINT",
    "C3": "BURN_NO_WITHDRAWAL",
    "C4": "WITHDRAWAL_NO_BURN",
    "C5": "QTY_MISMATCH",
    "C6": "FEE",
    "C7": "DUPLICATE_REF",
    "C8": "LATE",
    "C9": "WRONG_PARTY",
    "C10": "BRIDGE_UNPAIRED",
    "C11": "SPLIT_INCOMPLETE",
    "C12": "REJECTED_BUT_MINTED",
    "C13": "UNPAID",
    "C14": "OVERPAID",
    "C15": "PAYMENT_NO_ORDER",
    "C16": "PAYMENT_CURRENCY",
    "C17": "PAYMENT_DIFFERS",
    "C18": "PAYMENT_NOT_ON_CHAIN",
    "D1": "UNLABELLED_LARGE",
    "D2": "VENUE_STATEMENT_DIFF",
    "D3": "LABEL_CHANGED",
    "D4": "OMNIBUS_BELOW_LIABILITIES",
    "D5": "SUM_NOT_SUPPLY",
}

_DID = {
    Kind.RELEASE: "released from {ours} to {theirs}",
    Kind.OUTSIDE_MINT: "minted straight to {theirs}",
    Kind.RETURN: "returned by {theirs} to {ours}",
    Kind.HOLDER_BURN: "burned by its holder {theirs}",
    Kind.SEIZURE: "seized from {theirs} into {ours} by the permanent delegate",
    Kind.FORCED_BURN: "burned out of {theirs}'s account by the permanent delegate",
    Kind.OWNER_CHANGE: "changed hands {inout} without a transfer, with token account {account} (other side {theirs})",
    Kind.ROLE_CHANGE: "{crossed} the boundary because the registry changed the role of {account} (owner {theirs})",
    Kind.HIDDEN: "{crossed} the boundary through a hidden or withheld balance of {account}",
}


def shares_text(shares: Fraction | None, instrument: Instrument, raw: int | None = None) -> str:
    """Return a quantity as people read it: ``12.5 shares of AAPLx (1250000000 raw)``."""
    in_shares = "an unknown number of" if shares is None else rounded_text(shares, SHOWN_PLACES)
    in_raw = "" if raw is None else f" ({raw} raw)"
    return f"{in_shares} share{'' if shares == 1 else 's'} of {instrument.symbol}{in_raw}"


def order_text(order: Order, instrument: Instrument) -> str:
    """Return an order as people read it: ``the completed issue order REQ-1 for 250.5 shares of AAPLx``."""
    if order.shares is not None:
        return f"order {order.request_id} to {order.side} {shares_text(order.shares, instrument)}"
    return f"order {order.request_id} to {order.side} {order.raw} raw of {instrument.symbol}"


def finding(
    code: str, instrument: Instrument, anchor: str, summary: str, *, severity: str = "break", **more: Any
) -> Finding:
    """Return a finding; ``anchor`` tells it from others of its code and mint, ``more`` are its other fields."""
    key = "/".join(part for part in (code, instrument.mint, anchor) if part)
    return Finding(key, code, NAMES[code], severity, instrument.symbol, summary, **more)


def figure_finding(
    code: str, instrument: Instrument, anchor: str, summary: str, shares: Fraction | None = None
) -> Finding:
    """Return a break about a figure, not a movement; ``anchor`` tells it from others of its code and mint."""
    return finding(code, instrument, anchor, summary, shares=shares)


def encumbrance_finding(instrument: Instrument, line: CustodyLine) -> Finding:
    """Return the notice of shares that lie in an account and are not free; a shortfall they make is its own break."""
    parts = ", ".join(f"{part.kind} {rounded_text(part.shares, SHOWN_PLACES)}" for part in line.encumbrances)
    place = f"{line.custodian}/{line.account}"
    held = rounded_text(line.aggregate or Fraction(0), SHOWN_PLACES)
    return Finding(
        f"B10/{instrument.mint}/{place}",
        "B10",
        NAMES["B10"],
        "notice",
        instrument.symbol,
        f"{shares_text(line.encumbered, instrument)} of {held} at {place} are encumbered and back nothing ({parts})",
        shares=line.encumbered,
        at=line.as_of,
        details={"load": line.load, "kinds": {part.kind: decimal_text(part.shares) for part in line.encumbrances}},
    )


def rounding_finding(instrument: Instrument, difference: Fraction, tolerance: Tolerance) -> Finding:
    """Return the notice of a difference within the tolerance: counted and shown, never hidden."""
    side = "more" if difference > 0 else "fewer"
    text = f"{difference_text(difference, instrument)} {side} in custody than owed, within the tolerance"
    details = {"tolerance": tolerance.derivation}
    return finding("B9", instrument, "", text, severity="notice", shares=difference, details=details)


def settlement_finding(instrument: Instrument, difference: Fraction, trades: Sequence[TradeLine]) -> Finding:
    """Return the notice of trades that a custodian evidences, each before its settlement day, in the gap."""
    named = ", ".join(f"{t.reference} {rounded_text(t.shares, SHOWN_PLACES)} on {t.settles_on}" for t in trades)
    total = sum((t.shares for t in trades), Fraction(0))
    gap = difference_text(difference, instrument)
    why = f"{shares_text(total, instrument)} in unsettled trades stand in the gap of {gap}"
    return Finding(
        f"B3/{instrument.mint}", "B3", NAMES["B3"], "notice", instrument.symbol, f"{why}: {named}", shares=total,
        details={"trades": [t.reference for t in trades]},
    )  # fmt: skip


def overdue_finding(instrument: Instrument, trade: Trade) -> Finding:
    """Return the break of a trade that should have settled: it counts no more."""
    what = f"the trade {trade.reference} to {trade.side} {shares_text(trade.quantity, instrument)}"
    text = f"{what} at {trade.custodian}/{trade.account} was to settle on {trade.settles_on} and is still pending"
    return Finding(
        f"B3/{instrument.mint}/{trade.custodian}/{trade.reference}", "B3", NAMES["B3"], "break", instrument.symbol,
        text, shares=trade.signed, at=trade.traded_at,
        details={"reference": trade.reference, "settles_on": trade.settles_on.isoformat()},
    )  # fmt: skip


def twice_finding(instrument: Instrument, line: TwiceLine) -> Finding:
    """Return the notice of a pending trade that something else may tell too, and how it counts until that is known."""
    what = (
        f"the pending trade {line.trade} at {line.custodian}/{line.account} may be what {', '.join(line.others)} tells"
    )
    counts = f"{shares_text(abs(line.shares), instrument)} count once" if line.shares else "it counts on"
    return Finding(
        f"B3/{instrument.mint}/{line.custodian}/{line.trade}/told twice", "B3", NAMES["B3"], "notice",
        instrument.symbol, f"{what}, by its {line.rule}: {counts}; one reference, or the trade date, in both tells it",
        shares=line.shares, details={"reference": line.trade, "others": list(line.others), "rule": line.rule},
    )  # fmt: skip


def movement_findings(
    instrument: Instrument,
    crossings: Sequence[Crossing],
    orders: Sequence[Order],
    matching: Matching,
    as_of: datetime,
    bridged: Collection[str] = (),
) -> Iterator[Finding]:
    """Yield what is wrong or worth knowing about each crossing; ``bridged`` are keys of those that a message is for."""
    matched = {m.crossing.key: m for m in matching.matches}
    repeated = {c.key: o for c, o in matching.duplicates}
    known = {o.request_id: o for o in orders}
    for crossing in crossings:
        if crossing.key in repeated:
            order = repeated[crossing.key]
            why = f"naming {order_text(order, instrument)}, which an earlier movement already filled"
            yield _about(crossing, instrument, "C7", why, order=order)
        elif crossing.key in bridged:
            continue
        elif (match := matched.get(crossing.key)) is None:
            yield from _unmatched(crossing, instrument, known)
        elif match.order is not None and match.refunds is None:
            yield from _wrong_order(match, match.order, instrument, as_of)
    for mismatch in matching.mismatches:
        if not mismatch.partial:
            yield _mismatched(mismatch, instrument, as_of)


def _mismatched(mismatch: Mismatch, instrument: Instrument, as_of: datetime) -> Finding:
    """Tell a wrong fee and a split left unfinished from any other difference in quantity."""
    order, first = mismatch.order, mismatch.crossings[0]
    total = sum(c.raw for c in mismatch.crossings)
    known = all(c.unit is not None for c in mismatch.crossings)
    shares = sum((c.shares or Fraction(0) for c in mismatch.crossings), Fraction(0))
    moved = shares_text(shares if known else None, instrument, total)
    unfinished = len(mismatch.crossings) > 1 and falls_short(order, mismatch.crossings)
    anchor = f"order/{order.request_id}"
    if order.fee and any(
        fits(msgspec.structs.replace(order, fee=fee), mismatch.crossings) for fee in (None, 2 * order.fee)
    ):
        why = f"against {order_text(order, instrument)}, of which a fee of {decimal_text(order.fee)} is kept back: "
        told = _about(first, instrument, "C6", f"{why}in all {moved} moved", order=order, anchor=anchor)
    else:
        why = f"against {order_text(order, instrument)}: in all {moved} moved"
        if unfinished:
            why += f" in {len(mismatch.crossings)} parts, and the order is {order.status_at(as_of)}"
        told = _about(first, instrument, "C11" if unfinished else "C5", why, order=order, anchor=anchor)
    return replace(told, raw=Raw(total), shares=shares if known else None)


def order_findings(
    instrument: Instrument, orders: Sequence[Order], matching: Matching, as_of: datetime
) -> Iterator[Finding]:
    """Yield the completed orders that no movement stands for. Only where the whole chain is known."""
    served = {m.order.request_id for m in matching.matches if m.order is not None}
    signatures = {m.crossing.signature: m.order.request_id for m in matching.matches if m.order is not None}
    for order in sorted(orders, key=lambda o: o.request_id):
        if (
            order.side == "inventory"
            or order.request_id in served
            or order.created_at > as_of
            or order.status_at(as_of) != "completed"
        ):
            continue
        taken_by = signatures.get(order.signature) if order.signature is not None else None
        code = "C7" if taken_by else "C2" if order.side == "issue" else "C4"
        why = (
            f"its transaction {order.signature} already stands for {taken_by}" if taken_by else "no movement of tokens"
        )
        yield Finding(
            f"{code}/{instrument.mint}/order/{order.request_id}",
            code,
            NAMES[code],
            "break",
            instrument.symbol,
            f"{order_text(order, instrument)} is completed, but {why if taken_by else f'{why} stands for it'}",
            raw=None if order.raw is None else Raw(order.raw),
            shares=order.shares,
            at=order.settled_at or order.created_at,
            signature=order.signature,
            request_id=order.request_id,
        )


def _unmatched(crossing: Crossing, instrument: Instrument, known: dict[str, Order]) -> Iterator[Finding]:
    match crossing.kind:
        case Kind.SEIZURE | Kind.FORCED_BURN:
            yield _about(crossing, instrument, "A9", "(cause: forced; it stays owed)", severity="notice")
        case Kind.HOLDER_BURN:
            yield _about(crossing, instrument, "C3", "(cause: dust or holder burn; no longer owed)", severity="notice")
        case Kind.HIDDEN:
            yield _about(crossing, instrument, "A8", "", severity="break" if crossing.outward else "notice")
        case Kind.ROLE_CHANGE:
            yield _about(crossing, instrument, "D3", "")
        case Kind.OPENING:
            return  # what was outside before the ledger began is owed, and nobody's order is known for it
        case _ if crossing.counterparty_role is Role.BRIDGE:
            yield _about(
                crossing, instrument, "C10", "with no counterpart on the other chain" + _memo_hint(crossing, known)
            )
        case _:
            code, side = ("C1", "issue") if crossing.outward else ("C3", "redeem")
            article = "an" if side == "issue" else "a"
            yield _about(crossing, instrument, code, f"without {article} {side} order{_memo_hint(crossing, known)}")


def _memo_hint(crossing: Crossing, known: dict[str, Order]) -> str:
    references = memo_references(crossing.memo)
    if not references:
        return ""
    # anybody may write a memo: it is shown quoted, cut and without control characters
    named, held = shown(references[0]), known.get(references[0])
    if held is None:
        return f" (its memo names {named}, which is no order of this instrument)"
    where = "" if held.is_here else f" on {held.network}"
    return f" (its memo names {named}, an order to {held.side}{where})"


def _wrong_order(match: Match, order: Order, instrument: Instrument, as_of: datetime) -> Iterator[Finding]:
    crossing = match.crossing
    if order.side == "issue" and order.status == "rejected" == order.status_at(as_of):
        yield _about(crossing, instrument, "C12", f"though {order_text(order, instrument)} was rejected", order=order)
    if crossing.counterparty is not None and order.wallet not in (None, crossing.counterparty):
        why = f"while {order_text(order, instrument)} is for {order.wallet}"
        yield _about(crossing, instrument, "C9", why, order=order)


def _about(
    crossing: Crossing,
    instrument: Instrument,
    code: str,
    why: str,
    *,
    severity: str = "break",
    order: Order | None = None,
    anchor: str | None = None,
) -> Finding:
    return Finding(
        f"{code}/{instrument.mint}/{anchor or crossing.key}",
        code,
        NAMES[code],
        severity,
        instrument.symbol,
        " ".join(part for part in (_sentence(crossing, instrument), why, _where(crossing)) if part),
        raw=Raw(crossing.raw),
        shares=crossing.shares,
        at=crossing.at,
        signature=crossing.signature,
        request_id=order.request_id if order else None,
        details={
            "direction": "out" if crossing.outward else "in",
            "kind": str(crossing.kind),
            "counterparty": crossing.counterparty,
            "slot": crossing.position.slot if crossing.position else None,
            "memo": crossing.memo,
        },
    )


def crossing_text(crossing: Crossing, instrument: Instrument) -> str:
    """Return a crossing as people read it: how much went from whom to whom, in which transaction."""
    return f"{_sentence(crossing, instrument)} {_where(crossing)}"


def _sentence(crossing: Crossing, instrument: Instrument) -> str:
    did = _DID[crossing.kind].format(
        ours=f"{crossing.issuer_role} {crossing.account}" if crossing.issuer_role else crossing.account,
        theirs=crossing.counterparty,
        account=crossing.account or "no account",
        crossed="left" if crossing.outward else "entered",
        inout="outwards" if crossing.outward else "inwards",
    )
    return f"{shares_text(crossing.shares, instrument, crossing.raw)} {did}"


def _where(crossing: Crossing) -> str:
    if crossing.position is None:
        return f"at {instant_text(crossing.at)}"
    if crossing.signature is None:
        return f"before the ledger begins at slot {crossing.position.slot}"
    return f"in transaction {crossing.signature} at slot {crossing.position.slot}"


def difference_text(difference: Fraction, instrument: Instrument) -> str:
    """Return a shortfall or surplus, exact when it is short enough to read."""
    exact = decimal_text(abs(difference))
    figure = exact if len(exact) <= 2 * SHOWN_PLACES else rounded_text(abs(difference), SHOWN_PLACES)
    return f"{figure} shares of {instrument.symbol}"
