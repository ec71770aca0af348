"""A mint opened from a snapshot reconciles from there on as one known from its creation."""

from collections.abc import AsyncIterator
from fractions import Fraction
from pathlib import Path

import pytest

import tieout_reconcile
from reconcile.builders import MINT, ONE, REGISTRY, Book, address, at, iso, issue, memo, redeem, wallet
from reconcile.test_reports import TRUSTED, failed, made, resigned
from support.database import fresh_database
from tieout_reconcile import Verdict, verify_report

SNAPSHOT = 50
INDEX = 2**31 - 1
STATEMENT = "61.5"  # 41 raw tokens outside, at 1.5 a token


async def before(book: Book) -> None:
    """What happened before the snapshot: issues, a hand-over to be, a multiplier."""
    await book.open_mint()
    await book.mint(10, "treasury", 1000 * ONE)
    await book.transfer(20, "treasury", "ap", 30 * ONE)
    await book.transfer(21, "ap", "alice", 10 * ONE)
    await book.transfer(22, "ap", "carol", 5 * ONE)
    await book.multiplier(30, 1.5, 0)


async def after(book: Book) -> None:
    """What came after it: an issue, outsiders trading, a return, a mint, a burn, an account that changes hands."""
    await book.transfer(60, "treasury", "ap", 20 * ONE, memo=memo("issue", "REQ-1"))
    await book.transfer(61, "alice", "bob", 10 * ONE)
    await book.mint(62, "treasury", 7 * ONE)
    await book.burn(63, "treasury", ONE)
    await book.transfer(64, "ap", "redemption", 9 * ONE)
    await book.hand_over(65, "carol", "treasury")
    await book.hand_over(66, "carol", "dave")
    await book.track(100, from_slot=SNAPSHOT + 1)
    await book.registry()
    await book.orders(issue("REQ-1", "30"))
    await book.statement(STATEMENT, 90)


async def snapshot(book: Book, hidden: int = 0) -> None:
    """The rows that ``tieout index snapshot`` writes, in the place of all that was before."""
    held = dict(book._balances)
    await book.flush()
    await book.db.execute("set session_replication_role = replica")
    for table in ("event_row", "touch_row", "control_row"):
        await book.db.execute(f"delete from ledger.{table}")
    await book.db.execute("set session_replication_role = origin")
    owners = {book.ata(name): address(name) for name in ("treasury", "ap", "alice", "carol", "redemption")}
    await book.db.execute("select ledger.ensure_partition($1)", SNAPSHOT)
    await book.db.execute(
        "insert into ledger.opening_row values ($1, $2, 8, $3, 0, $4, $5, $6)",
        MINT, SNAPSHOT, sum(held.values()) + hidden, hidden, len(held), book.batch,
    )  # fmt: skip
    for account, amount in held.items():
        await book.db.execute(
            "insert into ledger.touch_row values ($1, $2, $3, $4, 8, $5, $5, $6, $6, $7)",
            SNAPSHOT, INDEX, MINT, account, amount, owners[account], book.batch,
        )  # fmt: skip
    told = [("snapshot", {"decimals": 8, "authorities": {}})]
    told += [("multiplier", {"bits": "000000000000f83f", "effective_timestamp": 0})] * 2
    for step, (kind, details) in enumerate(told):
        await book.db.execute(
            "insert into ledger.control_row values ($1, $2, $3, $4, -1, '', '', $5, $6, null, null, $7, $8)",
            SNAPSHOT, at(SNAPSHOT), INDEX, step, kind, MINT, {**details, "snapshot": True}, book.batch,
        )  # fmt: skip


@pytest.fixture
async def whole(server_dsn: str, template: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Book]:
    """The same mint, known from its creation."""
    async with fresh_database(server_dsn, template) as dsn:
        book = await Book.open(dsn, tmp_path_factory.mktemp("whole"))
        await book.commit()
        await before(book)
        await book.track(SNAPSHOT)
        await after(book)
        yield book
        await book.close()


async def cut(book: Book, hidden: int = 0) -> None:
    await book.commit()
    await before(book)
    await snapshot(book, hidden)
    await after(book)


def figures(run: tieout_reconcile.Run) -> list[object]:
    found = run.instruments[0]
    return [
        found.verdict, found.supply, found.inventory, found.in_transit, found.circulating, found.owed_returns,
        found.liability_raw, found.multiplier_bits, found.liability, found.difference, found.reasons,
    ]  # fmt: skip


