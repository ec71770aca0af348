"""Taking files in: registry, statements, orders. A file is taken whole or not at all, and once."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from tieout_reconcile import redating, store
from tieout_reconcile.calendars import last_day_begun
from tieout_reconcile.canonical import canonical_bytes
from tieout_reconcile.corporate import CorporateAction
from tieout_reconcile.errors import BadInput, NoRegistry
from tieout_reconcile.files import InputFile, Problems, read_file, shown
from tieout_reconcile.formats import parse_order_file, parse_statement
from tieout_reconcile.formats.declared import StatementMap, parse_map
from tieout_reconcile.formats.events import parse_trade_file
from tieout_reconcile.formats.ruled import stored_form
from tieout_reconcile.inputs import KINDS
from tieout_reconcile.movements import Period, Span
from tieout_reconcile.orders import Order
from tieout_reconcile.payments import Payment
from tieout_reconcile.prices import Price
from tieout_reconcile.registry import Change, Registry, compare, instant_text
from tieout_reconcile.registry_csv import read_registry_file
from tieout_reconcile.registry_file import parse_registry
from tieout_reconcile.registry_rows import insert_registry, registry_at
from tieout_reconcile.store import INPUTS_SQL, SQL, Database
from tieout_reconcile.trades import Trade
from tieout_reconcile.working import claim_load, sign_load

_LATEST = 2**62


@dataclass(frozen=True, slots=True)
class Plan:
    """What applying a registry file would change; ``load`` is the one it was applied under, None before that."""

    path: str
    content_sha256: str
    changes: tuple[Change, ...]
    load: int | None = None

    def to_json(self) -> dict[str, Any]:
        """Return plain values."""
        changes = [change.to_json() for change in self.changes]
        return {"path": self.path, "content_sha256": self.content_sha256, "changes": changes, "load": self.load}


@dataclass(frozen=True, slots=True)
class Imported:
    """The outcome of an import. ``new`` is False for a file that was taken before, under the same ``load``.

    ``rows`` counts what the file holds, ``stored`` what of it was new.
    """

    path: str
    kind: str
    sha256: str
    load: int
    new: bool
    rows: int
    stored: int
    format: str | None = None

    def to_json(self) -> dict[str, Any]:
        """Return plain values."""
        return {name: getattr(self, name) for name in self.__slots__}


async def plan_registry(database: Database, path: Path | str) -> Plan:
    """Return what a registry file, or a folder of CSV files, would change. Raises BadInput; stores nothing."""
    file = read_registry_file(path)
    registry = parse_registry(file)
    async with store.session(database) as db:
        known = await registry_at(db, _LATEST)
    return Plan(file.name, registry.content_sha256.hex(), compare(known[1] if known else None, registry))


async def apply_registry(database: Database, path: Path | str, *, key: Ed25519PrivateKey | None = None) -> Plan:
    """Apply a registry file, or a folder of CSV files, and return what changed; the same content stores nothing.

    ``key`` is the personal key of who hands it in. Raises BadInput, NotAllowed.
    """
    file = read_registry_file(path)
    registry = parse_registry(file)
    digest = registry.content_sha256
    async with store.session(database) as db, db.transaction():
        await db.execute(SQL["lock_loads"])
        known = await registry_at(db, _LATEST)
        if known is not None and known[1].content_sha256 == digest:
            if key is not None:
                await claim_load(db, known[0], file.sha256, key)
            return Plan(file.name, digest.hex(), (), known[0])
        load = await store.new_load(db, "registry", file, digest, registry.entries)
        await insert_registry(db, load, registry)
        if key is not None:
            await sign_load(db, load, file.sha256, key)
    return Plan(file.name, digest.hex(), compare(known[1] if known else None, registry), load)


async def show_registry(database: Database) -> Registry:
    """Return the registry in force. Raises NoRegistry."""
    async with store.session(database) as db:
        return await _registry(db)


async def _registry(db: Any) -> Registry:
    known = await registry_at(db, _LATEST)
    if known is None:
        raise NoRegistry("no registry is applied yet: tieout registry apply FILE")
    return known[1]


async def import_statement(
    database: Database,
    path: Path | str,
    *,
    file_format: str | None = None,
    map_path: Path | str | None = None,
    custodian: str | None = None,
    account: str | None = None,
    as_of: datetime | None = None,
    correct: bool = False,
    key: Ed25519PrivateKey | None = None,
) -> Imported:
    """Take a custodian's positions, in the format named or the one that the content shows.

    ``map_path`` is a TOML file that declares what the format leaves open; ``custodian``, ``account`` and
    ``as_of`` (with its zone) go before it. ``key`` is the personal key of who hands it in. A file has one date:
    the same bytes under another for the same account are refused, unless ``correct`` says, under a ``key``, that
    the earlier date was wrong; what was said under it then no longer stands. Raises BadInput, NoRegistry,
    NotAllowed.
    """
    file = read_file(path)
    given = StatementMap() if map_path is None else parse_map(read_file(map_path))
    said = {"format": file_format, "custodian": custodian, "account": account, "as_of": instant_text(as_of)}
    declared, content = _declaration(file, said, given)
    async with store.session(database) as db, db.transaction():
        await db.execute(SQL["lock_loads"])
        earlier = await store.file_load(db, "statement", content)
        if earlier is not None and not await db.fetchval(SQL["is_corrected"], earlier):
            return await _taken_before(db, file, "statement", earlier, key)
        form, positions = parse_statement(
            file, await _registry(db), given, given.declared(custodian, account, as_of), file_format
        )
        corrected = await redating.dated_otherwise(db, file, positions, correct=correct, signed=key is not None)
        if not corrected and earlier is not None:
            return await _taken_before(db, file, "statement", earlier, key)
        if corrected:
            # the earlier load has the plain identity already where a date is taken back to what it was
            declared, other = _declaration(file, said, given, corrected)
            content = content if earlier is None else other
        load = await store.new_load(db, "statement", file, content, len(positions), stored_form(form), declared)
        await store.insert_positions(db, load, positions)
        await redating.insert_corrections(db, load, corrected, positions)
        await store.insert_saying(db, load, "statement", positions)
        if key is not None:
            await sign_load(db, load, file.sha256, key)
    return Imported(file.name, "statement", file.sha256.hex(), load, True, len(positions), len(positions), form)


def _declaration(
    file: InputFile, said: dict[str, str | None], given: StatementMap, corrects: Sequence[int] = ()
) -> tuple[str | None, bytes]:
    """Return what was declared as canonical JSON, None for nothing, and the digest of file and declaration."""
    plain: dict[str, Any] = {name: value for name, value in said.items() if value is not None}
    if corrects:
        plain["corrects"] = list(corrects)
    if given != StatementMap():
        plain["map"] = given.to_json()
    return _plain_declaration(file, plain)


def _plain_declaration(file: InputFile, plain: dict[str, Any]) -> tuple[str | None, bytes]:
    if not plain:
        return None, file.sha256
    text = canonical_bytes(plain)
    return text.decode(), hashlib.sha256(file.sha256 + text).digest()


async def import_orders(
    database: Database, path: Path | str, *, file_format: str | None = None, key: Ed25519PrivateKey | None = None
) -> Imported:
    """Take orders, from CSV or Alpaca's JSON: what says something new is a new version.

    ``key`` is the personal key of who hands them in. Raises BadInput, NoRegistry, NotAllowed.
    """
    file = read_file(path)
    async with store.session(database) as db, db.transaction():
        await db.execute(SQL["lock_loads"])
        if (load := await store.file_load(db, "orders", file.sha256)) is not None:
            # the source says again what it said last: that is news of its freshness
            await db.execute(SQL["insert_sighting"], load)
            return await _taken_before(db, file, "orders", load, key)
        form, orders, count = parse_order_file(file, await _registry(db), file_format)
        known = await store.orders_of(db, (o.request_id for o in orders))
        changed = [o for o in orders if o.request_id not in known or not o.same_content(known[o.request_id])]
        load = await store.new_load(db, "orders", file, file.sha256, count, form)
        await store.insert_orders(db, load, changed)
        await store.insert_saying(db, load, "orders", orders)
        if key is not None:
            await sign_load(db, load, file.sha256, key)
    return Imported(file.name, "orders", file.sha256.hex(), load, True, count, len(changed), form)


async def import_trades(
    database: Database,
    path: Path | str,
    *,
    declared: Period | None = None,
    file_format: str | None = None,
    key: Ed25519PrivateKey | None = None,
) -> Imported:
    """Take unsettled trades, from CSV or an IBKR Flex query: what says something new is a new version.

    ``declared`` says what a Flex query leaves open: account, zone, cut-off. Raises BadInput, NoRegistry, NotAllowed.
    """
    file, declared = read_file(path), declared or Period()
    said, identity = _plain_declaration(file, dict(declared.to_json()))
    async with store.session(database) as db, db.transaction():
        await db.execute(SQL["lock_loads"])
        if (load := await store.file_load(db, "trades", identity)) is not None:
            return await _taken_before(db, file, "trades", load, key)
        form, trades = parse_trade_file(file, await _registry(db), declared, file_format)
        known = {(t.custodian, t.reference): t for t in await store.trades_known(db, _LATEST)}
        changed = [t for t in trades if not _repeats(t, known.get((t.custodian, t.reference)))]
        stored = form if form == "csv" else stored_form(form)
        load = await store.new_load(db, "trades", file, identity, len(trades), stored, said)
        await store.insert_trades(db, load, changed)
        await store.insert_saying(db, load, "trades", trades)
        if key is not None:
            await sign_load(db, load, file.sha256, key)
    return Imported(file.name, "trades", file.sha256.hex(), load, True, len(trades), len(changed), form)


def _repeats(trade: Trade, known: Trade | None) -> bool:
    return known is not None and trade.same_content(known)


async def import_records(
    database: Database,
    kind: str,
    path: Path | str,
    *,
    declared: Period | None = None,
    file_format: str | None = None,
    key: Ed25519PrivateKey | None = None,
) -> Imported:
    """Take a file of one of ``inputs.KINDS``: actions, chains, bridge, movements, payments, prices, a venue's ledger.

    ``declared`` is the period of a file of movements. Raises BadInput, NoRegistry, NotAllowed.
    """
    file, what = read_file(path), KINDS[kind]
    declared = declared or Period()
    said, identity = _plain_declaration(file, dict(declared.to_json()))
    async with store.session(database) as db, db.transaction():
        await db.execute(SQL["lock_loads"])
        if (load := await store.file_load(db, kind, identity)) is not None:
            return await _taken_before(db, file, kind, load, key)
        parsed = what.parse(file, await _registry(db), declared, file_format)
        _refuse_coming(file, parsed.spans, await db.fetchval(SQL["passed"]))
        if kind == "actions":
            await _refuse_other_events(db, file, parsed.records)
        if kind == "prices":
            _refuse_days_to_come(file, parsed.records, await db.fetchval(SQL["passed"]))
        if kind == "payments":
            await _refuse_other_accounts(db, file, parsed.records)
        rows = len(parsed.records)
        load = await store.new_load(db, kind, file, identity, rows, stored_form(parsed.form), said)
        await store.insert_records(db, what, load, parsed)
        await store.insert_saying(db, load, kind, parsed.records)
        if key is not None:
            await sign_load(db, load, file.sha256, key)
    return Imported(file.name, kind, file.sha256.hex(), load, True, rows, rows, parsed.form)


def _refuse_coming(file: InputFile, spans: Sequence[Span], now: datetime) -> None:
    """Refuse a period that has not ended: what will move in the rest of it nobody can know."""
    for span in spans:
        if span.end > now:
            what = f"its period for account {shown(span.account)} ends at {instant_text(span.end)}, which is to come"
            raise BadInput(file.name, [f"{what}: it may end at {instant_text(now)} at the latest"])


def _refuse_days_to_come(file: InputFile, prices: Sequence[Price], now: datetime) -> None:
    """Refuse a price of a day that has begun nowhere yet."""
    problems, last = Problems(file.name), last_day_begun(now)
    for price in prices:
        if price.day > last:
            problems.add(f"line {price.line}", f"date {price.day} is to come: a price is of a day that was")
    problems.refuse_if_any()


async def _refuse_other_events(db: Any, file: InputFile, actions: Sequence[CorporateAction]) -> None:
    """Refuse an action under the reference of another file's event of other shares or of another kind."""
    known = {
        row["action_id"]: row for row in await db.fetch(INPUTS_SQL["action_sources"], [a.action_id for a in actions])
    }
    problems = Problems(file.name)
    for action in actions:
        row = known.get(action.action_id)
        if row is not None and (row["isin"], row["kind"]) != (action.isin, action.kind):
            was = f"{row['kind']} of {row['isin']} in {shown(row['name'])} (load {row['load']})"
            what = f"{shown(action.action_id)} is a {action.kind} of {action.isin} here and a {was}"
            problems.add(f"line {action.line}", f"{what}: two events need two references, declare one of them in a CSV")
    problems.refuse_if_any()


