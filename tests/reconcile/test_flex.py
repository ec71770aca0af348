"""A Flex query's trades, transfers, corporate actions, cash and loans: what they say, and what is refused by name."""

from datetime import UTC, date, datetime
from fractions import Fraction
from typing import Any
from xml.sax.saxutils import quoteattr

import pytest

import tieout_reconcile
from reconcile.builders import ISIN, OTHER_ISIN, REGISTRY, Book, codes
from reconcile.test_actions import dividend, outside
from tieout_reconcile import BadInput, Period
from tieout_reconcile.files import InputFile
from tieout_reconcile.formats import parse_statement
from tieout_reconcile.formats.declared import parse_map
from tieout_reconcile.formats.events import parse_trade_file
from tieout_reconcile.inputs import KINDS, Parsed
from tieout_reconcile.loads import Load, Replay
from tieout_reconcile.movements import Span
from tieout_reconcile.registry_file import parse_registry

KNOWN = parse_registry(InputFile("r", REGISTRY.encode()))
ZONE, CUT_OFF = "America/New_York", "17:00"
DECLARED = Period(custodian="alpaca", account="ITN-1", time_zone=ZONE, cut_off=CUT_OFF)
START, END = datetime(2026, 11, 4, 22, tzinfo=UTC), datetime(2026, 11, 9, 22, tzinfo=UTC)
WHOLE = Period(START, END, "alpaca", "ITN-1", ZONE, CUT_OFF)
EVERY = ("Trades", "Transfers", "CorporateActions", "CashTransactions")


def element(name: str, **said: str) -> str:
    shared = {"accountId": "ITN-1", "assetCategory": "STK", "isin": ISIN, "currency": "USD"}
    return f"<{name} {' '.join(f'{k}={quoteattr(v)}' for k, v in (shared | said).items())} />"


def trade(number: str, quantity: str, side: str = "BUY", **more: str) -> str:
    said = {"transactionID": number, "tradeID": f"T{number}", "quantity": quantity, "buySell": side,
            "transactionType": "ExchTrade", "dateTime": "2026-11-05;103000", "settleDateTarget": "2026-11-06",
            "levelOfDetail": "EXECUTION"}  # fmt: skip
    return element("Trade", **(said | more))


def transfer(number: str, quantity: str, **more: str) -> str:
    said = {"transactionID": number, "quantity": quantity, "direction": "IN", "type": "FOP", "date": "20261105"}
    return element("Transfer", **(said | more))


def cash(number: str, amount: str, kind: str = "Dividends", **more: str) -> str:
    said = {"transactionID": number, "amount": amount, "type": kind, "settleDate": "20261105", "reportDate": "20261105",
            "levelOfDetail": "DETAIL"}  # fmt: skip
    return element("CashTransaction", **(said | more))


def action(number: str, quantity: str, kind: str = "FS", **more: str) -> str:
    said = {
        "transactionID": number,
        "quantity": quantity,
        "type": kind,
        "dateTime": "20261105;202500",
        "actionID": "77",
    }
    return element("CorporateAction", **(said | more))


def query(period: str = "fromDate='20261021' toDate='20261109'", **sections: str) -> bytes:
    body = "".join(f"<{name}>{rows}</{name}>" for name, rows in sections.items())
    statement = f"<FlexStatement accountId='ITN-1' {period}>{body}</FlexStatement>"
    return f"<FlexQueryResponse><FlexStatements count='1'>{statement}</FlexStatements></FlexQueryResponse>".encode()


def parse(data: bytes, declared: Period = DECLARED) -> Parsed:
    return KINDS["movements"].parse(InputFile("q.xml", data), KNOWN, declared, None)


def told(data: bytes, declared: Period = DECLARED) -> list[tuple[Any, ...]]:
    found = parse(data, declared)
    assert found.form == "ibkr-flex"
    return [(m.reference, m.kind, m.quantity, m.settled_at, m.settles_on, m.cash) for m in found.records]


