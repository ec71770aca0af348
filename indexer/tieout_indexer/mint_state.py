"""What must be known of a mint to read its instructions: delegate, default state, transfer fee.

A fold over the mint's control rows in ledger order. ``known`` is False for a mint that was
picked up in mid-life: then roles stay unknown rather than guessed.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

EpochOf = Callable[[int], int]
BASIS_POINTS = 10_000


@dataclass(frozen=True, slots=True)
class TransferFee:
    """A fee in force from ``epoch`` on: basis points of the amount, at most ``maximum`` raw."""

    epoch: int
    maximum: int
    basis_points: int

    def on(self, amount: int) -> int:
        """The fee on a raw amount: rounded up, capped (token-2022, TransferFee::calculate_fee)."""
        if self.basis_points == 0 or amount == 0:
            return 0
        return min(self.maximum, -(-amount * self.basis_points // BASIS_POINTS))


@dataclass(frozen=True, slots=True)
class MintState:
    """The state of one mint before a transaction."""

    known: bool = False
    permanent_delegate: str | None = None
    default_frozen: bool = False
    older_fee: TransferFee | None = None
    newer_fee: TransferFee | None = None

    def fee(self, amount: int, epoch: int) -> int:
        """The fee that TransferChecked of ``amount`` bears in ``epoch``."""
        if self.newer_fee is None or self.older_fee is None:
            return 0
        in_force = self.newer_fee if epoch >= self.newer_fee.epoch else self.older_fee
        return in_force.on(amount)


def after(state: MintState, kind: str, details: Mapping[str, Any], epoch: int) -> MintState:
    """The state after one control of the mint."""
    if kind == "mint_open":
        return replace(state, known=True)
    if kind == "mint_close":
        # what is created at its address later is another mint
        return MintState()
    if kind == "snapshot":
        return _at_snapshot(details)
    if kind == "permanent_delegate":
        return replace(state, permanent_delegate=details["delegate"])
    if kind == "authority" and details["type"] == "permanent_delegate":
        return replace(state, permanent_delegate=details["new"])
    if kind == "default_state":
        return replace(state, default_frozen=details["state"] == "frozen")
    if kind == "transfer_fee" and details.get("initial"):
        fee = TransferFee(epoch, int(details["maximum_fee"]), details["basis_points"])
        return replace(state, older_fee=fee, newer_fee=fee)
    if kind == "transfer_fee":
        return _scheduled_fee(state, details, epoch)
    return state


def _at_snapshot(details: Mapping[str, Any]) -> MintState:
    fees = details["transfer_fee"]
    older, newer = (
        TransferFee(fees[age]["epoch"], int(fees[age]["maximum_fee"]), fees[age]["basis_points"]) if fees else None
        for age in ("older", "newer")
    )
    return MintState(True, details["permanent_delegate"], details["default_state"] == "frozen", older, newer)


def _scheduled_fee(state: MintState, details: Mapping[str, Any], epoch: int) -> MintState:
    # SetTransferFee: a newer fee already in force becomes the older one; the new one starts
    # two epochs on, so that nobody is surprised at an epoch's edge.
    older = state.older_fee
    if state.newer_fee is not None and state.newer_fee.epoch <= epoch:
        older = state.newer_fee
    newer = TransferFee(epoch + 2, int(details["maximum_fee"]), details["basis_points"])
    return replace(state, older_fee=older or newer, newer_fee=newer)


def fold(controls: Iterable[tuple[int, str, Mapping[str, Any]]], epoch_of: EpochOf) -> MintState:
    """The state after ``(slot, kind, details)`` rows in ledger order."""
    state = MintState()
    for slot, kind, details in controls:
        state = after(state, kind, details, epoch_of(slot))
    return state


def epoch_function(schedule: Mapping[str, Any] | None) -> EpochOf:
    """Return slot → epoch for a getEpochSchedule answer; without one, mainnet's 432,000 slots."""
    known = schedule or {}
    per_epoch = int(known.get("slotsPerEpoch", 432_000))
    first_slot = int(known.get("firstNormalSlot", 0))
    first_epoch = int(known.get("firstNormalEpoch", 0))

    def epoch_of(slot: int) -> int:
        if slot >= first_slot:
            return first_epoch + (slot - first_slot) // per_epoch
        # Warm-up: epoch n has 32 * 2^n slots, so it starts at 32 * (2^n - 1).
        return (slot // 32 + 1).bit_length() - 1

    return epoch_of
