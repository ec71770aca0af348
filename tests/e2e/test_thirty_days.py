"""Thirty days on a chain, a report a day: each verifies offline, and repeats when statements are restated later."""

import asyncio
import hashlib
import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from fractions import Fraction
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

import tieout_reconcile
from support.chains import running_chain
from support.command import tieout
from tieout.day import Day, instant, registry_toml
from tieout.output import exact
from tieout_client import Issuer, connect
from tieout_database import connect as database_connection
from tieout_database import migrate
from tieout_indexer import backfill
from tieout_reconcile import export_report, import_orders, import_records, import_statement, reports, verify_report

pytestmark = pytest.mark.e2e
DAYS = 30
DAY_S = 86_400
SEED = 30
SHARE = 10**8
ISIN = "US0378331005"
SYMBOL = "AAPLx"
KEY = Ed25519PrivateKey.from_private_bytes(hashlib.sha256(b"the controller's key").digest())
TRUSTED = reports.signing.public_text(KEY)
WRONG_AT_FIRST = {4: 7, 11: 14, 12: 13, 25: 29}
"""Day whose statement is a share short → day on which the custodian restates it."""
ACTIONS = {
    9: ("dividend,0.5,USD", "1.0032690125398187", "1.0032690125398187"),
    20: ("split,,", "2", "2.0065380250796374"),
}
"""Day → kind, cash rate and currency as declared; the factor declared; the multiplier set."""


@dataclass(slots=True)
class Step:
    """One day as the back office had it: up to which slot, and the files that came, in order."""

    slot: int
    files: list[tuple[str, Path]] = field(default_factory=list)
    known: tuple[int, int] = (0, 0)


