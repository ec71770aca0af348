"""Reports: the bundle recomputes offline, repeats byte for byte, and whatever is taken out of it shows."""

import hashlib
import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

import tieout_reconcile
from reconcile.builders import (
    ISIN,
    MINT,
    ONE,
    REGISTRY,
    Book,
    address,
    at,
    iso,
    issue,
    memo,
    redeem,
    signature,
    step,
    wallet,
)
from tieout_database import connect, migrate
from tieout_reconcile import BadInput, NotReady, export_report, verify_report
from tieout_reconcile.canonical import canonical_bytes
from tieout_reconcile.loads import Replay
from tieout_reconcile.reports import bundle, signing
from tieout_reconcile.reports.build import Material, build, head_of, recompute
from tieout_reconcile.reports.making import pack_report
from tieout_reconcile.reports.verify import _load, _material

KEY = Ed25519PrivateKey.from_private_bytes(hashlib.sha256(b"the issuer").digest())
STRANGER = Ed25519PrivateKey.from_private_bytes(hashlib.sha256(b"a stranger").digest())
TRUSTED = signing.public_text(KEY)


async def month(book: Book) -> None:
    """A short history: issues, a redemption, a multiplier step, outsiders trading, statements restated."""
    await book.commit()
    await book.open_mint()
    await book.mint(10, "treasury", 1000 * ONE)
    for number, slot in enumerate((20, 21, 22), 1):
        await book.transfer(slot, "treasury", "ap", 10 * ONE, memo=memo("issue", f"REQ-{number}"))
    await book.transfer(30, "ap", "alice", 5 * ONE)
    await book.transfer(31, "alice", "bob", 5 * ONE)
    await book.multiplier(40, 1.5, 0)
    await book.transfer(50, "ap", "redemption", 2 * ONE, memo=memo("redeem", "RED-1"))
    await book.track(100)
    await book.registry()
    await book.orders(*(issue(f"REQ-{n}", "10") for n in (1, 2, 3)), redeem("RED-1", "3", settled_at=iso(60)))
    trade = f"alpaca,ITN-1,{ISIN},T-1,buy,3,{iso(60)},2026-11-03,pending,"
    columns = "custodian,account,isin,reference,side,quantity,traded_at,settles_on,status,status_at"
    await tieout_reconcile.import_trades(book.dsn, book.file("trades.csv", f"{columns}\n{trade}\n"))
    await book.statement("30", 35)
    await book.statement("42", 90)
    await book.records("actions", step("SPLIT-1", 40, "1.5"))


async def migrated(dsn: str) -> None:
    connection = await connect(dsn)
    await migrate(connection)
    await connection.close()


async def made(book: Book, tmp_path: Path, as_of: int = 100, key: Ed25519PrivateKey | None = KEY) -> Path:
    await book.seal()
    run = await book.run(as_of)
    path = tmp_path / f"report-{as_of}-{run.run}.zip"
    path.write_bytes((await export_report(book.dsn, run.run, key)).data)
    return path


def failed(verified: tieout_reconcile.Verified) -> dict[str, str]:
    return {c.name: c.text for c in verified.checks if not c.holds}


def resigned(
    path: Path, change: Callable[[dict[str, bytes]], None], report: Callable[[dict[str, Any]], None] = lambda _: None
) -> Path:
    """The bundle after a forger's change: the digests listed again, everything signed again by the issuer's key."""
    files = bundle.unpack(path)
    change(files)
    said = json.loads(files[bundle.REPORT])
    listed = {n: d for n, d in files.items() if n.partition(".")[0] not in ("report", "signature")}
    said["files"] = {n: hashlib.sha256(d).hexdigest() for n, d in listed.items()}
    report(said)
    files[bundle.REPORT] = canonical_bytes(said)
    signed = {"public_key": TRUSTED, "signature": signing.sign(KEY, files[bundle.REPORT])}
    files[bundle.SIGNATURE] = canonical_bytes(signed)
    forged = path.with_suffix(".forged.zip")
    forged.write_bytes(bundle.pack(files))
    return forged


def without_line(name: str, start: bytes, number: int = 0) -> Callable[[dict[str, bytes]], None]:
    def change(files: dict[str, bytes]) -> None:
        lines = files[name].splitlines(keepends=True)
        found = [i for i, line in enumerate(lines) if line.startswith(start)]
        del lines[found[number]]
        files[name] = b"".join(lines)

    return change


