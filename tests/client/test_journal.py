"""The journal alone: what it keeps, what it refuses, and who was first."""

import asyncio
import multiprocessing
import os
import sqlite3
from contextlib import closing
from functools import partial

import pytest

from tieout_client import BadInput, Journal, JournalUnavailable, OverLimit, Request
from tieout_client.grouping import GroupedWrites

CHAIN = "genesis"


def request(request_id="r-1", raw=5, **details):
    return Request(kind="issue", request_id=request_id, mint="M", raw=raw, details={"to": "alice"} | details)


def signed(signature):
    return {
        "signature": signature, "transaction_bytes": b"\x01", "blockhash": "h", "last_valid_block_height": 9,
        "fetched_slot": 3, "guard": None, "guard_lamports": 0,
    }  # fmt: skip


def record(journal, asked, signature, after=0, day_max=None):
    return journal.record(CHAIN, asked, signed(signature), after=after, day_max=day_max)


def test_what_is_recorded_is_there_for_the_next_process(tmp_path):
    path = tmp_path / "deep" / "journal.sqlite"
    first = Journal(path)
    made = record(first, request(raw=2**64 - 1), "s1")
    first.mark(made, "sent")
    first.mark(made, "landed", slot=7)
    found = Journal(path).find(CHAIN, request(raw=2**64 - 1))
    assert (found.signature, found.state, found.slot, found.attempt, found.amount) == ("s1", "landed", 7, 1, 2**64 - 1)
    assert Journal(path).find("another chain", request()) is None
    assert path.stat().st_mode & 0o777 == 0o600


def test_it_writes_ahead_and_waits_for_the_disk(tmp_path):
    journal = Journal(tmp_path / "j")
    assert journal._db.execute("pragma journal_mode").fetchone()[0] == "wal"
    assert journal._db.execute("pragma synchronous").fetchone()[0] == 2


def test_the_second_to_sign_gets_the_first_one_s_transaction(tmp_path):
    one, two = Journal(tmp_path / "j"), Journal(tmp_path / "j")
    assert record(one, request(), "s1").signature == "s1"
    assert record(two, request(), "s2").signature == "s1"
    assert [e.signature for e in one.entries()] == ["s1"]
    assert record(two, request(), "s2", after=1).attempt == 2


def test_other_parameters_under_the_same_id_are_refused_naming_both(tmp_path):
    journal = Journal(tmp_path / "j")
    record(journal, request(), "s1")
    both = "was signed before with mint M, raw 5, to alice, and now comes with mint M, raw 6, to alice: give"
    with pytest.raises(BadInput, match=both):
        journal.find(CHAIN, request(raw=6))
    with pytest.raises(BadInput, match="to bob"):
        record(journal, request(to="bob"), "s2")


def test_a_day_has_a_limit_and_dead_transactions_do_not_count(tmp_path):
    journal = Journal(tmp_path / "j")
    gone = record(journal, request("a", 60), "s1", day_max=100)
    with pytest.raises(OverLimit, match="60 raw of M went out by issue in the last 24 hours, 41 more exceed"):
        record(journal, request("b", 41), "s2", day_max=100)
    record(journal, request("b", 40), "s3", day_max=100)
    journal.mark(gone, "dead")
    record(journal, request("c", 60), "s4", day_max=100)


def test_open_entries_are_those_without_an_outcome(tmp_path):
    journal = Journal(tmp_path / "j")
    for number, state in enumerate(("signed", "sent", "landed", "failed", "dead")):
        made = record(journal, request(f"r{number}"), f"s{number}")
        journal.mark(made, state, error="why" if state == "failed" else None)
    assert [e.state for e in journal.entries(open_only=True)] == ["signed", "sent"]
    assert len(journal.entries(CHAIN)) == 5
    assert journal.entries("another") == []


def test_a_file_that_is_no_journal_is_refused(tmp_path):
    bad = tmp_path / "bad"
    bad.write_bytes(b"not a database, and long enough to be looked at" * 40)
    bad.chmod(0o600)
    with pytest.raises(BadInput, match="is no journal"):
        Journal(bad)
    newer = tmp_path / "newer"
    Journal(newer).close()
    with closing(sqlite3.connect(newer)) as db:
        db.execute("pragma user_version = 9")
    with pytest.raises(BadInput, match="version 9"):
        Journal(newer)
    newer.chmod(0o644)
    with pytest.raises(BadInput, match="chmod 600"):
        Journal(newer)
    with pytest.raises(JournalUnavailable, match="cannot open"):
        Journal(tmp_path / "bad" / "below-a-file")


