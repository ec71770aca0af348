"""What a user can do wrong on a chain arrives by name, with its own class and a next step."""

import contextlib
import re
from dataclasses import dataclass

import pytest
from solders.instruction import AccountMeta, Instruction
from solders.keypair import Keypair
from solders.pubkey import Pubkey
from solders.system_program import (
    AllocateWithSeedParams,
    CreateAccountParams,
    TransferParams,
    allocate_with_seed,
    create_account,
)
from solders.system_program import transfer as pay

from client.desks import SOL, house_on
from tieout_client import PROGRAM_REFUSALS, REMEDIES, Issuer, ProgramRefused, Sender, Signer, build, token_account
from tieout_client.instructions import open_account, transfer
from tieout_client.keys import address
from tieout_client.memo import memo_instruction
from tieout_client.nonce import advance_nonce
from tieout_client.program import TOKEN_2022
from tieout_client.program_errors import ASSOCIATED_TOKEN_ERRORS, INTERFACE_ERRORS, OTHER_PROGRAM_ERRORS, SYSTEM_ERRORS
from tieout_client.remedies import LOOK
from tieout_idl import PROGRAM_ERRORS, mint_space

ACCOUNT_BYTES = 300
RENT = 10**7
NATIVE = Pubkey.from_string("9pan9bMn5HatX4EJdBwg9VgCa7Uz5HL8N1m5D3NdXejP")
MEMO = memo_instruction("x").program_id
ELGAMAL = str(Pubkey.from_bytes(bytes([0] * 31 + [1])))


def test_every_error_in_the_tables_has_a_class_and_a_next_step_of_its_own():
    known = [*PROGRAM_ERRORS.values(), *OTHER_PROGRAM_ERRORS]
    assert len(known) == 69 + len(SYSTEM_ERRORS) + 1 + len(INTERFACE_ERRORS)
    assert len({name for name, _ in known}) == len(known) == len(PROGRAM_REFUSALS)
    for name, _ in known:
        assert REMEDIES[name] != LOOK
        assert issubclass(PROGRAM_REFUSALS[name], ProgramRefused)
        assert PROGRAM_REFUSALS[name].__name__ == f"{name}Refused"
    assert ASSOCIATED_TOKEN_ERRORS[1] == SYSTEM_ERRORS[1]
    for remedy in REMEDIES.values():
        assert re.fullmatch(r"[a-z].{15,110}[a-z0-9)]", remedy), remedy


@dataclass
class World:
    """An instrument with a holder, and the means to make odd mints and accounts beside it."""

    issuer: Issuer
    mint: Pubkey
    alice: Keypair
    bob: Keypair

    @property
    def payer(self) -> Signer:
        return self.issuer.signer

    @property
    def roles(self):
        return self.issuer.authorities

    def at(self, owner: Keypair) -> Pubkey:
        return token_account(self.mint, owner.pubkey())

    async def do(self, *steps, by=()):
        await self.issuer.sender.send(list(steps), list(by))

    def blank(self, space, *, lamports=RENT, owner=TOKEN_2022):
        key = Keypair()
        params = CreateAccountParams(
            from_pubkey=self.payer.pubkey(), to_pubkey=key.pubkey(), lamports=lamports, space=space, owner=owner
        )
        return key, create_account(params)

    async def odd_mint(self, *extensions, space=None, names=(), freezer=True):
        """A mint whose authorities are all the payer, with extensions given as (instruction, arguments)."""
        own = self.payer.pubkey()
        key, creating = self.blank(mint_space(list(names)) if space is None else space)
        args = {"decimals": 2, "mint_authority": own, "freeze_authority": own if freezer else None}
        at = {"mint": key.pubkey()}
        steps = [build(name, at, given) for name, given in extensions]
        await self.do(creating, *steps, build("initialize_mint2", at, args), by=[key])
        return key.pubkey()

    async def odd_account(self, mint, owner, *before):
        """A token account at a plain address: its owner can change."""
        key, creating = self.blank(ACCOUNT_BYTES if before else 165)
        at = {"account": key.pubkey()}
        opening = build("initialize_account3", at | {"mint": mint}, {"owner": owner.pubkey()})
        await self.do(creating, *[build(name, at) for name in before], opening, by=[key])
        return key.pubkey()

    def mint_to(self, mint, account, raw):
        names = {"mint": mint, "token": account, "mint_authority": self.payer.pubkey()}
        return build("mint_to", names, {"amount": raw})

    async def stocked(self, mint, owner, raw):
        at = token_account(mint, owner.pubkey())
        await self.do(open_account(mint, owner.pubkey(), self.payer.pubkey()), self.mint_to(mint, at, raw))
        return at


