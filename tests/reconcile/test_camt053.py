"""A bank's statement, camt.053: its booked transactions as payments, whole or not at all, in any version of it."""

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from fractions import Fraction
from xml.sax.saxutils import escape

import pytest
from hypothesis import given
from hypothesis import strategies as st

import tieout_reconcile
from reconcile.builders import Book
from tieout_reconcile import BadInput
from tieout_reconcile.files import InputFile
from tieout_reconcile.formats.events import parse_payment_file
from tieout_reconcile.loads import Load, Replay
from tieout_reconcile.payments import Payment
from tieout_reconcile.registry import Registry

IBAN = "CH9300762011623852957"
FIRST = date(2026, 11, 2)
NOBODY = Registry((), (), ())


@dataclass(frozen=True)
class Detail:
    """A transaction of an entry, in cents."""

    cents: int
    end_to_end: str | None = None
    remittance: tuple[str, ...] = ()
    name: str | None = None

    def xml(self, inward: bool, currency: str) -> str:
        role = "Dbtr" if inward else "Cdtr"
        party = "" if self.name is None else f"<RltdPties><{role}><Nm>{escape(self.name)}</Nm></{role}></RltdPties>"
        lines = "".join(f"<Ustrd>{escape(line)}</Ustrd>" for line in self.remittance)
        return (
            f"<TxDtls><Refs><EndToEndId>{escape(self.end_to_end or 'NOTPROVIDED')}</EndToEndId></Refs>"
            f'<Amt Ccy="{currency}">{money(self.cents)}</Amt>{party}<RmtInf>{lines}</RmtInf></TxDtls>'
        )


@dataclass(frozen=True)
class Entry:
    """A booking on the account."""

    number: int
    inward: bool
    details: tuple[Detail, ...]
    status: str = "BOOK"
    reversal: bool = False

    @property
    def cents(self) -> int:
        return sum(d.cents for d in self.details)

    @property
    def day(self) -> date:
        return FIRST + timedelta(days=self.number % 5)

    def xml(self, currency: str, *, coded: bool) -> str:
        status = f"<Sts><Cd>{self.status}</Cd></Sts>" if coded else f"<Sts>{self.status}</Sts>"
        return (
            f'<Ntry><NtryRef>{self.number}</NtryRef><Amt Ccy="{currency}">{money(self.cents)}</Amt>'
            f"<CdtDbtInd>{'CRDT' if self.inward else 'DBIT'}</CdtDbtInd>"
            f"{'<RvslInd>true</RvslInd>' if self.reversal else ''}{status}<BookgDt><Dt>{self.day}</Dt></BookgDt>"
            f"<AcctSvcrRef>ZKB-{self.number}</AcctSvcrRef>"
            f"<NtryDtls>{''.join(d.xml(self.inward, currency) for d in self.details)}</NtryDtls></Ntry>"
        )


def money(cents: int) -> str:
    return f"{cents // 100}.{cents % 100:02}"


def balance(code: str, cents: int, currency: str) -> str:
    return (
        f"<Bal><Tp><CdOrPrtry><Cd>{code}</Cd></CdOrPrtry></Tp>"
        f'<Amt Ccy="{currency}">{money(abs(cents))}</Amt><CdtDbtInd>{"DBIT" if cents < 0 else "CRDT"}</CdtDbtInd></Bal>'
    )


def statement(
    entries: list[Entry], opens: int = 1_000_00, *, currency: str = "USD", coded: bool = True, page: str = ""
) -> str:
    closes = opens + sum((e.cents if e.inward else -e.cents) for e in entries if e.status == "BOOK")
    return (
        f"<Stmt><Id>S-1</Id>{page}<Acct><Id><IBAN>{IBAN}</IBAN></Id></Acct>{balance('OPBD', opens, currency)}"
        f"{balance('CLBD', closes, currency)}{''.join(e.xml(currency, coded=coded) for e in entries)}</Stmt>"
    )


def document(*statements: str, version: str = "08") -> str:
    return (
        f'<Document xmlns="urn:iso:std:iso:20022:tech:xsd:camt.053.001.{version}"><BkToCstmrStmt>'
        f"<GrpHdr><MsgId>M</MsgId></GrpHdr>{''.join(statements)}</BkToCstmrStmt></Document>"
    )


def parsed(text: str) -> list[Payment]:
    form, payments = parse_payment_file(InputFile("bank.xml", text.encode()), NOBODY)
    assert form == "camt053"
    return list(payments)


