"""MT536 and semt.017, MT564 and seev.031: the same book gives the same movements and actions as the CSV."""

from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from fractions import Fraction
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

import tieout_reconcile
from reconcile.builders import ISIN, OTHER_ISIN, REGISTRY, Book
from tieout_reconcile import BadInput, Period
from tieout_reconcile.corporate import CorporateAction
from tieout_reconcile.exact import decimal_text
from tieout_reconcile.files import InputFile
from tieout_reconcile.inputs import KINDS, Parsed
from tieout_reconcile.movements import CustodyMovement, Span
from tieout_reconcile.registry_file import parse_registry

KNOWN = parse_registry(InputFile("registry.toml", REGISTRY.encode()))
ZURICH = ZoneInfo("Europe/Zurich")
DECLARED = Period(custodian="alpaca", time_zone="Europe/Zurich", cut_off="17:30")
FIRST = date(2026, 11, 2)


def parse(kind: str, text: str | bytes, declared: Period = DECLARED) -> Parsed:
    data = text if isinstance(text, bytes) else text.encode()
    return KINDS[kind].parse(InputFile("f", data), KNOWN, declared, None)


def cut_off(day: date) -> datetime:
    return datetime(day.year, day.month, day.day, 17, 30, tzinfo=ZURICH).astimezone(UTC)


def plain(movement: CustodyMovement) -> CustodyMovement:
    return replace(movement, line=0)


@dataclass(frozen=True)
class Deal:
    number: int
    quantity: Fraction
    paid: bool
    settled: bool
    named: bool
    reversal: bool

    @property
    def inward(self) -> bool:
        return (self.quantity > 0) is not self.reversal

    @property
    def size(self) -> str:
        return decimal_text(abs(self.quantity))

    def movement(self) -> CustodyMovement:
        day = FIRST + timedelta(days=self.number % 5)
        kind = (
            "reversal"
            if self.reversal
            else (("buy" if self.inward else "sell") if self.paid else ("receive" if self.inward else "deliver"))
        )
        return CustodyMovement(
            0, "alpaca", "ITN-1", ISIN, self.quantity, kind, f"SRV{self.number}",
            f"REQ-{self.number}" if self.named else None, None, cut_off(day), day,
            cut_off(day) if self.settled else None,
        )  # fmt: skip

    def mt536(self) -> str:
        day = f"{FIRST + timedelta(days=self.number % 5):%Y%m%d}"
        lines = [
            ":16R:TRAN", ":16R:LINK", f":20C::RELA//{f'REQ-{self.number}' if self.named else 'NONREF'}", ":16S:LINK",
            ":16R:LINK", f":20C::ASRF//SRV{self.number}", ":16S:LINK", ":16R:TRANSDET",
            f":36B::PSTA//UNIT/{self.size.replace('.', ',') if '.' in self.size else self.size + ','}",
            ":22F::TRAN//SETT", f":22H::REDE//{'RECE' if self.inward else 'DELI'}",
            f":22H::PAYM//{'APMT' if self.paid else 'FREE'}", f":98A::TRAD//{day}", f":98A::SETT//{day}",
            *([f":98A::ESET//{day}"] if self.settled else []),
            *([":25D::MOVE//REVE"] if self.reversal else []), ":16S:TRANSDET", ":16S:TRAN",
        ]  # fmt: skip
        return "\n".join(lines)

    def semt017(self) -> str:
        day = f"{FIRST + timedelta(days=self.number % 5)}"
        owner = f"REQ-{self.number}" if self.named else "NONREF"
        settled = f"<FctvSttlmDt><Dt><Dt>{day}</Dt></Dt></FctvSttlmDt>" if self.settled else ""
        return (
            f"<Tx><AcctOwnrTxId>{owner}</AcctOwnrTxId><AcctSvcrTxId>SRV{self.number}</AcctSvcrTxId><TxDtls>"
            f"<TxActvty><Cd>SETT</Cd></TxActvty><SctiesMvmntTp>{'RECE' if self.inward else 'DELI'}</SctiesMvmntTp>"
            f"<Pmt>{'APMT' if self.paid else 'FREE'}</Pmt><PstngQty><Qty><Unit>{self.size}</Unit></Qty></PstngQty>"
            f"<TradDt><Dt><Dt>{day}</Dt></Dt></TradDt><SttlmDt><Dt><Dt>{day}</Dt></Dt></SttlmDt>{settled}"
            f"{'<RvslInd>true</RvslInd>' if self.reversal else ''}</TxDtls></Tx>"
        )


