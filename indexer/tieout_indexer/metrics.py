"""What the daemon counts, for Prometheus: base units, one registry a daemon, served on a port of its own.

Gauges are floats: alert on them, never derive money from them.
"""

import time
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from importlib import metadata

from aiohttp import web
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Info, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from prometheus_client.registry import Collector

from tieout_indexer.decode import DECODER_VERSION
from tieout_indexer.findings import AuditFinding
from tieout_indexer.pipeline import SegmentOutcome
from tieout_rpc import Endpoint, Standing

_STALE_AFTER_S = 60.0
_BUCKETS = (0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)


class Metrics:
    """The daemon's metrics; every method takes what just happened."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        registry = self.registry
        self._indexed = Gauge("tieout_indexed_slot", "Last slot read and committed.", ["mint"], registry=registry)
        self._finalized = Gauge("tieout_finalized_slot", "Newest finalized slot that a node told.", registry=registry)
        self._lag_slots = Gauge(
            "tieout_index_lag_slots", "Finalized slots not committed yet.", ["mint"], registry=registry
        )
        self._lag_s = Gauge(
            "tieout_index_lag_seconds", "Age of the newest block committed, at its commit.", registry=registry
        )
        self._events = Counter("tieout_events", "Events committed.", ["mint", "kind"], registry=registry)
        self._quarantined = Counter(
            "tieout_quarantined", "Doubts about transactions committed.", ["mint"], registry=registry
        )
        self._gaps = Gauge("tieout_parked_slots", "Slots in doubt that stop a frontier.", registry=registry)
        self._batch_s = Histogram(
            "tieout_db_write_batch_seconds", "Time of a commit.", buckets=_BUCKETS, registry=registry
        )
        self._findings = Gauge(
            "tieout_audit_findings", "What the last audit found to differ.", ["audit"], registry=registry
        )
        self._verified = Gauge(
            "tieout_audit_chain_verified_timestamp_seconds", "When the hash chain was last verified.", registry=registry
        )
        Info("tieout_build", "What runs here.", registry=registry).info(
            {"version": metadata.version("tieout"), "decoder_version": DECODER_VERSION}
        )
        self._nodes = _Nodes()
        registry.register(self._nodes)
        self._round_at_s = time.monotonic()

    def segment(self, outcome: SegmentOutcome) -> None:
        """A segment was committed."""
        self._batch_s.observe(outcome.commit_s)
        for (mint, kind), count in outcome.kinds.items():
            self._events.labels(mint, kind).inc(count)
        for mint, count in outcome.doubts.items():
            self._quarantined.labels(mint).inc(count)
        if outcome.last_block_time is not None:
            self._lag_s.set(max(time.time() - outcome.last_block_time.timestamp(), 0))

    def reached(self, frontiers: Mapping[str, int], tip: int) -> None:
        """A round begins: how far each mint is."""
        self._round_at_s = time.monotonic()
        self._finalized.set(tip)
        for mint, frontier in frontiers.items():
            self._indexed.labels(mint).set(frontier)
            self._lag_slots.labels(mint).set(max(tip - frontier, 0))

    def parked(self, slots: int) -> None:
        """How many slots stop a frontier now."""
        self._gaps.set(slots)

    def endpoints(self, endpoints: Sequence[Endpoint]) -> None:
        """The endpoints were probed."""
        self._nodes.endpoints = list(endpoints)

    def findings(self, found: Iterable[AuditFinding]) -> None:
        """An audit ran: what it found."""
        self._findings.clear()
        for finding in found:
            self._findings.labels(finding.check).inc()

    def chain_verified(self) -> None:
        """The hash chain was verified to its end."""
        self._verified.set(time.time())

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
        age_s = time.monotonic() - self._round_at_s
        sound = age_s < _STALE_AFTER_S
        return web.json_response({"ok": sound, "last_round_age_s": round(age_s, 3)}, status=200 if sound else 503)


class _Nodes(Collector):
    """The endpoints' own counts, read when somebody asks."""

    def __init__(self) -> None:
        self.endpoints: list[Endpoint] = []

    def collect(self) -> Iterator[Metric]:
        requests = CounterMetricFamily("tieout_rpc_requests", "Requests to a node.", labels=["endpoint", "outcome"])
        disagreed = CounterMetricFamily(
            "tieout_rpc_disagreements", "Finalized blocks about which a node was out-voted.", labels=["endpoint"]
        )
        latency = GaugeMetricFamily("tieout_rpc_latency_seconds", "Smoothed time to an answer.", labels=["endpoint"])
        standing = GaugeMetricFamily(
            "tieout_rpc_endpoint_standing", "1 for the standing that a node has.", labels=["endpoint", "standing"]
        )
        for node in {e.name: e for e in self.endpoints}.values():
            requests.add_metric([node.name, "answered"], node.requests - node.failures)
            requests.add_metric([node.name, "failed"], node.failures)
            requests.add_metric([node.name, "rate_limited"], node.rate_limited)
            disagreed.add_metric([node.name], node.disagreements)
            latency.add_metric([node.name], node.latency_s)
            for each in Standing:
                standing.add_metric([node.name, each.value], float(node.standing is each))
        yield from (requests, disagreed, latency, standing)
