"""What the web part may do and for how long a figure is fresh. Names carry their units."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class WebSettings:
    """All limits of ``tieout serve``; each can be set, none can be switched off."""

    dsn: str
    refresh_interval_s: float = 0.5
    chain_age_max_s: int = 900
    statement_age_max_s: int = 120 * 3600
    requests_per_s: float = 50.0
    requests_burst: int = 200
    clients_max: int = 10_000
    stream_readers_max: int = 2_000
    stream_queue_max: int = 256
    stream_backlog_max: int = 10_000
    stream_ping_s: int = 15
    pool_size_max: int = 4
    session_hours: int = 8
    login_failures_max: int = 5
    lock_minutes: int = 15
    secure_cookies: bool = False
