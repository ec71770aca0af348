"""Payments in stablecoins: what a payment says of its transaction is held against what the ledger has of it."""

import json
from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from reconcile.builders import MINT, REGISTRY, Book, address, at, cash, payment, redeem, signature
from reconcile.test_reports import TRUSTED, failed, made, month, resigned, without_line
from tieout_reconcile import BadInput, Run, export_report, verify_report
from tieout_reconcile.facts import Movement, Position
from tieout_reconcile.files import InputFile
from tieout_reconcile.payments import Payment
from tieout_reconcile.registry_file import parse_registry
from tieout_reconcile.reports import bundle, making
from tieout_reconcile.reports.build import IN_PART_RULES, REPORT_RULES
from tieout_reconcile.reports.extract import read_material
from tieout_reconcile.reports.making import rebuild_bundle
from tieout_reconcile.token_payments import TokenChain, check_payments, token_chain

USDC = address("usdc")
TOKEN = f'[[payment_tokens]]\ncurrency = "USDC"\nmint = "{USDC}"\ndecimals = 6\n'
OURS, THEIRS = address("our cash"), address("their cash")
COIN = 10**6
DAY = 86_400
FAR = 3 * DAY
KNOWN = parse_registry(InputFile("registry.toml", (REGISTRY + TOKEN).encode()))


def paid(reference: str, amount: str, slot: int, sign: str, **more: Any) -> Payment:
    said = {"direction": "out", "currency": "USDC", "account": OURS, "counterparty": THEIRS} | more
    return Payment(
        2, reference, said["direction"], Fraction(amount), said["currency"], at(slot), "wallet system", "RED-1",
        said["account"], said["counterparty"], None, sign,
    )  # fmt: skip


def moved(sign: str, slot: int, amount: int, source: str = OURS, destination: str = THEIRS, fee: int = 0) -> Movement:
    return Movement(
        Position(slot, 1, 0, -1), at(slot), sign, "transfer", address(f"account of {source}"), source,
        address(f"account of {destination}"), destination, source, "owner", amount, fee, None,
    )  # fmt: skip


def states(payments: Sequence[Payment], chain: TokenChain | None, cut_off: int = FAR) -> list[tuple[str, Any, Any]]:
    found = check_payments(payments, KNOWN, {} if chain is None else {USDC: chain}, at(cut_off))
    return [(c.state, c.said, c.found) for c in found]


def known(*movements: Movement) -> TokenChain:
    """All transfers since before the day before: the mint was created in the proven range."""
    return TokenChain(True, True, None, movements)


