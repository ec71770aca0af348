"""Acts of control that nothing announced, told by a run and by control; and what lies in frozen accounts."""

from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

from reconcile.builders import MINT, ONE, REGISTRY, Book, address, at, iso, issue, memo
from reconcile.controlling import checked, commit, firing
from reconcile.test_inputs import KNOWN
from reconcile.test_reports import TRUSTED, failed, made
from support.command import tieout_here
from tieout_reconcile import BadInput, verify_report
from tieout_reconcile.canonical import Raw
from tieout_reconcile.facts import ControlAct, Position
from tieout_reconcile.files import InputFile
from tieout_reconcile.registry import Announcement, sorted_registry
from tieout_reconcile.registry_file import parse_registry
from tieout_reconcile.surprises import surprises

KEY = address("freeze authority")


def act(kind: str, slot: int, account: str | None = None, value: str | None = None, **more: Any) -> ControlAct:
    values = {"signature": f"s{slot}", "authority": KEY, **more}
    place = Position(slot, 0, 0, -1)
    return ControlAct(place, at(slot), values["signature"], kind, account, values["authority"], value)


def said(*acts: ControlAct, announced: tuple[Announcement, ...] = (), forced: tuple[str, ...] = ()) -> Any:
    """The kinds and slots of what is told, those undone in small brackets."""
    found = surprises("AAPLx", acts, announced, forced)
    return [
        f"({s.act.kind} {s.act.position.slot})" if s.undone else f"{s.act.kind} {s.act.position.slot}" for s in found
    ]


def announced(kind: str, first: int, last: int, account: str | None = None, instrument: str = "*") -> Announcement:
    return Announcement(kind, instrument, account, at(first), at(last), "a letter")


@pytest.mark.parametrize(
    ("acts", "told"),
    [
        ([act("freeze", 1, "a")], ["freeze 1"]),
        ([act("freeze", 1, "a"), act("freeze", 2, "b")], ["freeze 1", "freeze 2"]),
        ([act("freeze", 1, "a"), act("thaw", 2, "a")], ["(freeze 1)", "(thaw 2)"]),
        ([act("freeze", 1, "a"), act("freeze", 2, "a")], ["freeze 1"]),
        ([act("thaw", 1, "a")], []),
        ([act("pause", 1), act("resume", 2), act("pause", 3)], ["(pause 1)", "(resume 2)", "pause 3"]),
        ([act("freeze", 1, "a", signature=""), act("thaw", 2, "a")], ["thaw 2"]),
        ([act("hook", 1, authority=None), act("hook", 2, None, "evil")], ["hook 2"]),
        ([act("hook", 1, authority=None), act("hook", 2)], []),
        ([act("hook", 1, None, "ours", authority=None), act("hook", 2, None, "evil"), act("hook", 3, None, "worse"),
          act("hook", 4, None, "ours")], ["(hook 2)", "(hook 3)", "(hook 4)"]),
        ([act("default_state", 1, None, "initialized", authority=None), act("default_state", 2, None, "frozen")],
         ["default_state 2"]),
    ],
)  # fmt: skip
def test_an_act_is_told_unless_it_changes_nothing_and_ends_when_it_is_undone(
    acts: list[ControlAct], told: list[str]
) -> None:
    assert said(*acts) == told


def test_what_is_announced_is_not_told_and_a_thaw_against_it_is() -> None:
    acts = (act("freeze", 5, "a"), act("thaw", 8, "a"))
    assert said(*acts, announced=(announced("freeze", 5, 6),)) == ["thaw 8"]
    assert said(*acts, announced=(announced("freeze", 5, 6, "a"), announced("thaw", 8, 9))) == []
    for other in (announced("freeze", 4, 5), announced("freeze", 5, 6, "b"), announced("pause", 5, 6),
                  announced("freeze", 5, 6, instrument="TSLAx")):  # fmt: skip
        assert said(*acts, announced=(other,)) == ["(freeze 5)", "(thaw 8)"]


def test_the_freeze_of_a_seizure_is_told_with_the_seizure_alone() -> None:
    acts = (act("thaw", 5, "a", signature="s"), act("freeze", 5, "a", signature="s"), act("pause", 6, signature="s"))
    assert said(*acts, forced=("s",)) == ["pause 6"]


ANNOUNCED = """
[[announced]]
kind = "freeze"
valid_from = {0}
valid_to = {1}
source = "court order"
"""


async def frozen(book: Book, registry: str = REGISTRY) -> None:
    """90 tokens with alice, 10 with bob; alice's account is frozen, bob's was opened while nobody knew how."""
    await book.commit()
    await book.open_mint()
    await book.mint(10, "treasury", 1000 * ONE)
    await book.control("open", 11, account=book.ata("bob"), details={"frozen": None})
    await book.transfer(20, "treasury", "alice", 90 * ONE, memo=memo("issue", "REQ-1"))
    await book.transfer(21, "treasury", "bob", 10 * ONE, memo=memo("issue", "REQ-2"))
    await book.control("freeze", 30, account=book.ata("alice"), authority=KEY)
    await book.control("freeze", 31, account=book.ata("treasury"), authority=KEY)
    await book.control("pause", 32, authority=KEY)
    await book.track(100)
    await book.registry(registry)
    await book.orders(issue("REQ-1", "90"), issue("REQ-2", "10"))
    await book.statement("100", 50)


