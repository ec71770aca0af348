"""Methods that a real validator does not have: make slots by hand, move the clock, say what this is."""

import os
from typing import Final

from tieout_localnet import __version__
from tieout_localnet.chain import Commitment
from tieout_localnet.errors import invalid_params
from tieout_localnet.rpc.params import Params, config
from tieout_localnet.rpc.table import API_VERSION, Context, Method, Table

ADVANCE_SLOTS_MAX: Final = 1_000
SECONDS_MAX: Final = 400 * 366 * 86_400


def _member(params: Params, name: str, default: int | None = None) -> int:
    """A single integer, given as {name: n} or as the bare number."""
    first = params.get(0)
    value = config(first).members.get(name, default) if first is None or isinstance(first, dict) else first
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise invalid_params(f"`{name}` must be a whole number that is not negative.")
    return value


def info(context: Context, params: Params) -> object:
    """What this node is, and where its chain stands."""
    validator = context.validator
    return {
        "validator": "tieout-localnet",
        "version": __version__,
        "solanaCore": API_VERSION,
        "pid": os.getpid(),
        "port": context.port,
        "ledger": context.ledger,
        "genesisHash": validator.identity.genesis_hash,
        "faucet": str(validator.identity.faucet.pubkey()),
        "slots": {str(level): validator.position(level) for level in Commitment},
        "confirmedDepth": validator.chain.confirmed_depth,
        "finalizedDepth": validator.chain.finalized_depth,
        "unixTimestamp": validator.open.unix_s,
        **context.ticker.describe(),
    }


def advance(context: Context, params: Params) -> object:
    """Close so many slots now; answers the slot that is open afterwards."""
    slots = _member(params, "slots", 1)
    if slots > ADVANCE_SLOTS_MAX:
        raise invalid_params(f"Too many slots; max {ADVANCE_SLOTS_MAX}")
    context.ticker.step(slots)
    return {"slot": context.validator.open.slot, "unixTimestamp": context.validator.open.unix_s}


def set_clock(context: Context, params: Params) -> object:
    """Move the chain's clock forward to a time; the next slot opens at once and has it."""
    return _move(context, _member(params, "unixTimestamp"))


def warp(context: Context, params: Params) -> object:
    """Move the chain's clock forward by so many seconds."""
    return _move(context, context.validator.clock.now() + _member(params, "seconds"))


def _move(context: Context, unix_s: float) -> object:
    if unix_s > context.validator.clock.now() + SECONDS_MAX:
        raise invalid_params(f"Too far ahead; max {SECONDS_MAX} seconds")
    if not context.validator.clock.move_to(unix_s):
        raise invalid_params(
            f"The chain's clock cannot go back: it is at {context.validator.open.unix_s}, "
            f"asked for {int(unix_s)}."
        )
    context.ticker.step(1)
    return {"slot": context.validator.open.slot, "unixTimestamp": context.validator.open.unix_s}


def pause(context: Context, params: Params) -> object:
    """Make no slots until resumed; transactions still run into the open slot."""
    context.ticker.pause()
    return context.ticker.describe()


def resume(context: Context, params: Params) -> object:
    """Make slots by the clock again."""
    context.ticker.resume()
    return context.ticker.describe()


METHODS: Table = {
    "localnet_info": Method(info, 0, 0),
    "localnet_advance": Method(advance, 0, 1),
    "localnet_setClock": Method(set_clock, 1, 1),
    "localnet_warp": Method(warp, 1, 1),
    "localnet_pause": Method(pause, 0, 0),
    "localnet_resume": Method(resume, 0, 0),
}
