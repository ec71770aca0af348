"""The first block of a new ledger: who the validator is, who holds the money, and the chain's own hash."""

import hashlib
import secrets
from dataclasses import dataclass
from typing import Final

from solders.hash import Hash
from solders.keypair import Keypair
from solders.pubkey import Pubkey

from tieout_localnet import programs
from tieout_localnet.accounts import AccountState, Changes
from tieout_localnet.balances import MINT_BYTES
from tieout_localnet.chain import Block, Blockhash, Slot
from tieout_localnet.store import FORMAT, Store

SLOTS_PER_TURN: Final = 4
LAMPORTS_PER_SOL: Final = 1_000_000_000
FAUCET_LAMPORTS: Final = 500_000_000 * LAMPORTS_PER_SOL
VALIDATOR_LAMPORTS: Final = 500 * LAMPORTS_PER_SOL
NATIVE_MINT_LAMPORTS: Final = 1_461_600


@dataclass(frozen=True, slots=True)
class Identity:
    """What stays the same for the life of a ledger. The faucet's key is worth nothing outside it."""

    genesis_hash: str
    validator: Pubkey
    vote: Pubkey
    faucet: Keypair

    def leader(self, slot: int, leaders: int = 1) -> Pubkey:
        """Who makes a slot's block: the validator, or in turns of four slots others that exist by name."""
        turn = slot // SLOTS_PER_TURN % leaders
        if turn == 0:
            return self.validator
        return Pubkey.from_bytes(hashlib.sha256(bytes(self.validator) + turn.to_bytes(4, "little")).digest())


def load_or_create(
    store: Store, unix_s: int, seed: int | None = None, extra: Changes | None = None
) -> Identity:
    """The identity of a ledger; an empty one gets its genesis block first, from a seed always the same."""
    if store.fact("genesis_hash") is None:
        _create(store, unix_s, seed, extra or {})
    facts = {name: store.fact(name) or "" for name in ("genesis_hash", "validator", "vote", "faucet")}
    return Identity(
        facts["genesis_hash"],
        Pubkey.from_string(facts["validator"]),
        Pubkey.from_string(facts["vote"]),
        Keypair.from_base58_string(facts["faucet"]),
    )


def _secret(seed: int | None, name: str) -> bytes:
    """32 bytes: random, or those of a seed."""
    return secrets.token_bytes(32) if seed is None else hashlib.sha256(f"{seed}/{name}".encode()).digest()


def _create(store: Store, unix_s: int, seed: int | None, extra: Changes) -> None:
    genesis_hash = str(Hash.from_bytes(_secret(seed, "genesis")))
    faucet = Keypair.from_seed(_secret(seed, "faucet"))
    validator, vote = (Keypair.from_seed(_secret(seed, name)).pubkey() for name in ("validator", "vote"))
    accounts = {
        faucet.pubkey(): AccountState(FAUCET_LAMPORTS, b"", programs.SYSTEM),
        validator: AccountState(VALIDATOR_LAMPORTS, b"", programs.SYSTEM),
        programs.NATIVE_MINT: AccountState(NATIVE_MINT_LAMPORTS, _native_mint(), programs.TOKEN),
        **extra,
    }
    parent = Blockhash(str(Hash.default()))
    block = Block(Slot(0), Slot(0), 0, Blockhash(genesis_hash), parent, unix_s)
    facts = {
        "format": FORMAT,
        "validator": str(validator),
        "vote": str(vote),
        "faucet": str(faucet),
        "genesis_hash": genesis_hash,
    }
    store.write_slot(block, (), (), accounts, facts)


def _native_mint() -> bytes:
    """The mint of wrapped SOL: no authorities, nine decimals, initialized."""
    data = bytearray(MINT_BYTES)
    data[44:46] = b"\x09\x01"
    return bytes(data)
