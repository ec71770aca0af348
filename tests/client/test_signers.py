"""Signers: key files, the environment, addresses alone, and keys that sign elsewhere."""

import asyncio
import json
import os

import pytest
from solders.keypair import Keypair
from solders.signature import Signature

from client.desks import QUICK, SOL, house_on, raw_of
from support.command import tieout_here
from tieout_client import (
    AddressOnly,
    Authorities,
    BadInput,
    connect,
    keypair_from_environment,
    load_signer,
    write_keypair,
)

KEY = Keypair.from_seed(bytes([5]) * 32)


class Vault:
    """A key behind a network: it takes its time, and may be asked often at once."""

    def __init__(self, key, answer=None):
        self._key, self._answer, self.asked = key, answer, 0

    def pubkey(self):
        return self._key.pubkey()

    async def sign_message(self, message):
        self.asked += 1
        await asyncio.sleep(0.02)
        return self._key.sign_message(message) if self._answer is None else self._answer


async def test_a_key_in_a_vault_signs_and_pays(chain, tmp_path):
    async with house_on(chain) as house:
        vault = Vault(Keypair())
        roles = Authorities.of(vault, mint_authority=Vault(house.roles.mint_authority), treasury=vault)
        async with connect(chain, vault, roles, options=QUICK, journal=tmp_path / "j") as desk:
            await desk.airdrop(vault.pubkey(), SOL)
            done = await desk.issue(house.mint, 5, KEY.pubkey(), "o", mint_first=True)
            assert await desk.issue(house.mint, 5, KEY.pubkey(), "o", mint_first=True) == done
            assert await raw_of(desk, house.mint, KEY.pubkey()) == 5
            assert (vault.asked, roles.mint_authority.asked) == (1, 1)
            file = await desk.prepare(lambda d: d.open_account(house.mint, KEY.pubkey()))
            file = await file.signed_by(vault)
            assert file.missing == ()
        for answer in (Signature.default(), KEY.sign_message(b"something else"), b"x" * 64, None):
            broken = Vault(Keypair(), answer if answer is not None else "nothing")
            async with connect(chain, broken, options=QUICK) as desk:
                with pytest.raises(BadInput, match=f"signer of {broken.pubkey()} gave what is no signature"):
                    await desk.open_account(house.mint, KEY.pubkey())


def test_a_key_comes_from_the_environment_and_is_never_shown(monkeypatch):
    monkeypatch.setenv("DESK_KEY", json.dumps(list(bytes(KEY))))
    assert keypair_from_environment("DESK_KEY") == KEY
    monkeypatch.setenv("DESK_KEY", f" {KEY} \n")
    assert keypair_from_environment("DESK_KEY") == KEY
    monkeypatch.setenv("DESK_KEY", "")
    assert keypair_from_environment("DESK_KEY") is None
    other = bytes(KEY)[:32] + bytes(Keypair().pubkey())
    for bad in (str(KEY)[:-1], "[1, 2]", "0OIl", "x" * 200, json.dumps(list(other))):
        monkeypatch.setenv("DESK_KEY", bad)
        with pytest.raises(BadInput, match="the variable DESK_KEY") as wrong:
            keypair_from_environment("DESK_KEY")
        assert bad not in str(wrong.value)
        assert wrong.value.__cause__ is None


def test_a_file_holds_a_key_or_an_address_alone(tmp_path):
    file = tmp_path / "key"
    write_keypair(file, KEY)
    assert load_signer(file) == KEY
    address = tmp_path / "key.pub"
    address.write_text(f"{KEY.pubkey()}\n")
    watched = load_signer(address)
    assert watched == AddressOnly(KEY.pubkey())
    with pytest.raises(BadInput, match=r"only the address of .* is here, not its key"):
        watched.sign_message(b"x")
    file.chmod(0o644)
    with pytest.raises(BadInput, match="chmod 600"):
        load_signer(file)
    for text in (str(KEY), "0" * 44, "not an address", ""):
        address.write_text(text)
        os.chmod(address, 0o600)
        with pytest.raises(BadInput) as wrong:
            load_signer(address)
        assert str(KEY) not in str(wrong.value)
    with pytest.raises(BadInput, match="cannot read"):
        load_signer(tmp_path / "absent")


async def test_the_commands_take_keys_from_the_environment_and_from_no_flag(chain, tmp_path):
    async with house_on(chain, inventory=10) as house:
        home = {"TIEOUT_HOME": str(tmp_path), "TIEOUT_RPC_URL": chain}
        nobody = await tieout_here("instrument", "pause", house.mint, "--json", **home)
        assert (nobody.code, "TIEOUT_KEY" in nobody.err) == (2, True)
        keys = {"TIEOUT_KEY": str(house.payer), "TIEOUT_KEY_PAUSE_AUTHORITY": str(house.roles.pause_authority)}
        done = await tieout_here("instrument", "pause", house.mint, "--json", **home, **keys)
        assert done.code == 0, done.err
        broken = await tieout_here(
            "instrument", "pause", house.mint, "--json", TIEOUT_KEY=str(house.payer)[:-2], **home
        )
        assert (broken.code, str(house.payer)[:-2] in broken.err + broken.out) == (2, False)
