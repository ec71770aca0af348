"""A book's files: registry, statements, movements, orders and the rest, in the formats that the business sends.

Each renderer follows the format's own rules; what a format cannot say is declared beside it, as a user would.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from fractions import Fraction
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import tieout_reconcile
from books import days
from books.cash import payments_csv
from books.chain import address, mint_of, signature, token_account
from books.coins import coin_of
from books.flex import TOLD, to_flex_activity
from books.messages import EVENTS, POSTED, to_mt536, to_mt564, to_seev031, to_semt017
from books.model import Book, Declared, Label, Leg, Order, Place, Stock, plain

ZURICH = ZoneInfo("Europe/Zurich")
SUBS = {"lent": "LOAN", "pledged": "PLED", "blocked": "BLOK"}
SETTLED = ("csv", "declared", "mt535", "semt002")
"""Formats of settled statements."""
MOVED = ("csv", "mt536", "semt017")
"""Formats of movements."""
DECLARING = ("csv", "mt564", "seev031")
"""Formats of corporate actions."""
DECLARED = """basis = "settled"
time_zone = "Europe/Zurich"
delimiter = ";"
decimal = ","
thousands = "'"
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


@dataclass(frozen=True)
class Held:
    """A position: how much, and what of it is not free, by kind."""

    isin: str
    shares: Fraction
    parts: Mapping[str, Fraction]

    @property
    def free(self) -> Fraction:
        return self.shares - sum(self.parts.values(), Fraction(0))


@dataclass(frozen=True)
class Statement:
    """What an account held at an instant."""

    place: Place
    at: datetime
    held: tuple[Held, ...]


def statement_of(book: Book, stock: Stock) -> Statement:
    """The settled statement of a stock's account, with what is wrong with it."""
    at = book.stated(stock)
    if stock.place in book.stale:
        at -= timedelta(days=14)
    shares = book.held(stock, at) + book.misstated.get(stock.place, Fraction(0))
    held = [Held(stock.isin, shares, book.encumbered.get(stock.place, {}))]
    if stock.place in book.absent:
        # the account is stated, this share is not in it
        held = []
    held += [Held(isin, size, {}) for isin, size in book.strange.get(stock.place, ())]
    return Statement(stock.place, at, tuple(held))


def table(rows: Sequence[Mapping[str, Any]]) -> str:
    """A CSV file; the columns are those of its rows."""
    columns = list(dict.fromkeys(name for row in rows for name in row))
    cells = (",".join("" if row.get(c) is None else str(row[c]) for c in columns) for row in rows)
    return "\n".join([",".join(columns), *cells]) + "\n"


def iso(at: datetime | None) -> str:
    return "" if at is None else at.isoformat()


# --- statements


def to_csv(stated: Statement, basis: str = "settled") -> str:
    """The columns of our own."""
    return table([
        {"custodian": stated.place.custodian, "account": stated.place.account, "isin": h.isin,
         "quantity": plain(h.shares), "basis": basis, "as_of": iso(stated.at)}
        for h in stated.held
    ])  # fmt: skip


def to_declared(stated: Statement) -> str:
    """A Swiss bank's export, which ``DECLARED`` explains."""

    def swiss(value: Fraction) -> str:
        whole, _, rest = plain(value).partition(".")
        grouped = f"{int(whole):,}".replace(",", "'")
        return grouped + (f",{rest}" if rest else "")

    local = f"{stated.at.astimezone(ZURICH):%d.%m.%Y %H:%M:%S}"
    lines = ["Depot;Valor;Titel;Bestand;Ausgeliehen;Verpfändet;Gesperrt;Stand"]
    for held in stated.held:
        parts = [swiss(held.parts.get(kind, Fraction(0))) for kind in SUBS]
        lines.append(";".join([stated.place.account, held.isin, '"NAME; N"', swiss(held.shares), *parts, local]))
    return "\ufeff" + "\r\n".join(lines) + "\r\n"


def mt_number(value: Fraction) -> str:
    """A decimal comma, which also ends a whole number; N stands before what is short."""
    text = plain(abs(value)).replace(".", ",")
    return ("N" if value < 0 else "") + (text if "," in text else f"{text},")


