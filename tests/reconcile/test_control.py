"""Control: which crossing alarms, under which name, and what ends the alarm. On real rows."""

from typing import Any

import pytest

from reconcile.builders import MINT, ONE, REGISTRY, Book, address, at, iso, issue, memo, redeem, step, wallet
from reconcile.controlling import AGES, LIMITS, checked, commit, firing, issued, take_back
from support.database import value
from tieout_reconcile.control import ControlLimits, Notice, list_alerts
from tieout_reconcile.control.judging import references_of
from tieout_reconcile.freshness import AgeLimits


def said(notices: list[Notice]) -> list[tuple[str, str, str]]:
    return [(n.status, n.labels["alertname"], n.reason) for n in notices]


UNMATCHED = ("firing", "CrossingUnmatched", "no_order")


@pytest.fixture
async def open_book(book: Book) -> Book:
    await issued(book)
    await book.orders(issue("REQ-1", "100"), redeem("RED-1", "10"), issue("REQ-2", "7", wallet=""))
    assert await checked(book) == [], "a mint into the treasury is no crossing"
    return book


async def test_a_release_that_names_its_order_is_silent(open_book: Book) -> None:
    await commit(open_book, open_book.transfer(20, "treasury", "ap", 100 * ONE, memo=memo("issue", "REQ-1")))
    assert await checked(open_book) == []
    assert await value(open_book.dsn, "select count(*) from recon.checked_crossings") == 1


async def test_every_kind_of_crossing_without_an_order_alarms(open_book: Book) -> None:
    book = open_book
    await commit(
        book,
        book.transfer(20, "treasury", "ap", 90 * ONE),
        book.mint(21, "stranger", 5 * ONE),
        book.transfer(22, "ap", "redemption", 3 * ONE),
        book.burn(23, "ap", 2 * ONE),
        book.transfer(24, "ap", "treasury", ONE, role="permanent_delegate"),
        book.hand_over(25, "treasury", "mallory"),
    )
    told = await checked(book)
    kinds = [(n.labels["kind"], n.labels["alertname"], n.labels["direction"], n.labels["severity"]) for n in told]
    assert kinds == [
        ("release", "CrossingUnmatched", "out", "critical"),
        ("outside_mint", "CrossingUnmatched", "out", "critical"),
        ("return", "CrossingUnmatched", "in", "warning"),
        ("holder_burn", "CrossingUnmatched", "in", "info"),
        ("seizure", "CrossingForced", "in", "warning"),
        ("owner_change", "CrossingUnmatched", "out", "critical"),
    ]
    assert told[5].annotations["raw"] == str(911 * ONE), "all that lay in the account"


async def test_crossings_have_the_keys_that_a_run_gives_them(open_book: Book) -> None:
    book = open_book
    await commit(
        book,
        book.transfer(20, "treasury", "ap", 90 * ONE),
        book.burn(23, "ap", 2 * ONE),
        book.hand_over(25, "treasury", "mallory"),
    )
    told = await checked(book)
    aapl = (await book.run()).instrument("AAPLx")
    assert aapl is not None
    assert [n.labels["crossing"] for n in told] == [c.crossing for c in aapl.crossings]


async def test_releases_beyond_their_order_are_oversized_from_the_one_that_exceeds_it(open_book: Book) -> None:
    book = open_book
    for slot, shares in ((20, 60), (21, 40)):
        await commit(book, book.transfer(slot, "treasury", "ap", shares * ONE, memo=memo("issue", "REQ-1")))
        assert await checked(book) == []
    await commit(book, book.transfer(22, "treasury", "ap", ONE, memo=memo("issue", "REQ-1")))
    assert said(await checked(book)) == [("firing", "CrossingDuplicate", "order_filled")]
    await commit(book, book.transfer(23, "treasury", "ap", 8 * ONE, memo=memo("issue", "REQ-2")))
    told = await checked(book)
    assert said(told) == [("firing", "CrossingOversized", "order_exceeded")]
    assert "8 shares (800000000 raw)" in told[0].annotations["summary"]
    assert told[0].annotations["request_id"] == "REQ-2"


async def test_a_request_id_used_twice_is_a_duplicate(open_book: Book) -> None:
    book = open_book
    for slot in (20, 21):
        await commit(book, book.transfer(slot, "treasury", "ap", 100 * ONE, memo=memo("issue", "REQ-1")))
    told = await checked(book)
    assert said(told) == [("firing", "CrossingDuplicate", "order_filled")]
    assert told[0].annotations["slot"] == "21"


