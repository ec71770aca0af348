"""jsonParsed, held against what a real validator said of the same bytes."""

import base64
import json
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st
from solders.pubkey import Pubkey
from support import recording, tokens
from support.node import REPOSITORY
from support.recording import needs_recording

from tieout_localnet import encoding, parsed, programs
from tieout_localnet.accounts import AccountState
from tieout_localnet.parsed.reader import float_text
from tieout_localnet.transaction import from_stored

VOTE = "Vote111111111111111111111111111111111111111"
LEDGER = REPOSITORY.parent / "shared" / "data" / "ledger"


@needs_recording
def test_every_recorded_transaction_is_parsed_as_recorded() -> None:
    compared = 0
    for slot in recording.slots():
        plain, wires = recording.block(slot, "json"), recording.block(slot, "base64")
        expected = recording.block(slot, "jsonParsed")
        for item, wire, theirs in zip(
            plain["transactions"], wires["transactions"], expected["transactions"], strict=True
        ):
            if any(key["pubkey"] == VOTE for key in theirs["transaction"]["message"]["accountKeys"]):
                continue
            loaded = item["meta"]["loadedAddresses"]
            keys = [Pubkey.from_string(key) for key in loaded["writable"] + loaded["readonly"]]
            resolved = from_stored(
                base64.b64decode(wire["transaction"][0]),
                b"".join(bytes(key) for key in keys),
                len(loaded["writable"]),
            )
            ours = encoding.full_transaction(
                resolved, item["meta"], "jsonParsed", rewards=False, versioned=True
            )
            assert ours == theirs
            compared += 1
    assert compared > 90


def recorded_accounts() -> Iterator[tuple[str, dict[str, Any], dict[str, dict[str, Any]]]]:
    """For each recorded account: its answer by encoding."""
    answers: dict[str, dict[str, dict[str, Any]]] = {}
    for request, response in recording.calls():
        if request["method"] == "getAccountInfo" and "error" not in response and response["result"]["value"]:
            key, options = request["params"]
            if "dataSlice" not in options:
                shown = response["result"]["value"]
                answers.setdefault(key, {})[options.get("encoding", "binary")] = shown
    for key, by_encoding in answers.items():
        yield key, by_encoding["base64"], by_encoding


def state_of(shown: dict[str, Any]) -> AccountState:
    return AccountState(
        shown["lamports"], base64.b64decode(shown["data"][0]), Pubkey.from_string(shown["owner"])
    )


@needs_recording
def test_every_recorded_account_is_shown_as_recorded() -> None:
    states = {Pubkey.from_string(key): state_of(plain) for key, plain, _ in recorded_accounts()}
    when = recording.block(recording.slots()[-1], "json")["blockTime"]
    compared = set()
    for _, plain, by_encoding in recorded_accounts():
        for name, theirs in by_encoding.items():
            if name in ("base64", "base64+zstd", "jsonParsed"):
                ours = encoding.account_json(state_of(plain), name, None, states.get, when)
                assert ours == theirs
                compared.add(name)
    assert compared == {"base64", "base64+zstd", "jsonParsed"}


def token_mint(state: AccountState) -> Pubkey:
    return Pubkey.from_bytes(state.data[:32])


@pytest.mark.skipif(not LEDGER.is_dir(), reason="there is no mainnet data beside this repository")
def test_accounts_with_many_extensions_are_parsed() -> None:
    for path in sorted((LEDGER / "kit-token2022-accounts").glob("*.json")):
        shown = json.loads(path.read_text())["account"]
        state = state_of(shown)
        mint = AccountState(1, bytes(36) + bytes(8) + b"\x06\x01" + bytes(36), programs.TOKEN_2022)
        found: Any = parsed.account_data(state, {token_mint(state): mint}.get, 0)
        assert found is not None, path.name
        names = [item["extension"] for item in found["parsed"]["info"].get("extensions", [])]
        assert "unparseableExtension" not in names, path.name


KEYS = [str(Pubkey.from_bytes(bytes([n]) * 32)) for n in range(1, 9)]


def info(data: bytes, *, program: Pubkey = programs.TOKEN_2022, keys: int = 3) -> Any:
    found: Any = parsed.instruction(program, data, KEYS[:keys])
    assert found is not None
    return found["parsed"]["info"]


def test_more_keys_than_an_authority_are_a_multisig() -> None:
    shown = info(b"\x03" + struct.pack("<Q", 5), keys=5)
    assert (shown["multisigAuthority"], shown["signers"]) == (KEYS[2], KEYS[3:5])
    assert "authority" not in shown


def test_instructions_that_the_recording_has_not() -> None:
    assert info(b"\x1a\x05" + struct.pack("<HQ", 25, 9), keys=2) == {
        "mint": KEYS[0],
        "transferFeeConfigAuthority": KEYS[1],
        "transferFeeBasisPoints": 25,
        "maximumFee": 9,
    }
    assert info(b"\x06\x00\x00", keys=2) == {
        "mint": KEYS[0],
        "authority": KEYS[1],
        "authorityType": "mintTokens",
        "newAuthority": None,
    }
    assert info(struct.pack("<I", 4), program=programs.SYSTEM)["nonceAuthority"] == KEYS[2]
    assert info(struct.pack("<IQ", 4, 0), program=programs.LOOKUP_TABLE)["recipient"] == KEYS[2]


def test_what_cannot_be_parsed_is_left_as_it_is() -> None:
    assert parsed.instruction(programs.COMPUTE_BUDGET, b"\x02", []) is None
    assert parsed.instruction(programs.TOKEN_2022, b"\xff", KEYS) is None
    assert parsed.instruction(programs.TOKEN_2022, b"\x03" + bytes(8), KEYS[:1]) is None
    assert parsed.instruction(tokens.MEMO, b"\xff\xfe", []) is None
    assert parsed.account_data(AccountState(1, b"x", programs.SYSTEM), lambda _: None, 0) is None


@given(
    st.sampled_from([programs.TOKEN_2022, programs.SYSTEM, programs.LOOKUP_TABLE]), st.binary(max_size=120)
)
def test_no_instruction_data_is_a_defect(program: Pubkey, data: bytes) -> None:
    for count in (0, 1, 2, 4, 8):
        parsed.instruction(program, data, KEYS[:count])


@given(
    st.sampled_from([programs.TOKEN_2022, programs.TOKEN, programs.LOOKUP_TABLE, programs.SYSTEM]),
    st.one_of(
        st.binary(max_size=400), st.binary(min_size=80, max_size=82), st.binary(min_size=355, max_size=355)
    ),
)
def test_no_account_data_is_a_defect(owner: Pubkey, data: bytes) -> None:
    state = AccountState(1, data, owner)
    parsed.account_data(state, lambda _: state, 0)


@given(st.floats())
def test_a_float_is_shown_without_an_exponent(value: float) -> None:
    text = float_text(value)
    assert "e" not in text
    assert not text.endswith(".0")
    assert float(text) == value or value != value


def test_zstd_is_compressed_for_real(tmp_path: Path) -> None:
    data = bytes(10_000)
    shown = encoding.account_data(data, "base64+zstd")
    assert isinstance(shown, list)
    packed = base64.b64decode(shown[0])
    assert len(packed) < 100
    assert zstandard.ZstdDecompressor().decompressobj().decompress(packed) == data
