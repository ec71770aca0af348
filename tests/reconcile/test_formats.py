"""The custodians' formats: one random book through each of them, and what must be refused, with its place."""

import contextlib
import json
from datetime import UTC, datetime
from fractions import Fraction
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tieout_reconcile
from reconcile.builders import ISIN, REGISTRY, Book, address, at, codes, instrument, iso, signature
from reconcile.rendering import (
    ISINS,
    TICKERS,
    Account,
    Held,
    csv_map,
    mt535_page,
    to_alpaca,
    to_csv,
    to_flex,
    to_mt535,
    to_semt002,
)
from reconcile.test_run import day
from tieout_reconcile import BadInput, Verdict
from tieout_reconcile.files import InputFile
from tieout_reconcile.formats import detect, parse_order_file, parse_statement
from tieout_reconcile.formats.declared import StatementMap, parse_map
from tieout_reconcile.formats.xml import XML_BYTES_MAX
from tieout_reconcile.registry_file import parse_registry
from tieout_reconcile.statements import Position

ZURICH = ZoneInfo("Europe/Zurich")
NOON = datetime(2026, 11, 2, 21, 0, 5, tzinfo=UTC)
EVERY = REGISTRY + instrument("TSLAx", address("m2"), ISINS[1]) + instrument("MSFTx", address("m3"), ISINS[2])
TEXT = EVERY + '[[custodians]]\nid = "other"\nname = "Other"\n[[custodians.accounts]]\nid = "ITN-9"\n'
REGISTERED = parse_registry(InputFile("r", TEXT.encode()))
ALPACA_MAP = "[isins]\n" + "".join(f'{ticker} = "{isin}"\n' for ticker, isin in TICKERS.items())
FLEX_MAP = 'time_zone = "UTC"\ncut_off = "21:00:05"\n'


def read(
    data: bytes,
    *,
    given_map: str = "",
    form: str | None = None,
    account: str | None = None,
    as_of: datetime | None = None,
) -> tuple[str, list[Position]]:
    declaration = parse_map(InputFile("map.toml", given_map.encode())) if given_map else StatementMap()
    return parse_statement(
        InputFile("f", data), REGISTERED, declaration, declaration.declared(None, account, as_of), form
    )


def refused(data: bytes, **more: object) -> str:
    with pytest.raises(BadInput) as bad:
        read(data, **more)  # type: ignore[arg-type]
    return "\n".join(bad.value.problems)


def contents(positions: list[Position]) -> dict[str, tuple[Fraction, dict[str, Fraction], str, datetime]]:
    assert {(p.custodian, p.account) for p in positions} == {("alpaca", "ITN-1")}
    return {p.isin: (p.quantity, dict(p.encumbered), p.basis, p.as_of) for p in positions}


@st.composite
def books(draw: st.DrawFn) -> Account:
    held = []
    for isin in draw(st.lists(st.sampled_from(ISINS), min_size=1, unique=True)):
        billionths = draw(st.integers(0, 10**21) | st.integers(0, 10**9).map(lambda n: n * 10**9))
        if draw(st.integers(0, 4)) == 0:
            # a short position has nothing to encumber
            held.append(Held(isin, -billionths))
            continue
        parts = sorted(draw(st.tuples(*[st.integers(0, billionths)] * 3)))
        # cut the aggregate at three places: the pieces never exceed it
        held.append(Held(isin, billionths, parts[0], parts[1] - parts[0], parts[2] - parts[1]))
    return Account("ITN-1", NOON, draw(st.sampled_from(["settled", "trade_date"])), tuple(held))


STYLES = [
    (";", ",", "'"),
    (",", ".", ""),
    ("\t", ",", "."),
    ("|", ".", ","),
    (";", ",", "\u00a0"),
    (";", ",", "\u202f"),
]


