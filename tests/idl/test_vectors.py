"""Real instruction data, byte for byte: mainnet transactions and the program's own examples."""

import pytest

from tieout_idl import base58, decode, encode
from tieout_idl.codec import Child

NEW_MINT_AUTHORITY = "7pt9tkctJPK7PPNQJ77GKg8ZffSF6QxoMiCFYHxrtaCj"

VECTORS = [
    pytest.param(
        "ihmsx4Y4KLCUf",
        "0ccc4c67340000000008",
        "transfer_checked",
        {"amount": 879185100, "decimals": 8},
        id="transfer_checked, slot 449738800",
    ),
    pytest.param(
        "6tN3jgAcNp3R", "07f8e015610c160000", "mint_to", {"amount": 24242424242424}, id="mint_to, slot 448527130"
    ),
    pytest.param(
        "rsq8ivKxBavLY",
        "0f4e6bca650000000009",
        "burn_checked",
        {"amount": 1707764558, "decimals": 9},
        id="burn_checked, slot 449781266",
    ),
    pytest.param("6zwtEeSEqGAj", "08203c1bd805000000", "burn", {"amount": 25100500000}, id="burn, slot 438914614"),
    pytest.param(
        "bixy1SwhHcr2nUfPfRxngt7PonrFFrgyGMgXs1PBLxZ6TtP",
        "060001" + base58.public_key(NEW_MINT_AUTHORITY).hex(),
        "set_authority",
        {"authority_type": "mint_tokens", "new_authority": NEW_MINT_AUTHORITY},
        id="set_authority, slot 416391421",
    ),
    pytest.param(
        "VUowYtikhwi57j8r",
        "1a053200ffffffffffffffff",
        "set_transfer_fee",
        {"transfer_fee_basis_points": 50, "maximum_fee": 2**64 - 1},
        id="set_transfer_fee, slot 445383184",
    ),
    pytest.param(
        "2nTHqKJU2EuqwCLAYR5iDLYB9",
        "2b01052edfce630df03f8878766a00000000",
        "update_multiplier_scaled_ui_mint",
        {"multiplier": 1.0032690125398187, "effective_timestamp": 1786149000},
        id="update_multiplier, slot 437855402",
    ),
    pytest.param("4ME", "2c01", "pause", {}, id="pause"),
    pytest.param("4MF", "2c02", "resume", {}, id="resume"),
    pytest.param(
        "5m9aVrL7vVFfcjRS6nnnrzpiXh",
        "1a01da36410000000000097a53000000000000",
        "transfer_checked_with_fee",
        {"amount": 4273882, "decimals": 9, "fee": 21370},
        id="transfer_checked_with_fee",
    ),
    pytest.param(
        "QFQ9ZyKXtgtTt38uqGLdBN47By5QkEGNB",
        "ff040a0c0100000000000000080309070200000000000000",
        "batch",
        {
            "data": (
                Child(4, encode("transfer_checked", {"amount": 1, "decimals": 8})),
                Child(3, encode("mint_to", {"amount": 2})),
            )
        },
        id="batch of two",
    ),
]


@pytest.mark.parametrize(("text", "in_hex", "name", "args"), VECTORS)
def test_real_data_decodes_to_its_values(text, in_hex, name, args):
    data = base58.decode(text)
    assert data.hex() == in_hex
    decoded = decode(data)
    assert (decoded.name, dict(decoded.args)) == (name, args)


@pytest.mark.parametrize(("text", "in_hex", "name", "args"), VECTORS)
def test_values_encode_to_the_real_data(text, in_hex, name, args):
    data = encode(name, args)
    assert data.hex() == in_hex
    assert base58.encode(data) == text


def test_trailing_bytes_are_ignored_as_older_programs_did():
    assert dict(decode(bytes.fromhex("0c0100000000000000" + "08" + "ffff")).args) == {"amount": 1, "decimals": 8}
