"""Files of the business: every fault at once with its place, nothing of a bad file kept, restatements, calendars."""

import json
from datetime import date, timedelta
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import tieout_reconcile
from reconcile.builders import ISIN, ONE, REGISTRY, Book, at, iso
from tieout_reconcile import BadInput, Period
from tieout_reconcile.calendars import PLAIN, Calendar
from tieout_reconcile.files import InputFile
from tieout_reconcile.inputs import KINDS
from tieout_reconcile.movements import Span, covered_to
from tieout_reconcile.other_chains import parse_chains
from tieout_reconcile.registry_file import parse_registry

VENUE = '[[venues]]\nid = "kraken"\nname = "Kraken"\n'
KNOWN = parse_registry(InputFile("registry.toml", (REGISTRY + VENUE).encode()))

GOOD = {
    "actions": "action_id,isin,kind,status,announced_at,effective_at,factor\n"
    f"S-1,{ISIN},split,announced,{iso(1)},{iso(9)},10\n",
    "chains": f"symbol,network,unit,quantity,as_of,source\nAAPLx,ethereum,adjusted,5.5,{iso(1)},node\n",
    "bridge": f"message_id,symbol,direction,network,raw,sent_at\nM-1,AAPLx,out,ethereum,5,{iso(1)}\n",
    "movements": "custodian,account,isin,quantity,kind,reference,settled_at\n"
    f"alpaca,ITN-1,{ISIN},-5,journal,J-1,{iso(5)}\n",
    "payments": "reference,direction,amount,currency,paid_at,request_id,source\n"
    f"P-1,out,1250.50,USD,{iso(1)},RED-1,bank\n",
    "venue": f"venue,symbol,kind,quantity,unit,as_of\nkraken,AAPLx,customer,-5,raw,{iso(1)}\n",
}


def parse(kind: str, text: str | bytes, declared: Period | None = None) -> Any:
    data = text if isinstance(text, bytes) else text.encode()
    return KINDS[kind].parse(InputFile("f.csv", data), KNOWN, declared or Period(), None)


def faults(kind: str, text: str | bytes, declared: Period | None = None) -> tuple[str, ...]:
    with pytest.raises(BadInput) as bad:
        parse(kind, text, declared)
    return bad.value.problems


def test_good_files_are_taken() -> None:
    for kind, text in GOOD.items():
        assert len(parse(kind, text).records) == 1, kind


BAD = [
    ("actions", [
        ("split,announced", "jump,told", "line 2: kind \"jump\" is not one of dividend"),
        ("split,announced", "split,told", "line 2: status \"told\" is not one of announced, cancelled"),
        (",10\n", ",\n", "line 2: is a split and has no factor"),
        (",10\n", ",0.5\n", "line 2: is a split with the factor 0.5"),
        (",10\n", ",1/0\n", "line 2: factor \"1/0\" is no ratio above zero"),
        (f"{iso(9)},10", ",10", "line 2: is a split and has no effective_at"),
        (ISIN, "US88160R1014", "line 2: isin \"US88160R1014\" belongs to no instrument"),
        ("S-1", "S 1", "line 2: action_id \"S 1\" is no id"),
    ]),
    ("chains", [
        ("adjusted", "raw", "line 2: quantity \"5.5\" is a fraction"),
        ("adjusted,5.5", "raw,5", "line 2: is in raw units and has no decimals"),
        ("ethereum", "Solana", "line 2: network \"Solana\" is the chain that is indexed"),
        ("AAPLx", "MSFTx", "line 2: symbol \"MSFTx\" is no instrument"),
        (",node", ",", "line 2: has no source"),
    ]),
    ("bridge", [
        ("out", "away", "line 2: direction \"away\" is not one of out, in"),
        (",5,", ",0,", "line 2: raw \"0\" is 0"),
        (",5,", ",1.5,", "line 2: raw \"1.5\" is a fraction"),
    ]),
    ("movements", [
        ("alpaca", "nobody", "line 2: account \"ITN-1\" at custodian \"nobody\" is not in the registry"),
        ("-5", "0", "line 2: moves nothing"),
        ("-5", "1e5", "line 2: quantity \"1e5\" is not a plain decimal number"),
        (iso(5), "", "line 2: is neither settled nor due"),
        (iso(5), "2026-11-02T14:00:00", "has no time zone"),
        (ISIN, "US0378331006", "is no ISIN"),
    ]),
    ("payments", [
        (",out,", ",away,", "line 2: direction \"away\" is not one of in, out"),
        ("1250.50", "0", "line 2: amount \"0\" is 0: an amount above zero is wanted"),
        ("1250.50", "-5", "line 2: amount \"-5\" is negative"),
        ("1250.50", "1e3", "line 2: amount \"1e3\" is not a plain decimal number"),
        (",USD,", ",usd,", "line 2: currency \"usd\" is no currency: write its code, or a stablecoin's"),
        ("RED-1", "RED 1", "line 2: request_id \"RED 1\" is no request id"),
        (",bank", ",", "line 2: has no source: say whose word it is"),
        ("P-1", "P 1", "line 2: reference \"P 1\" is no id or reference"),
    ]),
    ("venue", [
        ("kraken", "bybit", "line 2: venue \"bybit\" is not in the registry"),
        ("customer", "house", "line 2: is a house below zero"),
        ("-5", "0.5", "line 2: quantity \"0.5\" is a fraction of a raw unit"),
        (",raw,", ",tokens,", "line 2: unit \"tokens\" is not one of raw, shares"),
    ]),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "old", "new", "told"), [(kind, *case) for kind, cases in BAD for case in cases])
