"""The errors of this package; the tree is drawn in the package docstring."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final

from tieout_client.program_errors import OTHER_PROGRAM_ERRORS
from tieout_client.refusal import Refusal
from tieout_idl import PROGRAM_ERRORS


class ClientError(Exception):
    """The token program could not be driven as asked."""


class BadInput(ClientError):
    """A value, address, file or state that the operation cannot start from. Nothing was sent."""


class WrongAuthority(BadInput):
    """The key that would sign is not the one that the mint names for the role."""


class InstrumentPaused(BadInput):
    """The mint is paused: nothing is minted, moved or burned."""


class AccountFrozen(BadInput):
    """A token account that would be debited or credited is frozen."""


class AccountMissing(BadInput):
    """A token account that would be debited or credited was never opened, or is closed."""


class WrongDecimals(BadInput):
    """The mint counts in other decimals than the caller expects."""


class InsufficientInventory(BadInput):
    """The account that would be debited holds less than is asked for."""


class OverLimit(BadInput):
    """The amount is above the desk's limit for one operation or for a day."""


class JournalUnavailable(ClientError):
    """The journal could not be read or written. What is not in the journal was not sent."""


class AlreadyIssued(ClientError):
    """The request's guard account exists: the request was carried out before, here or on another host.

    ``address`` is the guard's; ``signature`` and ``slot`` those of the transaction that made it,
    None where the node's history does not show it.
    """

    def __init__(self, kind: str, request_id: str, address: str, signature: str | None, slot: int | None) -> None:
        self.address, self.signature, self.slot = address, signature, slot
        by = (
            f"by transaction {signature} in slot {slot}" if signature else "by a transaction that this node has no more"
        )
        super().__init__(
            f"the {kind} request {request_id} was carried out before, {by}: its guard account {address} exists; "
            "nothing was done now, compare that transaction with the order"
        )


class ProgramRefused(ClientError):
    """The chain ran the transaction, or its preflight, and a program said no; the same bytes fail again.

    ``refusal`` names the instruction, the program, its error and the next step; ``signature`` is
    the transaction's, None when it was only simulated before signing; ``landed`` says whether it
    is on the chain (and cost its fee) or not; ``logs`` are the node's lines, for people. What is
    raised is the class of ``PROGRAM_REFUSALS`` for the error, where there is one.
    """

    def __init__(self, refusal: Refusal, signature: str | None, *, landed: bool, logs: tuple[str, ...] = ()) -> None:
        self.refusal, self.signature, self.landed, self.logs = refusal, signature, landed, logs
        where = "on chain" if landed else "in preflight, nothing was sent on"
        how = "in simulation, nothing was signed or sent" if signature is None else f"{where}; transaction {signature}"
        super().__init__(f"{refusal} ({how}); next: {refusal.next_step}")

    @property
    def error(self) -> Any:
        """The node's TransactionError, as its JSON."""
        return self.refusal.error

    @property
    def next_step(self) -> str:
        """What to do about it, in one sentence."""
        return self.refusal.next_step


PROGRAM_REFUSALS: Final[Mapping[str, type[ProgramRefused]]] = MappingProxyType(
    {
        name: type(f"{name}Refused", (ProgramRefused,), {"__module__": __name__, "__doc__": f"Refused: {sentence}."})
        for name, sentence in [*PROGRAM_ERRORS.values(), *OTHER_PROGRAM_ERRORS]
    }
)
"""Error name → its own class: ``except PROGRAM_REFUSALS["MintPaused"]``."""


def program_refused(
    refusal: Refusal, signature: str | None, *, landed: bool, logs: tuple[str, ...] = ()
) -> ProgramRefused:
    """Return a refusal as the error of its own class."""
    return PROGRAM_REFUSALS.get(refusal.name, ProgramRefused)(refusal, signature, landed=landed, logs=logs)


class Expired(ClientError):
    """The transaction can no longer land: its blockhash is too old by finalized height and it has no status.

    Doing the operation again is safe.
    """

    def __init__(self, signature: str, last_valid_block_height: int) -> None:
        self.signature, self.last_valid_block_height = signature, last_valid_block_height
        super().__init__(
            f"transaction {signature} did not land by block height {last_valid_block_height}: "
            "it is dead, the operation can be done again"
        )


class OutcomeUnknown(ClientError):
    """The transaction was sent and no node could tell in time what became of it.

    Doing the operation again may do it twice: ask for the signature's status first.
    """

    def __init__(self, signature: str, last_valid_block_height: int, why: str) -> None:
        self.signature, self.last_valid_block_height = signature, last_valid_block_height
        super().__init__(
            f"transaction {signature} was sent and its outcome is unknown: {why}; look up its status before "
            f"doing the operation again (it can land until block height {last_valid_block_height})"
        )
