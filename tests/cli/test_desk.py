"""The desk at the command line: people, evidence under a name, work on a break, a signed report, the log."""

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from cli.conftest import Cli
from reconcile.builders import ISIN, ONE, REGISTRY, Book, at, cash, iso, issue, memo, signature
from reconcile.controlling import checked
from tieout.commands import breaks, period
from tieout_database import create_roles
from tieout_reconcile import import_statement, read_signing_key
from tieout_reconcile.control import list_alerts
from tieout_reconcile.working import claim_load


@pytest.fixture
async def book(dsn: str, tmp_path: Path) -> AsyncIterator[Book]:
    """250.5 shares owed against an order, 240 in settled custody."""
    folder = tmp_path / "files"
    folder.mkdir()
    built = await Book.open(dsn, folder)
    await built.commit()
    await built.open_mint()
    await built.mint(10, "treasury", 1000 * ONE)
    await built.transfer(20, "treasury", "ap", 25_050_000_000, memo=memo("issue", "REQ-1"))
    await built.track(100)
    await built.registry()
    await built.seal()
    await built.orders(issue("REQ-1", "250.5"))
    await built.statement("240", 90)
    yield built
    await built.close()


async def test_a_shortfall_is_worked_by_two_people_reported_and_verified(cli: Cli, book: Book) -> None:
    dsn = ("--dsn", book.dsn, "--json")
    keys = {}
    for name in ("ada", "pat", "anna", "issuer"):
        made = await cli("key", "new", f"{name}.json", "--json")
        assert made.code == 0, made.err
        keys[name] = (await cli("key", "show", f"{name}.json", "--json")).json["address"]
    assert (await cli("people", "set", "ada", "--role", "admin", "--public-key", keys["ada"], *dsn)).code == 0
    for name, role in (("pat", "preparer"), ("anna", "approver")):
        added = await cli(
            "people", "set", name, "--role", role, "--public-key", keys[name], "--key", "ada.json", *dsn
        )  # fmt: skip
        assert added.code == 0, added.err
    assert (await cli("people", "set", "eve", "--role", "approver", *dsn)).code == 2
    assert {p["name"] for p in (await cli("people", "list", *dsn)).json["people"]} == {"ada", "anna", "pat"}

    assert (await cli("reconcile", "run", "--dsn", book.dsn)).code == 1
    listed = await cli("breaks", "list", *dsn)
    assert listed.code == 1
    (found,) = listed.json["breaks"]
    assert (found["code"], found["work"]["status"], found["work"]["unexplained"]) == ("B1", "open", "10.5")
    note = book.file(
        "note.csv", f"custodian,account,isin,quantity,basis,as_of\nalpaca,ITN-1,{ISIN},250.5,trade_date,{iso(95)}\n"
    )
    evidence = await cli("statement", "import", str(note), "--key", "pat.json", *dsn)
    load = str(evidence.json["imported"][0]["load"])
    assert (await cli("breaks", "assign", found["id"], "--to", "pat", "--key", "pat.json", *dsn)).code == 0
    proposed = await cli(
        "breaks", "propose", found["id"], "--line", "unsettled_trade", "--document", load, "--shares", "10.5",
        "--key", "pat.json", *dsn,
    )  # fmt: skip
    assert proposed.code == 0, proposed.err
    number = str(proposed.json["break"]["work"]["pending"]["action"])
    alone = await cli("breaks", "approve", found["id"], "--proposal", number, "--key", "pat.json", *dsn)
    assert (alone.code, "approver" in alone.err) == (2, True)
    approved = await cli("breaks", "approve", found["id"], "--proposal", number, "--key", "anna.json", *dsn)
    assert approved.json["break"]["work"]["status"] == "explained"
    shown = await cli("breaks", "show", found["id"], "--dsn", book.dsn)
    for word in ("pat", "anna", "unsettled_trade", "unexplained", "0 shares"):
        assert word in shown.out

    exported = await cli("report", "export", "--to", "report.zip", "--key", "issuer.json", *dsn)
    assert exported.code == 1, exported.err
    assert exported.json["verdict"] == "does_not_tie_out"
    again = await cli("report", "export", "--to", "report.zip", "--key", "issuer.json", *dsn)
    assert (again.code, "not overwritten" in again.err) == (2, True)
    assert (await cli("report", "export", "--to", "copy.zip", "--key", "issuer.json", *dsn)).code == 1
    assert Path("report.zip").read_bytes() == Path("copy.zip").read_bytes()
    verified = await cli("report", "verify", "report.zip", "--trust", keys["issuer"], "--json")
    assert verified.code == 0, verified.out
    assert verified.json["schema"] == "tieout/report-verify/1"
    unknown = await cli("report", "verify", "report.zip")
    assert (unknown.code, "origin not verified" in unknown.out) == (1, True)
    (line,) = (await cli("report", "list", *dsn)).json["reports"]
    assert (line["sha256"], line["signers"]) == (exported.json["sha256"], [keys["issuer"]])

    assert (await cli("key", "new", "practitioner.json", "--json")).code == 0
    outside = (await cli("key", "show", "practitioner.json", "--json")).json["address"]
    kinds = await cli("practitioner", "engagements")
    assert (kinds.code, "no assurance" in kinds.out) == (0, True)
    stated = await cli(
        "practitioner", "sign", "report.zip", "--name", "Prüfer & Partner", "--engagement", "procedures_isrs_4400",
        "--criteria", "ten movements were drawn", "--conclusion", "findings", "--matter", "ten agreed", "--key",
        "practitioner.json", "--to", "statement.json", "--json",
    )  # fmt: skip
    assert stated.code == 0, stated.err
    assert "gives no assurance" in stated.json["words"]
    attach = ("practitioner", "attach", "statement.json", "--key", "pat.json", *dsn)
    assert (await cli(*attach, "--trust", keys["issuer"])).code == 2
    assert (await cli("practitioner", "list", *dsn)).json["statements"] == []
    attached = await cli(*attach, "--trust", outside)
    assert attached.code == 0, attached.err
    (one,) = (await cli("practitioner", "list", *dsn)).json["statements"]
    assert (one["report"], one["actor"], one["holds"], one["words"]) == (1, "pat", True, stated.json["words"])
    check = ("report", "verify", "report.zip", "--trust", keys["issuer"], "--practitioner", "statement.json")
    strange = await cli(*check, "--page", "page.html")
    assert (strange.code, "what the practitioner says of it does not" in strange.out) == (1, True)
    assert not Path("page.html").exists()
    whole = await cli(*check, "--trust-practitioner", outside, "--page", "page.html", "--table", "page.csv", "--json")
    assert (whole.code, whole.json["practitioner"]["words"]) == (0, stated.json["words"]), whole.err
    assert "gives no assurance" in Path("page.html").read_text("utf-8")
    assert "practitioner_engagement,procedures_isrs_4400" in Path("page.csv").read_text("utf-8")

    checked = await cli("audit", "verify", *dsn)
    assert (checked.code, checked.json["faults"]) == (0, [])
    did = {(e["actor"], e["action"]) for e in (await cli("audit", "list", *dsn)).json["entries"]}
    assert {("pat", "break.propose"), ("anna", "break.approve"), ("pat", "load.import")} <= did
    await book.db.execute("alter table audit.entry_row disable trigger refuse_change")
    await book.db.execute("update audit.entry_row set actor = 'eve' where action = 'break.approve'")
    assert (await cli("audit", "verify", *dsn)).code == 1