async def test_shares_are_judged_at_the_multiplier_of_the_movement(open_book: Book) -> None:
    book = open_book
    await book.records("actions", step("CA-1", 40, "2"))
    await commit(book, book.multiplier(30, 2.0, 40))
    await commit(book, book.transfer(35, "treasury", "ap", 50 * ONE, memo=memo("issue", "REQ-1")))
    await commit(book, book.transfer(45, "treasury", "ap", 25 * ONE, memo=memo("issue", "REQ-1")))
    assert await checked(book) == [], "50 at 1, then 25 at 2: a hundred shares"
    await commit(book, book.transfer(46, "treasury", "ap", 4 * ONE, memo=memo("issue", "REQ-2")))
    assert said(await checked(book)) == [("firing", "CrossingOversized", "order_exceeded")]


async def test_a_rejected_order_and_another_wallet_are_told(open_book: Book) -> None:
    book = open_book
    other = issue("REQ-4", "5", wallet=await book.db.fetchval("select address from recon.wallets limit 1"))
    await book.orders(issue("REQ-3", "5", status="rejected", settled_at=iso(2)), other)
    await commit(
        book,
        book.transfer(20, "treasury", "ap", 5 * ONE, memo=memo("issue", "REQ-3")),
        book.transfer(21, "treasury", "ap", 5 * ONE, memo=memo("issue", "REQ-4")),
    )
    assert said(await checked(book)) == [
        ("firing", "CrossingUnmatched", "order_rejected"),
        ("firing", "CrossingWrongParty", "other_wallet"),
    ]


async def test_an_order_that_arrives_later_ends_the_alarm(open_book: Book) -> None:
    book = open_book
    sign = book.transfer(20, "treasury", "ap", 9 * ONE, memo=memo("issue", "REQ-9"))
    await commit(book, sign)
    fired = await checked(book)
    assert said(fired) == [UNMATCHED]
    await book.orders(issue("REQ-9", "9"))
    ended = await checked(book)
    assert said(ended) == [("resolved", "CrossingUnmatched", "no_order")]
    assert ended[0].fingerprint == fired[0].fingerprint
    assert ended[0].starts_at == fired[0].starts_at
    assert ended[0].ends_at is not None
    assert await firing(book) == []


async def test_an_order_that_names_the_transaction_ends_the_alarm_too(open_book: Book) -> None:
    book = open_book
    await book.commit()
    sign = await book.transfer(20, "treasury", "ap", 9 * ONE)
    await book.flush()
    assert said(await checked(book)) == [UNMATCHED]
    await book.orders(issue("REQ-9", "9", signature=sign))
    assert [s for s, *_ in said(await checked(book))] == ["resolved"]


async def test_an_order_made_smaller_alarms_about_what_was_fine(open_book: Book) -> None:
    book = open_book
    await commit(book, book.transfer(20, "treasury", "ap", 100 * ONE, memo=memo("issue", "REQ-1")))
    assert await checked(book) == []
    await book.orders(issue("REQ-1", "60"))
    assert said(await checked(book)) == [("firing", "CrossingOversized", "order_exceeded")]


async def test_a_correction_withdraws_the_alarm_and_frees_the_order(open_book: Book) -> None:
    book = open_book
    await book.commit()
    signs = [await book.transfer(slot, "treasury", "ap", 100 * ONE, memo=memo("issue", "REQ-1")) for slot in (20, 21)]
    loose = await book.transfer(22, "treasury", "ap", ONE)
    await book.flush()
    assert said(await checked(book)) == [("firing", "CrossingDuplicate", "order_filled"), UNMATCHED]
    await take_back(book, 22, loose)
    assert said(await checked(book)) == [("resolved", "CrossingUnmatched", "no_order")]
    await take_back(book, 20, signs[0])
    assert said(await checked(book)) == [("resolved", "CrossingDuplicate", "order_filled")]
    assert await firing(book) == []


