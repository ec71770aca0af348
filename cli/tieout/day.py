"""A tokenized stock's day, played on a chain: mints against orders, sales, redemptions, a dividend,
a split, a freeze and seizure, a pause; some transactions fail on purpose.

The custodian's book is kept beside the chain by its own arithmetic, order by order, so that
reconciliation compares two independent records. Everything but the signatures follows the seed.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tieout.cast import ISSUER_ROLES, Cast
from tieout.papers import csv_text, stated, toml_table

if TYPE_CHECKING:
    from tieout_client import Issuer

Say = Callable[[str], None]

_SHARE = 10**8
_DIVIDEND = "1.0032690125398187"
_SPLIT = 10
_LAMPORTS = 10_000_000_000
_PEOPLE = ("participant", "alice", "bob", "venue", "thief")
_LISTED = {
    "AAPLx": ("Apple xStock", "US0378331005"),
    "TSLAx": ("Tesla xStock", "US88160R1014"),
}


@dataclass(frozen=True, slots=True)
class DayOrder:
    """An order as the desk keeps it, in shares."""

    request_id: str
    side: str
    symbol: str
    shares: Fraction
    wallet: str
    signature: str


@dataclass(slots=True)
class DayBook:
    """What the issuer's back office knows at the end of the day."""

    mints: dict[str, str] = field(default_factory=dict)
    owners: dict[str, str] = field(default_factory=dict)
    orders: list[DayOrder] = field(default_factory=list)
    custody: dict[str, Fraction] = field(default_factory=dict)
    failed: list[tuple[str, str]] = field(default_factory=list)
    """(what was tried, signature) of transactions that landed and failed"""
    slot: int = 0

    def book(self, order: DayOrder) -> None:
        """Book an order's share journal: shares come in for an issue, go out for a redemption."""
        self.orders.append(order)
        signed = order.shares if order.side == "issue" else -order.shares
        self.custody[order.symbol] = self.custody.get(order.symbol, Fraction(0)) + signed


