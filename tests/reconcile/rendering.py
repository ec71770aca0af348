"""One custodian's book, rendered to every statement format, by the formats' own rules and none of our parsers.

A book is what one account holds at one instant. Each renderer states its own basis: Alpaca and IBKR speak
as of trade date, the others as asked.
"""

import json
from dataclasses import dataclass
from datetime import datetime
from fractions import Fraction
from xml.sax.saxutils import quoteattr

ISINS = ("US0378331005", "US88160R1014", "US5949181045")
TICKERS = {"AAPL": ISINS[0], "TSLA": ISINS[1], "MSFT": ISINS[2]}
CODES = {"lent": "LOAN", "pledged": "PLED", "blocked": "BLOK"}


@dataclass(frozen=True)
class Held:
    """An aggregate with what of it is encumbered, in billionths of a share."""

    isin: str
    billionths: int
    lent: int = 0
    pledged: int = 0
    blocked: int = 0

    @property
    def quantity(self) -> Fraction:
        return Fraction(self.billionths, 10**9)

    @property
    def parts(self) -> dict[str, int]:
        return {kind: getattr(self, kind) for kind in CODES if getattr(self, kind)}

    @property
    def free(self) -> int:
        return self.billionths - sum(self.parts.values())


@dataclass(frozen=True)
class Account:
    """One account at one instant."""

    account: str
    at: datetime
    basis: str
    held: tuple[Held, ...]


def number(billionths: int, decimal: str = ".", thousands: str = "") -> str:
    """A decimal number, without trailing zeros."""
    whole, rest = divmod(abs(billionths), 10**9)
    digits = f"{rest:09d}".rstrip("0")
    sign = "-" if billionths < 0 else ""
    return sign + f"{whole:,}".replace(",", thousands) + (decimal + digits if digits else "")


def csv_map(delimiter: str, decimal: str, thousands: str) -> str:
    return f"""
basis = "settled"
time_zone = "Europe/Zurich"
delimiter = "{delimiter}"
decimal = "{decimal}"
{f'thousands = "{thousands}"' if thousands else ""}
date_format = "%d.%m.%Y %H:%M:%S"
[columns]
account = "Depot"
isin = "Valor"
quantity = "Bestand"
as_of = "Stand"
lent = "Ausgeliehen"
pledged = "Verpfändet"
blocked = "Gesperrt"
"""


def to_csv(book: Account, local: datetime, delimiter: str, decimal: str, thousands: str) -> bytes:
    """CSV in a bank's style; ``local`` is the book's instant on the bank's clock."""
    lines = [delimiter.join(["Depot", "Valor", "Name", "Bestand", "Ausgeliehen", "Verpfändet", "Gesperrt", "Stand"])]
    for held in book.held:
        sizes = [number(n, decimal, thousands) for n in (held.billionths, held.lent, held.pledged, held.blocked)]
        fields = [book.account, held.isin, "x", *sizes, f"{local:%d.%m.%Y %H:%M:%S}"]
        lines.append(delimiter.join(f'"{field}"' for field in fields))
    return "\r\n".join(lines).encode("utf-8-sig")


def to_alpaca(book: Account) -> bytes:
    tickers = {isin: ticker for ticker, isin in TICKERS.items()}
    return json.dumps([
        {
            "asset_id": "a",
            "symbol": tickers[held.isin],
            "qty": number(held.billionths),
            "qty_available": number(held.free),
            "side": "short" if held.billionths < 0 else "long",
        }
        for held in book.held
    ]).encode()  # fmt: skip


def to_flex(book: Account, *, lots: bool = True) -> bytes:
    rows = []
    for held in book.held:
        half = held.billionths // 2
        sizes = [("SUMMARY", held.billionths)]
        sizes += [("LOT", half), ("LOT", held.billionths - half)] if lots else []
        rows += [
            f"<OpenPosition accountId={quoteattr(book.account)} assetCategory='STK' isin='{held.isin}' "
            f"position='{number(size)}' reportDate='{book.at:%Y%m%d}' levelOfDetail='{level}' newAttribute='1' />"
            for level, size in sizes
        ]
    body = "".join(rows)
    return (
        f"<FlexQueryResponse queryName='q' type='AF'><FlexStatements count='1'>"
        f"<FlexStatement accountId={quoteattr(book.account)}><OpenPositions>{body}</OpenPositions>"
        "</FlexStatement></FlexStatements></FlexQueryResponse>"
    ).encode()


