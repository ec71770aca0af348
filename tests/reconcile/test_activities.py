"""Alpaca's account activities in both shapes: what they say as movements, and what is refused with its line."""

import contextlib
import json
import random
from datetime import UTC, date, datetime
from fractions import Fraction
from typing import Any

import pytest

import tieout_reconcile
from reconcile.builders import ISIN, OTHER_ISIN, REGISTRY, Book
from tieout_reconcile import BadInput, Period
from tieout_reconcile.files import InputFile
from tieout_reconcile.inputs import KINDS, Parsed
from tieout_reconcile.movements import CustodyMovement, period_of
from tieout_reconcile.registry_file import parse_registry

KNOWN = parse_registry(InputFile("r", REGISTRY.encode()))
ISINS = {"AAPL": ISIN, "MSFT": OTHER_ISIN}
START, END = datetime(2026, 11, 1, tzinfo=UTC), datetime(2026, 11, 20, tzinfo=UTC)
DECLARED = Period(
    custodian="alpaca", account="ITN-1", time_zone="America/New_York", cut_off="16:00", isins=ISINS,
)  # fmt: skip
WHOLE = Period(START, END, "alpaca", "ITN-1", "America/New_York", "16:00", ISINS)


def parse(text: str, declared: Period = DECLARED, form: str | None = None) -> Parsed:
    return KINDS["movements"].parse(InputFile("a.json", text.encode()), KNOWN, declared, form)


def refused(text: str, declared: Period = DECLARED) -> str:
    with pytest.raises(BadInput) as bad:
        parse(text, declared)
    return "\n".join(bad.value.problems)


def event(kind: str, ref: str, **more: Any) -> dict[str, Any]:
    """An activity of the stream."""
    inner = {"symbol": "AAPL", "system_date": "2026-11-05"} | more.pop("details", {})
    return {
        "account_id": "c8f1", "event_id": f"E-{ref}", "ref_id": ref, "activity_type": kind, "qty": "0", "price": "0",
        "currency": "USD", "net_amount": "0", "status": "executed", "at": "2026-11-05T14:00:01Z",
        "executed_at": "2026-11-05T14:00:00Z", "settle_date": "2026-11-05", "details": inner,
    } | more  # fmt: skip


def legacy(kind: str, ref: str, **more: Any) -> dict[str, Any]:
    """An activity of the older endpoint."""
    return {"id": ref, "activity_type": kind, "symbol": "AAPL", "date": "2026-11-05", "net_amount": "0"} | more


def dump(*entries: dict[str, Any], stream: bool = False) -> str:
    if stream:
        return "".join(f"data: {json.dumps(e)}\n\n" for e in entries) + ":heartbeat\n"
    return json.dumps(list(entries), indent=1)


def plain(found: Parsed) -> list[tuple[Any, ...]]:
    def text(value: Fraction | None) -> str | None:
        return None if value is None else str(value)

    return [(m.reference, m.kind, m.isin, text(m.quantity), text(m.cash)) for m in found.records]


BOUGHT = event("TRD", "T-1", qty="2.5", net_amount="-500.10", settle_date="2026-11-06", details={"side": "buy"})
JOURNAL = event("JNLS", "J-1", qty="-40")


def test_each_activity_of_the_stream_becomes_a_movement_of_its_kind() -> None:
    entries = [
        BOUGHT,
        event("TRD", "T-2", qty="1", net_amount="200", settle_date="2026-11-06", details={"side": "sell"}),
        JOURNAL,
        event("ACATS", "A-1", qty="4"),
        event("FOPT", "A-2", qty="-4"),
        event("DIV", "D-1", activity_subtype="CDIV", net_amount="28.25", details={"ca_id": "CA-1"}),
        event("DIVNRA", "D-2", net_amount="-8.47"),
        event("DIV", "D-3", activity_subtype="SDIV", qty="0.002709921"),
        event("SPLIT", "S-1", activity_subtype="FSPLIT", qty="-10"),
        event("SPLIT", "S-2", activity_subtype="FSPLIT", qty="15"),
        event("MA", "M-1", qty="-20", details={"acquiree_symbol": "AAPL", "acquirer_symbol": "MSFT"}),
        event("MA", "M-2", qty="2", details={"acquiree_symbol": "AAPL", "acquirer_symbol": "MSFT"}),
        event("FEE", "F-1", net_amount="-0.01"),
        event("JNLC", "C-1", net_amount="-4.81", details={"symbol": None}),
        event("CSD", "C-2", net_amount="100", details={"symbol": None}),
    ]
    wanted = [
        ("T-1", "buy", ISIN, "5/2", "-5001/10"),
        ("T-2", "sell", ISIN, "-1", "200"),
        ("J-1", "journal", ISIN, "-40", None),
        ("A-1", "receive", ISIN, "4", None),
        ("A-2", "deliver", ISIN, "-4", None),
        ("D-1", "dividend", ISIN, "0", "113/4"),
        ("D-2", "dividend", ISIN, "0", "-847/100"),
        ("D-3", "split", ISIN, "2709921/1000000000", None),
        ("S-1", "split", ISIN, "-10", None),
        ("S-2", "split", ISIN, "15", None),
        ("M-1", "split", ISIN, "-20", None),
        ("M-2", "split", OTHER_ISIN, "2", None),
        ("F-1", "fee", ISIN, "0", "-1/100"),
    ]
    for text in (dump(*entries), dump(*entries, stream=True)):
        found = parse(text)
        assert found.form == "alpaca-activities"
        assert plain(found) == wanted
    assert [m.action_id for m in found.records if m.reference == "D-1"] == ["CA-1"]
    assert {m.place for m in found.records} == {("alpaca", "ITN-1")}