def test_each_fault_is_told_with_its_line(kind: str, old: str, new: str, told: str) -> None:
    assert any(told in fault for fault in faults(kind, GOOD[kind].replace(old, new, 1))), faults(
        kind, GOOD[kind].replace(old, new, 1)
    )


@pytest.mark.parametrize("kind", GOOD)
def test_all_faults_are_told_at_once_and_hostile_files_refused(kind: str) -> None:
    head, row = GOOD[kind].splitlines()
    two = faults(kind, f"{head}\n{row.replace(iso(1), 'soon').replace(iso(5), 'soon')}\n{row[:-1]},extra,extra\n")
    assert len(two) >= 2
    assert "is not UTF-8" in faults(kind, GOOD[kind].encode("utf-16"))[0]
    assert "NUL" in faults(kind, GOOD[kind] + "\0")[0]
    assert "column" in faults(kind, head.replace(",", ";") + "\n")[0]
    assert faults(kind, "")
    again = f"{head}\n{row}\n{row}\n"
    assert any("again" in fault for fault in faults(kind, again))
    assert faults(kind, f"{head}\n{row}{'9' * 300}\n")


@pytest.mark.parametrize(
    ("text", "declared", "told"),
    [
        (GOOD["movements"], Period(at(1)), "declared by half"),
        (GOOD["movements"], Period(at(9), at(1)), "is not after"),
        (GOOD["movements"], Period(at(6), at(9)), "outside the declared period"),
        (GOOD["movements"].splitlines()[0], Period(at(6), at(9)), "say by --custodian and --account"),
        (GOOD["movements"], Period(at(1), at(9), "alpaca"), "give both --custodian and --account"),
    ],
)
def test_a_declared_period_must_hold(text: str, declared: Period, told: str) -> None:
    assert told in faults("movements", text, declared)[0]


def test_a_period_without_movements_is_known_too() -> None:
    head = GOOD["movements"].splitlines()[0]
    parsed = parse("movements", head, Period(at(1), at(9), "alpaca", "ITN-1"))
    assert (list(parsed.records), list(parsed.spans)) == ([], [Span("alpaca", "ITN-1", at(1), at(9))])


@given(st.lists(st.tuples(st.integers(0, 50), st.integers(1, 20)), max_size=8), st.integers(0, 60))
def test_a_statement_is_rolled_no_further_than_a_hole(parts: list[tuple[int, int]], until: int) -> None:
    spans = [Span("c", "a", at(start), at(start + length)) for start, length in parts]
    reached = covered_to(spans, at(0), at(until))
    seconds = {s for start, length in parts for s in range(start + 1, start + length + 1)}
    held = 0
    while held < until and held + 1 in seconds:
        held += 1
    assert reached == at(held)


