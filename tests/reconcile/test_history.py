"""A closed history says of each slot what a walk to that slot says, whatever crossed and was ordered."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from fractions import Fraction

from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st

from reconcile.builders import MINT, ONE, REGISTRY, address, at, memo
from tieout_reconcile.crossings import RoleBook, find_crossings
from tieout_reconcile.facts import Movement, Position
from tieout_reconcile.files import InputFile
from tieout_reconcile.history import CHUNK_STEPS, History, Step, closed_history, micros, step_at, unpack
from tieout_reconcile.liability import last_completed, quantities, still_owed
from tieout_reconcile.matching import match
from tieout_reconcile.orders import Order
from tieout_reconcile.registry import Registry
from tieout_reconcile.registry_file import parse_registry

SLOTS = 40
TREASURY, REDEMPTION = address("treasury"), address("redemption")
# a wallet that becomes the issuer's in mid-life, with what is in it
LATE_WALLET = address("late")
UNIT = Fraction(1, ONE)


def registry() -> Registry:
    text = REGISTRY + (
        f'[[wallets]]\nowner = "{LATE_WALLET}"\nrole = "treasury"\nvalid_from = {at(20).isoformat()}\nsource = "s"\n'
    )
    return parse_registry(InputFile("registry.toml", text.encode()))


@dataclass(frozen=True)
class Story:
    movements: tuple[Movement, ...]
    orders: tuple[Order, ...]


@st.composite
def stories(draw: st.DrawFn) -> Story:
    """Movements of a few wallets in slots of a second, two slots sharing one, and orders about most of them."""
    movements, orders = [], []
    slots = sorted(draw(st.lists(st.integers(1, SLOTS), min_size=1, max_size=14)))
    for n, slot in enumerate(slots):
        kind = draw(st.sampled_from(
            ["treasury mint", "release", "release", "return", "return", "outside mint", "burn", "seizure", "late"]
        ))  # fmt: skip
        wallet = address(draw(st.sampled_from(["alice", "bob"])))
        raw = draw(st.sampled_from([3, 5, 7, 7, 9, 11])) * ONE
        side = "issue" if kind in ("release", "outside mint") else "redeem"
        named = draw(st.sampled_from(["memo"] * 6 + ["quantity"] * 3 + ["nothing"]))
        if kind in ("release", "return", "outside mint", "burn") and named != "nothing":
            made = at(slot) + timedelta(seconds=draw(st.sampled_from([-9, -9, -9, -1, -1, 3])))
            settled = draw(st.sampled_from([None, 0, 2, 8]))
            orders.append(
                Order(
                    n, f"R{n}", side, MINT, None, raw * draw(st.sampled_from([1] * 9 + [2])),
                    "completed" if settled is not None else "pending",
                    draw(st.sampled_from([wallet, None])), None, made,
                    None if settled is None else made + timedelta(seconds=settled),
                )
            )  # fmt: skip
        words = memo(side, f"R{draw(st.sampled_from([n] * 9 + [0]))}") if named == "memo" else None
        movements.append(_movement(kind, Position(slot, n, 0, -1), raw, wallet, words))
    return Story(tuple(movements), tuple(orders))


def _movement(kind: str, place: Position, raw: int, wallet: str, words: str | None) -> Movement:
    sides: dict[str, tuple[str, str | None, str | None]] = {
        "treasury mint": ("mint", None, TREASURY), "outside mint": ("mint", None, wallet),
        "release": ("transfer", TREASURY, wallet), "return": ("transfer", wallet, REDEMPTION),
        "burn": ("burn", wallet, None), "seizure": ("transfer", wallet, REDEMPTION),
        "late": ("transfer", TREASURY, LATE_WALLET),
    }  # fmt: skip
    what, source, destination = sides[kind]
    when = at(place.slot // 2 * 2)
    return Movement(
        place, when, f"s{place.tx_index}", what, source and f"of {source}", source, destination and f"of {destination}",
        destination, None, "permanent_delegate" if kind == "seizure" else "owner", raw, 0, words,
    )  # fmt: skip


def history_of(story: Story, book: RoleBook, last: datetime) -> History | None:
    walked = find_crossings(story.movements, (), book, lambda slot, when: UNIT, last)
    return closed_history(walked, match(story.orders, walked.found, last), story.orders, book.changes(), last)


def walked_to(story: Story, book: RoleBook, slot: int, when: datetime) -> tuple[int, int, int, int]:
    """(supply, outside, returned, forced) as a run as of the slot has them."""
    known = [m for m in story.movements if m.position.slot <= slot]
    walked = find_crossings(known, (), book, lambda slot, when: UNIT, when)
    owed = still_owed(walked.found, match(story.orders, walked.found, when), when)
    totals = quantities(walked.supply, {}, owed, walked.found)
    return walked.supply, walked.outside, totals.owed_returns, totals.owed_forced


@given(stories())
@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_a_closed_history_says_of_each_slot_what_a_walk_to_it_says(story: Story) -> None:
    book = RoleBook(registry(), "AAPLx")
    history = history_of(story, book, at(SLOTS))
    event(f"closed: {history is not None}")
    if history is None:
        return
    for slot in range(SLOTS + 1):
        when = at(slot // 2 * 2)
        step = step_at(history.packed, slot, when)
        assert step[2:6] == walked_to(story, book, slot, when), slot
        done = last_completed(story.orders, when)
        assert step.ordered == (0 if done is None else micros(done)), slot


def told(*movements: Movement, orders: tuple[Order, ...] = ()) -> History | None:
    return history_of(Story(movements, orders), RoleBook(registry(), "AAPLx"), at(SLOTS))


def order(number: int, side: str, raw: int, created: int, settled: int | None, wallet: str | None = None) -> Order:
    status = "pending" if settled is None else "completed"
    done = None if settled is None else at(settled)
    return Order(number, f"R{number}", side, MINT, None, raw, status, wallet, None, at(created), done)


def test_what_came_back_is_owed_from_its_slot_until_its_order_is_booked() -> None:
    mint = _movement("outside mint", Position(2, 0, 0, -1), 9 * ONE, address("alice"), None)
    back = _movement("return", Position(10, 1, 0, -1), 9 * ONE, address("alice"), memo("redeem", "R1"))
    found = told(mint, back, orders=(order(1, "redeem", 9 * ONE, 8, 14),))
    assert found is not None
    steps = {slot: step_at(found.packed, slot, at(slot)) for slot in (1, 2, 9, 10, 13, 14)}
    owed = [(s.outside // ONE, s.returned // ONE) for s in steps.values()]
    assert owed == [(0, 0), (9, 0), (9, 0), (0, 9), (0, 9), (0, 0)]


def test_a_return_without_an_order_keeps_the_history_open() -> None:
    back = _movement("return", Position(10, 1, 0, -1), 9 * ONE, address("alice"), None)
    mint = _movement("outside mint", Position(2, 0, 0, -1), 9 * ONE, address("alice"), None)
    assert told(mint) is not None
    assert told(mint, back) is None


def test_two_orders_of_one_wallet_and_quantity_keep_it_open_unless_they_are_named() -> None:
    alice = address("alice")
    mint = _movement("outside mint", Position(2, 0, 0, -1), 9 * ONE, alice, None)
    back = _movement("return", Position(10, 1, 0, -1), 9 * ONE, alice, None)
    twins = (order(1, "redeem", 9 * ONE, 8, 14, alice), order(2, "redeem", 9 * ONE, 9, 30, alice))
    assert told(mint, back, orders=twins[:1]) is not None
    assert told(mint, back, orders=twins) is None
    named = _movement("return", Position(10, 1, 0, -1), 9 * ONE, alice, memo("redeem", "R2"))
    assert told(mint, named, orders=twins) is not None


def test_a_role_that_will_change_bounds_it() -> None:
    mint = _movement("treasury mint", Position(2, 0, 0, -1), 9 * ONE, "", None)
    book = RoleBook(registry(), "AAPLx")
    assert (found := history_of(Story((mint,), ()), book, at(10))) is not None
    assert found.until == at(20)
    assert (later := history_of(Story((mint,), ()), book, at(20))) is not None
    assert later.until is None


def test_chunks_hold_every_step_and_begin_with_their_own_place() -> None:
    steps = tuple(Step(n, n % 7, 2**64 - 1 - n, n, 0, n) for n in range(2 * CHUNK_STEPS + 3))
    chunks = list(History.of(steps, None).chunks())
    assert [len(unpack(packed)) for _, _, packed in chunks] == [CHUNK_STEPS, CHUNK_STEPS, 3]
    assert tuple(step for *_, packed in chunks for step in unpack(packed)) == steps
    assert all((at_, slot) == unpack(packed)[0][:2] for at_, slot, packed in chunks)