async def staffed(cli: Cli, book: Book) -> tuple[str, str]:
    """People with keys, all files under pat's, a run at the period's end, an alert; the last file, and the alert."""
    may = await book.db.fetchval("select rolsuper or rolcreaterole from pg_roles where rolname = current_user")
    if not may:
        pytest.skip("the test's user may not create roles")
    for name, role in (("ada", "admin"), ("pat", "preparer"), ("anna", "approver")):
        await cli("key", "new", f"{name}.json", "--json")
        key = (await cli("key", "show", f"{name}.json", "--json")).json["address"]
        signed = () if name == "ada" else ("--key", "ada.json")
        added = await cli("people", "set", name, "--role", role, "--public-key", key, *signed, "--dsn", book.dsn)
        assert added.code == 0, added.err
    pat = read_signing_key(Path("pat.json"))
    for row in await book.db.fetch("select load, sha256 from recon.loads order by load"):
        await claim_load(book.db, row["load"], bytes.fromhex(row["sha256"]), pat)
    text = f"custodian,account,isin,quantity,basis,as_of\nalpaca,ITN-1,{ISIN},250.5,trade_date,{iso(95)}\n"
    load = (await import_statement(book.dsn, book.file("note.csv", text), key=pat)).load
    await book.commit()
    await book.transfer(95, "treasury", "ap", ONE)
    await book.flush()
    await checked(book)
    await book.run(at(90))
    await create_roles(book.db)
    (alert,) = await list_alerts(book.dsn)
    return str(load), alert.fingerprint


