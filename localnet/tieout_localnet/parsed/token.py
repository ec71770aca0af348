"""Token instructions as nodes parse them: one parser for both programs, tags as in the program's source.

Confidential transfers are parsed as far as the configuration of a mint goes; the rest stays unparsed.
"""

import base64
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from tieout_localnet.balances import amount_text
from tieout_localnet.parsed.extensions import Json, account_state, name_of
from tieout_localnet.parsed.reader import Reader, Unreadable, float_text

AUTHORITY_TYPES: Final = (
    "mintTokens",
    "freezeAccount",
    "accountOwner",
    "closeAccount",
    "transferFeeConfig",
    "withheldWithdraw",
    "closeMint",
    "interestRate",
    "permanentDelegate",
    "confidentialTransferMint",
    "transferHookProgramId",
    "confidentialTransferFeeConfig",
    "metadataPointer",
    "groupPointer",
    "groupMemberPointer",
    "scaledUiAmount",
    "pause",
    "permissionedBurn",
)
OF_ACCOUNTS: Final = ("accountOwner", "closeAccount")


@dataclass(frozen=True, slots=True)
class Form:
    """How one instruction is shown: accounts in order, fields of the data, and who signs.

    `signer` is the name of the authority behind the accounts; with more keys than that it is a multisig.
    """

    name: str
    accounts: str
    fields: Callable[[Reader], Json] | None = None
    signer: str | None = None


def ui_amount(amount: int, decimals: int) -> Json:
    """A raw amount, as instructions show it: never scaled."""
    return {
        "amount": str(amount),
        "decimals": decimals,
        "uiAmount": amount / 10**decimals,
        "uiAmountString": amount_text(amount, decimals),
    }


def _amount(reader: Reader) -> Json:
    return {"amount": str(reader.u64())}


def _checked(reader: Reader) -> Json:
    return {"tokenAmount": ui_amount(reader.u64(), reader.u8())}


def _with_fee(reader: Reader) -> Json:
    amount, decimals, fee = reader.u64(), reader.u8(), reader.u64()
    return {"tokenAmount": ui_amount(amount, decimals), "feeAmount": ui_amount(fee, decimals)}


def _mint(reader: Reader) -> Json:
    info: Json = {"decimals": reader.u8(), "mintAuthority": reader.key()}
    freeze = reader.tagged_key()
    return info if freeze is None else {**info, "freezeAuthority": freeze}


def _owner(reader: Reader) -> Json:
    return {"owner": reader.key()}


def _set_authority(reader: Reader) -> Json:
    kind = reader.u8()
    if kind >= len(AUTHORITY_TYPES):
        raise Unreadable
    return {"authorityType": AUTHORITY_TYPES[kind], "newAuthority": reader.tagged_key()}


def _types(reader: Reader) -> Json:
    rest = reader.rest()
    names = [name_of(int.from_bytes(rest[i : i + 2], "little")) for i in range(0, len(rest), 2)]
    return {"extensionTypes": names} if names else {}


def _present(**values: object) -> Json:
    """Members without those that are None."""
    return {name: value for name, value in values.items() if value is not None}


def _fee_config(reader: Reader) -> Json:
    config, withdraw = reader.tagged_key(), reader.tagged_key()
    info = _present(transferFeeConfigAuthority=config, withdrawWithheldAuthority=withdraw)
    return {**info, "transferFeeBasisPoints": reader.number(2), "maximumFee": reader.u64()}


def _set_fee(reader: Reader) -> Json:
    return {"transferFeeBasisPoints": reader.number(2), "maximumFee": reader.u64()}


def _confidential_mint(reader: Reader) -> Json:
    authority, approve = reader.key_or_zero(), reader.flag()
    raw = reader.take(32)
    auditor = None if raw == bytes(32) else base64.b64encode(raw).decode()
    info = _present(authority=authority)
    return {**info, "autoApproveNewAccounts": approve, "auditorElGamalPubkey": auditor}


def _confidential_update(reader: Reader) -> Json:
    approve, raw = reader.flag(), reader.take(32)
    auditor = None if raw == bytes(32) else base64.b64encode(raw).decode()
    return {"autoApproveNewAccounts": approve, "auditorElGamalPubkey": auditor}


def _state(reader: Reader) -> Json:
    return {"accountState": account_state(reader.u8())}


def _pointer(*names: str) -> Callable[[Reader], Json]:
    return lambda reader: _present(**{name: reader.key_or_zero() for name in names})


def _interest(reader: Reader) -> Json:
    return {**_present(rateAuthority=reader.key_or_zero()), "rate": reader.number(2, signed=True)}


