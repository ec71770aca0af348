"""Control of the issuer's own acts: mints into inventory, authorities, the multiplier. On real rows."""

import struct
from dataclasses import replace
from datetime import timedelta
from fractions import Fraction
from pathlib import Path
from typing import Any

import asyncpg
import msgspec
import pytest

from reconcile.builders import ISIN, MINT, ONE, REGISTRY, Book, address, at, issue, memo, step
from reconcile.controlling import checked, commit, desk, firing, issued, take_back
from reconcile.test_control import said
from reconcile.test_control_outbox import Running
from reconcile.test_formats import REGISTERED
from reconcile.test_periods import key_file
from reconcile.test_workflow import key_of, person
from support.command import tieout_here
from support.database import value
from tieout_database import list_audit
from tieout_reconcile import NotAllowed, NotFound, apply_registry, verify_signatures, worked_breaks
from tieout_reconcile.control import ControlLimits, acknowledge, list_alerts
from tieout_reconcile.control.acts import Act, judge_mints, judge_multipliers
from tieout_reconcile.corporate import CorporateAction
from tieout_reconcile.facts import MultiplierStep, Position
from tieout_reconcile.freshness import AgeLimits
from tieout_reconcile.orders import Order

WATCHED = REGISTRY.replace("decimals = 8", "decimals = 8\ninventory_authorised = true")
FIRST = {"request_id": "INV-0", "side": "inventory", "raw": 1000 * ONE, "status": "completed"}
UNIT = Fraction(2, ONE)
UNORDERED = ("InventoryUnauthorised", "no_order")


def inventory(request_id: str, tokens: int, **more: Any) -> dict[str, Any]:
    return {"request_id": request_id, "side": "inventory", "raw": tokens * ONE, "status": "completed", **more}


@pytest.fixture
async def watched(book: Book) -> Book:
    """1,000 tokens minted into the treasury under INV-0; nothing alarms."""
    await book.commit()
    await book.open_mint()
    sign = await book.mint(10, "treasury", 1000 * ONE)
    await book.track(100)
    await book.registry(WATCHED)
    await book.orders({**FIRST, "signature": sign})
    assert await checked(book) == []
    return book


async def test_a_mint_into_inventory_needs_an_order_that_names_it(watched: Book) -> None:
    book = watched
    await book.orders(inventory("INV-1", 5), inventory("INV-2", 7))
    await commit(book, book.mint(20, "treasury", 5 * ONE, memo=memo("inventory", "INV-1")))
    assert await checked(book) == []
    await commit(book, book.mint(21, "treasury", 7 * ONE))
    (told,) = await checked(book)
    assert (told.labels["alertname"], told.reason, told.labels["severity"]) == (*UNORDERED, "critical")
    assert told.annotations["raw"] == str(7 * ONE), "a quantity alone is a guess"
    assert await value(book.dsn, "select count(*) from recon.checked_acts where kind = 'inventory_mint'") == 3
    assert await value(book.dsn, "select count(*) from recon.checked_crossings") == 0


STOCK = REGISTERED.instruments[0]


def minted(tokens: int = 5, slot: int = 20, **more: Any) -> Act:
    place = Position(slot, 0, 0, -1)
    return Act(
        f"inventory_mint/{slot}", STOCK.mint, "inventory_mint", place, "sig", at(slot), tokens * ONE, UNIT, **more
    )


def ordered(side: str = "inventory", status: str = "completed", **more: Any) -> Order:
    values: dict[str, Any] = {"shares": None, "raw": 5 * ONE, "wallet": None, "signature": None, **more}
    return Order(
        1, "INV-1", side, STOCK.mint, values["shares"], values["raw"], status, values["wallet"], values["signature"],
        at(1), None,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("order", "act", "reason"),
    [
        (ordered(), minted(), None),
        (ordered(raw=None, shares=Fraction(10)), minted(), None),
        (ordered(status="pending"), minted(), "order_pending"),
        (ordered(status="rejected"), minted(), "order_rejected"),
        (ordered(raw=6 * ONE), minted(), "other_quantity"),
        (ordered(raw=None, shares=Fraction(5)), minted(), "other_quantity"),
        (ordered(raw=None, shares=Fraction(10)), replace(minted(), unit=None), "multiplier_unknown"),
        (ordered(side="issue"), minted(), "no_order"),
        (msgspec.structs.replace(ordered(), mint="another"), minted(), "no_order"),
    ],
)
def test_an_order_that_does_not_cover_the_mint_is_none(order: Order, act: Act, reason: str | None) -> None:
    found = judge_mints(STOCK, {1: act}, {1: frozenset({"INV-1"})}, [order], at(90))[1]
    assert (None if found.alarm is None else found.reason) == reason
    signed = judge_mints(STOCK, {1: act}, {1: frozenset()}, [msgspec.structs.replace(order, signature="sig")], at(90))[
        1
    ]
    assert (None if signed.alarm is None else signed.reason) == reason