DESK_READS = (
    ("db", "status"), ("reconcile", "show"), ("reconcile", "history"), ("reconcile", "coverage"), ("registry", "show"),
    ("statement", "list"), ("order", "list"), ("report", "list"), ("people", "list"), ("token", "list"),
    ("practitioner", "list"), ("audit", "list"), ("audit", "verify"), ("control", "list"), ("control", "status"),
    ("headroom", "AAPLx"),
)  # fmt: skip
STORED = ("loads", "runs", "reports")
DESK_MAY_NOT = (
    ("reconcile", "run"), ("report", "export", "--to", "r.zip", "--key", "pat.json"),
    ("statement", "import", "late.csv", "--key", "pat.json"), ("order", "import", "orders.csv"),
    ("registry", "apply", "registry.toml"), ("token", "create", "x", "--scope", "breaks:read", "--key", "ada.json"),
    ("people", "disable", "anna", "--key", "ada.json"), ("db", "roles"),
)  # fmt: skip


async def test_the_desks_people_do_their_days_work_with_the_desks_role_and_no_more(cli: Cli, book: Book) -> None:
    load, alert = await staffed(cli, book)
    dsn = ("--dsn", f"{book.dsn}{'&' if '?' in book.dsn else '?'}options=-c%20role%3Dtieout_desk", "--json")
    (found,) = (await cli("breaks", "list", *dsn)).json["breaks"]
    did: dict[str, set[str]] = {"breaks": {"list"}, "period": set(), "control": set()}

    async def do(who: str, group: str, command: str, *more: str, code: int = 0) -> dict[str, Any]:
        key = ("--key", f"{who}.json") if who else ()
        done = await cli(group, command, *more, *key, *(dsn if command != "lines" else ("--json",)))
        assert done.code == code, (group, command, done.err)
        did[group].add(command)
        return dict(done.json)

    one, told = found["id"], ("--document", load)
    lines = ("--line", "unsettled_trade", "--shares", "10.5", *told)
    await do("", "breaks", "lines")
    await do("", "breaks", "show", one)
    await do("pat", "breaks", "assign", one, "--to", "anna")
    await do("pat", "breaks", "explain", one, "--note", "seen")
    asked = await do("pat", "breaks", "propose", one, *lines)
    await do("anna", "breaks", "reject", one, "--proposal", str(asked["break"]["work"]["pending"]["action"]))
    asked = await do("pat", "breaks", "propose", one, *lines)
    await do("anna", "breaks", "approve", one, "--proposal", str(asked["break"]["work"]["pending"]["action"]))
    await do("pat", "breaks", "reopen", one)
    await do("pat", "breaks", "cover", one, "--assets", "bills", "--since", iso(95), "--shares", "1", *told)
    await do("pat", "breaks", "notify", one, "--to", "the supervisor", "--at", iso(95), *told)
    await do("pat", "period", "open", "p1", "--from", iso(0), "--to", iso(90))
    await do("pat", "period", "propose", "p1")
    await do("anna", "period", "reject", "p1")
    await do("pat", "period", "propose", "p1")
    await do("anna", "period", "sign", "p1")
    await do("", "period", "show", "p1")
    await do("pat", "period", "ask-reopen", "p1", "--note", "a late trade")
    await do("anna", "period", "reopen", "p1")
    await do("pat", "period", "open", "p2", "--to", iso(95))
    await do("pat", "period", "ask-withdraw", "p2", "--note", "too early")
    await do("anna", "period", "withdraw", "p2")
    await do("", "period", "list")
    await do("pat", "control", "acknowledge", alert[:12])
    for group, app in (("breaks", breaks.APP), ("period", period.APP)):
        names = {c.name or (c.callback.__name__ if c.callback else "") for c in app.registered_commands}
        assert did[group] == names, "a new command is one to be done here"
    for command in DESK_READS:
        assert (await cli(*command, *dsn)).code in (0, 1), command

    book.file("late.csv", f"custodian,account,isin,quantity,basis,as_of\nalpaca,ITN-1,{ISIN},9,settled,{iso(96)}\n")
    book.file("orders.csv", f"request_id,side,symbol,quantity,status,created_at\nR,issue,AAPLx,1,pending,{iso(1)}\n")
    book.file("registry.toml", REGISTRY.replace("decimals = 8", "decimals = 8\ninventory_authorised = true"))
    before = [await book.db.fetchval(f"select count(*) from recon.{what}") for what in STORED]
    for forbidden in DESK_MAY_NOT:
        words = [str(book.folder / w) if (book.folder / w).is_file() else w for w in forbidden]
        refused = await cli(*words, *dsn)
        assert (refused.code, "permission denied" in refused.err) == (2, True), (forbidden, refused.err)
    assert [await book.db.fetchval(f"select count(*) from recon.{what}") for what in STORED] == before


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("report", "export", "--to", "x.zip"), "either --key FILE, or --unsigned"),
        (("report", "verify", "junk.zip", "--trust-practitioner", "x"), "goes with --practitioner"),
        (("report", "verify", "nothing.zip"), "no file"),
        (("report", "verify", "junk.zip"), "no bundle"),
        (("breaks", "explain", "x", "--note", "y", "--key", "nothing.json"), "cannot be read"),
        (
            ("breaks", "propose", "x", "--line", "l", "--document", "1", "--shares", "1e3", "--key", "k.json"),
            "--shares",
        ),
    ],
)
async def test_bad_usage_of_the_desk_gets_a_sentence_and_exit_2(
    cli: Cli, arguments: tuple[str, ...], says: str
) -> None:
    Path("junk.zip").write_bytes(b"junk")
    assert (await cli("key", "new", "k.json", "--json")).code == 0
    done = await cli(*arguments, "--json")
    assert done.code == 2, done.err
    assert says in done.json["error"]["message"]