def refused(data: bytes, declared: Period = DECLARED) -> str:
    with pytest.raises(BadInput) as bad:
        parse(data, declared)
    return "\n".join(bad.value.problems)


def at(day: int, hour: int = 22) -> datetime:
    return datetime(2026, 11, day, hour, tzinfo=UTC)


# --- trades


def test_a_trade_settles_at_the_cut_off_of_its_day_and_only_where_the_statement_reaches_it() -> None:
    rows = trade("1", "10.5", netCash="-2100.25") + trade("2", "-3", "SELL", settleDateTarget="2026-11-10")
    assert told(query(Trades=rows)) == [
        ("1", "buy", Fraction(21, 2), at(6), date(2026, 11, 6), Fraction("-2100.25")),
        ("2", "sell", Fraction(-3), None, date(2026, 11, 10), None),
    ]


def test_a_trades_own_time_is_of_the_declared_zone_and_a_day_alone_is_its_cut_off() -> None:
    rows = trade("1", "1") + trade("2", "1", dateTime="", tradeDate="20261105")
    assert [m.traded_at for m in parse(query(Trades=rows)).records] == [
        datetime(2026, 11, 5, 15, 30, tzinfo=UTC),
        at(5),
    ]


def test_a_trade_names_its_order_by_the_owners_reference() -> None:
    rows = trade("1", "1", orderReference="REQ-1") + trade("2", "1", orderReference="my best guess")
    rows += trade("3", "1", notes="P;R")
    found = parse(query(Trades=rows)).records
    assert [(m.kind, m.request_id) for m in found] == [("buy", "REQ-1"), ("buy", None), ("reinvest", None)]


CANCELLED = trade("9", "-10", "BUY (Ca.)", transactionType="TradeCancel", notes="Ca", settleDateTarget="",
                  tradeID="", origTradeID="T1", origTransactionID="1")  # fmt: skip
CORRECTED = trade("10", "8", transactionType="TradeCorrect", notes="Co", tradeID="T1", origTransactionID="1")


def test_a_cancelled_trade_and_its_cancellation_are_together_nothing_and_settle_on_one_day() -> None:
    found = told(query(Trades=trade("1", "10") + CANCELLED + CORRECTED))
    assert [(r[0], r[1], r[2]) for r in found] == [("1", "buy", 10), ("9", "buy", -10), ("10", "buy", 8)]
    assert {r[3] for r in found} == {at(6)}
    assert sum(r[2] for r in found) == 8


def test_a_cancellation_in_a_later_file_takes_back_what_an_earlier_one_told() -> None:
    first = told(query(Trades=trade("1", "10")))
    later = told(query(Trades=CANCELLED.replace('settleDateTarget=""', 'settleDateTarget="20261106"')))
    assert sum(r[2] for r in first + later) == 0
    assert first[0][0] != later[0][0]


