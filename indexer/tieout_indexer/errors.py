"""The indexer's errors; what it finds in blocks is stored as rows, not raised.

Tree::

    IndexerError
    ├── WriterBusy           another indexer writes; wait for it or stop it
    ├── Fenced               another indexer has taken over: this one must stop
    ├── AnotherChain         the node is of another cluster than the database
    ├── NotAMint             an address that is no mint on this chain
    ├── ChangedBlock         a finalized block differs from the one in the ledger: a person must look
    ├── NotParked            a slot that nobody doubts cannot be given up
    ├── BadEvidence          stored or detached evidence is not what was hashed
    └── NoSnapshot           the node's accounts do not make a consistent picture of the mint
"""


class IndexerError(Exception):
    """The indexer cannot go on."""


class WriterBusy(IndexerError):
    """Another indexer holds the writer's lock."""


class Fenced(IndexerError):
    """The fencing token is no longer ours."""


class AnotherChain(IndexerError):
    """The node's genesis hash is not the ledger's."""


class NotAMint(IndexerError):
    """The address is no mint of a token program."""


class ChangedBlock(IndexerError):
    """A finalized block has changed under us."""


class NotParked(IndexerError):
    """The slot is not parked."""


class BadEvidence(IndexerError):
    """Evidence does not have the hash recorded with it."""


class NoSnapshot(IndexerError):
    """The accounts of a mint could not be read as one consistent state."""
