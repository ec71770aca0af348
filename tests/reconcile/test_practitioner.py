"""A practitioner's statement: detached from the report, of a closed list, and none of the issuer's own."""

import hashlib
import json
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import asyncpg
import pytest

import tieout_reconcile
from reconcile.builders import Book
from reconcile.test_reports import KEY, STRANGER, TRUSTED, failed, made, month
from reconcile.test_workflow import key_of, person
from tieout_reconcile import (
    ENGAGEMENTS,
    BadInput,
    NotAllowed,
    NotFound,
    NotReady,
    SignedStatement,
    Statement,
    sign_statement,
    verify_report,
    verify_signatures,
)
from tieout_reconcile.canonical import canonical_bytes
from tieout_reconcile.reports import bundle, signing
from tieout_reconcile.reports.practitioner import faults, keys_in, read_statement, words

AUDITOR = key_of("the practitioner")
AUDITORS = signing.public_text(AUDITOR)
CRITERIA = "the criteria of the board of 2026-01-01"


def digest_of(path: Path) -> str:
    return hashlib.sha256(bundle.unpack(path)[bundle.REPORT]).hexdigest()


def statement(report_sha256: str = "ab" * 32, **more: Any) -> Statement:
    said = {"practitioner": "Prüfer & Partner", "engagement": "examination_at_c_205", "criteria": CRITERIA,
            "conclusion": "unmodified", "matter": None, "dated": date(2026, 11, 5)} | more  # fmt: skip
    return Statement(report_sha256, **said)


def written(book: Book, signed: SignedStatement, name: str = "statement.json") -> Path:
    path = book.folder / name
    path.write_bytes(signed.to_bytes())
    return path


async def reported(book: Book, tmp_path: Path) -> Path:
    await month(book)
    path = await made(book, tmp_path)
    await person(book, "ada", "admin", by=None)
    await person(book, "pat", "preparer")
    await person(book, "val", "viewer")
    return path


def test_each_engagement_is_told_by_its_own_assurance_and_procedures_by_none() -> None:
    for name, kind in ENGAGEMENTS.items():
        matter = "of ten movements ten agreed" if kind.assurance is None else None
        text = words(statement(engagement=name, conclusion=kind.conclusions[0], matter=matter))
        assert kind.standard in text
        if kind.assurance is None:
            assert "gives no assurance" in text
            assert "neither an opinion nor a conclusion" in text
            assert "Findings: of ten movements ten agreed" in text
        else:
            assert kind.assurance in text
            assert "no assurance" not in text
    assert "Opinion: adverse, for this: the custody is not theirs" in words(
        statement(conclusion="adverse", matter="the custody is not theirs")
    )


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"engagement": "audit"}, 'engagement "audit" is not one of examination_at_c_205'),
        ({"engagement": "procedures_isrs_4400"}, 'conclusion "unmodified" is not what procedures_isrs_4400 may state'),
        ({"conclusion": "findings", "matter": "x"}, 'conclusion "findings" is not what examination_at_c_205 may state'),
        ({"conclusion": "qualified"}, "matter belongs to findings"),
        ({"matter": "but"}, "matter belongs to findings"),
        ({"practitioner": ""}, "practitioner is empty"),
        ({"criteria": "x\u0000"}, "criteria is empty"),
        ({"report_sha256": "AB" * 32}, "no SHA-256"),
    ],
)
def test_what_no_engagement_can_say_is_neither_signed_nor_read(change: dict[str, Any], says: str) -> None:
    said = statement(**change)
    with pytest.raises(BadInput, match=says):
        sign_statement(said, AUDITOR)
    signed = SignedStatement(said, AUDITORS, signing.sign(AUDITOR, said.body()))
    with pytest.raises(BadInput, match=says):
        read_statement("x", signed.to_bytes())