async def test_a_bundle_verifies_offline_against_the_trusted_key(book: Book, tmp_path: Path) -> None:
    await month(book)
    verified = verify_report(await made(book, tmp_path), TRUSTED)
    assert failed(verified) == {}
    assert {c.name for c in verified.checks} == {
        "origin", "files", "loads", "batches", "rows", "complete", "sample", "figures", "report", "pages", "shortfalls",
        "period",
    }  # fmt: skip
    assert verified.report is not None
    assert verified.report["run"]["verdict"] == "ties_out"


async def test_without_a_trusted_key_the_origin_is_not_verified_and_the_rest_is(book: Book, tmp_path: Path) -> None:
    await month(book)
    path = await made(book, tmp_path)
    verified = verify_report(path)
    assert list(failed(verified)) == ["origin"]
    assert "origin not verified" in failed(verified)["origin"]
    assert list(failed(verify_report(path, signing.public_text(STRANGER)))) == ["origin"]
    unsigned = verify_report(await made(book, tmp_path, 99, key=None), TRUSTED)
    assert failed(unsigned) == {"origin": "origin not verified: the bundle is not signed"}


async def test_a_report_repeats_byte_for_byte_after_a_restatement_and_in_a_fresh_database(
    book: Book, tmp_path: Path, empty_dsn: str
) -> None:
    await month(book)
    days = [(await made(book, tmp_path, slot)).read_bytes() for slot in (40, 60, 100)]
    first = await book.run(60)
    await book.statement("17", 35, name="restated.csv")
    assert not (await book.run(100)).clean or (await book.run(60)).digest != first.digest
    assert (await export_report(book.dsn, first.run, KEY)).data == days[1]
    await migrated(empty_dsn)
    folder = tmp_path / "again"
    folder.mkdir()
    other = await Book.open(empty_dsn, folder)
    await month(other)
    assert [(await made(other, folder, slot)).read_bytes() for slot in (40, 60, 100)] == days
    await other.close()


async def test_each_report_names_the_one_before_and_rolls_its_figures_forward(book: Book, tmp_path: Path) -> None:
    await month(book)
    first, second = await made(book, tmp_path, 35), await made(book, tmp_path, 100)
    assert failed(verify_report(second, TRUSTED, first)) == {}
    assert "previous" in failed(verify_report(first, TRUSTED, second))
    report = json.loads(bundle.unpack(second)[bundle.REPORT])
    (rolled,) = report["roll_forward"]
    assert rolled["supply"] == {"opening": str(1000 * ONE), "minted": "0", "burned": "0", "closing": str(1000 * ONE)}
    raw, shares = rolled["outside_raw"], rolled["outside_shares"]
    assert (raw["opening"], raw["closing"], raw["unexplained"]) == (str(30 * ONE), str(28 * ONE), "0")
    assert raw["moved"] == [{"direction": "in", "kind": "return", "count": 1, "raw": str(2 * ONE)}]
    (step,) = shares["multiplier_steps"]
    assert (step["from"], step["to"], step["shares"], step["outside_raw"]) == ("1", "1.5", "15", str(30 * ONE))
    assert (shares["opening"], shares["moved"], shares["closing"], shares["unexplained"]) == ("30", "-3", "42", "0")


async def test_each_step_of_the_multiplier_is_a_line_of_its_own_whatever_comes_after_it(
    book: Book, tmp_path: Path
) -> None:
    await month(book)
    for slot, value in ((70, 2.0), (75, 1.5), (80, 3.0)):
        await book.multiplier(slot, value, 0)
    await made(book, tmp_path, 60)
    report = json.loads(bundle.unpack(await made(book, tmp_path, 100))[bundle.REPORT])
    shares = report["roll_forward"][0]["outside_shares"]
    told = [(s["from"], s["to"], s["shares"]) for s in shares["multiplier_steps"]]
    assert told == [("1.5", "2", "14"), ("2", "1.5", "-14"), ("1.5", "3", "42")]
    assert (shares["opening"], shares["closing"], shares["unexplained"]) == ("42", "84", "0")


