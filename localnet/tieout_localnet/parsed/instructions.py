"""Instructions as nodes parse them: system, token, token-2022, associated accounts, memo, lookup tables."""

from collections.abc import Callable, Sequence
from typing import Final

from solders.pubkey import Pubkey

from tieout_localnet import programs
from tieout_localnet.parsed import token
from tieout_localnet.parsed.extensions import Json
from tieout_localnet.parsed.reader import Reader, Unreadable

ASSOCIATED: Final = Pubkey.from_string("ATokenGPvbdGVxr1b2hvZbsiqW5xWH25efTNsLJA8knL")

Parse = Callable[[bytes, Sequence[str]], tuple[str, Json]]


def instruction(program: Pubkey, data: bytes, keys: Sequence[str]) -> Json | None:
    """`program` and `parsed` of an instruction; None when nodes cannot parse it."""
    try:
        if program in programs.MEMO_PROGRAMS:
            return {"program": "spl-memo", "parsed": data.decode()}
        known = PROGRAMS.get(program)
        if known is None:
            return None
        name, parse = known
        kind, info = parse(data, keys)
    except (Unreadable, IndexError, UnicodeDecodeError):
        return None
    return {"program": name, "parsed": {"info": info, "type": kind}}


def _named(names: str, keys: Sequence[str]) -> Json:
    """Keys by the names of their places; all must be there."""
    return {name: keys[index] for index, name in enumerate(names.split())}


def _system(data: bytes, keys: Sequence[str]) -> tuple[str, Json]:
    reader = Reader(data)
    tag = reader.number(4)
    if tag not in SYSTEM_INSTRUCTIONS:
        raise Unreadable
    name, accounts, fields = SYSTEM_INSTRUCTIONS[tag]
    info = _named(accounts, keys)
    for field in fields.split():
        info[field] = _system_field(field, reader)
    return name, info


def _system_field(field: str, reader: Reader) -> object:
    if field in ("lamports", "space"):
        return reader.u64()
    return reader.text(8) if field in ("seed", "sourceSeed") else reader.key()


SYSTEM_INSTRUCTIONS: Final[dict[int, tuple[str, str, str]]] = {
    0: ("createAccount", "source newAccount", "lamports space owner"),
    1: ("assign", "account", "owner"),
    2: ("transfer", "source destination", "lamports"),
    3: ("createAccountWithSeed", "source newAccount", "base seed lamports space owner"),
    4: ("advanceNonce", "nonceAccount recentBlockhashesSysvar nonceAuthority", ""),
    5: (
        "withdrawFromNonce",
        "nonceAccount destination recentBlockhashesSysvar rentSysvar nonceAuthority",
        "lamports",
    ),
    6: ("initializeNonce", "nonceAccount recentBlockhashesSysvar rentSysvar", "nonceAuthority"),
    7: ("authorizeNonce", "nonceAccount nonceAuthority", "newAuthorized"),
    8: ("allocate", "account", "space"),
    9: ("allocateWithSeed", "account", "base seed space owner"),
    10: ("assignWithSeed", "account", "base seed owner"),
    11: ("transferWithSeed", "source sourceBase destination", "lamports sourceSeed sourceOwner"),
    12: ("upgradeNonce", "nonceAccount", ""),
}
"""Tag → name, accounts in order, fields in order."""


def _associated(data: bytes, keys: Sequence[str]) -> tuple[str, Json]:
    tag = data[0] if data else 0
    if tag in (0, 1):
        return (
            "create" if tag == 0 else "createIdempotent",
            _named("source account wallet mint systemProgram tokenProgram", keys),
        )
    if tag == 2:
        names = "nestedSource nestedMint destination nestedOwner ownerMint wallet tokenProgram"
        return "recoverNested", _named(names, keys)
    raise Unreadable


def _lookup_table(data: bytes, keys: Sequence[str]) -> tuple[str, Json]:
    reader = Reader(data)
    tag = reader.number(4)
    info = _named("lookupTableAccount lookupTableAuthority", keys)
    if tag == 0:
        info.update(payerAccount=keys[2], systemProgram=keys[3])
        return "createLookupTable", {**info, "recentSlot": reader.u64(), "bumpSeed": reader.u8()}
    if tag == 2:
        info["newAddresses"] = [reader.key() for _ in range(reader.u64())]
        if len(keys) >= 4:
            info.update(payerAccount=keys[2], systemProgram=keys[3])
        return "extendLookupTable", info
    if tag == 4:
        return "closeLookupTable", {**info, "recipient": keys[2]}
    if tag in (1, 3):
        return "freezeLookupTable" if tag == 1 else "deactivateLookupTable", info
    raise Unreadable


PROGRAMS: Final[dict[Pubkey, tuple[str, Parse]]] = {
    programs.SYSTEM: ("system", _system),
    programs.TOKEN: ("spl-token", token.parse),
    programs.TOKEN_2022: ("spl-token", token.parse),
    ASSOCIATED: ("spl-associated-token-account", _associated),
    programs.LOOKUP_TABLE: ("address-lookup-table", _lookup_table),
}
