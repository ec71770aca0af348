"""Who holds an instrument's authorities, and what that lets go wrong. Pure but for ``read_holders``.

A holder is a single key, a token multisig (m of n), a program's address, or nobody. Where the
last signature comes from is not on the chain: a single key may be an HSM or a text file.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from solders.pubkey import Pubkey

from tieout_client.multisig import parse_multisig
from tieout_client.reading import Instrument, read_accounts
from tieout_client.sending import Commitment
from tieout_idl import SYSTEM_PROGRAM
from tieout_rpc import RpcClient

_ONE_KEY: Final = {
    "mint_tokens": "can mint without limit",
    "permanent_delegate": "can take or destroy the tokens of any account",
    "freeze_account": "can freeze any account",
    "pause": "can stop every movement",
    "scaled_ui_amount": "can change how many shares every balance stands for, at once",
    "transfer_hook_program_id": "can put a program of its choice before every transfer",
    "transfer_fee_config": "can put a fee on every transfer",
    "metadata_update": "can change name, symbol and document",
    "close_mint": "can close the mint when its supply is zero",
}


@dataclass(frozen=True, slots=True)
class Holder:
    """Who an authority's address is: ``kind`` key, multisig, program or nobody; ``detail`` in words."""

    kind: str
    address: str | None
    detail: str


@dataclass(frozen=True, slots=True)
class Risk:
    """One thing that can go wrong: a stable ``code``, the ``sentence``, the addresses concerned."""

    code: str
    sentence: str
    addresses: tuple[str, ...] = ()


async def read_holders(
    rpc: RpcClient, instrument: Instrument, commitment: Commitment = "confirmed"
) -> dict[str, Holder]:
    """Return who holds each authority of an instrument."""
    addresses = sorted({a for a in instrument.authorities.values() if a is not None})
    _, accounts = await read_accounts(rpc, [Pubkey.from_string(a) for a in addresses], commitment)
    known = dict(zip(addresses, accounts, strict=True))
    return {
        role: Holder("nobody", None, "given up for good") if at is None else describe_holder(at, known[at])
        for role, at in instrument.authorities.items()
    }


def describe_holder(address: str, account: tuple[str, bytes] | None) -> Holder:
    """Return what an address is, from its account as ``(owning program, data)`` or None."""
    multisig = parse_multisig(address, account)
    if multisig is not None:
        return Holder("multisig", address, f"a multisig, {multisig.needed} of {len(multisig.members)} keys")
    if not Pubkey.from_string(address).is_on_curve():
        return Holder("program", address, "a program's address: what it takes to sign is in that program")
    if account is not None and account[0] != SYSTEM_PROGRAM:
        return Holder("program", address, f"an account of the program {account[0]}")
    return Holder("key", address, "a single key")


def risks(instrument: Instrument, holders: Mapping[str, Holder]) -> list[Risk]:
    """Return what can go wrong with an instrument as it stands, in the order of the roles."""
    found = [
        Risk(f"one-key-{role.replace('_', '-')}", f"one key {can}: {holder.address}", (str(holder.address),))
        for role, holder in holders.items()
        if holder.kind == "key" and (can := _ONE_KEY.get(role))
    ]
    return [*found, *_shared_keys(holders), *_states(instrument)]


def _shared_keys(holders: Mapping[str, Holder]) -> list[Risk]:
    roles: dict[str, list[str]] = {}
    for role, holder in holders.items():
        if holder.kind == "key" and holder.address is not None:
            roles.setdefault(holder.address, []).append(role)
    return [
        Risk("one-key-many-roles", f"one key holds {len(held)} roles ({', '.join(held)}): {address}", (address,))
        for address, held in roles.items()
        if {"mint_tokens", "permanent_delegate"} <= set(held)
    ]


def _states(instrument: Instrument) -> list[Risk]:
    found = []
    hook = _field(instrument, "transfer_hook", "program_id")
    if hook:
        found.append(Risk("hook-armed", f"every transfer runs the program {hook}", (str(hook),)))
    if _field(instrument, "default_account_state", "state") == "frozen":
        found.append(Risk("allowlist", "new accounts start frozen: each must be thawed before it can be paid"))
    if _field(instrument, "confidential_transfer_mint", "auto_approve_new_accounts"):
        found.append(Risk("confidential", "any account may turn to confidential balances, which nobody can add up"))
    fee = _field(instrument, "transfer_fee_config", "newer_transfer_fee")
    if fee and fee["transfer_fee_basis_points"]:
        found.append(Risk("fee", f"a transfer bears a fee of {fee['transfer_fee_basis_points']} basis points"))
    if instrument.paused:
        found.append(Risk("paused", "the instrument is paused: nothing moves"))
    if instrument.pending is not None:
        what = f"the multiplier becomes {instrument.pending.as_float!r}"
        found.append(Risk("multiplier-pending", f"{what} at unix second {instrument.pending.effective_timestamp}"))
    return found


def differences(expected: Any, found: Any, path: str = "") -> list[tuple[str, Any, Any]]:
    """Return ``(path, expected, found)`` of each value of a profile that an instrument's does not equal.

    What the profile does not name is not compared.
    """
    if isinstance(expected, Mapping) and isinstance(found, Mapping):
        return [
            difference
            for name, value in expected.items()
            for difference in differences(value, found.get(name), f"{path}.{name}" if path else str(name))
        ]
    return [] if expected == found else [(path, expected, found)]


def _field(instrument: Instrument, extension: str, name: str) -> Any:
    found = instrument.mint.extension(extension)
    return None if found is None else found.fields.get(name)
