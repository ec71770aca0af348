"""Payments in stablecoins held against the chain: what a payment's transaction moved, where the ledger reads its mint.

A payment that names a signature names its evidence. The registry says which mint a currency's token has; where the
ledger knows that mint's transfers around the payment, the named wallets' own flow in that transaction has to be the
amount, within a day of ``paid_at``. One transaction counts once: what all payments say that it moved for a wallet is
held against what it moved. What nobody can know stays unchecked, which is weaker evidence and no break. Pure.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from fractions import Fraction

from tieout_idl import base58
from tieout_reconcile.exact import decimal_text
from tieout_reconcile.facts import Movement
from tieout_reconcile.findings import EVERY, NAMES
from tieout_reconcile.inputs import Business
from tieout_reconcile.payments import Payment
from tieout_reconcile.registry import PaymentToken, Registry, instant_text
from tieout_reconcile.results import Finding, PaymentCheck

WINDOW = timedelta(days=1)
"""How far a block's time may lie from a payment's ``paid_at``, which many systems tell by the day."""
EQUAL, DIFFERENT, MISSING, UNCHECKED = "equal", "different", "missing", "unchecked"
_SIGNS = {"in": 1, "out": -1}


@dataclass(frozen=True, slots=True)
class TokenChain:
    """What the ledger knows of a payment token up to the cut-off: the transfers of the transactions that are named.

    ``covered``: one proven range reaches the cut-off's slot. ``born``: the mint was created in it, so nothing was
    before. ``since``: the first transfer in it; from there on every transfer is known.
    """

    covered: bool
    born: bool
    since: datetime | None
    transfers: tuple[Movement, ...]

    def knows(self, paid_at: datetime, at: datetime) -> bool:
        """Whether a transfer within the window of a payment would be known at the cut-off."""
        begun = self.born or (self.since is not None and self.since <= paid_at - WINDOW)
        return self.covered and begun and paid_at + WINDOW <= at


def token_chain(
    coverage: Iterable[tuple[int, int]], born: Iterable[int], moved: Sequence[Movement], named: set[str], slot: int
) -> TokenChain:
    """Return what is known of a token; ``born`` are slots of its creation, ``moved`` its transfers in their order."""
    span = next(((first, last) for first, last in coverage if first <= slot <= last), None)
    if span is None:
        return TokenChain(False, False, None, tuple(m for m in moved if m.signature in named))
    inside = [m for m in moved if span[0] <= m.position.slot <= slot and m.kind != "opening"]
    return TokenChain(
        True,
        any(span[0] <= one <= slot for one in born),
        inside[0].at if inside else None,
        tuple(m for m in moved if m.signature in named),
    )


def named_signatures(business: Business) -> set[str]:
    """Return the transactions that payments name."""
    return {p.signature for p in business.payments if p.signature is not None}


def transactions_asked(token: PaymentToken, business: Business, at: datetime | None) -> frozenset[str]:
    """Return the transactions that payments in a token by the cut-off name: those that are held against the chain."""
    paid = (p for p in business.payments if p.currency == token.currency and at is not None and p.paid_at <= at)
    return frozenset(p.signature for p in paid if p.signature is not None)


def tokens_named(registry: Registry, business: Business) -> list[PaymentToken]:
    """Return the payment tokens of which a payment names a transaction, in the registry's order."""
    paid = {p.currency for p in business.payments if p.signature is not None}
    return [token for token in registry.payment_tokens if token.currency in paid]


def check_payments(
    payments: Iterable[Payment], registry: Registry, chains: Mapping[str, TokenChain], at: datetime | None
) -> tuple[PaymentCheck, ...]:
    """Return how each payment by the cut-off that names a transaction stands to the chain, by reference."""
    asked = [p for p in payments if p.signature is not None and at is not None and p.paid_at <= at]
    tokens = {t.currency: t for t in registry.payment_tokens}
    told = _told(asked)
    return tuple(
        _checked(payment, tokens.get(payment.currency), chains, told, at)
        for payment in sorted(asked, key=lambda p: p.reference)
        if at is not None
    )


_Place = tuple[str, str, str]
"""A transaction, a currency and a wallet."""


