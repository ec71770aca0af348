"""The stage of a story: one instrument on a real local chain, its indexer and database, its back office's files.

Every step is told with the chain's own time. Papers are dated by the chain's clock, which each story begins on a
Monday morning, so that business days fall the same whenever it is played.
"""

import asyncio
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tieout.cast import Cast
from tieout.day import instant
from tieout.papers import csv_text, stated, toml_table
from tieout.scenarios.telling import Fact, Line, Moment, Telling

if TYPE_CHECKING:
    from tieout_client import Issuer
    from tieout_reconcile import Run

ONE = 10**8
SYMBOL = "AAPLx"
ISIN = "US0378331005"
CUSTODIAN, ACCOUNT = "custodian-a", "COLLATERAL-1"
_LAMPORTS = 100_000_000_000
_FINAL_WAIT_S = 30.0
_BEFORE = timedelta(minutes=1)
_POSITIONS = ("custodian", "account", "isin", "quantity", "basis", "as_of")
_ORDERS = ("request_id", "side", "symbol", "raw", "status", "wallet", "signature", "created_at", "settled_at")
_MOVEMENTS = ("custodian", "account", "isin", "quantity", "kind", "reference", "request_id", "settled_at")


@dataclass(frozen=True, slots=True)
class Step:
    """One thing that happened: the chain's time, and what it was."""

    at: datetime
    text: str

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return {"at": self.at.isoformat(), "text": self.text}


@dataclass(frozen=True, slots=True)
class Asked:
    """An order as the desk took it in."""

    request_id: str
    side: str
    raw: int
    wallet: str
    created_at: datetime
    signature: str | None = None


@dataclass(slots=True)
class Heard:
    """What came of the story so far; ``say`` and ``show`` are told of each step and of each run as it happens."""

    say: Callable[[Step], None]
    show: Callable[["Run", Moment], None]
    steps: list[Step] = field(default_factory=list)
    moments: list[Moment] = field(default_factory=list)
    facts: list[Fact] = field(default_factory=list)

    @property
    def telling(self) -> Telling:
        """In the form in which it is told beforehand."""
        return Telling(tuple(self.moments), tuple(self.facts))


class Stuck(Exception):
    """A story could not be played on: what it waited for did not come."""