TAKEN_OUT: dict[str, tuple[Callable[[dict[str, bytes]], None], str]] = {
    "an event of the issuer's": (without_line(bundle.mint_name(MINT), b'{"event":[20,'), "complete"),
    "an event between outsiders": (without_line(bundle.mint_name(MINT), b'{"event":[31,'), "complete"),
    "an account": (without_line(bundle.mint_name(MINT), b'{"account":'), "complete"),
    "a multiplier step": (without_line(bundle.mint_name(MINT), b'{"multiplier":', 1), "figures"),
    "the mint's proven range": (without_line(bundle.mint_name(MINT), b'{"coverage":'), "rows"),
    "a row of the ledger": (without_line(bundle.CONTENT, b"[20,"), "computed"),
    "all rows of a part": (without_line(bundle.CONTENT, b'["'), "computed"),
    "a commit of the ledger": (without_line(bundle.BATCHES, b"{"), "batches"),
}


@pytest.mark.parametrize("what", TAKEN_OUT)
async def test_what_is_taken_out_shows_even_when_it_is_signed_again(book: Book, tmp_path: Path, what: str) -> None:
    await month(book)
    change, check = TAKEN_OUT[what]
    verified = verify_report(resigned(await made(book, tmp_path), change), TRUSTED)
    assert not verified.holds
    assert check in failed(verified)


Change = Callable[[Material], Material]


def of_the_mint(**parts: Callable[[Any], Any]) -> Change:
    """A change of some parts of the mint's rows."""

    def change(material: Material) -> Material:
        rows = material.mints[MINT]
        return replace(material, mints={MINT: replace(rows, **{n: f(getattr(rows, n)) for n, f in parts.items()})})

    return change


def computed_again(path: Path, change: Change) -> Path:
    """The report that the issuer would have made of changed material: every figure computed anew, and signed."""
    files = bundle.unpack(path)
    said = json.loads(files[bundle.REPORT])
    loads = [_load(files, line) for line in json.loads(files[bundle.LOADS])["loads"]]
    material = change(_material(files, said, Replay(loads)))
    report, made_files = build(head_of(said), recompute(material), material)
    body = canonical_bytes(report)
    forged = path.with_suffix(".again.zip")
    forged.write_bytes(pack_report(body, made_files, TRUSTED, signing.sign(KEY, body)))
    return forged


def other_bytes(material: Material) -> Material:
    """Answers with the right signatures that no node gave."""
    return replace(
        material, evidence={place: body[:-1] + b', "made": "up"}' for place, body in material.evidence.items()}
    )


LEFT_OUT: dict[str, tuple[Change, str]] = {
    "the last multiplier step": (of_the_mint(multipliers=lambda steps: steps[:-1]), "rows"),
    "the change of the mint authority": (of_the_mint(authority_changes=lambda _: ()), "rows"),
    "a pause that nothing announced": (of_the_mint(control_acts=lambda acts: acts[:1]), "rows"),
    "a frozen account": (of_the_mint(frozen=lambda _: ()), "rows"),
    "an account handed over": (of_the_mint(owner_changes=lambda _: ()), "rows"),
    "a finding of an audit": (of_the_mint(findings=lambda _: ()), "rows"),
    "a transaction in quarantine": (of_the_mint(doubted=lambda _: ()), "rows"),
    "a block that the ledger lacks": (of_the_mint(orphans=lambda _: ()), "rows"),
    "a mint that was read": (lambda m: replace(m, tracked=m.tracked[1:]), "rows"),
    "the evidence of the sample": (lambda m: replace(m, evidence={}), "sample"),
    "the node's own bytes": (other_bytes, "sample"),
}


@pytest.mark.parametrize("whole", [(), (1,)])
async def test_what_is_left_out_shows_though_every_figure_is_computed_anew(
    book: Book, tmp_path: Path, whole: tuple[int, ...]
) -> None:
    await month(book)
    await book.control("authority", 60, details={"type": "mint_tokens", "new": address("x")}, authority=address("y"))
    await book.control("freeze", 60, account=book.ata("bob"), authority=address("y"))
    await book.control("pause", 60, authority=address("y"))
    await book.hand_over(61, "bob", "carol")
    await book.db.execute(
        "insert into ledger.finding_row values ('supply', $1, $1, 90, 'open', '100', '99', 'e', now(), $2)",
        MINT, book.batch,
    )  # fmt: skip
    await book.db.execute(
        "insert into ledger.quarantine_row values (95, 0, 0, -1, 's', '0', $1, 'unknown', '', $2)", MINT, book.batch
    )
    async with book.db.transaction():
        await book.db.execute("set local session_replication_role = replica")
        await book.db.execute("delete from ledger.slot_row where slot = 30")
    await book.seal(whole=whole)
    run = await book.run(100)
    path = tmp_path / "report.zip"
    path.write_bytes((await export_report(book.dsn, run.run, KEY)).data)
    verified = verify_report(path, TRUSTED)
    assert failed(verified) == {}
    how = "0 by the digests of their parts, 1 by all of their rows" if whole else "1 by the digests of their parts, 0"
    assert how in next(c.text for c in verified.checks if c.name == "rows")
    for what, (change, check) in LEFT_OUT.items():
        assert check in failed(verify_report(computed_again(path, change), TRUSTED)), what
    assert failed(verify_report(computed_again(path, lambda m: m), TRUSTED)) == {}