async def test_every_figure_is_that_of_the_same_mint_known_from_its_creation(book: Book, whole: Book) -> None:
    await cut(book)
    known, run = await whole.run(100), await book.run(100)
    assert figures(run) == figures(known)
    assert known.instruments[0].circulating == 41 * ONE
    assert run.instruments[0].supply == 1006 * ONE
    assert run.instruments[0].reasons == (), "nothing is unknown"
    since = {f.key for f in known.findings if f.at is None or f.at > at(SNAPSHOT)}
    assert {f.key for f in run.findings} == since, "what happened since is named alike, and nothing else"
    opening = [c for c in run.instruments[0].crossings if c.kind == "opening"]
    assert [(c.direction, int(c.raw), c.shares) for c in opening] == [("out", 30 * ONE, Fraction(45))]


async def test_what_is_hidden_or_withheld_at_the_snapshot_is_outside(book: Book) -> None:
    await cut(book, hidden=2 * ONE)
    found = (await book.run(100)).instruments[0]
    assert (found.circulating, found.supply, found.reasons) == (43 * ONE, 1008 * ONE, ())


@pytest.mark.parametrize(("status", "custody"), [("pending", "45"), ("completed", "31.5")])
async def test_what_lay_in_a_redemption_wallet_is_owed_until_its_order_settles(
    book: Book, status: str, custody: str
) -> None:
    await book.commit()
    await before(book)
    await book.transfer(40, "ap", "redemption", 9 * ONE)
    await snapshot(book)
    await book.track(100, from_slot=SNAPSHOT + 1)
    await book.registry()
    await book.orders(redeem("RED-1", "13.5", status=status, wallet=address("ap"), created_at=iso(40)))
    await book.statement(custody, 90)
    run = await book.run()
    owed = run.instruments[0].owed_returns
    assert owed == (9 * ONE if status == "pending" else 0)
    assert run.clean, run.findings


async def test_before_the_snapshot_and_beyond_the_proof_nothing_is_known(book: Book) -> None:
    await cut(book)
    early, late = await book.run(SNAPSHOT - 1), await book.run(101)
    assert {early.verdict, late.verdict} == {Verdict.INCOMPLETE}
    assert early.instruments[0].supply is late.instruments[0].supply is None
    assert f"begins at {SNAPSHOT}" in early.instruments[0].reasons[0]


async def test_from_the_first_block_after_it_on_it_is_what_the_snapshot_found(book: Book) -> None:
    await cut(book)
    at_once = (await book.run(SNAPSHOT)).instruments[0]
    assert "no block time" in at_once.reasons[0], "the snapshot's own block was not read"
    found = (await book.run(SNAPSHOT + 1)).instruments[0]
    assert (found.supply, found.circulating) == (1000 * ONE, 30 * ONE)


async def test_a_wallet_that_becomes_the_issuers_later_moves_what_the_snapshot_found_in_it(book: Book) -> None:
    await cut(book)
    since = at(80).isoformat()
    await book.registry(REGISTRY + wallet("owner", address("bob"), "inventory", since))
    await book.registry(REGISTRY + wallet("account", book.ata("ap"), "inventory", since))
    found = (await book.run(100)).instruments[0]
    assert found.reasons == ()
    assert [c.raw for c in found.crossings if c.kind == "role_change"] == [26 * ONE]
    assert found.circulating == 15 * ONE


async def test_a_report_of_it_recomputes_offline_and_what_is_taken_out_shows(book: Book, tmp_path: Path) -> None:
    await cut(book, hidden=ONE)
    path = await made(book, tmp_path)
    checked = verify_report(path, TRUSTED)
    assert failed(checked) == {}

    def lose(files: dict[str, bytes]) -> None:
        for name, data in files.items():
            lines = data.splitlines(keepends=True)
            if any(b'"opening"' in line for line in lines) and any(b'"event"' in line for line in lines):
                held = next(line for line in lines if b'"event"' in line and b'"opening"' in line)
                files[name] = b"".join(line for line in lines if line != held)

    assert failed(verify_report(resigned(path, lose), TRUSTED)) != {}


async def test_listed_history_from_before_it_changes_nothing(book: Book, whole: Book) -> None:
    """Rows from before the snapshot, as an earlier listing leaves them, do not count again."""
    await cut(book)
    await book.transfer(40, "ap", "alice", 3 * ONE)
    await book.mint(41, "treasury", 5 * ONE)
    run = await book.run(100)
    assert figures(run) == figures(await whole.run(100))