@contextlib.asynccontextmanager
async def world_on(chain):
    async with house_on(chain) as house, house.desk() as issuer:
        alice = Keypair()
        await issuer.issue(house.mint, 100, alice.pubkey(), "opening", mint_first=True)
        await issuer.airdrop(alice.pubkey(), SOL)
        yield World(issuer, address(house.mint), alice, Keypair())


async def refused(name, act):
    with pytest.raises(PROGRAM_REFUSALS.get(name, ProgramRefused)) as caught:
        await act
    assert caught.value.refusal.name == name
    assert caught.value.next_step == REMEDIES[name]
    text = str(caught.value)
    assert text.endswith(f"; next: {REMEDIES[name]}")
    assert "Custom" not in text


async def test_moving_what_cannot_move(chain):
    async with world_on(chain) as world:
        issuer, mint, alice, bob = world.issuer, world.mint, world.alice, world.bob
        here, owner = world.at(alice), alice.pubkey()
        await issuer.open_account(mint, bob.pubkey())
        there = world.at(bob)

        def move(source=here, at=mint, to=there, by=owner, raw=1, decimals=8):
            return transfer(at, source, to, by, raw=raw, decimals=decimals)

        other = await world.odd_mint()
        plain = build("transfer", {"source": here, "destination": there, "authority": owner}, {"amount": 1})
        for name, step in (
            ("InsufficientFunds", move(raw=101)),
            ("MintMismatch", move(at=other, decimals=2)),
            ("MintDecimalsMismatch", move(decimals=6)),
            ("MintRequiredForTransfer", plain),
            ("NonNativeNotSupported", build("sync_native", {"account": here})),
            ("NonNativeHasBalance", build("close_account", {"account": here, "destination": owner, "owner": owner})),
            ("InvalidInstruction", Instruction(TOKEN_2022, bytes([99]), [])),
            ("InvalidInstructionData", Instruction(TOKEN_2022, bytes([12, 1]), [])),
        ):
            await refused(name, world.do(step, by=[alice]))
        await refused("OwnerMismatch", world.do(move(by=bob.pubkey()), by=[bob]))
        await refused("UninitializedAccount", world.do(move(source=mint), by=[alice]))
        given = {"authority_type": "account_owner", "new_authority": bob.pubkey()}
        handing = build("set_authority", {"owned": here, "owner": owner}, given)
        await refused("ImmutableOwner", world.do(handing, by=[alice]))
        require = build("enable_memo_transfers", {"token": there, "owner": bob.pubkey()})
        grow = build(
            "reallocate",
            {"token": there, "payer": world.payer.pubkey(), "owner": bob.pubkey(), "system_program": Pubkey.default()},
            {"new_extension_types": [8]},
        )
        await world.do(grow, require, by=[bob])
        await refused("NoMemo", world.do(move(), by=[alice]))
        await world.do(memo_instruction("here it is"), move(), by=[alice])
        await issuer.freeze(mint, here)
        await refused("AccountFrozen", world.do(move(), by=[alice]))
        await issuer.thaw(mint, here)
        await issuer.pause(mint)
        await refused("MintPaused", issuer.transfer(mint, 1, alice, bob.pubkey()))


async def test_authorities_that_are_not_held(chain):
    async with world_on(chain) as world:
        issuer, mint, alice = world.issuer, world.mint, world.alice
        payer = world.payer
        wrong_kind = {"authority_type": "mint_tokens", "new_authority": None}
        names = {"owned": world.at(alice), "owner": alice.pubkey()}
        await refused("AuthorityTypeNotSupported", world.do(build("set_authority", names, wrong_kind), by=[alice]))
        await refused("InvalidState", issuer.thaw(mint, world.at(alice)))
        mine = await world.odd_mint(
            ("initialize_mint_close_authority", {"close_authority": payer.pubkey()}), names=["mint_close_authority"]
        )
        at = await world.stocked(mine, alice, 5)
        await refused("Overflow", world.do(world.mint_to(mine, at, 2**64 - 1)))
        await issuer.set_authority(mine, "mint_tokens", None, current=payer)
        await refused("FixedSupply", world.do(world.mint_to(mine, at, 1)))
        await refused("FixedSupply", issuer.set_authority(mine, "mint_tokens", payer.pubkey(), current=payer))
        freezing = build("freeze_account", {"account": at, "mint": mine, "owner": payer.pubkey()})
        await issuer.set_authority(mine, "freeze_account", None, current=payer)
        await refused("MintCannotFreeze", world.do(freezing))
        pausing = build("pause", {"mint": mine, "authority": payer.pubkey()})
        await refused("InvalidAccountData", world.do(pausing))
        await issuer.set_authority(mint, "transfer_hook_program_id", None)
        hook = build(
            "update_transfer_hook",
            {"mint": mint, "authority": world.roles.permanent_delegate.pubkey()},
            {"program_id": TOKEN_2022},
        )
        await refused("NoAuthorityExists", world.do(hook, by=[world.roles.permanent_delegate]))


