"""Corporate actions and compliance: multiplier, pause, freeze, seize, forced burn, authorities."""

from dataclasses import dataclass
from fractions import Fraction
from typing import Final, Protocol

from solders.instruction import Instruction
from solders.pubkey import Pubkey

from tieout_client import instructions as ix
from tieout_client.actions import check_ratio
from tieout_client.amounts import MultiplierValue, check_raw, multiplier_bits_for
from tieout_client.checks import Scene
from tieout_client.errors import BadInput, InsufficientInventory
from tieout_client.exactly_once import Plan
from tieout_client.journal import Request
from tieout_client.keys import Address, Signer, address
from tieout_client.memo import MemoKind, memo_instruction, request_memo
from tieout_client.program import build
from tieout_client.reading import Balance, Instrument, Multiplier
from tieout_client.sending import Receipt
from tieout_client.session import Session
from tieout_idl import exact_multiplier
from tieout_idl.table import TYPES, snake

AUTHORITY_TYPES: Final = tuple(snake(variant["name"]) for variant in TYPES["AuthorityType"]["variants"])
"""What SetAuthority can hand over, ``mint_tokens`` to ``permissioned_burn``."""

HOLDERS: Final = {
    "mint_tokens": "mint_authority",
    "freeze_account": "freeze_authority",
    "permanent_delegate": "permanent_delegate",
    "confidential_transfer_mint": "permanent_delegate",
    "transfer_hook_program_id": "permanent_delegate",
    "metadata_pointer": "permanent_delegate",
    "metadata_update": "permanent_delegate",
    "transfer_fee_config": "permanent_delegate",
    "withheld_withdraw": "permanent_delegate",
    "scaled_ui_amount": "multiplier_authority",
    "pause": "pause_authority",
}
"""Authority → which of our roles holds it, on a mint of the live configuration."""


class _FreezeStep(Protocol):
    def __call__(self, mint: Pubkey, account: Pubkey, authority: Pubkey) -> Instruction: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class MultiplierSet(Receipt):
    """The receipt of a multiplier: what the chain keeps, and ``error``: kept minus what was asked for."""

    multiplier: Multiplier
    error: Fraction