def to_mt535(stated: Statement) -> str:
    """A page for each position, so that pages must be put together."""
    pages: list[Held | None] = [*stated.held] or [None]
    texts = []
    for number, held in enumerate(pages, 1):
        last = number == len(pages)
        page = "1/ONLY" if last and number == 1 else f"{number}/{'LAST' if last else 'MORE'}"
        body = ""
        if held is not None:
            subs = "".join(
                f":16R:SUBBAL\n:93C::{SUBS[kind]}//UNIT/NAVL/{mt_number(size)}\n:16S:SUBBAL\n"
                for kind, size in held.parts.items()
            )
            body = (
                f":16R:FIN\n:35B:ISIN {held.isin}\nSHARE\n:93B::AGGR//UNIT/{mt_number(held.shares)}\n{subs}:16S:FIN\n"
            )
        texts.append(
            "{1:F01BANKCHZZAXXX0000000000}{2:O5351200260102BANKCHZZAXXX00000000002601021200N}{4:\n"
            f":16R:GENL\n:28E:{page}\n:20C::SEME//ST{stated.at:%y%m%d}\n:23G:NEWM\n:98E::STAT//{stated.at:%Y%m%d%H%M%S}/00\n"
            ":22F::SFRE//DAIL\n:22F::CODE//COMP\n:22F::STTY//CUST\n:22F::STBA//SETT\n"
            f":97A::SAFE//{stated.place.account}\n:17B::ACTI//{'N' if held is None else 'Y'}\n:16S:GENL\n{body}-}}\n"
        )
    return "".join(texts)


def to_semt002(stated: Statement) -> str:
    """ISO 20022, version 11."""
    balances = ""
    for held in stated.held:
        parts = "".join(
            f"<BalBrkdwn><SubBalTp><Cd>{SUBS[kind]}</Cd></SubBalTp><Qty><Qty><Qty><Unit>{plain(size)}</Unit></Qty></Qty>"
            "</Qty></BalBrkdwn>"
            for kind, size in held.parts.items()
        )
        balances += (
            "<BalForAcct><AggtBal><ShrtLngInd>LONG</ShrtLngInd><Qty><Qty><Qty>"
            f"<Unit>{plain(held.shares)}</Unit></Qty></Qty></Qty></AggtBal>"
            f"<FinInstrmId><ISIN>{held.isin}</ISIN></FinInstrmId>{parts}</BalForAcct>"
        )
    return (
        '<?xml version="1.0" encoding="UTF-8"?><Document xmlns="urn:iso:std:iso:20022:tech:xsd:semt.002.001.11">'
        "<SctiesBalCtdyRpt><Pgntn><PgNb>1</PgNb><LastPgInd>true</LastPgInd></Pgntn><StmtGnlDtls>"
        f"<StmtDtTm><DtTm>{iso(stated.at)}</DtTm></StmtDtTm><UpdTp><Cd>COMP</Cd></UpdTp><StmtBsis><Cd>SETT</Cd></StmtBsis>"
        f"<ActvtyInd>{'true' if stated.held else 'false'}</ActvtyInd></StmtGnlDtls>"
        f"<SfkpgAcct><Id>{stated.place.account}</Id></SfkpgAcct>{balances}</SctiesBalCtdyRpt></Document>"
    )


def to_alpaca(stated: Statement) -> str:
    """Positions by ticker, as of trade date; what is free stands beside."""
    return json.dumps([
        {"asset_id": "a", "symbol": f"T{h.isin}", "qty": plain(h.shares), "qty_available": plain(h.free),
         "side": "long"}
        for h in stated.held
    ])  # fmt: skip


def to_flex(stated: Statement) -> str:
    """Interactive Brokers, as of trade date: a summary, and lots that add up to it."""
    rows = ""
    for held in stated.held:
        half = held.shares / 2
        half = Fraction(int(half * 10**9), 10**9)
        for level, size in (("SUMMARY", held.shares), ("LOT", half), ("LOT", held.shares - half)):
            rows += (
                f'<OpenPosition accountId="{stated.place.account}" assetCategory="STK" isin="{held.isin}" '
                f'position="{plain(size)}" reportDate="{stated.at:%Y-%m-%d}" levelOfDetail="{level}" />'
            )
    return (
        '<FlexQueryResponse queryName="q" type="AF"><FlexStatements count="1">'
        f'<FlexStatement accountId="{stated.place.account}"><OpenPositions>{rows}</OpenPositions></FlexStatement>'
        "</FlexStatements></FlexQueryResponse>"
    )


# --- the registry