async def test_instruments_that_cannot_be_made(chain):
    async with world_on(chain) as world:
        own = world.payer.pubkey()
        key, creating = world.blank(82)
        args = {"decimals": 2, "mint_authority": own, "freeze_authority": None}
        making = build("initialize_mint2", {"mint": key.pubkey()}, args)
        await world.do(creating, making, by=[key])
        await refused("AlreadyInUse", world.do(making))
        await refused("AccountAlreadyInUse", world.do(creating, by=[key]))
        scaled = ("initialize_scaled_ui_amount_mint", {"authority": own, "multiplier": 1.0})
        interest = ("initialize_interest_bearing_mint", {"rate_authority": own, "rate": 1})
        fee = {"transfer_fee_config_authority": own, "withdraw_withheld_authority": own, "maximum_fee": 9}
        for name, extensions, more in (
            (
                "InvalidExtensionCombination",
                [scaled, interest],
                {"names": ["scaled_ui_amount_config", "interest_bearing_config"]},
            ),
            (
                "TransferFeeExceedsMaximum",
                [("initialize_transfer_fee_config", fee | {"transfer_fee_basis_points": 10_001})],
                {"names": ["transfer_fee_config"]},
            ),
            ("InvalidScale", [(scaled[0], {"authority": own, "multiplier": 0.0})], {"space": 300}),
            ("InvalidAccountData", [scaled], {"space": 170}),
        ):
            await refused(name, world.odd_mint(*extensions, **more))
        key, poor = world.blank(82, lamports=890_880)
        making = build("initialize_mint2", {"mint": key.pubkey()}, args)
        with pytest.raises(ProgramRefused) as caught:
            await world.do(poor, making, by=[key])
        assert caught.value.refusal.name in {"NotRentExempt", "InsufficientFundsForRent"}
        multiplier = build(
            "update_multiplier_scaled_ui_mint",
            {"mint": world.mint, "authority": world.roles.multiplier_authority.pubkey()},
            {"multiplier": -1.0, "effective_timestamp": 0},
        )
        await refused("InvalidScale", world.do(multiplier, by=[world.roles.multiplier_authority]))


async def test_mints_with_rules_of_their_own(chain):
    async with world_on(chain) as world:
        own, alice = world.payer.pubkey(), world.alice
        bob = world.bob
        bound = await world.odd_mint(("initialize_non_transferable_mint", {}), names=["non_transferable"])
        at = await world.stocked(bound, alice, 5)
        there = await world.stocked(bound, bob, 1)
        moving = transfer(bound, at, there, alice.pubkey(), raw=1, decimals=2)
        await refused("NonTransferable", world.do(moving, by=[alice]))
        closing = {"account": bound, "destination": own, "owner": own}
        closable = await world.odd_mint(
            ("initialize_mint_close_authority", {"close_authority": own}), names=["mint_close_authority"]
        )
        await world.stocked(closable, alice, 1)
        await refused("MintHasSupply", world.do(build("close_account", closing | {"account": closable})))
        secret = (
            "initialize_confidential_mint_burn",
            {"supply_elgamal_pubkey": ELGAMAL, "decryptable_supply": bytes(36)},
        )
        open_to_all = {"authority": own, "auto_approve_new_accounts": True, "auditor_elgamal_pubkey": None}
        hidden = await world.odd_mint(
            ("initialize_confidential_transfer_mint", open_to_all),
            secret,
            names=["confidential_transfer_mint", "confidential_mint_burn"],
        )
        await refused("IllegalMintBurnConversion", world.stocked(hidden, alice, 1))