HEAD = [
    ":16R:GENL", ":28E:1/ONLY", ":20C::SEME//S1", ":23G:NEWM", ":69A::STAT//20261102/20261106", ":97A::SAFE//ITN-1",
    ":17B::ACTI//Y", ":16S:GENL",
]  # fmt: skip


def mt536(deals: list[Deal]) -> str:
    lines = ["{1:F01BANKXXXX}{2:O5361200261106BANKXXXX}{4:", *HEAD, ":16R:FIN", f":35B:ISIN {ISIN}"]
    return "\n".join([*lines, *(d.mt536() for d in deals), ":16S:FIN", "-}", ""])


def semt017(deals: list[Deal]) -> str:
    return (
        '<Document xmlns="urn:iso:std:iso:20022:tech:xsd:semt.017.001.09"><SctiesTxPstngRpt><Pgntn><PgNb>1</PgNb>'
        "<LastPgInd>true</LastPgInd></Pgntn><StmtGnlDtls><StmtPrd><FrDtToDt><FrDt>2026-11-02</FrDt>"
        "<ToDt>2026-11-06</ToDt></FrDtToDt></StmtPrd></StmtGnlDtls><SfkpgAcct><Id>ITN-1</Id></SfkpgAcct>"
        f"<FinInstrmDtls><FinInstrmId><ISIN>{ISIN}</ISIN></FinInstrmId>{''.join(d.semt017() for d in deals)}"
        "</FinInstrmDtls></SctiesTxPstngRpt></Document>"
    )


quantities = st.fractions(Fraction(-1000), Fraction(1000), max_denominator=8).filter(lambda q: q != 0)
deals_of = st.lists(
    st.builds(Deal, st.just(0), quantities, st.booleans(), st.booleans(), st.booleans(), st.booleans()), max_size=5
).map(lambda found: [replace(d, number=n) for n, d in enumerate(found)])


@given(deals_of.filter(lambda d: all(2**9 % x.quantity.denominator == 0 for x in d)))
def test_one_book_through_both_messages_gives_the_same_movements_and_period(deals: list[Deal]) -> None:
    wanted = sorted((d.movement() for d in deals), key=lambda m: m.reference)
    for text in (mt536(deals), semt017(deals)):
        parsed = parse("movements", text)
        assert sorted(map(plain, parsed.records), key=lambda m: m.reference) == wanted
        assert list(parsed.spans) == [Span("alpaca", "ITN-1", cut_off(date(2026, 11, 1)), cut_off(date(2026, 11, 6)))]


ONE_DEAL = [Deal(1, Fraction(5), False, True, True, False)]


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("O536", "O535", "it is an MT535, not an MT536"),
        ("1/ONLY", "1/MORE", "where page 1/LAST is wanted"),
        (":23G:NEWM", ":23G:CANC", ':23G: is "CANC"'),
        (":69A::STAT//20261102/20261106", ":69A::STAT//x", "is no period"),
        ("ITN-1", "OTHER", 'account "OTHER" is not in the registry'),
        ("PSTA//UNIT/5,", "PSTA//FAMT/5,", "has no posted quantity in units"),
        (":22H::REDE//RECE", ":22H::REDE//SIDE", "is neither received nor delivered"),
        ("ESET//20261103", "ESET//20261399", "gives no instant"),
        (":16S:FIN", ":16S:TRAN", "which is not the one that is open"),
    ],
)
def test_a_bad_mt536_is_refused_with_its_line(old: str, new: str, told: str) -> None:
    with pytest.raises(BadInput) as bad:
        parse("movements", mt536(ONE_DEAL).replace(old, new, 1))
    assert any(told in fault for fault in bad.value.problems), bad.value.problems


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("<LastPgInd>true", "<LastPgInd>false", "belongs in one page"),
        ("<FrDt>2026-11-02</FrDt>", "", "names no period"),
        ("<Unit>5</Unit>", "<Unit>five</Unit>", "is not a plain decimal number"),
        ("RECE", "SIDE", "is neither RECE nor DELI"),
        ("<Document", '<!DOCTYPE x [<!ENTITY a "b">]><Document', "document type or entities"),
        ("</Document>", "", "it is not XML"),
    ],
)
def test_a_bad_or_hostile_semt017_is_refused(old: str, new: str, told: str) -> None:
    with pytest.raises(BadInput) as bad:
        parse("movements", semt017(ONE_DEAL).replace(old, new, 1))
    assert any(told in fault for fault in bad.value.problems), bad.value.problems