async def test_an_order_covers_one_mint_and_the_next_one_takes_its_place_when_it_is_taken_back(watched: Book) -> None:
    book = watched
    await book.orders(inventory("INV-1", 5))
    first = await book_mint(book, 20, "INV-1")
    await book_mint(book, 21, "INV-1")
    await checked(book)
    assert await firing(book) == [("InventoryUnauthorised", "order_filled")]
    await take_back(book, 20, first)
    await checked(book)
    assert await firing(book) == []


async def test_a_mint_taken_back_before_it_was_looked_at_never_alarms(watched: Book) -> None:
    await take_back(watched, 20, await book_mint(watched, 20, "INV-1"))
    assert await checked(watched) == []


async def book_mint(book: Book, slot: int, request_id: str) -> str:
    await book.commit()
    sign = await book.mint(slot, "treasury", 5 * ONE, memo=memo("inventory", request_id))
    await book.flush()
    return sign


async def test_an_order_that_comes_later_ends_the_alert_and_a_rejection_begins_it_again(watched: Book) -> None:
    book = watched
    await book_mint(book, 20, "INV-1")
    assert said(await checked(book)) == [("firing", *UNORDERED)]
    await book.orders(inventory("INV-1", 5))
    assert said(await checked(book)) == [("resolved", *UNORDERED)]
    await book.orders(inventory("INV-1", 5, status="rejected"))
    assert said(await checked(book)) == [("firing", "InventoryUnauthorised", "order_rejected")]


async def test_with_a_stale_source_no_mint_is_authorised_until_it_is_fresh(watched: Book) -> None:
    book = watched
    await book.orders(inventory("INV-1", 5))
    stale = ControlLimits(ages=AgeLimits(10**9, 10**9, 0))
    await book_mint(book, 20, "INV-1")
    assert said(await checked(book, stale)) == [("firing", "InventoryUnauthorised", "stale_source")]
    assert said(await checked(book)) == [("resolved", "InventoryUnauthorised", "stale_source")]


async def test_the_registry_says_whether_mints_are_watched_also_those_of_before(book: Book) -> None:
    await issued(book)
    await book.orders(issue("REQ-1", "1"))
    assert await checked(book) == []
    await apply_registry(book.dsn, book.file("w.toml", WATCHED))
    await checked(book)
    assert await firing(book) == [UNORDERED]
    await apply_registry(book.dsn, book.file("r.toml", REGISTRY))
    await checked(book)
    assert await firing(book) == []


async def authority(book: Book, slot: int, old: str, new: str | None, what: str = "mint_tokens") -> None:
    details = {"type": what, "new": None if new is None else address(new)}
    await book.control("authority", slot, details=details, authority=address(old))


async def test_a_change_of_authority_alarms_until_it_is_handed_back(watched: Book) -> None:
    book = watched
    await commit(book, authority(book, 20, "issuer", "mallory"), authority(book, 21, "issuer", "m", "metadata_pointer"))
    told = await checked(book)
    assert [(n.labels["kind"], n.labels["severity"]) for n in told] == [
        ("mint_tokens", "critical"), ("metadata_pointer", "warning"),
    ]  # fmt: skip
    assert f"(who may mint) went from {address('issuer')} to {address('mallory')}" in told[0].annotations["summary"]
    await commit(book, authority(book, 22, "mallory", "issuer"))
    assert said(await checked(book)) == [("resolved", "AuthorityChanged", "authority_changed")]
    await commit(book, authority(book, 23, "issuer", None, "freeze_account"))
    assert "nobody, for good" in (await checked(book))[0].annotations["summary"]


async def test_an_authority_is_handed_back_through_however_many_hands(watched: Book) -> None:
    book = watched
    await commit(book, authority(book, 20, "issuer", "pat"), authority(book, 21, "pat", "sam"))
    assert len(await checked(book)) == 2
    await commit(book, authority(book, 22, "sam", "issuer"))
    assert {status for status, _, _ in said(await checked(book))} == {"resolved"}
    assert await firing(book) == []