def test_a_file_that_was_changed_or_is_no_statement_is_refused() -> None:
    signed = sign_statement(statement(), AUDITOR)
    data = signed.to_bytes()
    assert read_statement("x", data) == signed
    plain = json.loads(data)
    hostile = [b"", b"[]", b"{}", b"null", b"\xff", b"[" * 100_000, data + b" ",
               data.replace(b"unmodified", b"qualified"),
               data.replace(b"2026-11-05", b"2026-11-5"), canonical_bytes(plain | {"more": "x"}),
               canonical_bytes(plain | {"public_key": 7}), canonical_bytes(plain | {"public_key": TRUSTED}),
               canonical_bytes(plain | {"statement": plain["statement"] | {"dated": None}}), b"x" * 10**6]  # fmt: skip
    for one in hostile:
        with pytest.raises(BadInput):
            raise AssertionError(one[:80], read_statement("x", one))


async def test_a_statement_verifies_beside_its_report_and_changes_no_byte_of_it(book: Book, tmp_path: Path) -> None:
    path = await reported(book, tmp_path)
    before = path.read_bytes()
    signed = sign_statement(statement(digest_of(path)), AUDITOR)
    file = written(book, signed)
    verified = verify_report(path, TRUSTED, practitioner=file, trusted_practitioner=AUDITORS)
    assert failed(verified) == {}
    assert verified.practitioner == signed
    assert verified.to_json()["practitioner"]["words"] == words(signed.statement)
    page, table = (part.decode() for part in verified.pages())
    assert "Prüfer &amp; Partner examined this report under AT-C section 205, with reasonable assurance" in page
    assert AUDITORS in page
    assert ",practitioner_conclusion,unmodified\n" in table
    assert path.read_bytes() == before
    # the report alone says nothing of it
    bare = [part.decode() for part in verify_report(path, TRUSTED).pages()]
    assert [part.encode() for part in bare] == [bundle.unpack(path)[n] for n in (bundle.PAGE, bundle.TABLE)]
    assert not any("Partner" in part or "assurance" in part for part in bare)


async def test_a_statement_of_unknown_origin_or_about_another_report_fails_and_is_shown_nowhere(
    book: Book, tmp_path: Path
) -> None:
    path = await reported(book, tmp_path)
    mine = digest_of(path)
    trust = {"trusted_practitioner": AUDITORS}
    good = sign_statement(statement(mine), AUDITOR)
    cases = [
        (good, {}, "origin not verified: signed by"),
        (good, {"trusted_practitioner": TRUSTED}, "not by the trusted practitioner's key"),
        (sign_statement(statement("cd" * 32), AUDITOR), trust, "it is about the report cdcd"),
        (sign_statement(statement(mine), KEY), {"trusted_practitioner": TRUSTED}, "the one that signed the report"),
        (sign_statement(statement(mine, dated=date(2026, 10, 1)), AUDITOR), trust, "before the report's cut-off"),
    ]
    for signed, trusts, says in cases:
        verified = verify_report(path, TRUSTED, practitioner=written(book, signed), **trusts)
        assert list(failed(verified)) == ["practitioner"], says
        assert says in failed(verified)["practitioner"]
        assert verified.practitioner is None
        with pytest.raises(NotReady):
            verified.pages()
    junk = book.file("junk.json", "{}")
    assert list(failed(verify_report(path, TRUSTED, practitioner=junk, **trust))) == ["practitioner"]


def test_the_keys_of_everybody_whom_a_bundle_shows_are_the_issuers() -> None:
    """Who signed the report, proposed or signed its period, or worked on a shortfall: none is its practitioner."""
    period = {part: {"actor": part, "public_key": signing.public_text(key_of(part))} for part in ("proposed", "signed")}
    report = {"shortfalls": [{"actor": "pat", "public_key": signing.public_text(key_of("pat"))}], "period": period}
    files = {bundle.SIGNATURE: canonical_bytes({"public_key": TRUSTED, "signature": "s"})}
    issuers = keys_in(files, report)
    for key in (key_of("proposed"), key_of("signed"), key_of("pat"), KEY):
        (fault,) = faults(sign_statement(statement(), key), "ab" * 32, None, issuers)
        assert "a practitioner is none of the issuer's" in fault
    assert faults(sign_statement(statement(), AUDITOR), "ab" * 32, None, issuers) == []
    assert keys_in({}, {"shortfalls": [], "period": None}) == {}


