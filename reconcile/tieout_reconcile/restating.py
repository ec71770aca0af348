"""What a locked period's figures would be now, and what made the difference: the software, the ledger, which file.

The run is computed again at the locked slot, from what is known now, and stored nowhere. Of many later
files, those that change something are found by halving; two that undo each other change nothing.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import asyncpg

from tieout_database import Queries
from tieout_reconcile.periods import breaks_of, differences, figures_of, plain_of
from tieout_reconcile.registry import instant_text
from tieout_reconcile.runner import run

SQL = Queries("tieout_reconcile", "periods.sql")


@dataclass(frozen=True, slots=True)
class Restated:
    """A locked figure beside what is known at a batch and a load. Plain values throughout.

    ``differences``: {symbol, figure, locked, restated, difference}. ``appeared``, ``gone`` and ``changed`` (in
    quantity or words): keys of breaks. ``causes``: {by: software | ledger | load, what of these it changed, and
    of a load its number, kind, name, importer and recorded_at}.
    ``late``: the later files with something dated inside the period, whether or not they change a figure.
    """

    batch: int
    load: int
    differences: tuple[dict[str, Any], ...]
    appeared: tuple[str, ...]
    gone: tuple[str, ...]
    changed: tuple[str, ...]
    causes: tuple[dict[str, Any], ...]
    late: tuple[dict[str, Any], ...]

    @property
    def unchanged(self) -> bool:
        """Whether nothing learned since changes a figure or a break."""
        return not (self.differences or self.appeared or self.gone or self.changed)

    def to_json(self) -> dict[str, Any]:
        """Return plain values."""
        lists = ("differences", "appeared", "gone", "changed", "causes", "late")
        return {"batch": self.batch, "load": self.load, **{name: list(getattr(self, name)) for name in lists}}


@dataclass(frozen=True, slots=True)
class _View:
    figures: Mapping[str, Mapping[str, Any]]
    breaks: Mapping[str, Mapping[str, Any]]


def _view(plain: Mapping[str, Any]) -> _View:
    return _View(figures_of(plain), {b["key"]: b for b in breaks_of(plain)})


def _change(was: _View, now: _View) -> dict[str, Any]:
    return {
        "differences": differences(was.figures, now.figures),
        "appeared": [key for key in now.breaks if key not in was.breaks],
        "gone": [key for key in was.breaks if key not in now.breaks],
        "changed": [key for key, told in now.breaks.items() if was.breaks.get(key, told) != told],
    }


async def restate(
    db: asyncpg.Connection, content: Mapping[str, Any], batch: int | None = None, load: int | None = None
) -> Restated:
    """Return a locked period's content beside what is known at a batch and a load (the latest by default)."""
    heads = await db.fetchrow(SQL["heads"])
    assert heads is not None, "an aggregate has one row"
    batch, load = heads["batch"] if batch is None else batch, heads["load"] if load is None else load
    told = {b["key"]: {name: b[name] for name in b if name != "work"} for b in content["breaks"]}
    locked = _View(content["figures"], told)
    walk = _Walk(db, content["run"], batch)
    last = await walk.at(batch, load)
    loads = {row["load"]: _file(row) for row in await db.fetch(SQL["later_loads"], walk.load, load)}
    span = (datetime.fromisoformat(content["from"]), datetime.fromisoformat(content["to"]))
    inside = [row["load"] for row in await db.fetch(SQL["dated_inside"], walk.load, load, *span)]
    causes = [] if last == locked else await walk.causes(locked, loads)
    change = _change(locked, last)
    return Restated(
        batch,
        load,
        tuple(change["differences"]),
        tuple(change["appeared"]),
        tuple(change["gone"]),
        tuple(change["changed"]),
        tuple(causes),
        tuple(loads[number] for number in inside),
    )


def _file(row: Any) -> dict[str, Any]:
    name = row["name"].replace("\\", "/").rpartition("/")[2]
    return {"load": row["load"], "kind": row["kind"], "name": name, "importer": row["importer"],
            "recorded_at": instant_text(row["recorded_at"])}  # fmt: skip


class _Walk:
    """From what was locked to what is known now, one cause after the other."""

    def __init__(self, db: asyncpg.Connection, fixed: Mapping[str, Any], batch: int) -> None:
        self._db, self._slot, self._batch = db, fixed["slot"], batch
        self.load, self._locked_batch = fixed["load"], fixed["batch"]
        self._seen: dict[tuple[int, int], _View] = {}

    async def at(self, batch: int, load: int) -> _View:
        """Return the figures at the locked slot, as known at a batch and a load."""
        if (batch, load) not in self._seen:
            made = await run(self._db, self._slot, known_batch=batch, known_load=load, keep=False)
            self._seen[batch, load] = _view(plain_of(made))
        return self._seen[batch, load]

    async def causes(self, locked: _View, loads: Mapping[int, dict[str, Any]]) -> list[dict[str, Any]]:
        """Return what each cause changed."""
        found = []
        again = await self.at(self._locked_batch, self.load)
        if again != locked:
            found.append({"by": "software", **_change(locked, again)})
        corrected = await self.at(self._batch, self.load)
        if corrected != again:
            batches = [self._locked_batch + 1, self._batch]
            found.append({"by": "ledger", "batches": batches, **_change(again, corrected)})
        await self._halve([self.load, *loads], loads, found)
        return found

    async def _halve(self, steps: list[int], loads: Mapping[int, dict[str, Any]], found: list[dict[str, Any]]) -> None:
        before, after = await self.at(self._batch, steps[0]), await self.at(self._batch, steps[-1])
        if before == after:
            return
        if len(steps) == 2:
            found.append({"by": "load", **loads[steps[1]], **_change(before, after)})
            return
        middle = len(steps) // 2
        await self._halve(steps[: middle + 1], loads, found)
        await self._halve(steps[middle:], loads, found)