class Day(Cast):
    """Plays the day over an ``Issuer`` connection that can fund accounts (a local chain)."""

    def __init__(self, seed: int, say: Say) -> None:
        super().__init__(seed)
        self._say = say
        self.book = DayBook()

    async def play(self, issuer: "Issuer") -> DayBook:
        """Play the whole day. Raises ClientError and RpcError."""
        book = self.book
        await self._open(issuer)
        await self._issue(issuer)
        await self._trade(issuer)
        await self._redeem(issuer)
        await self._corporate_actions(issuer)
        await self._seize(issuer)
        await self._pause(issuer)
        book.slot = (await self._move(issuer, "AAPLx", 2 * _SHARE, "venue", "bob")).slot
        return book

    async def _open(self, issuer: "Issuer") -> None:
        self._say("opening: two instruments with the live xStocks configuration")
        for name in ("payer", *ISSUER_ROLES, *_PEOPLE):
            await issuer.airdrop(self.owner(name), _LAMPORTS)
            self.book.owners[name] = self.owner(name)
        for symbol, (name, _) in _LISTED.items():
            uri = f"https://metadata.example/{symbol}.json"
            made = await issuer.create_instrument(symbol, name, uri, mint=self.signer(f"mint {symbol}"))
            self.book.mints[symbol] = made.mint
            for holder in ("treasury", "redemption_wallet", *_PEOPLE):
                await issuer.open_account(made.mint, self.owner(holder))

    async def _issue(self, issuer: "Issuer") -> None:
        self._say("primary market: pre-minted into the treasury, released against orders")
        for symbol, shares in (("AAPLx", 10_000), ("TSLAx", 5_000)):
            await issuer.mint_to_treasury(self.book.mints[symbol], shares * _SHARE, f"PRE-{symbol}")
        orders = [("AAPLx", Fraction("250.5"), "participant"), ("TSLAx", Fraction(300), "participant")]
        orders.append(("AAPLx", Fraction("74.25"), "venue"))
        for _ in range(3):
            wanted = Fraction(self._random.randrange(1, 4_000), 100)
            orders.append((self._random.choice(["AAPLx", "TSLAx"]), wanted, "participant"))
        for number, (symbol, wanted, to) in enumerate(orders, 1):
            await self._release(issuer, f"REQ-{number:04}", symbol, wanted, to)

    async def _release(self, issuer: "Issuer", request: str, symbol: str, shares: Fraction, to: str) -> None:
        raw = int(shares * _SHARE)
        done = await issuer.issue(self.book.mints[symbol], raw, self.owner(to), request)
        self.book.book(DayOrder(request, "issue", symbol, shares, self.owner(to), done.signature))

    async def _move(self, issuer: "Issuer", symbol: str, raw: int, source: str, destination: str, **more: Any) -> Any:
        mint = self.book.mints[symbol]
        return await issuer.transfer(mint, raw, self.signer(source), self.owner(destination), **more)

    async def _trade(self, issuer: "Issuer") -> None:
        self._say("secondary market: sales, dust, an overdraw that fails on chain")
        await self._move(issuer, "AAPLx", 60 * _SHARE, "participant", "alice", memo="invoice 17")
        await self._move(issuer, "AAPLx", 90 * _SHARE, "participant", "venue")
        await self._move(issuer, "TSLAx", 45 * _SHARE, "participant", "bob")
        await self._move(issuer, "AAPLx", 1, "alice", "bob")
        await self._move(issuer, "AAPLx", 0, "alice", "bob")
        for _ in range(6):
            source, destination = self._random.sample(["alice", "venue", "participant"], 2)
            await self._move(issuer, "AAPLx", self._random.randrange(1, 5 * _SHARE), source, destination)
        await self._fails(issuer, "overdraw", lambda i: self._move(i, "AAPLx", 10**6 * _SHARE, "alice", "bob"))

    async def _fails(self, issuer: "Issuer", what: str, act: Callable[["Issuer"], Any]) -> None:
        """Send something that must fail, past the preflight: it lands on chain, and moves nothing."""
        from tieout_client import LAND_FAILURES

        done = await act(issuer.using(options=LAND_FAILURES))
        if done.succeeded:
            raise AssertionError(f"{what} was expected to fail on chain, and succeeded: {done.signature}")
        self.book.failed.append((what, done.signature))

    async def _redeem(self, issuer: "Issuer") -> None:
        self._say("redemption: holder → redemption wallet → treasury; part of it burned")
        for number, (symbol, shares) in enumerate([("AAPLx", Fraction(25)), ("TSLAx", Fraction(7, 2))], 1):
            mint, raw, request = self.book.mints[symbol], int(shares * _SHARE), f"RED-{number:04}"
            done = await issuer.redeem(mint, raw, self.signer("participant"), request)
            await issuer.sweep(mint, raw, request)
            self.book.book(DayOrder(request, "redeem", symbol, shares, self.owner("participant"), done.signature))
        await issuer.burn(self.book.mints["AAPLx"], 100 * _SHARE, "BURN-0001")

    async def _corporate_actions(self, issuer: "Issuer") -> None:
        self._say(f"corporate actions: a dividend (AAPLx × {_DIVIDEND}), a split (TSLAx {_SPLIT}:1)")
        dividend = await issuer.set_multiplier_now(self.book.mints["AAPLx"], _DIVIDEND)
        split = await issuer.set_multiplier_now(self.book.mints["TSLAx"], f"{_SPLIT}/1")
        # The custodian reinvests the dividend and splits its shares: its book moves by the same factor.
        for symbol, done in (("AAPLx", dividend), ("TSLAx", split)):
            self.book.custody[symbol] *= done.multiplier.value
        await self._fails(
            issuer,
            "multiplier by a key that may not",
            lambda i: i.using(authorities=self._wrong("multiplier_authority")).set_multiplier_now(
                self.book.mints["AAPLx"], "2/1"
            ),
        )

    def _wrong(self, role: str) -> Any:
        from dataclasses import replace

        return replace(self.authorities(), **{role: self.signer("thief")})

    async def _seize(self, issuer: "Issuer") -> None:
        self._say("compliance: freeze, a frozen account that tries to pay, seizure in one transaction")
        mint = self.book.mints["AAPLx"]
        await self._move(issuer, "AAPLx", 12 * _SHARE, "venue", "thief")
        account = issuer.account_address(mint, self.owner("thief"))
        await issuer.freeze(mint, account)
        await self._fails(issuer, "frozen account pays", lambda i: self._move(i, "AAPLx", _SHARE, "thief", "bob"))
        await issuer.seize(mint, account, 12 * _SHARE, "CASE-2026-117")

    async def _pause(self, issuer: "Issuer") -> None:
        self._say("operations: pause, a transfer while paused, resume")
        mint = self.book.mints["TSLAx"]
        await issuer.pause(mint)
        await self._fails(issuer, "transfer while paused", lambda i: self._move(i, "TSLAx", _SHARE, "bob", "alice"))
        await issuer.resume(mint)

    async def break_things(self, issuer: "Issuer") -> dict[str, str]:
        """Do what reconciliation must catch. Returns what it was → signature."""
        self._say("then: a release without an order, a mint straight to an outsider")
        ghost = await issuer.issue(
            self.book.mints["AAPLx"], int(Fraction("17.5") * _SHARE), self.owner("bob"), "GHOST-1"
        )
        outside = await issuer.mint_to(self.book.mints["TSLAx"], 3 * _SHARE, self.owner("thief"), "GHOST-2")
        self.book.slot = max(ghost.slot, outside.slot)
        return {"release without an order": ghost.signature, "mint to an outsider": outside.signature}