def registry_of(book: Book) -> str:
    """The registry, as TOML."""
    parts = [_instrument(book, stock) for stock in book.stocks]
    for name, role in (("treasury", "treasury"), ("redemption", "redemption")):
        parts.append(_label(Label(name, role)))
    parts += [_label(label) for label in book.labels]
    for custodian in sorted({s.place.custodian for s in book.stocks}):
        mine = [s for s in book.stocks if s.place.custodian == custodian]
        parts.append(
            f'[[custodians]]\nid = "{custodian}"\nname = "{custodian}"\nquantum = "{plain(mine[0].place.quantum)}"\n'
            'calendar = "nyse"\nmax_age_hours = 130\n'
        )
        parts += [f'[[custodians.accounts]]\nid = "{s.place.account}"\ninstruments = ["{s.symbol}"]\n' for s in mine]
    closed = ", ".join(map(str, days.HOLIDAYS))
    parts.append(f'[[calendars]]\nid = "nyse"\nclosed = [{closed}]\n')
    coin = coin_of(book)
    parts.append(
        f'[[payment_tokens]]\ncurrency = "{coin.symbol}"\nmint = "{mint_of(coin)}"\ndecimals = {coin.decimals}\n'
    )
    parts += [f'[[venues]]\nid = "{v}"\nname = "{v}"\n' for v in book.venues]
    return "\n".join(parts)


def _instrument(book: Book, stock: Stock) -> str:
    lines = [
        "[[instruments]]", f'symbol = "{stock.symbol}"', f'mint = "{mint_of(stock)}"', f'isin = "{stock.isin}"',
        f"decimals = {stock.known_decimals or stock.decimals}", f'buffer_shares = "{plain(stock.buffer)}"',
        'calendar = "nyse"', f"chains = {json.dumps(list(stock.networks))}",
        f"inventory_authorised = {str(stock.authorised).lower()}",
    ]  # fmt: skip
    return "\n".join(lines + ([f'large_share = "{stock.large_share}"'] if stock.large_share else [])) + "\n"


def _label(label: Label) -> str:
    if label.stock is not None:
        who, instrument = (
            f'account = "{token_account(label.name, label.stock)}"',
            f'instrument = "{label.stock.symbol}"',
        )
    else:
        who, instrument = f'owner = "{address(label.name)}"', 'instrument = "*"'
    begin = "2025-01-01T00:00:00Z" if label.valid_from is None else iso(label.valid_from)
    end = "" if label.valid_to is None else f"valid_to = {iso(label.valid_to)}\n"
    venue = f'venue = "{label.venue}"\n' if label.venue else f'wrapper = "{label.wrapper}"\n' if label.wrapper else ""
    head = f'[[wallets]]\n{who}\nrole = "{label.role}"\n{instrument}\n'
    return f'{head}valid_from = {begin}\nsource = "wallet list"\n{end}{venue}'


# --- everything else


def wallet_of(order: Order) -> str | None:
    """Whose the tokens are, as an address of the order's network."""
    if order.wallet is None:
        return None
    return f"0x{hashlib.sha256(order.wallet.encode()).hexdigest()[:40]}" if order.network else address(order.wallet)


def transaction_of(order: Order) -> str | None:
    """The transaction that an order names, as its network writes it."""
    if order.reference is None:
        return None
    return f"0x{hashlib.sha256(order.reference.encode()).hexdigest()}" if order.network else signature(order.reference)


def orders_csv(orders: Iterable[Order]) -> str:
    """Orders in the columns of our own."""
    return table([
        {
            "request_id": o.request_id, "side": o.side, "symbol": o.stock.symbol,
            "quantity": None if o.shares is None else plain(o.shares), "raw": o.raw, "status": o.status,
            "wallet": wallet_of(o), "signature": transaction_of(o), "created_at": iso(o.created_at),
            "settled_at": iso(o.settled_at), "fee": None if o.fee is None else plain(o.fee), "network": o.network,
            "settlement": "" if o.cash is None else "cash",
            "cash_amount": None if o.cash is None else plain(o.cash), "cash_currency": o.currency,
        }
        for o in orders
    ])  # fmt: skip


def orders_json(orders: Iterable[Order]) -> str:
    """Alpaca's tokenization requests, one of them for a token on another network that is not ours."""
    requests = [
        {
            "issuer_request_id": o.request_id, "type": {"issue": "mint", "redeem": "redeem"}[o.side],
            "status": o.status, "token_symbol": o.stock.symbol, "underlying_symbol": o.stock.symbol[:-1],
            "qty": plain(o.shares or 0), "network": o.network or "solana",
            "wallet_address": wallet_of(o), "tx_hash": transaction_of(o), "created_at": iso(o.created_at),
            "updated_at": iso(o.settled_at or o.created_at),
        }
        for o in orders
    ]  # fmt: skip
    requests.append({**requests[0], "issuer_request_id": "OTHERS-1", "network": "ethereum", "token_symbol": "GOLDx"})
    return json.dumps({"requests": requests})


