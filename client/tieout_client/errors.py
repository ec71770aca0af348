"""The errors of this package; the tree is drawn in the package docstring."""

from typing import Any

from tieout_client.refusal import Refusal


class ClientError(Exception):
    """The token program could not be driven as asked."""


class BadInput(ClientError):
    """A value, address, file or state that the operation cannot start from. Nothing was sent."""


class ProgramRefused(ClientError):
    """The chain ran the transaction, or its preflight, and a program said no; the same bytes fail again.

    ``refusal`` names the instruction, the program and its error; ``signature`` is the
    transaction's; ``landed`` says whether it is on the chain (and cost its fee) or was only
    simulated; ``logs`` are the node's lines, for people.
    """

    def __init__(self, refusal: Refusal, signature: str, *, landed: bool, logs: tuple[str, ...] = ()) -> None:
        self.refusal, self.signature, self.landed, self.logs = refusal, signature, landed, logs
        where = "on chain" if landed else "in preflight, nothing was sent on"
        super().__init__(f"{refusal} ({where}; transaction {signature})")

    @property
    def error(self) -> Any:
        """The node's TransactionError, as its JSON."""
        return self.refusal.error


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