def test_the_trade_that_is_taken_back_is_found_by_the_trade_id_too() -> None:
    by_trade = CANCELLED.replace('origTransactionID="1"', "")
    assert [r[2] for r in told(query(Trades=trade("1", "10") + by_trade))] == [10, -10]


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        (CANCELLED, "takes back a trade that is not in this file, and has no settleDateTarget"),
        (trade("1", "10") + CORRECTED, "which nothing takes back (TradeCancel)"),
        (
            trade("1", "10") + trade("2", "10", tradeID="T1", settleDateTarget="20261109")
            + CANCELLED.replace('origTransactionID="1"', ""),
            '"T1" is 2 trades: tick origTransactionID',
        ),
        (trade("1", "-10"), '"-10" has not the sign of "BUY"'),
        (trade("1", "10", "SELL"), '"10" has not the sign of "SELL"'),
        (trade("1", "0"), '"0" has not the sign of "BUY"'),
        (trade("1", "ten"), 'Trade[1]/@quantity: "ten" is not a plain decimal'),
        (trade("1", "1", ""), '@buySell: "" is neither BUY nor SELL: tick it'),
        (trade("1", "1", transactionType="Rumour"), '@transactionType: "Rumour" is not one of BookTrade'),
        (trade("1", "1", settleDateTarget=""), "has no attribute settleDateTarget: tick it"),
        (trade("1", "1", settleDateTarget="11/06/2026"), '@settleDateTarget: "11/06/2026" is no date'),
        (trade("1", "1", dateTime="2026-11-05;10:30:00 EST"), "is no date: choose the style"),
        (trade("1", "1", dateTime=""), "has neither dateTime nor tradeDate"),
        (trade("1", "1", isin=""), "has no attribute isin: tick it"),
        (trade("", "1"), "has no attribute transactionID: tick it"),
        (trade("1", "1", levelOfDetail="TICK"), '"TICK" is not one of EXECUTION, ORDER'),
        (trade("1", "1", levelOfDetail="ORDER"), "Trades: holds sums alone: tick the level of detail EXECUTION"),
        (element("Order", quantity="1"), "Trades: holds sums alone"),
        (element("Swap", quantity="1"), "Trades/Swap[1]: is not known: Trade is taken"),
        (trade("1", "1", accountId="U-2"), '"U-2" is not the account "ITN-1" that is declared'),
        (trade("1", "1") + trade("1", "1"), "reference is that of"),
    ],
)  # fmt: skip
def test_a_trade_that_does_not_say_what_it_is_refuses_the_file(rows: str, said: str) -> None:
    assert said in refused(query(Trades=rows))


def test_what_is_no_stock_and_what_is_summed_is_passed_over() -> None:
    rows = element("SymbolSummary", quantity="7") + trade("1", "7") + trade("2", "1", assetCategory="OPT", isin="")
    assert [r[0] for r in told(query(Trades=rows))] == ["1"]


def traded(data: bytes, declared: Period = DECLARED) -> list[Any]:
    form, found = parse_trade_file(InputFile("q.xml", data), KNOWN, declared)
    assert form == "ibkr-flex"
    return list(found)


def test_as_trades_they_are_pending_up_to_their_day_and_cancelled_from_the_day_that_reports_it() -> None:
    rows = trade("1", "10") + trade("2", "-3.5", "SELL", settleDateTarget="2026-11-10", isin=OTHER_ISIN)
    rows += trade("3", "10") + CANCELLED.replace('"1"', '"3"').replace("<Trade", '<Trade reportDate="20261108"')
    found = [(t.reference, t.side, t.quantity, t.settles_on, t.status, t.status_at) for t in traded(query(Trades=rows))]
    assert found == [
        ("1", "buy", 10, date(2026, 11, 6), "settled", at(6)),
        ("2", "sell", Fraction(7, 2), date(2026, 11, 10), "pending", None),
        ("3", "buy", 10, date(2026, 11, 6), "cancelled", at(8)),
    ]


def test_a_cancellation_supersedes_the_trade_of_an_earlier_file() -> None:
    (found,) = traded(query(Trades=CANCELLED))
    assert (found.reference, found.side, found.quantity, found.status) == ("1", "buy", 10, "cancelled")
    with pytest.raises(BadInput, match="has no attribute origTransactionID"):
        traded(query(Trades=CANCELLED.replace('origTransactionID="1"', "")))


async def test_unsettled_trades_of_a_flex_query_are_taken_once_and_replayed(book: Book) -> None:
    await book.registry()
    path = book.folder / "q.xml"
    path.write_bytes(query(Trades=trade("1", "10", settleDateTarget="2026-11-10")))
    done = await tieout_reconcile.import_trades(book.dsn, path, declared=DECLARED)
    again = await tieout_reconcile.import_trades(book.dsn, path, declared=DECLARED)
    assert (done.format, done.rows, done.stored, done.new, again.new) == ("ibkr-flex", 1, 1, True, False)
    (stored,) = await tieout_reconcile.list_trades(book.dsn)
    assert (stored.reference, stored.quantity, stored.status) == ("1", Fraction(10), "pending")
    rows = await book.db.fetch("select load, kind, name, format, declared, body from recon.load_bodies order by load")
    assert Replay([Load(**row) for row in rows]).book(None).trades == [stored]