def _scaled(reader: Reader) -> Json:
    return {**_present(authority=reader.key_or_zero()), "multiplier": float_text(reader.f64())}


def _multiplier(reader: Reader) -> Json:
    multiplier, at = reader.f64(), reader.number(8, signed=True)
    return {"newMultiplier": float_text(multiplier), "newMultiplierTimestamp": at}


def _metadata(reader: Reader) -> Json:
    return {"name": reader.text(), "symbol": reader.text(), "uri": reader.text()}


FIELDS_OF_METADATA: Final = ("name", "symbol", "uri")


def _field(reader: Reader) -> str:
    kind = reader.u8()
    if kind < len(FIELDS_OF_METADATA):
        return FIELDS_OF_METADATA[kind]
    return f"key({reader.text()})" if kind == len(FIELDS_OF_METADATA) else reader.key()


def _update_field(reader: Reader) -> Json:
    return {"field": _field(reader), "value": reader.text()}


def _remove_key(reader: Reader) -> Json:
    return {"idempotent": reader.flag(), "key": reader.text()}


FORMS: Final[dict[int, Form]] = {
    0: Form("initializeMint", "mint rentSysvar", _mint),
    1: Form("initializeAccount", "account mint owner rentSysvar"),
    3: Form("transfer", "source destination", _amount, "authority"),
    4: Form("approve", "source delegate", _amount, "owner"),
    5: Form("revoke", "source", None, "owner"),
    7: Form("mintTo", "mint account", _amount, "mintAuthority"),
    8: Form("burn", "account mint", _amount, "authority"),
    9: Form("closeAccount", "account destination", None, "owner"),
    10: Form("freezeAccount", "account mint", None, "freezeAuthority"),
    11: Form("thawAccount", "account mint", None, "freezeAuthority"),
    12: Form("transferChecked", "source mint destination", _checked, "authority"),
    13: Form("approveChecked", "source mint delegate", _checked, "owner"),
    14: Form("mintToChecked", "mint account", _checked, "mintAuthority"),
    15: Form("burnChecked", "account mint", _checked, "authority"),
    16: Form("initializeAccount2", "account mint rentSysvar", _owner),
    17: Form("syncNative", "account"),
    18: Form("initializeAccount3", "account mint", _owner),
    20: Form("initializeMint2", "mint", _mint),
    21: Form("getAccountDataSize", "mint", _types),
    22: Form("initializeImmutableOwner", "account"),
    23: Form("amountToUiAmount", "mint", _amount),
    24: Form("uiAmountToAmount", "mint", lambda reader: {"uiAmount": reader.rest().decode()}),
    25: Form("initializeMintCloseAuthority", "mint", lambda reader: {"newAuthority": reader.tagged_key()}),
    29: Form("reallocate", "account payer systemProgram", _types, "owner"),
    31: Form("createNativeMint", "payer nativeMint systemProgram"),
    32: Form("initializeNonTransferableMint", "mint"),
    35: Form("initializePermanentDelegate", "mint", lambda reader: {"delegate": reader.key()}),
    38: Form("withdrawExcessLamports", "source destination", None, "authority"),
}
"""Instructions of one byte."""

EXTENDED: Final[dict[tuple[int, int], Form]] = {
    (26, 0): Form("initializeTransferFeeConfig", "mint", _fee_config),
    (26, 1): Form("transferCheckedWithFee", "source mint destination", _with_fee, "authority"),
    (26, 2): Form("withdrawWithheldTokensFromMint", "mint feeRecipient", None, "withdrawWithheldAuthority"),
    (26, 5): Form("setTransferFee", "mint", _set_fee, "transferFeeConfigAuthority"),
    (27, 0): Form("initializeConfidentialTransferMint", "mint", _confidential_mint),
    (27, 1): Form("updateConfidentialTransferMint", "mint", _confidential_update, "authority"),
    (28, 0): Form("initializeDefaultAccountState", "mint", _state),
    (28, 1): Form("updateDefaultAccountState", "mint", _state, "freezeAuthority"),
    (30, 0): Form("enableRequiredMemoTransfers", "account", None, "owner"),
    (30, 1): Form("disableRequiredMemoTransfers", "account", None, "owner"),
    (33, 0): Form("initializeInterestBearingConfig", "mint", _interest),
    (33, 1): Form(
        "updateInterestBearingConfigRate",
        "mint",
        lambda reader: {"newRate": reader.number(2, signed=True)},
        "rateAuthority",
    ),
    (34, 0): Form("enableCpiGuard", "account", None, "owner"),
    (34, 1): Form("disableCpiGuard", "account", None, "owner"),
    (36, 0): Form("initializeTransferHook", "mint", _pointer("authority", "programId")),
    (36, 1): Form("updateTransferHook", "mint", _pointer("programId"), "authority"),
    (39, 0): Form("initializeMetadataPointer", "mint", _pointer("authority", "metadataAddress")),
    (39, 1): Form("updateMetadataPointer", "mint", _pointer("metadataAddress"), "authority"),
    (40, 0): Form("initializeGroupPointer", "mint", _pointer("authority", "groupAddress")),
    (40, 1): Form("updateGroupPointer", "mint", _pointer("groupAddress"), "authority"),
    (41, 0): Form("initializeGroupMemberPointer", "mint", _pointer("authority", "memberAddress")),
    (41, 1): Form("updateGroupMemberPointer", "mint", _pointer("memberAddress"), "authority"),
    (43, 0): Form("initializeScaledUiAmountConfig", "mint", _scaled),
    (43, 1): Form("updateMultiplier", "mint", _multiplier, "authority"),
    (44, 0): Form("initializePausableConfig", "mint", _pointer("authority")),
    (44, 1): Form("pause", "mint", None, "authority"),
    (44, 2): Form("resume", "mint", None, "authority"),
}
"""Instructions of an extension: its byte, and one of its own."""

