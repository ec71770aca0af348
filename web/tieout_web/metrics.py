"""Metrics of the figures, on a port of their own: for alerts and dashboards, never for money (gauges are floats)."""

from collections import Counter
from collections.abc import Iterator
from datetime import datetime

from prometheus_client import CollectorRegistry, start_http_server
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from tieout_reconcile import InstrumentResult, Run
from tieout_web.board import Board, utc_now
from tieout_web.freshness import Freshness, ripcord_reasons
from tieout_web.showing import custody
from tieout_web.stream import Broadcaster


class BoardMetrics(Collector):
    """What the board shows, read at the moment of the scrape. Unknown figures have no sample: alert on absence."""

    def __init__(self, board: Board, stream: Broadcaster) -> None:
        self._board = board
        self._stream = stream

    def collect(self) -> Iterator[Metric]:
        """Yield the families."""
        yield GaugeMetricFamily("tieout_database_up", "1 while the database answers.", 0 if self._board.gone else 1)
        yield GaugeMetricFamily("tieout_stream_listeners", "Open event streams.", self._stream.listeners)
        seen = self._board.seen
        if seen is None:
            return
        if seen.tip is not None:
            yield GaugeMetricFamily("tieout_indexed_slot", "Highest proven slot.", seen.tip.slot)
            yield GaugeMetricFamily("tieout_parked_slots", "Slots in doubt.", seen.tip.parked)
            yield GaugeMetricFamily("tieout_quarantined", "Transactions that do not add up.", seen.tip.quarantined)
            yield GaugeMetricFamily("tieout_audit_findings_open", "Open findings of audits.", seen.tip.findings)
        yield from self._of_run()

    def _of_run(self) -> Iterator[Metric]:
        run = self._board.seen.run if self._board.seen else None
        if run is None:
            return
        if run.ran_at is not None:
            name = "tieout_reconciliation_last_success_timestamp_seconds"
            yield GaugeMetricFamily(name, "When the last run was stored.", run.ran_at.timestamp())
        figures = _Figures()
        now = utc_now()
        for result in run.instruments:
            freshness = self._board.freshness(run, result)
            figures.add_state(result, freshness, now)
            if freshness.is_fresh(now):
                figures.add_quantities(result)
        yield from figures.families
        yield _breaks(run)


class _Figures:
    """The gauges of all instruments of a run."""

    def __init__(self) -> None:
        self.required = GaugeMetricFamily("tieout_required_shares", "Shares owed.", labels=["mint"])
        self.held = GaugeMetricFamily("tieout_custody_shares", "Shares held.", labels=["mint", "custodian", "basis"])
        self.ratio = GaugeMetricFamily("tieout_coverage_ratio", "Custody / liability.", labels=["mint", "basis"])
        self.surplus = GaugeMetricFamily("tieout_surplus_shares", "Custody less liability.", labels=["mint"])
        self.multiplier = GaugeMetricFamily("tieout_multiplier_ratio", "At the cut-off.", labels=["mint", "state"])
        self.ripcord = GaugeMetricFamily("tieout_ripcord", "1: do not rely on the figures.", labels=["mint"])
        self.age = GaugeMetricFamily("tieout_oldest_input_age_seconds", "Age of the oldest input.", labels=["mint"])

    @property
    def families(self) -> tuple[Metric, ...]:
        """All of them."""
        return (self.required, self.held, self.ratio, self.surplus, self.multiplier, self.ripcord, self.age)

    def add_state(self, result: InstrumentResult, freshness: Freshness, now: datetime) -> None:
        """Add what is known of figures of any age."""
        self.ripcord.add_metric([result.symbol], float(bool(ripcord_reasons(result, freshness, now))))
        if (seconds := freshness.age_s(now)) is not None:
            self.age.add_metric([result.symbol], seconds)

    def add_quantities(self, result: InstrumentResult) -> None:
        """Add the quantities that are known."""
        if result.liability is not None:
            self.required.add_metric([result.symbol], float(result.liability))
        for line in custody(result, fresh=True):
            if line.shares.value is not None:
                self.held.add_metric([result.symbol, line.custodian, line.basis], float(line.shares.value))
        if result.custody is not None and result.liability:
            self.ratio.add_metric([result.symbol, "settled"], float(result.custody / result.liability))
        if result.difference is not None:
            self.surplus.add_metric([result.symbol], float(result.difference))
        if result.multiplier is not None:
            self.multiplier.add_metric([result.symbol, "current"], float(result.multiplier))


def _breaks(run: Run) -> Metric:
    made = GaugeMetricFamily("tieout_breaks_open", "Open breaks.", labels=["mint", "code"])
    for (symbol, code), count in sorted(Counter((f.symbol, f.code) for f in run.breaks).items()):
        made.add_metric([symbol, code], count)
    return made


def serve_metrics(board: Board, stream: Broadcaster, host: str, port: int) -> None:
    """Serve the metrics on a port of their own, in a thread."""
    registry = CollectorRegistry()
    registry.register(BoardMetrics(board, stream))
    start_http_server(port, host, registry)