def _told(payments: Iterable[Payment]) -> dict[_Place, Fraction]:
    """What all payments together say that a transaction moved into (above zero) or out of a wallet."""
    told: dict[_Place, Fraction] = {}
    for payment in payments:
        for wallet, amount in _wallets(payment):
            place = (payment.signature or "", payment.currency, wallet)
            told[place] = told.get(place, Fraction(0)) + amount
    return told


def _wallets(payment: Payment) -> Iterator[tuple[str, Fraction]]:
    """The addresses that a payment names, ours and the other side's, with what flowed into each."""
    amount = payment.amount * _SIGNS[payment.direction]
    for name, flow in ((payment.account, amount), (payment.counterparty, -amount)):
        if name is not None and _is_address(name):
            yield name, flow


def _is_address(text: str) -> bool:
    try:
        base58.public_key(text)
    except ValueError:
        return False
    return True


def _checked(
    payment: Payment, token: PaymentToken | None, chains: Mapping[str, TokenChain], told: Mapping[_Place, Fraction],
    at: datetime,
) -> PaymentCheck:  # fmt: skip
    chain = None if token is None else chains.get(token.mint)
    if token is None:
        return _check(payment, UNCHECKED, f"the registry names no mint for {payment.currency}")
    moved = [m for m in chain.transfers if m.signature == payment.signature] if chain is not None else []
    if chain is not None and not moved and chain.knows(payment.paid_at, at):
        return _check(payment, MISSING, f"no transfer of {payment.currency} is in it, and every one is known")
    if not moved:
        return _check(payment, UNCHECKED, "its mint is not read from a day before the payment to a day after it")
    wallets = list(_wallets(payment))
    if not wallets:
        return _check(payment, UNCHECKED, "it names no wallet: give the address as account or counterparty", moved[0])
    for wallet, _ in wallets:
        said = told[payment.signature or "", payment.currency, wallet]
        found = Fraction(_flow(moved, wallet), 10**token.decimals)
        if said != found:
            return _check(payment, DIFFERENT, None, moved[0], wallet, said, found)
    if abs(moved[0].at - payment.paid_at) > WINDOW:
        return _check(payment, DIFFERENT, f"the transfer was at {instant_text(moved[0].at)}", moved[0])
    return _check(payment, EQUAL, None, moved[0])


def _check(
    payment: Payment, state: str, why: str | None, moved: Movement | None = None, wallet: str | None = None,
    said: Fraction | None = None, found: Fraction | None = None,
) -> PaymentCheck:  # fmt: skip
    assert payment.signature is not None, "only such payments are checked"
    return PaymentCheck(
        payment.reference, payment.request_id, payment.direction, payment.amount, payment.currency, payment.paid_at,
        payment.signature, state, None if moved is None else moved.at, wallet, said, found, why,
    )  # fmt: skip


def _flow(moved: Iterable[Movement], wallet: str) -> int:
    """What transfers moved into a wallet, an owner or one token account, less what they moved out; raw."""
    flow = 0
    for m in moved:
        flow += m.amount - m.fee if wallet in (m.destination, m.destination_owner) else 0
        flow -= m.amount if wallet in (m.source, m.source_owner) else 0
    return flow


def payment_findings(checks: Iterable[PaymentCheck]) -> Iterator[Finding]:
    """Yield the payments that the chain does not bear out; what is unchecked is none."""
    for check in checks:
        if check.state in (DIFFERENT, MISSING):
            yield _finding(check, "C17" if check.state == DIFFERENT else "C18")


def _finding(check: PaymentCheck, code: str) -> Finding:
    way = "in" if check.direction == "in" else "out"
    text = f"payment {check.reference} says that {decimal_text(check.amount)} {check.currency} went {way} at "
    text += f"{instant_text(check.paid_at)} by transaction {check.signature}"
    text += f": {check.told}"
    details = {"reference": check.reference, "amount": decimal_text(check.amount), "currency": check.currency,
               "wallet": check.wallet, "said": None if check.said is None else decimal_text(check.said),
               "found": None if check.found is None else decimal_text(check.found)}  # fmt: skip
    return Finding(
        f"{code}/payment/{check.reference}", code, NAMES[code], "break", EVERY, text, at=check.paid_at,
        signature=check.signature, request_id=check.request_id, details=details,
    )  # fmt: skip