async def test_the_population_lists_every_mint_under_an_authority_that_the_issuer_has_or_had(
    book: Book, tmp_path: Path
) -> None:
    await month(book)
    ours, later, strange = address("our authority"), address("our next authority"), address("a stranger's")
    opened, given, foreign = (address(name) for name in ("opened", "given", "foreign"))
    await book.control("authority", 60, details={"type": "mint_tokens", "new": ours}, authority=address("first"))
    await book.control("authority", 61, details={"type": "mint_tokens", "new": later}, authority=ours)
    # what the issuer once held counts over another mint too; what comes after the cut-off does not
    await book.control("mint_open", 62, mint=opened, details={"decimals": 8, "freeze_authority": ours})
    await book.control("mint_open", 63, mint=given, details={"decimals": 8, "mint_authority": strange})
    await book.control("authority", 64, mint=given, details={"type": "pause", "new": later}, authority=strange)
    await book.control("mint_open", 65, mint=foreign, details={"decimals": 8, "mint_authority": strange})
    await book.control("authority", 101, mint=foreign, details={"type": "pause", "new": ours}, authority=strange)
    path = await made(book, tmp_path)
    assert failed(verify_report(path, TRUSTED)) == {}
    population = json.loads(bundle.unpack(path)[bundle.REPORT])["population"]
    found = {
        line["mint"]: (line["symbol"], [(a["type"], a["authority"], a["from_slot"]) for a in line["authorities"]])
        for line in population["under_the_issuers_authorities"]
    }
    assert found.pop(MINT)[0] == "AAPLx"
    assert found == {opened: (None, [("freeze_account", ours, 62)]), given: (None, [("pause", later, 64)])}
    assert "never indexed" in population["not_seen"]
    assert given in bundle.unpack(path)[bundle.PAGE].decode()


async def test_a_bundle_shows_no_other_mints_rows_and_verifies_all_the_same(book: Book, tmp_path: Path) -> None:
    await month(book)
    other = address("another mint")
    await book.open_mint(mint=other)
    await book.mint(12, "alice", 77 * ONE, mint=other)
    await book.track(100, mint=other)
    path = await made(book, tmp_path)
    assert failed(verify_report(path, TRUSTED)) == {}
    shown = [line for line in bundle.unpack(path)[bundle.CONTENT].splitlines() if line.startswith(b"[")]
    assert not any(other.encode() in line for line in shown)


async def test_evidence_that_was_moved_to_files_is_no_fault_where_the_ledger_says_so(
    book: Book, tmp_path: Path
) -> None:
    await month(book)
    await book.seal()
    async with book.db.transaction():
        await book.db.execute("set local session_replication_role = replica")
        await book.db.execute("update ledger.evidence_row set body = ''")
    assert "sample" in failed(verify_report(await made(book, tmp_path), TRUSTED))
    await book.commit()
    await book.db.execute("insert into ledger.detachment_row values (99, 7, 7, $1, now(), $2)", bytes(32), book.batch)
    verified = verify_report(await made(book, tmp_path), TRUSTED)
    assert failed(verified) == {}
    assert "moved to files, by the ledger's own record: 7" in next(
        c.text for c in verified.checks if c.name == "sample"
    )


async def test_the_last_files_left_out_show_against_the_report_before(book: Book, tmp_path: Path) -> None:
    await month(book)
    first, second = await made(book, tmp_path, 60), await made(book, tmp_path, 100)
    said = {c.name: c.text for c in verify_report(second, TRUSTED).checks}
    assert "that the last of them is not left out is not anchored" in said["loads"]
    forged = computed_again(second, lambda m: replace(m, replay=Replay(m.replay.loads[:-1])))
    assert failed(verify_report(forged, TRUSTED)) == {}
    assert (
        "the report before had files that this one has not: 6" in failed(verify_report(forged, TRUSTED, first))["loads"]
    )