async def test_a_file_is_taken_once_a_restated_row_supersedes_and_nothing_of_a_bad_file_stays(book: Book) -> None:
    await book.registry(REGISTRY + VENUE)
    path = book.file("m.csv", GOOD["bridge"])
    first = await tieout_reconcile.import_records(book.dsn, "bridge", path)
    again = await tieout_reconcile.import_records(book.dsn, "bridge", path)
    assert (first.new, again.new, again.load) == (True, False, first.load)
    await tieout_reconcile.import_records(book.dsn, "bridge", book.file("n.csv", GOOD["bridge"].replace(",5,", ",6,")))
    (message,) = await tieout_reconcile.list_records(book.dsn, "bridge")
    assert message.raw == 6
    bad = book.file("bad.csv", GOOD["bridge"].replace(",5,", ",7,") + "M-2,AAPLx,out,ethereum,0,soon\n")
    with pytest.raises(BadInput):
        await tieout_reconcile.import_records(book.dsn, "bridge", bad)
    assert [m.raw for m in await tieout_reconcile.list_records(book.dsn, "bridge")] == [6]
    assert await book.db.fetchval("select count(*) from recon.bridge_message_row") == 2


async def test_a_venues_ledger_is_superseded_whole(book: Book) -> None:
    await book.registry(REGISTRY + VENUE)
    head = "venue,symbol,kind,account,quantity,unit,as_of"
    rows = [f"kraken,AAPLx,customer,{n},{ONE},raw,{iso(1)}" for n in ("a", "b")]
    for name, lines in (("one.csv", rows), ("two.csv", rows[:1])):
        path = book.file(name, "\n".join([head, *lines]))
        await tieout_reconcile.import_records(book.dsn, "venue", path)
    assert [x.account for x in await tieout_reconcile.list_records(book.dsn, "venue")] == ["a"]


async def test_every_kind_comes_back_from_the_database_as_it_was_parsed(book: Book) -> None:
    await book.registry(REGISTRY + VENUE)
    for kind, text in GOOD.items():
        await tieout_reconcile.import_records(book.dsn, kind, book.file(f"{kind}.csv", text))
        assert await tieout_reconcile.list_records(book.dsn, kind) == list(parse(kind, text).records)


async def test_the_registry_comes_back_with_calendars_venues_and_limits(book: Book) -> None:
    more = 'calendar = "nyse"\nchains = ["ethereum", "base"]\nlarge_share = "0.05"\nlate_days_max = 3'
    text = REGISTRY.replace("decimals = 8", f"decimals = 8\n{more}") + VENUE
    text += '[[calendars]]\nid = "nyse"\nclosed = [2026-11-26]\nweekend = ["sunday"]\n'
    await book.registry(text)
    found = await tieout_reconcile.show_registry(book.dsn)
    assert found == parse_registry(InputFile("r", text.encode()))
    assert found.instruments[0].chains == ("base", "ethereum")
    assert found.calendar("nyse") == Calendar("nyse", (date(2026, 11, 26),), ("sunday",))


def test_the_us_cycle_is_two_days_before_its_change_and_one_after() -> None:
    assert PLAIN.settles_on(date(2024, 5, 24)) == date(2024, 5, 28)
    assert PLAIN.settles_on(date(2024, 5, 28)) == date(2024, 5, 29)
    holiday = Calendar("nyse", (date(2026, 11, 26),))
    assert holiday.settles_on(date(2026, 11, 25)) == date(2026, 11, 27)
    assert PLAIN.settles_on(date(2026, 11, 27)) == date(2026, 11, 30)


@given(st.dates(date(2020, 1, 1), date(2030, 1, 1)), st.integers(-400, 400), st.sets(st.integers(0, 60), max_size=5))
def test_business_days_add_up(start: date, days: int, closed: set[int]) -> None:
    calendar = Calendar("c", tuple(sorted(start + timedelta(days=n) for n in closed)))
    end = start + timedelta(days=days)
    first = min(start, end)
    counted = sum(calendar.is_business(first + timedelta(days=n)) for n in range(1, abs(days) + 1))
    assert calendar.between(start, end) == (counted if days >= 0 else -counted)
    if days > 0 and calendar.is_business(end):
        assert calendar.add(start, calendar.between(start, end)) == end


@pytest.mark.parametrize(
    ("rule", "source"), [(3, "the issuer's public reserve answer"), (2, "issuer's public proof of reserves")]
)
def test_the_issuers_answer_is_named_without_a_claim_and_a_stored_one_keeps_its_name(rule: int, source: str) -> None:
    said = {"symbol": "AAPLx", "timestamp": iso(50), "circulatingSupply": "10", "sharesHeld": "11"}
    (found,) = parse_chains(InputFile("answer.json", json.dumps(said).encode(), rule), KNOWN)
    assert (found.source, found.held) == (source, Fraction(11))