SUBS = parse_registry(InputFile("r", (REGISTRY + '[[custodians.accounts]]\nid = "SUB-9"\n').encode()))


def moved(text: str, rule: int = 2) -> tuple[list[tuple[str, bool]], list[str]]:
    """The account of each movement and whether it settled; the accounts whose movements are all known."""
    parsed = KINDS["movements"].parse(InputFile("f", text.encode(), rule), SUBS, DECLARED, None)
    return [(m.account, m.settled_at is not None) for m in parsed.records], [s.account for s in parsed.spans]


def xml_with(more: str, text: str = semt017(ONE_DEAL)) -> str:
    return text.replace("</StmtPrd>", f"</StmtPrd>{more}")


@pytest.mark.parametrize(
    ("line", "xml", "settled", "known"),
    [
        (":22F::CODE//COMP", "<UpdTp><Cd>COMP</Cd></UpdTp>", True, True),
        (":22F::CODE//DELT", "<UpdTp><Cd>DELT</Cd></UpdTp>", True, False),
        (":22F::CODE/BANK/DELT", "<UpdTp><Prtry><Id>CHANGES</Id></Prtry></UpdTp>", True, False),
        (":22F::STBA//SETT", "<StmtBsis><Cd>SETT</Cd></StmtBsis>", True, True),
        (":22F::STBA//TRAD", "<StmtBsis><Cd> TRAD </Cd></StmtBsis>", False, False),
    ],
)
def test_changes_alone_and_trade_dates_never_say_that_every_movement_is_known(
    line: str, xml: str, settled: bool, known: bool
) -> None:
    fin = mt536(ONE_DEAL).replace(":17B::ACTI//Y", f"{line}\n:17B::ACTI//Y")
    wanted = [("ITN-1", settled)], ["ITN-1"] if known else []
    assert moved(fin) == moved(xml_with(xml)) == wanted
    # what was taken in by the first rule is read as it was
    assert moved(fin, 1) == moved(xml_with(xml), 1) == ([("ITN-1", True)], ["ITN-1"])
    empty = mt536([]).replace(":17B::ACTI//Y", f"{line}\n:17B::ACTI//N")
    if known:
        assert moved(empty) == ([], ["ITN-1"])
    else:
        with pytest.raises(BadInput, match="nothing is in it"):
            moved(empty)


def test_a_basis_that_is_neither_settlement_nor_trade_date_is_refused() -> None:
    for text in (
        mt536(ONE_DEAL).replace(":17B::ACTI//Y", ":22F::STBA//CONT\n:17B::ACTI//Y"),
        xml_with("<StmtBsis><Prtry><Id>X</Id></Prtry></StmtBsis>"),
    ):
        with pytest.raises(BadInput, match="SETT and TRAD are taken"):
            moved(text)