async def test_without_a_fresh_order_source_every_crossing_is_unmatched(open_book: Book) -> None:
    book = open_book
    stale = ControlLimits(ages=AgeLimits(10**9, 10**9, 0))
    await commit(book, book.transfer(20, "treasury", "ap", 100 * ONE, memo=memo("issue", "REQ-1")))
    fired = await checked(book, stale)
    assert said(fired) == [("firing", "CrossingUnmatched", "stale_source")]
    assert "the order source" in fired[0].annotations["summary"]
    assert await checked(book, stale) == [], "it stays as it is"
    # the source says again what it said last: it is fresh, and the order is there
    await reread(book)
    assert [s for s, *_ in said(await checked(book))] == ["resolved"]


async def reread(book: Book) -> None:
    """Hand the newest order file in again."""
    import tieout_reconcile

    newest = sorted(book.folder.glob("orders-*.csv"), key=lambda p: p.stat().st_mtime_ns)[-1]
    done = await tieout_reconcile.import_orders(book.dsn, newest)
    assert not done.new


async def test_an_old_order_file_handed_in_again_makes_nothing_fresh(open_book: Book) -> None:
    import tieout_reconcile

    book = open_book
    await book.orders(issue("REQ-5", "1"))
    oldest = sorted(book.folder.glob("orders-*.csv"), key=lambda p: p.stat().st_mtime_ns)[0]
    await tieout_reconcile.import_orders(book.dsn, oldest)
    assert await value(book.dsn, "select count(*) from recon.source_sightings") == 0
    await reread(book)
    assert await value(book.dsn, "select count(*) from recon.source_sightings") == 1


async def test_no_order_file_at_all_is_no_fresh_source(book: Book) -> None:
    await issued(book)
    await commit(book, book.transfer(20, "treasury", "ap", ONE))
    assert said(await checked(book)) == [("firing", "CrossingUnmatched", "stale_source")]


async def test_a_wallet_registered_later_ends_the_alarm_of_what_never_left(open_book: Book) -> None:
    book = open_book
    await commit(book, book.transfer(20, "treasury", "vault", 5 * ONE), book.transfer(21, "vault", "ap", 2 * ONE))
    assert said(await checked(book)) == [UNMATCHED]
    await book.registry(REGISTRY + wallet("owner", address("vault"), "treasury"))
    assert said(await checked(book)) == [("resolved", "CrossingUnmatched", "no_order"), UNMATCHED]
    assert [n.annotations["slot"] for n in await list_alerts(book.dsn)] == ["21"], "what left the vault is told now"
    assert await checked(book) == []


async def test_an_instrument_registered_later_is_checked_from_its_beginning(book: Book) -> None:
    await book.registry()
    await issued(book)
    other = "8" * 43
    await book.open_mint(mint=other)
    await book.mint(12, "outsider", ONE, mint=other)
    await book.orders(issue("REQ-1", "100"))
    assert await checked(book) == []
    text = f'[[instruments]]\nsymbol = "TSLAx"\nmint = "{other}"\nisin = "US88160R1014"\ndecimals = 8\n'
    await book.registry(REGISTRY + text)
    told = await checked(book)
    assert [(n.labels["symbol"], n.labels["kind"]) for n in told] == [("TSLAx", "outside_mint")]


async def test_a_refund_that_names_its_return_is_silent_once(open_book: Book) -> None:
    book = open_book
    await book.orders(redeem("RED-2", "4", status="pending"))
    await commit(book, book.transfer(20, "treasury", "ap", 100 * ONE, memo=memo("issue", "REQ-1")))
    await commit(book, book.transfer(21, "ap", "redemption", 4 * ONE, memo=memo("redeem", "RED-2")))
    await commit(book, book.transfer(22, "redemption", "ap", 4 * ONE, memo=memo("refund", "RED-2")))
    assert await checked(book) == []
    await commit(book, book.transfer(23, "treasury", "ap", 4 * ONE, memo=memo("refund", "RED-2")))
    assert said(await checked(book)) == [UNMATCHED]


async def test_bridge_messages_speak_for_burns_and_for_no_more_than_they_say(open_book: Book) -> None:
    book = open_book
    await commit(book, book.transfer(20, "treasury", "ap", 100 * ONE, memo=memo("issue", "REQ-1")))
    await book.commit()
    signs = [await book.burn(slot, "ap", 3 * ONE) for slot in (21, 22)]
    await book.flush()
    assert said(await checked(book)) == [UNMATCHED, UNMATCHED]
    head = {"symbol": "AAPLx", "direction": "out", "network": "ethereum", "sent_at": iso(21)}
    await book.records(
        "bridge",
        {"message_id": "M-1", "raw": str(3 * ONE), "signature": signs[0], **head},
        {"message_id": "M-2", "raw": str(2 * ONE), "signature": signs[1], **head},
    )
    assert said(await checked(book)) == [
        ("resolved", "CrossingUnmatched", "no_order"),
        ("resolved", "CrossingUnmatched", "no_order"),
        ("firing", "CrossingOversized", "bridge_message_exceeded"),
    ]


