"""Every operation against a running chain: the embedded localnet or a real validator, unchanged."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from fractions import Fraction

import pytest
from solders.hash import Hash
from solders.keypair import Keypair

import tieout_client
from tieout_client import (
    LAND_FAILURES,
    Authorities,
    BadInput,
    Expired,
    InstrumentCreated,
    Issuer,
    ProgramRefused,
    SendOptions,
    WrongAuthority,
    connect,
    multiplier_bits_for,
    sign,
    token_account,
)
from tieout_client.instructions import XSTOCKS_EXTENSIONS, transfer
from tieout_client.keys import address
from tieout_client.memo import memo_instruction
from tieout_idl import MEMO_PROGRAMS, base58
from tieout_idl.table import snake
from tieout_rpc import NodeUnreachable, RpcLimits

SOL = 10**9
LIVE_TSLAX = "ledger/xstocks-state/tslax-mint-slot448422507.json"
LIVE_ROLES = {
    "5aMNNLQJwAEeoemTEMkv5NVjqKwvvefRYCQ5Z67HFvEq": "permanent_delegate",
    "S7vYFFWH6BjJyEsdrPQpqpYTqLTrPRK6KW3VwsJuRaS": "multiplier_authority",
    "JDq14BWvqCRFNu1krb12bcRpbGtJZ1FLEakMw6FdxJNs": "freeze_authority",
    "7pt9tkctJPK7PPNQJ77GKg8ZffSF6QxoMiCFYHxrtaCj": "mint_authority",
    "XsDoVfqeBukxuZHWhdvWHBhgEHjGNst4MLodqsJHzoB": "mint",
}


@dataclass
class Desk:
    """An issuer with every role its own key, one instrument, and two holders."""

    issuer: Issuer
    created: InstrumentCreated
    alice: Keypair
    bob: Keypair

    @property
    def mint(self):
        return self.created.mint

    def account(self, owner):
        return self.issuer.account_address(self.mint, owner.pubkey())

    async def raw(self, owner):
        return (await self.issuer.balance_of(self.mint, owner.pubkey())).raw

    async def supply(self):
        return (await self.issuer.show(self.mint)).supply


@contextlib.asynccontextmanager
async def desk_on(chain, *, issued=0) -> AsyncIterator[Desk]:
    payer = Keypair()
    roles = Authorities.of(
        payer,
        mint_authority=Keypair(),
        treasury=Keypair(),
        redemption_wallet=Keypair(),
        freeze_authority=Keypair(),
        permanent_delegate=Keypair(),
        multiplier_authority=Keypair(),
    )
    async with connect(chain, payer, roles) as issuer:
        await issuer.airdrop(payer.pubkey(), 10 * SOL)
        uri = "https://xstocks-metadata.backed.fi/tokens/Solana/TSLAx/metadata.json"
        desk = Desk(issuer, await issuer.create_instrument("TSLAx", "Tesla xStock", uri), Keypair(), Keypair())
        if issued:
            await issuer.issue(desk.mint, issued, desk.alice.pubkey(), "opening", mint_first=True)
        yield desk


async def transaction(issuer, receipt):
    config = {"encoding": "json", "commitment": "confirmed", "maxSupportedTransactionVersion": 0}
    return await issuer.rpc.call("getTransaction", [receipt.signature, config])


async def memos(issuer, receipt):
    message = (await transaction(issuer, receipt))["transaction"]["message"]
    keys = message["accountKeys"]
    found = [i for i in message["instructions"] if keys[i["programIdIndex"]] in MEMO_PROGRAMS]
    return [base58.decode(i["data"]).decode() for i in found]


def live_shape(shared_json):
    """The live TSLAx mint as [(extension, fields)], its keys replaced by the roles that hold them."""
    info = shared_json(LIVE_TSLAX)["value"]["data"]["parsed"]["info"]
    shape = []
    for extension in info["extensions"]:
        fields = {snake(k): LIVE_ROLES.get(v, v) if isinstance(v, str) else v for k, v in extension["state"].items()}
        shape.append((snake(extension["extension"]), fields))
    return info, shape


async def test_a_created_mint_is_the_live_one_but_for_its_keys(chain, shared_json):
    info, live = live_shape(shared_json)
    async with desk_on(chain) as desk:
        seen = await desk.issuer.show(desk.mint)
    roles = {str(getattr(desk.issuer.authorities, role).pubkey()): role for role in set(LIVE_ROLES.values()) - {"mint"}}
    names = roles | {desk.mint: "mint"}
    ours = []
    for extension in seen.mint.extensions:
        fields = {k: names.get(v, v) if isinstance(v, str) else v for k, v in extension.fields.items()}
        if extension.name == "default_account_state":
            fields = {"account_state": fields["state"]}
        if extension.name == "scaled_ui_amount_config":
            fields |= {k: f"{fields[k]:g}" for k in ("multiplier", "new_multiplier")}
        if extension.name == "token_metadata":
            fields["additional_metadata"] = list(fields["additional_metadata"])
        ours.append((extension.name, fields))
    assert ours == live
    assert tuple(name for name, _ in ours) == (*XSTOCKS_EXTENSIONS, "token_metadata")
    assert seen.space == 678
    assert (seen.decimals, seen.supply, seen.mint.is_initialized) == (info["decimals"], 0, True)
    assert names[seen.mint.mint_authority] == LIVE_ROLES[info["mintAuthority"]]
    assert names[seen.mint.freeze_authority] == LIVE_ROLES[info["freezeAuthority"]]
    assert (seen.symbol, seen.name, seen.paused) == ("TSLAx", "Tesla xStock", False)
    assert {role: names[key] for role, key in seen.authorities.items()} == {
        "mint_tokens": "mint_authority",
        "freeze_account": "freeze_authority",
        "metadata_pointer": "permanent_delegate",
        "metadata_update": "permanent_delegate",
        "permanent_delegate": "permanent_delegate",
        "scaled_ui_amount": "multiplier_authority",
        "pause": "freeze_authority",
        "confidential_transfer_mint": "permanent_delegate",
        "transfer_hook_program_id": "permanent_delegate",
    }


async def test_the_primary_market_moves_exactly_what_it_says(chain):
    async with desk_on(chain) as desk:
        issuer, mint, roles = desk.issuer, desk.mint, desk.issuer.authorities
        minted = await issuer.mint_to_treasury(mint, 1000, "pre-1")
        issued = await issuer.issue(mint, 400, desk.alice.pubkey(), "ord/1#a")
        fresh = await issuer.issue(mint, 50, desk.bob.pubkey(), "ord-2", mint_first=True)
        await issuer.transfer(mint, 30, desk.alice, desk.bob.pubkey(), memo="thanks 谢谢")
        redeemed = await issuer.redeem(mint, 70, desk.alice, "red-1")
        assert await desk.raw(roles.redemption_wallet) == 70
        swept = await issuer.sweep(mint, 70, "red-1")
        burned = await issuer.burn(mint, 20, "burn-1")
        await issuer.burn(mint, 5, "burn-2", holder=desk.bob)
        assert await desk.raw(roles.treasury) == 1000 - 400 + 70 - 20
        assert await desk.raw(desk.alice) == 400 - 30 - 70
        assert await desk.raw(desk.bob) == 50 + 30 - 5
        assert await desk.raw(roles.redemption_wallet) == 0
        assert await desk.supply() == 1050 - 25
        kinds = {"mint": minted, "issue": issued, "redeem": redeemed, "sweep": swept, "burn": burned}
        found = [(await memos(issuer, receipt))[0] for receipt in kinds.values()]
        requests = ["pre-1", "ord/1#a", "red-1", "red-1", "burn-1"]
        assert found == [f"tieout/1 {kind} {request}" for kind, request in zip(kinds, requests, strict=True)]
        assert await memos(issuer, fresh) == ["tieout/1 issue ord-2"]
        assert issued.slot > minted.slot


async def test_equal_transfers_at_the_same_time_all_move(chain):
    async with desk_on(chain, issued=100) as desk:
        sent = [desk.issuer.transfer(desk.mint, 7, desk.alice, desk.bob.pubkey()) for _ in range(6)]
        receipts = await asyncio.gather(*sent)
        assert len({r.signature for r in receipts}) == 6
        assert await desk.raw(desk.bob) == 42


async def test_an_outsider_can_be_minted_to_and_zero_can_be_sent(chain):
    async with desk_on(chain) as desk:
        receipt = await desk.issuer.mint_to(desk.mint, 9, desk.bob.pubkey())
        assert await memos(desk.issuer, receipt) == []
        await desk.issuer.transfer(desk.mint, 0, desk.bob, desk.alice.pubkey())
        await desk.issuer.transfer(desk.mint, 9, desk.bob, desk.bob.pubkey())
        assert (await desk.raw(desk.bob), await desk.raw(desk.alice)) == (9, 0)


async def test_opening_an_account_twice_is_no_error(chain):
    async with desk_on(chain) as desk:
        first = await desk.issuer.open_account(desk.mint, desk.alice.pubkey())
        again = await desk.issuer.open_account(desk.mint, str(desk.alice.pubkey()))
        assert first.account == again.account == desk.account(desk.alice)
        balance = await desk.issuer.balance(first.account)
        assert (balance.owner, balance.mint, balance.raw) == (str(desk.alice.pubkey()), desk.mint, 0)
        assert [e.name for e in balance.account.extensions] == [
            "immutable_owner",
            "pausable_account",
            "transfer_hook_account",
        ]


async def test_a_multiplier_is_announced_after_the_one_in_force_is_re_asserted(chain):
    async with desk_on(chain) as desk:
        issuer, mint = desk.issuer, desk.mint
        now = (await issuer.show(mint)).chain_time
        set_now = await issuer.set_multiplier_now(mint, "1.0032690125398187")
        assert set_now.multiplier.bits.hex() == "052edfce630df03f"
        seen = await issuer.show(mint)
        assert (seen.multiplier.bits, seen.pending) == (set_now.multiplier.bits, None)
        assert seen.multiplier.effective_timestamp >= now

        later = seen.chain_time + 3600
        announced = await issuer.schedule_multiplier(mint, Fraction(10, 1), later)
        assert (announced.error, announced.multiplier.value) == (0, 10)
        seen = await issuer.show(mint)
        assert seen.multiplier.bits == set_now.multiplier.bits
        assert (seen.pending.bits, seen.pending.effective_timestamp) == (multiplier_bits_for(10)[0], later)
        steps = (await transaction(issuer, announced))["transaction"]["message"]["instructions"]
        assert [base58.decode(s["data"])[:10].hex() for s in steps] == [
            "2b01052edfce630df03f",
            "2b010000000000002440",
        ]

        with pytest.raises(BadInput, match=r"10\.0 is announced already and applies from"):
            await issuer.schedule_multiplier(mint, 2, later)
        with pytest.raises(BadInput, match="announced already"):
            await issuer.set_multiplier_now(mint, 2)
        await issuer.schedule_multiplier(mint, 2, later + 1, replace_pending=True)
        seen = await issuer.show(mint)
        assert (seen.multiplier.bits, seen.pending.value) == (set_now.multiplier.bits, 2)
        with pytest.raises(BadInput, match="give a later time"):
            await issuer.schedule_multiplier(mint, 3, seen.chain_time - 10, replace_pending=True)


async def test_pausing_stops_movement_and_nothing_else(chain):
    async with desk_on(chain, issued=100) as desk:
        issuer, mint = desk.issuer, desk.mint
        await issuer.pause(mint)
        assert (await issuer.show(mint)).paused
        with pytest.raises(ProgramRefused, match="MintPaused: the mint is paused") as refused:
            await issuer.transfer(mint, 1, desk.alice, desk.bob.pubkey())
        assert refused.value.refusal.code == 67
        unchecked = issuer.using(options=LAND_FAILURES)
        for movement in (unchecked.mint_to_treasury(mint, 1, "r"), unchecked.burn(mint, 1, "r", holder=desk.alice)):
            assert (await movement).refusal.name == "MintPaused"
        await issuer.set_multiplier_now(mint, 2)
        await issuer.freeze(mint, desk.account(desk.alice))
        await issuer.thaw(mint, desk.account(desk.alice))
        await issuer.resume(mint)
        await issuer.transfer(mint, 1, desk.alice, desk.bob.pubkey())
        assert not (await issuer.show(mint)).paused


async def test_a_failure_can_be_made_to_land_and_is_reported(chain):
    async with desk_on(chain, issued=100) as desk:
        failing = desk.issuer.using(options=LAND_FAILURES)
        receipt = await failing.transfer(desk.mint, 101, desk.alice, desk.bob.pubkey())
        assert not receipt.succeeded
        assert (receipt.refusal.name, receipt.refusal.index) == ("InsufficientFunds", 1)
        landed = await transaction(desk.issuer, receipt)
        assert landed["slot"] == receipt.slot
        assert landed["meta"]["err"] == {"InstructionError": [1, {"Custom": 1}]}
        raising = desk.issuer.using(options=SendOptions(skip_preflight=True))
        with pytest.raises(ProgramRefused, match="on chain") as refused:
            await raising.transfer(desk.mint, 101, desk.alice, desk.bob.pubkey())
        assert refused.value.landed


async def test_a_legacy_message_and_finality_can_be_asked_for(chain):
    async with desk_on(chain, issued=100) as desk:
        options = SendOptions(legacy=True, commitment="finalized")
        receipt = await desk.issuer.using(options=options).transfer(desk.mint, 1, desk.alice, desk.bob.pubkey())
        finalized = await desk.issuer.rpc.call("getSlot", [{"commitment": "finalized"}], int)
        assert finalized >= receipt.slot
        assert (await transaction(desk.issuer, receipt))["version"] == "legacy"


async def test_the_wrong_key_is_refused_by_name(chain):
    async with desk_on(chain) as desk:
        impostor = replace(desk.issuer.authorities, mint_authority=desk.alice, pause_authority=desk.alice)
        wrong = desk.issuer.using(authorities=impostor)
        with pytest.raises(ProgramRefused, match="OwnerMismatch: the signer is not the authority"):
            await wrong.pause(desk.mint)
        with pytest.raises(WrongAuthority, match=f"not with {desk.alice.pubkey()}"):
            await wrong.mint_to_treasury(desk.mint, 1, "r")


async def test_freezing_stops_one_account_and_seizing_empties_it(chain):
    async with desk_on(chain, issued=100) as desk:
        issuer, mint, account = desk.issuer, desk.mint, desk.account(desk.alice)
        treasury = desk.issuer.authorities.treasury
        await issuer.freeze(mint, account)
        assert (await issuer.balance(account)).frozen
        with pytest.raises(ProgramRefused, match="AccountFrozen"):
            await issuer.transfer(mint, 1, desk.alice, desk.bob.pubkey())
        seized = await issuer.seize(mint, account, 60, "case-7")
        after = await issuer.balance(account)
        assert (after.raw, after.frozen, await desk.raw(treasury)) == (40, True, 60)
        assert await memos(issuer, seized) == ["tieout/1 seize case-7"]
        with pytest.raises(BadInput, match="holds 40 raw, 41 cannot be taken"):
            await issuer.seize(mint, account, 41, "case-8")
        await issuer.forced_burn(mint, account, 15, "case-9")
        after = await issuer.balance(account)
        assert (after.raw, after.frozen, await desk.supply()) == (25, True, 85)
        await issuer.thaw(mint, account)
        await issuer.seize(mint, account, 5, "case-10", leave_frozen=False)
        assert not (await issuer.balance(account)).frozen
        await issuer.seize(mint, account, None, "case-11")
        after = await issuer.balance(account)
        assert (after.raw, after.frozen, await desk.raw(treasury)) == (0, True, 85)
        with pytest.raises(BadInput, match="1 to"):
            await issuer.seize(mint, account, None, "case-12")


async def test_an_authority_is_handed_over(chain):
    async with desk_on(chain) as desk:
        issuer, successor = desk.issuer, Keypair()
        await issuer.set_authority(desk.mint, "mint_tokens", successor.pubkey())
        assert (await issuer.show(desk.mint)).authorities["mint_tokens"] == str(successor.pubkey())
        with pytest.raises(WrongAuthority, match=f"mint_tokens authority of {desk.mint} is {successor.pubkey()}: sign"):
            await issuer.mint_to_treasury(desk.mint, 1, "r")
        rotated = issuer.using(authorities=replace(issuer.authorities, mint_authority=successor))
        await rotated.mint_to_treasury(desk.mint, 1, "r")
        await rotated.set_authority(desk.mint, "mint_tokens", None)
        assert (await issuer.show(desk.mint)).authorities["mint_tokens"] is None
        with pytest.raises(WrongAuthority, match="is nobody, for good"):
            await rotated.mint_to_treasury(desk.mint, 1, "r2")
        with pytest.raises(BadInput, match="'king' is no authority"):
            await issuer.set_authority(desk.mint, "king", None)
        with pytest.raises(BadInput, match="give the current authority's key"):
            await issuer.set_authority(desk.account(desk.alice), "account_owner", successor.pubkey())


async def test_a_delegate_spends_until_revoked_and_an_empty_account_closes(chain):
    async with desk_on(chain, issued=100) as desk:
        issuer, mint, delegate = desk.issuer, desk.mint, Keypair()
        await issuer.approve(mint, 30, desk.alice, delegate.pubkey())
        account = desk.account(desk.alice)
        assert (await issuer.balance(account)).account.delegated_amount == 30
        await issuer.transfer(mint, 10, delegate, desk.bob.pubkey(), source=account)
        await issuer.revoke(mint, desk.alice)
        with pytest.raises(ProgramRefused, match="OwnerMismatch"):
            await issuer.transfer(mint, 10, delegate, desk.bob.pubkey(), source=account)
        with pytest.raises(ProgramRefused, match="NonNativeHasBalance"):
            await issuer.close_account(mint, desk.alice)
        await issuer.transfer(mint, 90, desk.alice, desk.bob.pubkey())
        await issuer.close_account(mint, desk.alice, rent_to=desk.issuer.signer.pubkey())
        with pytest.raises(BadInput, match="there is no account at"):
            await issuer.balance(account)


async def test_what_is_no_instrument_is_refused_in_words(chain):
    async with desk_on(chain, issued=10) as desk:
        issuer, account = desk.issuer, desk.account(desk.alice)
        other = await issuer.create_instrument("B", "B", "https://b.example")
        for act, words in (
            (issuer.show(Keypair().pubkey()), "there is no account at"),
            (issuer.show("nonsense"), "'nonsense' is no mint"),
            (issuer.show(issuer.signer.pubkey()), "belongs to the program 1111"),
            (issuer.show(account), "is no mint"),
            (issuer.balance(desk.mint), "is no token account"),
            (issuer.seize(Keypair().pubkey(), account, 1, "c"), "there is no account at"),
            (issuer.seize(other.mint, account, 1, "c"), "is of the mint"),
            (issuer.issue(desk.mint, 0, desk.bob.pubkey(), "r"), "is 1 to"),
            (issuer.issue(desk.mint, 1, desk.bob.pubkey(), "a b"), "no request id"),
            (issuer.issue(desk.mint, 1.5, desk.bob.pubkey(), "r"), "whole number"),
        ):
            with pytest.raises(BadInput, match=words):
                await act
        assert await desk.supply() == 10


async def test_a_mint_address_is_taken_once(chain):
    async with desk_on(chain) as desk:
        key = Keypair()
        first = await desk.issuer.create_instrument(
            "A", "A", "https://a.example", decimals=2, multiplier="1/2", mint=key
        )
        seen = await desk.issuer.show(first.mint)
        assert (seen.decimals, seen.multiplier.value, seen.pending) == (2, Fraction(1, 2), None)
        with pytest.raises(ProgramRefused, match="AccountAlreadyInUse: an account with this address exists already"):
            await desk.issuer.create_instrument("A", "A", "https://a.example", mint=key)


async def test_signed_bytes_move_once_however_often_they_are_sent(chain):
    async with desk_on(chain, issued=100) as desk:
        mint, alice, bob = (address(key) for key in (desk.mint, desk.alice.pubkey(), desk.bob.pubkey()))
        await desk.issuer.open_account(mint, bob)
        step = transfer(mint, token_account(mint, alice), token_account(mint, bob), alice, raw=7, decimals=8)
        signed = await desk.issuer.sender.sign([step], [desk.alice])
        receipts = await asyncio.gather(*(desk.issuer.sender.submit(signed) for _ in range(3)))
        receipts.append(await desk.issuer.sender.submit(signed))
        assert {r.signature for r in receipts} == {signed.signature}
        assert len({r.slot for r in receipts}) == 1
        assert await desk.raw(desk.bob) == 7


@pytest.mark.parametrize("skip_preflight", [True, False])
async def test_a_transaction_that_can_never_land_is_dead(chain, skip_preflight):
    payer = Keypair()
    async with connect(chain, payer) as issuer:
        await issuer.airdrop(payer.pubkey(), SOL)
        signed = sign([memo_instruction("late")], [payer], str(Hash.default()), 0)
        options = SendOptions(skip_preflight=skip_preflight, resend_every_s=0.2)
        with pytest.raises(Expired, match="the operation can be done again"):
            await issuer.using(options=options).sender.submit(signed)


async def test_a_faucet_pays(chain):
    poor = Keypair()
    receipt = await tieout_client.airdrop(chain, poor.pubkey(), 12345678)
    assert receipt.slot > 0
    async with connect(chain, poor) as issuer:
        balance = await issuer.rpc.call("getBalance", [str(poor.pubkey()), {"commitment": "confirmed"}])
        assert balance["value"] == 12345678


async def test_an_unreachable_node_is_said_to_be_that():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{taken.getsockname()[1]}"
        async with connect(url, Keypair(), limits=RpcLimits(give_up_after_s=0.2)) as issuer:
            with pytest.raises(NodeUnreachable, match=r"127\.0\.0\.1"):
                await issuer.pause(Keypair().pubkey())