async def test_a_statement_taken_out_leaves_a_hole_in_the_numbers(book: Book, tmp_path: Path) -> None:
    await month(book)

    def change(files: dict[str, bytes]) -> None:
        loads = json.loads(files[bundle.LOADS])["loads"]
        files[bundle.LOADS] = canonical_bytes({"loads": [x for x in loads if x["load"] != 4]})
        del files[bundle.load_name(4)]

    path = await made(book, tmp_path)
    assert "loads" in failed(verify_report(resigned(path, change), TRUSTED))

    def renumber(files: dict[str, bytes]) -> None:
        change(files)
        loads = json.loads(files[bundle.LOADS])["loads"]
        for later in loads[3:]:
            files[bundle.load_name(later["load"] - 1)] = files.pop(bundle.load_name(later["load"]))
            later["load"] -= 1
        files[bundle.LOADS] = canonical_bytes({"loads": loads})

    # with the count put right as well, the digest over all files is another one
    forged = resigned(path, renumber, lambda said: said["run"]["inputs"].update(known_load=5))
    assert "figures" in failed(verify_report(forged, TRUSTED))


async def test_a_figure_changed_and_signed_again_is_named_with_both_values(book: Book, tmp_path: Path) -> None:
    await month(book)

    def flatter(said: dict[str, Any]) -> None:
        said["run"]["instruments"][0]["custody"] = "99"

    verified = verify_report(resigned(await made(book, tmp_path), lambda _: None, flatter), TRUSTED)
    assert 'custody: it says "99", computed "42"' in failed(verified)["figures"]


async def test_a_registry_without_one_wallet_shows_as_a_change_of_the_registry(book: Book, tmp_path: Path) -> None:
    await month(book)
    await made(book, tmp_path, 60)
    await book.registry(REGISTRY.replace(address("redemption"), address("another")))
    report = json.loads(bundle.unpack(await made(book, tmp_path, 100))[bundle.REPORT])
    changes = {(c["action"], address("redemption") in json.dumps(c)) for c in report["registry_changes"]}
    assert ("remove", True) in changes


async def test_the_sample_is_drawn_from_the_chain_and_carries_the_nodes_answers(book: Book, tmp_path: Path) -> None:
    await month(book)
    files = bundle.unpack(await made(book, tmp_path))
    lines = json.loads(files[bundle.REPORT])["sample"]["movements"]
    assert len(lines) == 7
    with_evidence = [line for line in lines if line["evidence"] is not None]
    assert len(with_evidence) == 7
    for line in with_evidence:
        assert json.loads(files[line["evidence"]])["transaction"]["signatures"] == [line["signature"]]

    def swap(files: dict[str, bytes]) -> None:
        files[with_evidence[0]["evidence"]] = json.dumps({"transaction": {"signatures": [signature(1)]}}).encode()

    assert "sample" in failed(verify_report(resigned(tmp_path / "report-100-1.zip", swap), TRUSTED))


async def test_an_unindexed_instrument_makes_a_report_that_says_so_and_verifies(book: Book, tmp_path: Path) -> None:
    await month(book)
    other = f'[[instruments]]\nsymbol = "TSLAx"\nmint = "{address("tsla")}"\nisin = "US88160R1014"\ndecimals = 8\n'
    await book.registry(REGISTRY + other)
    path = await made(book, tmp_path)
    assert failed(verify_report(path, TRUSTED)) == {}
    report = json.loads(bundle.unpack(path)[bundle.REPORT])
    assert report["run"]["verdict"] == "incomplete"
    assert [r["symbol"] for r in report["roll_forward"]] == ["AAPLx"]
    assert [p["proven"] for p in report["population"]["registered"]] == [[0, 100], None]


