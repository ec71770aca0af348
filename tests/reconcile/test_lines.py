"""Crossing lines are written as canonical JSON at once, packed, and read back as they were."""

import json
from dataclasses import replace
from datetime import UTC
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

import tieout_reconcile
from reconcile.builders import ONE, Book, issue, memo
from tieout_reconcile import CrossingLine, CrossingLines, MatchLine, store
from tieout_reconcile.canonical import Raw, canonical_bytes, from_plain, to_plain
from tieout_reconcile.crossing_lines import crossing_lines
from tieout_reconcile.crossings import Crossing, Kind
from tieout_reconcile.facts import Position
from tieout_reconcile.lines import CHUNK_LINES
from tieout_reconcile.matching import Match, Matching
from tieout_reconcile.registry import Role
from tieout_reconcile.results import run_from_json

TEXTS = st.text(max_size=12) | st.sampled_from(['"crossings":[]', "\\", "\n\t\x00\x1f\u2028é", None])
WHEN = st.datetimes(timezones=st.just(UTC))


@st.composite
def crossings(draw: st.DrawFn) -> Crossing:
    place = draw(st.none() | st.builds(Position, st.integers(0, 2**63 - 1), st.integers(0, 9), st.just(0), st.just(-1)))
    multiplier = Fraction(draw(st.floats(2**-20, 2**20)))
    unit = draw(st.sampled_from([None, Fraction(1), Fraction(1, 10**8), multiplier / 10**8]))
    return Crossing(
        draw(st.text(min_size=1)), draw(st.sampled_from(list(Kind))), draw(st.booleans()),
        draw(st.integers(1, 2**64 - 1)), unit, draw(WHEN), place, draw(TEXTS), draw(TEXTS),
        draw(st.sampled_from([None, *Role])), draw(TEXTS), draw(st.sampled_from([None, *Role])), None,
    )  # fmt: skip


@given(st.lists(crossings(), max_size=4, unique_by=lambda c: c.key), st.booleans())
def test_a_line_is_the_canonical_bytes_of_what_it_says(found: list[Crossing], matched: bool) -> None:
    matches = tuple(Match(c, None, "refund", "derived", c.raw, c) for c in found) if matched else ()
    lines = crossing_lines(found, Matching(matches, (), ()), {c.key: 7 for c in found}, {})
    assert len(lines) == len(found)
    for crossing, line in zip(found, lines, strict=True):
        assert (line.raw, line.at, line.shares, line.owed) == (crossing.raw, crossing.at, crossing.shares, 7)
        assert (line.signature, line.account, line.counterparty) == (
            crossing.signature, crossing.account, crossing.counterparty,
        )  # fmt: skip
        assert (line.slot, line.kind) == (crossing.position and crossing.position.slot, str(crossing.kind))
        assert [m.refunds for m in line.matches] == ([crossing.key] if matched else [])
    text = b"[" + b",".join(canonical_bytes(to_plain(line)) for line in lines) + b"]"
    assert [chunk.text() for chunk in lines.chunks] == ([text] if found else [])


def line(number: int) -> CrossingLine:
    told = MatchLine(f"REQ-{number}", "memo", 2, "exact", Raw(number), None)
    plain = {
        "crossing": f"tx/{number}", "kind": "release", "direction": "out", "raw": str(number), "shares": "1.5",
        "at": "2026-11-02T14:00:00Z", "slot": number, "cause": "order", "owed": "0", "matches": [to_plain(told)],
    }  # fmt: skip
    missing = dict.fromkeys(CrossingLine.__slots__)
    return from_plain(CrossingLine, missing | plain)


def test_lines_are_a_sequence_in_chunks() -> None:
    every = [line(n) for n in range(2 * CHUNK_LINES + 1)]
    lines = CrossingLines.from_json([to_plain(one) for one in every])
    assert [chunk.count for chunk in lines.chunks] == [CHUNK_LINES, CHUNK_LINES, 1]
    assert list(lines) == every
    assert (lines[0], lines[CHUNK_LINES], lines[-1]) == (every[0], every[CHUNK_LINES], every[-1])
    assert list(lines[3:5]) == every[3:5]
    with pytest.raises(IndexError):
        lines[len(every)]
    assert lines == CrossingLines.from_json(lines.to_json())
    assert lines != CrossingLines.from_json(lines.to_json()[1:])
    assert [chunk.slots for chunk in lines.chunks] == [(0, 255), (256, 511), (512, 512)]
    assert CrossingLines() == CrossingLines.from_json([])


async def life(book: Book) -> None:
    await book.commit()
    await book.open_mint()
    await book.mint(10, "treasury", 1000 * ONE)
    for n in range(CHUNK_LINES + 3):
        await book.transfer(20 + n, "treasury", '"crossings":[]', ONE, memo=memo("issue", f"REQ-{n}"))
    await book.track(400)
    await book.registry()
    await book.orders(*(issue(f"REQ-{n}", "1") for n in range(CHUNK_LINES + 3)))


@pytest.mark.parametrize("at_once", [1, 64])
async def test_a_run_piece_by_piece_is_the_run_whole_and_comes_back_from_the_database(
    book: Book, at_once: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store, "CHUNKS_AT_ONCE", at_once)
    await life(book)
    run = await book.run()
    assert run.canonical_json() == canonical_bytes(run.to_json())
    assert run_from_json(json.loads(run.canonical_json())).canonical_json() == run.canonical_json()
    stored = await tieout_reconcile.get_run(book.dsn, run.run or 0)
    assert (stored.digest, stored.instruments[0].crossings) == (run.digest, run.instruments[0].crossings)


async def test_what_two_runs_say_alike_is_stored_once_and_queries_see_both(book: Book) -> None:
    await life(book)
    first, second = await book.run(300), await book.run(400)
    assert first.digest != second.digest
    assert await book.db.fetchval("select count(*) from recon.run_lines_row") == 4
    assert await book.db.fetchval("select count(*) from recon.lines_row") == 2
    for run in (first, second):
        rows = await book.db.fetch("select * from recon.crossings where run = $1 order by ordinal", run.run)
        told = [(c.crossing, c.slot, int(c.raw), c.shares, c.at) for c in run.instruments[0].crossings]
        assert [(r["crossing"], r["slot"], int(r["raw"]), r["shares"], r["at"]) for r in rows] == told
        assert [r["ordinal"] for r in rows] == list(range(CHUNK_LINES + 3))
        named = await book.db.fetch("select request_id from recon.matches where run = $1 order by slot", run.run)
        assert [r["request_id"] for r in named] == [f"REQ-{n}" for n in range(CHUNK_LINES + 3)]


async def test_a_run_stored_whole_by_an_earlier_version_still_reads(book: Book) -> None:
    await life(book)
    run = await tieout_reconcile.run(book.dsn, 400, keep=False)
    await book.db.execute(
        "insert into recon.run_row (run, as_of_slot, known_batch, known_load, rules, verdict, breaks, digest, "
        "content_run, body) values (1, 400, 1, 2, $1, $2, 0, $3, 1, $4)",
        run.rules, str(run.verdict), bytes.fromhex(run.digest), run.canonical_json().decode(),
    )  # fmt: skip
    stored = await tieout_reconcile.get_run(book.dsn, 1)
    assert replace(stored, run=None, ran_at=None).canonical_json() == run.canonical_json()
    assert len(stored.instruments[0].crossings) == CHUNK_LINES + 3
