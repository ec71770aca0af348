"""Limits of the control daemon and where it tells: everything that grows or waits has one, with its unit."""

from dataclasses import dataclass, field
from urllib.parse import urlsplit

from tieout_reconcile.errors import BadSetting
from tieout_reconcile.freshness import AgeLimits

_SCHEMES = ("http", "https")
_NAME_CHARACTERS_MAX = 64
SECRET_BYTES_MIN = 16


@dataclass(frozen=True, slots=True)
class ControlLimits:
    """How much one step may take on, how long things may wait, how old inputs may be."""

    ages: AgeLimits = field(default_factory=AgeLimits)
    poll_interval_s: float = 0.5
    """Between looks at the ledger where no notification wakes it."""
    batches_at_once_max: int = 64
    """Batches checked in one transaction, while catching up."""
    rows_at_once_max: int = 20_000
    """Events after which a transaction takes no further batch."""
    rechecks_at_once_max: int = 500
    """Crossings looked at again in one transaction, after a file came."""
    claims_of_order_max: int = 200
    """Movements that may name one order; whatever names it beyond that is unmatched."""
    references_of_crossing_max: int = 64
    """Request ids read from one memo."""
    ripcord_interval_s: float = 5.0
    """Between looks at the conditions."""
    ripcord_after_s: float = 30.0
    """How long a condition must stand before it alarms, and be gone before the alarm ends."""
    ripcord_observations_min: int = 3
    """In how many looks in a row it must be seen, beside that."""
    reconnect_interval_s: float = 0.5
    send_timeout_s: float = 10.0
    sends_in_flight_max: int = 8
    """Alerts on their way to one receiver at the same time, each of another fingerprint."""
    answer_bytes_max: int = 512
    """How much of a receiver's answer is read, to tell what went wrong."""
    retry_initial_s: float = 0.5
    retry_max_s: float = 60.0
    notices_at_once_max: int = 256
    """Undelivered notices read from the outbox at a time."""
    undelivered_max_s: float = 60.0
    """After which ``control status`` calls a notice undelivered for long."""
    metrics_port: int = 0
    metrics_host: str = "127.0.0.1"
    external_url: str = ""
    """Where people reach the pages; alerts link to the transaction there."""


@dataclass(frozen=True, slots=True)
class Receiver:
    """Who is told: a name, an http or https address, the secret that signs. Never shown but by name and host."""

    name: str
    url: str = field(repr=False)
    secret: bytes = field(repr=False)

    def __post_init__(self) -> None:
        """Refuse what is no receiver. Raises BadSetting."""
        if not self.name.isprintable() or not 0 < len(self.name) <= _NAME_CHARACTERS_MAX:
            raise BadSetting(f"receiver {self.name[:_NAME_CHARACTERS_MAX]!r}: a name has 1 to 64 visible characters")
        try:
            parts = urlsplit(self.url)
            host = parts.hostname
            _ = parts.port
        except ValueError as bad:
            raise BadSetting(f"receiver {self.name}: its url cannot be read ({bad})") from None
        if parts.scheme not in _SCHEMES or not host:
            raise BadSetting(f"receiver {self.name}: its url must be http://host… or https://host…")
        if parts.username is not None or parts.password is not None:
            raise BadSetting(f"receiver {self.name}: no user or password in its url: the signature says who sends")
        if len(self.secret) < SECRET_BYTES_MIN:
            raise BadSetting(f"receiver {self.name}: its secret has under {SECRET_BYTES_MIN} bytes")

    @property
    def host(self) -> str:
        """The host, for people: paths and queries of a webhook are often secrets."""
        return urlsplit(self.url).hostname or ""
