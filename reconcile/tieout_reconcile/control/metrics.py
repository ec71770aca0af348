"""What the control daemon counts, for Prometheus: base units, one registry a daemon, on a port of its own."""

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from aiohttp import web
from prometheus_client import CollectorRegistry, Counter, Gauge, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST

from tieout_reconcile.control.status import Status

_STALE_AFTER_S = 60.0


class Metrics:
    """The daemon's metrics; every method takes what just happened."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        registry = self.registry
        self._batch = Gauge("tieout_control_batch", "Last batch of the ledger that was checked.", registry=registry)
        self._lag_s = Gauge(
            "tieout_control_lag_seconds", "Age of the oldest batch that is not checked yet.", registry=registry
        )
        self._crossings = Counter("tieout_control_crossings", "Crossings checked.", registry=registry)
        self._notices = Counter(
            "tieout_control_notices", "Alerts that began or ended.", ["alert", "status"], registry=registry
        )
        self._firing = Gauge("tieout_control_alerts_firing", "Alerts that fire now.", ["alert"], registry=registry)
        self._pulled = Gauge(
            "tieout_control_ripcord", "1 where the figures must not be relied on.", ["mint"], registry=registry
        )
        self._depth = Gauge(
            "tieout_control_outbox_depth", "Notices that a receiver was not told yet.", ["receiver"], registry=registry
        )
        self._oldest_s = Gauge(
            "tieout_control_outbox_oldest_seconds", "Age of the oldest of them.", ["receiver"], registry=registry
        )
        self._failures = Gauge(
            "tieout_control_receiver_failures", "Failures in a row.", ["receiver"], registry=registry
        )
        self._step_at_s = time.monotonic()

    def stepped(self, crossings: int, notices: Any) -> None:
        """A step was committed."""
        self._step_at_s = time.monotonic()
        self._crossings.inc(crossings)
        for notice in notices:
            self._notices.labels(notice.labels.get("alertname", ""), notice.status).inc()

    def looked(self, symbols: Any, pulled: Any) -> None:
        """The conditions were looked at: which instruments there are, and whose ripcord is pulled."""
        for symbol in symbols:
            self._pulled.labels(symbol).set(symbol in pulled)

    def stands(self, status: Status) -> None:
        """The state of position and outbox was read."""
        self._batch.set(status.batch)
        self._lag_s.set(status.lag_s)
        self._firing.clear()
        for count in status.firing:
            self._firing.labels(count.alertname).inc(count.alerts)
        for receiver in status.receivers:
            self._depth.labels(receiver.receiver).set(receiver.depth)
            self._oldest_s.labels(receiver.receiver).set(receiver.oldest_s or 0)
            self._failures.labels(receiver.receiver).set(receiver.failures)

    @asynccontextmanager
    async def served(self, host: str, port: int) -> AsyncIterator[None]:
        """Serve ``/metrics`` and ``/healthz`` while the block lasts; with port 0, nothing. Raises OSError."""
        if not port:
            yield
            return
        app = web.Application()
        app.router.add_get("/metrics", self._exposition)
        app.router.add_get("/healthz", self._healthz)
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        try:
            await web.TCPSite(runner, host, port).start()
            yield
        finally:
            await runner.cleanup()

    async def _exposition(self, request: web.Request) -> web.Response:
        del request
        return web.Response(body=generate_latest(self.registry), headers={"Content-Type": CONTENT_TYPE_LATEST})

    async def _healthz(self, request: web.Request) -> web.Response:
        del request
        age_s = time.monotonic() - self._step_at_s
        sound = age_s < _STALE_AFTER_S
        return web.json_response({"ok": sound, "last_step_age_s": round(age_s, 3)}, status=200 if sound else 503)
