"""Endpoints: where a node answers, how well it has done so far, and how to name it without its secrets."""

import time
from dataclasses import dataclass, field
from enum import Enum
from urllib.parse import urlsplit, urlunsplit

_SMOOTHING = 0.2


def redact_url(url: str) -> str:
    """Return the URL without what providers hide keys in: user, path beyond the host, query."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "?", parts.port
        if "@" in parts.path + parts.query + parts.fragment:
            raise ValueError("the authority ended too early")
    except ValueError:
        # A password with a slash in it looks like a port: say nothing of what follows.
        scheme = url.partition("://")[0]
        return f"{scheme}://***" if scheme.isalpha() and scheme != url else "***"
    if not parts.scheme:
        return "***"
    shown = f"[{host}]" if ":" in host else host
    netloc = f"{shown}:{port}" if port is not None else shown
    hidden = "/***" if parts.path.strip("/") or parts.query or parts.fragment else ""
    return f"{parts.scheme}://{netloc}{hidden}"


def websocket_url(url: str) -> str:
    """Return the WebSocket address that goes with an HTTP one: by Solana's convention, the next port up."""
    parts = urlsplit(url)
    scheme = {"http": "ws", "https": "wss"}.get(parts.scheme, parts.scheme)
    netloc = parts.netloc
    if parts.port is not None:
        netloc = f"{netloc.rpartition(':')[0]}:{parts.port + 1}"
    return urlunsplit((scheme, netloc, parts.path, parts.query, ""))


class Standing(Enum):
    """What an endpoint's answers say of it, the worst first."""

    LYING = "lying"
    """out-voted about a finalized block: it is asked only where no other is left"""
    SILENT = "silent"
    """its last answers were none"""
    RATE_LIMITED = "rate_limited"
    """it asked for patience a moment ago"""
    LAGGING = "lagging"
    """its finalized slot is far behind the others'"""
    PRUNED = "pruned"
    """it lately refused what it no longer keeps"""
    GOOD = "good"


_SILENT_AFTER = 3
_REMEMBERED_S = 30.0


@dataclass(slots=True)
class Endpoint:
    """One node's address and its score. The score orders the endpoints; a lying one comes last of all."""

    url: str
    requests: int = 0
    failures: int = 0
    failures_in_a_row: int = 0
    silences_in_a_row: int = 0
    """failures since it last answered anything, a plea for patience included"""
    rate_limited: int = 0
    disagreements: int = 0
    latency_s: float = 0.0
    finalized_slot: int | None = None
    """its newest finalized slot, when last asked"""
    lag_slots: int | None = None
    """how far that was behind the best endpoint"""
    first_slot: int | None = None
    """the oldest block that it says it has"""
    lagging: bool = False
    limited_at_s: float | None = None
    pruned_at_s: float | None = None
    name: str = field(init=False)

    def __post_init__(self) -> None:
        self.name = redact_url(self.url)
        try:
            parts = urlsplit(self.url)
            sound = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
        except ValueError:
            sound = False
        if not sound:
            raise ValueError(f"{self.name!r} is no node address: write http://host:port")

    def succeeded(self, latency_s: float) -> None:
        """Count an answer."""
        self.requests += 1
        self.failures_in_a_row = self.silences_in_a_row = 0
        self.latency_s += _SMOOTHING * (latency_s - self.latency_s)

    @property
    def standing(self) -> Standing:
        """What its answers say of it now."""
        if self.disagreements:
            return Standing.LYING
        if self.silences_in_a_row >= _SILENT_AFTER:
            return Standing.SILENT
        if _lately(self.limited_at_s):
            return Standing.RATE_LIMITED
        if self.lagging:
            return Standing.LAGGING
        return Standing.PRUNED if _lately(self.pruned_at_s) else Standing.GOOD

    @property
    def rank(self) -> tuple[bool, bool, int]:
        """Sorts endpoints: whom to ask first."""
        return self.disagreements > 0, self.lagging, self.failures_in_a_row

    def throttled(self) -> None:
        """Count a request that it asked to have later."""
        self.rate_limited += 1
        self.limited_at_s = time.monotonic()
        self.silences_in_a_row = 0

    def refused_history(self) -> None:
        """Note that it no longer keeps what it was asked for."""
        self.pruned_at_s = time.monotonic()

    def outvoted(self) -> None:
        """Note that most others say another thing of a finalized block."""
        self.disagreements += 1

    def failed(self) -> None:
        """Count a request that got no usable answer."""
        self.requests += 1
        self.failures += 1
        self.failures_in_a_row += 1
        self.silences_in_a_row += 1


def _lately(when_s: float | None) -> bool:
    return when_s is not None and time.monotonic() - when_s < _REMEMBERED_S