async def test_what_changes_on_a_token_account_is_no_change_of_control(watched: Book) -> None:
    details = {"type": "close_account", "new": address("x")}
    await commit(watched, watched.control("authority", 20, account=watched.ata("ap"), details=details))
    assert await checked(watched) == []


async def test_a_step_of_the_multiplier_needs_an_action_that_announced_it(watched: Book) -> None:
    book = watched
    await commit(book, book.multiplier(20, 2.0, 90))
    (told,) = await checked(book)
    assert (told.labels["alertname"], told.reason, told.labels["mint"]) == ("MultiplierUnannounced", "no_action", MINT)
    await book.records("actions", step("CA-1", 90, "2"))
    assert said(await checked(book)) == [("resolved", "MultiplierUnannounced", "no_action")]
    await book.records("actions", step("CA-1", 90, "2", status="cancelled"))
    assert said(await checked(book)) == [("firing", "MultiplierUnannounced", "action_cancelled")]


def setting(slot: int, value: float, effective: int) -> MultiplierStep:
    asked = int(at(effective).timestamp())
    bits = struct.pack("<d", value)
    return MultiplierStep(Position(slot, 0, 0, -1), at(effective), bits, None, at(slot), asked, "sig")


def action(factor: str = "2", status: str = "announced", announced: int = 1, days: int = 0) -> CorporateAction:
    when = at(90) + timedelta(days=days)
    return CorporateAction(1, "CA-1", ISIN, "split", status, at(announced), effective_at=when, factor=factor)


@pytest.mark.parametrize(
    ("actions", "step", "reason"),
    [
        ([action()], setting(21, 2.0, 90), None),
        ([], setting(21, 2.0, 90), "no_action"),
        ([action(status="cancelled")], setting(21, 2.0, 90), "action_cancelled"),
        ([action("3")], setting(21, 2.0, 90), "wrong_rate"),
        ([action(announced=95)], setting(21, 2.0, 90), "announced_late"),
        ([action(days=3)], setting(21, 2.0, 90), "no_action"),
        ([action()], setting(500, 2.0, 90), "backdated"),
        ([], setting(21, 1.0, 90), None),
        ([], replace(setting(21, 2.0, 90), superseded_slot=30), None),
    ],
)
def test_the_action_must_fit_the_step(actions: list[CorporateAction], step: MultiplierStep, reason: str | None) -> None:
    acts = {
        n: Act(f"multiplier/{n}", STOCK.mint, "multiplier", s.position, "sig", s.announced_at or at(0))
        for n, s in enumerate((setting(1, 1.0, 1), step))
    }
    found = judge_multipliers(STOCK, acts, (setting(1, 1.0, 1), step), actions)
    assert found[0].alarm is None, "what set it first is no step"
    assert (None if found[1].alarm is None else found[1].reason) == reason


async def test_actions_are_judged_also_while_the_order_source_is_stale(watched: Book) -> None:
    stale = ControlLimits(ages=AgeLimits(10**9, 10**9, 0))
    await commit(watched, watched.multiplier(20, 2.0, 90))
    await checked(watched, stale)
    assert await firing(watched) == [("MultiplierUnannounced", "no_action")]
    await watched.records("actions", step("CA-1", 90, "2", isin=ISIN))
    await checked(watched, stale)
    assert await firing(watched) == []


async def test_a_receiver_is_told_of_acts_as_of_crossings(watched: Book) -> None:
    book = watched
    async with desk() as heard, Running(book, [heard.receiver]):
        await commit(book, book.mint(20, "treasury", ONE), authority(book, 21, "issuer", "mallory"))
        await book.db.execute("select pg_notify('tieout_ledger', '2')")
        await heard.until(2)
        await book.orders(inventory("INV-1", 1, signature=await signature_at(book, 20)))
        await heard.until(3)
    assert sorted(heard.alerts()) == [
        ("firing", "AuthorityChanged"), ("firing", "InventoryUnauthorised"), ("resolved", "InventoryUnauthorised"),
    ]  # fmt: skip
    assert heard.forged == 0


async def signature_at(book: Book, slot: int) -> str:
    found: str = await book.db.fetchval("select signature from ledger.events where slot = $1", slot)
    return found