INTERFACE: Final[dict[bytes, Form]] = {
    bytes([210, 225, 30, 162, 88, 184, 77, 141]): Form(
        "initializeTokenMetadata", "metadata updateAuthority mint mintAuthority", _metadata
    ),
    bytes([221, 233, 49, 45, 181, 202, 220, 200]): Form(
        "updateTokenMetadataField", "metadata updateAuthority", _update_field
    ),
    bytes([234, 18, 32, 56, 89, 141, 37, 181]): Form(
        "removeTokenMetadataKey", "metadata updateAuthority", _remove_key
    ),
    bytes([215, 228, 166, 228, 84, 100, 86, 123]): Form(
        "updateTokenMetadataAuthority", "metadata updateAuthority", _pointer("newAuthority")
    ),
}
"""Instructions of the metadata interface: eight bytes."""


def parse(data: bytes, keys: Sequence[str]) -> tuple[str, Json]:
    """Name and info of a token instruction; raises Unreadable or IndexError."""
    if data[:8] in INTERFACE:
        return _shown(INTERFACE[data[:8]], Reader(data, 8), keys)
    tag = data[0]
    if tag == 6:
        return _authority(data, keys)
    if tag in (2, 19):
        return _multisig(tag, data, keys)
    if tag in FORMS:
        return _shown(FORMS[tag], Reader(data, 1), keys)
    if tag == 26 and data[1] in (3, 4):
        return _withheld(data, keys)
    form = EXTENDED.get((tag, data[1]))
    if form is None:
        raise Unreadable
    return _shown(form, Reader(data, 2), keys)


def _shown(form: Form, reader: Reader, keys: Sequence[str]) -> tuple[str, Json]:
    names = form.accounts.split()
    info: Json = {name: keys[index] for index, name in enumerate(names)}
    if form.fields is not None:
        info.update(form.fields(reader))
    if form.signer is not None:
        info.update(_signers(keys, len(names), form.signer))
    return form.name, info


def _signers(keys: Sequence[str], at: int, name: str) -> Json:
    if len(keys) > at + 1:
        return {f"multisig{name[0].upper()}{name[1:]}": keys[at], "signers": list(keys[at + 1 :])}
    return {name: keys[at]}


def _authority(data: bytes, keys: Sequence[str]) -> tuple[str, Json]:
    info = _set_authority(Reader(data, 1))
    owned = "account" if info["authorityType"] in OF_ACCOUNTS else "mint"
    return "setAuthority", {owned: keys[0], **info, **_signers(keys, 1, "authority")}


def _multisig(tag: int, data: bytes, keys: Sequence[str]) -> tuple[str, Json]:
    first = 2 if tag == 2 else 1
    info: Json = {"multisig": keys[0], "signers": list(keys[first:]), "m": data[1]}
    if tag == 2:
        return "initializeMultisig", {**info, "rentSysvar": keys[1]}
    return "initializeMultisig2", info


def _withheld(data: bytes, keys: Sequence[str]) -> tuple[str, Json]:
    """Fees taken from many accounts: the last so many keys are the sources."""
    if data[1] == 4:
        return "harvestWithheldTokensToMint", {"mint": keys[0], "sourceAccounts": list(keys[1:])}
    sources = len(keys) - data[2]
    info: Json = {"mint": keys[0], "feeRecipient": keys[1], "sourceAccounts": list(keys[sources:])}
    info.update(_signers(keys[:sources], 2, "withdrawWithheldAuthority"))
    return "withdrawWithheldTokensFromAccounts", info