def shown_legs(book: Book, stock: Stock) -> list[Leg]:
    """All that a stock's account moved up to the cut-off, as far as its file shows it."""
    return [x for x in book.legs if x.place == stock.place and x.shown and x.at <= book.cut_off]


def movements_csv(legs: Iterable[Leg]) -> str:
    """Movements in the columns of our own."""
    return table([
        {
            "custodian": x.place.custodian, "account": x.place.account, "isin": x.isin, "quantity": plain(x.shares),
            "kind": x.kind, "reference": x.reference, "request_id": x.request_id, "action_id": x.action_id,
            "settled_at": iso(x.at), "cash": x.cash, "currency": x.currency,
        }
        for x in legs
    ])  # fmt: skip


def trades_csv(book: Book) -> str:
    return table([
        {
            "custodian": t.place.custodian, "account": t.place.account, "isin": t.isin, "reference": t.reference,
            "side": t.side, "quantity": plain(t.shares), "traded_at": iso(t.traded_at), "settles_on": t.settles_on,
            "status": t.status, "status_at": iso(t.status_at), "action_id": t.action_id,
        }
        for t in book.trades
    ])  # fmt: skip


def actions_csv(actions: Iterable[Declared]) -> str:
    return table([
        {
            "action_id": a.action_id, "isin": a.isin, "kind": a.kind, "status": a.status,
            "announced_at": iso(a.announced_at), "ex_date": a.ex_date, "record_date": a.record_date,
            "pay_date": a.pay_date, "effective_at": iso(a.effective_at), "factor": a.factor, "cash_rate": a.cash_rate,
            "currency": "USD" if a.cash_rate else "", "withholding": a.withholding,
        }
        for a in actions
    ])  # fmt: skip


def chains_csv(book: Book) -> str:
    return table([
        {
            "symbol": r.stock.symbol, "network": r.network, "unit": r.unit, "quantity": r.text, "as_of": iso(r.as_of),
            "source": "node", "decimals": r.decimals, "multiplier": r.multiplier,
        }
        for r in book.readings
    ])  # fmt: skip


def wrappers_csv(book: Book) -> str:
    return table([
        {
            "symbol": w.stock.symbol, "network": w.network, "unit": "raw" if w.raw else "adjusted",
            "quantity": plain(w.supply), "decimals": w.stock.decimals if w.raw else "", "as_of": iso(w.as_of),
            "source": "node", "wrapper": w.name, "escrowed": plain(w.escrowed),
        }
        for w in book.wrappers
    ])  # fmt: skip


def loans_csv(book: Book) -> str:
    return table([
        {
            "custodian": x.place.custodian, "account": x.place.account, "isin": x.isin, "reference": x.reference,
            "quantity": plain(x.shares), "position": "left", "lent_at": iso(x.lent_at), "document": "lending agreement",
            "recalled_at": iso(x.recalled_at), "due_on": x.due_on, "collateral_amount": x.cash,
            "collateral_currency": "USD" if x.cash else "",
        }
        for x in book.loans
    ])  # fmt: skip


def bridge_csv(book: Book) -> str:
    return table([
        {
            "message_id": m.message_id, "symbol": m.stock.symbol, "direction": m.direction, "network": m.network,
            "raw": m.raw, "signature": signature(m.reference), "sent_at": iso(m.sent_at),
            "delivered_at": iso(m.delivered_at),
        }
        for m in book.messages
    ])  # fmt: skip


def venue_csv(book: Book, venue: str) -> str:
    return table([
        {"venue": venue, "symbol": b.stock.symbol, "kind": b.kind, "account": b.account, "quantity": b.text,
         "unit": b.unit, "as_of": iso(b.as_of)}
        for b in book.balances if b.venue == venue
    ])  # fmt: skip