S = signature(1)
CASES: dict[str, tuple[Sequence[Payment], TokenChain | None, list[tuple[str, Any, Any]]]] = {
    "the amount from our wallet to theirs": (
        [paid("P", "12.5", DAY, S)], known(moved(S, DAY + 60, 12_500_000)), [("equal", None, None)]),
    "into our wallet": (
        [paid("P", "12.5", DAY, S, direction="in")], known(moved(S, DAY, 12_500_000, THEIRS, OURS)),
        [("equal", None, None)]),
    "in several transfers": (
        [paid("P", "12.5", DAY, S)], known(moved(S, DAY, 12_000_000), moved(S, DAY, 500_000)),
        [("equal", None, None)]),
    "a unit less": (
        [paid("P", "12.5", DAY, S)], known(moved(S, DAY, 12_499_999)),
        [("different", Fraction("-12.5"), Fraction("-12.499999"))]),
    "more than the token can tell": (
        [paid("P", "0.0000001", DAY, S)], known(moved(S, DAY, 1)),
        [("different", Fraction("-0.0000001"), Fraction("-0.000001"))]),
    "the other way round": (
        [paid("P", "12.5", DAY, S)], known(moved(S, DAY, 12_500_000, THEIRS, OURS)),
        [("different", Fraction("-12.5"), Fraction("12.5"))]),
    "to a stranger": (
        [paid("P", "12.5", DAY, S)], known(moved(S, DAY, 12_500_000, OURS, address("x"))),
        [("different", Fraction("12.5"), Fraction(0))]),
    "with a fee kept back on the way": (
        [paid("P", "12.5", DAY, S)], known(moved(S, DAY, 12_500_000, fee=5)),
        [("different", Fraction("12.5"), Fraction("12.499995"))]),
    "one transaction for two payments": (
        [paid("P", "12.5", DAY, S), paid("Q", "12.5", DAY, S)], known(moved(S, DAY, 12_500_000)),
        [("different", Fraction(-25), Fraction("-12.5"))] * 2),
    "two payments in one transaction": (
        [paid("P", "12", DAY, S, counterparty=address("a")), paid("Q", "3", DAY, S, counterparty=address("b"))],
        known(moved(S, DAY, 12_000_000, OURS, address("a")), moved(S, DAY, 3_000_000, OURS, address("b"))),
        [("equal", None, None)] * 2),
    "two days later": (
        [paid("P", "12.5", 0, S)], known(moved(S, 2 * DAY, 12_500_000)), [("different", None, None)]),
    "nowhere, and all is known": ([paid("P", "12.5", DAY, S)], known(), [("missing", None, None)]),
    "nowhere, and the range begins in time": (
        [paid("P", "12.5", DAY, S)], TokenChain(True, False, at(0), ()), [("missing", None, None)]),
    "nowhere, and the range begins too late": (
        [paid("P", "12.5", DAY, S)], TokenChain(True, False, at(1), ()), [("unchecked", None, None)]),
    "nowhere, and the ledger ends before the day after": (
        [paid("P", "12.5", 2 * DAY + 1, S)], known(), [("unchecked", None, None)]),
    "nowhere, and no range reaches the cut-off": (
        [paid("P", "12.5", DAY, S)], TokenChain(False, False, None, ()), [("unchecked", None, None)]),
    "found though nothing around it is known": (
        [paid("P", "12.5", DAY, S)], TokenChain(False, False, None, (moved(S, DAY, 12_500_000),)),
        [("equal", None, None)]),
    "in a currency without a mint": (
        [paid("P", "12.5", DAY, S, currency="USDT")], known(), [("unchecked", None, None)]),
    "without a wallet": (
        [paid("P", "12.5", DAY, S, account="bank", counterparty=None)], known(moved(S, DAY, 12_500_000)),
        [("unchecked", None, None)]),
}  # fmt: skip


@pytest.mark.parametrize("what", CASES)
def test_a_payment_by_transaction_is_what_the_wallets_own_flow_makes_of_it(what: str) -> None:
    payments, chain, told = CASES[what]
    assert states(payments, chain) == told


def test_what_comes_after_the_cut_off_or_names_no_transaction_is_not_looked_at() -> None:
    assert states([paid("P", "1", DAY + 1, S)], known(), DAY) == []
    assert check_payments([paid("P", "1", DAY, S)], KNOWN, {}, None) == ()
    assert states([replace(paid("P", "1", DAY, S), signature=None)], None) == []


def test_a_range_knows_from_its_first_transfer_on_or_from_the_mints_creation() -> None:
    first, later = moved(signature(2), 50, 1), moved(S, 60, 1)
    found = token_chain([(0, 10), (40, 90)], [], [first, later], {S}, 80)
    assert found == TokenChain(True, False, at(50), (later,))
    assert token_chain([(0, 10), (40, 90)], [41], [first, later], set(), 80) == TokenChain(True, True, at(50), ())
    assert token_chain([(0, 10)], [1], [first], set(), 80) == TokenChain(False, False, None, ())


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (TOKEN.replace("USDC", "usd coin"), 'currency: "usd coin" is no currency'),
        (TOKEN.replace(USDC, MINT), "is that of the instrument AAPLx"),
        (TOKEN + TOKEN.replace(USDC, address("y")), 'currency "USDC" is there 2 times'),
        (TOKEN.replace("decimals = 6\n", ""), "decimals: is missing"),
    ],
)
def test_a_payment_token_that_cannot_be_is_refused_with_its_place(text: str, says: str) -> None:
    with pytest.raises(BadInput, match=says):
        parse_registry(InputFile("registry.toml", (REGISTRY + text).encode()))