class Stage(Cast):
    """Plays for one story. ``issuer`` is a connection to the chain that pays from the key ``payer``."""

    def __init__(self, seed: int, url: str, dsn: str, folder: Path, heard: Heard) -> None:
        super().__init__(seed)
        self.url, self.dsn, self.folder, self.heard = url, dsn, folder, heard
        self.mint = ""
        self.opened_at = self.closed_at = instant(0)
        self.from_slot = self.slot = 0
        self.orders: dict[str, Asked] = {}
        self.named: dict[str, str] = {}
        """Signature → what the story calls the transaction."""
        self._settled: dict[str, datetime] = {}
        self._issuer: Issuer | None = None
        self._files = 0

    @property
    def issuer(self) -> "Issuer":
        """The issuer's hand on the chain."""
        assert self._issuer is not None, "the stage is not open"
        return self._issuer

    async def enter(self, issuer: "Issuer") -> None:
        """Begin: Monday 14:30 UTC, and fees for everybody."""
        self._issuer = issuer
        now = await self.now()
        monday = (now + timedelta(days=7 - now.weekday())).replace(hour=14, minute=30, second=0, microsecond=0)
        await self.rpc("localnet_setClock", {"unixTimestamp": int(monday.timestamp())})
        await issuer.airdrop(self.owner("payer"), _LAMPORTS)
        self.opened_at = await self.now()
        self.from_slot = await self.rpc("getSlot", {"commitment": "finalized"})

    # --- the chain

    async def rpc(self, method: str, *params: Any) -> Any:
        """Ask the node."""
        return await self.issuer.rpc.call(method, list(params))

    async def now(self) -> datetime:
        """The chain's time."""
        return instant((await self.rpc("localnet_info"))["unixTimestamp"])

    async def tell(self, text: str) -> None:
        """Tell a step."""
        step = Step(await self.now(), text)
        self.heard.steps.append(step)
        self.heard.say(step)

    async def wait(self, **much: float) -> None:
        """Let time pass on the chain (``days``, ``hours`` …)."""
        await self.rpc("localnet_warp", {"seconds": int(timedelta(**much).total_seconds())})

    async def list_instrument(self, shares: int, *, multiplier: str = "1", **registry: Any) -> None:
        """Make the instrument, mint ``shares`` into the treasury, register it; ``registry`` as in ``register``."""
        made = await self.issuer.create_instrument(
            SYMBOL, "Apple xStock", "https://metadata.example/AAPLx.json", multiplier=multiplier,
            mint=self.signer("mint"),
        )  # fmt: skip
        self.mint = made.mint
        if shares:
            await self.issuer.mint_to_treasury(self.mint, shares * ONE, "PRE-1")
        await self.tell(f"{SYMBOL} is created as xStocks is; {shares:,} shares are minted into the treasury")
        await self.register(**registry)

    async def release(self, request: str, shares: Fraction | int, to: str, *, of: Fraction | int | None = None) -> str:
        """Release tokens against an order (of ``of`` shares, unless it is the same); returns the signature."""
        self.ask(request, shares if of is None else of, to, await self.now())
        done = await self.issuer.issue(self.mint, _raw(shares), self.owner(to), request)
        await self.tell(f"{request}: {_text(shares)} tokens are released from the treasury to {to}")
        return done.signature

    def ask(self, request: str, shares: Fraction | int, to: str, at: datetime) -> None:
        """Note an issue order in the desk's book; one that stands there stays."""
        self.orders.setdefault(request, Asked(request, "issue", _raw(shares), self.owner(to), at))

    async def give_back(self, request: str, shares: Fraction | int, holder: str) -> str:
        """Return tokens to the redemption wallet for a redemption order; returns the signature."""
        at = await self.now()
        done = await self.issuer.redeem(self.mint, _raw(shares), self.signer(holder), request)
        self.orders[request] = Asked(request, "redeem", _raw(shares), self.owner(holder), at)
        await self.tell(f"{request}: {holder} sends {_text(shares)} tokens to the redemption wallet")
        return done.signature

    async def pay(self, shares: Fraction | int, holder: str, to: str, memo: str | None = None) -> str:
        """Move tokens between holders; returns the signature."""
        done = await self.issuer.transfer(self.mint, _raw(shares), self.signer(holder), self.owner(to), memo=memo)
        await self.tell(f"{holder} sends {_text(shares)} tokens to {to}")
        return done.signature

    def name(self, signature: str, what: str) -> None:
        """Call a transaction by a name: findings about it are told under that."""
        self.named[signature] = what

    # --- the back office

    async def register(
        self, wallets: Sequence[tuple[str, str]] = (), venues: Sequence[str] = (), more_wallets: Any = None,
        **instrument: Any,
    ) -> None:  # fmt: skip
        """Apply the registry: treasury, redemption wallet and ``wallets`` (name, role).

        ``instrument`` adds to the instrument's entry; ``more_wallets``: name → further keys of its entry.
        """
        from tieout_reconcile import apply_registry

        listed = {"symbol": SYMBOL, "mint": self.mint, "isin": ISIN, "decimals": 8, **instrument}
        text = toml_table("instruments", listed)
        for owner, role in (("treasury", "treasury"), ("redemption_wallet", "redemption"), *wallets):
            entry = {"owner": self.owner(owner), "role": role, "valid_from": self.opened_at, "source": "wallet list"}
            text += toml_table("wallets", {**entry, **(more_wallets or {}).get(owner, {})})
        text += toml_table("custodians", {"id": CUSTODIAN, "name": "Custodian A", "quantum": "0.000000001"})
        text += toml_table("custodians.accounts", {"id": ACCOUNT})
        for venue in venues:
            text += toml_table("venues", {"id": venue, "name": venue})
        await apply_registry(self.dsn, await self._file("registry.toml", text))

    async def desk(self, *, pending: Sequence[str] = ()) -> None:
        """Import the desk's orders: each completed as of the first close at which it is not ``pending``."""
        from tieout_reconcile import import_orders

        for request in self.orders.keys() - set(pending):
            self._settled.setdefault(request, max(self.closed_at, self.orders[request].created_at))
        rows = [
            (o.request_id, o.side, SYMBOL, o.raw, "completed" if o.request_id in self._settled else "pending",
             o.wallet, o.signature, o.created_at, self._settled.get(o.request_id))
            for o in self.orders.values()
        ]  # fmt: skip
        await import_orders(self.dsn, await self._file("orders.csv", csv_text(_ORDERS, rows)))
        left = f", {', '.join(pending)} pending" if pending else ""
        await self.tell(f"the desk's file says: {len(rows)} order{'' if len(rows) == 1 else 's'}{left}")

    async def statement(self, shares: Fraction | int | str, *, as_of: datetime | None = None) -> None:
        """Import the custodian's settled position (as of the close)."""
        from tieout_reconcile import import_statement

        held = stated(Fraction(shares))
        row = (CUSTODIAN, ACCOUNT, ISIN, held, "settled", as_of or self.closed_at)
        await import_statement(self.dsn, await self._file("positions.csv", csv_text(_POSITIONS, [row])))
        await self.tell(f"the custodian's statement says: {_text(held)} shares settled")

    async def movements(self, *rows: tuple[Fraction | int, str, str, str, datetime]) -> None:
        """Import custody movements (shares, kind, reference, request, settled): all that there were, they say."""
        from tieout_reconcile import Period, import_records

        path = await self._file(
            "movements.csv", csv_text(_MOVEMENTS, [(CUSTODIAN, ACCOUNT, ISIN, *row) for row in rows])
        )
        await import_records(self.dsn, "movements", path, declared=Period(self.opened_at - _BEFORE, self.closed_at))
        for shares, kind, reference, request, _ in rows:
            await self.tell(
                f"custody's movements so far: {reference}, a {kind} of {_text(shares)} shares for {request}"
            )

    async def records(self, kind: str, *rows: dict[str, Any]) -> None:
        """Import a file of actions, chains, bridge messages or a venue's ledger."""
        from tieout_reconcile import import_records

        text = csv_text([*rows[0]], [[*row.values()] for row in rows])
        await import_records(self.dsn, kind, await self._file(f"{kind}.csv", text))

    async def _file(self, name: str, text: str) -> Path:
        self._files += 1
        path = self.folder / f"{self._files:02}-{name}"
        await asyncio.to_thread(path.write_text, text, "utf-8")
        return path

    # --- the ledger and the reckoning

    async def close(self) -> None:
        """Wait until all that happened is final, and index up to there: papers are dated by its block time."""
        from tieout_indexer import backfill

        self.slot = await self.final()
        done = await backfill([self.url], self.dsn, [self.mint], self.from_slot, self.slot)
        if not done.complete:
            raise Stuck(f"the indexer did not prove slots {self.from_slot} to {self.slot}: {done}")
        await self.closed()

    async def closed(self) -> None:
        """Note the block time of ``slot``, the close."""
        self.closed_at = instant(await self.rpc("getBlockTime", self.slot))

    async def final(self) -> int:
        """A finalized slot with a block, not before anything that has happened so far."""
        wanted: int = await self.rpc("getSlot", {"commitment": "processed"})
        async with asyncio.timeout(_FINAL_WAIT_S):
            while True:
                blocks: list[int] = await self.rpc("getBlocks", wanted, wanted + 100, {"commitment": "finalized"})
                if blocks:
                    return blocks[0]
                await asyncio.sleep(0.03)

    async def reconcile(self, name: str, **known: Any) -> "Run":
        """Reconcile as of the close: one moment of the story."""
        from tieout_reconcile import run

        done = await run(self.dsn, self.slot, **known)
        moment = Moment(name, str(done.verdict), tuple(self._line(f) for f in done.findings))
        self.heard.moments.append(moment)
        await self.tell(f"reconciled: {name}")
        self.heard.show(done, moment)
        return done

    def _line(self, finding: Any) -> Line:
        unit = "raw" if finding.shares is None and finding.raw is not None else "shares"
        quantity = finding.shares if unit == "shares" else Fraction(finding.raw)
        named, message = self.named.get(finding.signature or ""), finding.details.get("message_id")
        reference = named or finding.request_id or message or finding.signature or finding.symbol
        return Line(finding.code, quantity, reference, unit, notice=not finding.is_break)

    def fact(self, what: str, value: str | int | bool) -> None:
        """Something found beside the reconciliation."""
        self.heard.facts.append(Fact(what, value))

    async def query(self, sql: str, *values: Any, dsn: str | None = None) -> list[dict[str, Any]]:
        """Rows of one query of the story's database, or of another one."""
        from tieout_database import connect

        connection = await connect(dsn or self.dsn)
        try:
            return [dict(row) for row in await connection.fetch(sql, *values)]
        finally:
            await connection.close()


async def command(*arguments: str, log: Path, environment: dict[str, str]) -> asyncio.subprocess.Process:
    """Start a tieout command as a process of its own, what it says going to a file."""
    with log.open("ab") as out:
        return await asyncio.create_subprocess_exec(
            sys.executable, "-m", "tieout", *arguments,
            stdin=asyncio.subprocess.DEVNULL, stdout=out, stderr=out, env=environment,
            start_new_session=True,
        )  # fmt: skip


async def killed(process: asyncio.subprocess.Process) -> None:
    """SIGKILL a process, wherever it is, and wait for its end."""
    with suppress(ProcessLookupError):
        process.kill()
    await process.wait()


def _raw(shares: Fraction | int) -> int:
    raw = Fraction(shares) * ONE
    if raw.denominator != 1:
        raise ValueError(f"{shares} is no whole number of raw units")
    return raw.numerator


def _text(shares: Fraction | int) -> str:
    return f"{float(Fraction(shares)):,.10g}"
