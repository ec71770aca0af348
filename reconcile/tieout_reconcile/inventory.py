"""Mints into the issuer's own wallets against inventory orders. Pure.

An inventory order authorises one mint of its quantity: the one whose memo names it or whose transaction it
names, else the first of the same quantity after the order was made.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from fractions import Fraction
from math import floor

from tieout_reconcile.crossings import RoleBook, UnitAt
from tieout_reconcile.facts import Movement
from tieout_reconcile.matching import memo_references
from tieout_reconcile.orders import Order
from tieout_reconcile.registry import Role

INVENTORY_ROLES = frozenset({Role.TREASURY, Role.INVENTORY})


@dataclass(frozen=True, slots=True)
class Authorised:
    """The outcome: mints that no order covers, that repeat a used order, or that differ from the one they name."""

    unmatched: tuple[Movement, ...]
    repeated: tuple[tuple[Movement, Order], ...]
    wrong: tuple[tuple[Movement, Order], ...]


def match_inventory(
    movements: Sequence[Movement], orders: Sequence[Order], book: RoleBook, unit_at: UnitAt, at: datetime
) -> Authorised:
    """Match one instrument's mints into treasury and inventory, in order, with its inventory orders."""
    allowed = {o.request_id: o for o in orders if o.side == "inventory" and o.status_at(at) == "completed"}
    by_signature = {o.signature: o for o in allowed.values() if o.signature is not None}
    used: set[str] = set()
    loose: list[Movement] = []
    repeated: list[tuple[Movement, Order]] = []
    wrong: list[tuple[Movement, Order]] = []
    for movement in movements:
        if not _is_inventory(movement, book):
            continue
        order = _named(movement, allowed) or by_signature.get(movement.signature)
        if order is None:
            loose.append(movement)
        elif order.request_id in used:
            repeated.append((movement, order))
        else:
            used.add(order.request_id)
            if _raw(order, movement, unit_at) != movement.amount:
                wrong.append((movement, order))
    free = sorted((o for o in allowed.values() if o.request_id not in used and o.signature is None),
                  key=lambda o: (o.created_at, o.request_id))  # fmt: skip
    unmatched = []
    for movement in loose:
        fit = next(
            (o for o in free if o.created_at <= movement.at and _raw(o, movement, unit_at) == movement.amount), None
        )
        if fit is None:
            unmatched.append(movement)
        else:
            free.remove(fit)
    return Authorised(tuple(unmatched), tuple(repeated), tuple(wrong))


def _is_inventory(movement: Movement, book: RoleBook) -> bool:
    role = book.role(movement.destination, movement.destination_owner, movement.at)
    return movement.kind == "mint" and role in INVENTORY_ROLES


def _named(movement: Movement, orders: dict[str, Order]) -> Order | None:
    bare = {line for line in (movement.memo or "").split("\n") if line in orders}
    return next((orders[r] for r in sorted(bare | set(memo_references(movement.memo))) if r in orders), None)


def _raw(order: Order, movement: Movement, unit_at: UnitAt) -> int | None:
    if order.raw is not None:
        return order.raw
    unit: Fraction | None = unit_at(movement.position.slot, movement.at)
    return None if unit is None or order.shares is None else floor(order.shares / unit)
