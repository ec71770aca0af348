"""An issuer with keys and an instrument on a test's chain, opened as often as a test needs desks."""

import contextlib
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from solders.keypair import Keypair

from tieout_client import Authorities, Issuer, SendOptions, connect

SOL = 10**9
QUICK = SendOptions(resend_every_s=0.3)


@dataclass(frozen=True)
class House:
    """One issuer's keys and its instrument; ``desk`` opens a connection with a journal of its own or none."""

    chain: str
    payer: Keypair
    roles: Authorities
    mint: str

    def desk(self, journal: Path | None = None, **more: Any) -> AbstractAsyncContextManager[Issuer]:
        return connect(more.pop("url", self.chain), self.payer, self.roles, options=QUICK, journal=journal, **more)


@contextlib.asynccontextmanager
async def house_on(chain, *, inventory=0) -> AsyncIterator[House]:
    payer = Keypair()
    roles = Authorities.of(
        payer,
        mint_authority=Keypair(),
        treasury=Keypair(),
        redemption_wallet=Keypair(),
        freeze_authority=Keypair(),
        permanent_delegate=Keypair(),
    )
    async with connect(chain, payer, roles, options=QUICK) as issuer:
        await issuer.airdrop(payer.pubkey(), 100 * SOL)
        made = await issuer.create_instrument("TSLAx", "Tesla xStock", "https://tslax.example")
        if inventory:
            await issuer.mint_to_treasury(made.mint, inventory, "opening")
        yield House(chain, payer, roles, made.mint)


async def raw_of(issuer: Issuer, mint: str, owner) -> int:
    return (await issuer.balance_of(mint, owner)).raw