def test_the_movements_of_a_sub_account_are_booked_there_and_nowhere_else() -> None:
    fin = mt536(ONE_DEAL)
    inner = fin.replace(":16R:FIN", ":16R:SUBSAFE\n:97A::SAFE//SUB-9\n:16R:FIN").replace(
        ":16S:FIN", ":16S:FIN\n:16S:SUBSAFE"
    )
    xml = semt017(ONE_DEAL)
    start, end = xml.index("<FinInstrmDtls>"), xml.index("</SctiesTxPstngRpt>")
    sub = f"<SubAcctDtls><SfkpgAcct><Id>SUB-9</Id></SfkpgAcct>{xml[start:end]}</SubAcctDtls>"
    for text in (inner, xml[:start] + sub + xml[end:]):
        assert moved(text) == ([("SUB-9", True)], ["SUB-9"])
        assert moved(text, 1) == ([("ITN-1", True)], ["ITN-1"])
        # the account around it need not be one of ours
        assert moved(text.replace("ITN-1", "MASTER")) == ([("SUB-9", True)], ["SUB-9"])
        with pytest.raises(BadInput, match='account "SUB-9" is not in the registry'):
            parse("movements", text)
    nested = inner.replace(":16R:FIN", ":16R:SUBSAFE\n:97A::SAFE//ITN-1\n:16S:SUBSAFE\n:16R:FIN")
    for text, told in (
        (nested, "a SUBSAFE holds a SUBSAFE"),
        (inner.replace(":97A::SAFE//SUB-9\n", ""), "a SUBSAFE names no account"),
        (xml[:start] + sub.replace("</SfkpgAcct>", f"</SfkpgAcct>{sub}", 1) + xml[end:], "of a sub-account"),
    ):
        with pytest.raises(BadInput, match=told):
            moved(text)


def test_pages_of_two_statements_of_transactions_are_refused() -> None:
    pages = mt536(ONE_DEAL).replace("1/ONLY", "1/MORE") + mt536([]).replace("1/ONLY", "2/LAST")
    assert moved(pages) == ([("ITN-1", True)], ["ITN-1"])
    with pytest.raises(BadInput, match="its period is"):
        moved(pages[:-200] + pages[-200:].replace("20261102/20261106", "20261103/20261106"))


def test_a_day_alone_needs_a_declared_cut_off_and_zone() -> None:
    for declared, told in ((Period(), "declare --cut-off"), (Period(cut_off="17:30"), "declare --time-zone"),
                           (Period(time_zone="Mars", cut_off="17:30"), "is none")):  # fmt: skip
        with pytest.raises(BadInput) as bad:
            parse("movements", mt536(ONE_DEAL), declared)
        assert told in bad.value.problems[0]


MT564 = """{1:F01BANKXXXX}{2:O5641200261030BANKXXXX}{4:
:16R:GENL
:20C::CORP//CA-1
:20C::SEME//S1
:23G:NEWM
:22F::CAEV//EVENT
:98C::PREP//20261030120000
:16S:GENL
:16R:USECU
:35B:ISIN US0378331005
:16S:USECU
:16R:CADETL
:98A::XDTE//20261102
:98A::RDTE//20261103
TERMS:16S:CADETL
:16R:CAOPTN
:13A::CAON//001
MOVES:16S:CAOPTN
-}
"""
SEEV = """<Envelope><AppHdr><CreDt>2026-10-30T12:00:00Z</CreDt></AppHdr><Document
 xmlns="urn:iso:std:iso:20022:tech:xsd:seev.031.001.14"><CorpActnNtfctn><NtfctnGnlInf><NtfctnTp>NEWM</NtfctnTp>
</NtfctnGnlInf><CorpActnGnlInf><CorpActnEvtId>CA-1</CorpActnEvtId><EvtTp><Cd>EVENT</Cd></EvtTp><UndrlygScty>
<FinInstrmId><ISIN>US0378331005</ISIN></FinInstrmId></UndrlygScty></CorpActnGnlInf><CorpActnDtls><DtDtls>
<RcrdDt><Dt><Dt>2026-11-03</Dt></Dt></RcrdDt><ExDvddDt><Dt><Dt>2026-11-02</Dt></Dt></ExDvddDt></DtDtls></CorpActnDtls>
<CorpActnOptnDtls>TERMS</CorpActnOptnDtls></CorpActnNtfctn></Document></Envelope>"""
EVENTS: list[tuple[str, str, str, str, dict[str, Any]]] = [
    (
        "DVCA", "", ":16R:CASHMOVE\n:98A::PAYD//20261110\n:92F::GRSS//USD0,26\n:92A::TAXR//30,\n:16S:CASHMOVE\n",
        ("<CshMvmntDtls><DtDtls><PmtDt><Dt><Dt>2026-11-10</Dt></Dt></PmtDt></DtDtls><RateAndAmtDtls><GrssDvddRate>"
        '<Amt Ccy="USD">0.26</Amt></GrssDvddRate><WhldgTaxRate><Rate>30</Rate></WhldgTaxRate></RateAndAmtDtls>'
        "</CshMvmntDtls>"),
        {"kind": "dividend", "pay_date": date(2026, 11, 10), "cash_rate": Fraction("0.26"), "currency": "USD",
         "withholding": Fraction("0.3")},
    ),
    (
        "SPLF", "", ":16R:SECMOVE\n:35B:ISIN US0378331005\n:98A::PAYD//20261104\n:92D::NEWO//10,/1,\n:16S:SECMOVE\n",
        ("<SctiesMvmntDtls><NewToOd><QtyToQty><Qty1>10</Qty1><Qty2>1</Qty2></QtyToQty></NewToOd><DtDtls><PmtDt><Dt>"
        "<Dt>2026-11-04</Dt></Dt></PmtDt></DtDtls></SctiesMvmntDtls>"),
        {"kind": "split", "pay_date": date(2026, 11, 4), "factor": "10/1"},
    ),
    (
        "MRGR", "", f":16R:SECMOVE\n:35B:ISIN {OTHER_ISIN}\n:92D::NEWO//1,/3,\n:16S:SECMOVE\n",
        (f"<SctiesMvmntDtls><ISIN>{OTHER_ISIN}</ISIN><NewToOd><QtyToQty><Qty1>1</Qty1><Qty2>3</Qty2></QtyToQty></NewToOd>"
        "</SctiesMvmntDtls>"),
        {"kind": "merger", "factor": "1/3", "new_isin": OTHER_ISIN},
    ),
]  # fmt: skip