@settings(max_examples=60, deadline=None)
@given(books(), st.sampled_from(STYLES), st.booleans())
def test_one_book_gives_the_same_positions_through_every_format(
    book: Account, style: tuple[str, str, str], flag: bool
) -> None:
    unit = Fraction(1, 10**9)
    split = {h.isin: (h.quantity, {k: n * unit for k, n in h.parts.items()}, book.basis, book.at) for h in book.held}
    form, positions = read(to_mt535(book, pages=flag))
    assert (form, contents(positions)) == ("mt535", split)
    form, positions = read(
        to_semt002(book, "semt.002.001.05" if flag else "semt.002.001.11", "DgtlTknUnit" if flag else "Unit")
    )
    assert (form, contents(positions)) == ("semt002", split)
    local = book.at.astimezone(ZURICH)
    form, positions = read(to_csv(book, local, *style), given_map=csv_map(*style))
    assert (form, contents(positions)) == ("csv", {i: (q, e, "settled", a) for i, (q, e, _, a) in split.items()})
    # these two name no kinds: Alpaca says what is available, IBKR the aggregate alone
    form, positions = read(to_alpaca(book), given_map=ALPACA_MAP, account="ITN-1", as_of=book.at)
    whole = {
        h.isin: (
            h.quantity,
            {"not_available": rest} if (rest := (h.billionths - h.free) * unit) else {},
            "trade_date",
            book.at,
        )
        for h in book.held
    }
    assert (form, contents(positions)) == ("alpaca-positions", whole)
    form, positions = read(to_flex(book, lots=flag), given_map=FLEX_MAP)
    assert (form, contents(positions)) == ("ibkr-flex", {i: (q, {}, b, a) for i, (q, _, b, a) in whole.items()})


BOOK = Account("ITN-1", NOON, "settled", (Held(ISIN, 100 * 10**9, lent=10**9), Held(ISINS[1], -5 * 10**8)))
LONG = Account("ITN-1", NOON, "settled", (Held(ISIN, 100 * 10**9),))


def test_a_short_position_is_below_zero_in_each_format_that_can_tell() -> None:
    found = [read(to_mt535(BOOK))[1], read(to_semt002(BOOK))[1], read(to_flex(BOOK), given_map=FLEX_MAP)[1]]
    found.append(read(to_alpaca(BOOK), given_map=ALPACA_MAP, account="ITN-1", as_of=NOON)[1])
    style = (";", ",", "'")
    found.append(read(to_csv(BOOK, NOON.astimezone(ZURICH), *style), given_map=csv_map(*style))[1])
    plain = "custodian,account,isin,quantity,basis,as_of\nalpaca,ITN-1,{},{},settled,2026-11-02T21:00:05Z\n"
    found += [read(plain.format(ISINS[1], size).encode())[1] for size in ("-0.5", "(0.5)", "−0.5")]
    assert {contents(positions)[ISINS[1]][0] for positions in found} == {Fraction("-0.5")}


def test_an_empty_statement_is_a_zero_that_is_known() -> None:
    _, positions = read(mt535_page(LONG, (), "1/ONLY", "N").encode())
    assert {p.isin: p.quantity for p in positions} == dict.fromkeys(ISINS, 0)
    assert len({p.line for p in positions}) == 3
    xml = to_semt002(Account("ITN-1", NOON, "settled", ())).replace(b"<ActvtyInd>true", b"<ActvtyInd>false")
    assert {p.isin: p.quantity for p in read(xml)[1]} == dict.fromkeys(ISINS, 0)
    assert "no position is in it" in refused(mt535_page(LONG, (), "1/ONLY").encode())


