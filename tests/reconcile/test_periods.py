"""Reporting periods: two persons, a figure that nothing learned later changes, a sign-off that nobody forges."""

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from pathlib import Path
from typing import Any

import asyncpg
import pytest

import tieout_reconcile
from reconcile.builders import ISIN, ONE, REGISTRY, Book, at, iso, memo
from reconcile.test_reports import KEY, TRUSTED, failed, resigned
from reconcile.test_workflow import cover, key_of, person
from support.command import tieout_here
from tieout_database import list_audit, verify_audit
from tieout_reconcile import (
    NotAllowed,
    NotFound,
    NotReady,
    PeriodKind,
    ReportingPeriod,
    act,
    decide_period,
    export_report,
    list_periods,
    open_period,
    propose_period,
    show_period,
    verify_report,
    verify_signatures,
    worked_breaks,
)
from tieout_reconcile.canonical import canonical_bytes
from tieout_reconcile.periods import action_body, content_sha256
from tieout_reconcile.reports import bundle, signing
from tieout_web.people import set_person

POSITIONS = "custodian,account,isin,quantity,basis,as_of\n"
ORDERS = "request_id,side,symbol,quantity,status,created_at\n"


async def hand_in(book: Book, kind: str, name: str, text: str, by: str | None = "pat") -> int | None:
    """A file, under somebody's key; its load."""
    path, key = book.file(name, text), None if by is None else key_of(by)
    if kind == "registry":
        return (await tieout_reconcile.apply_registry(book.dsn, path, key=key)).load
    take = tieout_reconcile.import_orders if kind == "orders" else tieout_reconcile.import_statement
    return (await take(book.dsn, path, key=key)).load


async def statement(book: Book, quantity: str, slot: int, by: str | None = "pat") -> int | None:
    text = f"{POSITIONS}alpaca,ITN-1,{ISIN},{quantity},settled,{iso(slot)}\n"
    return await hand_in(book, "statement", f"positions-{quantity}-{slot}.csv", text, by)


async def books(book: Book, by: str | None = "pat") -> None:
    """Two hundred tokens out by slot 50, of which 190 shares are there; 50 more at slot 60. Pat hands all in."""
    await book.commit()
    await book.open_mint()
    await book.mint(10, "treasury", 1000 * ONE)
    await book.transfer(20, "treasury", "ap", 200 * ONE, memo=memo("issue", "REQ-1"))
    await book.transfer(60, "treasury", "ap", 50 * ONE, memo=memo("issue", "REQ-2"))
    await book.track(100)
    await book.seal()
    for name, roles in (("ada", ["admin"]), ("pat", ["preparer"]), ("paul", ["preparer", "approver"]),
                        ("anna", ["approver"])):  # fmt: skip
        await person(book, name, *roles, by=None if name == "ada" else "ada")
    await hand_in(book, "registry", "registry.toml", REGISTRY, by)
    orders = f"REQ-1,issue,AAPLx,200,completed,{iso(1)}\nREQ-2,issue,AAPLx,50,completed,{iso(55)}\n"
    await hand_in(book, "orders", "orders.csv", ORDERS + orders, by)
    await statement(book, "190", 40, by)


async def first(book: Book, by: str = "pat") -> ReportingPeriod:
    """The first period, (0, 50], proposed."""
    await books(book)
    await open_period(book.dsn, "p1", at(0), at(50), key_of("pat"))
    await book.run(at(50))
    return await propose_period(book.dsn, "p1", key_of(by))


async def locked(book: Book) -> ReportingPeriod:
    await first(book)
    return await decide_period(book.dsn, PeriodKind.SIGN, "p1", key_of("anna"))


async def second(book: Book) -> ReportingPeriod:
    """The second period, (50, 90], locked: its statement is there."""
    await statement(book, "250", 80)
    await open_period(book.dsn, "p2", None, at(90), key_of("pat"))
    await book.run(at(90))
    await propose_period(book.dsn, "p2", key_of("pat"))
    return await decide_period(book.dsn, PeriodKind.SIGN, "p2", key_of("anna"))


async def report(book: Book, tmp_path: Path, name: str) -> Path:
    path = tmp_path / f"{name}.zip"
    path.write_bytes((await export_report(book.dsn, None, KEY, period=name)).data)
    return path