async def test_prices_are_imported_and_values_shown_beside_the_figures(cli: Cli, book: Book) -> None:
    dsn = ("--dsn", book.dsn, "--json")
    bad = book.file("bad.csv", f"isin,date,price,currency,source\n{ISIN},2026-11-02,x,USD,vendor\n")
    refused = await cli("price", "import", str(bad), *dsn)
    assert (refused.code, 'line 2: price "x"' in refused.json["error"]["message"]) == (2, True)
    good = book.file("prices.csv", f"isin,date,price,currency,source,mic\n{ISIN},2026-11-01,100.5,USD,vendor,XNAS\n")
    taken = await cli("price", "import", str(good), *dsn)
    assert taken.code == 0, taken.err
    (listed,) = (await cli("price", "list", *dsn)).json["prices"]
    assert (listed["price"], listed["day"], listed["mic"]) == ("100.5", "2026-11-01", "XNAS")
    for command in (("reconcile", "run"), ("reconcile", "show"), ("reconcile", "coverage")):
        done = await cli(*command, *dsn)
        (value,) = done.json["values"]
        told = [value[name] for name in ("day", "liability", "custody", "difference")]
        assert told == ["2026-11-01", "25175.25", "24120", "-1055.25"], command
        assert (done.code, done.json["verdict"]) == (1, "does_not_tie_out")
        assert "25,175.25" in (await cli(*command, "--dsn", book.dsn)).out


