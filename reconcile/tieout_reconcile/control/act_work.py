"""Acts of the issuer as control stores and judges them, inside a step's transaction (``checking``)."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime
from fractions import Fraction
from typing import Any

import asyncpg

from tieout_reconcile import inputs, store
from tieout_reconcile.chain import control_acts_by_mint, multipliers_by_mint
from tieout_reconcile.control.acts import (
    AUTHORITY,
    INVENTORY_MINT,
    MULTIPLIER,
    Act,
    act_alert,
    judge_authorities,
    judge_controls,
    judge_mints,
    judge_multipliers,
    unread_mint,
)
from tieout_reconcile.control.alerts import Alert, Notice
from tieout_reconcile.control.judging import Judgement, references_of
from tieout_reconcile.control.limits import ControlLimits
from tieout_reconcile.control.notices import changes_of, write_notices
from tieout_reconcile.control.reading import SQL, Book, place_of
from tieout_reconcile.corporate import CorporateAction
from tieout_reconcile.exact import exact_decimal
from tieout_reconcile.freshness import InputAge
from tieout_reconcile.registry import ANNOUNCED, Instrument
from tieout_reconcile.store import SQL as RECON_SQL
from tieout_reconcile.surprises import surprises

_EVERY_BATCH = _EVERY_SLOT = 2**62


class ActWork:
    """What one step does about acts. They are few: each is one that a person decided on."""

    def __init__(
        self, db: asyncpg.Connection, limits: ControlLimits, book: Book, source: InputAge, now: datetime
    ) -> None:
        self.db, self.limits, self.book, self.source, self.now = db, limits, book, source, now

    async def withdrawn(self, batch: int) -> set[int]:
        """Withdraw the acts of the rows that a batch took back; return their numbers."""
        numbers = set()
        for row in await self.db.fetch(SQL["retractions_of_batch"], batch):
            place = (row["slot"], row["tx_index"], row["step"], row["child"], row["mint"])
            numbers |= {told["act"] for told in await self.db.fetch(SQL["acts_at"], *place, batch)}
        await self._withdraw(numbers, f"batch {batch} took it back")
        return numbers

    async def no_longer(self) -> set[int]:
        """Withdraw the alerts about what is no act by the registry of today; return the numbers."""
        rows = await self.db.fetch(SQL["firing_acts"])
        acts = await self._stored(row["act"] for row in rows)
        gone = {number for number, act in acts.items() if not self._is_act(act)}
        await self._withdraw(gone, f"it is none by the registry of load {self.book.load}")
        return gone

    def _is_act(self, act: Act) -> bool:
        if act.kind == INVENTORY_MINT:
            return self.book.is_inventory(act.mint, act.account, act.owner, act.at)
        return act.mint in self.book.instruments

    async def _withdraw(self, numbers: Collection[int], why: str) -> None:
        await self.db.executemany(SQL["withdraw_act"], [(number, why) for number in sorted(numbers)])

    async def store(self, found: Sequence[tuple[Act, int]]) -> set[int]:
        """Store acts, each with its batch, and the requests that they name; return the numbers of the new ones."""
        numbers = set()
        for act, batch in found:
            number = await self.db.fetchval(SQL["insert_act"], *self._values(act, batch))
            if number is None:
                continue
            numbers.add(number)
            if act.kind == INVENTORY_MINT:
                named = references_of(act.memo, self.limits.references_of_crossing_max)
                await self.db.executemany(SQL["insert_act_reference"], [(name, number) for name in named])
        return numbers

    def _values(self, act: Act, batch: int) -> tuple[Any, ...]:
        return (
            act.key, self.book.instruments[act.mint].symbol, act.mint, act.kind, *act.position, act.signature, act.at,
            act.raw, None if act.unit is None else exact_decimal(act.unit), act.account, act.owner, act.memo,
            act.authority, dict(act.details or {}), batch, self.book.load,
        )  # fmt: skip

    async def tell(self, new: Collection[int], gone: Collection[int]) -> tuple[Notice, ...]:
        """Judge acts that are new, and those that theirs or the withdrawn ones' judgement bears on."""
        acts = await self._stored(new)
        mints = {n for n, a in acts.items() if a.kind == INVENTORY_MINT}
        stale = self.source.problem(self.now)
        wanted: dict[int, Alert | None] = dict.fromkeys(gone)
        if stale is None:
            wanted |= await self._mints(mints | await self._left_alone(gone))
        else:
            wanted |= self._alerts(acts, {n: unread_mint(self._of(acts[n]), acts[n], stale) for n in mints})
        touched = {a.mint for n, a in acts.items() if n not in mints}
        wanted |= await self._controls(touched | await self._mints_of(gone))
        return await self._write(wanted)

    async def _left_alone(self, gone: Collection[int]) -> set[int]:
        """The mints that named the same orders as those taken back: an order may be theirs now."""
        rows = await self.db.fetch(SQL["act_references"], sorted(gone)) if gone else []
        ids = sorted({row["reference"] for row in rows})
        found = await self.db.fetch(SQL["acts_naming"], ids, [], self.limits.claims_of_order_max) if ids else []
        return {row["act"] for row in found} - set(gone)

    async def _mints_of(self, gone: Collection[int]) -> set[str]:
        rows = await self.db.fetch(SQL["withdrawn_acts"], sorted(gone)) if gone else []
        return {row["mint"] for row in rows if row["kind"] != INVENTORY_MINT} & self.book.instruments.keys()

    async def recheck_mints(self, after: int, load: int) -> tuple[Notice, ...]:
        """Judge again the mints that the order files of some loads speak of, and those that alarm."""
        rows = await self.db.fetch(SQL["acts_of_orders"], after, load)
        rows += await self.db.fetch(SQL["firing_acts"])
        acts = await self._stored(row["act"] for row in rows)
        return await self._write(await self._mints({n for n, a in acts.items() if a.kind == INVENTORY_MINT}))

    async def recheck_controls(self, judged: int) -> tuple[Notice, ...] | None:
        """Judge again the controls that new actions, or a new registry, speak of; None: there are none such."""
        last: int | None = await self.db.fetchval(SQL["last_act_load"])
        if last is None or last == judged:
            return None
        changed = {row["isin"] for row in await self.db.fetch(SQL["action_isins"], judged, last)}
        isins = await self._isins()
        touched = {m for m, own in isins.items() if own & changed}
        firing = await self._stored(row["act"] for row in await self.db.fetch(SQL["firing_acts"]))
        touched |= {a.mint for a in firing.values() if a.kind != INVENTORY_MINT} & self.book.instruments.keys()
        # an announcement may be gone from the registry as well
        rows = await self.db.fetch(SQL["announced_mints"], list(ANNOUNCED))
        touched |= {row["mint"] for row in rows} & self.book.instruments.keys()
        notices = await self._write(await self._controls(touched))
        await self.db.execute(SQL["advance_acts"], last)
        return notices

    async def _isins(self) -> dict[str, set[str]]:
        """Return the ISINs that an instrument's shares ever had, or are to have, by mint."""
        pairs = [(row["isin"], row["new_isin"]) for row in await self.db.fetch(SQL["renaming_actions"])]
        found = {mint: {instrument.isin} for mint, instrument in self.book.instruments.items()}
        for isins in found.values() if pairs else ():
            before = 0
            while before != len(isins):
                before = len(isins)
                isins |= {isin for pair in pairs if isins & set(pair) for isin in pair}
        return found

    async def _mints(self, numbers: Collection[int]) -> dict[int, Alert | None]:
        """Judge mints, and all that name the same orders or are named by them."""
        if not numbers:
            return {}
        first = await self._stored(numbers)
        names = await self._names(first)
        orders = await self._orders(first, names)
        ids = sorted(o.request_id for o in orders)
        signed = sorted({o.signature for o in orders if o.signature is not None})
        rows = await self.db.fetch(SQL["acts_naming"], ids, signed, self.limits.claims_of_order_max)
        acts = first | await self._stored(row["act"] for row in rows)
        names = await self._names(acts)
        wanted: dict[int, Alert | None] = {}
        for mint in {a.mint for a in acts.values()} & self.book.instruments.keys():
            ours = {n: a for n, a in acts.items() if a.mint == mint}
            instrument = self.book.instruments[mint]
            wanted |= self._alerts(ours, judge_mints(instrument, ours, names, orders, self.now))
        return wanted

    async def _names(self, acts: Mapping[int, Act]) -> dict[int, frozenset[str]]:
        found: dict[int, set[str]] = {number: set() for number in acts}
        for row in await self.db.fetch(SQL["act_references"], sorted(acts)):
            found[row["act"]].add(row["reference"])
        return {number: frozenset(names) for number, names in found.items()}

    async def _orders(self, acts: Mapping[int, Act], names: Mapping[int, frozenset[str]]) -> list[Any]:
        rows = await self.db.fetch(SQL["signed_orders"], sorted({a.signature for a in acts.values()}))
        asked = frozenset().union(*names.values(), (row["request_id"] for row in rows))
        return list((await store.orders_of(self.db, asked)).values()) if asked else []

    async def _controls(self, mints: Collection[str]) -> dict[int, Alert | None]:
        """Judge all changes of authority and settings of the multiplier of some mints."""
        if not mints:
            return {}
        wanted: dict[int, Alert | None] = {}
        acts = {kind: await self._of_mints(mints, kind) for kind in (AUTHORITY, MULTIPLIER)}
        steps = multipliers_by_mint(await self.db.fetch(RECON_SQL["multipliers"], sorted(mints), _EVERY_BATCH))
        isins = await self._isins() if acts[MULTIPLIER] else {}
        actions = await self._actions(isins[m] for m in mints) if acts[MULTIPLIER] else []
        wanted |= await self._unannounced(mints)
        for mint in mints:
            instrument = self.book.instruments[mint]
            changed = {n: a for n, a in acts[AUTHORITY].items() if a.mint == mint}
            wanted |= self._alerts(changed, judge_authorities(instrument, changed))
            stepped = {n: a for n, a in acts[MULTIPLIER].items() if a.mint == mint}
            if stepped:
                mine = [a for a in actions if a.isin in isins[mint] or a.new_isin in isins[mint]]
                judged = judge_multipliers(instrument, stepped, tuple(steps.get(mint, ())), mine)
                wanted |= self._alerts(stepped, judged)
        return wanted

    async def _unannounced(self, mints: Collection[str]) -> dict[int, Alert | None]:
        """Judge all freezes, pauses, hooks and default states of some mints, each after those before it."""
        acts: dict[int, Act] = {}
        for kind in ANNOUNCED:
            acts |= await self._of_mints(mints, kind)
        if not acts:
            return {}
        rows = control_acts_by_mint(
            await self.db.fetch(RECON_SQL["control_acts"], sorted(mints), _EVERY_SLOT, _EVERY_BATCH)
        )
        signatures = sorted({a.signature for a in acts.values()})
        forced = {row["signature"] for row in await self.db.fetch(SQL["forced"], signatures)}
        wanted: dict[int, Alert | None] = {}
        for mint in mints:
            instrument, mine = self.book.instruments[mint], {n: a for n, a in acts.items() if a.mint == mint}
            found = surprises(instrument.symbol, rows.get(mint, ()), self.book.registry.announced, forced)
            wanted |= self._alerts(mine, judge_controls(instrument, mine, found))
        return wanted

    async def _actions(self, isins: Iterable[Collection[str]]) -> list[CorporateAction]:
        rows = await self.db.fetch(SQL["actions"], sorted(frozenset().union(*isins)))
        return [inputs.record_of(inputs.KINDS["actions"], dict(row)) for row in rows]

    def _of(self, act: Act) -> Instrument:
        return self.book.instruments[act.mint]

    def _alerts(self, acts: Mapping[int, Act], judged: Mapping[int, Judgement]) -> dict[int, Alert | None]:
        return {
            number: None if found.alarm is None else act_alert(acts[number], number, self._of(acts[number]), found)
            for number, found in judged.items()
        }

    async def _stored(self, numbers: Iterable[int]) -> dict[int, Act]:
        """Return the acts of these numbers that stand."""
        asked = sorted(set(numbers))
        return {row["act"]: _act(row) for row in await self.db.fetch(SQL["acts"], asked)} if asked else {}

    async def _of_mints(self, mints: Collection[str], kind: str) -> dict[int, Act]:
        return {row["act"]: _act(row) for row in await self.db.fetch(SQL["acts_of_mints"], sorted(mints), kind)}

    async def _write(self, wanted: Mapping[int, Alert | None]) -> tuple[Notice, ...]:
        rows = await self.db.fetch(SQL["notices_of_acts"], sorted(wanted)) if wanted else []
        return await write_notices(self.db, changes_of(rows, wanted, "act"), self.now)


def _act(row: Any) -> Act:
    return Act(
        row["key"], row["mint"], row["kind"], place_of(row), row["signature"], row["at"],
        None if row["raw"] is None else int(row["raw"]), None if row["unit"] is None else Fraction(row["unit"]),
        row["account"], row["owner"], row["memo"], row["authority"], row["details"],
    )  # fmt: skip
