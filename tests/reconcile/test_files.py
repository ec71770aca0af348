"""Registry, statement and order files: taken once, refused whole, every fault with its place."""

import asyncio
from pathlib import Path

import pytest

import tieout_reconcile
from reconcile.builders import ISIN, MINT, OTHER_ISIN, REGISTRY, Book, address, instrument, issue, signature, wallet
from tieout_reconcile import BadInput, NoRegistry
from tieout_reconcile.files import PROBLEMS_MAX, InputFile
from tieout_reconcile.registry_file import SECTIONS, parse_registry

HEADER = "custodian,account,isin,quantity,basis,as_of"
GOOD = f"alpaca,ITN-1,{ISIN},250.5,settled,2026-11-02T21:00:00Z"


def problems_of(text: str | bytes) -> list[str]:
    data = text if isinstance(text, bytes) else text.encode()
    with pytest.raises(BadInput) as refused:
        parse_registry(InputFile("r.toml", data))
    return list(refused.value.problems)


async def loads(book: Book) -> int:
    count: int = await book.db.fetchval("select count(*) from recon.load_row")
    return count


def test_every_fault_of_a_registry_is_listed_with_its_place() -> None:
    text = f"""
surprise = 1
[[instruments]]
symbol = "AAPLx"
mint = "not base 58"
isin = "US0378331006"
decimals = true
colour = "red"
[[instruments]]
symbol = "TSLAx"
mint = "{MINT[:-3]}"
isin = "{OTHER_ISIN.lower()}"
decimals = 300
[[wallets]]
owner = "{address("t")}"
account = "{address("t")}"
role = "treasurey"
instrument = "NVDAx"
valid_from = 2026-01-01
source = 7
[[wallets]]
role = "lost"
valid_from = "2026-02-01T00:00:00+01:00"
valid_to = 2026-01-01T00:00:00Z
source = "s"
[[custodians]]
id = "alpaca"
name = ""
quantum = 0.1
[[custodians.accounts]]
id = "A"
instruments = ["NVDAx", 1]
"""
    found = problems_of(text)
    assert f'"surprise": is not one of {", ".join(SECTIONS)}' in found
    assert 'wallets[0].role: "treasurey" is not one of treasury, inventory' in "\n".join(found)
    for beginning in (
        "instruments[0].mint: is no address",
        'instruments[0].isin: "US0378331006" is no ISIN',
        'instruments[0].decimals: "True" is not an integer',
        "instruments[0].colour: is not one of symbol, mint",
        "instruments[1].mint: is no address",
        "instruments[1].isin",
        "instruments[1].decimals: 300 is not between 0 and 18",
        "wallets[0]: names either an owner or one token account",
        'wallets[0].instrument: "NVDAx" is the symbol of no instrument',
        "wallets[0].valid_from",
        'wallets[0].source: "7" is not a string',
        "wallets[1]: names either",
        "wallets[1].valid_to: 2026-01-01 00:00:00+00:00 is not after",
        'custodians[0].name: "" is empty',
        'custodians[0].quantum: "0.1" is not a decimal number in quotes',
        'custodians[0].accounts[0].instruments: "NVDAx" is the symbol of no instrument',
        'custodians[0].accounts[0].instruments: "1" is not a string',
    ):
        assert any(line.startswith(beginning) for line in found), beginning


def test_duplicates_and_overlaps_are_refused() -> None:
    lost = wallet("owner", address("treasury"), "lost", "2026-05-01T00:00:00Z")
    found = problems_of(REGISTRY + instrument("AAPLx", MINT, ISIN) + lost)
    assert 'instruments: symbol "AAPLx" is there 2 times' in found
    assert f'instruments: mint "{MINT}" is there 2 times' in found
    assert f'instruments: isin "{ISIN}" is there 2 times' in found
    assert any("the two overlap" in line for line in found)