@pytest.mark.parametrize(("event", "terms", "moves", "xml", "more"), EVENTS, ids=[e[0] for e in EVENTS])
def test_one_event_through_both_notifications_gives_the_same_action(
    event: str, terms: str, moves: str, xml: str, more: dict[str, Any]
) -> None:
    wanted = CorporateAction(
        0, "CA-1", ISIN, "", "announced", datetime(2026, 10, 30, 12, tzinfo=UTC), date(2026, 11, 2), date(2026, 11, 3),
        effective_at=datetime(2026, 11, 2, tzinfo=UTC),
    )  # fmt: skip
    fin = MT564.replace("EVENT", event).replace("TERMS", terms).replace("MOVES", moves)
    iso = SEEV.replace("EVENT", event).replace("TERMS", xml)
    for text in (fin, iso):
        (action,) = parse("actions", text, Period()).records
        assert replace(action, line=0) == replace(wanted, **more)
    (cancelled,) = parse("actions", fin.replace(":23G:NEWM", ":23G:CANC"), Period()).records
    assert cancelled.status == "cancelled"


def fin_option(number: str, kind: str, default: str, terms: str = "") -> str:
    return (
        f":16R:CAOPTN\n:13A::CAON//{number}\n:22F::CAOP//{kind}\n{f':17B::DFLT//{default}' if default else ''}\n"
        f"{terms}:16S:CAOPTN\n"
    ).replace("\n\n", "\n")


def xml_option(number: str, kind: str, default: str, terms: str = "") -> str:
    said = {"Y": "<DfltOptnInd>true</DfltOptnInd>", "N": "<DfltOptnInd>false</DfltOptnInd>"}.get(default, "")
    return (
        f"<CorpActnOptnDtls><OptnNb><Nb>{number}</Nb></OptnNb><OptnTp><Cd>{kind}</Cd></OptnTp>"
        f"<DfltPrcgOrStgInstr>{said}</DfltPrcgOrStgInstr>{terms}</CorpActnOptnDtls>"
    )