async def test_fees_that_do_not_fit(chain):
    async with world_on(chain) as world:
        own, alice, bob = world.payer.pubkey(), world.alice, world.bob
        fee = {
            "transfer_fee_config_authority": own,
            "withdraw_withheld_authority": own,
            "transfer_fee_basis_points": 100,
            "maximum_fee": 9,
        }
        mint = await world.odd_mint(("initialize_transfer_fee_config", fee), names=["transfer_fee_config"])
        here, there = await world.stocked(mint, alice, 1000), await world.stocked(mint, bob, 1)
        names = {"source": here, "mint": mint, "destination": there, "authority": alice.pubkey()}
        wrong = build("transfer_checked_with_fee", names, {"amount": 500, "decimals": 2, "fee": 4})
        await refused("FeeMismatch", world.do(wrong, by=[alice]))
        right = build("transfer_checked_with_fee", names, {"amount": 500, "decimals": 2, "fee": 5})
        await world.do(right, by=[alice])
        emptying = transfer(mint, there, here, bob.pubkey(), raw=496, decimals=2)
        closing = build("close_account", {"account": there, "destination": own, "owner": bob.pubkey()})
        await refused("AccountHasWithheldTransferFees", world.do(emptying, closing, by=[bob]))
        setting = {"transfer_fee_basis_points": 20_000, "maximum_fee": 1}
        raising = build("set_transfer_fee", {"mint": mint, "transfer_fee_config_authority": own}, setting)
        await refused("TransferFeeExceedsMaximum", world.do(raising))


async def test_accounts_with_rules_of_their_own(chain):
    async with world_on(chain) as world:
        alice, bob, own = world.alice, world.bob, world.payer.pubkey()
        mint = await world.odd_mint()
        account = await world.odd_account(mint, alice)
        growing = {"token": account, "payer": own, "owner": alice.pubkey(), "system_program": Pubkey.default()}
        wrong = build("reallocate", growing, {"new_extension_types": [26]})
        await refused("InvalidState", world.do(wrong, by=[alice]))
        guarding = [
            build("reallocate", growing, {"new_extension_types": [11]}),
            build("enable_cpi_guard", {"token": account, "owner": alice.pubkey()}),
        ]
        await world.do(*guarding, by=[alice])
        given = {"authority_type": "account_owner", "new_authority": bob.pubkey()}
        handing = build("set_authority", {"owned": account, "owner": alice.pubkey()}, given)
        await refused("CpiGuardOwnerChangeBlocked", world.do(handing, by=[alice]))
        await refused(
            "AlreadyInUse", world.do(build("initialize_account3", {"account": account, "mint": mint}, {"owner": own}))
        )
        key, creating = world.blank(165)
        opening = build("initialize_account3", {"account": key.pubkey(), "mint": account}, {"owner": own})
        await refused("InvalidMint", world.do(creating, opening, by=[key]))
        signers = [(), (alice.pubkey(),)]
        for name, members, needed in (
            ("InvalidNumberOfProvidedSigners", signers[0], 1),
            ("InvalidNumberOfRequiredSigners", signers[1], 0),
        ):
            key, creating = world.blank(355)
            making = build(
                "initialize_multisig2",
                {"multisig": key.pubkey()},
                {"m": needed},
                remaining=[AccountMeta(m, False, False) for m in members],
            )
            await refused(name, world.do(creating, making, by=[key]))


async def test_wrapped_sol_is_no_stock(chain):
    async with world_on(chain) as world:
        alice, own = world.alice, world.payer.pubkey()
        with contextlib.suppress(ProgramRefused):
            names = {"payer": own, "native_mint": NATIVE, "system_program": Pubkey.default()}
            await world.do(build("create_native_mint", names))
        await world.do(open_account(NATIVE, alice.pubkey(), own))
        at = token_account(NATIVE, alice.pubkey())
        burning = build("burn", {"account": at, "mint": NATIVE, "authority": alice.pubkey()}, {"amount": 0})
        await refused("NativeNotSupported", world.do(burning, by=[alice]))