async def far(book: Book, *mints: str) -> None:
    """Prove some mints up to a slot three days on."""
    await book.flush()
    for mint in mints:
        await book.db.execute(
            "insert into ledger.tracked_row values ($1, 0, $2) on conflict do nothing", mint, book.batch
        )
        await book.db.execute("insert into ledger.coverage_row values ($1, 0, $2, $3)", mint, FAR, book.batch)
    await book.db.execute(
        "insert into ledger.slot_row values ($1, $2, $3, $4, $5, 1, $6)",
        FAR, FAR - 1, f"hash{FAR}", f"hash{FAR - 1}", at(FAR), book.batch,
    )  # fmt: skip


async def paying(book: Book, *, indexed: bool = True) -> str:
    """The month's book with a redemption paid in USDC on chain; return the transaction."""
    await month(book)
    await book.registry(REGISTRY + TOKEN)
    sign = ""
    if indexed:
        await book.control("mint_open", 1, mint=USDC, details={"decimals": 6})
        await book.mint(2, "our cash", 1000 * COIN, mint=USDC)
        sign = await book.transfer(70, "our cash", "their cash", 600 * COIN, mint=USDC)
        await book.transfer(71, "their cash", "alice", COIN, mint=USDC)
    await far(book, MINT, *([USDC] if indexed else []))
    await book.orders(redeem("RED-1", "3", settled_at=at(60).isoformat(), **cash("600", "USDC")))
    return sign or S


async def pay(book: Book, amount: str, sign: str, reference: str = "P-1", **more: Any) -> None:
    row = payment(reference, "out", amount, 70, "RED-1", signature=sign, account=OURS, counterparty=THEIRS)
    await book.records("payments", row | {"currency": "USDC"} | more)


def told(run: Run) -> list[tuple[str, str]]:
    return [(c.reference, c.state) for c in run.payments]


def about_payments(run: Run) -> list[str]:
    return [f.summary for f in run.findings if f.code in ("C17", "C18")]


async def test_a_payment_that_the_chain_bears_out_is_told_as_such_and_its_report_verifies(
    book: Book, tmp_path: Path
) -> None:
    sign = await paying(book)
    await pay(book, "600", sign)
    run = await book.run(FAR)
    assert (told(run), about_payments(run)) == ([("P-1", "equal")], [])
    path = await made(book, tmp_path, FAR)
    assert failed(verify_report(path, TRUSTED)) == {}
    files = bundle.unpack(path)
    population = json.loads(files[bundle.REPORT])["population"]
    assert population["payment_tokens"] == [{"currency": "USDC", "mint": USDC, "proven": [0, FAR], "events": 3}]
    assert USDC not in population["indexed_but_not_registered"]
    assert "1 of 1 are what the chain shows" in files[bundle.PAGE].decode()
    # without the transfer the token's rows do not add up any more
    forged = resigned(path, without_line(bundle.mint_name(USDC), b'{"event":[70,'))
    assert {"rows", "complete", "figures"} <= failed(verify_report(forged, TRUSTED)).keys()

    def hidden(said: dict[str, Any]) -> None:
        said["population"]["payment_tokens"] = []

    assert not verify_report(resigned(path, lambda _: None, hidden), TRUSTED).holds


async def test_another_amount_and_a_transaction_that_is_not_there_are_breaks_with_what_was_seen(book: Book) -> None:
    sign = await paying(book)
    await pay(book, "601", sign)
    run = await book.run(FAR)
    assert told(run) == [("P-1", "different")]
    (said,) = about_payments(run)
    assert f"out of {OURS} that is 601 USDC, and on chain it was 600 USDC" in said
    assert sign in said
    await pay(book, "600", signature(10**6))
    run = await book.run(FAR)
    assert told(run) == [("P-1", "missing")]
    (said,) = about_payments(run)
    assert "no transfer of USDC is in it, and every one is known" in said
    assert not run.clean
    # a corrected payment ends it; what was known before stays said
    await pay(book, "600", sign)
    assert about_payments(await book.run(FAR)) == []
    assert told(await book.run(FAR, known_load=run.inputs.known_load)) == [("P-1", "missing")]


async def test_where_the_ledger_does_not_read_the_mint_it_is_shown_as_unchecked_and_is_no_break(
    book: Book, tmp_path: Path
) -> None:
    sign = await paying(book, indexed=False)
    await pay(book, "600", sign)
    run = await book.run(FAR)
    assert (told(run), about_payments(run)) == ([("P-1", "unchecked")], [])
    assert run.payments[0].why == "its mint is not read from a day before the payment to a day after it"
    assert failed(verify_report(await made(book, tmp_path, FAR), TRUSTED)) == {}