class Control(Session):
    """Operations of the issuer's control keys; errors as in ``Market``."""

    async def schedule_multiplier(
        self,
        mint: Address,
        value: MultiplierValue,
        effective_timestamp: int,
        *,
        replace_pending: bool = False,
        expected: bytes | None = None,
        reason: str | None = None,
    ) -> MultiplierSet:
        """Announce a multiplier that applies from a later unix second.

        As the live issuer does, the transaction re-asserts the value in force before it
        announces the new one: a program of before June 2025 would otherwise lose it. A pending
        announcement is refused unless ``replace_pending``; so is a value in force other than
        ``expected`` (eight bytes), so that one corporate action is not applied twice. A past
        second or an absurd step needs a ``reason``, which goes into the memo. Raises BadInput.
        """
        at, (bits, error) = address(mint, "mint"), multiplier_bits_for(value)
        seen = await self.show(at)
        if effective_timestamp <= seen.chain_time and reason is None:
            raise BadInput(
                f"the multiplier would apply from {effective_timestamp}, and the chain's clock is at "
                f"{seen.chain_time}: give a later time, set it now, or force it with a reason"
            )
        new = Multiplier(bits, exact_multiplier(bits), effective_timestamp)
        _check_step(seen, new, expected=expected, replace_pending=replace_pending, forced=reason is not None)
        steps = [*_reason(reason), self._multiplier(at, seen.multiplier), self._multiplier(at, new)]
        return _multiplier_set(await self._send(steps, self.authorities.multiplier_authority), new, error)

    async def set_multiplier_now(
        self,
        mint: Address,
        value: MultiplierValue,
        *,
        replace_pending: bool = False,
        expected: bytes | None = None,
        reason: str | None = None,
    ) -> MultiplierSet:
        """Set the multiplier in force from this block on; the rest as in ``schedule_multiplier``."""
        at, (bits, error) = address(mint, "mint"), multiplier_bits_for(value)
        seen = await self.show(at)
        # The chain's own time, not 0, so that the account tells since when it applies.
        new = Multiplier(bits, exact_multiplier(bits), seen.chain_time)
        _check_step(seen, new, expected=expected, replace_pending=replace_pending, forced=reason is not None)
        steps = [*_reason(reason), self._multiplier(at, new)]
        return _multiplier_set(await self._send(steps, self.authorities.multiplier_authority), new, error)

    async def pause(self, mint: Address) -> Receipt:
        """Stop every transfer, mint and burn of the instrument."""
        return await self._pausing("pause", mint)

    async def resume(self, mint: Address) -> Receipt:
        """Let the instrument move again."""
        return await self._pausing("resume", mint)

    async def freeze(self, mint: Address, account: Address) -> Receipt:
        """Freeze one token account; the owner's other accounts stay free."""
        return await self._freezing(ix.freeze, mint, account)

    async def thaw(self, mint: Address, account: Address) -> Receipt:
        """Free a frozen token account."""
        return await self._freezing(ix.thaw, mint, account)

    async def seize(
        self, mint: Address, account: Address, raw: int | None, case: str, *, leave_frozen: bool = True
    ) -> Receipt:
        """Move tokens of any account to the treasury by the permanent delegate, in one transaction.

        ``raw`` None takes the whole balance. The account is thawed first when it is frozen (the
        program lets not even the delegate debit a frozen one) and frozen afterwards, unless
        ``leave_frozen`` is False and it was free before. ``case`` is the memo's request id.
        """
        at, treasury = address(mint, "mint"), self.authorities.treasury.pubkey()
        who, delegate = address(account, "token account"), self.authorities.permanent_delegate
        inventory = ix.token_account(at, treasury)

        async def prepare() -> Plan:
            scene, seen = await self._held(at, who)
            moving = ix.transfer(
                at,
                who,
                inventory,
                delegate.pubkey(),
                raw=_taken(seen, raw),
                decimals=scene.instrument.decimals,
            )
            around = self._around_frozen(at, who, moving, thaw=seen.frozen, freeze=seen.frozen or leave_frozen)
            opening = ix.open_account(at, treasury, self.signer.pubkey())
            return Plan(steps=[opening, *around], signers=[delegate, self.authorities.freeze_authority])

        asked = _asked("seize", case, at, raw, of=str(who), leave_frozen=str(leave_frozen).lower())
        return await self.requests.perform(asked, prepare)

    async def forced_burn(self, mint: Address, account: Address, raw: int | None, case: str) -> Receipt:
        """Destroy tokens of any account by the permanent delegate; a frozen account is frozen again after it."""
        at, delegate = address(mint, "mint"), self.authorities.permanent_delegate
        who = address(account, "token account")

        async def prepare() -> Plan:
            scene, seen = await self._held(at, who)
            burning = ix.burn(at, who, delegate.pubkey(), _taken(seen, raw), scene.instrument.decimals)
            steps = self._around_frozen(at, who, burning, thaw=seen.frozen, freeze=seen.frozen)
            return Plan(steps=steps, signers=[delegate, self.authorities.freeze_authority])

        return await self.requests.perform(_asked("burn", case, at, raw, of=str(who), forced="true"), prepare)

    async def set_authority(
        self, owned: Address, authority_type: str, new_authority: Address | None, *, current: Signer | None = None
    ) -> Receipt:
        """Hand an authority of a mint or account to another key, or to nobody for ever (None).

        ``authority_type`` is one of ``AUTHORITY_TYPES``; ``current`` defaults to the role of ours
        that holds it, and must be given for those that holders have (``account_owner``).
        """
        if authority_type not in AUTHORITY_TYPES:
            raise BadInput(f"{authority_type!r} is no authority: it is one of {', '.join(AUTHORITY_TYPES)}")
        holder = current or getattr(self.authorities, HOLDERS.get(authority_type, ""), None)
        if holder is None:
            raise BadInput(f"no role of the issuer holds {authority_type}: give the current authority's key")
        args = {
            "authority_type": authority_type,
            "new_authority": None if new_authority is None else address(new_authority, "authority"),
        }
        names = {"owned": address(owned, "mint or account"), "owner": holder.pubkey()}
        return await self._send([build("set_authority", names, args)], holder)

    async def _held(self, mint: Pubkey, account: Pubkey) -> tuple[Scene, Balance]:
        scene = await self._scene(mint, [account])
        if self._checking:
            scene.authority("permanent_delegate", self.authorities.permanent_delegate.pubkey())
        return scene, scene.usable(account, thawed=False)

    async def _pausing(self, name: str, mint: Address) -> Receipt:
        authority = self.authorities.pause_authority
        names = {"mint": address(mint, "mint"), "authority": authority.pubkey()}
        return await self._send([build(name, names)], authority)

    async def _freezing(self, step: _FreezeStep, mint: Address, account: Address) -> Receipt:
        authority = self.authorities.freeze_authority
        at, who = address(mint, "mint"), address(account, "token account")
        return await self._send([step(at, who, authority.pubkey())], authority)

    def _multiplier(self, mint: Pubkey, multiplier: Multiplier) -> Instruction:
        authority = self.authorities.multiplier_authority.pubkey()
        return ix.update_multiplier(mint, authority, multiplier.as_float, multiplier.effective_timestamp)

    def _around_frozen(
        self, mint: Pubkey, account: Pubkey, step: Instruction, *, thaw: bool, freeze: bool
    ) -> list[Instruction]:
        authority = self.authorities.freeze_authority.pubkey()
        before = [ix.thaw(mint, account, authority)] if thaw else []
        after = [ix.freeze(mint, account, authority)] if freeze else []
        return [*before, step, *after]


def _asked(kind: MemoKind, case: str, mint: Pubkey, raw: int | None, **details: str) -> Request:
    request_memo(kind, case)
    if raw is None:
        details["amount"] = "all"
    return Request(kind=kind, request_id=case, mint=str(mint), raw=raw or 0, details=details)


def _taken(seen: Balance, raw: int | None) -> int:
    amount = check_raw(seen.raw if raw is None else raw, zero=False)
    if amount > seen.raw:
        raise InsufficientInventory(
            f"the token account {seen.address} holds {seen.raw} raw, {amount} cannot be taken from it"
        )
    return amount


def _check_step(
    seen: Instrument, new: Multiplier, *, expected: bytes | None, replace_pending: bool, forced: bool
) -> None:
    if expected is not None and seen.multiplier.bits != expected:
        raise BadInput(
            f"the multiplier in force is {seen.multiplier.as_float!r}, not {float(exact_multiplier(expected))!r} from "
            "which the step was calculated: was it applied already, or changed since"
        )
    if seen.pending is not None and not replace_pending:
        raise BadInput(
            f"the multiplier {seen.pending.as_float!r} is announced already and applies from "
            f"{seen.pending.effective_timestamp}: ask for its replacement if it is to be dropped"
        )
    if not forced:
        check_ratio(new.value / seen.multiplier.value)


def _reason(reason: str | None) -> list[Instruction]:
    return [] if reason is None else [memo_instruction(f"forced: {reason}")]


def _multiplier_set(done: Receipt, new: Multiplier, error: Fraction) -> MultiplierSet:
    return MultiplierSet(signature=done.signature, slot=done.slot, refusal=done.refusal, multiplier=new, error=error)