async def test_one_proposes_another_signs_and_the_run_is_the_periods_figure(book: Book, tmp_path: Path) -> None:
    waiting = await first(book)
    (broken,) = await worked_breaks(book.dsn)
    with pytest.raises(NotReady, match="once it is signed"):
        await export_report(book.dsn, None, KEY, period="p1")
    assert (waiting.standing.status, waiting.to_json()["signed_by"]) == ("proposed", None)
    done = await decide_period(book.dsn, PeriodKind.SIGN, "p1", key_of("anna"), note="seen")
    assert done.standing.status == "locked"
    assert done.content is not None
    assert done.content["run"]["slot"] == 50
    assert done.content["figures"]["AAPLx"]["difference"] == "-10"
    (listed,) = done.content["breaks"]
    assert (listed["code"], listed["key"], listed["work"]["status"]) == ("B1", broken.finding.key, "open")
    assert listed["work"]["age"]["calendar_registered"] is False
    assert [(e.actor, e.action) for e in reversed(await list_audit(book.db, 3))] == [
        ("pat", "period.open"), ("pat", "period.propose"), ("anna", "period.sign"),
    ]  # fmt: skip
    assert (await verify_audit(book.db))[1] == []
    assert await verify_signatures(book.dsn) == []
    path = await report(book, tmp_path, "p1")
    keys = [signing.public_text(key_of(name)) for name in ("pat", "anna")]
    verified = verify_report(path, TRUSTED, period="p1", signers=keys)
    assert failed(verified) == {}
    said = next(c.text for c in verified.checks if c.name == "period")
    assert said == f"p1: proposed by pat ({keys[0]}), signed by anna ({keys[1]})"
    assert verified.to_json()["period"]["signed"] == {"actor": "anna", "public_key": keys[1]}
    page = bundle.unpack(path)[bundle.PAGE].decode()
    for text in ("pat", "anna", "carried forward", "business days"):
        assert text in page
    # the report of the same run outside a period is another, of nobody's sign-off
    plain = tmp_path / "plain.zip"
    plain.write_bytes((await export_report(book.dsn, waiting.to_json()["pending"]["run"], KEY)).data)
    assert failed(verify_report(plain, TRUSTED)) == {}
    assert set(failed(verify_report(plain, TRUSTED, period="p1"))) == {"period"}
    assert set(failed(verify_report(path, TRUSTED, period="p2"))) == {"period"}
    assert set(failed(verify_report(path, TRUSTED, signers=[TRUSTED]))) == {"period"}


async def test_no_path_lets_one_person_propose_and_sign(book: Book) -> None:
    await first(book, by="paul")

    async def refused(who: str, why: str, kind: PeriodKind = PeriodKind.SIGN) -> None:
        with pytest.raises(NotAllowed, match=why):
            await decide_period(book.dsn, kind, "p1", key_of(who))

    await refused("paul", "somebody else must sign")
    await refused("paul", "somebody else must reject", PeriodKind.REJECT)
    await refused("stranger", "belongs to nobody")
    await refused("pat", "needs the role approver")
    # pat becomes an approver too: all that it rests on is what pat handed in
    await person(book, "pat", "preparer", "approver")
    await refused("pat", "pat handed in load 1")
    # paul takes another key; his old one is nobody else's
    await set_person(book.dsn, "paul", ["preparer", "approver"], signing.public_text(key_of("new")), key_of("ada"))
    await refused("new", "somebody else must sign")
    with pytest.raises(NotAllowed, match="is or was that of paul"):
        await set_person(book.dsn, "paul2", ["approver"], signing.public_text(key_of("paul")), key_of("ada"))
    # nor past the program: whoever writes the row, the database refuses it
    row = "insert into recon.period_action_row select 99, 'p1', 'sign', $1, now(), null, null, null, 1, 's', 'b', 1"
    with pytest.raises(asyncpg.RestrictViolationError, match="somebody else decides"):
        await book.db.execute(row, "paul")
    assert (await show_period(book.dsn, "p1")).standing.status == "proposed"
    # anna may, once; not again
    await decide_period(book.dsn, PeriodKind.SIGN, "p1", key_of("anna"))
    await refused("anna", "nothing waits")
    with pytest.raises(asyncpg.RestrictViolationError, match="is locked by action 2"):
        await book.db.execute(row.replace("99", "98").replace("$1", "'eve'"))


