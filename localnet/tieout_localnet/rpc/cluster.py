"""Methods about the node and its cluster of one."""

from typing import Final

from tieout_localnet.chain import Commitment, Slot
from tieout_localnet.engine import SLOTS_PER_EPOCH
from tieout_localnet.errors import NO_SNAPSHOT, RpcError, invalid_params
from tieout_localnet.genesis import SLOTS_PER_TURN
from tieout_localnet.rpc.blocks import TOTAL_STAKE
from tieout_localnet.rpc.params import Params, pubkey
from tieout_localnet.rpc.table import API_VERSION, Context, Method, Table, with_context

FEATURE_SET: Final = 3345198602
"""The feature set of the release whose shapes are answered."""

PRIORITIZATION_SLOTS_MAX: Final = 150
PRIORITIZATION_KEYS_MAX: Final = 128
LEADERS_MAX: Final = 5_000
STAKE_MINIMUM_LAMPORTS: Final = 1_000_000_000


def _slot(context: Context, params: Params) -> object:
    return context.slot(params.config(0))


def _block_height(context: Context, params: Params) -> object:
    slot = context.slot(params.config(0))
    chain = context.validator.chain
    return chain.open_height if slot >= chain.open_slot else chain.height_at(slot)


def _epoch_info(context: Context, params: Params) -> object:
    slot = context.slot(params.config(0))
    return {
        "absoluteSlot": slot,
        "blockHeight": _block_height(context, params),
        "epoch": slot // SLOTS_PER_EPOCH,
        "slotIndex": slot % SLOTS_PER_EPOCH,
        "slotsInEpoch": SLOTS_PER_EPOCH,
        "transactionCount": _transactions_at(context, slot),
    }


def _transactions_at(context: Context, slot: Slot) -> int:
    node = context.validator.chain.node(slot)
    return context.validator.transaction_count if node is None else node.block.transaction_count


def _transaction_count(context: Context, params: Params) -> object:
    return _transactions_at(context, context.slot(params.config(0)))


def _epoch_schedule(context: Context, params: Params) -> object:
    return {
        "firstNormalEpoch": 0,
        "firstNormalSlot": 0,
        "leaderScheduleSlotOffset": SLOTS_PER_EPOCH,
        "slotsPerEpoch": SLOTS_PER_EPOCH,
        "warmup": False,
    }


def _version(context: Context, params: Params) -> object:
    return {"feature-set": FEATURE_SET, "solana-core": API_VERSION}


def _health(context: Context, params: Params) -> object:
    return "ok"


def _genesis_hash(context: Context, params: Params) -> object:
    return context.validator.identity.genesis_hash


def _identity(context: Context, params: Params) -> object:
    return {"identity": str(context.validator.identity.validator)}


def _slot_leader(context: Context, params: Params) -> object:
    return str(context.validator.leader(context.slot(params.config(0))))


def _slot_leaders(context: Context, params: Params) -> object:
    first, limit = params.u64(0), params.u64(1)
    if not 1 <= limit <= LEADERS_MAX:
        raise invalid_params(f"Invalid limit; max {LEADERS_MAX}")
    return [str(context.validator.leader(slot)) for slot in range(first, first + limit)]


def _leader_schedule(context: Context, params: Params) -> object:
    validator, all_turns = context.validator, SLOTS_PER_TURN * context.validator.leaders
    if validator.leaders == 1:
        return {str(validator.identity.validator): list(range(SLOTS_PER_EPOCH))}
    return {
        str(validator.leader(first)): [
            slot
            for turn in range(first, SLOTS_PER_EPOCH, all_turns)
            for slot in range(turn, turn + SLOTS_PER_TURN)
        ]
        for first in range(0, all_turns, SLOTS_PER_TURN)
    }


def _vote_accounts(context: Context, params: Params) -> object:
    identity, chain = context.validator.identity, context.validator.chain
    current = {
        "activatedStake": TOTAL_STAKE,
        "commission": 0,
        "epochCredits": [],
        "epochVoteAccount": True,
        "inflationRewardsCommissionBps": 0,
        "lastVote": chain.tip.block.slot,
        "nodePubkey": str(identity.validator),
        "rootSlot": chain.root,
        "votePubkey": str(identity.vote),
    }
    return {"current": [current], "delinquent": []}


def _cluster_nodes(context: Context, params: Params) -> object:
    node = {
        "clientId": "tieout-localnet",
        "featureSet": FEATURE_SET,
        "gossip": None,
        "pubkey": str(context.validator.identity.validator),
        "pubsub": f"127.0.0.1:{context.port + 1}",
        "rpc": f"127.0.0.1:{context.port}",
        "serveRepair": None,
        "shredVersion": 1,
        "tpu": None,
        "tpuForwards": None,
        "tpuForwardsQuic": None,
        "tpuQuic": None,
        "tpuVote": None,
        "tvu": None,
        "version": API_VERSION,
    }
    return [node]


