"""Who plays on a local chain: the keys of an issuer's roles and of other people, all from one seed."""

import random
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tieout_client.keys import Signer

ISSUER_ROLES = (
    "mint_authority", "treasury", "redemption_wallet", "freeze_authority", "permanent_delegate", "multiplier_authority",
)  # fmt: skip


class Cast:
    """Keys by name, each made on first use: the same seed and order of first uses give the same keys."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)  # noqa: S311  keys of a local chain, to be the same again
        self.keys: dict[str, Any] = {}

    def signer(self, name: str) -> "Signer":
        """The key of a role or person."""
        from solders.keypair import Keypair

        if name not in self.keys:
            self.keys[name] = Keypair.from_seed(self._random.randbytes(32))
        signer: Signer = self.keys[name]
        return signer

    def authorities(self) -> Any:
        """The issuer's roles, each with a key of its own; pausing is with the freeze authority."""
        from tieout_client import Authorities

        return Authorities.of(self.signer("payer"), **{role: self.signer(role) for role in ISSUER_ROLES})

    def owner(self, name: str) -> str:
        """The address of a role or person."""
        return str(self.signer(name).pubkey())