async def test_files_that_nobody_handed_in_carry_no_signature_until_somebody_does(book: Book) -> None:
    await books(book, by=None)
    await open_period(book.dsn, "p1", at(0), at(50), key_of("pat"))
    await book.run(at(50))
    await propose_period(book.dsn, "p1", key_of("pat"))
    with pytest.raises(NotAllowed, match=r"nobody is known to have handed in load 1 \(registry\)"):
        await decide_period(book.dsn, PeriodKind.SIGN, "p1", key_of("anna"))
    await hand_in(book, "registry", "registry.toml", REGISTRY)
    orders = next(book.folder.glob("orders*.csv")).read_text()
    await hand_in(book, "orders", "orders.csv", orders)
    await statement(book, "190", 40)
    # somebody else's name under a file that has one changes nothing
    await statement(book, "190", 40, by="paul")
    assert [r["actor"] for r in await book.db.fetch("select actor from recon.load_actors order by load")] == ["pat"] * 3
    await decide_period(book.dsn, PeriodKind.SIGN, "p1", key_of("anna"))
    assert await verify_signatures(book.dsn) == []


async def test_a_late_file_is_told_beside_the_locked_figure_and_never_changes_it(book: Book, tmp_path: Path) -> None:
    done = await locked(book)
    before = (await report(book, tmp_path, "p1")).read_bytes()
    assert (await show_period(book.dsn, "p1")).later == replace_later(done)
    # outside the period: nothing to it
    await statement(book, "250", 80)
    unmoved = (await show_period(book.dsn, "p1")).later
    assert unmoved is not None
    assert (unmoved.differences, unmoved.late) == ((), ())
    # inside it: a restated statement, and an order that corrects REQ-1
    load = await statement(book, "195", 45)
    order = await hand_in(book, "orders", "late.csv", f"{ORDERS}REQ-1,issue,AAPLx,150,completed,{iso(1)}\n", "paul")
    now = await show_period(book.dsn, "p1")
    assert now.content == done.content
    assert now.later is not None
    told = {d["figure"]: (d["locked"], d["restated"], d["difference"]) for d in now.later.differences}
    assert told["custody"] == ("190", "195", "5")
    assert told["difference"] == ("-10", "-5", "5")
    assert [(c["load"], c["importer"]) for c in now.later.causes] == [(load, "pat"), (order, "paul")]
    assert {d["figure"] for d in now.later.causes[0]["differences"]} == {"custody", "difference"}
    assert [key.partition("/")[0] for key in now.later.causes[1]["appeared"]] == ["C5"]
    assert [x["load"] for x in now.later.late] == [load, order]
    # the signed report is the same, byte for byte
    assert (await report(book, tmp_path, "p1")).read_bytes() == before
    # the next period opens with what was locked, and tells the difference
    following = await second(book)
    assert following.content is not None
    opening = following.content["opening"]
    assert done.content is not None
    assert (opening["content_sha256"], opening["figures"]) == (content_sha256(done.content), done.content["figures"])
    adjusted = {d["figure"]: d["difference"] for d in opening["prior_period_adjustments"]["differences"]}
    assert (adjusted["custody"], adjusted["difference"]) == ("5", "5")
    assert following.content["cleared"] == [b["key"] for b in done.content["breaks"]]
    path = await report(book, tmp_path, "p2")
    verified = verify_report(path, TRUSTED, tmp_path / "p1.zip", period="p2")
    assert failed(verified) == {}
    (rolled,) = json.loads(bundle.unpack(path)[bundle.REPORT])["roll_forward"]
    raw = rolled["outside_raw"]
    assert (raw["opening"], raw["closing"]) == (str(200 * ONE), str(250 * ONE))
    assert "Prior-period adjustments" in bundle.unpack(path)[bundle.PAGE].decode()


def replace_later(done: ReportingPeriod) -> Any:
    assert done.content is not None
    run = done.content["run"]
    return tieout_reconcile.Restated(run["batch"], run["load"], (), (), (), (), (), ())


async def test_a_corrected_ledger_is_told_as_such_and_the_roll_forward_must_add_up(book: Book, tmp_path: Path) -> None:
    await locked(book)
    first_report = await report(book, tmp_path, "p1")
    await book.commit()
    await book.mint(30, "carol", 7 * ONE)
    await book.seal()
    now = await show_period(book.dsn, "p1")
    assert now.later is not None
    (cause,) = now.later.causes
    assert (cause["by"], cause["batches"]) == ("ledger", [2, 2])
    assert {d["figure"]: d["difference"] for d in now.later.differences}["circulating"] == str(7 * ONE)
    await second(book)
    path = await report(book, tmp_path, "p2")
    assert failed(verify_report(path, TRUSTED, first_report)) == {}

    def untold(said: dict[str, Any]) -> None:
        content = said["period"]["content"]
        content["opening"]["prior_period_adjustments"]["differences"] = []
        sign_again(said)

    # even both persons together cannot leave it out: the events show what was outside
    forged = failed(verify_report(resigned(path, lambda _: None, untold), TRUSTED))
    assert f"opens {7 * ONE} raw off" in forged["period"]