async def test_frozen_tokens_stay_owed_on_a_line_of_their_own_and_unknown_is_no_zero(book: Book) -> None:
    await frozen(book)
    run = await book.run(100)
    (result,) = run.instruments
    assert (result.frozen, result.frozen_unknown) == (Raw(90 * ONE), Raw(10 * ONE)), "the treasury's own is not owed"
    assert (result.circulating, result.liability) == (Raw(100 * ONE), Fraction(100))
    assert run.clean
    earlier = await book.run(25, keep=False)
    assert (earlier.instruments[0].frozen, earlier.instruments[0].frozen_unknown) == (Raw(0), Raw(10 * ONE))


async def test_a_run_tells_each_act_that_nothing_announced(book: Book) -> None:
    await frozen(book)
    told = [f for f in (await book.run(100)).findings if f.code == "A9"]
    assert sorted(f.details["kind"] for f in told) == ["freeze", "freeze", "pause"]
    assert {f.severity for f in told} == {"notice"}
    assert any(f"the account {book.ata('alice')} was frozen by {KEY}" in f.summary for f in told)
    await book.registry(REGISTRY + ANNOUNCED.format(iso(30), iso(31)))
    told = [f for f in (await book.run(100)).findings if f.code == "A9"]
    assert sorted((f.details["kind"], f.details["slot"]) for f in told) == [("freeze", 31), ("pause", 32)]


async def test_control_alarms_until_the_act_is_undone_or_announced(book: Book) -> None:
    await frozen(book)
    await checked(book)
    assert await firing(book) == [("ControlUnannounced", "not_announced")] * 3
    await commit(book, book.control("resume", 40, authority=KEY))
    await checked(book)
    assert await firing(book) == [("ControlUnannounced", "not_announced")] * 2
    await book.registry(REGISTRY + ANNOUNCED.format(iso(30), iso(32)))
    await checked(book)
    assert await firing(book) == []
    await book.registry(REGISTRY)
    await checked(book)
    assert await firing(book) == [("ControlUnannounced", "not_announced")] * 2, "the announcement is gone"


async def test_an_alert_about_the_whole_mint_is_critical_and_names_who_did_it(book: Book) -> None:
    await frozen(book)
    told = {n.labels["kind"]: n for n in await checked(book) if n.labels["alertname"] == "ControlUnannounced"}
    assert (told["pause"].labels["severity"], told["freeze"].labels["severity"]) == ("critical", "warning")
    assert told["freeze"].annotations["authority"] == KEY
    assert told["freeze"].annotations["account"] == book.ata("treasury")


async def test_a_mint_created_with_a_hook_and_a_seizure_with_its_freeze_raise_no_alarm_of_their_own(book: Book) -> None:
    await book.commit()
    await book.open_mint()
    await book.control("hook", 1, details={"program_id": None})
    await book.mint(10, "treasury", 1000 * ONE)
    await book.transfer(20, "treasury", "alice", 90 * ONE, memo=memo("issue", "REQ-1"))
    sign = await book.control("freeze", 30, account=book.ata("alice"), authority=KEY)
    number = await book.db.fetchval("select tx_index from ledger.control_row where signature = $1", sign)
    await book.transfer(30, "alice", "treasury", 90 * ONE, role="permanent_delegate", tx=number, step=1)
    await book.track(100)
    await book.registry()
    await book.orders(issue("REQ-1", "90"))
    await checked(book)
    assert await firing(book) == [("CrossingForced", "forced")]
    told = [f.details["kind"] for f in (await book.run(100)).findings if f.code == "A9"]
    assert told == ["seizure"]


async def test_a_report_carries_the_acts_and_the_frozen_accounts_and_both_are_worked_out_again(
    book: Book, tmp_path: Path
) -> None:
    await frozen(book)
    path = await made(book, tmp_path)
    verified = verify_report(path, TRUSTED)
    assert failed(verified) == {}
    assert verified.report is not None
    (figures,) = verified.report["run"]["instruments"]
    assert (figures["frozen"], figures["frozen_unknown"]) == (str(90 * ONE), str(10 * ONE))
    assert sum(f["code"] == "A9" for f in verified.report["run"]["findings"]) == 3


async def test_the_command_shows_the_frozen_lines(book: Book) -> None:
    await frozen(book)
    shown = await tieout_here("reconcile", "run", "--dsn", book.dsn)
    assert "of it in frozen accounts, still owed, raw" in shown.out
    assert "of it where nobody knows whether it is frozen, raw" in shown.out


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        (("freeze", "seize"), "is not one of freeze, thaw, pause"),
        (("valid_to", "# valid_to"), "valid_to: is missing"),
        (('kind = "freeze"', f'kind = "pause"\naccount = "{MINT}"'), "it is an act on the mint"),
        (("source", 'instrument = "NOPE"\nsource'), "is the symbol of no instrument here"),
    ],
)
def test_an_announcement_says_what_when_and_why(change: tuple[str, str], fault: str) -> None:
    text = REGISTRY + ANNOUNCED.format(iso(1), iso(2)).replace(*change)
    with pytest.raises(BadInput) as bad:
        parse_registry(InputFile("registry.toml", text.encode()))
    assert fault in " ".join(bad.value.problems)


def test_a_registry_without_announcements_is_the_same_as_before_there_were_any() -> None:
    assert "announced" not in KNOWN.to_json()
    more = replace(KNOWN, announced=(announced("pause", 1, 2),))
    assert more.content_sha256 != KNOWN.content_sha256
    assert sorted_registry(
        [*KNOWN.instruments], [*KNOWN.wallets], [*KNOWN.custodians], KNOWN.calendars, KNOWN.venues
    ) == (KNOWN)