async def test_unsettled_trades_are_imported_and_listed(cli: Cli, book: Book, monkeypatch: pytest.MonkeyPatch) -> None:
    header = "custodian,account,isin,reference,side,quantity,traded_at,settles_on,status,status_at"
    path = book.file("trades.csv", f"{header}\nalpaca,ITN-1,{ISIN},T-1,buy,10.5,{iso(15)},2026-11-03,pending,\n")
    assert (await cli("trade", "import", str(path), "--dsn", book.dsn)).code == 0
    listed = await cli("trade", "list", "--dsn", book.dsn, "--json")
    assert json.loads(listed.out)["trades"][0]["quantity"] == "10.5"
    done = await cli("reconcile", "run", "--dsn", book.dsn)
    assert (done.code, "ties out in settlement" in done.out) == (0, True)
    stale = await cli("headroom", "AAPLx", "--dsn", book.dsn)
    assert (stale.code, "unknown: AAPLx: the chain's cut-off block, of " in stale.out) == (1, True)
    for name in ("CHAIN", "STATEMENT", "ORDER"):
        monkeypatch.setenv(f"TIEOUT_{name}_AGE_MAX_S", str(10**9))
    ladder = await cli("headroom", "AAPLx", "--ladder", "--dsn", book.dsn)
    assert (ladder.code, "after 2026-11-03: 0 shares" in ladder.out) == (1, True)


async def test_coverage_of_a_slot_is_shown_with_what_was_walked_anew(cli: Cli, book: Book) -> None:
    walked = await cli("reconcile", "coverage", "--dsn", book.dsn)
    assert "walked anew" in walked.out
    assert (await cli("reconcile", "run", "--workers", "1", "--dsn", book.dsn)).code == walked.code
    found = await cli("reconcile", "coverage", "AAPLx", "--dsn", book.dsn, "--json")
    assert (found.code, found.json["schema"], found.json["walked"]) == (walked.code, "tieout/reconcile-coverage/1", [])
    assert [i["symbol"] for i in found.json["instruments"]] == ["AAPLx"]
    refused = await cli("reconcile", "coverage", "MSFTx", "--dsn", book.dsn)
    assert (refused.code, "'MSFTx' is no registered instrument: there are AAPLx" in refused.err) == (2, True)
    early = await cli("reconcile", "coverage", "--as-of", "2026-11-02T14:00", "--dsn", book.dsn)
    assert (early.code, "has no time zone" in early.err) == (2, True)