def sign_again(said: dict[str, Any]) -> None:
    """Both persons sign what stands there now."""
    sign_off = said["period"]
    sha256 = content_sha256(sign_off["content"])
    for kind, part in ((PeriodKind.PROPOSE, "proposed"), (PeriodKind.SIGN, "signed")):
        who, name = sign_off[part], sign_off["content"]["period"]
        proposal = sign_off["proposed"]["action"] if part == "signed" else None
        body = canonical_bytes(action_body(kind, who["actor"], name, 0, "genesis", sha256, proposal, None))
        who["body"], who["signature"] = body.decode(), signing.sign(key_of(who["actor"]), body)


def _forged_content(said: dict[str, Any]) -> None:
    said["period"]["content"]["figures"]["AAPLx"]["custody"] = "200"


def _alone(said: dict[str, Any]) -> None:
    said["period"]["signed"] = {**said["period"]["proposed"]}


def _another_signature(said: dict[str, Any]) -> None:
    body = said["period"]["signed"]["body"].encode()
    said["period"]["signed"]["signature"] = signing.sign(key_of("pat"), body)


def _another_key(said: dict[str, Any]) -> None:
    said["period"]["signed"]["public_key"] = signing.public_text(key_of("pat"))


def _another_name(said: dict[str, Any]) -> None:
    said["period"]["signed"]["actor"] = "auditor"


def _no_breaks(said: dict[str, Any]) -> None:
    said["period"]["content"]["breaks"] = []
    sign_again(said)


def _another_run(said: dict[str, Any]) -> None:
    said["period"]["content"]["run"]["load"] = 1
    sign_again(said)


def _dropped(said: dict[str, Any]) -> None:
    del said["period"]["signed"]


def _emptied(said: dict[str, Any]) -> None:
    said["period"] = None


@pytest.fixture
def forgeries() -> list[Callable[[dict[str, Any]], None]]:
    return [
        _forged_content,
        _alone,
        _another_signature,
        _another_key,
        _another_name,
        _no_breaks,
        _another_run,
        _dropped,
    ]


async def test_a_sign_off_forged_or_dropped_and_signed_again_by_the_issuer_shows(
    book: Book, tmp_path: Path, forgeries: list[Callable[[dict[str, Any]], None]]
) -> None:
    await locked(book)
    path = await report(book, tmp_path, "p1")
    assert failed(verify_report(resigned(path, lambda _: None), TRUSTED)) == {}
    for forge in forgeries:
        forged = failed(verify_report(resigned(path, lambda _: None, forge), TRUSTED))
        assert forged.keys() & {"period", "computed"}, forge.__name__
    # without any sign-off it is the report of a run, and of no period
    assert "period" in failed(verify_report(resigned(path, lambda _: None, _emptied), TRUSTED, period="p1"))


async def test_reopening_takes_two_persons_and_a_reason_and_the_last_period_first(book: Book) -> None:
    await locked(book)
    with pytest.raises(NotAllowed, match="needs a reason"):
        await decide_period(book.dsn, PeriodKind.ASK_REOPEN, "p1", key_of("pat"), note=" ")
    with pytest.raises(NotAllowed, match="nothing waits"):
        await decide_period(book.dsn, PeriodKind.REOPEN, "p1", key_of("anna"))
    with pytest.raises(NotAllowed, match="is locked: nothing can be proposed"):
        await propose_period(book.dsn, "p1", key_of("pat"))
    await second(book)
    with pytest.raises(NotAllowed, match="p2, is locked on its closing"):
        await decide_period(book.dsn, PeriodKind.ASK_REOPEN, "p1", key_of("paul"), note="wrong account")
    asked = await decide_period(book.dsn, PeriodKind.ASK_REOPEN, "p2", key_of("paul"), note="wrong account")
    assert (asked.standing.status, asked.to_json()["lock"]) == ("reopening", 4)
    with pytest.raises(NotAllowed, match="somebody else must reopen"):
        await decide_period(book.dsn, PeriodKind.REOPEN, "p2", key_of("paul"))
    kept = await decide_period(book.dsn, PeriodKind.REJECT, "p2", key_of("anna"))
    assert kept.standing.status == "locked"
    await decide_period(book.dsn, PeriodKind.ASK_REOPEN, "p2", key_of("pat"), note="wrong account")
    opened = await decide_period(book.dsn, PeriodKind.REOPEN, "p2", key_of("anna"))
    assert (opened.standing.status, opened.content) == ("reopened", None)
    # what was signed stays in the history, and the period is signed anew
    assert [str(a.kind) for a in opened.actions] == [
        "propose", "sign", "ask_reopen", "reject", "ask_reopen", "reopen",
    ]  # fmt: skip
    await propose_period(book.dsn, "p2", key_of("pat"))
    again = await decide_period(book.dsn, PeriodKind.SIGN, "p2", key_of("anna"))
    assert again.standing.status == "locked"
    assert await verify_signatures(book.dsn) == []