def _mt_number(billionths: int) -> str:
    text = number(abs(billionths), ",")
    return ("N" if billionths < 0 else "") + (text if "," in text else f"{text},")


def mt535_page(book: Account, held: tuple[Held, ...], page: str, active: str = "Y") -> str:
    fins = []
    for one in held:
        subs = [
            f":16R:SUBBAL\n:93C::{CODES[kind]}//UNIT/NAVL/{_mt_number(size)}\n:16S:SUBBAL\n"
            for kind, size in one.parts.items()
        ]
        fins.append(
            f":16R:FIN\n:35B:ISIN {one.isin}\nA NAME\nON TWO LINES\n:93B::AGGR//UNIT/{_mt_number(one.billionths)}\n"
            f"{''.join(subs)}:16S:FIN\n"
        )
    stba = "SETT" if book.basis == "settled" else "TRAD"
    return (
        "{1:F01BANKCHZZAXXX0000000000}{2:O5351200261102BANKCHZZAXXX00000000002611021200N}{4:\n"
        f":16R:GENL\n:28E:{page}\n:20C::SEME//REF1\n:23G:NEWM\n:98C::PREP//20261102210000\n"
        f":98E::STAT//{book.at:%Y%m%d%H%M%S}/00\n:22F::SFRE//DAIL\n:22F::CODE//COMP\n:22F::STTY//CUST\n"
        f":22F::STBA//{stba}\n:97A::SAFE//{book.account}\n:17B::ACTI//{active}\n:16S:GENL\n{''.join(fins)}-}}\n"
    )


def to_mt535(book: Account, *, pages: bool = False) -> bytes:
    if not pages or len(book.held) < 2:
        return mt535_page(book, book.held, "1/ONLY").encode()
    first, rest = book.held[:1], book.held[1:]
    return (mt535_page(book, first, "1/MORE") + mt535_page(book, rest, "2/LAST")).encode()


def to_semt002(book: Account, version: str = "semt.002.001.11", unit: str = "Unit") -> bytes:
    basis = "SETT" if book.basis == "settled" else "TRAD"
    balances = []
    for held in book.held:
        sign = f"<ShrtLngInd>{'SHOR' if held.billionths < 0 else 'LONG'}</ShrtLngInd>"
        size = number(abs(held.billionths))
        parts = "".join(
            f"<BalBrkdwn><SubBalTp><Cd>{CODES[kind]}</Cd></SubBalTp><Qty><Qty><Qty><{unit}>{number(n)}</{unit}>"
            f"</Qty></Qty></Qty><AddtlBalBrkdwnDtls><SubBalTp><Cd>OTHR</Cd></SubBalTp><Qty><Qty><{unit}>1</{unit}>"
            "</Qty></Qty></AddtlBalBrkdwnDtls></BalBrkdwn>"
            for kind, n in held.parts.items()
        )
        balances.append(
            f"<BalForAcct><AggtBal>{sign}<Qty><Qty><Qty><{unit}>{size}</{unit}></Qty></Qty></Qty></AggtBal>"
            f"<FinInstrmId><ISIN>{held.isin}</ISIN></FinInstrmId>{parts}</BalForAcct>"
        )
    return (
        f'<?xml version="1.0" encoding="UTF-8"?><Document xmlns="urn:iso:std:iso:20022:tech:xsd:{version}">'
        "<SctiesBalCtdyRpt><Pgntn><PgNb>1</PgNb><LastPgInd>true</LastPgInd></Pgntn><StmtGnlDtls>"
        f"<StmtDtTm><DtTm>{book.at.isoformat()}</DtTm></StmtDtTm><UpdTp><Cd>COMP</Cd></UpdTp>"
        f"<StmtBsis><Cd>{basis}</Cd></StmtBsis><ActvtyInd>true</ActvtyInd></StmtGnlDtls>"
        f"<SfkpgAcct><Id>{book.account}</Id></SfkpgAcct>{''.join(balances)}</SctiesBalCtdyRpt></Document>"
    ).encode()