def test_a_csv_of_trades_declares_nothing() -> None:
    with pytest.raises(BadInput, match="says its own account and times: declare none"):
        parse_trade_file(InputFile("t.csv", b"custodian,account\n"), KNOWN, DECLARED)


# --- transfers, corporate actions, cash


def test_transfers_come_and_go_and_name_their_order() -> None:
    rows = transfer("1", "5", clientReference="REQ-1") + transfer("2", "-2", direction="OUT")
    rows += transfer("3", "2", direction="OUT", dateTime="20261105;090000") + transfer("4", "0", assetCategory="CASH")
    found = parse(query(Transfers=rows)).records
    assert [(m.kind, m.quantity, m.request_id, m.settled_at) for m in found] == [
        ("receive", 5, "REQ-1", at(5)),
        ("deliver", -2, None, at(5)),
        ("deliver", -2, None, at(5, 14)),
    ]


def test_a_corporate_actions_legs_each_have_their_isin_and_the_actions_id() -> None:
    rows = action("1", "300") + action("2", "-100", "TC", proceeds="55.5") + action("3", "100", "TC", isin=OTHER_ISIN)
    rows += action("4", "0", "PV")
    found = parse(query(CorporateActions=rows)).records
    assert [(m.reference, m.kind, m.isin, m.quantity, m.action_id, m.cash) for m in found] == [
        ("1", "split", ISIN, 300, "77", None),
        ("2", "split", ISIN, -100, "77", Fraction("55.5")),
        ("3", "split", OTHER_ISIN, 100, "77", None),
    ]
    assert found[0].settled_at == datetime(2026, 11, 6, 1, 25, tzinfo=UTC)


def test_dividends_payments_in_lieu_and_tax_are_cash_of_the_holding_and_plain_cash_is_passed_over() -> None:
    rows = cash("1", "24", actionID="77") + cash("2", "6", "Payment In Lieu Of Dividends", actionID="77")
    rows += cash("3", "-9", "Withholding Tax", actionID="77") + cash("4", "-0.5", "Other Fees")
    rows += cash("5", "1000", "Deposits/Withdrawals", isin="", assetCategory="")
    rows += cash("6", "-1", "Withholding Tax", isin="", assetCategory="") + cash("", "30", levelOfDetail="SUMMARY")
    found = parse(query(CashTransactions=rows)).records
    assert [(m.reference, m.kind, m.quantity, m.cash, m.action_id) for m in found] == [
        ("1", "dividend", 0, 24, "77"),
        ("2", "dividend", 0, 6, "77"),
        ("3", "dividend", 0, -9, "77"),
        ("4", "fee", 0, Fraction("-0.5"), None),
    ]


@pytest.mark.parametrize(
    ("sections", "said"),
    [
        ({"Transfers": transfer("1", "5", direction="UP")}, '@direction: "UP" is neither IN nor OUT'),
        ({"Transfers": transfer("1", "-5")}, '"-5" comes in, and is below zero'),
        ({"Transfers": transfer("1", "5", date="")}, "has neither dateTime, settleDate nor reportDate"),
        ({"CorporateActions": action("1", "5", "ZZ")}, '@type: "ZZ" is not one of CD, CH'),
        ({"CashTransactions": cash("1", "5", "Bonus")}, '@type: "Bonus" is not one of'),
        ({"CashTransactions": cash("1", "5", isin="")}, "has no attribute isin"),
        ({"CashTransactions": cash("1", "5", currency="")}, "has no attribute currency"),
        ({"CashTransactions": cash("1", "5", levelOfDetail="SUMMARY")}, "tick the level of detail DETAIL"),
        ({"OpenPositions": ""}, "has none of the sections Trades, Transfers, CorporateActions, CashTransactions"),
    ],
)
def test_a_booking_that_is_not_known_refuses_the_file(sections: dict[str, str], said: str) -> None:
    assert said in refused(query(**sections))


