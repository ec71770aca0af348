"""What a batch's hash is over: the digests of its parts, whatever order the rows come in, and nothing else."""

import hashlib
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from tieout_database.content import (
    COLUMNS,
    DETACHABLE,
    OF_A_MINT,
    encoded,
    lines_of,
    parted_hash,
    parts_of,
    whole_hash,
)

MINTS = ("mintA", "mintB")
TRACKED = st.tuples(st.sampled_from(MINTS), st.integers(0, 2**63 - 1))
SLOTS = st.tuples(st.integers(0, 9), st.none(), st.text(max_size=4), st.text(max_size=4), st.none(), st.integers(0, 9))
TABLES = st.fixed_dictionaries({"tracked_row": st.lists(TRACKED), "slot_row": st.lists(SLOTS)})
Tables = dict[str, list[tuple[Any, ...]]]


@given(TABLES, st.randoms())
def test_the_order_of_rows_makes_no_difference(tables: Tables, chance: Any) -> None:
    mixed = {name: chance.sample(rows, len(rows)) for name, rows in reversed(tables.items())}
    assert parts_of(mixed) == parts_of(tables)
    assert whole_hash(mixed) == whole_hash(tables)


@given(TABLES)
def test_a_part_is_the_rows_of_one_table_and_one_mint_and_its_digest_can_be_made_from_them_alone(
    tables: Tables,
) -> None:
    told = [line.split(" ") for line in parts_of(tables).decode().splitlines()]
    wanted = [
        ("tracked_row", mint, [row for row in tables["tracked_row"] if row[0] == mint])
        for mint in MINTS
        if any(row[0] == mint for row in tables["tracked_row"])
    ]
    wanted = ([("slot_row", "-", tables["slot_row"])] if tables["slot_row"] else []) + wanted
    assert [(table, mint) for table, mint, _ in told] == [(table, mint) for table, mint, _ in wanted]
    for (_, _, digest), (table, _, rows) in zip(told, wanted, strict=True):
        assert digest == hashlib.sha256(lines_of(encoded(table, rows))).hexdigest()


@given(TABLES, TABLES)
def test_two_contents_have_one_hash_only_where_they_hold_the_same(one: Tables, other: Tables) -> None:
    same = all(sorted(map(repr, one[name])) == sorted(map(repr, other[name])) for name in one)
    assert (parted_hash(parts_of(one)) == parted_hash(parts_of(other))) == same


@given(TABLES)
def test_no_content_hashes_alike_by_both_rules(tables: Tables) -> None:
    assert parted_hash(parts_of(tables)) != whole_hash(tables)


def test_evidence_is_hashed_without_its_body_which_may_move_to_files() -> None:
    row = (7, 0, "json", "node", b"digest", b"body")
    moved = (*row[:-1], b"")
    assert encoded("evidence_row", [row]) == encoded("evidence_row", [moved])
    assert encoded("evidence_row", [row]) != encoded("evidence_row", [(8, *row[1:])])


def test_the_parted_tables_name_their_mint() -> None:
    assert all("mint" in COLUMNS[table] for table in OF_A_MINT)
    assert all(COLUMNS[table][-len(names) :] == names for table, names in DETACHABLE.items())