def test_the_older_shape_says_the_same_as_far_as_it_goes() -> None:
    found = parse(dump(
        {"id": "20261105::T", "account_id": "c8f1", "activity_type": "FILL", "transaction_time": "2026-11-05T14:00:00Z",
         "type": "fill", "price": "128.33", "qty": "0.5", "side": "sell", "symbol": "AAPL", "cum_qty": "0.5"},
        legacy("JNLS", "J-1", qty="-40"),
        legacy("DIV", "D-1", qty="2", net_amount="1.02", per_share_amount="0.51"),
        legacy("JNLC", "C-1", symbol="", net_amount="5"),
    ))  # fmt: skip
    assert plain(found) == [
        ("20261105::T", "sell", ISIN, "-1/2", None),
        ("J-1", "journal", ISIN, "-40", None),
        ("D-1", "dividend", ISIN, "0", "51/50"),
    ]
    fill, journal, _ = found.records
    assert (fill.settled_at, fill.settles_on) == (None, date(2026, 11, 6))
    # a day alone stands for the declared cut-off
    assert journal.settled_at == datetime(2026, 11, 5, 21, tzinfo=UTC)
    assert "declare --cut-off" in refused(dump(legacy("JNLS", "J", qty="1")), Period(account="ITN-1", isins=ISINS))


def test_a_fill_settles_on_its_day_and_only_where_the_file_is_declared_to_reach_past_it() -> None:
    def times(declared: Period, entry: dict[str, Any]) -> tuple[datetime | None, date | None]:
        (movement,) = parse(dump(entry), declared).records
        assert isinstance(movement, CustodyMovement)
        return movement.settled_at, movement.settles_on

    settled = datetime(2026, 11, 6, 21, tzinfo=UTC)
    assert times(DECLARED, BOUGHT) == (None, date(2026, 11, 6))
    assert times(WHOLE, BOUGHT) == (settled, date(2026, 11, 6))
    short = Period(START, datetime(2026, 11, 6, 12, tzinfo=UTC), "alpaca", "ITN-1", "America/New_York", "16:00", ISINS)
    assert times(short, BOUGHT) == (None, date(2026, 11, 6))
    # journals are booked when they are executed; what is pending is due and not there
    assert times(DECLARED, JOURNAL)[0] == datetime(2026, 11, 5, 14, tzinfo=UTC)
    assert times(DECLARED, JOURNAL | {"status": "pending"}) == (None, date(2026, 11, 5))
    (span,) = parse(dump(BOUGHT), WHOLE).spans
    assert (span.start, span.end) == (START, END)
    assert "so declare no period" in refused(dump(
        {"id": "T", "activity_type": "FILL", "transaction_time": "2026-11-05T14:00:00Z", "qty": "1", "side": "sell",
         "symbol": "AAPL"}), WHOLE)  # fmt: skip


