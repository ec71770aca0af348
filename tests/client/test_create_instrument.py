"""The instruction list of a new instrument, against the live configuration; no chain is needed."""

import struct

import pytest
from solders.keypair import Keypair
from solders.pubkey import Pubkey

from tieout_client import BadInput, InstrumentSpec, sign
from tieout_client.instructions import MintKeys, create_instrument
from tieout_idl import SYSTEM_PROGRAM, TOKEN_2022_PROGRAM, base58, decode

URI = "https://xstocks-metadata.backed.fi/tokens/Solana/AAPLx/metadata.json"
AAPLX = InstrumentSpec(symbol="AAPLx", name="Apple xStock", uri=URI)
MINT, PAYER = Keypair.from_seed(bytes([1]) * 32), Keypair.from_seed(bytes([2]) * 32)
ROLES = {
    role: Keypair.from_seed(bytes([n]) * 32)
    for n, role in enumerate(
        ("mint_authority", "freeze_authority", "pause_authority", "permanent_delegate", "multiplier_authority"), 3
    )
}
KEYS = MintKeys(**{role: key.pubkey() for role, key in ROLES.items()})
RENT = 5_609_760


def built(spec=AAPLX):
    return create_instrument(spec, MINT.pubkey(), PAYER.pubkey(), KEYS, RENT)


def test_the_account_is_created_with_509_bytes_and_the_rent_of_678():
    create = built()[0]
    assert str(create.program_id) == SYSTEM_PROGRAM
    tag, lamports, space = struct.unpack_from("<IQQ", bytes(create.data))
    assert (tag, lamports, space) == (0, RENT, 509)
    assert bytes(create.data)[20:] == bytes(Pubkey.from_string(TOKEN_2022_PROGRAM))
    assert AAPLX.final_space == 678


def test_extensions_come_before_the_mint_and_metadata_after_it():
    decoded = [decode(bytes(i.data)) for i in built()[1:]]
    assert [d.name for d in decoded] == [
        "initialize_metadata_pointer",
        "initialize_permanent_delegate",
        "initialize_default_account_state",
        "initialize_scaled_ui_amount_mint",
        "initialize_pausable_config",
        "initialize_confidential_transfer_mint",
        "initialize_transfer_hook",
        "initialize_mint2",
        "initialize_token_metadata",
    ]
    assert all(str(i.program_id) == TOKEN_2022_PROGRAM for i in built()[1:])
    assert all(i.accounts[0].pubkey == MINT.pubkey() for i in built()[1:])


def test_the_values_are_those_of_the_live_configuration():
    args = {d.name: dict(d.args) for d in (decode(bytes(i.data)) for i in built()[1:])}
    key = {role: str(pubkey.pubkey()) for role, pubkey in ROLES.items()}
    delegate, mint = key["permanent_delegate"], str(MINT.pubkey())
    assert args == {
        "initialize_metadata_pointer": {"authority": delegate, "metadata_address": mint},
        "initialize_permanent_delegate": {"delegate": delegate},
        "initialize_default_account_state": {"state": "initialized"},
        "initialize_scaled_ui_amount_mint": {"authority": key["multiplier_authority"], "multiplier": 1.0},
        "initialize_pausable_config": {"authority": key["pause_authority"]},
        "initialize_confidential_transfer_mint": {
            "authority": delegate,
            "auto_approve_new_accounts": False,
            "auditor_elgamal_pubkey": None,
        },
        "initialize_transfer_hook": {"authority": delegate, "program_id": None},
        "initialize_mint2": {
            "decimals": 8,
            "mint_authority": key["mint_authority"],
            "freeze_authority": key["freeze_authority"],
        },
        "initialize_token_metadata": {"name": "Apple xStock", "symbol": "AAPLx", "uri": URI},
    }


def test_metadata_is_signed_by_the_mint_authority_and_updated_by_the_delegate():
    metadata = built()[-1]
    assert [(m.pubkey, m.is_signer, m.is_writable) for m in metadata.accounts] == [
        (MINT.pubkey(), False, True),
        (KEYS.permanent_delegate, False, False),
        (MINT.pubkey(), False, False),
        (KEYS.mint_authority, True, False),
    ]


@pytest.mark.parametrize(("slot", "symbol"), [(60, "AAPLx"), (61, "TSLAx")])
def test_the_instructions_are_those_of_the_recorded_day(shared_json, slot, symbol):
    """A real validator took these very bytes: the same keys and texts give them again, account by account."""
    names = {role: Pubkey.from_string(key) for key, role in shared_json("golden/day-1/manifest.json")["names"].items()}
    message, recorded = recorded_creation(shared_json, slot)
    keys = MintKeys(
        mint_authority=names["mint-authority"],
        freeze_authority=names["freeze-pause-authority"],
        pause_authority=names["freeze-pause-authority"],
        permanent_delegate=names["permanent-delegate"],
        multiplier_authority=names["multiplier-authority"],
    )
    texts = decode(base58.decode(recorded[-1]["data"])).args
    rent = struct.unpack_from("<Q", base58.decode(recorded[0]["data"]), 4)[0]
    multiplier = decode(base58.decode(recorded[4]["data"])).args["multiplier"]
    spec = InstrumentSpec(symbol=symbol, name=texts["name"], uri=texts["uri"], multiplier=multiplier)
    ours = create_instrument(spec, names[f"mint:{symbol}"], names["issuer-payer"], keys, rent)
    for built_one, real in zip(ours, recorded, strict=True):
        assert base58.encode(bytes(built_one.data)) == real["data"]
        assert str(built_one.program_id) == message["accountKeys"][real["programIdIndex"]]
        assert [str(m.pubkey) for m in built_one.accounts] == [message["accountKeys"][n] for n in real["accounts"]]


def recorded_creation(shared_json, slot):
    block = shared_json(f"golden/day-1/blocks/{slot}.json.json")
    for transaction in block.get("result", block)["transactions"]:
        message = transaction["transaction"]["message"]
        if len(message["instructions"]) == 10:
            return message, message["instructions"]
    raise AssertionError(f"no instrument is made in slot {slot}")


def test_it_fits_one_transaction_with_every_role_its_own_key():
    signed = sign(built(), [PAYER, MINT, ROLES["mint_authority"]], str(Pubkey.default()), 1)
    assert len(signed.raw) <= 1232


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("symbol", ""),
        ("symbol", "A" * 33),
        ("symbol", "A\nB"),
        ("name", "x" * 129),
        ("name", "\x1b[31m"),
        ("uri", "u" * 257),
        ("decimals", -1),
        ("decimals", 19),
        ("decimals", True),
        ("decimals", "8"),
        ("multiplier", 0.0),
        ("multiplier", float("nan")),
    ],
)
def test_a_spec_that_cannot_be_made_is_refused_by_field(field, value):
    values = {"symbol": "AAPLx", "name": "Apple xStock", "uri": URI, "decimals": 8} | {field: value}
    with pytest.raises(BadInput, match=field):
        InstrumentSpec(**values).checked()


def test_texts_that_do_not_fit_a_transaction_are_refused():
    spec = InstrumentSpec(symbol="S" * 32, name="n" * 128, uri="u" * 256)
    with pytest.raises(BadInput, match="bytes and 1232 fit"):
        sign(built(spec), [PAYER, MINT, ROLES["mint_authority"]], str(Pubkey.default()), 1)