def test_a_day_without_a_declared_cut_off_is_refused_with_the_option_that_says_it() -> None:
    said = refused(query(Transfers=transfer("1", "5")), Period(custodian="alpaca", account="ITN-1"))
    assert "declare --cut-off and --time-zone" in said


@pytest.mark.parametrize(
    "hostile",
    [
        b'<!DOCTYPE d [<!ENTITY a "b"><!ENTITY c "&a;&a;&a;">]>',
        b'<!DOCTYPE d SYSTEM "file:///etc/passwd">',
    ],
)
def test_a_hostile_flex_query_is_refused_as_movements_too(hostile: bytes) -> None:
    body = query(Trades=trade("1", "1"))
    with pytest.raises(BadInput, match="it declares a document type or entities"):
        KINDS["movements"].parse(InputFile("q.xml", hostile + body), KNOWN, DECLARED, "ibkr-flex")
    with pytest.raises(BadInput, match="it is not XML"):
        KINDS["movements"].parse(InputFile("q.xml", body[:-30]), KNOWN, DECLARED, "ibkr-flex")


def test_a_flex_query_is_no_announcement_of_an_action() -> None:
    data = InputFile("q.xml", query(CorporateActions=action("1", "5")))
    with pytest.raises(BadInput, match="tells what was booked, not what was announced: tieout movement import"):
        KINDS["actions"].parse(data, KNOWN, Period(), None)


async def test_dividend_cash_of_a_flex_query_is_held_against_what_was_declared(book: Book) -> None:
    await outside(book)
    await dividend(book)
    await book.multiplier(40, 1.25, 0)
    await book.statement("100", 35)
    parts = [("1", "60", "Dividends"), ("2", "40", "Payment In Lieu Of Dividends"), ("3", "-30", "Withholding Tax")]
    for tax, found in (("-30", []), ("-10", ["B19"])):
        said = {"actionID": "DIV-1", "dateTime": "2026-11-02;090030", "settleDate": "20261102"}
        rows = "".join(cash(n, tax if size == "-30" else size, kind, **said) for n, size, kind in parts)
        path = book.folder / f"q{tax}.xml"
        path.write_bytes(query(CashTransactions=rows))
        await tieout_reconcile.import_records(book.dsn, "movements", path, declared=DECLARED)
        assert codes(await book.run()) == found


# --- the period


ALL = {"Trades": trade("1", "10"), "Transfers": "", "CorporateActions": "", "CashTransactions": ""}


def test_a_period_is_known_where_all_sections_are_there_and_trades_reach_back_before_it() -> None:
    before = trade("2", "5", dateTime="2026-11-02;103000", settleDateTarget="2026-11-03")
    found = parse(query(**(ALL | {"Trades": ALL["Trades"] + before})), WHOLE)
    assert [m.settled_at for m in found.records] == [at(6), at(3)]
    assert list(found.spans) == [Span("alpaca", "ITN-1", START, END)]


@pytest.mark.parametrize("missing", EVERY)
def test_a_period_without_one_of_the_sections_is_refused(missing: str) -> None:
    sections = {name: rows for name, rows in ALL.items() if name != missing}
    assert f"has no section {missing}, so not every movement of the period is known" in refused(
        query(**sections), WHOLE
    )


@pytest.mark.parametrize(
    ("period", "said"),
    [
        ("fromDate='20261105' toDate='20261109'", "those of the day before settle on 2026-11-05, inside the period"),
        ("fromDate='20261021' toDate='20261106'", "and the declared period ends after it"),
        ("toDate='20261109'", "has no fromDate and toDate"),
        ("fromDate='20261021'", "has no fromDate and toDate"),
    ],
)
def test_a_period_beyond_what_the_query_holds_is_refused(period: str, said: str) -> None:
    assert said in refused(query(period, **ALL), WHOLE)


# --- positions


MAP = b'time_zone = "America/New_York"\ncut_off = "17:00"\n'


def positions(data: bytes, more: bytes = b"") -> list[Any]:
    given = parse_map(InputFile("m", MAP + more))
    return parse_statement(InputFile("q.xml", data), KNOWN, given, given.declared(None, None, None))[1]