def with_options(event: str, *options: tuple[str, str, str]) -> list[str]:
    """One dividend with several options, through both notifications; an option's number gives its terms."""
    fin_terms = {
        "001": ":16R:CASHMOVE\n:98A::PAYD//20261110\n:92F::GRSS//USD0,26\n:92A::TAXR//30,\n:16S:CASHMOVE\n",
        "002": ":16R:CASHMOVE\n:98A::PAYD//20261112\n:92F::GRSS//EUR0,22\n:92A::TAXR//15,\n:16S:CASHMOVE\n",
    }
    xml_terms = {
        n: f"<CshMvmntDtls><DtDtls><PmtDt><Dt><Dt>{day}</Dt></Dt></PmtDt></DtDtls><RateAndAmtDtls><GrssDvddRate>"
        f'<Amt Ccy="{currency}">{rate}</Amt></GrssDvddRate><WhldgTaxRate><Rate>{tax}</Rate></WhldgTaxRate>'
        "</RateAndAmtDtls></CshMvmntDtls>"
        for n, day, currency, rate, tax in (
            ("001", "2026-11-10", "USD", "0.26", "30"),
            ("002", "2026-11-12", "EUR", "0.22", "15"),
        )
    }
    start = MT564.index(":16R:CAOPTN")
    blocks = "".join(fin_option(*o, fin_terms.get(o[0], "")) for o in options)
    fin = MT564[:start].replace("TERMS", "") + blocks + "-}\n"
    elements = "".join(xml_option(*o, xml_terms.get(o[0], "")) for o in options)
    iso = SEEV.replace("<CorpActnOptnDtls>TERMS</CorpActnOptnDtls>", elements)
    return [text.replace("EVENT", event) for text in (fin, iso)]


FIRST_TERMS = (Fraction("0.26"), "USD", Fraction("0.3"), date(2026, 11, 10))
SECOND_TERMS = (Fraction("0.22"), "EUR", Fraction("0.15"), date(2026, 11, 12))


@pytest.mark.parametrize(
    ("options", "wanted"),
    [
        ([("001", "CASH", "Y"), ("002", "CASH", "N")], FIRST_TERMS),
        ([("001", "CASH", "N"), ("002", "CASH", "Y")], SECOND_TERMS),
        ([("001", "CASH", ""), ("002", "CASH", "Y")], SECOND_TERMS),
        ([("002", "CASH", "")], SECOND_TERMS),
        ([("001", "CASH", "Y"), ("009", "NOAC", "N")], FIRST_TERMS),
        ([("001", "CASH", "N"), ("002", "CASH", "N")], "options 001 CASH, 002 CASH give cash or shares and none is"),
        ([("001", "CASH", "Y"), ("002", "SECU", "Y")], "options 001 CASH, 002 SECU give cash or shares and 2 of them"),
        ([("001", "CASH", "N"), ("009", "LAPS", "Y")], "its default gives nothing, and option 001 CASH does"),
    ],
)
def test_the_terms_of_an_action_are_those_of_its_default_option_and_never_a_guess(
    options: list[tuple[str, str, str]], wanted: tuple[object, ...] | str
) -> None:
    for text in with_options("DVCA", *options):
        if isinstance(wanted, str):
            with pytest.raises(BadInput) as bad:
                parse("actions", text, Period())
            assert wanted in "\n".join(bad.value.problems)
        else:
            (action,) = parse("actions", text, Period()).records
            assert (action.cash_rate, action.currency, action.withholding, action.pay_date) == wanted


def test_a_stored_notification_keeps_the_terms_that_the_first_rule_took() -> None:
    fin, _ = with_options("DVCA", ("001", "CASH", "Y"), ("002", "CASH", "N"))
    (action,) = KINDS["actions"].parse(InputFile("f", fin.encode(), 1), KNOWN, Period(), None).records
    assert (action.cash_rate, action.currency, action.pay_date) == (Fraction("0.22"), "EUR", date(2026, 11, 10))


def test_an_option_that_says_two_things_is_refused() -> None:
    fin, iso = with_options("DVCA", ("001", "CASH", "Y"))
    twice = iso.replace("</CorpActnOptnDtls>", iso[iso.index("<CshMvmntDtls>") : iso.index("</CorpActnOptnDtls>")]
                        .replace("0.26", "0.27") + "</CorpActnOptnDtls>")  # fmt: skip
    for text, told in ((fin.replace(":92F::GRSS//USD0,26\n", ":92F::GRSS//USD0,26\n:92F::GRSS//USD0,27\n"),
                        "two things of its cash_rate"), (twice, "2 things of its GrssDvddRate")):  # fmt: skip
        with pytest.raises(BadInput, match=told):
            parse("actions", text, Period())


