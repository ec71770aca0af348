"""Where the localnet's answers may differ from those of the recorded validator, and why.

Everything else is equal, value by value. Each entry is needed: a test fails for one that no answer uses.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Accepted:
    """Paths (a regular expression, whole) in the answers of methods (the same) that may differ."""

    methods: str
    path: str
    reason: str


META_NOT_COMPARED = {
    "computeUnitsConsumed": "another version of Token-2022 consumes other amounts",
    "costUnits": "follows computeUnitsConsumed and the size of the programs",
    "logMessages": "name the compute units; compared by the calls and outcomes that they tell",
    "rewards": "set when a block is shown",
}
"""Members of a transaction's meta that are not compared when the day is replayed."""

ANY = ".*"
IN_TRANSACTION = r"result(\.transactions\[\d+\])?"

DIFFERENCES = (
    Accepted(ANY, r".*[bB]lockhash", "hashes are the chain's own"),
    Accepted("getBlocks", r"result\[\]", "the tip moved between the questions"),
    Accepted("getSignatureStatuses", r"result\.context\.slot", "the tip moved between the questions"),
    Accepted("getTransaction", r"result\.transaction\[0\]", "the wire holds a blockhash of this chain"),
    Accepted(
        "getTransaction|getBlock",
        IN_TRANSACTION + r"\.meta\.(computeUnitsConsumed|costUnits)",
        "Token-2022 11 here, 10 there: other amounts of compute units",
    ),
    Accepted(
        "getTransaction|getBlock",
        IN_TRANSACTION + r"\.meta\.logMessages.*",
        "name the compute units; the programs that they name are compared with the outcomes",
    ),
    Accepted(
        "getTransaction|getBlock",
        IN_TRANSACTION + r"\.meta\.(pre|post)Balances\[\d+\]",
        "the rent of the smaller memo program, and one payer's fee of the step that is left out",
    ),
    Accepted("getBalance|getAccountInfo", r"result\.value(\.lamports)?", "the fee of the step left out"),
    Accepted("getTransaction|getSignatures.*", r".*\.transactionIndex", "counts vote transactions there"),
    Accepted("getBlock", r"result\.rewards.*", "another leader, who is paid for votes there"),
    Accepted("getBlockCommitment", r"result\..*", "the stake of the cluster; null once the slot is final"),
    Accepted("getTokenLargestAccounts", r"result\.value\[\d+\]\.address", "order of equal amounts"),
    Accepted("getSupply", r"result\.value\..*", "the real genesis has more money and locked accounts"),
    Accepted("getVoteAccounts", r"result\.current.*", "nobody votes here"),
    Accepted("getClusterNodes", r"result.*", "there is no gossip and no transaction port here"),
    Accepted("getRecentPerformanceSamples", r"result.*", "none are taken here"),
    Accepted("getRecentPrioritizationFees", r"result.*", "of the blocks before the question"),
    Accepted("getInflationRate", r"result\..*", "there is no inflation here"),
    Accepted("getHighestSnapshotSlot", r"(result|error).*", "no snapshots are made here"),
    Accepted("getLeaderSchedule", r"result.*", "named by identity, which is the chain's own"),
    Accepted("getGenesisHash|getSlotLeader", r"result", "the chain's own"),
    Accepted("getIdentity", r"result\.identity", "the chain's own"),
    Accepted("getTransactionCount", r"result", "votes are transactions there"),
    Accepted("getEpochInfo", r"result\.transactionCount", "votes are transactions there"),
    Accepted(
        "sendTransaction", r"error\..*", "the signature does not fit the blockhash that replaces its own"
    ),
    Accepted("simulateTransaction", r"result\.value\..*(units|logs|loaded).*", "other versions of programs"),
)