MT = to_mt535(BOOK)


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        (b":28E:1/ONLY", b":28E:1/MORE", "line 2: is page 1/MORE, where page 1/LAST is wanted"),
        (b":28E:1/ONLY", b":28E:2/LAST", "is page 2/LAST, where page 1/LAST is wanted"),
        (b":28E:1/ONLY", b":28E:one", "no page number"),
        (b":23G:NEWM", b":23G:CANC", 'is "CANC": import the corrected statement'),
        (b"CODE//COMP", b"CODE//DELT", "it holds changes only (DELT)"),
        (b"STBA//SETT", b"STBA//CONT", 'STBA// is "CONT"'),
        (b":22F::STBA//SETT\n", b"", "says neither settled nor trade_date"),
        (b"\n-}", b"", "the file is cut short"),
        (b":16S:FIN\n-}", b"-}", "block FIN of line"),
        (b":17B::ACTI//Y", b":17B::ACTI//N", "says that nothing is held, but there are holdings"),
        (b"SAFE//ITN-1", b"SAFE//0815", 'account "0815" is in the registry under no such custodian'),
        (b":97A::SAFE//ITN-1\n", b"", "names no account"),
        (b"ISIN US037", b"/CH/1234 US037", "names no ISIN"),
        (ISINS[1].encode(), b"US4592001015", "is no ISIN"),
        (ISINS[1].encode(), ISIN.encode(), "is there twice"),
        (b"AGGR//UNIT/100,", b"AGGR//UNIT/100.5", "is no balance"),
        (b"AGGR//UNIT/100,", b"AGGR//UNIT/1.000,5", "is no balance"),
        (b"AGGR//UNIT/100,", b"AGGR//FAMT/100,", "is in FAMT, not in units"),
        (b"AGGR//UNIT/100,", b"AVAI//UNIT/100,", "has 0 aggregate balances"),
        (b"AGGR//UNIT/100,", b"AGGR//UNIT/0,5", "more is encumbered than held: 1 of 0.5"),
        (b"93C::LOAN", b"93C::ZZZZ", "of which it is not known whether it encumbers"),
        (b":98E::STAT//20261102210005/00", b":98A::STAT//20261102", "of the day 2026-11-02 alone"),
        (b":98E::STAT//20261102210005/00", b":98C::STAT//20261102210005", "has no zone"),
        (b":98E::STAT//20261102210005/00", b":98A::STAT//20261399", "which is no date"),
        (b"O535", b"O940", "it is an MT940"),
    ],
)  # fmt: skip
def test_a_bad_mt535_is_refused_with_its_line(old: bytes, new: bytes, said: str) -> None:
    assert old in MT
    problems = refused(MT.replace(old, new))
    assert said in problems, problems
    assert "line " in problems


