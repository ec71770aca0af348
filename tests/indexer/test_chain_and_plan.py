"""Links and ranges: pure rules, held by properties."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from tieout_indexer.chain import Anchor, MissingParent, Unlinked, link, merge, missing, plan
from tieout_indexer.model import BlockHeader

ranges = st.lists(st.tuples(st.integers(0, 60), st.integers(0, 20)).map(lambda r: (r[0], r[0] + r[1])), max_size=8)


def header(slot: int, parent: int, previous: str = "p") -> BlockHeader:
    return BlockHeader(slot, parent, f"h{slot}", previous, None, 0)


def test_a_block_that_names_the_last_one_is_linked_whatever_was_skipped() -> None:
    assert link(Anchor(5, "p"), 0, header(9, 5)) is None


def test_the_genesis_block_is_its_own_parent() -> None:
    assert link(None, 0, header(0, 0)) is None


def test_a_block_that_names_an_unseen_block_of_the_range_asks_for_it() -> None:
    assert link(Anchor(5, "p"), 3, header(9, 7)) == MissingParent(7)
    assert link(None, 3, header(9, 3)) == MissingParent(3)


def test_the_first_block_of_a_range_reaches_back_before_it() -> None:
    assert link(None, 3, header(9, 2)) is None
    assert link(Anchor(1, "x"), 3, header(9, 2)) is None


def test_a_block_over_an_accepted_one_or_with_another_hash_or_from_the_future_is_not_linked() -> None:
    assert isinstance(link(Anchor(5, "p"), 0, header(9, 4)), Unlinked)
    assert isinstance(link(Anchor(5, "p"), 0, header(9, 5, "other")), Unlinked)
    assert isinstance(link(Anchor(5, "p"), 0, header(9, 9)), Unlinked)


def slots(found: list[tuple[int, int]]) -> set[int]:
    return {slot for start, end in found for slot in range(start, end + 1)}


@given(ranges)
def test_merged_ranges_are_disjoint_apart_and_cover_the_same_slots(given_ranges: list[tuple[int, int]]) -> None:
    merged = merge(given_ranges)
    assert slots(merged) == slots(given_ranges)
    assert all(a_end + 1 < b_start for (_, a_end), (b_start, _) in pairwise(merged))


@given(st.integers(0, 60), st.integers(0, 30), ranges)
def test_what_is_missing_and_what_is_had_make_the_whole(start: int, length: int, have: list[tuple[int, int]]) -> None:
    wanted = (start, start + length)
    assert slots(missing(wanted, have)) == slots([wanted]) - slots(have)


@given(
    st.integers(0, 40),
    st.integers(0, 30),
    st.dictionaries(st.sampled_from("ABC"), ranges, min_size=1),
    st.integers(1, 9),
)
def test_a_plan_reads_each_missing_slot_once_for_just_the_mints_that_lack_it(
    start: int, length: int, have: dict[str, list[tuple[int, int]]], window: int
) -> None:
    wanted = (start, start + length)
    segments = plan(wanted, have, window)
    for mint, ranges_ in have.items():
        mine = [(s.from_slot, s.to_slot) for s in segments if mint in s.mints]
        assert slots(mine) == slots(missing(wanted, ranges_))
        assert sum(end - first + 1 for first, end in mine) == len(slots(mine))
    assert all(0 <= s.to_slot - s.from_slot < window for s in segments)
    assert [s.from_slot for s in segments] == sorted(s.from_slot for s in segments)