async def test_what_was_signed_cannot_be_edited_and_an_edit_past_the_triggers_shows(book: Book) -> None:
    await locked(book)
    for change in (
        "update recon.period_action_row set actor = 'eve'",
        "update recon.period_row set to_at = to_at + interval '1 day'",
        "delete from recon.period_action_row where kind = 'sign'",
        "truncate recon.period_action_row cascade",
        "update recon.run_row set verdict = 'ties_out'",
    ):
        with pytest.raises(asyncpg.RestrictViolationError, match="append-only"):
            await book.db.execute(change)
    await book.db.execute("set session_replication_role = replica")
    await book.db.execute("update recon.period_action_row set body = replace(body, 'anna', 'paul') where kind = 'sign'")
    await book.db.execute("update recon.period_row set body = replace(body, 'p1', 'px')")
    faults = await verify_signatures(book.dsn)
    assert [fault.partition(":")[0] for fault in faults] == ["period p1", "period p1, action 2"]


async def test_a_period_has_a_name_an_end_its_run_and_no_gap_before_it(book: Book) -> None:
    await books(book)
    pat = key_of("pat")
    for name, start, end, why in (
        ("", at(0), at(50), "no name of a period"),
        ("a/b", at(0), at(50), "no name of a period"),
        ("p1", at(50), at(50), "ends after it begins"),
        ("p1", None, at(50), "needs to be told where it begins"),
    ):
        with pytest.raises(NotAllowed, match=why):
            await open_period(book.dsn, name, start, end, pat)
    with pytest.raises(NotAllowed, match="not the role preparer"):
        await open_period(book.dsn, "p1", at(0), at(50), key_of("anna"))
    await open_period(book.dsn, "p1", at(0), at(50), pat)
    for name, start, why in (
        ("p1", None, "there is a period p1"),
        ("p2", at(49), "begins there"),
        ("p2", at(51), "begins there"),
    ):
        with pytest.raises(NotAllowed, match=why):
            await open_period(book.dsn, name, start, at(90), pat)
    with pytest.raises(NotFound, match="no run was stored as of the end"):
        await propose_period(book.dsn, "p1", pat)
    late = await book.run(at(60))
    with pytest.raises(NotAllowed, match="run 1 is as of slot 60, the last slot of p1 is 50"):
        await propose_period(book.dsn, "p1", pat, number=late.run)
    await open_period(book.dsn, "p2", None, at(60), pat)
    with pytest.raises(NotAllowed, match="the period before, p1, is not locked"):
        await propose_period(book.dsn, "p2", pat)
    await open_period(book.dsn, "p3", None, datetime.now(UTC) + timedelta(days=999), pat)
    with pytest.raises(NotReady, match="does not reach past"):
        await propose_period(book.dsn, "p3", pat)
    with pytest.raises(NotFound, match="no period 'px'"):
        await show_period(book.dsn, "px")
    assert [p.period for p in await list_periods(book.dsn)] == ["p1", "p2", "p3"]


