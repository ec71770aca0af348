"""Dated prices: values stand beside units, with their day, and nothing that judges reads one."""

import ast
import json
import random
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

import tieout_reconcile
from reconcile.builders import ISIN, OTHER_ISIN, REGISTRY, Book, address, at, cash, instrument, iso, redeem
from reconcile.test_inputs import KNOWN
from reconcile.test_reports import TRUSTED, failed, made, month, resigned
from support.paths import ROOT
from tieout_reconcile import BadInput, values_beside, verify_report
from tieout_reconcile.files import InputFile
from tieout_reconcile.prices import parse_prices
from tieout_reconcile.registry import Instrument, compare, sorted_registry
from tieout_reconcile.reports import bundle

DAY = at(100).date()
COLUMNS = "isin,date,price,currency,source"


def price(amount: str, days_before: int = 0, currency: str = "USD", **more: Any) -> dict[str, Any]:
    return {"isin": ISIN, "date": DAY - timedelta(days=days_before), "price": amount, "currency": currency,
            "source": "closing price", **more}  # fmt: skip


async def worth(book: Book, run: tieout_reconcile.Run) -> list[tuple[Any, ...]]:
    found = await values_beside(book.dsn, run)
    return [(v.symbol, v.currency, v.day, v.liability, v.custody, v.difference, v.problem) for v in found]


@pytest.mark.parametrize(
    ("row", "says"),
    [
        ("US0378331006,2026-11-02,1,USD,x", 'line 2: isin "US0378331006" is no ISIN'),
        (f"{ISIN},2.11.2026,1,USD,x", "line 2: date"),
        (f"{ISIN},2026-11-02,0,USD,x", 'line 2: price "0" is 0'),
        (f"{ISIN},2026-11-02,-1,USD,x", "line 2: price"),
        (f"{ISIN},2026-11-02,1e3,USD,x", "line 2: price"),
        (f"{ISIN},2026-11-02,1,dollar,x", "line 2: currency"),
        (f"{ISIN},2026-11-02,1,USD,", "line 2: has no source"),
        (f"{ISIN},2026-11-02,1,USD,x\n{ISIN},2026-11-02,2,USD,x", "line 3: the price of this isin, currency and date"),
    ],
)
def test_a_bad_row_is_told_with_its_line(row: str, says: str) -> None:
    with pytest.raises(BadInput, match=says):
        parse_prices(InputFile("prices.csv", f"{COLUMNS}\n{row}\n".encode()), KNOWN)
    text = f"{COLUMNS},mic\n{ISIN},2026-11-02,1,USD,x,nasdaq\n"
    with pytest.raises(BadInput, match="no market identifier"):
        parse_prices(InputFile("prices.csv", text.encode()), KNOWN)


async def test_the_last_price_on_or_before_the_cut_off_counts_with_its_day(book: Book) -> None:
    await month(book)
    assert await worth(book, await book.run(100)) == []
    await book.records("prices", price("200", 3), price("250.5", 2), price("180", 3, "EUR"))
    run = await book.run(100)
    usd = ("AAPLx", "USD", DAY - timedelta(days=2), 42 * Fraction("250.5"), 42 * Fraction("250.5"), 0, None)
    eur = ("AAPLx", "EUR", DAY - timedelta(days=3), 42 * 180, 42 * 180, 0, None)
    # each in its own currency, none converted into the other
    assert await worth(book, run) == [eur, usd]
    # a later version of the same day supersedes, for what is known from then on
    await book.records("prices", price("251", 2))
    later = await book.run(100)
    assert (await worth(book, later))[1][3] == 42 * 251
    assert await worth(book, run) == [eur, usd]
    assert [p.price for p in await tieout_reconcile.list_records(book.dsn, "prices")] == [180, 200, 251]


async def test_where_no_price_lies_within_the_declared_days_there_is_none(book: Book) -> None:
    await month(book)
    registry = REGISTRY.replace("decimals = 8", "decimals = 8\nprice_days_max = 3", 1)
    await book.registry(registry + instrument("TSLAx", address("tsla"), OTHER_ISIN))
    await book.records("prices", price("200", 4))
    (aapl, tsla) = await worth(book, await book.run(100))
    assert aapl[:3] == ("AAPLx", "USD", DAY - timedelta(days=4))
    assert aapl[3:] == (None, None, None, f"no price within 3 days before {DAY}: the last is of {aapl[2]}")
    assert tsla == ("TSLAx", None, None, None, None, None, "no price")
    await book.records("prices", price("200", 3), price("9", 0, isin=OTHER_ISIN))
    (aapl, tsla) = await worth(book, await book.run(100))
    assert aapl[3] == 42 * 200
    # what is unknown in shares has no value
    assert tsla[3:] == (None, None, None, None)