async def test_what_a_quantity_alone_would_match_is_not_matched(open_book: Book) -> None:
    await commit(open_book, open_book.transfer(20, "treasury", "ap", 100 * ONE))
    assert said(await checked(open_book)) == [UNMATCHED]
    assert (await open_book.run()).instrument("AAPLx").crossings[0].cause == "order"  # type: ignore[union-attr]


async def test_many_movements_that_name_one_order_are_judged_within_a_bound(open_book: Book) -> None:
    book = open_book
    await commit(book, book.transfer(20, "treasury", "ap", 90 * ONE))
    few = ControlLimits(ages=AGES, claims_of_order_max=4)
    await commit(book, *(book.transfer(30 + n, "ap", "redemption", 3, memo=memo("redeem", "RED-1")) for n in range(9)))
    told = await checked(book, few)
    assert [n.reason for n in told] == ["no_order", *["too_many_claims"] * 5]
    await commit(book, *(book.transfer(50 + n, "ap", "redemption", 3, memo=memo("redeem", "RED-1")) for n in range(2)))
    assert [n.reason for n in await checked(book, few)] == ["too_many_claims"] * 2


async def test_the_position_is_the_last_batch_and_survives_a_step_broken_off(open_book: Book) -> None:
    book = open_book
    await commit(book, book.transfer(20, "treasury", "ap", ONE), book.transfer(21, "treasury", "ap", ONE))
    before = await value(book.dsn, "select batch from recon.control_position")
    from tieout_reconcile.control import Checker

    class Broken(Exception):
        pass

    async def broken_off() -> None:
        async with book.db.transaction():
            outcome = await Checker(LIMITS).step(book.db)
            assert len(outcome.notices) == 2
            raise Broken

    with pytest.raises(Broken):
        await broken_off()
    assert await value(book.dsn, "select batch from recon.control_position") == before
    assert await value(book.dsn, "select count(*) from recon.alert_notices") == 0
    assert len(await checked(book)) == 2
    assert await value(book.dsn, "select batch from recon.control_position") == book.batch
    assert await value(book.dsn, "select ordinal from recon.control_position") == 2


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (None, ()),
        ("tieout/1 issue REQ-1", ("REQ-1",)),
        ("REQ-1", ("REQ-1",)),
        ("a b\ntieout/1 issue R", ("R", "a", "b")),
        ("\x07bell", ()),
        ("x" * 129, ()),
        ("  ", ()),
    ],
)
def test_a_memo_names_its_tagged_ids_and_its_words(text: str | None, found: tuple[str, ...]) -> None:
    assert references_of(text, 64) == found
    assert len(references_of("\n".join(f"w{n}" for n in range(500)), 64)) == 64


async def test_the_hours_of_a_book_do_not_matter_to_whose_it_is(open_book: Book) -> None:
    """A wallet whose role ended before the movement is a stranger."""
    book: Any = open_book
    until = f"valid_to = {at(15).isoformat()}\n"
    await book.registry(REGISTRY.replace('role = "redemption"\n', f'role = "redemption"\n{until}'))
    await commit(book, book.transfer(20, "treasury", "redemption", ONE))
    assert said(await checked(book)) == [UNMATCHED]
    assert (await list_alerts(book.dsn))[0].mint == MINT


async def test_what_was_taken_back_before_it_was_looked_at_never_alarms(open_book: Book) -> None:
    book = open_book
    await book.commit()
    sign = await book.transfer(20, "treasury", "ap", 90 * ONE)
    await book.flush()
    await take_back(book, 20, sign)
    assert await checked(book) == []
    # nor when a registry has all batches walked again
    hot = wallet("owner", address("hot"), "treasury")
    await book.registry(REGISTRY + hot)
    assert await checked(book) == []
    assert await value(book.dsn, "select count(*) from recon.checked_crossings") == 0
