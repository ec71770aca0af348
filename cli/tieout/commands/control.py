"""``tieout control``: each crossing of the issuer's boundary checked as it becomes final, and who is told of it."""

import asyncio
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from tieout import exits, settings
from tieout.commands.breaks import Key, Note
from tieout.commands.options import Dsn, Json, group, run
from tieout.output import OUTPUT, table
from tieout.running import check_metrics_port, run_until_stopped, speaker, told_to_stop
from tieout.settings import ReceiverSettings, Settings

APP = group("Control in time: alerts on what nobody ordered or announced, told to receivers until they answer.")
_SECRET_BYTES_MAX = 4096
_ALERTS_MAX = 10_000
_FINGERPRINT_SHOWN = 12


@APP.command("run")
def run_(dsn: Dsn = None) -> None:
    """Check the ledger and tell the receivers of ``[control]`` until SIGTERM; the step in hand is finished first."""
    terminated = told_to_stop()
    from tieout_reconcile.control import control

    config, where = settings.load(), settings.database_dsn(dsn)
    receivers, limits, say = _receivers(config), _limits(config), speaker(config.log_format)
    check_metrics_port(limits.metrics_host, limits.metrics_port, "metrics_port (TIEOUT_CONTROL__METRICS_PORT)")

    async def work(stop: asyncio.Event) -> None:
        await control(where, receivers, stop, limits=limits, say=say)

    run_until_stopped(work, terminated)
    say("stopped", event="stopped")


@APP.command()
def status(dsn: Dsn = None, as_json: Json = False) -> None:
    """How far the ledger is checked, what waits to be told, and whether orders are read. Exit 1 where one is late."""
    from tieout_reconcile.control import control_status

    config, where = settings.load(), settings.database_dsn(dsn)
    ages = _limits(config).ages
    found = run(control_status(where, [r.name for r in config.control.receivers] or None, ages))
    late = found.late(config.control.undelivered_max_s)
    rows = (
        (r.receiver, r.depth, "" if r.oldest_s is None else f"{r.oldest_s:.0f}", r.failures, r.last_error or "")
        for r in found.receivers
    )
    head = f"checked to batch {found.batch:,} of {found.last_batch:,}, {found.lag_s:.1f} s behind"
    firing = [f"{f.alerts} {f.alertname} {f.symbol or ''} firing".replace("  ", " ") for f in found.firing]
    shown = table("", ("receiver", "waiting>", "oldest, s>", "failures>", "last failure"), rows)
    OUTPUT.result({**found.to_json(), "late": late}, head, *firing, shown, *late)
    if late:
        raise exits.Found


@APP.command("list")
def list_(
    every: Annotated[bool, typer.Option("--all", help="Also the alerts that ended.")] = False,
    limit: Annotated[int, typer.Option("--limit", min=1, max=_ALERTS_MAX, help="How many at most.")] = 200,
    dsn: Dsn = None,
    as_json: Json = False,
) -> None:
    """List the alerts that fire, the newest first. Exit 1 where one does."""
    from tieout_reconcile.control import list_alerts

    found = run(list_alerts(settings.database_dsn(dsn), resolved=every, limit=limit))
    OUTPUT.result({"alerts": found}, _alerts(found))
    if any(a.status == "firing" for a in found):
        raise exits.Found


@APP.command()
def acknowledge(
    alert: Annotated[str, typer.Argument(help="The alert's fingerprint, or its beginning, as list shows it.")],
    key: Key,
    note: Note = None,
    dsn: Dsn = None,
    as_json: Json = False,
) -> None:
    """Say under your key that you have seen an alert. It goes on firing, and its break on ageing."""
    from tieout_reconcile import read_signing_key
    from tieout_reconcile.control import acknowledge as acknowledge_alert

    signer = read_signing_key(key)
    found = run(acknowledge_alert(settings.database_dsn(dsn), alert, signer, note=note))
    OUTPUT.result({"alert": found}, _alerts([found]))


def _alerts(found: Sequence[Any]) -> Any:
    rows = (
        (a.fingerprint[:_FINGERPRINT_SHOWN], a.status, f"{a.starts_at:%Y-%m-%d %H:%M:%S}",
         a.labels.get("alertname", ""), a.acknowledged_by or "", a.annotations.get("summary", ""))
        for a in found
    )  # fmt: skip
    return table("", ("alert id", "status", "since", "alert", "seen by", "what"), rows)


def _limits(config: Settings) -> Any:
    from tieout_reconcile import AgeLimits
    from tieout_reconcile.control import ControlLimits

    names = (
        "poll_interval_s", "ripcord_interval_s", "ripcord_after_s", "ripcord_observations_min", "send_timeout_s",
        "sends_in_flight_max", "retry_initial_s", "retry_max_s", "undelivered_max_s", "metrics_port", "metrics_host",
        "external_url",
    )  # fmt: skip
    ages = AgeLimits(config.chain_age_max_s, config.statement_age_max_s, config.order_age_max_s)
    return ControlLimits(ages=ages, **{name: getattr(config.control, name) for name in names})


def _receivers(config: Settings) -> list[Any]:
    """The receivers of the settings, each with its secret. Raises UsageProblem, BadSetting."""
    from tieout_reconcile.control import Receiver

    return [Receiver(r.name, r.url, _secret(r)) for r in config.control.receivers]


def _secret(receiver: ReceiverSettings) -> bytes:
    who = f"receiver {receiver.name}"
    if (receiver.secret_file is None) is (receiver.secret_env is None):
        raise exits.UsageProblem(f"{who}: name its secret by either secret_file or secret_env")
    if receiver.secret_env is not None:
        text = os.environ.get(receiver.secret_env)
        if not text:
            raise exits.UsageProblem(f"{who}: the environment has no {receiver.secret_env}")
        return text.strip().encode()
    assert receiver.secret_file is not None
    return _file_secret(who, receiver.secret_file.expanduser())


def _file_secret(who: str, path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(_SECRET_BYTES_MAX).strip()
    except OSError as bad:
        raise exits.UsageProblem(f"{who}: cannot read its secret from {path}: {bad.strerror}") from bad