def test_a_role_may_follow_another_without_a_gap() -> None:
    ended = REGISTRY.replace('source = "wallet list"', 'source = "wallet list"\nvalid_to = 2026-05-01T00:00:00Z', 1)
    lost = wallet("owner", address("treasury"), "lost", "2026-05-01T00:00:00Z")
    assert len(parse_registry(InputFile("r", (ended + lost).encode())).wallets) == 3


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "a registry names at least one instrument"),
        (b"[[instruments", "it is not TOML"),
        (b"a = \xff", "line 1: byte 5 (0xff) is not UTF-8"),
        (b'\n\na = "\0"', "line 3: it holds a NUL"),
        (b"instruments = 3", "is no array of tables"),
        (b"a = " + b"[" * 100_000, "it is not TOML"),
    ],
)
def test_a_file_that_is_no_registry_gets_a_sentence(data: bytes, said: str) -> None:
    assert said in problems_of(data)[0]


async def test_a_registry_is_planned_then_applied_once(book: Book) -> None:
    path = book.file("r.toml", REGISTRY)
    plan = await tieout_reconcile.plan_registry(book.dsn, path)
    assert plan.load is None
    assert [c.action for c in plan.changes] == ["add"] * 5
    assert await loads(book) == 0
    applied = await tieout_reconcile.apply_registry(book.dsn, path)
    assert (applied.load, applied.changes) == (1, plan.changes)
    same = await tieout_reconcile.apply_registry(book.dsn, book.file("r2.toml", "# a comment\n" + REGISTRY))
    assert (same.load, same.changes) == (1, ())
    changed = REGISTRY.replace("decimals = 8", "decimals = 6")
    (change,) = (await tieout_reconcile.plan_registry(book.dsn, book.file("r3.toml", changed))).changes
    assert change.text() == "~ instrument AAPLx: decimals 8 -> 6"
    await tieout_reconcile.apply_registry(book.dsn, book.file("r3.toml", changed))
    back = await tieout_reconcile.apply_registry(book.dsn, path)
    assert back.load == 3
    assert await book.db.fetchval("select count(*) from recon.instruments") == 1


async def test_a_registry_read_back_equals_the_one_applied(book: Book) -> None:
    text = REGISTRY + 'instruments = ["AAPLx"]\nvalid_from = 2026-03-01T00:00:00Z\n'
    more = 'instrument = "AAPLx"\nvalid_to = 2026-04-01T00:00:00Z\nevidence = "e"'
    text += wallet("account", address("x"), "bridge", '"2026-02-01T00:00:00+01:00"', more)
    await book.registry(text)
    assert await tieout_reconcile.show_registry(book.dsn) == parse_registry(InputFile("r", text.encode()))


@pytest.mark.parametrize(
    ("row", "said"),
    [
        (GOOD.replace("250.5", "1,000"), "line 3: has 7 fields, the header has 6"),
        (GOOD.replace("250.5", '"1,000"'), 'line 3: quantity "1,000" has separators'),
        (GOOD.replace("250.5", "1'000"), "has separators"),
        (GOOD.replace("250.5", "--1"), 'line 3: quantity "--1" is negative'),
        (GOOD.replace("250.5", "NaN"), "is not a finite number"),
        (GOOD.replace("250.5", "Infinity"), "is not a finite number"),
        (GOOD.replace("250.5", "1e3"), "is not a plain decimal number"),
        (GOOD.replace("250.5", "٣"), "is not a plain decimal number"),
        (GOOD.replace("250.5", ""), "needs either quantity or raw: unknown is not zero"),
        (GOOD.replace("250.5", "0." + "1" * 19), "is not a plain decimal number"),
        (GOOD.replace(ISIN, "US0378331006"), 'line 3: isin "US0378331006" is no ISIN'),
        (GOOD.replace("ITN-1", "ITN-2"), 'line 3: account "ITN-2" at custodian "alpaca" is not in the registry'),
        (GOOD.replace("settled", "SETTLED"), 'basis "SETTLED" is not one of settled, trade_date'),
        (GOOD.replace("Z", ""), "has no time zone"),
        (GOOD.replace("2026-11-02T21:00:00Z", "yesterday"), "is not an ISO 8601 instant"),
        (GOOD.replace("2026-11-02T21:00:00Z", "0001-01-01T00:00:00+12:00"), "lies outside the calendar"),
        (GOOD.replace("250.5", "250.50"), "line 3: is the position of line 2 again"),
        (GOOD.replace("ITN-1", "x" * 300), "account has 300 characters"),
        (GOOD.replace("ITN-1", "a\x1b[2Jb"), "holds control characters"),
        (GOOD.replace("ITN-1", '"unclosed'), "is not CSV"),
        (GOOD.replace("ITN-1", "y" * 200_000), "is not CSV: field larger than field limit"),
    ],
)
async def test_a_bad_statement_is_refused_whole_with_its_line(book: Book, row: str, said: str) -> None:
    await book.registry()
    path = book.file("p.csv", f"{HEADER}\n{GOOD}\n{row}\n")
    with pytest.raises(BadInput) as refused:
        await tieout_reconcile.import_statement(book.dsn, path)
    assert any(said in problem for problem in refused.value.problems), refused.value.problems
    assert "refused whole" in str(refused.value)
    assert await loads(book) == 1
    assert await book.db.fetchval("select count(*) from recon.position_row") == 0


