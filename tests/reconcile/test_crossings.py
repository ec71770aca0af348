"""The walk along a mint's chain: what it finds sums to what is outside, whoever was who in between."""

from dataclasses import dataclass
from datetime import datetime
from fractions import Fraction

from hypothesis import given
from hypothesis import strategies as st

from reconcile.builders import address, at
from tieout_reconcile.crossings import RoleBook, find_crossings
from tieout_reconcile.facts import Movement, Position
from tieout_reconcile.registry import EVERY_INSTRUMENT, ISSUER_ROLES, Registry, Role, Wallet

OWNERS = [address(f"owner {n}") for n in range(3)]
UNTIL = at(100)


@dataclass(frozen=True)
class Told:
    """One movement to be: how much from where to where (None: minted, or burned), handed to which owner, when."""

    amount: int
    source: int | None
    destination: int | None
    owner: int
    minutes: int


entries = st.builds(
    lambda owner, role, start, length: Wallet(
        OWNERS[owner], "owner", role, EVERY_INSTRUMENT, at(start), None if length is None else at(start + length),
        "test", None,
    ),
    st.integers(0, 2), st.sampled_from([Role.TREASURY, Role.INVENTORY, Role.REDEMPTION, Role.AFFILIATE]),
    st.integers(0, 60), st.none() | st.integers(1, 40),
)  # fmt: skip
told = st.builds(
    Told, st.integers(1, 9), st.none() | st.integers(0, 3), st.none() | st.integers(0, 3), st.integers(0, 2),
    st.integers(0, 90),
)  # fmt: skip


def movements_of(plan: list[Told]) -> list[Movement]:
    """The movements that can be: nobody gives what he does not hold, and the clock never goes back."""
    held, owners, rows = [0, 0, 0, 0], [OWNERS[n % 3] for n in range(4)], []
    for n, one in enumerate(sorted(plan, key=lambda one: one.minutes)):
        source, destination = one.source, one.destination
        if source == destination or (source is not None and held[source] < one.amount):
            continue
        for side, sign in ((source, -1), (destination, 1)):
            if side is not None:
                held[side] += sign * one.amount
        if destination is not None:
            owners[destination] = OWNERS[one.owner]
        kind = "mint" if source is None else "burn" if destination is None else "transfer"
        (a, a_owner), (b, b_owner) = (
            (None, None) if side is None else (f"account {side}", owners[side]) for side in (source, destination)
        )
        rows.append(
            Movement(
                Position(n, 0, 0, -1), at(one.minutes), f"s{n}", kind, a, a_owner, b, b_owner, None, "owner",
                one.amount, 0, None,
            )
        )  # fmt: skip
    return rows


def outside_of(rows: list[Movement], book: RoleBook, until: datetime) -> tuple[int, int]:
    """What there is, and what of it lies in accounts that are not the issuer's at an instant."""
    held: dict[str, int] = {}
    owners: dict[str, str | None] = {}
    for row in rows:
        for account, owner, amount in (
            (row.source, row.source_owner, -row.amount), (row.destination, row.destination_owner, row.amount),
        ):  # fmt: skip
            if account is not None:
                held[account], owners[account] = held.get(account, 0) + amount, owner
    ours = [n for account, n in held.items() if book.role(account, owners[account], until) in ISSUER_ROLES]
    return sum(held.values()), sum(held.values()) - sum(ours)


@given(st.lists(entries, max_size=5), st.lists(told, max_size=25))
def test_crossings_sum_to_what_lies_outside_whoever_was_who_in_between(wallets: list[Wallet], plan: list[Told]) -> None:
    rows, book = movements_of(plan), RoleBook(Registry((), tuple(wallets), ()), "AAPLx")
    found = find_crossings(rows, [], book, lambda *_: Fraction(1), UNTIL)
    supply, outside = outside_of(rows, book, UNTIL)
    assert (found.supply, found.outside) == (supply, outside)
    assert sum(c.raw if c.outward else -c.raw for c in found.found) == outside
    assert supply - outside == sum(found.issuer_balances.values())