async def test_metadata_groups_and_hooks_are_named_too(chain):
    async with world_on(chain) as world:
        alice, delegate = world.alice, world.roles.permanent_delegate
        names = {"metadata": world.mint, "update_authority": alice.pubkey()}
        field = {"field": "symbol", "value": "X"}
        renaming = build("update_token_metadata_field", names, field)
        await refused("TokenMetadataIncorrectUpdateAuthority", world.do(renaming, by=[alice]))
        held = names | {"update_authority": delegate.pubkey()}
        removing = build("remove_token_metadata_key", held, {"idempotent": False, "key": "isin"})
        await refused("TokenMetadataKeyNotFound", world.do(removing, by=[delegate]))
        giving = build("update_token_metadata_update_authority", held, {"new_update_authority": None})
        await world.do(giving, by=[delegate])
        await refused(
            "TokenMetadataImmutable", world.do(build("update_token_metadata_field", held, field), by=[delegate])
        )
        naming = build(
            "initialize_token_metadata",
            {
                "metadata": world.mint, "update_authority": alice.pubkey(), "mint": world.mint,
                "mint_authority": alice.pubkey(),
            },
            {"name": "n", "symbol": "s", "uri": "u"},
        )  # fmt: skip
        await refused("TokenMetadataIncorrectMintAuthority", world.do(naming, by=[alice]))
        arming = build(
            "update_transfer_hook", {"mint": world.mint, "authority": delegate.pubkey()}, {"program_id": MEMO}
        )
        await world.do(arming, by=[delegate])
        await refused("MissingAccount", world.issuer.transfer(world.mint, 1, alice, world.bob.pubkey()))


async def test_what_other_programs_refuse_is_named_too(chain):
    async with world_on(chain) as world:
        own, poor = world.payer.pubkey(), Keypair()
        much = TransferParams(from_pubkey=own, to_pubkey=poor.pubkey(), lamports=10**18)
        await refused("ResultWithNegativeLamports", world.do(pay(much)))
        odd = AllocateWithSeedParams(address=poor.pubkey(), base=own, seed="x", space=1, owner=TOKEN_2022)
        await refused("AddressWithSeedMismatch", world.do(allocate_with_seed(odd)))
        key, large = world.blank(11 * 2**20)
        await refused("InvalidAccountDataLength", world.do(large, by=[key]))
        with pytest.raises(ProgramRefused, match=r"next: check the memo's text|next: do less") as caught:
            await world.do(Instruction(MEMO, b"\xff\xfe", []))
        # The memo program was rewritten: its versions refuse in different ways.
        assert caught.value.refusal.name in {"InvalidInstructionData", "ProgramFailedToComplete"}
        opening = open_account(world.mint, poor.pubkey(), own)
        misplaced = Instruction(
            opening.program_id, bytes(opening.data), [opening.accounts[0], opening.accounts[0], *opening.accounts[2:]]
        )
        await refused("InvalidSeeds", world.do(misplaced))
        broke = Sender(world.issuer.rpc, poor, world.issuer.sender.options)
        await refused("AccountNotFound", broke.send([memo_instruction("no money")]))
        await world.do(pay(TransferParams(from_pubkey=own, to_pubkey=poor.pubkey(), lamports=1_000_000)))
        await refused(
            "ResultWithNegativeLamports", broke.send([open_account(world.mint, poor.pubkey(), poor.pubkey())])
        )


async def test_groups_nonces_and_second_tries_are_named_too(chain):
    async with world_on(chain) as world:
        own, alice = world.payer.pubkey(), world.alice
        delegate, authority = world.roles.permanent_delegate, world.roles.mint_authority
        names = {
            "metadata": world.mint, "update_authority": delegate.pubkey(), "mint": world.mint,
            "mint_authority": authority.pubkey(),
        }  # fmt: skip
        again = build("initialize_token_metadata", names, {"name": "n", "symbol": "s", "uri": "u"})
        await refused("ExtensionAlreadyInitialized", world.do(again, by=[authority]))
        group = await world.odd_mint(
            ("initialize_group_pointer", {"authority": own, "group_address": None}), names=["group_pointer"]
        )
        making = build(
            "initialize_token_group",
            {"group": group, "mint": group, "mint_authority": own},
            {"update_authority": own, "max_size": 1},
        )
        rent = pay(TransferParams(from_pubkey=own, to_pubkey=group, lamports=RENT))
        pointing = build(
            "update_group_pointer", {"mint": group, "group_pointer_authority": own}, {"group_address": group}
        )
        await world.do(rent, pointing, making)
        wrong = build(
            "update_token_group_max_size", {"group": group, "update_authority": alice.pubkey()}, {"max_size": 2}
        )
        await refused("TokenGroupIncorrectUpdateAuthority", world.do(wrong, by=[alice]))
        giving = {"group": group, "update_authority": own}
        await world.do(build("update_token_group_update_authority", giving, {"new_update_authority": None}))
        held = build("update_token_group_max_size", giving, {"max_size": 2})
        await refused("TokenGroupImmutable", world.do(held))
        nonce, _ = await world.issuer.create_nonce()
        step = advance_nonce(Pubkey.from_string(nonce.address), own)
        await refused("NonceBlockhashNotExpired", world.do(step, memo_instruction("x"), step))