async def test_hostile_files_are_refused(book: Book, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    await book.registry()
    monkeypatch.setattr("tieout_reconcile.files.FILE_BYTES_MAX", 100_000)
    for data, said in (
        (b"", "line 1: it is empty"),
        (f"{HEADER}\n{GOOD}\0\n".encode(), "line 2: it holds a NUL"),
        (f"{HEADER}\n{GOOD}\n".encode("utf-16"), "line 1: byte 1 (0xff) is not UTF-8"),
        (f"{HEADER}\n{GOOD}ä\n".encode("latin-1"), "line 2: byte"),
        (b"x" * 100_001, "larger than 100000 bytes"),
        (f"{HEADER},{HEADER}\n".encode(), "is there twice"),
        (b"custodian,amount\n", 'the column "amount" is not one of'),
    ):
        with pytest.raises(BadInput) as refused:
            await tieout_reconcile.import_statement(book.dsn, book.file("h.csv", data))
        assert any(said in problem for problem in refused.value.problems), (said, refused.value.problems)
    many = "\n".join([HEADER, *(GOOD.replace("250.5", "one") for _ in range(PROBLEMS_MAX + 7))])
    with pytest.raises(BadInput, match="and 7 more"):
        await tieout_reconcile.import_statement(book.dsn, book.file("h.csv", many))
    for place in (tmp_path, tmp_path / "missing", "a\0b"):
        with pytest.raises(BadInput):
            await tieout_reconcile.import_statement(book.dsn, place)
    assert await loads(book) == 1


async def test_a_statement_is_taken_once_by_its_bytes(book: Book) -> None:
    await book.registry()
    path = book.file("p.csv", f"\ufeff{HEADER}\r\n{GOOD}\r\n\r\n")
    first = await tieout_reconcile.import_statement(book.dsn, path)
    again = await tieout_reconcile.import_statement(book.dsn, path)
    assert (first.new, first.load, first.stored) == (True, 2, 1)
    assert (again.new, again.load, again.stored) == (False, 2, 0)
    assert await loads(book) == 2


async def test_statements_imported_at_once_get_loads_without_gaps(book: Book) -> None:
    await book.registry()
    paths = [book.file(f"p{n}.csv", f"{HEADER}\n{GOOD.replace('250.5', str(n))}\n") for n in range(5)]
    done = await asyncio.gather(*(tieout_reconcile.import_statement(book.dsn, path) for path in [*paths, paths[0]]))
    assert sorted({d.load for d in done}) == [2, 3, 4, 5, 6]
    assert sum(d.new for d in done) == 5


async def test_a_statement_may_be_in_raw_units_but_not_in_a_fraction_of_one(book: Book) -> None:
    await book.registry()
    header = HEADER.replace("quantity", "raw")
    await tieout_reconcile.import_statement(
        book.dsn, book.file("p.csv", f"{header}\n{GOOD.replace('250.5', '25050000000')}")
    )
    assert str(await book.db.fetchval("select quantity from recon.positions")) == "250.5"
    with pytest.raises(BadInput, match=r'line 2: raw "250\.5" is a fraction, but a raw amount is a whole number'):
        await tieout_reconcile.import_statement(book.dsn, book.file("p.csv", f"{header}\n{GOOD}"))


async def test_without_a_registry_nothing_is_taken(book: Book) -> None:
    with pytest.raises(NoRegistry):
        await tieout_reconcile.import_statement(book.dsn, book.file("p.csv", f"{HEADER}\n{GOOD}"))


ORDER_HEADER = "request_id,side,symbol,isin,quantity,raw,status,wallet,signature,created_at,settled_at"
ORDER = "REQ-1,issue,AAPLx,,250.5,,pending,,,2026-11-02T21:00:00Z,"


@pytest.mark.parametrize(
    ("row", "said"),
    [
        (ORDER, 'line 3: request_id "REQ-1" is that of line 2 again'),
        (ORDER.replace("REQ-1", ""), 'request_id "" is no request id'),
        (ORDER.replace("REQ-1", "REQ 2"), "no spaces"),
        (ORDER.replace("issue", "sell"), 'side "sell" is not one of issue, redeem'),
        (ORDER.replace("AAPLx", "NVDAx"), "not an instrument of the registry"),
        (ORDER.replace("AAPLx,", ",") + "", "needs a symbol or an isin"),
        (ORDER.replace("AAPLx,", f"AAPLx,{OTHER_ISIN}"), "not an instrument of the registry"),
        (ORDER.replace("250.5,", "0,"), "is an order of nothing"),
        (ORDER.replace("250.5,", ","), "needs either quantity"),
        (ORDER.replace("250.5,", ",1.5"), 'line 3: raw "1.5" is a fraction'),
        (ORDER.replace("250.5,", ",18446744073709551616"), "is more than the largest raw amount"),
        (ORDER.replace("250.5,", "1,1"), "needs either quantity"),
        (ORDER.replace("pending,,", "pending,xyz0,"), "is no address"),
        (ORDER.replace("pending,,,", f"pending,,{address('a')},"), "is no transaction signature"),
        (ORDER.replace("pending", "done"), "is not one of pending, completed, rejected"),
        (ORDER + "2026-11-03T00:00:00Z", "is pending and has a settled_at"),
        (ORDER.replace("pending", "completed") + "2026-11-01T00:00:00Z", "is before created_at"),
    ],
)
async def test_a_bad_order_file_is_refused_whole_with_its_line(book: Book, row: str, said: str) -> None:
    await book.registry()
    with pytest.raises(BadInput) as refused:
        await tieout_reconcile.import_orders(book.dsn, book.file("o.csv", f"{ORDER_HEADER}\n{ORDER}\n{row}\n"))
    assert any(said in problem for problem in refused.value.problems), refused.value.problems
    assert all(problem.startswith("line 3") for problem in refused.value.problems)
    assert await book.db.fetchval("select count(*) from recon.order_row") == 0


async def test_an_order_gets_a_new_version_only_when_it_says_something_new(book: Book) -> None:
    await book.registry()
    path = book.file("o.csv", f"{ORDER_HEADER}\n{ORDER}\n")
    assert (await tieout_reconcile.import_orders(book.dsn, path)).stored == 1
    assert not (await tieout_reconcile.import_orders(book.dsn, path)).new
    moved = ORDER.replace("250.5", "250.50")
    done = ORDER.replace("REQ-1", "REQ-2").replace("pending,,", f"completed,{address('ap')},{signature(1)}")
    same = await tieout_reconcile.import_orders(book.dsn, book.file("o2.csv", f"{ORDER_HEADER}\n{done}\n{moved}\n"))
    assert (same.rows, same.stored) == (2, 1)
    await book.orders(issue("REQ-1", "250.5"))
    latest = {o.request_id: o for o in await tieout_reconcile.list_orders(book.dsn)}
    assert latest["REQ-1"].status == "completed"
    assert (latest["REQ-2"].wallet, latest["REQ-2"].signature) == (address("ap"), signature(1))
    assert await book.db.fetchval("select count(*) from recon.order_versions") == 3
