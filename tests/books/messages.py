"""Movements and corporate actions as custodians' messages, by their standards: MT536, semt.017, MT564, seev.031."""

from collections.abc import Sequence
from datetime import datetime
from fractions import Fraction

from books.model import Declared, Leg, Place, plain

POSTED = frozenset({"journal", "receive", "deliver", "buy", "sell", "split"})
"""What a statement of transactions can say: fees and cash alone stand in others."""
EVENTS = {"split": "SPLF", "reverse_split": "SPLR", "dividend": "DVCA"}


def comma(value: Fraction) -> str:
    """A number with a decimal comma, which ends a whole one too."""
    text = plain(abs(value)).replace(".", ",")
    return text if "," in text else f"{text},"


def local(at: datetime) -> str:
    """An instant on a clock that shows UTC."""
    return f"{at:%Y%m%d%H%M%S}"


def fin(kind: str, body: str) -> str:
    """A message of ISO 15022 with its headers."""
    head = f"{{1:F01BANKCHZZAXXX0000000000}}{{2:O{kind}1200260102BANKCHZZAXXX00000000002601021200N}}"
    return f"{head}{{4:\n{body}-}}\n"


def block(name: str, body: str) -> str:
    """A block of fields."""
    return f":16R:{name}\n{body}:16S:{name}\n"


def to_mt536(place: Place, start: datetime, end: datetime, legs: Sequence[Leg]) -> str:
    """A statement of transactions over a period; each block of a share holds its transactions."""
    general = block("GENL", (
        f":28E:1/ONLY\n:20C::SEME//TX{end:%y%m%d}\n:23G:NEWM\n:98C::PREP//{local(end)}\n"
        f":69B::STAT//{local(start)}/{local(end)}\n:22F::SFRE//ADHO\n:22F::CODE//COMP\n:22F::STBA//SETT\n"
        f":97A::SAFE//{place.account}\n:17B::ACTI//{'Y' if legs else 'N'}\n"
    ))  # fmt: skip
    shares = ""
    for isin in sorted({leg.isin for leg in legs}):
        transactions = "".join(_mt536(leg) for leg in legs if leg.isin == isin)
        shares += block("FIN", f":35B:ISIN {isin}\nSHARE\n{transactions}")
    return fin("536", general + shares)


def _mt536(leg: Leg) -> str:
    links = block("LINK", f":20C::ASRF//{leg.reference}\n")
    links += block("LINK", f":20C::RELA//{leg.request_id or 'NONREF'}\n")
    if leg.action_id:
        links += block("LINK", f":20C::CORP//{leg.action_id}\n")
    details = (
        f":36B::PSTA//UNIT/{comma(leg.shares)}\n:22F::TRAN//{'CORP' if leg.action_id else 'SETT'}\n"
        f":22H::REDE//{'DELI' if leg.shares < 0 else 'RECE'}\n:22H::PAYM//{_paid(leg)}\n:98C::ESET//{local(leg.at)}\n"
        f":98A::SETT//{leg.at:%Y%m%d}\n"
    )
    return block("TRAN", links + block("TRANSDET", details))


def _paid(leg: Leg) -> str:
    return "APMT" if leg.kind in ("buy", "sell") else "FREE"


def to_semt017(place: Place, start: datetime, end: datetime, legs: Sequence[Leg]) -> str:
    """A posting report over a period."""
    holdings = ""
    for isin in sorted({leg.isin for leg in legs}):
        transactions = "".join(_semt017(leg) for leg in legs if leg.isin == isin)
        holdings += f"<FinInstrmDtls><FinInstrmId><ISIN>{isin}</ISIN></FinInstrmId>{transactions}</FinInstrmDtls>"
    return (
        '<?xml version="1.0" encoding="UTF-8"?><Document xmlns="urn:iso:std:iso:20022:tech:xsd:semt.017.001.11">'
        "<SctiesTxPstngRpt><Pgntn><PgNb>1</PgNb><LastPgInd>true</LastPgInd></Pgntn><StmtGnlDtls><StmtPrd><FrDtTmToDtTm>"
        f"<FrDtTm>{start.isoformat()}</FrDtTm><ToDtTm>{end.isoformat()}</ToDtTm></FrDtTmToDtTm></StmtPrd>"
        f"<UpdTp><Cd>COMP</Cd></UpdTp><ActvtyInd>{'true' if legs else 'false'}</ActvtyInd></StmtGnlDtls>"
        f"<SfkpgAcct><Id>{place.account}</Id></SfkpgAcct>{holdings}</SctiesTxPstngRpt></Document>"
    )


