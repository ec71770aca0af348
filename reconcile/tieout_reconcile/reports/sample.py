"""A sample of movements that nobody chose, which an auditor can draw again. Pure.

The seed is the SHA-256 of the chain and of the cut-off block, which no issuer picks. Each movement's rank
is the SHA-256 of the seed and its place on the chain; the lowest ranks are the sample.
"""

import hashlib
from collections.abc import Iterable
from heapq import nsmallest

from tieout_reconcile.facts import Movement

SAMPLE_SIZE = 25


def seed_of(genesis_hash: str | None, slot: int, blockhash: str | None) -> str:
    """Return the seed, in hexadecimal."""
    return hashlib.sha256(f"{genesis_hash or ''}\n{slot}\n{blockhash or ''}\n".encode()).hexdigest()


def draw(seed: str, movements: Iterable[tuple[str, Movement]], size: int = SAMPLE_SIZE) -> list[tuple[str, Movement]]:
    """Return ``size`` of the (symbol, movement) pairs, the same for the same seed whatever their order."""
    return nsmallest(size, movements, key=lambda pair: _rank(seed, *pair))


def _rank(seed: str, symbol: str, movement: Movement) -> tuple[bytes, str]:
    place = "/".join(map(str, movement.position))
    return hashlib.sha256(f"{seed}\n{symbol}\n{place}\n".encode()).digest(), place