async def test_one_is_attached_once_by_a_person_and_logged(book: Book, tmp_path: Path) -> None:
    path = await reported(book, tmp_path)
    signed = sign_statement(statement(digest_of(path)), AUDITOR)
    file = str(written(book, signed))
    done = await tieout_reconcile.attach_statement(book.dsn, file, AUDITORS, key_of("pat"))
    assert (done.report, done.actor, done.holds, done.signed) == (1, "pat", True, signed)
    assert await tieout_reconcile.attach_statement(book.dsn, file, AUDITORS, key_of("pat")) == done
    assert await tieout_reconcile.list_statements_on_reports(book.dsn) == [done]
    assert await tieout_reconcile.list_statements_on_reports(book.dsn, 2) == []
    assert await verify_signatures(book.dsn) == []
    assert (await tieout_reconcile.list_reports(book.dsn))[0].sha256 == signed.statement.report_sha256
    for change in ("body = replace(body, 'unmodified', 'adverse')", "attached_body = '{}'"):
        async with book.db.transaction():
            await book.db.execute("set local session_replication_role = replica")
            await book.db.execute(f"update recon.practitioner_row set {change}")
        assert len(await verify_signatures(book.dsn)) == 1 + change.startswith("attached")
    (changed,) = await tieout_reconcile.list_statements_on_reports(book.dsn)
    assert not changed.holds
    assert "words" not in changed.to_json()
    with pytest.raises(asyncpg.RestrictViolationError):
        await book.db.execute("delete from recon.practitioner_row")


async def test_what_is_not_a_practitioners_statement_on_a_report_made_here_is_not_attached(
    book: Book, tmp_path: Path
) -> None:
    path = await reported(book, tmp_path)
    mine = digest_of(path)
    later = (datetime.now(UTC) + timedelta(days=3)).date()

    async def refused(signed: SignedStatement, error: type[Exception], says: str, by: str = "pat", **more: Any) -> None:
        trusted = more.get("trusted", signed.public_key)
        with pytest.raises(error, match=says):
            await tieout_reconcile.attach_statement(book.dsn, str(written(book, signed)), trusted, key_of(by))

    good = sign_statement(statement(mine), AUDITOR)
    await refused(good, NotAllowed, "not by the practitioner's key", trusted=TRUSTED)
    await refused(good, NotAllowed, "needs the role preparer or approver", by="val")
    await refused(good, NotAllowed, "belongs to nobody", by="eve")
    await refused(sign_statement(statement("cd" * 32), AUDITOR), NotFound, "never made here")
    await refused(sign_statement(statement(mine), KEY), NotAllowed, "the one that signed report 1")
    await refused(sign_statement(statement(mine, dated=later), AUDITOR), NotAllowed, "which is not yet")
    for name in ("pat", "val"):
        await refused(sign_statement(statement(mine), key_of(name)), NotAllowed, f"that of {name}, a person")
    # who left, or has another key by now, worked here all the same
    await person(book, "val")
    await refused(sign_statement(statement(mine), key_of("val")), NotAllowed, "that of val, a person")
    await refused(SignedStatement(statement(mine), AUDITORS, good.signature[::-1]), BadInput, "changed after signing")
    assert await tieout_reconcile.list_statements_on_reports(book.dsn) == []
    # whoever writes to the database itself is refused as well
    insert = (
        "insert into recon.practitioner_row select 1, 1, $1, 's', '{}', sha256('x'), 'pat', 'b', 's', max(entry) "
        "from audit.entry_row"
    )
    columns = (
        "(statement, report, public_key, signature, body, digest, actor, attached_body, attached_signature, entry)"
    )
    for key in (TRUSTED, signing.public_text(key_of("ada"))):
        with pytest.raises(asyncpg.RestrictViolationError, match="works in these books"):
            await book.db.execute(insert.replace("practitioner_row select", f"practitioner_row {columns} select"), key)


async def test_one_whose_key_works_here_later_is_shown_no_more(book: Book, tmp_path: Path) -> None:
    path = await reported(book, tmp_path)
    file = written(book, sign_statement(statement(digest_of(path)), STRANGER))
    strangers = signing.public_text(STRANGER)
    assert (await tieout_reconcile.attach_statement(book.dsn, str(file), strangers, key_of("pat"))).holds
    await tieout_reconcile.export_report(book.dsn, None, STRANGER)
    (found,) = await tieout_reconcile.list_statements_on_reports(book.dsn)
    assert not found.holds