def test_a_lock_that_is_never_given_up_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr("tieout_client.journal._BUSY_TIMEOUT_S", 0.05)
    journal = Journal(tmp_path / "j")
    with closing(sqlite3.connect(tmp_path / "j", isolation_level=None)) as other:
        other.execute("begin immediate")
        with pytest.raises(JournalUnavailable, match="locked; what it does not hold was not sent"):
            record(journal, request(), "s1")
        other.execute("rollback")
    assert record(journal, request(), "s1").attempt == 1


def _race(path, number, found):
    journal = Journal(path)
    found.put([record(journal, request(f"r{n}"), f"s{number}-{n}").signature for n in range(20)])


def test_processes_that_race_agree_on_each_request(tmp_path):
    context = multiprocessing.get_context("spawn" if os.name == "nt" else "fork")
    found = context.Queue()
    racers = [context.Process(target=_race, args=(tmp_path / "j", n, found)) for n in range(4)]
    for racer in racers:
        racer.start()
    answers = [found.get(timeout=30) for _ in racers]
    for racer in racers:
        racer.join(30)
    assert all(answer == answers[0] for answer in answers)
    assert len(Journal(tmp_path / "j").entries()) == 20


def _open(path, barrier, found):
    barrier.wait()
    try:
        found.put(Journal(path).entries())
    except JournalUnavailable as broken:
        found.put(str(broken))


def test_processes_that_make_the_file_at_once_all_get_it(tmp_path):
    context = multiprocessing.get_context("fork")
    found, barrier = context.Queue(), context.Barrier(4)
    for number in range(10):
        racers = [context.Process(target=_open, args=(tmp_path / f"j{number}", barrier, found)) for _ in range(4)]
        for racer in racers:
            racer.start()
        assert [found.get(timeout=30) for _ in racers] == [[]] * 4
        for racer in racers:
            racer.join(30)


def commits(journal):
    counted = []
    journal._db.set_trace_callback(lambda sql: counted.append(sql) if sql == "commit" else None)
    return counted


async def test_writes_of_many_tasks_go_down_in_a_few_commits_and_a_refused_one_takes_no_other_along(tmp_path):
    journal = Journal(tmp_path / "j")
    grouped, counted = GroupedWrites(journal), commits(journal)

    async def write(number):
        raw = 1000 if number == 7 else 1
        made = await grouped.do(partial(record, journal, request(f"r{number}", raw), f"s{number}", day_max=500))
        # On disk when it is told: another connection sees it.
        assert f"s{number}" in {e.signature for e in Journal(tmp_path / "j").entries()}
        await grouped.do(partial(journal.mark, made, "sent"))
        return made.signature

    outcomes = await asyncio.gather(*(write(n) for n in range(40)), return_exceptions=True)
    assert [n for n, o in enumerate(outcomes) if isinstance(o, OverLimit)] == [7]
    assert {e.request_id for e in journal.entries() if e.state == "sent"} == {f"r{n}" for n in range(40) if n != 7}
    assert 2 <= len(counted) < 20


async def test_a_disk_that_fills_up_loses_the_whole_group_and_says_so(tmp_path):
    journal = Journal(tmp_path / "j")
    pages = journal._db.execute("pragma page_count").fetchone()[0]
    journal._db.execute(f"pragma max_page_count = {pages + 4}")
    grouped = GroupedWrites(journal)
    large = {**signed("s0"), "transaction_bytes": bytes(1232)}

    def write(number):
        columns = {**large, "signature": f"s{number}"}
        return partial(journal.record, CHAIN, request(f"r{number}"), columns, after=0, day_max=None)

    outcomes = await asyncio.gather(*(grouped.do(write(n)) for n in range(60)), return_exceptions=True)
    assert {type(o) for o in outcomes} == {JournalUnavailable}
    assert "full" in str(outcomes[0])
    assert journal.entries() == []
    journal._db.execute("pragma max_page_count = 100000")
    assert (await grouped.do(write(0))).signature == "s0"