def position(size: str, **more: str) -> str:
    return element("OpenPosition", position=size, reportDate="20261109", levelOfDetail="SUMMARY", **more)


def loan(size: str, kind: str = "ManagedLoan", **more: str) -> str:
    return element("SLBOpenContract", quantity=size, type=kind, collateralAmount="900", **more)


def test_what_is_lent_is_a_sub_balance_of_the_position() -> None:
    rows = {"OpenPositions": position("100"), "SLBOpenContracts": loan("-30") + loan("-5.5", "DirectLoan")}
    (found,) = positions(query(**rows))
    assert (found.quantity, found.encumbered, found.basis) == (100, (("lent", Fraction(71, 2)),), "trade_date")


@pytest.mark.parametrize(
    ("contracts", "said"),
    [
        (loan("30"), '"30" is lent: what is lent stands below zero'),
        (loan("-30", "DirectBorrow"), '"-30" is borrowed: what is lent stands below zero'),
        (loan("-30", "Repo"), '@type: "Repo" is not one of DirectBorrow'),
        (loan("-30", isin=OTHER_ISIN), f"{OTHER_ISIN} in account"),
        (loan("-130"), "more is encumbered than held: 130 of 100 shares"),
    ],
)
def test_a_loan_that_does_not_fit_the_position_is_refused(contracts: str, said: str) -> None:
    with pytest.raises(BadInput) as bad:
        positions(query(OpenPositions=position("100"), SLBOpenContracts=contracts))
    assert said in "\n".join(bad.value.problems)


def test_a_settled_position_is_that_of_the_trade_date_less_what_has_not_settled() -> None:
    late = {"dateTime": "2026-11-09;103000", "settleDateTarget": "2026-11-10"}
    back = {"notes": "Ca", "transactionType": "TradeCancel", "origTransactionID": "4", "settleDateTarget": ""}
    rows = trade("1", "10") + trade("2", "7", **late) + trade("3", "-2", "SELL", **late)
    rows += trade("4", "50", **late) + trade("5", "-50", "BUY (Ca.)", **back)
    (found,) = positions(query(OpenPositions=position("100"), Trades=rows), b'basis = "settled"\n')
    assert (found.quantity, found.basis, found.as_of) == (95, "settled", at(9))
    unnamed = rows.replace(' accountId="ITN-1"', "")
    (same,) = positions(query(OpenPositions=position("100"), Trades=unnamed), b'basis = "settled"\n')
    assert same == found
    (traded,) = positions(query(OpenPositions=position("100"), Trades=rows))
    assert (traded.quantity, traded.basis) == (100, "trade_date")


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (query(OpenPositions=position("100")), "has no section Trades to tell what has not settled"),
        (
            query("fromDate='20261109' toDate='20261109'", OpenPositions=position("100"), Trades=""),
            "known by a query from 2026-10-26 or earlier to 2026-11-09",
        ),
        (
            query("fromDate='20261021' toDate='20261106'", OpenPositions=position("100"), Trades=""),
            "is of 2026-11-09, and the query's trades are of 2026-10-21 to 2026-11-06",
        ),
    ],
)
def test_a_settled_position_is_refused_where_unsettled_trades_may_be_missing(data: bytes, said: str) -> None:
    with pytest.raises(BadInput) as bad:
        positions(data, b'basis = "settled"\n')
    assert said in "\n".join(bad.value.problems)


def test_a_flex_file_that_was_stored_by_an_earlier_rule_is_read_as_it_was() -> None:
    data = query(OpenPositions=position("100") + "<Note />", SLBOpenContracts=loan("-30"))
    given = parse_map(InputFile("m", MAP + b'basis = "settled"\n'))
    found: Any
    (found,) = parse_statement(InputFile("q.xml", data, 2), KNOWN, given, given.declared(None, None, None))[1]
    assert (found.quantity, found.encumbered, found.basis) == (100, (), "trade_date")
