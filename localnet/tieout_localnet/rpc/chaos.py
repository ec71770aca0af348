"""Methods that make the node misbehave, and the oracle that says what is true all the same."""

from dataclasses import asdict
from typing import Final

from tieout_localnet.chain import Block, CannotSwitch
from tieout_localnet.chaos import BadRule, from_table
from tieout_localnet.errors import RpcError, invalid_params
from tieout_localnet.forks import DEPTH_MAX, FATES, SKIP_MAX
from tieout_localnet.pool import Fate
from tieout_localnet.rpc.params import Config, Params, config, u64
from tieout_localnet.rpc.table import Context, Method, Table

CANONICAL_BLOCKS_MAX: Final = 10_000


def _number(asked: Config, name: str, default: int, least: int, most: int) -> int:
    value = asked.members.get(name)
    number = default if value is None else u64(value)
    if not least <= number <= most:
        raise invalid_params(f"`{name}` must be from {least} to {most}.")
    return number


def _fate(context: Context, asked: Config) -> Fate:
    name = asked.optional_text("transactions") or "elsewhere"
    if name not in FATES:
        raise invalid_params(f"`transactions` must be one of {', '.join(FATES)}.")
    return FATES[name](f"{context.book.seed}/{context.validator.open.slot}")


def _refused(error: Exception) -> RpcError:
    return invalid_params(f"{error}.")


def _where(context: Context) -> object:
    chain, plan = context.validator.chain, context.forks.plan
    return {
        "slot": chain.open_slot,
        "parent": chain.tip.block.slot,
        "root": chain.root,
        "blocksUntilForkEnds": None if plan is None else plan.remaining,
        "waiting": [str(signature) for signature in context.validator.pool.signatures()],
    }


def skip(context: Context, params: Params) -> object:
    """Leave the open slot, and {slots: n} in all, without a block."""
    first = params.get(0)
    asked = config({"slots": first} if isinstance(first, int) else first)
    context.forks.skip(_number(asked, "slots", 1, 1, SKIP_MAX))
    return _where(context)


def fork(context: Context, params: Params) -> object:
    """Fork: the next {depth: d} blocks are given up; {when: "now"}: the newest d are; {to: hash}: follow the
    branch of a block that was given up; {duplicate: true}: a second block in the open slot."""
    asked = config(params.get(0))
    rollback, fate = asked.flag("rollback"), _fate(context, asked)
    depth = _number(asked, "depth", 1, 1, DEPTH_MAX)
    target, when = asked.optional_text("to"), asked.optional_text("when") or "ahead"
    if when not in ("ahead", "now"):
        raise invalid_params("`when` must be ahead or now.")
    try:
        if target is not None:
            context.forks.switch(target, fate, rollback=rollback)
        elif asked.flag("duplicate"):
            context.forks.begin(1, fate, rollback=rollback, duplicate=True)
        elif when == "now":
            context.forks.give_up(depth, fate, rollback=rollback)
        else:
            context.forks.begin(depth, fate, rollback=rollback)
    except CannotSwitch as error:
        raise _refused(error) from error
    return {
        **_shown(_where(context)),
        "givenUp": [
            {"slot": node.block.slot, "blockhash": node.block.blockhash}
            for node in context.validator.chain.side()
        ],
    }


def _shown(value: object) -> dict[str, object]:
    return value if isinstance(value, dict) else {}


def canonical(context: Context, params: Params) -> object:
    """The truth: blocks of the followed branch from slot to slot, with signatures and outcomes in order."""
    asked = config(params.get(0))
    chain, store = context.validator.chain, context.validator.store
    first = _number(asked, "from", 0, 0, 2**64 - 1)
    last = _number(asked, "to", chain.tip.block.slot, 0, 2**64 - 1)
    slots = store.slots(first, min(last, chain.tip.block.slot), CANONICAL_BLOCKS_MAX)
    blocks = (store.block(slot) for slot in slots)
    return {
        "root": chain.root,
        "tip": chain.tip.block.slot,
        "openSlot": chain.open_slot,
        "blocks": [_block(context, block) for block in blocks if block is not None],
    }


def _block(context: Context, block: Block) -> object:
    return {
        "slot": block.slot,
        "parentSlot": block.parent_slot,
        "blockhash": block.blockhash,
        "previousBlockhash": block.previous_blockhash,
        "blockHeight": block.height,
        "blockTime": block.block_time,
        "transactions": [
            {"signature": signature, "err": err}
            for signature, err in context.validator.store.outcomes(block.slot)
        ],
    }


def chaos(context: Context, params: Params) -> object:
    """Rules: {add: rule or list of rules}, {clear: true or a name}, {seed: n}; always answers the rules."""
    asked = config(params.get(0))
    book = context.book
    if asked.members.get("seed") is not None:
        book.seed = u64(asked.members["seed"])
    cleared = asked.members.get("clear")
    if cleared is True:
        book.clear()
    elif isinstance(cleared, str):
        book.clear(cleared)
    added = asked.members.get("add")
    try:
        for table in added if isinstance(added, list) else [] if added is None else [added]:
            book.add(from_table(table, book.next_number()))
    except BadRule as error:
        raise _refused(error) from error
    return {
        "seed": book.seed,
        "rules": [{**asdict(rule), "fired": book.fired[rule.name]} for rule in book.rules],
        "firings": [asdict(firing) for firing in book.firings] if asked.flag("firings") else None,
    }


METHODS: Table = {
    "localnet_canonical": Method(canonical, 0, 1),
    "localnet_chaos": Method(chaos, 0, 1),
    "localnet_fork": Method(fork, 0, 1),
    "localnet_skip": Method(skip, 0, 1),
}
