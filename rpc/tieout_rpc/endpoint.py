"""Endpoints: where a node answers, how well it has done so far, and how to name it without its secrets."""

from dataclasses import dataclass, field
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


@dataclass(slots=True)
class Endpoint:
    """One node's address and its score; the score only orders the endpoints."""

    url: str
    requests: int = 0
    failures: int = 0
    failures_in_a_row: int = 0
    latency_s: float = 0.0
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
        self.failures_in_a_row = 0
        self.latency_s += _SMOOTHING * (latency_s - self.latency_s)

    def failed(self) -> None:
        """Count a request that got no usable answer."""
        self.requests += 1
        self.failures += 1
        self.failures_in_a_row += 1