def test_a_page_that_is_missing_or_twice_is_refused() -> None:
    first = mt535_page(BOOK, BOOK.held[:1], "1/MORE")
    last = mt535_page(BOOK, BOOK.held[1:], "2/LAST")
    assert len(read((first + last).encode())[1]) == 2
    for wrong in (last, first + first, last + first, first + last + last, first):
        assert "all pages of one statement belong in one file" in refused(wrong.encode())
    assert "cut short" in refused((first[: len(first) // 2] + last).encode())


def test_a_fin_level_available_balance_leaves_the_rest_encumbered() -> None:
    text = to_mt535(LONG).replace(b"AGGR//UNIT/100,\n", b"AGGR//UNIT/100,\n:93C::AVAI//UNIT/AVAI/70,\n")
    assert read(text)[1][0].encumbered == (("not_available", Fraction(30)),)
    named = text.replace(b":16S:FIN", b":16R:SUBBAL\n:93B::PLED//UNIT/10,\n:93B::PENR//UNIT/5,\n:16S:SUBBAL\n:16S:FIN")
    assert read(named)[1][0].encumbered == (("not_available", Fraction(20)), ("pledged", Fraction(10)))


SEMT = to_semt002(BOOK)


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        (b"<Cd>COMP", b"<Cd>DELT", "SctiesBalCtdyRpt[1]/StmtGnlDtls/UpdTp: is DELT"),
        (b"<Cd>SETT", b"<Cd>CONT", 'StmtBsis: is "CONT"'),
        (b"<LastPgInd>true", b"<LastPgInd>false", "all pages of one statement belong in one file"),
        (b"<PgNb>1", b"<PgNb>2", "where page 1 of 1 is wanted"),
        (b"<ActvtyInd>true", b"<ActvtyInd>false", "but there are balances"),
        (
            b"<Unit>100</Unit>",
            b"<FaceAmt>100</FaceAmt>",
            "BalForAcct[1]/AggtBal: has no quantity in units, but FaceAmt",
        ),
        (b"<Unit>100</Unit>", b"<Unit>1e2</Unit>", "is not a plain decimal"),
        (b"<Unit>100</Unit>", b"<Unit>NaN</Unit>", "is not a finite number"),
        (b"<Cd>LOAN", b"<Cd>ZZZZ", "BalBrkdwn[1]: has a sub-balance of type"),
        (b"<ISIN>US88160R1014</ISIN>", b"", "BalForAcct[2]/FinInstrmId: names no ISIN"),
        (b"<DtTm>2026", b"<DtTm>26", "is no date"),
        (b"+00:00</DtTm>", b"</DtTm>", "has no zone"),
        (b"</Document>", b"", "it is not XML"),
        (b"<Document", b'<!DOCTYPE d [<!ENTITY a "b"><!ENTITY c "&a;&a;">]><Document', "it declares a document type"),
        (b"<Document", b'<!DOCTYPE d SYSTEM "file:///etc/passwd"><Document', "it declares a document type"),
        (b'encoding="UTF-8"', b'encoding="x-unknown"', "it is not XML"),
        (b"semt.002.001.11", b"semt.002.001.\xff", "it is not XML"),
    ],
)
def test_a_bad_semt002_is_refused_with_its_element(old: bytes, new: bytes, said: str) -> None:
    assert old in SEMT
    problems = refused(SEMT.replace(old, new), form="semt002")
    assert said in problems, problems


FLEX = to_flex(BOOK)


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        (b"position='50'", b"position='51'", "the lots add up to 101, the summary says 100"),
        (b"levelOfDetail='LOT'", b"levelOfDetail='SUMMARY'", "has 3 summary rows"),
        (b"levelOfDetail='LOT'", b"levelOfDetail='ORDER'", "is not one of SUMMARY, LOT"),
        (b" isin='US0378331005'", b"", "has no attribute isin: tick it"),
        (b"reportDate='20261102'", b"reportDate='11/02/2026'", "in the style yyyy-MM-dd"),
        (b"position='100'", b"position='1,000'", "has separators"),
        (b"count='1'", b"count='2'", "its count is"),
        (b"OpenPositions>", b"Trades>", "has no section OpenPositions"),
    ],
)
def test_a_bad_flex_query_is_refused_with_its_element(old: bytes, new: bytes, said: str) -> None:
    assert old in FLEX
    count = 1 if said.startswith("the lots") else -1
    problems = refused(FLEX.replace(old, new, count), given_map=FLEX_MAP)
    assert said in problems, problems


def test_options_and_cash_in_a_flex_query_are_no_shares() -> None:
    option = FLEX.replace(b"</OpenPositions>", b"<OpenPosition assetCategory='OPT' position='7'/></OpenPositions>")
    assert read(option, given_map=FLEX_MAP) == read(FLEX, given_map=FLEX_MAP)


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b'[{"symbol": "NVDA", "qty": "1"}]', 'symbol "NVDA" has no ISIN'),
        (b'[{"symbol": "AAPL"}]', "[0].qty:"),
        (b'[{"symbol": "AAPL", "qty": NaN}]', "is not a finite number"),
        (b'[{"symbol": "AAPL", "qty": 1e3}]', "is not a plain decimal"),
        (b'[{"symbol": "AAPL", "qty": "1", "qty": "2"}]', "the same key twice"),
        (b'[{"symbol": "AAPL", "qty": "1", "qty_available": "2"}]', "more is available than held"),
        (b'[{"symbol": "AAPL", "qty": "1"}, {"symbol": "AAPL", "qty": "1"}]', "is there twice"),
        (b'[{"symbol": "AAPL"', "line 1: it is not JSON"),
        (b"[" * 100_000, "line 1: it is not JSON"),
        (b"[1]", "[0]: is no JSON object"),
        (b'{"a": 1}', "it is no JSON array"),
        (b"[]", "no position is in it"),
    ],
)
def test_bad_positions_of_alpaca_are_refused_with_their_place(data: bytes, said: str) -> None:
    problems = refused(data, given_map=ALPACA_MAP, account="ITN-1", as_of=NOON)
    assert said in problems, problems