async def test_a_payment_just_before_the_cut_off_may_still_come(book: Book) -> None:
    await paying(book)
    await pay(book, "600", signature(10**6))
    assert told(await book.run(100)) == [("P-1", "unchecked")]
    assert told(await book.run(FAR)) == [("P-1", "missing")]


async def busy(book: Book, *, corrected: bool = True) -> tuple[str, list[str]]:
    """A coin that everybody uses, read from its mid-life on, in three commits and a correction.

    The redemption's transaction moves 700 out and 100 back; a first decode had the way back wrong. Returned are that
    transaction and those of strangers.
    """
    await month(book)
    await book.registry(REGISTRY + TOKEN)
    for name in ("our cash", "their cash", "alice"):
        book._balances[book.ata(name, USDC)] = 10_000 * COIN
    strangers = []
    for number, (first, last) in enumerate(((0, 60), (61, 75), (76, FAR))):
        await book.commit()
        # the middle one is told of the mint alone, as older versions did
        if number == 1:
            await book.db.execute(
                "insert into ledger.coverage_row values ($1, $2, $3, $4)", USDC, first, last, book.batch
            )
        else:
            await book.db.execute(
                "insert into ledger.cohort_row values (7, $1, $2) on conflict do nothing", USDC, book.batch
            )
            await book.db.execute(
                "insert into ledger.cohort_coverage_row values (7, $1, $2, $3)", first, last, book.batch
            )
        strangers.append(await book.transfer(first + 10, "their cash", "alice", COIN, mint=USDC))
        if number == 1:
            sign = await book.transfer(70, "our cash", "their cash", 700 * COIN, mint=USDC, tx=9000)
            back = (10 if corrected else 100) * COIN
            await book.transfer(70, "their cash", "our cash", back, mint=USDC, tx=9000, step=1)
            wrong = book.batch
    if corrected:
        strangers.append(await correct(book, wrong))
    await book.flush()
    await far(book, MINT)
    await book.orders(redeem("RED-1", "3", settled_at=at(60).isoformat(), **cash("600", "USDC")))
    await pay(book, "600", sign)
    return sign, strangers


async def correct(book: Book, wrong: int) -> str:
    """Take the way back of a commit's transaction back and say it anew, with another transaction; that one."""
    await book.commit()
    other = await book.transfer(90, "alice", "their cash", COIN, mint=USDC)
    await book.transfer(70, "their cash", "our cash", 100 * COIN, mint=USDC, tx=9000, step=1)
    await book.db.execute(
        "insert into ledger.retraction_row values ('event', 70, 9000, 1, -1, $1, '', $2, $3)", USDC, wrong, book.batch
    )
    return other


def token_line(path: Path) -> tuple[str, dict[str, Any]]:
    """By which rules a report is, and what it says of the coin."""
    said = json.loads(bundle.unpack(path)[bundle.REPORT])
    (line,) = said["population"]["payment_tokens"]
    return said["rules"], line


async def test_of_a_coin_that_everybody_uses_a_bundle_holds_the_named_transactions_alone(
    book: Book, tmp_path: Path
) -> None:
    sign, strangers = await busy(book)
    path = await made(book, tmp_path, FAR)
    assert failed(verify_report(path, TRUSTED)) == {}
    rules, line = token_line(path)
    assert (rules, line["events"], line["in_part"], line["proven"]) == (IN_PART_RULES, 2, True, [0, FAR])
    files = bundle.unpack(path)
    rows = files[bundle.mint_name(USDC)]
    assert rows.count(sign.encode()) == 2
    assert not any(other.encode() in rows for other in strangers)
    # the commits before and after it are told by digest; its own and the correction's are shown whole
    shown = [other.encode() in files[bundle.CONTENT] for other in strangers]
    assert shown == [False, True, False, True]
    assert json.loads(files[bundle.REPORT])["run"]["payments"][0]["state"] == "equal"
    # made again, and after later movements of the coin, it is the same
    again = await rebuild_bundle(book.dsn, 1)
    assert again == path.read_bytes()