@dataclass(slots=True)
class History:
    """The month: the chain's side through the client, the custodian's by its own arithmetic."""

    url: str
    folder: Path
    day: Day
    held: Fraction = Fraction(0)
    mint: str = ""
    steps: list[Step] = field(default_factory=list)
    closes: dict[int, tuple[datetime, Fraction]] = field(default_factory=dict)
    factor: Fraction = Fraction(1)

    async def play(self) -> None:
        """Play all days; each leaves its slot and its files."""
        async with connect(self.url, self.day.signer("payer"), self.day.authorities()) as issuer:
            await issuer.airdrop(self.day.owner("payer"), 100_000_000_000)
            opened = instant(await issuer.rpc.call("getBlockTime", [0], int) - 60)
            await self._open(issuer)
            dice = random.Random(SEED)
            for number in range(1, DAYS + 1):
                await issuer.rpc.call("localnet_warp", [{"seconds": DAY_S}], dict)
                await self._day(issuer, number, dice, opened if number == 1 else None)

    async def _open(self, issuer: Issuer) -> None:
        made = await issuer.create_instrument(SYMBOL, "Apple xStock", "https://metadata.example/AAPLx.json")
        self.mint = made.mint
        for name in ("treasury", "redemption_wallet", "participant", "alice"):
            self.day.book.owners[name] = self.day.owner(name)
            await issuer.airdrop(self.day.owner(name), 10_000_000_000)
            await issuer.open_account(self.mint, self.day.owner(name))
        self.day.book.mints[SYMBOL] = self.mint
        await issuer.mint_to_treasury(self.mint, 100_000 * SHARE, "PRE-1")

    async def _day(self, issuer: Issuer, number: int, dice: random.Random, opened: datetime | None) -> None:
        orders, actions = [], []
        asked_at = instant(await issuer.rpc.call("getBlockTime", [await issuer.rpc.call("getSlot", [], int) - 3], int))
        if number in ACTIONS:
            kind, declared, multiplier = ACTIONS[number]
            done = await issuer.set_multiplier_now(self.mint, multiplier)
            self.held *= done.multiplier.value / self.factor
            self.factor = done.multiplier.value
            at = instant(await issuer.rpc.call("getBlockTime", [done.slot], int))
            sort, money = kind.split(",", 1)
            times = f"{asked_at.isoformat()},{at.isoformat()}"
            actions.append(f"ACT-{number},{ISIN},{sort},announced,{times},{declared},{money}")
        for request in range(dice.randrange(1, 4)):
            orders.append(await self._issue(issuer, f"REQ-{number}-{request}", dice.randrange(1, 50_000), asked_at))
        await issuer.transfer(self.mint, SHARE // 100, self.day.signer("participant"), self.day.owner("alice"))
        if number % 3 == 0:
            orders.append(await self._redeem(issuer, f"RED-{number}", asked_at))
        slot = await self._finalized(issuer)
        closed = instant(await issuer.rpc.call("getBlockTime", [slot], int))
        self.closes[number] = (closed, self.held)
        step = Step(slot)
        if opened is not None:
            step.files.append(("registry", self._file("registry.toml", registry_toml(self.day.book, opened))))
        head = "request_id,side,symbol,raw,status,wallet,signature,created_at,settled_at"
        lines = "\n".join([head, *(f"{line},{closed.isoformat()}" for line in orders)]) + "\n"
        step.files.append(("order", self._file(f"orders-{number}.csv", lines)))
        if actions:
            head = "action_id,isin,kind,status,announced_at,effective_at,factor,cash_rate,currency\n"
            step.files.append(("actions", self._file(f"actions-{number}.csv", head + "\n".join(actions) + "\n")))
        step.files.append(self._statement(number, short=number in WRONG_AT_FIRST))
        step.files += [self._statement(day, again=True) for day, told in WRONG_AT_FIRST.items() if told == number]
        self.steps.append(step)

    async def _issue(self, issuer: Issuer, request: str, cents: int, at: datetime) -> str:
        raw = cents * SHARE // 100
        done = await issuer.issue(self.mint, raw, self.day.owner("participant"), request)
        return self._ordered(request, "issue", raw, done.signature, at)

    async def _redeem(self, issuer: Issuer, request: str, at: datetime) -> str:
        done = await issuer.redeem(self.mint, SHARE, self.day.signer("participant"), request)
        await issuer.sweep(self.mint, SHARE, request)
        return self._ordered(request, "redeem", SHARE, done.signature, at)

    def _ordered(self, request: str, side: str, raw: int, signature: str, at: datetime) -> str:
        shares = Fraction(raw, SHARE) * self.factor
        self.held += shares if side == "issue" else -shares
        return f"{request},{side},{SYMBOL},{raw},completed,{self.day.owner('participant')},{signature},{at.isoformat()}"

    async def _finalized(self, issuer: Issuer) -> int:
        wanted: int = await issuer.rpc.call("getSlot", [{"commitment": "processed"}], int)
        while True:
            slot: int = await issuer.rpc.call("getSlot", [{"commitment": "finalized"}], int)
            if slot >= wanted:
                blocks: list[int] = await issuer.rpc.call(
                    "getBlocks", [wanted, slot, {"commitment": "finalized"}], list[int]
                )
                if blocks:
                    return int(blocks[0])
            await asyncio.sleep(0.05)

    def _statement(self, number: int, *, short: bool = False, again: bool = False) -> tuple[str, Path]:
        closed, held = self.closes[number]
        shares = Fraction(round((held - (1 if short else 0)) * 10**9), 10**9)
        text = f"custodian,account,isin,quantity,basis,as_of\ncustodian-a,OMNIBUS-1,{ISIN},{exact(shares)},settled,"
        name = f"positions-{number}{'-restated' if again else ''}.csv"
        return "statement", self._file(name, f"{text}{closed.isoformat()}\n")

    def _file(self, name: str, text: str) -> Path:
        path = self.folder / name
        path.write_text(text, "utf-8")
        return path

    async def take_in(self, dsn: str, number: int) -> None:
        """Index a day and take its files in, as they came."""
        step = self.steps[number - 1]
        first = self.steps[number - 2].slot + 1 if number > 1 else 0
        done = await backfill([self.url], dsn, [self.mint], first, step.slot)
        assert done.complete
        for kind, path in step.files:
            match kind:
                case "registry":
                    await tieout_reconcile.apply_registry(dsn, path)
                case "order":
                    await import_orders(dsn, path)
                case "statement":
                    await import_statement(dsn, path)
                case _:
                    await import_records(dsn, kind, path)


@pytest.fixture(scope="module")
def history(tmp_path_factory: pytest.TempPathFactory) -> Iterator[History]:
    folder = tmp_path_factory.mktemp("month")
    with running_chain("embedded", folder) as url:
        month = History(url, folder, Day(SEED, lambda text: None))
        asyncio.run(month.play())
        yield month


async def test_every_days_report_verifies_offline_and_repeats_after_restatements_in_a_fresh_database(
    history: History, dsn: str, empty_dsn: str, tmp_path: Path
) -> None:
    made: list[bytes] = []
    verdicts = {}
    for number, step in enumerate(history.steps, 1):
        await history.take_in(dsn, number)
        run = await tieout_reconcile.run(dsn, step.slot)
        step.known = (run.inputs.known_batch, run.inputs.known_load)
        verdicts[number] = (str(run.verdict), sorted({f.code for f in run.breaks}))
        made.append((await export_report(dsn, run.run, KEY)).data)
        path = tmp_path / f"day-{number}.tieout"
        path.write_bytes(made[-1])
        previous = tmp_path / f"day-{number - 1}.tieout" if number > 1 else None
        assert verify_report(path, TRUSTED, previous).holds, number
        unknown = verify_report(path)
        assert [check.name for check in unknown.checks if not check.holds] == ["origin"]
    short = ("does_not_tie_out", ["B1"])
    assert verdicts == {n: short if n in WRONG_AT_FIRST else ("ties_out", []) for n in range(1, DAYS + 1)}

    for number in WRONG_AT_FIRST:
        step = history.steps[number - 1]
        assert (await tieout_reconcile.run(dsn, step.slot, keep=False)).clean, "the restatement mended that day"
        assert (await again(dsn, step)) == made[number - 1]

    connection = await database_connection(empty_dsn)
    await migrate(connection)
    await connection.close()
    for number in range(1, DAYS + 1):
        await history.take_in(empty_dsn, number)
    assert [await again(empty_dsn, step) for step in history.steps] == made

    last = tmp_path / f"day-{DAYS}.tieout"
    assert (await tieout("report", "verify", str(last))).code == 1
    assert (await tieout("report", "verify", str(last), "--trust", TRUSTED)).code == 0


async def again(dsn: str, step: Step) -> bytes:
    """The report of a day with what was known on it, computed now."""
    batch, load = step.known
    run = await tieout_reconcile.run(dsn, step.slot, known_batch=batch, known_load=load)
    return (await export_report(dsn, run.run, KEY)).data