async def test_a_step_that_is_broken_off_leaves_nothing_and_is_done_once(watched: Book) -> None:
    book = watched
    await commit(book, book.mint(20, "treasury", ONE), authority(book, 21, "issuer", "mallory"))
    await book.db.execute("alter table recon.control_notice_row add constraint no check (notice < 2)")
    with pytest.raises(asyncpg.CheckViolationError):
        await checked(book)
    assert await value(book.dsn, "select count(*) from recon.checked_acts") == 2, "the first mint and its multiplier"
    await book.db.execute("alter table recon.control_notice_row drop constraint no")
    await checked(book)
    assert await firing(book) == [UNORDERED, ("AuthorityChanged", "authority_changed")]
    assert await value(book.dsn, "select count(*) from recon.checked_acts") == 4


async def alarmed(book: Book) -> str:
    """A release without an order, and its break; the alert's fingerprint."""
    await issued(book)
    await book.orders(issue("REQ-1", "1"))
    await commit(book, book.transfer(20, "treasury", "ap", 100 * ONE))
    await book.statement("0", 90)
    await book.track(101, from_slot=101)
    await checked(book)
    await person(book, "ada", "admin", by=None)
    await person(book, "pat", "preparer")
    (alert,) = await list_alerts(book.dsn)
    return alert.fingerprint


async def test_an_alert_is_acknowledged_under_a_key_and_goes_on_firing_and_its_break_on_ageing(book: Book) -> None:
    fingerprint = await alarmed(book)
    await book.run(100)
    before = {w.finding.key: (w.age, w.work) for w in await worked_breaks(book.dsn)}
    seen = await acknowledge(book.dsn, fingerprint[:10], key_of("pat"), note="looking into it")
    assert (seen.status, seen.acknowledged_by, seen.acknowledged_note) == ("firing", "pat", "looking into it")
    assert {w.finding.key: (w.age, w.work) for w in await worked_breaks(book.dsn)} == before
    assert [(a.status, a.acknowledged_by) for a in await list_alerts(book.dsn)] == [("firing", "pat")]
    (entry,) = [e for e in await list_audit(book.db, 50) if e.action == "alert.acknowledge"]
    assert (entry.actor, entry.subject) == ("pat", fingerprint)
    assert await verify_signatures(book.dsn) == []
    with pytest.raises(NotAllowed, match="pat acknowledged the alert"):
        await acknowledge(book.dsn, fingerprint, key_of("pat"))


async def test_an_alert_that_begins_again_is_not_acknowledged(book: Book) -> None:
    fingerprint = await alarmed(book)
    await acknowledge(book.dsn, fingerprint, key_of("pat"))
    sign = await signature_at(book, 20)
    for status in ("completed", "rejected"):
        await book.orders(issue("REQ-9", "100", signature=sign, status=status))
        await checked(book)
    (alert,) = await list_alerts(book.dsn)
    assert (alert.status, alert.acknowledged_by) == ("firing", None)


async def test_nobody_acknowledges_unnamed_without_a_role_or_what_does_not_fire(book: Book) -> None:
    fingerprint = await alarmed(book)
    for who, error, text in (
        ("nobody", NotAllowed, "belongs to nobody here"),
        ("ada", NotAllowed, "needs the role preparer or approver"),
    ):
        with pytest.raises(error, match=text):
            await acknowledge(book.dsn, fingerprint, key_of(who))
    for name in ("", "zz"):
        with pytest.raises(NotFound, match="names"):
            await acknowledge(book.dsn, name, key_of("pat"))
    with pytest.raises(asyncpg.RestrictViolationError, match="no alert that fires"):
        await book.db.execute(
            "insert into recon.control_acknowledgement_row select 1, 99, 'x', now(), null, null, 'b', max(entry) "
            "from audit.entry_row"
        )


async def test_the_command_acknowledges_and_list_shows_who_has_seen_it(book: Book, tmp_path: Path) -> None:
    fingerprint, more = await alarmed(book), ("--dsn", book.dsn)
    pat = key_file(tmp_path, "pat")
    seen = await tieout_here("control", "acknowledge", fingerprint[:12], "--key", pat, "--note", "why", *more, "--json")
    assert (seen.code, seen.json["schema"]) == (0, "tieout/control-acknowledge/1"), seen.err
    assert (seen.json["alert"]["acknowledged_by"], seen.json["alert"]["status"]) == ("pat", "firing")
    listed = await tieout_here("control", "list", *more)
    assert (listed.code, "pat" in listed.out, fingerprint[:12] in listed.out) == (1, True, True)
    again = await tieout_here("control", "acknowledge", fingerprint[:12], "--key", pat, *more)
    assert (again.code, "pat acknowledged the alert" in again.err) == (2, True)
