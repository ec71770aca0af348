"""A validator inside the test's own process, on a ledger of its own."""

import weakref
from pathlib import Path

from solders.hash import Hash
from solders.instruction import Instruction
from solders.keypair import Keypair
from solders.message import Message
from solders.transaction import VersionedTransaction

from tieout_localnet import genesis
from tieout_localnet.chaos import Book, Rule
from tieout_localnet.chaos.slots import Producer
from tieout_localnet.clock import ChainClock
from tieout_localnet.engine import Engine
from tieout_localnet.forks import Forks
from tieout_localnet.rpc import Context
from tieout_localnet.store import Store
from tieout_localnet.ticker import SlotTicker
from tieout_localnet.validator import Validator

START_UNIX_S = 1_795_415_000


def make_validator(
    directory: Path, *, finalized_depth: int = 3, seed: int | None = None, slot_s: float = 0.4
) -> Validator:
    """A validator with a manual clock; its ledger is closed when nobody holds it any more."""
    store = Store(directory / "ledger.sqlite3")
    identity = genesis.load_or_create(store, START_UNIX_S, seed)
    clock = ChainClock(START_UNIX_S, running=False, slot_s=slot_s, wall=lambda: 0.0)
    validator = Validator(
        store, Engine(), identity, clock, confirmed_depth=1, finalized_depth=finalized_depth
    )
    weakref.finalize(validator, store.close)
    return validator


def make_context(validator: Validator, *rules: Rule, seed: int = 0) -> Context:
    """What handlers work on: slots are made by hand, misbehaviour follows the rules."""
    forks, book = Forks(validator), Book(seed, rules)
    ticker = SlotTicker(Producer(forks, book), validator.clock, 0.4, manual=True)
    return Context(validator, ticker, 1, "", forks, book)


def signed(validator: Validator, instructions: list[Instruction], *signers: Keypair) -> VersionedTransaction:
    """A transaction on the newest blockhash; the first signer pays."""
    blockhash = Hash.from_string(validator.chain.tip.block.blockhash)
    message = Message.new_with_blockhash(instructions, signers[0].pubkey(), blockhash)
    return VersionedTransaction(message, list(signers))
