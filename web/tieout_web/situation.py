"""What a page that stays open must be told: another run, a figure that grew too old, a database that went away."""

import hashlib
import json
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from tieout_web.board import Board
from tieout_web.freshness import verdict_now

_DIGEST_LETTERS = 16


@dataclass(frozen=True, slots=True)
class Situation:
    """What the figures are worth at an instant. ``stale_at`` is when the first of them stops counting."""

    database: str
    run: int | None
    verdicts: dict[str, str]
    stale_at: datetime | None

    @property
    def digest(self) -> str:
        """Differs where a page made under one situation is no longer right under another."""
        said = json.dumps([self.database, self.run, self.verdicts], sort_keys=True)
        return hashlib.sha256(said.encode()).hexdigest()[:_DIGEST_LETTERS]

    def to_json(self) -> dict[str, Any]:
        """Return the data of a ``state`` message."""
        return {"digest": self.digest, "database": self.database, "run": self.run, "verdicts": self.verdicts}


def situation_of(board: Board, now: datetime) -> Situation:
    """Return the situation by the board's last look and the time."""
    run = board.seen.run if board.seen else None
    database = "gone" if board.gone else "ok"
    if run is None:
        return Situation(database, None, {}, None)
    fresh = {i.symbol: board.freshness(run, i) for i in run.instruments}
    verdicts = {i.symbol: verdict_now(i, fresh[i.symbol].is_fresh(now)) for i in run.instruments}
    ahead = [f.stale_at for f in fresh.values() if f.stale_at is not None and f.stale_at > now]
    return Situation(database, run.run, verdicts, min(ahead, default=None))