def untold(batch: int, table: str) -> Any:
    """The rows of the coin's part of a commit are told by their digest alone."""

    def change(files: dict[str, bytes]) -> None:
        kept, here, hiding = [], False, False
        for row in files[bundle.CONTENT].splitlines(keepends=True):
            if row.startswith(b"batch "):
                here = row == f"batch {batch}\n".encode()
            if not row.startswith(b"["):
                hiding = here and row.startswith(f"{table} {USDC} ".encode())
            if not (hiding and row.startswith(b"[")):
                kept.append(row)
        assert len(kept) < len(files[bundle.CONTENT].splitlines())
        files[bundle.CONTENT] = b"".join(kept)

    return change


def changes(*each: Any) -> Any:
    return lambda files: [change(files) for change in each]


OUT, BACK = (without_line(bundle.mint_name(USDC), f'{{"event":[70,9000,{step}'.encode()) for step in (0, 1))


async def batches_of(book: Book, sign: str) -> tuple[int, int]:
    """The commit that read a transaction, and the one that corrected it."""
    row = await book.db.fetchrow(
        "select min(batch) as first, max(batch) as last from ledger.event_row where signature = $1", sign
    )
    assert row is not None
    return row["first"], row["last"]


async def test_a_named_event_left_out_of_a_coin_told_in_part_shows(book: Book, tmp_path: Path) -> None:
    sign, _ = await busy(book)
    path = await made(book, tmp_path, FAR)
    read, corrected = await batches_of(book, sign)
    lacking = f"event_row {USDC} in batch %d are not in it"
    forgeries = (
        (BACK, "it says 1, the ledger's rows give 2"),
        (changes(BACK, untold(corrected, "event_row")), lacking % corrected),
        (untold(read, "event_row"), lacking % read),
        (changes(BACK, OUT, untold(read, "event_row"), untold(corrected, "event_row")), lacking % corrected),
        (untold(corrected, "retraction_row"), f"retraction_row {USDC} in batch {corrected} are not in it"),
        (untold(read, "coverage_row"), f"coverage_row {USDC} in batch {read} are not in it"),
    )
    for change, says in forgeries:
        found = failed(verify_report(resigned(path, change), TRUSTED))
        assert any(says in text for text in found.values()), (says, found)


async def test_a_named_transaction_left_out_with_the_commit_that_read_it_shows(book: Book, tmp_path: Path) -> None:
    sign, _ = await busy(book, corrected=False)
    path = await made(book, tmp_path, FAR)
    read, _ = await batches_of(book, sign)
    assert failed(verify_report(path, TRUSTED)) == {}
    forged = resigned(path, changes(BACK, OUT, untold(read, "event_row")))
    assert f"nothing of the transaction {sign} is in it: it has to be told whole" in failed(
        verify_report(forged, TRUSTED)
    )["rows"]  # fmt: skip


async def test_where_a_transaction_is_nowhere_the_coin_is_told_whole(book: Book, tmp_path: Path) -> None:
    _, strangers = await busy(book)
    await pay(book, "600", signature(10**6), "P-2")
    path = await made(book, tmp_path, FAR)
    assert failed(verify_report(path, TRUSTED)) == {}
    rules, line = token_line(path)
    assert (rules, line["events"], "in_part" in line) == (REPORT_RULES, 6, False)
    assert all(other.encode() in bundle.unpack(path)[bundle.CONTENT] for other in strangers)


async def test_a_report_that_told_the_coin_whole_is_made_again_and_verified_by_its_own_rules(
    book: Book, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await busy(book)
    with monkeypatch.context() as older:
        older.setattr(making, "read_material", partial(_whole, read_material))
        path = await made(book, tmp_path, FAR)
    assert token_line(path)[0] == REPORT_RULES
    assert failed(verify_report(path, TRUSTED)) == {}
    assert await rebuild_bundle(book.dsn, 1) == path.read_bytes()
    assert (await export_report(book.dsn, None, None)).sha256 == (await export_report(book.dsn, 1, None)).sha256


async def _whole(read: Any, db: Any, inputs: Any, **_: Any) -> Any:
    return await read(db, inputs, in_part=False)