async def test_an_open_finding_of_the_indexers_audits_makes_verdict_and_headroom_incomplete(
    book: Book, tmp_path: Path
) -> None:
    await month(book)
    await book.seal()
    before = await book.run()
    assert before.clean
    await book.commit()
    insert = "insert into ledger.finding_row values ('supply', $1, $1, 90, $2, '100', '99', 'e', now(), $3)"
    await book.db.execute(insert, MINT, "open", book.batch)
    run = await book.run()
    assert run.verdict == "incomplete"
    assert "an audit of the ledger (supply) differs" in run.instruments[0].reasons[0]
    assert (await tieout_reconcile.headroom(book.dsn, "AAPLx", now=at(100))).shares is None
    assert failed(verify_report(await made(book, tmp_path), TRUSTED)) == {}
    hidden = resigned(tmp_path / "report-100-3.zip", without_line(bundle.mint_name(MINT), b'{"finding":'))
    assert "figures" in failed(verify_report(hidden, TRUSTED))
    # as it was known before, it was not in doubt; and evidence closes it
    assert (await book.run(known_batch=before.inputs.known_batch)).digest == before.digest
    await book.commit()
    await book.db.execute(insert, MINT, "close", book.batch)
    assert (await book.run()).clean


async def test_the_page_says_every_figure_and_nothing_from_a_file_becomes_markup(book: Book, tmp_path: Path) -> None:
    await month(book)
    evil = wallet("owner", address("x"), "lost").replace('source = "s"', 'source = "<script>alert(1)</script>"')
    await book.registry(REGISTRY + evil)
    files = bundle.unpack(await made(book, tmp_path))
    page = files[bundle.PAGE].decode()
    assert "<script" not in page
    assert "http" not in page.replace("http-equiv", "")
    report = json.loads(files[bundle.REPORT])
    assert Fraction(report["run"]["instruments"][0]["liability"]) == 42
    for figure in ("42", str(28 * ONE), "1.5", "AAPLx", report["sample"]["seed"]):
        assert f">{figure}<" in page or figure in page
    assert "AAPLx,liability,42\n" in files[bundle.TABLE].decode()


async def test_a_ledger_that_no_longer_gives_the_run_makes_no_report(book: Book, tmp_path: Path) -> None:
    await month(book)
    run = await book.run(100)
    await book.db.execute("alter table ledger.event_row disable trigger refuse_change")
    await book.db.execute("update ledger.event_row set amount = amount + 1 where kind = 'mint'")
    with pytest.raises(NotReady, match="cannot be computed again"):
        await export_report(book.dsn, run.run, KEY)


def _hostile(path: Path) -> Iterator[tuple[str, bytes]]:
    data = path.read_bytes()
    yield "empty", b""
    yield "no archive", b"PK\x03\x04" + bytes(100)
    yield "cut", data[: len(data) // 2]
    yield "another archive", bundle.pack({"hello": b"world"})
    files = bundle.unpack(path)
    yield "not a report", bundle.pack(files | {bundle.REPORT: b"[1]"})
    yield "not canonical", bundle.pack(files | {bundle.REPORT: files[bundle.REPORT] + b" "})
    yield "deep", bundle.pack(files | {bundle.REPORT: b"[" * 100_000})


async def test_what_is_no_bundle_is_bad_input_and_a_damaged_one_never_verifies(book: Book, tmp_path: Path) -> None:
    await month(book)
    path = await made(book, tmp_path)
    target = tmp_path / "hostile.zip"
    for name, data in _hostile(path):
        target.write_bytes(data)
        with pytest.raises(BadInput):
            raise AssertionError(name, verify_report(target, TRUSTED))
    files = bundle.unpack(path)
    for name in sorted(files.keys() - {bundle.REPORT}):
        for junk in (b"", b"null", b'{"event":[1]}', b"\xff\xfe"):
            target.write_bytes(bundle.pack(files | {name: junk}))
            assert not verify_report(target, TRUSTED).holds, name
            changed = resigned(target, lambda _: None)
            assert not verify_report(changed, TRUSTED).holds or name in (bundle.SIGNATURE,), (name, junk)


def test_a_key_that_everybody_may_read_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "key.json"
    secret = KEY.private_bytes_raw() + KEY.public_key().public_bytes_raw()
    path.write_text(json.dumps(list(secret)))
    path.chmod(0o644)
    with pytest.raises(BadInput, match="chmod 600"):
        signing.read_key(path)
    path.chmod(0o600)
    assert signing.public_text(signing.read_key(path)) == TRUSTED
    path.write_text(json.dumps(list(secret[::-1])))
    with pytest.raises(BadInput, match="do not belong together"):
        signing.read_key(path)