def refused(text: str) -> str:
    with pytest.raises(BadInput) as bad:
        parsed(text)
    return "\n".join(bad.value.problems)


WORDS = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=30)
DETAILS = st.builds(
    Detail, st.integers(1, 10**9), st.none() | WORDS, st.lists(WORDS, max_size=2).map(tuple), st.none() | WORDS
)


@given(
    st.lists(st.tuples(st.booleans(), st.lists(DETAILS, min_size=1, max_size=3)), max_size=6),
    st.integers(-(10**9), 10**9), st.booleans(),
)  # fmt: skip
def test_every_booked_transaction_is_a_payment_of_its_side_amount_and_day(
    booked: list[tuple[bool, list[Detail]]], opens: int, coded: bool
) -> None:
    entries = [Entry(n, inward, tuple(details)) for n, (inward, details) in enumerate(booked, 1)]
    found = parsed(document(statement(entries, opens, coded=coded), version="02" if not coded else "08"))
    told = [
        (
            "in" if e.inward else "out", Fraction(d.cents, 100), "USD", datetime.combine(e.day, time(23, 59, 59), UTC),
            d.end_to_end if d.end_to_end != "NOTPROVIDED" else None, d.name, IBAN,
        )
        for e in entries for d in e.details
    ]  # fmt: skip
    assert [
        (p.direction, p.amount, p.currency, p.paid_at, p.request_id, p.counterparty, p.account) for p in found
    ] == told
    assert len({p.reference for p in found}) == len(found)


def test_an_order_is_named_by_the_remittance_first_then_by_the_end_to_end_id_and_by_nothing_else() -> None:
    details = [
        Detail(100, "E2E-1", ("tieout/1 redeem R-1",)),
        Detail(200, "R-2"),
        Detail(300, "two words", ("R-3",)),
        Detail(400, "E2E-4", ("tieout/1 redeem R-4", "tieout/1 redeem R-5")),
        Detail(500, None, ("for  your tokens,", "tieout/1  redeem R-6")),
    ]
    entries = [Entry(n, False, (detail,)) for n, detail in enumerate(details)]
    assert [p.request_id for p in parsed(document(statement(entries)))] == ["R-1", "R-2", None, None, "R-6"]


def test_what_is_pending_is_passed_over_and_a_reversal_is_a_payment_of_its_own() -> None:
    wrong = Entry(1, False, (Detail(700, "R-1"),))
    entries = [wrong, Entry(1, True, (Detail(700, "R-1"),), reversal=True), Entry(2, True, (Detail(9),), "PDNG")]
    found = parsed(document(statement(entries)))
    assert [(p.reference, p.direction, p.request_id) for p in found] == [
        (f"{IBAN}/ZKB-1", "out", "R-1"), (f"{IBAN}/ZKB-1/reversal", "in", "R-1"),
    ]  # fmt: skip


def test_pages_of_one_statement_are_one_and_a_quiet_day_is_taken() -> None:
    def page(number: int, last: bool) -> str:
        return f"<StmtPgntn><PgNb>{number}</PgNb><LastPgInd>{str(last).lower()}</LastPgInd></StmtPgntn>"

    first = statement([Entry(1, True, (Detail(5),))], 100, page=page(1, False)).replace("CLBD", "ITBD")
    second = statement([Entry(2, True, (Detail(6),))], 105, page=page(2, True)).replace("OPBD", "ITBD")
    assert [p.amount for p in parsed(document(first, second))] == [Fraction(5, 100), Fraction(6, 100)]
    assert 'is page "1", last "false", where page 1 of 1 is wanted' in refused(document(first))
    assert 'is page "2"' in refused(document(second, first))
    assert parsed(document(statement([]))) == []