async def test_the_cover_of_a_shortfall_stands_in_the_report_as_it_was_signed(book: Book, tmp_path: Path) -> None:
    await first(book)
    (broken,) = await worked_breaks(book.dsn)
    wish = replace(cover(broken.finding.key, 3), shares=Fraction(10))
    await act(book.dsn, wish, key_of("pat"))
    path = tmp_path / "covered.zip"
    path.write_bytes((await export_report(book.dsn, None, KEY)).data)
    (line,) = json.loads(bundle.unpack(path)[bundle.REPORT])["shortfalls"]
    assert (line["assets"], line["shares"], line["actor"]) == (wish.assets, "10", "pat")
    assert failed(verify_report(path, TRUSTED)) == {}
    assert "treasury bills" in bundle.unpack(path)[bundle.PAGE].decode()

    def more(said: dict[str, Any]) -> None:
        said["shortfalls"][0]["shares"] = "1000"

    assert "another shares" in failed(verify_report(resigned(path, lambda _: None, more), TRUSTED))["shortfalls"]
    # recorded later, it does not change the report that was made
    await act(book.dsn, replace(wish, shares=Fraction(5)), key_of("pat"))
    assert (await export_report(book.dsn, None, KEY)).data == path.read_bytes()
    # proposed anew, it is part of what is signed
    await decide_period(book.dsn, PeriodKind.REJECT, "p1", key_of("anna"))
    await propose_period(book.dsn, "p1", key_of("pat"))
    done = await decide_period(book.dsn, PeriodKind.SIGN, "p1", key_of("anna"))
    assert done.content is not None
    work = done.content["breaks"][0]["work"]
    assert (work["cover"]["shares"], work["uncovered"], work["notifications"]) == ("5", "5", [])


def key_file(folder: Path, name: str) -> str:
    path = folder / f"{name}.json"
    key = key_of(name)
    path.write_text(json.dumps(list(key.private_bytes_raw() + key.public_key().public_bytes_raw())))
    path.chmod(0o600)
    return str(path)


async def test_the_commands_open_propose_sign_show_and_export_a_period(book: Book, tmp_path: Path) -> None:
    await books(book)
    await book.run(at(50))
    pat, anna = (key_file(tmp_path, name) for name in ("pat", "anna"))
    more = ("--dsn", book.dsn, "--json")
    opened = await tieout_here("period", "open", "p1", "--from", iso(0), "--to", iso(50), "--key", pat, *more)
    assert (opened.code, opened.json["period"]["status"]) == (0, "open"), opened.err
    assert (await tieout_here("period", "open", "p2", "--to", "soon", "--key", pat, *more)).code == 2
    proposed = await tieout_here("period", "propose", "p1", "--key", pat, *more)
    assert proposed.json["period"]["pending"]["actor"] == "pat"
    alone = await tieout_here("period", "sign", "p1", "--key", pat, *more)
    assert (alone.code, "needs the role approver" in alone.err) == (2, True)
    signed = await tieout_here("period", "sign", "p1", "--key", anna, *more)
    assert (signed.json["schema"], signed.json["period"]["signed_by"]) == ("tieout/period-sign/1", "anna")
    listed = await tieout_here("period", "list", *more)
    assert [(p["period"], p["status"]) for p in listed.json["periods"]] == [("p1", "locked")]
    assert (await tieout_here("period", "show", "p1", *more)).code == 0
    await statement(book, "195", 45)
    shown = await tieout_here("period", "show", "p1", "--dsn", book.dsn)
    assert shown.code == 1
    for text in ("later adjustments", "positions-195-45.csv", "190", "195", "anna"):
        assert text in shown.out
    path = tmp_path / "p1.zip"
    made = await tieout_here(
        "report", "export", "--period", "p1", "--to", str(path), "--key", key_file(tmp_path, "issuer"), *more
    )
    assert made.json["period"] == "p1", made.err
    trust = signing.public_text(key_of("issuer"))
    verified = await tieout_here("report", "verify", str(path), "--trust", trust, "--period", "p1", "--json")
    assert (verified.code, verified.json["period"]["proposed"]["actor"]) == (0, "pat")
    wrong = await tieout_here("report", "verify", str(path), "--trust", trust, "--signed-by", trust)
    assert wrong.code == 1
    # a cover and a notification by command
    await book.run()
    (broken,) = (await tieout_here("breaks", "list", *more)).json["breaks"]
    told = ("--document", "3", "--key", pat, *more)
    assets = ("--assets", "bills", "--since", iso(50), "--shares", "5")
    covered = await tieout_here("breaks", "cover", broken["id"], *assets, *told)
    assert covered.json["break"]["work"]["cover"]["assets"] == "bills", covered.err
    sent = await tieout_here("breaks", "notify", broken["id"], "--to", "the supervisor", "--at", iso(60), *told)
    assert [n["recipient"] for n in sent.json["break"]["work"]["notifications"]] == ["the supervisor"]
    shown = await tieout_here("breaks", "list", "--dsn", book.dsn)
    assert "part, told" in shown.out
    assert "bills" in (await tieout_here("breaks", "show", broken["id"], "--dsn", book.dsn)).out
    assert (await tieout_here("breaks", "notify", broken["id"], "--to", "x", "--at", "2026", *told)).code == 2
