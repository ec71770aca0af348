"""What the commands of ``tieout index`` share."""

from typing import Annotated, Any

import typer

from tieout import exits, settings
from tieout.commands.options import BIGINT_MAX

Mints = Annotated[list[str] | None, typer.Option("--mint", help="Mint address; repeat for several.")]
FromSlot = Annotated[int, typer.Option("--from-slot", min=0, max=BIGINT_MAX, help="First slot of the range.")]
ToSlot = Annotated[int, typer.Option("--to-slot", min=0, max=BIGINT_MAX, help="Last slot of the range, inclusive.")]


def limits() -> Any:
    """The indexer's limits, as the settings have them."""
    from tieout_indexer import IndexerLimits

    config = settings.load()
    return IndexerLimits(
        window_slots_max=config.window_slots_max,
        fetches_in_flight_max=config.fetches_in_flight_max,
        poll_interval_s=config.poll_interval_s,
        block_subscribe=config.block_subscribe,
        wake_on_confirmations=config.wake_on_confirmations,
        audit_signatures_max=config.audit_signatures_max,
        parked_retry_interval_s=config.parked_retry_interval_s,
        audit_interval_s=config.audit_interval_s,
        quorum_every_slots=config.quorum_every_slots,
        lag_slots_max=config.lag_slots_max,
        metrics_port=config.metrics_port,
        metrics_host=config.metrics_host,
    )


def checked_mints(mints: list[str] | None) -> list[str]:
    """The addresses of --mint, checked. Raises UsageProblem."""
    from tieout_indexer import check_mint_address

    try:
        return [check_mint_address(mint) for mint in mints or []]
    except ValueError as bad:
        raise exits.UsageProblem(f"--mint: {bad}") from bad
