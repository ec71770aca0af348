"""Which request a transaction carries out, read from its instructions alone. Pure.

The same request, asked for directly or through a file, must be one and the same in the journal:
what is found here has the parameters that the operation itself would have journaled.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Final

from solders.instruction import Instruction

from tieout_client.errors import BadInput
from tieout_client.guard import GuardAccount, guard_address
from tieout_client.instructions import token_account
from tieout_client.journal import Request
from tieout_client.keys import address
from tieout_client.memo import MemoKind, RequestMemo, parse_memo
from tieout_client.program import TOKEN_2022
from tieout_client.system_calls import ALLOCATE_WITH_SEED, TRANSFER, parse_system, system_tag
from tieout_idl import ASSOCIATED_TOKEN_PROGRAM, MEMO_PROGRAMS, TokenFormatError, UnknownInstruction, decode

_MOVES: Final = {
    "issue": "transfer_checked", "redeem": "transfer_checked", "sweep": "transfer_checked",
    "seize": "transfer_checked", "mint": "mint_to_checked", "burn": "burn_checked",
}  # fmt: skip
_AMOUNT_MOVERS: Final = frozenset(
    {"transfer", "transfer_checked", "transfer_checked_with_fee", "mint_to", "mint_to_checked", "burn", "burn_checked"}
)


@dataclass(frozen=True, slots=True)
class _Step:
    name: str
    args: Any
    accounts: dict[str, str]


def request_of(instructions: Sequence[Instruction]) -> Request | None:
    """Return the request that a transaction's memo names, with what its instructions do; None without such a memo.

    Raises BadInput when they do something else than the one movement that the memo stands for.
    """
    memo = _memo(instructions)
    if memo is None:
        return None
    steps = _token_steps(instructions)
    moving = [s for s in steps if s.name in _AMOUNT_MOVERS]
    wanted = _MOVES.get(memo.kind)
    main = [s for s in moving if s.name == wanted]
    beside = ["mint_to_checked"] if memo.kind == "issue" and len(moving) == 2 else []
    if len(main) != 1 or sorted(s.name for s in moving) != sorted([*beside, str(wanted)]):
        does = ", ".join(s.name for s in moving) or "nothing that moves an amount"
        raise BadInput(f"the memo names the request {memo}, and the transaction does {does}: do not sign it")
    step = main[0]
    details = _details(memo.kind, step, steps, _owners(instructions))
    return Request(
        kind=memo.kind,
        request_id=memo.request_id,
        mint=step.accounts["mint"],
        raw=step.args["amount"],
        details=details,
    )


def guard_of(instructions: Sequence[Instruction]) -> GuardAccount | None:
    """Return the guard account that a transaction makes for its request, or None."""
    memo = _memo(instructions)
    if memo is None:
        return None
    for paying, step in pairwise(instructions):
        made = parse_system(step) if system_tag(step) == ALLOCATE_WITH_SEED else None
        if made is None:
            continue
        if made["address"] == str(guard_address(address(made["base"]), memo.kind, memo.request_id)):
            paid = parse_system(paying) if system_tag(paying) == TRANSFER else None
            return GuardAccount(made["address"], 0 if paid is None else paid["lamports"])
    return None


def _memo(instructions: Sequence[Instruction]) -> RequestMemo | None:
    texts = [bytes(i.data) for i in instructions if str(i.program_id) in MEMO_PROGRAMS]
    found = [parsed for text in texts if (parsed := parse_memo(text.decode("utf-8", "replace"))) is not None]
    if len(found) > 1:
        raise BadInput(f"the transaction names {len(found)} requests in its memos: one transaction is one request")
    return found[0] if found else None


def _token_steps(instructions: Sequence[Instruction]) -> list[_Step]:
    steps = []
    for instruction in instructions:
        if instruction.program_id != TOKEN_2022:
            continue
        try:
            decoded = decode(bytes(instruction.data))
        except TokenFormatError as bad:
            raise BadInput(f"an instruction of the transaction cannot be read: {bad}") from bad
        if isinstance(decoded, UnknownInstruction) or decoded.name == "batch":
            raise BadInput("the transaction has an instruction that is not understood beside its request's memo")
        at = [str(a.pubkey) for a in instruction.accounts]
        names = [a.name for a in decoded.layout.accounts]
        steps.append(_Step(decoded.name, decoded.args, dict(zip(names, at, strict=False))))
    return steps


def _owners(instructions: Sequence[Instruction]) -> dict[str, str]:
    """Token account → owner, of the accounts that the transaction opens."""
    return {
        str(i.accounts[1].pubkey): str(i.accounts[2].pubkey)
        for i in instructions
        if str(i.program_id) == ASSOCIATED_TOKEN_PROGRAM and len(i.accounts) > 2
    }


def _details(kind: MemoKind, step: _Step, steps: Sequence[_Step], owners: dict[str, str]) -> dict[str, str]:
    at = step.accounts
    if kind == "mint":
        return {"to": _owner(owners, at["token"])}
    if kind == "issue":
        minted = any(s.name == "mint_to_checked" for s in steps)
        return {"to": _owner(owners, at["destination"]), "mint_first": str(minted).lower()}
    if kind == "seize":
        return {"of": at["source"], "leave_frozen": str(steps[-1].name == "freeze_account").lower()}
    if kind == "burn":
        own = str(token_account(address(at["mint"]), address(at["authority"])))
        return {"of": at["authority"]} if own == at["account"] else {"of": at["account"], "forced": "true"}
    return {"of": at["authority"], "to": _owner(owners, at["destination"])}


def _owner(owners: dict[str, str], account: str) -> str:
    if account not in owners:
        raise BadInput(f"the transaction does not say whose account {account} is: prepare it with tieout tx prepare")
    return owners[account]