async def test_payments_are_taken_in_and_what_is_open_is_shown_and_told_by_json(cli: Cli, book: Book) -> None:
    order = {**issue("REQ-9", "1"), **cash("1000.01"), "settled_at": iso(20)}
    await book.orders(order)
    head = "reference,direction,amount,currency,paid_at,source,request_id,signature"
    rows = f"P-1,in,1000.02,USD,{iso(30)},bank,REQ-9,\nP-2,out,7,USDC,{iso(31)},bank,,{signature(1)}"
    paid = book.file("paid.csv", f"{head}\n{rows}\n")
    done = await cli("payment", "import", str(paid), "--dsn", book.dsn, "--json")
    assert (done.code, done.json["imported"][0]["kind"], done.json["imported"][0]["rows"]) == (0, "payments", 2)
    listed = await cli("payment", "list", "--dsn", book.dsn)
    assert "1000.02" in listed.out
    wrong = await cli(
        "payment", "import", str(book.file("bad.csv", f"{head}\nP-3,in,-1,usd,soon,,,\n")), "--dsn", book.dsn
    )
    assert wrong.code == 2
    for told in ('amount "-1" is negative', 'currency "usd" is no currency', "paid_at", "has no source"):
        assert told in wrong.err
    shown = await cli("reconcile", "run", "--dsn", book.dsn)
    assert shown.code == 1
    for told in ("cash of orders", "1000.01", "C14", "C15", "0.01 USD more than agreed", "unchecked"):
        assert told in shown.out, shown.out
    plain = (await cli("reconcile", "show", "--dsn", book.dsn, "--json")).json
    assert [(c["request_id"], c["state"]) for c in plain["instruments"][0]["cash_legs"]] == [("REQ-9", "overpaid")]
    assert {f["code"] for f in plain["findings"]} >= {"C14", "C15"}
    (check,) = plain["payments"]
    assert (check["reference"], check["state"]) == ("P-2", "unchecked")
    assert check["why"] == "the registry names no mint for USDC"
    covered = (await cli("reconcile", "coverage", "--dsn", book.dsn, "--json")).json
    assert "cash" not in covered["instruments"][0]
    ordered = (await cli("order", "list", "--dsn", book.dsn)).out
    assert "1000.01" in ordered
    assert "USD" in ordered


async def test_loans_of_shares_are_taken_in_and_an_overdue_recall_is_shown(cli: Cli, book: Book) -> None:
    columns = "custodian,account,isin,reference,quantity,position,lent_at,document,recalled_at,due_on"
    row = f"alpaca,ITN-1,{ISIN},L-1,3,left,2026-10-20T14:00:00Z,GMSLA 7,2026-10-26T14:00:00Z,2026-10-28"
    path = book.file("loans.csv", f"{columns}\n{row}\n")
    done = await cli("loan", "import", str(path), "--dsn", book.dsn)
    assert (done.code, "1 of 1 rows stored (csv)" in done.out) == (0, True)
    listed = (await cli("loan", "list", "--dsn", book.dsn, "--json")).json
    assert [x["reference"] for x in listed["loans"]] == ["L-1"]
    assert "overdue" in (await cli("reconcile", "run", "--dsn", book.dsn)).out
    plain = (await cli("reconcile", "show", "--dsn", book.dsn, "--json")).json
    assert [(x["state"], x["document"]) for x in plain["instruments"][0]["loans"]] == [("overdue", "GMSLA 7")]
    assert "B20" in {f["code"] for f in plain["findings"]}


async def test_a_flex_query_is_taken_in_as_movements_and_trades_by_a_map(cli: Cli, book: Book) -> None:
    trade = (
        f'<Trade accountId="ITN-1" isin="{ISIN}" transactionID="77" buySell="BUY" quantity="10.5" tradeDate="20261030" '
        'settleDateTarget="20261103" />'
    )
    statement = f'<FlexStatement accountId="ITN-1" toDate="20261102"><Trades>{trade}</Trades></FlexStatement>'
    data = f"<FlexQueryResponse><FlexStatements>{statement}</FlexStatements></FlexQueryResponse>"
    path, given = book.file("flex.xml", data), book.file("ibkr.toml", 'time_zone = "UTC"\ncut_off = "14:00"\n')
    bare = await cli("trade", "import", str(path), "--dsn", book.dsn)
    assert bare.code == 2
    assert "declare --cut-off and --time-zone" in bare.err
    for words in ("movement", "trade"):
        done = await cli(words, "import", str(path), "--map", str(given), "--dsn", book.dsn)
        assert (done.code, "1 of 1 rows stored (ibkr-flex)" in done.out) == (0, True), done.err
    run = (await cli("reconcile", "run", "--dsn", book.dsn, "--json")).json
    assert [(t["reference"], t["shares"]) for t in run["instruments"][0]["trades"]] == [("77", "10.5")]
    assert run["verdict"] == "ties_out_in_settlement"