class Desk:
    """Who hands the files in. ``form``: the format of settled statements, else each has one of its own."""

    def __init__(self, folder: Path, book: Book, form: str | None = None) -> None:
        self.folder, self.book, self.form = folder, book, form
        self.count = 0

    def file(self, text: str, ending: str = "csv") -> Path:
        self.count += 1
        path = self.folder / f"{self.count:03d}.{ending}"
        path.write_bytes(text.encode())
        return path

    async def hand_in(self, db: Any) -> None:
        """Hand in everything, each file in one of its formats."""
        book = self.book
        await tieout_reconcile.apply_registry(db, self.file(registry_of(book), "toml"))
        for stock in book.stocks:
            await self._state(db, stock)
            if stock.has_movements:
                await move(db, self, stock, self.book.dice.choice(MOVED))
        for orders, text, ending in (
            ([o for o in book.orders if not o.by_json], orders_csv, "csv"),
            ([o for o in book.orders if o.by_json], orders_json, "json"),
        ):
            if orders:
                await tieout_reconcile.import_orders(db, self.file(text(orders), ending))
        if book.trades:
            await tieout_reconcile.import_trades(db, self.file(trades_csv(book)))
        for action in book.actions:
            await declare(db, self, action, self.book.dice.choice(DECLARING))
        if book.readings:
            await tieout_reconcile.import_records(db, "chains", self.file(chains_csv(book)))
        if book.wrappers:
            await tieout_reconcile.import_records(db, "chains", self.file(wrappers_csv(book)))
        if book.loans:
            await tieout_reconcile.import_records(db, "loans", self.file(loans_csv(book)))
        if book.messages:
            await tieout_reconcile.import_records(db, "bridge", self.file(bridge_csv(book)))
        if book.payments:
            await tieout_reconcile.import_records(db, "payments", self.file(table(payments_csv(book))))
        for venue in book.venues:
            await tieout_reconcile.import_records(db, "venue", self.file(venue_csv(book, venue)))

    async def _state(self, db: Any, stock: Stock) -> None:
        stated = statement_of(self.book, stock)
        form = self.form or self.book.dice.choice(SETTLED)
        if not stated.held:
            # an empty statement would be a zero that is known: here nothing was stated
            return
        if stated.held and stated.held[0].parts and form == "csv":
            form = "mt535"
        await state(db, self, stated, form)


async def state(db: Any, desk: Desk, stated: Statement, form: str) -> tieout_reconcile.Imported:
    """Hand in a statement in a format, with what the format leaves open."""
    where, more = stated.place, dict[str, Any](custodian=stated.place.custodian)
    match form:
        case "csv":
            # it names custodian and account itself
            path, more = desk.file(to_csv(stated)), {}
        case "declared":
            path = desk.file(to_declared(stated))
            more["map_path"] = desk.file(DECLARED, "toml")
        case "mt535":
            path = desk.file(to_mt535(stated), "fin")
        case "semt002":
            path = desk.file(to_semt002(stated), "xml")
        case "alpaca":
            path = desk.file(to_alpaca(stated), "json")
            isins = "".join(f'T{h.isin} = "{h.isin}"\n' for h in stated.held)
            more |= {"map_path": desk.file(f"[isins]\n{isins}", "toml"), "account": where.account, "as_of": stated.at}
        case _:
            path = desk.file(to_flex(stated), "xml")
            declared = f'time_zone = "UTC"\ncut_off = "{stated.at:%H:%M:%S}"\n'
            more["map_path"] = desk.file(declared, "toml")
    return await tieout_reconcile.import_statement(db, path, **more)


async def move(db: Any, desk: Desk, stock: Stock, form: str) -> tieout_reconcile.Imported:
    """Hand in an account's movements from the book's first day to the cut-off; a message says its own period."""
    book, place = desk.book, stock.place
    start, legs = days.moment(book.start, 0), shown_legs(book, stock)
    if form == "csv" or any(leg.kind not in (TOLD if form == "flex" else POSTED) for leg in legs):
        period = tieout_reconcile.Period(start, book.cut_off, place.custodian, place.account)
        path = desk.file(movements_csv(legs))
    elif form == "flex":
        period = tieout_reconcile.Period(
            start, book.cut_off, place.custodian, place.account, "UTC", f"{book.cut_off:%H:%M:%S}"
        )
        path = desk.file(to_flex_activity(place, start, book.cut_off, legs), "xml")
    else:
        period = tieout_reconcile.Period(custodian=place.custodian, time_zone="UTC")
        write = to_mt536 if form == "mt536" else to_semt017
        path = desk.file(write(place, start, book.cut_off, legs), "txt")
    return await tieout_reconcile.import_records(db, "movements", path, declared=period)


async def declare(db: Any, desk: Desk, action: Declared, form: str) -> tieout_reconcile.Imported:
    """Hand in a corporate action; what a message cannot say, the ratio of a dividend's step, needs the CSV."""
    if form == "csv" or action.by_csv or action.kind not in EVENTS:
        return await tieout_reconcile.import_records(db, "actions", desk.file(actions_csv([action])))
    text = to_mt564(action) if form == "mt564" else to_seev031(action)
    return await tieout_reconcile.import_records(db, "actions", desk.file(text, "txt"))