def test_what_alpaca_leaves_open_must_be_declared() -> None:
    data = to_alpaca(LONG)
    assert "names no account" in refused(data, given_map=ALPACA_MAP, as_of=NOON)
    assert "has no time of its own" in refused(data, given_map=ALPACA_MAP, account="ITN-1")
    assert "has no ISIN" in refused(data, account="ITN-1", as_of=NOON)
    assert 'is of account "ITN-1", but "ITN-9" is declared' in refused(MT, account="ITN-9")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("colour = 'red'", '"colour": is not one of'),
        ("basis = 'SETTLED'", "basis: "),
        ("time_zone = 'Mars/Olympus'", "is no zone"),
        ("time_zone = '../../etc/passwd'", "is no zone"),
        ("cut_off = '25:00'", "is no time of day"),
        ("decimal = ';'", "is neither a point nor a comma"),
        ("decimal = ','\nthousands = ','", "is the decimal sign too"),
        ("delimiter = 'ab'", "is not one sign"),
        ("cut_off = 17", "is not a string"),
        ("[columns]\nisin = 'I'", "names no column for isin and quantity"),
        ("[columns]\nisin = 'I'\nquantity = 'Q'\nprice = 'P'", "columns.price: is not one of"),
        ("columns = 3", "columns: is no table"),
        ("[[", "it is not TOML"),
    ],
)
def test_a_bad_map_is_refused(text: str, said: str) -> None:
    with pytest.raises(BadInput) as bad:
        parse_map(InputFile("map.toml", text.encode()))
    assert said in str(bad.value)


@pytest.mark.parametrize(
    ("number", "said"),
    [("1'00,5", "has separators"), ("1.5", "has a point"), ("--1", "is negative"), ("1'000'00", "has separators")],
)
def test_numbers_of_another_style_are_refused(number: str, said: str) -> None:
    style = (";", ",", "'")
    data = to_csv(LONG, NOON, *style).replace(b'"100"', f'"{number}"'.encode())
    assert said in refused(data, given_map=csv_map(*style))


def test_hostile_files_are_refused_without_being_expanded() -> None:
    assert "larger than" in refused(SEMT + b" " * XML_BYTES_MAX)
    bomb = b'<!DOCTYPE x [<!ENTITY a "' + b"b" * 1000 + b'">' + b"".join(
        b'<!ENTITY a%d "%s">' % (n, b"&a%d;" % (n - 1) * 10 if n else b"&a;" * 10) for n in range(9)
    ) + b"]><semt.002>&a8;</semt.002>"  # fmt: skip
    assert "it declares a document type" in refused(bomb)
    assert "it is XML, but neither" in refused(b"<html></html>")
    assert "it is not XML" in refused(b"<a>" * 100_000, form="semt002")
    deep = b"<a>" * 100_000 + b"</a>" * 100_000
    assert "holds 0 securities balance custody reports" in refused(deep, form="semt002")
    assert "the format 'mt999' is not one of" in refused(MT, form="mt999")
    wide = to_semt002(LONG).decode().replace("UTF-8", "UTF-16").encode("utf-16")
    assert detect(InputFile("f", wide), "json") == "semt002"
    assert contents(read(wide)[1]) == contents(read(to_semt002(LONG))[1])
    assert "is not UTF-8" in refused(MT.replace(b"A NAME", b"A N\xc4ME"))


@given(st.binary(max_size=300), st.sampled_from([MT, SEMT, FLEX, to_alpaca(LONG)]), st.integers(0, 3000))
@settings(max_examples=300, deadline=None)
def test_no_bytes_are_a_defect(noise: bytes, base: bytes, cut: int) -> None:
    for data in (noise, base[:cut] + noise + base[cut:], base[:cut] + noise):
        with contextlib.suppress(BadInput):
            read(data, given_map=FLEX_MAP, account="ITN-1", as_of=NOON)