def _supply(context: Context, params: Params) -> object:
    slot = context.slot(params.config(0))
    total = context.validator.accounts.lamports()
    value = {"circulating": total, "nonCirculating": 0, "nonCirculatingAccounts": [], "total": total}
    return with_context(slot, value)


def _inflation_rate(context: Context, params: Params) -> object:
    epoch = context.validator.position(Commitment.FINALIZED) // SLOTS_PER_EPOCH
    return {"epoch": epoch, "foundation": 0.0, "total": 0.0, "validator": 0.0}


def _inflation_governor(context: Context, params: Params) -> object:
    return {"foundation": 0.0, "foundationTerm": 0.0, "initial": 0.0, "taper": 1.0, "terminal": 0.0}


def _inflation_reward(context: Context, params: Params) -> object:
    return [None for value in params.list(0) if pubkey(value)]


def _prioritization_fees(context: Context, params: Params) -> object:
    keys = [] if params.get(0) is None else params.list(0)
    if len(keys) > PRIORITIZATION_KEYS_MAX:
        raise invalid_params(f"Too many inputs provided; max {PRIORITIZATION_KEYS_MAX}")
    for key in keys:
        pubkey(key)
    blocks = context.validator.chain.recent_blocks(PRIORITIZATION_SLOTS_MAX)
    return [{"prioritizationFee": 0, "slot": block.slot} for block in reversed(blocks)]


def _performance_samples(context: Context, params: Params) -> object:
    return []


def _stake_minimum(context: Context, params: Params) -> object:
    return with_context(context.slot(params.config(0)), STAKE_MINIMUM_LAMPORTS)


def _no_snapshot(context: Context, params: Params) -> object:
    raise RpcError(NO_SNAPSHOT, "No snapshot")


def _zero(context: Context, params: Params) -> object:
    return 0


def _block_production(context: Context, params: Params) -> object:
    slot = context.slot(params.config(0))
    first = slot - slot % SLOTS_PER_EPOCH
    validator = context.validator
    made = set(validator.store.slots(first, slot, SLOTS_PER_EPOCH)) | {validator.open.slot}
    by_identity: dict[str, list[int]] = {}
    for turn in range(first, slot + 1, SLOTS_PER_TURN):
        slots = range(turn, min(turn + SLOTS_PER_TURN, slot + 1))
        counts = by_identity.setdefault(str(validator.leader(turn)), [0, 0])
        counts[0] += len(slots)
        counts[1] += sum(each in made for each in slots)
    value = {
        "byIdentity": by_identity,
        "range": {"firstSlot": first, "lastSlot": slot},
    }
    return with_context(slot, value)


def _largest_accounts(context: Context, params: Params) -> object:
    slot = context.slot(params.config(0))
    pairs = sorted(context.validator.accounts.stored(), key=lambda pair: (-pair[1].lamports, str(pair[0])))
    rows = [{"address": str(key), "lamports": state.lamports} for key, state in pairs[:20]]
    return with_context(slot, rows)


METHODS: Table = {
    "getSlot": Method(_slot, 0, 1),
    "getBlockHeight": Method(_block_height, 0, 1),
    "getEpochInfo": Method(_epoch_info, 0, 1),
    "getEpochSchedule": Method(_epoch_schedule, 0, 0),
    "getTransactionCount": Method(_transaction_count, 0, 1),
    "getVersion": Method(_version, 0, 0),
    "getHealth": Method(_health, 0, 0),
    "getGenesisHash": Method(_genesis_hash, 0, 0),
    "getIdentity": Method(_identity, 0, 0),
    "getSlotLeader": Method(_slot_leader, 0, 1),
    "getSlotLeaders": Method(_slot_leaders, 2, 2),
    "getLeaderSchedule": Method(_leader_schedule, 0, 2),
    "getVoteAccounts": Method(_vote_accounts, 0, 1),
    "getClusterNodes": Method(_cluster_nodes, 0, 0),
    "getSupply": Method(_supply, 0, 1),
    "getLargestAccounts": Method(_largest_accounts, 0, 1),
    "getInflationRate": Method(_inflation_rate, 0, 0),
    "getInflationGovernor": Method(_inflation_governor, 0, 1),
    "getInflationReward": Method(_inflation_reward, 1, 2),
    "getRecentPrioritizationFees": Method(_prioritization_fees, 0, 1),
    "getRecentPerformanceSamples": Method(_performance_samples, 0, 1),
    "getStakeMinimumDelegation": Method(_stake_minimum, 0, 1),
    "getHighestSnapshotSlot": Method(_no_snapshot, 0, 0),
    "getMaxRetransmitSlot": Method(_zero, 0, 0),
    "getMaxShredInsertSlot": Method(_zero, 0, 0),
    "getBlockProduction": Method(_block_production, 0, 1),
}