@pytest.mark.parametrize(
    ("event", "ratio", "factor"),
    [
        ("DVSE", ("ADEX", "AddtlQtyForExstgScties", "1", "20"), "21/20"),
        ("DVSE", ("NEWO", "NewToOd", "1", "20"), "21/20"),
        ("SPLF", ("ADEX", "AddtlQtyForExstgScties", "1", "1"), "2/1"),
        ("SPLF", ("NEWO", "NewToOd", "2", "1"), "2/1"),
    ],
)
def test_what_comes_on_top_of_each_share_makes_the_factor_of_a_stock_dividend_or_split(
    event: str, ratio: tuple[str, str, str, str], factor: str
) -> None:
    tag, name, new, old = ratio
    moves = f":16R:SECMOVE\n:35B:ISIN {ISIN}\n:92D::{tag}//{new},/{old},\n:16S:SECMOVE\n"
    xml = (
        f"<SctiesMvmntDtls><{name}><QtyToQty><Qty1>{new}</Qty1><Qty2>{old}</Qty2></QtyToQty></{name}></SctiesMvmntDtls>"
    )
    kind = "stock_dividend" if event == "DVSE" else "split"
    csv = ("action_id,isin,kind,status,announced_at,effective_at,factor\n"
           f"CA-1,{ISIN},{kind},announced,2026-10-30T12:00:00Z,2026-11-02T00:00:00Z,{factor}\n")  # fmt: skip
    for text in (
        MT564.replace("EVENT", event).replace("TERMS", "").replace("MOVES", moves),
        SEEV.replace("EVENT", event).replace("TERMS", xml),
        csv,
    ):
        (action,) = parse("actions", text, Period()).records
        assert (action.kind, action.factor) == (kind, factor)
    with pytest.raises(BadInput, match="new multiplier divided by old is wanted"):
        parse("actions", csv.replace(factor, "1/20"), Period())


def test_the_creation_time_of_a_seev031_is_taken_with_its_distance_from_utc() -> None:
    text = SEEV.replace("EVENT", "SPLF").replace("TERMS", EVENTS[1][3])
    for made, hour in (
        ("2026-10-30T12:00:00-05:00", 17),
        ("2026-10-30T12:00:00+01:00", 11),
        ("2026-10-30T12:00:00", 12),
    ):
        (action,) = parse("actions", text.replace("2026-10-30T12:00:00Z", made), Period()).records
        assert action.announced_at == datetime(2026, 10, 30, hour, tzinfo=UTC)


def test_bad_notifications_are_refused_with_their_place() -> None:
    good = MT564.replace("EVENT", "SPLF").replace("TERMS", "").replace("MOVES", EVENTS[1][2])
    cases = [
        ("SPLF", "TEND", 'the event "TEND"'),
        (":92D::NEWO//10,/1,\n", "", "is a split and has no factor"),
        ("ISIN US0378331005", "ISIN US88160R1014", "belongs to no instrument"),
        ("XDTE//20261102", "XDTE//20261399", "which is no date"),
    ]
    for old, new, told in cases:
        with pytest.raises(BadInput) as bad:
            parse("actions", good.replace(old, new), Period())
        assert any(told in fault for fault in bad.value.problems), (old, bad.value.problems)
    with pytest.raises(BadInput):
        parse("actions", "<html/>", Period())


async def test_an_mt536_covers_the_period_that_it_states_from_the_cut_off_before_it(book: Book) -> None:
    await book.registry()
    path = book.file("m.fin", mt536([Deal(1, Fraction(5), False, True, True, False)]))
    done = await tieout_reconcile.import_records(book.dsn, "movements", path, declared=DECLARED)
    assert (done.format, done.rows) == ("mt536", 1)
    spans = await book.db.fetch("select * from recon.movement_spans")
    assert [(s["from_at"], s["to_at"]) for s in spans] == [(cut_off(date(2026, 11, 1)), cut_off(date(2026, 11, 6)))]