async def test_what_redeemers_are_owed_is_shown_in_the_very_currency_alone(book: Book) -> None:
    await month(book)
    await book.orders(redeem("RED-1", "3", settled_at=iso(60), **cash("600.25")))
    await book.records("prices", price("200"), price("180", 0, "EUR"))
    run = await book.run(100)
    found = await values_beside(book.dsn, run)
    assert [(v.currency, v.payable) for v in found] == [("EUR", 0), ("USD", Fraction("600.25"))]
    # a look-up of figures knows nothing of cash: it says so
    looked_up = await values_beside(book.dsn, await tieout_reconcile.coverage(book.dsn, 100))
    assert [(v.liability, v.payable) for v in looked_up] == [
        (Fraction(42 * 180), None),
        (Fraction(42 * 200), None),
    ]


@pytest.mark.parametrize("seed", range(4))
async def test_no_price_changes_a_byte_of_verdict_figures_or_findings(book: Book, seed: int) -> None:
    chance = random.Random(seed)
    await month(book)
    await book.statement(str(chance.choice(["42", "30", "60.5"])), 95)

    def judged(run: Any) -> bytes:
        plain = run.to_json()
        del plain["inputs"]
        return json.dumps(plain).encode()

    before, looked_up = await book.run(100), await tieout_reconcile.coverage(book.dsn, 100)
    for _ in range(3):
        days = chance.sample(range(40), 5)
        rows = [price(f"{chance.randint(1, 10**6)}.{chance.randint(0, 99):02}", day,
                      chance.choice(["USD", "EUR", "JPY"])) for day in days]  # fmt: skip
        await book.records("prices", *rows)
    after = await book.run(100)
    assert after.inputs != before.inputs
    assert judged(after) == judged(before)
    assert judged(await tieout_reconcile.coverage(book.dsn, 100)) == judged(looked_up)
    assert len(await values_beside(book.dsn, after)) > 0


def test_nothing_that_judges_imports_prices() -> None:
    allowed = {"inputs", "loads", "intake", "valuing", "__init__", "build"}
    package = ROOT / "reconcile" / "tieout_reconcile"
    found = {
        path.stem
        for path in package.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.ImportFrom) and node.module in ("tieout_reconcile.prices", "tieout_reconcile.valuing")
    }
    assert found == allowed


async def test_a_file_is_taken_once_and_a_bad_one_leaves_nothing(book: Book) -> None:
    await month(book)
    taken = await book.records("prices", price("200"))
    path = book.file("again.csv", Path(book.folder / taken.path).read_bytes())
    again = await tieout_reconcile.import_records(book.dsn, "prices", path)
    assert (taken.new, again.new, again.load) == (True, False, taken.load)
    coming = datetime.now(UTC).date() + timedelta(days=3)
    with pytest.raises(BadInput, match=f"line 3: date {coming} is to come"):
        await book.records("prices", price("199", 1), price("1") | {"date": coming})
    assert [p.price for p in await tieout_reconcile.list_records(book.dsn, "prices")] == [200]
    assert await book.db.fetchval("select count(*) from recon.prices") == 1


async def test_the_report_tells_values_and_a_verifier_computes_them_from_the_price_file(
    book: Book, tmp_path: Path
) -> None:
    await month(book)
    await made(book, tmp_path, 60)
    taken = await book.records("prices", price("250.5", 1))
    path = await made(book, tmp_path)
    verified = verify_report(path, TRUSTED)
    assert failed(verified) == {}
    files = bundle.unpack(path)
    report = json.loads(files[bundle.REPORT])
    (value,) = report["values"]
    assert (value["price"], value["liability"], value["day"]) == ("250.5", "10521", str(DAY - timedelta(days=1)))
    loads = json.loads(files[bundle.LOADS])["loads"]
    assert (taken.sha256, "prices") in {(x["sha256"], x["kind"]) for x in loads}
    assert ">10521<" in files[bundle.PAGE].decode()
    assert "AAPLx,value_liability_USD,10521\n" in files[bundle.TABLE].decode()
    assert "value_" not in bundle.unpack(tmp_path / "report-60-1.zip")[bundle.TABLE].decode()

    def flatter(said: dict[str, Any]) -> None:
        said["values"][0]["difference"] = "1000000"

    forged = verify_report(resigned(path, lambda _: None, flatter), TRUSTED)
    assert 'values[0].difference: it says "1000000", computed "0"' in failed(forged)["report"]

    def dearer(files: dict[str, bytes]) -> None:
        name = bundle.load_name(taken.load)
        files[name] = files[name].replace(b"250.5", b"999.9")

    assert "computed" in failed(verify_report(resigned(path, dearer), TRUSTED))


def test_a_registry_that_does_not_say_how_old_a_price_may_be_is_the_same_as_before() -> None:
    one = Instrument("AAPLx", address("mint"), ISIN, 8)
    old, new = (sorted_registry([i], [], []) for i in (one, Instrument(**{**_fields(one), "price_days_max": 2})))
    assert "price_days_max" not in json.dumps(old.to_json())
    (change,) = compare(old, new)
    assert change.text() == "~ instrument AAPLx: price_days_max not said -> 2"
    (back,) = compare(new, old)
    assert back.text() == "~ instrument AAPLx: price_days_max 2 -> not said"


def _fields(one: Instrument) -> dict[str, Any]:
    return {name: getattr(one, name) for name in Instrument.__slots__}
