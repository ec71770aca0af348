"""The primary market, and moving tokens: mint, issue, transfer, redeem, sweep, burn.

xStocks mints to a treasury ahead of need; issuing is a transfer out of it, redeeming a transfer
to the redemption wallet that is then swept back. Each carries its request id in the memo.
"""

from solders.instruction import Instruction
from solders.pubkey import Pubkey

from tieout_client import instructions as ix
from tieout_client.amounts import check_raw
from tieout_client.keys import Address, Signer, address
from tieout_client.memo import MemoKind, RequestMemo, memo_instruction, request_memo
from tieout_client.program import build
from tieout_client.sending import Receipt
from tieout_client.session import Session


class Market(Session):
    """Operations that move an amount. ``raw`` is in raw units; amounts under a request id are above zero.

    Each raises BadInput before anything is sent, ProgramRefused with the program's error by
    name, Expired when doing it again is safe, OutcomeUnknown when it may not be.
    """

    async def mint_to_treasury(self, mint: Address, raw: int, request_id: str) -> Receipt:
        """Mint into the treasury ahead of need; the liability is not born yet."""
        return await self.mint_to(mint, raw, self.authorities.treasury.pubkey(), request_id)

    async def mint_to(
        self, mint: Address, raw: int, destination_owner: Address, request_id: str | None = None
    ) -> Receipt:
        """Mint straight to an owner's account, past the treasury; without a request id there is no memo."""
        at, who, authority = address(mint, "mint"), address(destination_owner, "owner"), self.authorities.mint_authority
        decimals = await self._decimals_of(at)
        account = ix.token_account(at, who)
        minting = ix.mint_to(at, account, authority.pubkey(), check_raw(raw, zero=False), decimals)
        return await self._send([*_request("mint", request_id), self._open(at, who), minting], authority)

    async def issue(
        self, mint: Address, raw: int, destination_owner: Address, request_id: str, *, mint_first: bool = False
    ) -> Receipt:
        """Release tokens from the treasury to an owner: from here on they are owed in shares.

        With ``mint_first`` the same transaction mints them into the treasury before.
        """
        at, who = address(mint, "mint"), address(destination_owner, "owner")
        roles, decimals, amount = self.authorities, await self._decimals_of(at), check_raw(raw, zero=False)
        treasury = roles.treasury.pubkey()
        source, destination = ix.token_account(at, treasury), ix.token_account(at, who)
        steps = [*_request("issue", request_id), self._open(at, who)]
        signers = [roles.treasury]
        if mint_first:
            steps += [
                self._open(at, treasury),
                ix.mint_to(at, source, roles.mint_authority.pubkey(), amount, decimals),
            ]
            signers.append(roles.mint_authority)
        steps.append(ix.transfer(at, source, destination, treasury, raw=amount, decimals=decimals))
        return await self._send(steps, *signers)

    async def transfer(
        self,
        mint: Address,
        raw: int,
        holder: Signer,
        destination_owner: Address,
        *,
        memo: str | None = None,
        source: Address | None = None,
    ) -> Receipt:
        """Move tokens from the holder to another owner, whose account is opened when it is not.

        ``source`` is another token account that the holder owns or may spend from; its own
        associated account by default.
        """
        at, who, owner = address(mint, "mint"), address(destination_owner, "owner"), holder.pubkey()
        origin = ix.token_account(at, owner) if source is None else address(source, "token account")
        moving = ix.transfer(
            at,
            origin,
            ix.token_account(at, who),
            owner,
            raw=check_raw(raw),
            decimals=await self._decimals_of(at),
        )
        note = [] if memo is None else [memo_instruction(memo)]
        return await self._send([*note, self._open(at, who), moving], holder)

    async def redeem(self, mint: Address, raw: int, holder: Signer, request_id: str) -> Receipt:
        """Return tokens from a holder to the redemption wallet; the shares stay owed until they are delivered."""
        wallet = self.authorities.redemption_wallet.pubkey()
        return await self._move(mint, raw, holder, wallet, request_memo("redeem", request_id))

    async def sweep(self, mint: Address, raw: int, request_id: str) -> Receipt:
        """Move redeemed tokens from the redemption wallet back into the treasury."""
        roles = self.authorities
        return await self._move(
            mint, raw, roles.redemption_wallet, roles.treasury.pubkey(), request_memo("sweep", request_id)
        )

    async def burn(self, mint: Address, raw: int, request_id: str, *, holder: Signer | None = None) -> Receipt:
        """Destroy tokens of the treasury, or of another holder who signs."""
        at, owner = address(mint, "mint"), holder or self.authorities.treasury
        account, decimals = ix.token_account(at, owner.pubkey()), await self._decimals_of(at)
        burning = ix.burn(at, account, owner.pubkey(), check_raw(raw, zero=False), decimals)
        return await self._send([*_request("burn", request_id), burning], owner)

    async def approve(self, mint: Address, raw: int, holder: Signer, delegate: Address) -> Receipt:
        """Let a delegate spend up to ``raw`` from the holder's account, in place of any earlier delegate."""
        at, owner = address(mint, "mint"), holder.pubkey()
        names = {
            "source": ix.token_account(at, owner),
            "mint": at,
            "delegate": address(delegate, "delegate"),
            "owner": owner,
        }
        args = {"amount": check_raw(raw), "decimals": await self._decimals_of(at)}
        return await self._send([build("approve_checked", names, args)], holder)

    async def revoke(self, mint: Address, holder: Signer) -> Receipt:
        """Take back what a delegate may spend from the holder's account."""
        account = ix.token_account(address(mint, "mint"), holder.pubkey())
        return await self._send([build("revoke", {"source": account, "owner": holder.pubkey()})], holder)

    async def close_account(self, mint: Address, holder: Signer, *, rent_to: Address | None = None) -> Receipt:
        """Close the holder's empty account; its rent goes to the holder unless ``rent_to`` is named."""
        owner = holder.pubkey()
        names = {
            "account": ix.token_account(address(mint, "mint"), owner),
            "destination": owner if rent_to is None else address(rent_to),
            "owner": owner,
        }
        return await self._send([build("close_account", names)], holder)

    async def _move(
        self, mint: Address, raw: int, source: Signer, destination_owner: Pubkey, memo: RequestMemo
    ) -> Receipt:
        check_raw(raw, zero=False)
        return await self.transfer(mint, raw, source, destination_owner, memo=str(memo))

    def _open(self, mint: Pubkey, owner: Pubkey) -> Instruction:
        # Idempotent, so that no look-up and no race comes before it.
        return ix.open_account(mint, owner, self.signer.pubkey())


def _request(kind: MemoKind, request_id: str | None) -> list[Instruction]:
    return [] if request_id is None else [memo_instruction(request_memo(kind, request_id))]