def registry_toml(book: DayBook, valid_from: datetime) -> str:
    """The registry of the day."""
    text = ""
    for symbol, mint in book.mints.items():
        name, isin = _LISTED[symbol]
        listed = {"symbol": symbol, "mint": mint, "isin": isin, "decimals": 8, "name": name}
        text += toml_table("instruments", listed)
    for owner, role in (("treasury", "treasury"), ("redemption_wallet", "redemption")):
        source = "the key ceremony of this chain"
        wallet = {"owner": book.owners[owner], "role": role, "valid_from": valid_from, "source": source}
        wallet |= {"holder": "the issuer", "evidence": "minutes of the key ceremony", "proven_at": valid_from}
        text += toml_table("wallets", wallet)
    text += toml_table("custodians", {"id": "custodian-a", "name": "Custodian A", "quantum": "0.000000001"})
    return text + toml_table("custodians.accounts", {"id": "OMNIBUS-1"})


def orders_csv(book: DayBook, created_at: datetime, settled_at: datetime) -> str:
    """The desk's orders of the day, all completed."""
    columns = ("request_id", "side", "symbol", "quantity", "status", "wallet", "created_at", "settled_at")
    return csv_text(columns, (
        (o.request_id, o.side, o.symbol, o.shares, "completed", o.wallet, created_at, settled_at) for o in book.orders
    ))  # fmt: skip


def actions_csv(book: DayBook, announced_at: datetime, effective_at: datetime) -> str:
    """The day's corporate actions, declared before they took effect."""
    columns = (
        "action_id", "isin", "kind", "status", "announced_at", "effective_at", "factor", "cash_rate", "currency",
    )  # fmt: skip
    declared = (
        ("DIV-1", "AAPLx", "dividend", _DIVIDEND, "0.50", "USD"),
        ("SPLIT-1", "TSLAx", "split", f"{_SPLIT}/1", None, None),
    )
    return csv_text(columns, (
        (action, _LISTED[symbol][1], kind, "announced", announced_at, effective_at, *rest)
        for action, symbol, kind, *rest in declared
    ))  # fmt: skip


def positions_csv(book: DayBook, as_of: datetime, short: dict[str, Fraction] | None = None) -> str:
    """The custodian's settled positions, in billionths of a share; ``short`` takes shares away."""
    columns = ("custodian", "account", "isin", "quantity", "basis", "as_of")
    rows = (
        (_LISTED[symbol][1], stated(shares - (short or {}).get(symbol, Fraction(0))))
        for symbol, shares in book.custody.items()
    )
    return csv_text(columns, (("custodian-a", "OMNIBUS-1", *row, "settled", as_of) for row in rows))


def write_files(
    book: DayBook, directory: Path, opened_at: datetime, closed_at: datetime, short: dict[str, Fraction] | None = None
) -> tuple[Path, Path, Path, Path]:
    """Write registry, orders, positions and corporate actions of the day. Returns their paths."""
    directory.mkdir(parents=True, exist_ok=True)
    suffix = "-short" if short else ""
    paths = (
        directory / "registry.toml", directory / f"orders{suffix}.csv", directory / f"positions{suffix}.csv",
        directory / f"actions{suffix}.csv",
    )  # fmt: skip
    texts = (
        registry_toml(book, opened_at),
        orders_csv(book, opened_at, closed_at),
        positions_csv(book, closed_at, short),
        actions_csv(book, opened_at, closed_at),
    )
    for path, text in zip(paths, texts, strict=True):
        path.write_text(text, "utf-8")
    return paths


def instant(seconds: int) -> datetime:
    """A chain's unix time as an instant."""
    return datetime.fromtimestamp(seconds, UTC)
