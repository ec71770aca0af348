"""Transfer fees of a mint, as the program computes them: a part of the amount, rounded up, capped. Pure."""

from typing import Any

from tieout_client.reading import Instrument

_BASIS_POINTS = 10_000


def transfer_fee(instrument: Instrument, raw: int, epoch: int) -> int | None:
    """Return the raw units that a transfer of ``raw`` bears in an epoch; None for a mint without fees.

    Source: token-2022 ``TransferFeeConfig::get_epoch_fee``, ``TransferFee::calculate_fee``.
    """
    config = instrument.mint.extension("transfer_fee_config")
    if config is None:
        return None
    newer: dict[str, Any] = config.fields["newer_transfer_fee"]
    fee: dict[str, Any] = newer if epoch >= newer["epoch"] else config.fields["older_transfer_fee"]
    return min(-(-raw * int(fee["transfer_fee_basis_points"]) // _BASIS_POINTS), int(fee["maximum_fee"]))