ONE = document(statement([Entry(1, True, (Detail(5_00, "R-1"), Detail(7_00)))]))
WRONG = [
    ("<Sts><Cd>BOOK</Cd></Sts>", "<Sts><Cd>MAYBE</Cd></Sts>", 'Ntry[1]/Sts: is "MAYBE"'),
    ("<Sts><Cd>BOOK</Cd></Sts>", "", 'Ntry[1]/Sts: is "missing"'),
    ('<Amt Ccy="USD">12.00</Amt>', "<Amt>12.00</Amt>", "Ntry[1]/Amt"),
    ('<Amt Ccy="USD">12.00</Amt>', '<Amt Ccy="USD">12,00</Amt>', 'Ntry[1]/Amt: "12,00"'),
    ('<Amt Ccy="USD">5.00</Amt>', '<Amt Ccy="USD">5.01</Amt>', "its 2 transactions do not add up to its 12 USD"),
    ('<Amt Ccy="USD">5.00</Amt>', '<Amt Ccy="EUR">5.00</Amt>', "is in EUR, and the entry is in USD"),
    ("<CdtDbtInd>CRDT</CdtDbtInd><Sts>", "<CdtDbtInd>IN</CdtDbtInd><Sts>", "CRDT or DBIT is wanted"),
    ("<Dt>2026-11-03</Dt>", "<Dt>2026-11-33</Dt>", "is no day or instant"),
    ("<AcctSvcrRef>ZKB-1</AcctSvcrRef>", "<AcctSvcrRef>Zürich</AcctSvcrRef>", "reference"),
    ("<Cd>CLBD</Cd>", "<Cd>CLAV</Cd>", "has no closing balance"),
    ("<Cd>OPBD</Cd>", "<Cd>OPAV</Cd>", "has no opening balance"),
    ('<Amt Ccy="USD">1000.00</Amt>', '<Amt Ccy="USD">1000.01</Amt>', "an entry is missing or wrong"),
    ('<Amt Ccy="USD">1000.00</Amt>', '<Amt Ccy="CHF">1000.00</Amt>', "is in CHF and USD"),
    (f"<IBAN>{IBAN}</IBAN>", "", "whose statement it is is not known"),
]


@pytest.mark.parametrize(("old", "new", "said"), WRONG)
def test_a_statement_at_fault_is_refused_whole_with_the_place(old: str, new: str, said: str) -> None:
    assert old in ONE
    assert said in refused(ONE.replace(old, new, 1))


@pytest.mark.parametrize("name", ["<NtryRef>1</NtryRef>", "<AcctSvcrRef>ZKB-1</AcctSvcrRef>"])
def test_one_name_of_an_entry_is_enough(name: str) -> None:
    assert len(parsed(ONE.replace(name, ""))) == 2


def test_a_notification_is_no_statement() -> None:
    text = ONE.replace("camt.053", "camt.054").replace("BkToCstmrStmt", "BkToCstmrDbtCdtNtfctn")
    with pytest.raises(BadInput, match=r"it is XML, but no camt\.053"):
        parsed(text)
    with pytest.raises(BadInput, match="holds no statement"):
        parse_payment_file(InputFile("bank.xml", text.replace("Stmt>", "Ntfctn>").encode()), NOBODY, "camt053")


def test_a_statement_without_any_name_of_an_entry_is_refused() -> None:
    text = ONE.replace("<NtryRef>1</NtryRef>", "").replace("<AcctSvcrRef>ZKB-1</AcctSvcrRef>", "")
    assert "Stmt[1]/Ntry[1]: has neither AcctSvcrRef nor NtryRef" in refused(text)


@pytest.mark.parametrize("head", ['<!DOCTYPE a [<!ENTITY b "c">]>', "<!DOCTYPE camt.053 SYSTEM 'http://x'>"])
def test_entities_are_refused(head: str) -> None:
    assert "declares a document type or entities" in refused(head + ONE)


async def test_a_statement_pays_its_order_is_taken_once_and_replays_from_its_bytes(book: Book) -> None:
    await book.registry()
    await book.orders(
        {"request_id": "R-1", "side": "redeem", "symbol": "AAPLx", "quantity": "1", "status": "completed",
         "created_at": "2026-11-01T10:00:00Z", "settled_at": "2026-11-02T10:00:00Z", "settlement": "cash",
         "cash_amount": "12.00", "cash_currency": "USD"}
    )  # fmt: skip
    path = book.file("bank.xml", document(statement([Entry(1, False, (Detail(12_00, "R-1"),))])))
    first = await tieout_reconcile.import_records(book.dsn, "payments", path)
    again = await tieout_reconcile.import_records(book.dsn, "payments", path)
    assert (first.rows, again.load) == (1, first.load)
    (known,) = await tieout_reconcile.list_records(book.dsn, "payments")
    assert (known.request_id, known.amount, known.direction) == ("R-1", 12, "out")
    rows = await book.db.fetch("select load, kind, name, format, declared, body from recon.load_bodies order by load")
    assert Replay([Load(**row) for row in rows]).business().payments == (known,)
