"""Keeping an instrument: who holds its authorities, its hook, its allowlist, its metadata."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from solders.instruction import AccountMeta, Instruction
from solders.pubkey import Pubkey
from solders.system_program import TransferParams, transfer

from tieout_client.control import AUTHORITY_TYPES, HOLDERS
from tieout_client.errors import BadInput, WrongAuthority
from tieout_client.instructions import check_text
from tieout_client.keys import Address, Signer, address
from tieout_client.memo import memo_instruction
from tieout_client.multisig import MultisigSigner
from tieout_client.program import build
from tieout_client.reading import Instrument, read_accounts
from tieout_client.sending import Receipt
from tieout_client.session import Session

_LOADERS: Final = frozenset(
    {
        "BPFLoaderUpgradeab1e11111111111111111111111",
        "BPFLoader2111111111111111111111111111111111",
        "LoaderV411111111111111111111111111111111111",
    }
)
_METADATA_UPDATE: Final = "metadata_update"
_FIXED_FIELDS: Final = ("name", "symbol", "uri")


class Upkeep(Session):
    """Operations that change an instrument itself; errors as in ``Market``."""

    async def rotate(
        self, mint: Address, authority_type: str, successor: Signer | Address, *, unproven: bool = False
    ) -> Receipt:
        """Hand an authority to a key that signs the same transaction, and so has proven that it can.

        The successor signs a memo that names what it takes; a multisig does by its members. An
        address whose key cannot sign here (a program's) is refused unless ``unproven``: a slip in
        it loses the authority for good. ``authority_type`` as in ``AUTHORITY_TYPES``, or
        ``metadata_update``. Raises BadInput, WrongAuthority.
        """
        at = address(mint, "mint")
        holder = self._holder(authority_type)
        new = successor if isinstance(successor, Pubkey | str) else successor.pubkey()
        to = address(new, "new authority")
        seen = await self.show(at)
        self._check_holder(seen, authority_type, holder, to)
        steps, signers = [_handing(at, authority_type, holder.pubkey(), to)], [holder]
        if isinstance(successor, Pubkey | str):
            if not unproven:
                raise BadInput(
                    f"nobody has shown that {to} can sign: give its key so that it signs the hand-over too, "
                    "or say that it is unproven"
                )
        else:
            steps.insert(0, _acceptance(seen, authority_type, successor))
            signers.append(successor)
        return await self._send(steps, *signers)

    async def set_hook(self, mint: Address, program: Address | None) -> Receipt:
        """Arm the transfer hook: every transfer then runs ``program``. None disarms it. Raises BadInput.

        Transfers of this client pass no accounts for a hook: they are refused while one is armed.
        """
        at, delegate = address(mint, "mint"), self.authorities.permanent_delegate
        wanted = None if program is None else address(program, "program")
        _extension(await self.show(at), "transfer_hook")
        if wanted is not None:
            _, (found,) = await read_accounts(self.rpc, [wanted], "confirmed")
            if found is None or found[0] not in _LOADERS:
                raise BadInput(f"{wanted} is no program on this chain: armed with it, no transfer would go through")
        names = {"mint": at, "authority": delegate.pubkey()}
        return await self._send([build("update_transfer_hook", names, {"program_id": wanted})], delegate)

    async def set_allowlist(self, mint: Address, on: bool) -> Receipt:
        """Have new accounts start frozen, to be thawed one by one, or not. Open accounts stay as they are."""
        at, authority = address(mint, "mint"), self.authorities.freeze_authority
        _extension(await self.show(at), "default_account_state")
        names = {"mint": at, "freeze_authority": authority.pubkey()}
        state = {"state": "frozen" if on else "initialized"}
        return await self._send([build("update_default_account_state", names, state)], authority)

    async def update_metadata(self, mint: Address, changes: Mapping[str, str], remove: Sequence[str] = ()) -> Receipt:
        """Set ``name``, ``symbol``, ``uri`` or fields of one's own, and remove own fields, in one transaction.

        The fee payer adds the rent of what grows. Raises BadInput.
        """
        at, delegate = address(mint, "mint"), self.authorities.permanent_delegate
        seen = await self.show(at)
        now = _metadata(seen)
        _check_changes(now, changes, remove)
        names = {"metadata": at, "update_authority": delegate.pubkey()}
        setting = [
            build("update_token_metadata_field", names, {"field": _field(key), "value": value})
            for key, value in changes.items()
        ]
        removing = [build("remove_token_metadata_key", names, {"idempotent": False, "key": key}) for key in remove]
        space = seen.space + _growth(now, changes)
        return await self._send([*await self._rent(at, space), *setting, *removing], delegate)

    async def _rent(self, mint: Pubkey, space: int) -> list[Instruction]:
        wanted: int = await self.rpc.call("getMinimumBalanceForRentExemption", [space], int)
        has: dict[str, Any] = await self.rpc.call("getBalance", [str(mint), {"commitment": "confirmed"}])
        short = wanted - int(has["value"])
        payer = self.signer.pubkey()
        return [transfer(TransferParams(from_pubkey=payer, to_pubkey=mint, lamports=short))] if short > 0 else []

    def _holder(self, authority_type: str) -> Signer:
        if authority_type not in (*AUTHORITY_TYPES, _METADATA_UPDATE):
            known = ", ".join((*AUTHORITY_TYPES, _METADATA_UPDATE))
            raise BadInput(f"{authority_type!r} is no authority: it is one of {known}")
        holder: Signer | None = getattr(self.authorities, HOLDERS.get(authority_type, ""), None)
        if holder is None:
            raise BadInput(f"no role of the issuer holds {authority_type}: a mint of this kind has no such authority")
        return holder

    @staticmethod
    def _check_holder(seen: Instrument, authority_type: str, holder: Signer, to: Pubkey) -> None:
        if authority_type not in seen.authorities:
            has = ", ".join(seen.authorities)
            raise BadInput(f"{seen.address} has no {authority_type} authority: it has {has}")
        now = seen.authorities[authority_type]
        if now != str(holder.pubkey()):
            raise WrongAuthority(f"the {authority_type} authority of {seen.address} is {now}, not {holder.pubkey()}")
        if now == str(to):
            raise BadInput(f"{to} holds {authority_type} already")


def _handing(mint: Pubkey, authority_type: str, holder: Pubkey, to: Pubkey) -> Instruction:
    if authority_type == _METADATA_UPDATE:
        names = {"metadata": mint, "update_authority": holder}
        return build("update_token_metadata_update_authority", names, {"new_update_authority": to})
    args = {"authority_type": authority_type, "new_authority": to}
    return build("set_authority", {"owned": mint, "owner": holder}, args)


def _acceptance(seen: Instrument, authority_type: str, successor: Signer) -> Instruction:
    said = memo_instruction(f"{successor.pubkey()} takes {authority_type} of {seen.address}")
    keys = successor.members if isinstance(successor, MultisigSigner) else (successor,)
    # The memo program wants the signature of every account that it is given.
    return Instruction(said.program_id, bytes(said.data), [AccountMeta(key.pubkey(), True, False) for key in keys])


def _extension(seen: Instrument, name: str) -> Mapping[str, Any]:
    found = seen.mint.extension(name)
    if found is None:
        raise BadInput(f"{seen.address} was made without {name}, and extensions cannot be added later")
    return found.fields


def _metadata(seen: Instrument) -> dict[str, str]:
    fields = _extension(seen, "token_metadata")
    own = {pair["key"]: pair["value"] for pair in fields["additional_metadata"]}
    return {**{name: fields[name] for name in _FIXED_FIELDS}, **own}


def _check_changes(now: Mapping[str, str], changes: Mapping[str, str], remove: Sequence[str]) -> None:
    if not changes and not remove:
        raise BadInput("name what to change: a field and its value, or a field to remove")
    for key, value in changes.items():
        check_text(key, value)
        if now.get(key) == value:
            raise BadInput(f"the {key} is {value!r} already")
    for key in remove:
        if key in _FIXED_FIELDS or key not in now or key in changes:
            own = ", ".join(k for k in now if k not in _FIXED_FIELDS) or "none"
            raise BadInput(f"{key!r} is no field that can be removed: those of one's own are {own}")


def _growth(now: Mapping[str, str], changes: Mapping[str, str]) -> int:
    """How many bytes the mint grows at most: what is removed is not counted, the field's rent is kept."""
    grown = 0
    for key, value in changes.items():
        before = now.get(key)
        grown += len(value.encode()) - (len(before.encode()) if before is not None else -8 - len(key.encode()))
    return max(grown, 0)


def _field(key: str) -> Any:
    return key if key in _FIXED_FIELDS else ("key", key)