async def _refuse_other_accounts(db: Any, file: InputFile, payments: Sequence[Payment]) -> None:
    """Refuse a payment under the reference of another account's: two banks may count alike."""
    rows = await db.fetch(INPUTS_SQL["payment_sources"], [p.reference for p in payments])
    known, problems = {row["reference"]: row for row in rows}, Problems(file.name)
    for payment in payments:
        row = known.get(payment.reference)
        if row is not None and payment.account not in (None, row["account"]):
            was = f"{shown(row['account'])} in {shown(row['name'])} (load {row['load']})"
            what = f"{shown(payment.reference)} is a payment of account {shown(payment.account)} here and of {was}"
            problems.add(
                f"line {payment.line}", f"{what}: two payments need two references, put the bank's name before"
            )
    problems.refuse_if_any()


def read_map(path: Path | str) -> tuple[dict[str, str], dict[str, str]]:
    """Return what a map file declares, and the ISINs of its tickers. Raises BadInput."""
    given = parse_map(read_file(path))
    return given.texts, given.isins


async def list_records(database: Database, kind: str) -> list[Any]:
    """Return the records of a kind, each in its newest version, in the order of their keys."""
    async with store.session(database) as db:
        if not KINDS[kind].judged:
            return await store.records_known(db, KINDS[kind], _LATEST)
        return list(getattr(await store.business_known(db, _LATEST), kind))


async def list_trades(database: Database) -> list[Trade]:
    """Return all trades in their latest version, by custodian and reference."""
    async with store.session(database) as db:
        return await store.trades_known(db, _LATEST)


async def _taken_before(db: Any, file: InputFile, kind: str, load: int, key: Ed25519PrivateKey | None) -> Imported:
    if key is not None:
        await claim_load(db, load, file.sha256, key)
    return Imported(file.name, kind, file.sha256.hex(), load, False, 0, 0)


async def list_statements(database: Database) -> list[store.StatementInfo]:
    """Return all statements imported so far, in order of import."""
    async with store.session(database) as db:
        return await store.statements(db)


async def list_orders(database: Database) -> list[Order]:
    """Return all orders in their latest version, the oldest first."""
    async with store.session(database) as db:
        return await store.orders(db)
