"""The primary market, and moving tokens: mint, issue, transfer, redeem, sweep, burn.

xStocks mints to a treasury ahead of need; issuing is a transfer out of it, redeeming a transfer
to the redemption wallet that is then swept back. Each carries its request id in the memo.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from solders.instruction import Instruction
from solders.pubkey import Pubkey

from tieout_client import instructions as ix
from tieout_client.amounts import check_raw
from tieout_client.checks import Scene, look
from tieout_client.errors import BadInput
from tieout_client.exactly_once import Plan
from tieout_client.fees import transfer_fee
from tieout_client.journal import Request
from tieout_client.keys import Address, Signer, address
from tieout_client.memo import MemoKind, memo_instruction, request_memo
from tieout_client.program import build
from tieout_client.reading import Instrument
from tieout_client.sending import Receipt
from tieout_client.session import Session

_PLAIN_MEMO = "transfer"
"""What stands in a memo that the receiver's account requires and the sender did not write."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Transferred(Receipt):
    """The receipt of a transfer; ``fee`` raw units of it were withheld for the issuer, the receiver got the rest."""

    fee: int


class Market(Session):
    """Operations that move an amount. ``raw`` is in raw units; amounts under a request id are above zero.

    Each raises BadInput before anything is sent (by class: WrongAuthority, InstrumentPaused,
    AccountFrozen, AccountMissing, WrongDecimals, InsufficientInventory, OverLimit), ProgramRefused
    with the program's error by name, Expired when doing it again is safe, OutcomeUnknown when it
    may not be. With a journal the same request id gives the same receipt, however often it is
    asked for; AlreadyIssued says that the chain knows it and this journal does not.
    """

    async def mint_to_treasury(self, mint: Address, raw: int, request_id: str) -> Receipt:
        """Mint into the treasury ahead of need; the liability is not born yet."""
        return await self.mint_to(mint, raw, self.authorities.treasury.pubkey(), request_id)

    async def mint_to(
        self,
        mint: Address,
        raw: int,
        destination_owner: Address,
        request_id: str | None = None,
        *,
        decimals: int | None = None,
    ) -> Receipt:
        """Mint straight to an owner's account, past the treasury; without a request id there is no memo."""
        at, who, authority = address(mint, "mint"), address(destination_owner, "owner"), self.authorities.mint_authority
        account, amount = ix.token_account(at, who), check_raw(raw, zero=False)

        async def prepare() -> Plan:
            scene = await self._scene(at, [account], amount, decimals)
            if self._checking:
                scene.authority("mint_tokens", authority.pubkey())
                scene.credit(account)
            minting = ix.mint_to(at, account, authority.pubkey(), amount, scene.instrument.decimals)
            return self._plan(scene, [self._open(at, who), minting], authority)

        if request_id is None:
            plan = await prepare()
            return await self._send(plan.steps, *plan.signers)
        return await self.requests.perform(_asked("mint", request_id, at, amount, to=str(who)), prepare)

    async def issue(
        self,
        mint: Address,
        raw: int,
        destination_owner: Address,
        request_id: str,
        *,
        mint_first: bool = False,
        decimals: int | None = None,
    ) -> Receipt:
        """Release tokens from the treasury to an owner: from here on they are owed in shares.

        With ``mint_first`` the same transaction mints them into the treasury before. ``decimals``
        are those that the caller counts in; other ones of the mint are refused.
        """
        at, who, amount = address(mint, "mint"), address(destination_owner, "owner"), check_raw(raw, zero=False)
        treasury = self.authorities.treasury
        source, destination = ix.token_account(at, treasury.pubkey()), ix.token_account(at, who)

        async def prepare() -> Plan:
            scene = await self._scene(at, [source, destination], amount, decimals)
            counted = scene.instrument.decimals
            steps, signers = [self._open(at, who)], [treasury]
            if mint_first:
                authority = self.authorities.mint_authority
                signers.append(authority)
                steps += [
                    self._open(at, treasury.pubkey()),
                    ix.mint_to(at, source, authority.pubkey(), amount, counted),
                ]
            if self._checking:
                self._check_issue(scene, source, destination, None if mint_first else amount)
            steps.append(ix.transfer(at, source, destination, treasury.pubkey(), raw=amount, decimals=counted))
            return self._plan(scene, steps, *signers, to=destination)

        asked = _asked("issue", request_id, at, amount, to=str(who), mint_first=str(mint_first).lower())
        return await self.requests.perform(asked, prepare)

    async def transfer(
        self,
        mint: Address,
        raw: int,
        holder: Signer,
        destination_owner: Address | None = None,
        *,
        memo: str | None = None,
        source: Address | None = None,
        destination: Address | None = None,
    ) -> Transferred:
        """Move tokens from the holder to another owner, whose account is opened when it is not.

        ``destination`` is a token account instead of an owner; ``source`` another token account
        that the holder owns or may spend from, its own associated account by default. Where the
        mint bears a fee the transfer names it, and fails if it changes meanwhile; where the
        receiver requires a memo and none is given, one is put there.
        """
        if (destination_owner is None) == (destination is None):
            raise BadInput("name the owner who is paid, or a token account, and not both")
        at, owner, amount = address(mint, "mint"), holder.pubkey(), check_raw(raw)
        origin = ix.token_account(at, owner) if source is None else address(source, "token account")
        if destination is None:
            who = address(destination_owner or "", "owner")
            to, opening = ix.token_account(at, who), [self._open(at, who)]
        else:
            to, opening = address(destination, "token account"), []
        scene = await look(self.rpc, at, [to], "confirmed")
        found = scene.accounts[to] if destination is None else scene.usable(to, thawed=False)
        fee = await self._fee(scene.instrument, amount)
        note = memo or (_PLAIN_MEMO if found is not None and found.wants_memo else None)
        moving = ix.transfer(at, origin, to, owner, raw=amount, decimals=scene.instrument.decimals, fee=fee)
        steps = [*opening, *([] if note is None else [memo_instruction(note)]), moving]
        done = await self._send(steps, holder)
        return Transferred(signature=done.signature, slot=done.slot, refusal=done.refusal, fee=fee or 0)

    async def _fee(self, instrument: Instrument, raw: int) -> int | None:
        if instrument.mint.extension("transfer_fee_config") is None:
            return None
        info: dict[str, int] = await self.rpc.call("getEpochInfo", [{"commitment": "confirmed"}])
        return transfer_fee(instrument, raw, info["epoch"])

    async def redeem(
        self, mint: Address, raw: int, holder: Signer, request_id: str, *, decimals: int | None = None
    ) -> Receipt:
        """Return tokens from a holder to the redemption wallet; the shares stay owed until they are delivered."""
        wallet = self.authorities.redemption_wallet.pubkey()
        return await self._move("redeem", request_id, mint, raw, holder, wallet, decimals)

    async def sweep(self, mint: Address, raw: int, request_id: str, *, decimals: int | None = None) -> Receipt:
        """Move redeemed tokens from the redemption wallet back into the treasury."""
        roles = self.authorities
        return await self._move(
            "sweep", request_id, mint, raw, roles.redemption_wallet, roles.treasury.pubkey(), decimals
        )

    async def burn(
        self, mint: Address, raw: int, request_id: str, *, holder: Signer | None = None, decimals: int | None = None
    ) -> Receipt:
        """Destroy tokens of the treasury, or of another holder who signs."""
        at, owner, amount = address(mint, "mint"), holder or self.authorities.treasury, check_raw(raw, zero=False)
        account = ix.token_account(at, owner.pubkey())

        async def prepare() -> Plan:
            scene = await self._scene(at, [account], amount, decimals)
            if self._checking:
                scene.debit(account, amount)
            return self._plan(scene, [ix.burn(at, account, owner.pubkey(), amount, scene.instrument.decimals)], owner)

        return await self.requests.perform(_asked("burn", request_id, at, amount, of=str(owner.pubkey())), prepare)

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
        self,
        kind: MemoKind,
        request_id: str,
        mint: Address,
        raw: int,
        source: Signer,
        destination_owner: Pubkey,
        decimals: int | None,
    ) -> Receipt:
        at, owner, amount = address(mint, "mint"), source.pubkey(), check_raw(raw, zero=False)
        origin, destination = ix.token_account(at, owner), ix.token_account(at, destination_owner)

        async def prepare() -> Plan:
            scene = await self._scene(at, [origin, destination], amount, decimals)
            if self._checking:
                scene.debit(origin, amount)
                scene.credit(destination)
            moving = ix.transfer(at, origin, destination, owner, raw=amount, decimals=scene.instrument.decimals)
            return self._plan(scene, [self._open(at, destination_owner), moving], source, to=destination)

        asked = _asked(kind, request_id, at, amount, of=str(owner), to=str(destination_owner))
        return await self.requests.perform(asked, prepare)

    def _check_issue(self, scene: Scene, source: Pubkey, destination: Pubkey, from_inventory: int | None) -> None:
        if from_inventory is None:
            scene.authority("mint_tokens", self.authorities.mint_authority.pubkey())
            scene.credit(source)
        else:
            scene.debit(source, from_inventory)
        scene.credit(destination)

    def _plan(self, scene: Scene, steps: Sequence[Instruction], *signers: Signer, to: Pubkey | None = None) -> Plan:
        found = None if to is None else scene.accounts.get(to)
        # The transfer is the last step, and the receiver wants the memo right before it.
        before = len(steps) - 1 if found is not None and found.wants_memo else 0
        day_max = scene.raw_limit(self.desk.limits.day_shares_max)
        return Plan(steps=steps, signers=signers, day_max=day_max, memo_before=before)

    def _open(self, mint: Pubkey, owner: Pubkey) -> Instruction:
        # Idempotent, so that no look-up and no race comes before it.
        return ix.open_account(mint, owner, self.signer.pubkey())


def _asked(kind: MemoKind, request_id: str, mint: Pubkey, raw: int, **details: str) -> Request:
    request_memo(kind, request_id)
    return Request(kind=kind, request_id=request_id, mint=str(mint), raw=raw, details=details)
