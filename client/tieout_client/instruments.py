"""Making an instrument and opening accounts for it."""

from dataclasses import dataclass
from typing import Any

from solders.pubkey import Pubkey

from tieout_client import instructions as ix
from tieout_client.amounts import MultiplierValue, multiplier_bits_for
from tieout_client.keys import Address, Signer, address
from tieout_client.sending import Receipt
from tieout_client.session import Session
from tieout_idl import exact_multiplier


@dataclass(frozen=True, slots=True, kw_only=True)
class InstrumentCreated(Receipt):
    """The receipt of a new instrument and the base58 address of its mint."""

    mint: str


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountOpened(Receipt):
    """The receipt of an opened (or already open) token account, and its base58 address."""

    account: str


class Instruments(Session):
    """Operations that make mints and accounts."""

    async def create_instrument(
        self,
        symbol: str,
        name: str,
        uri: str,
        decimals: int = 8,
        *,
        multiplier: MultiplierValue = 1,
        mint: Signer | None = None,
        **options: Any,
    ) -> InstrumentCreated:
        """Make a mint in one transaction, with the live xStocks configuration unless ``options`` say otherwise.

        ``multiplier`` is the one it starts with; ``mint`` the key of the mint's address, a new
        one by default; ``options`` the other fields of ``InstrumentSpec``. Raises BadInput, and
        ProgramRefused when the address is taken.
        """
        first = float(exact_multiplier(multiplier_bits_for(multiplier)[0]))
        spec = ix.InstrumentSpec(
            symbol=symbol, name=name, uri=uri, decimals=decimals, multiplier=first, **options
        ).checked()
        key = mint or self._new_key("the mint")
        rent: int = await self.rpc.call("getMinimumBalanceForRentExemption", [spec.final_space], int)
        created = ix.create_instrument(spec, key.pubkey(), self.signer.pubkey(), self._mint_keys(), rent)
        done = await self._send(created, key, self.authorities.mint_authority)
        return InstrumentCreated(signature=done.signature, slot=done.slot, refusal=done.refusal, mint=str(key.pubkey()))

    async def open_account(self, mint: Address, owner: Address) -> AccountOpened:
        """Open an owner's associated token account; the fee payer pays its rent. An open one is left as it is."""
        at, who = address(mint, "mint"), address(owner, "owner")
        done = await self._send([ix.open_account(at, who, self.signer.pubkey())])
        return AccountOpened(
            signature=done.signature, slot=done.slot, refusal=done.refusal, account=self.account_address(at, who)
        )

    async def airdrop(self, to: Address, lamports: int) -> Receipt:
        """Have a localnet's faucet pay ``lamports`` to an address. Raises NodeRefused where there is no faucet."""
        return await self.sender.airdrop(address(to), lamports)

    def _mint_keys(self) -> ix.MintKeys:
        roles = self.authorities
        keys: dict[str, Pubkey] = {
            role: getattr(roles, role).pubkey()
            for role in (
                "mint_authority",
                "freeze_authority",
                "pause_authority",
                "permanent_delegate",
                "multiplier_authority",
            )
        }
        return ix.MintKeys(**keys)
