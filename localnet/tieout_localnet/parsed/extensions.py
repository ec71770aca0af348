"""Extensions of Token-2022 accounts and mints, by name, with their state as nodes show it."""

import base64
from collections.abc import Callable
from typing import Final, TypeAlias

from tieout_localnet.parsed.reader import Reader, Unreadable, float_text

Json: TypeAlias = dict[str, object]

HEADER_BYTES: Final = 4
ACCOUNT_STATES: Final = ("uninitialized", "initialized", "frozen")
CIPHERTEXT_BYTES: Final = 64
DECRYPTABLE_BYTES: Final = 36


def account_state(number: int) -> str:
    """The state of a token account by its name."""
    if number >= len(ACCOUNT_STATES):
        raise Unreadable
    return ACCOUNT_STATES[number]


def _b64(reader: Reader, count: int) -> str:
    return base64.b64encode(reader.take(count)).decode()


def _elgamal(reader: Reader) -> str | None:
    raw = reader.take(32)
    return None if raw == bytes(32) else base64.b64encode(raw).decode()


def _keys(*names: str) -> Callable[[Reader], Json]:
    return lambda reader: {name: reader.key_or_zero() for name in names}


def _flag(name: str) -> Callable[[Reader], Json]:
    return lambda reader: {name: reader.flag()}


def _fee(reader: Reader) -> Json:
    return {
        "epoch": reader.u64(),
        "maximumFee": reader.u64(),
        "transferFeeBasisPoints": reader.number(2),
    }


def _transfer_fee(reader: Reader) -> Json:
    return {
        "transferFeeConfigAuthority": reader.key_or_zero(),
        "withdrawWithheldAuthority": reader.key_or_zero(),
        "withheldAmount": reader.u64(),
        "olderTransferFee": _fee(reader),
        "newerTransferFee": _fee(reader),
    }


def _confidential_mint(reader: Reader) -> Json:
    return {
        "authority": reader.key_or_zero(),
        "autoApproveNewAccounts": reader.flag(),
        "auditorElgamalPubkey": _elgamal(reader),
    }


def _confidential_account(reader: Reader) -> Json:
    return {
        "approved": reader.flag(),
        "elgamalPubkey": _b64(reader, 32),
        "pendingBalanceLo": _b64(reader, CIPHERTEXT_BYTES),
        "pendingBalanceHi": _b64(reader, CIPHERTEXT_BYTES),
        "availableBalance": _b64(reader, CIPHERTEXT_BYTES),
        "decryptableAvailableBalance": _b64(reader, DECRYPTABLE_BYTES),
        "allowConfidentialCredits": reader.flag(),
        "allowNonConfidentialCredits": reader.flag(),
        "pendingBalanceCreditCounter": reader.u64(),
        "maximumPendingBalanceCreditCounter": reader.u64(),
        "expectedPendingBalanceCreditCounter": reader.u64(),
        "actualPendingBalanceCreditCounter": reader.u64(),
    }


def _confidential_fee(reader: Reader) -> Json:
    return {
        "authority": reader.key_or_zero(),
        "withdrawWithheldAuthorityElgamalPubkey": _elgamal(reader),
        "harvestToMintEnabled": reader.flag(),
        "withheldAmount": _b64(reader, CIPHERTEXT_BYTES),
    }


def _interest(reader: Reader) -> Json:
    return {
        "rateAuthority": reader.key_or_zero(),
        "initializationTimestamp": reader.number(8, signed=True),
        "preUpdateAverageRate": reader.number(2, signed=True),
        "lastUpdateTimestamp": reader.number(8, signed=True),
        "currentRate": reader.number(2, signed=True),
    }


def _scaled(reader: Reader) -> Json:
    return {
        "authority": reader.key_or_zero(),
        "multiplier": float_text(reader.f64()),
        "newMultiplierEffectiveTimestamp": reader.number(8, signed=True),
        "newMultiplier": float_text(reader.f64()),
    }


def _metadata(reader: Reader) -> Json:
    shown: Json = {
        "updateAuthority": reader.key_or_zero(),
        "mint": reader.key(),
        "name": reader.text(),
        "symbol": reader.text(),
        "uri": reader.text(),
    }
    shown["additionalMetadata"] = [[reader.text(), reader.text()] for _ in range(reader.number(4))]
    return shown


def _group(reader: Reader) -> Json:
    return {
        "updateAuthority": reader.key_or_zero(),
        "mint": reader.key(),
        # Four bytes each in the first version of the interface, eight now.
        "size": reader.number((len(reader.data) - 64) // 2),
        "maxSize": reader.number((len(reader.data) - 64) // 2),
    }


def _member(reader: Reader) -> Json:
    return {"mint": reader.key(), "group": reader.key(), "memberNumber": reader.number(len(reader.data) - 64)}


EXTENSIONS: Final[dict[int, tuple[str, Callable[[Reader], Json] | None]]] = {
    1: ("transferFeeConfig", _transfer_fee),
    2: ("transferFeeAmount", lambda reader: {"withheldAmount": reader.u64()}),
    3: ("mintCloseAuthority", _keys("closeAuthority")),
    4: ("confidentialTransferMint", _confidential_mint),
    5: ("confidentialTransferAccount", _confidential_account),
    6: ("defaultAccountState", lambda reader: {"accountState": account_state(reader.u8())}),
    7: ("immutableOwner", None),
    8: ("memoTransfer", _flag("requireIncomingTransferMemos")),
    9: ("nonTransferable", None),
    10: ("interestBearingConfig", _interest),
    11: ("cpiGuard", _flag("lockCpi")),
    12: ("permanentDelegate", _keys("delegate")),
    13: ("nonTransferableAccount", None),
    14: ("transferHook", _keys("authority", "programId")),
    15: ("transferHookAccount", _flag("transferring")),
    16: ("confidentialTransferFeeConfig", _confidential_fee),
    17: ("confidentialTransferFeeAmount", lambda reader: {"withheldAmount": _b64(reader, CIPHERTEXT_BYTES)}),
    18: ("metadataPointer", _keys("authority", "metadataAddress")),
    19: ("tokenMetadata", _metadata),
    20: ("groupPointer", _keys("authority", "groupAddress")),
    21: ("tokenGroup", _group),
    22: ("groupMemberPointer", _keys("authority", "memberAddress")),
    23: ("tokenGroupMember", _member),
    25: ("scaledUiAmountConfig", _scaled),
    26: ("pausableConfig", lambda r: {"authority": r.key_or_zero(), "paused": r.flag()}),
    27: ("pausableAccount", None),
}
"""Type number → name, and how its state reads (None: it has none)."""


def name_of(kind: int) -> str:
    """The name of an extension type."""
    return EXTENSIONS[kind][0] if kind in EXTENSIONS else "unparseableExtension"


def extensions(data: bytes, at: int) -> list[Json]:
    """The extensions that follow the base of a mint or an account, in their order."""
    found: list[Json] = []
    while at + HEADER_BYTES <= len(data):
        kind = int.from_bytes(data[at : at + 2], "little")
        length = int.from_bytes(data[at + 2 : at + 4], "little")
        if kind == 0:
            break
        found.append(_shown(kind, data[at + HEADER_BYTES : at + HEADER_BYTES + length]))
        at += HEADER_BYTES + length
    return found


def _shown(kind: int, value: bytes) -> Json:
    if kind not in EXTENSIONS:
        return {"extension": "unparseableExtension"}
    name, state = EXTENSIONS[kind]
    if state is None:
        return {"extension": name}
    try:
        return {"extension": name, "state": state(Reader(value))}
    except Unreadable:
        return {"extension": "unparseableExtension"}
