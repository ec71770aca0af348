"""Rules of misbehaviour as values, and how they are read from TOML or JSON. Pure.

A rule says what happens (`kind`), where (methods, slots), and how often (probability, count). Everything
that a kind needs beyond that has a default.
"""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Final

from tieout_localnet.forks import DEPTH_MAX, FATES, SKIP_MAX

SLOT_KINDS: Final = frozenset({"skip", "fork", "duplicate"})
SEND_KINDS: Final = frozenset({"drop"})
ANSWER_KINDS: Final = frozenset(
    {
        "not_available",
        "skipped",
        "status_unavailable",
        "unhealthy",
        "null_block",
        "meta_null",
        "inner_null",
        "pruned",
    }
)
TRANSPORT_KINDS: Final = frozenset(
    {"rate_limit", "http_error", "timeout", "half_open", "truncate", "garbage", "drip"}
)
SOCKET_KINDS: Final = frozenset({"ws_drop", "ws_stall", "ws_duplicate", "ws_miss"})
KINDS: Final = SLOT_KINDS | SEND_KINDS | ANSWER_KINDS | TRANSPORT_KINDS | SOCKET_KINDS

RULES_MAX: Final = 1_000
DELAY_MS_MAX: Final = 600_000
LAG_MAX: Final = 250
U64_MAX: Final = 2**64 - 1


class BadRule(Exception):
    """A rule that cannot be meant; the message names the member."""


@dataclass(frozen=True, slots=True)
class Rule:
    """One kind of misbehaviour, and when it happens."""

    kind: str
    name: str = ""
    """Part of what decisions are drawn from; the kind and a number unless given."""
    probability: float = 1.0
    count: int | None = None
    """At most so often; None: without end."""
    methods: tuple[str, ...] = ()
    """HTTP methods, or subscriptions such as "logs"; empty: all that the kind concerns."""
    slots: tuple[int, ...] = ()
    """These slots only; empty: all in the window."""
    from_slot: int = 0
    to_slot: int = U64_MAX
    length: int = 1
    """skip: how many slots in a row."""
    depth: int = 1
    """fork: how many blocks are given up."""
    transactions: str = "elsewhere"
    """fork, duplicate: elsewhere | lost | reversed | mixed."""
    rollback: bool = False
    """fork: confirm the blocks before they are given up."""
    attempts: int = 2
    """Answers about a slot: how often it is lied about; 0: always."""
    keep: int = 100
    """pruned: how many slots before the final one are left."""
    delay_ms: int = 1_000
    """timeout, drip, ws_stall."""
    status: int = 503
    """http_error."""
    retry_after_s: int | None = None
    """rate_limit: the header, in seconds; None: without."""

    def concerns(self, slot: int) -> bool:
        """Whether the rule is about a slot."""
        if self.slots:
            return slot in self.slots
        return self.from_slot <= slot <= self.to_slot


@dataclass(frozen=True, slots=True)
class Twin:
    """A second endpoint on the same chain, so many blocks behind."""

    port: int
    behind: int


_RANGES: Final[Mapping[str, tuple[int, int]]] = {
    "count": (0, U64_MAX),
    "from_slot": (0, U64_MAX),
    "to_slot": (0, U64_MAX),
    "length": (1, SKIP_MAX),
    "depth": (1, DEPTH_MAX),
    "attempts": (0, 1_000_000),
    "keep": (0, U64_MAX),
    "delay_ms": (0, DELAY_MS_MAX),
    "status": (400, 599),
    "retry_after_s": (0, 86_400),
}


def from_table(table: object, number: int) -> Rule:
    """A rule from a TOML table or a JSON object; raises BadRule."""
    if not isinstance(table, dict):
        raise BadRule("a rule is a table of members")
    known = {field.name for field in fields(Rule)}
    unknown = sorted(str(key) for key in table if key not in known)
    if unknown:
        raise BadRule(f"unknown member `{unknown[0]}`; a rule has {', '.join(sorted(known))}")
    kind = table.get("kind")
    if kind not in KINDS:
        raise BadRule(f"`kind` must be one of {', '.join(sorted(KINDS))}, not {kind!r}")
    values = {key: _checked(key, value) for key, value in table.items() if value is not None}
    values.setdefault("name", f"{kind}-{number}")
    return Rule(**values)  # type: ignore[arg-type]


def _checked(key: str, value: object) -> object:
    if key in _RANGES:
        return _whole(key, value, *_RANGES[key])
    if key == "probability":
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1:
            raise BadRule(f"`probability` must be between 0 and 1, not {value!r}")
        return float(value)
    if key == "rollback":
        if not isinstance(value, bool):
            raise BadRule(f"`rollback` must be true or false, not {value!r}")
        return value
    if key == "methods":
        return tuple(_text(key, item) for item in _list(key, value))
    if key == "slots":
        return tuple(_whole(key, item, 0, U64_MAX) for item in _list(key, value))
    if key == "transactions" and value not in FATES:
        raise BadRule(f"`transactions` must be one of {', '.join(FATES)}, not {value!r}")
    return _text(key, value)


def _list(key: str, value: object) -> list[object]:
    if not isinstance(value, list):
        raise BadRule(f"`{key}` must be a list, not {value!r}")
    return value


def _text(key: str, value: object) -> str:
    if not isinstance(value, str):
        raise BadRule(f"`{key}` must be a text, not {value!r}")
    return value


def _whole(key: str, value: object, least: int, most: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
        raise BadRule(f"`{key}` must be a whole number from {least} to {most}, not {value!r}")
    return value


def load(path: Path) -> tuple[int | None, tuple[Rule, ...], Twin | None]:
    """Seed, rules and twin of a file: `seed = N`, `[[rule]]` tables, `[twin]`; raises BadRule."""
    try:
        tables = tomllib.loads(path.read_text())
    except OSError as error:
        raise BadRule(f"{path} cannot be read: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise BadRule(f"{path} is not TOML: {error}") from error
    unknown = sorted(set(tables) - {"seed", "rule", "twin"})
    if unknown:
        raise BadRule(f"{path}: unknown entry `{unknown[0]}`; there are seed, [[rule]] and [twin]")
    seed = None if "seed" not in tables else _whole("seed", tables["seed"], 0, U64_MAX)
    rules: list[Rule] = []
    for number, table in enumerate(_list("rule", tables.get("rule", []))):
        try:
            rules.append(from_table(table, number))
        except BadRule as error:
            raise BadRule(f"{path}, rule {number + 1}: {error}") from error
    return seed, tuple(rules), _twin(tables.get("twin"))


def _twin(table: object) -> Twin | None:
    if table is None:
        return None
    if not isinstance(table, dict) or set(table) != {"port", "behind"}:
        raise BadRule("[twin] has `port` and `behind`")
    return Twin(_whole("port", table["port"], 1, 65_534), _whole("behind", table["behind"], 1, LAG_MAX))