def _semt017(leg: Leg) -> str:
    event = f"<CorpActnEvtId>{leg.action_id}</CorpActnEvtId>" if leg.action_id else ""
    return (
        f"<Tx><AcctOwnrTxId>{leg.request_id or 'NONREF'}</AcctOwnrTxId>"
        f"<AcctSvcrTxId>{leg.reference}</AcctSvcrTxId>{event}"
        f"<TxDtls><TxActvty><Cd>{'CORP' if leg.action_id else 'SETT'}</Cd></TxActvty>"
        f"<SctiesMvmntTp>{'DELI' if leg.shares < 0 else 'RECE'}</SctiesMvmntTp><Pmt>{_paid(leg)}</Pmt>"
        f"<PstngQty><Qty><Unit>{plain(abs(leg.shares))}</Unit></Qty></PstngQty>"
        f"<FctvSttlmDt><Dt><DtTm>{leg.at.isoformat()}</DtTm></Dt></FctvSttlmDt>"
        f"<SttlmDt><Dt><Dt>{leg.at:%Y-%m-%d}</Dt></Dt></SttlmDt></TxDtls></Tx>"
    )


def to_mt564(action: Declared) -> str:
    """A notification; shares come by a ratio of new for old, cash by a gross rate less tax."""
    general = block("GENL", (
        f":20C::CORP//{action.action_id}\n:20C::SEME//N{action.action_id}\n:23G:NEWM\n"
        f":22F::CAEV//{EVENTS[action.kind]}\n:22F::CAMV//MAND\n:98C::PREP//{local(action.announced_at)}\n"
    ))  # fmt: skip
    days = f":98A::XDTE//{action.ex_date:%Y%m%d}\n"
    days += f":98A::RDTE//{action.record_date:%Y%m%d}\n" if action.record_date else ""
    security = block("USECU", f":35B:ISIN {action.isin}\nSHARE\n")
    if action.kind == "dividend":
        pays = f":98A::PAYD//{action.pay_date:%Y%m%d}\n:92F::GRSS//USD{comma(Fraction(action.cash_rate))}\n"
        tax = f":92A::TAXR//{comma(100 * Fraction(action.withholding))}\n"
        moves = block("CASHMOVE", f":22H::CRDB//CRED\n{pays}{tax}")
        option = f":13A::CAON//001\n:22F::CAOP//CASH\n:17B::DFLT//Y\n{moves}"
    else:
        ratio = Fraction(action.factor)
        new = f"{comma(Fraction(ratio.numerator))}/{comma(Fraction(ratio.denominator))}"
        moves = block("SECMOVE", f":22H::CRDB//CRED\n:35B:ISIN {action.isin}\nSHARE\n:92D::NEWO//{new}\n")
        option = f":13A::CAON//001\n:22F::CAOP//SECU\n:17B::DFLT//Y\n{moves}"
    return fin("564", general + security + block("CADETL", days) + block("CAOPTN", option))


def to_seev031(action: Declared) -> str:
    """The same in ISO 20022; the header says when it was made."""
    general = (
        f"<CorpActnGnlInf><CorpActnEvtId>{action.action_id}</CorpActnEvtId><EvtTp><Cd>{EVENTS[action.kind]}</Cd></EvtTp>"
        f"<UndrlygScty><FinInstrmId><ISIN>{action.isin}</ISIN></FinInstrmId></UndrlygScty></CorpActnGnlInf>"
    )
    record = f"<RcrdDt><Dt><Dt>{action.record_date}</Dt></Dt></RcrdDt>" if action.record_date else ""
    details = f"<DtDtls>{record}<ExDvddDt><Dt><Dt>{action.ex_date}</Dt></Dt></ExDvddDt></DtDtls>"
    if action.kind == "dividend":
        option = (
            f"<CshMvmntDtls><DtDtls><PmtDt><Dt><Dt>{action.pay_date}</Dt></Dt></PmtDt></DtDtls><RateAndAmtDtls>"
            f'<GrssDvddRate><Amt Ccy="USD">{action.cash_rate}</Amt></GrssDvddRate>'
            f"<WhldgTaxRate><Rate>{plain(100 * Fraction(action.withholding))}</Rate></WhldgTaxRate>"
            "</RateAndAmtDtls></CshMvmntDtls>"
        )
    else:
        ratio = Fraction(action.factor)
        option = (
            f"<SctiesMvmntDtls><SctyDtls><FinInstrmId><ISIN>{action.isin}</ISIN></FinInstrmId></SctyDtls><RateAndAmtDtls>"
            f"<NewToOd><QtyToQty><Qty1>{ratio.numerator}</Qty1><Qty2>{ratio.denominator}</Qty2></QtyToQty></NewToOd>"
            "</RateAndAmtDtls></SctiesMvmntDtls>"
        )
    return (
        '<?xml version="1.0" encoding="UTF-8"?><BizMsg><AppHdr xmlns="urn:iso:std:iso:20022:tech:xsd:head.001.001.02">'
        f"<CreDt>{action.announced_at:%Y-%m-%dT%H:%M:%SZ}</CreDt></AppHdr>"
        '<Document xmlns="urn:iso:std:iso:20022:tech:xsd:seev.031.001.14"><CorpActnNtfctn>'
        f"<NtfctnGnlInf><NtfctnTp>NEWM</NtfctnTp></NtfctnGnlInf>{general}<CorpActnDtls>{details}</CorpActnDtls>"
        f"<CorpActnOptnDtls>{option}</CorpActnOptnDtls></CorpActnNtfctn></Document></BizMsg>"
    )