def test_a_correction_replaces_and_a_bust_takes_out_what_it_names() -> None:
    again = BOUGHT | {"ref_id": "T-9", "previous_id": "T-1", "qty": "3", "status": "correct"}
    assert plain(parse(dump(BOUGHT, again))) == [("T-1", "buy", ISIN, "3", "-5001/10")]
    thrice = again | {"ref_id": "T-10", "previous_id": "T-9", "qty": "4"}
    # under the first id, so that it replaces what an earlier file said
    assert plain(parse(dump(BOUGHT, again, thrice))) == [("T-1", "buy", ISIN, "4", "-5001/10")]
    assert plain(parse(dump(again))) == [("T-1", "buy", ISIN, "3", "-5001/10")]
    bust = BOUGHT | {"ref_id": "T-8", "previous_id": "T-1", "details": {"side": "buy", "execution_type": "trade_bust"}}
    assert plain(parse(dump(BOUGHT, bust, JOURNAL))) == [("J-1", "journal", ISIN, "-40", None)]
    assert "which is not in this file: give both in one file" in refused(dump(bust))


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        (event("JNLS", "X", qty="1e3"), 'qty "1e3" is not a plain decimal'),
        (event("JNLS", "X", qty="1", details={"symbol": "TSLA"}), 'symbol "TSLA" has no ISIN'),
        (event("TRD", "X", qty="1"), "its side"),
        (event("TRD", "X", qty="-1", details={"side": "buy"}), "its side says the direction"),
        (event("OPEXC", "X", qty="1"), 'the activity "OPEXC" is not known'),
        (event("DIV", "X", qty="3"), "of shares or of nothing"),
        (event("JNLC", "X", qty="3"), "cash alone, and moves"),
        (event("JNLS", "X", qty="1", status="queued"), "is not executed, correct or pending"),
        (event("JNLS", "X", qty="1", executed_at="yesterday"), "is not an ISO 8601 instant"),
        (event("JNLS", "X", qty="1", settle_date="5 Nov", executed_at=""), "is no day"),
        (event("JNLS", "X", qty="1", settle_date="", executed_at=""), "has neither executed_at"),
        (event("JNLS", "", qty="1"), "has no ref_id or id"),
        (JOURNAL, "its id is that of line 2, activity 1 again"),
        (event("JNLS", "X", qty="1", account_id="other"), 'is of account "other"'),
    ],
)
def test_a_bad_activity_is_refused_with_its_line(entry: dict[str, Any], said: str) -> None:
    text = dump(JOURNAL, entry)
    problems = refused(text)
    assert said in problems
    line = text[: text.index("{", text.index("{") + len(json.dumps(JOURNAL)))].count("\n") + 1
    assert f"line {line}, activity 2: " in problems


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('[\n{"activity_type": "JNLS"}\n{}]', "line 3: it is not JSON: a comma or ] is wanted"),
        ('[\n{"activity_type": "JNLS",\n"qty" 1}]', "line 3: it is not JSON"),
        ('[{"activity_type": "JNLS", "id": "1", "id": "2"}]', "line 1: it is not JSON that can be taken"),
        ('[{"activity_type": "JNLS"}] x', "something stands after the array"),
        ('data: {"activity_type": "JNLS"} {}', "line 1: it is not JSON: something stands after"),
        ('\n:\ndata: {"activity_type"', "line 3: it is not JSON"),
        (
            ': you are reading too slowly, dropped 3 messages\ndata: {"activity_type": "JNLS"}',
            "line 1: the stream says",
        ),
        ('[1, {"activity_type": "JNLS"}]', "line 1, activity 1: is no JSON object"),
        ('[{"activity_type": "CSD", "id": "1", "net_amount": "5", "date": "2026-11-05"}]', "nothing is in it"),
    ],
)
def test_what_is_no_list_of_activities_is_refused_with_its_line(text: str, said: str) -> None:
    assert said in refused(text)


def test_an_account_is_told_by_its_registered_id_where_none_is_declared() -> None:
    own = dump(event("JNLS", "J", qty="1", account_id="ITN-1"))
    declared = Period(isins=ISINS)
    assert [m.place for m in parse(own, declared).records] == [("alpaca", "ITN-1")]
    assert 'account "c8f1" is not in the registry' in refused(dump(JOURNAL), declared)
    named = event("JNLS", "J", qty="1", asset={"symbol": "X", "isin": ISIN}, details={"symbol": "X"})
    assert [m.isin for m in parse(dump(named), Period(account="ITN-1")).records] == [ISIN]


def test_a_mutated_file_is_read_or_refused_and_nothing_else() -> None:
    dice = random.Random(11)
    base = dump(BOUGHT, JOURNAL, event("MA", "M", qty="-1"), legacy("DIV", "D", net_amount="1"))
    words = ["null", "{}", "[]", '"', "-", "1e999", "NaN", "\\u0000", "9" * 40, ",", "}", "]", "2026-11-05"]
    for _ in range(1500):
        text = base
        for _ in range(dice.randint(1, 3)):
            at = dice.randrange(len(text))
            text = text[:at] + dice.choice(words) + text[at + dice.randint(0, 12) :]
        with contextlib.suppress(BadInput):
            parse(text, dice.choice([DECLARED, WHOLE, Period()]), "alpaca-activities")


async def test_activities_are_taken_in_and_replayed_under_what_was_declared(book: Book) -> None:
    await book.registry()
    path = book.file("a.json", dump(BOUGHT, JOURNAL))
    done = await tieout_reconcile.import_records(book.dsn, "movements", path, declared=WHOLE)
    assert (done.format, done.rows, done.new) == ("alpaca-activities", 2, True)
    assert not (await tieout_reconcile.import_records(book.dsn, "movements", path, declared=WHOLE)).new
    (said,) = await book.db.fetch("select format, declared from recon.loads where kind = 'movements'")
    assert said["format"] == "alpaca-activities/3"
    assert period_of(json.loads(said["declared"])) == WHOLE
    listed = await tieout_reconcile.list_records(book.dsn, "movements")
    assert [(m.reference, m.quantity) for m in listed] == [("J-1", -40), ("T-1", Fraction("2.5"))]