REQUEST = {
    "tokenization_request_id": "T-1", "issuer_request_id": "REQ-9", "type": "mint", "status": "completed",
    "token_symbol": "AAPLx", "underlying_symbol": "AAPL", "qty": "2.5", "network": "solana",
    "wallet_address": address("ap"), "tx_hash": signature(7), "created_at": iso(5), "updated_at": iso(8),
}  # fmt: skip


def test_tokenization_requests_become_orders() -> None:
    redeem = {**REQUEST, "issuer_request_id": None, "type": "redeem", "status": "pending", "tx_hash": None}
    file = InputFile("o.json", _json([REQUEST, redeem]))
    form, orders, count = parse_order_file(file, REGISTERED)
    assert (form, count) == ("alpaca-requests/2", 2)
    assert [(o.request_id, o.side, o.shares, o.status, o.settled_at) for o in orders] == [
        ("REQ-9", "issue", Fraction("2.5"), "completed", at(8)),
        ("T-1", "redeem", Fraction("2.5"), "pending", None),
    ]
    for change, said in (
        ({"type": "swap"}, '[0]: side "swap" is not one of'),
        ({"qty": "0"}, "is an order of nothing"),
        ({"token_symbol": "XYZ"}, "not an instrument"),
        ({"tx_hash": "0xabc"}, "[0]: signature"),
    ):
        with pytest.raises(BadInput) as bad:
            parse_order_file(InputFile("o.json", _json([{**REQUEST, **change}])), REGISTERED)
        assert said in str(bad.value)
    with pytest.raises(BadInput, match="is that of"):
        parse_order_file(InputFile("o.json", _json([REQUEST, REQUEST])), REGISTERED)
    with pytest.raises(BadInput, match="it is a statement"):
        parse_order_file(InputFile("o", MT), REGISTERED)


def _json(entries: list[Any]) -> bytes:
    return json.dumps(entries).encode()


async def test_what_is_lent_or_pledged_backs_nothing_and_stands_on_its_own_line(book: Book) -> None:
    await day(book)
    held = Held(ISIN, 252_500_000_000, lent=15 * 10**8, pledged=5 * 10**8)
    statement = to_mt535(Account("ITN-1", at(90), "settled", (held,)))
    taken = await tieout_reconcile.import_statement(book.dsn, book.file("s.fin", statement))
    assert (taken.format, taken.stored) == ("mt535", 1)
    run = await book.run()
    assert run.verdict is Verdict.TIES_OUT
    assert codes(run, notices=True) == ["B10"]
    (line,) = run.instruments[0].accounts
    assert (line.shares, line.aggregate, line.encumbered) == (Fraction("250.5"), Fraction("252.5"), Fraction(2))
    assert "2 shares of AAPLx of 252.5 at alpaca/ITN-1 are encumbered" in run.findings[0].summary
    row = await book.db.fetchrow("select quantity, encumbered, available from recon.positions")
    assert row is not None
    assert [str(v) for v in row] == ["252.5", "2.0", "250.5"]
    assert await book.db.fetchval("select encumbered from recon.custody") == 2
    assert (await tieout_reconcile.get_run(book.dsn, 1)).digest == run.digest


async def test_a_file_is_taken_once_under_each_declaration(book: Book) -> None:
    await book.registry()
    path = book.file("p.json", to_alpaca(LONG))
    given = book.file("map.toml", ALPACA_MAP)
    other = book.file("other.toml", ALPACA_MAP + 'NVDA = "US67066G1040"\n')

    async def take(map_path: Path) -> tieout_reconcile.Imported:
        return await tieout_reconcile.import_statement(book.dsn, path, map_path=map_path, account="ITN-1", as_of=at(1))

    first, again, mapped = await take(given), await take(given), await take(other)
    assert (first.new, again.new, mapped.new) == (True, False, True)
    assert await book.db.fetchval("select count(distinct declared) from recon.loads where kind = 'statement'") == 2
    listed = await tieout_reconcile.list_statements(book.dsn)
    assert [(s.format, s.basis) for s in listed] == [("alpaca-positions", "trade_date")] * 2
    with pytest.raises(BadInput, match="declare none"):
        await tieout_reconcile.import_statement(book.dsn, book.file("p.csv", "a"), account="ITN-1")
