"""Instruction lists of the operations: pure, from addresses to solders instructions.

Token instructions come from AnchorPy (``program.build``); the System, Associated Token and Memo
programs' from solders and solana-py.
"""

from dataclasses import dataclass

from solders.instruction import Instruction
from solders.pubkey import Pubkey
from solders.system_program import CreateAccountParams, create_account
from spl.token.instructions import create_idempotent_associated_token_account, get_associated_token_address

from tieout_client.amounts import multiplier_bits_for
from tieout_client.errors import BadInput
from tieout_client.program import TOKEN_2022, build
from tieout_idl import mint_space

XSTOCKS_EXTENSIONS = (
    "metadata_pointer",
    "permanent_delegate",
    "default_account_state",
    "scaled_ui_amount_config",
    "pausable_config",
    "confidential_transfer_mint",
    "transfer_hook",
)
"""The fixed-length extensions of a live xStocks mint, in the order in which they lie in its account."""

_SYMBOL_BYTES_MAX = 32
_NAME_BYTES_MAX = 128
_URI_BYTES_MAX = 256
_DECIMALS_MAX = 18
_TLV_HEADER = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class InstrumentSpec:
    """What an instrument is called and how its amounts are counted. ``checked`` says whether it can be made."""

    symbol: str
    name: str
    uri: str
    decimals: int = 8
    multiplier: float = 1.0

    def checked(self) -> "InstrumentSpec":
        """Return itself. Raises BadInput naming the field that is empty, too long or out of range."""
        limits = (("symbol", _SYMBOL_BYTES_MAX), ("name", _NAME_BYTES_MAX), ("uri", _URI_BYTES_MAX))
        for field, longest in limits:
            value: str = getattr(self, field)
            if not value or not value.isprintable() or len(value.encode()) > longest:
                raise BadInput(f"an instrument's {field} is 1 to {longest} bytes of printable text, not {value[:80]!r}")
        if type(self.decimals) is not int or not 0 <= self.decimals <= _DECIMALS_MAX:
            raise BadInput(f"an instrument's decimals are 0 to {_DECIMALS_MAX}, not {self.decimals!r}")
        multiplier_bits_for(self.multiplier)
        return self

    @property
    def created_space(self) -> int:
        """The bytes that the account is created with: metadata grows it afterwards."""
        return mint_space(list(XSTOCKS_EXTENSIONS))

    @property
    def final_space(self) -> int:
        """The bytes of the finished mint, whose rent is paid at creation."""
        texts = sum(4 + len(text.encode()) for text in (self.name, self.symbol, self.uri))
        return self.created_space + _TLV_HEADER + 32 + 32 + texts + 4


@dataclass(frozen=True, slots=True, kw_only=True)
class MintKeys:
    """The authorities written into a mint, as addresses."""

    mint_authority: Pubkey
    freeze_authority: Pubkey
    pause_authority: Pubkey
    permanent_delegate: Pubkey
    multiplier_authority: Pubkey


def create_instrument(
    spec: InstrumentSpec, mint: Pubkey, payer: Pubkey, keys: MintKeys, rent_lamports: int
) -> list[Instruction]:
    """Return the instructions that make a mint with the live xStocks configuration.

    Order: account, extensions (all before the mint is initialized, or the program refuses),
    mint, metadata. The permanent delegate is the authority of metadata, confidential transfers
    and hook; no auditor, no automatic approval, no hook program.
    """
    at, delegate = {"mint": mint}, keys.permanent_delegate
    space = spec.checked().created_space
    account = CreateAccountParams(
        from_pubkey=payer, to_pubkey=mint, lamports=rent_lamports, space=space, owner=TOKEN_2022
    )
    extensions = (
        ("initialize_metadata_pointer", {"authority": delegate, "metadata_address": mint}),
        ("initialize_permanent_delegate", {"delegate": delegate}),
        ("initialize_default_account_state", {"state": "initialized"}),
        ("initialize_scaled_ui_amount_mint", {"authority": keys.multiplier_authority, "multiplier": spec.multiplier}),
        ("initialize_pausable_config", {"authority": keys.pause_authority}),
        (
            "initialize_confidential_transfer_mint",
            {"authority": delegate, "auto_approve_new_accounts": False, "auditor_elgamal_pubkey": None},
        ),
        ("initialize_transfer_hook", {"authority": delegate, "program_id": None}),
        (
            "initialize_mint2",
            {
                "decimals": spec.decimals,
                "mint_authority": keys.mint_authority,
                "freeze_authority": keys.freeze_authority,
            },
        ),
    )
    metadata = build(
        "initialize_token_metadata",
        {"metadata": mint, "update_authority": delegate, "mint": mint, "mint_authority": keys.mint_authority},
        {"name": spec.name, "symbol": spec.symbol, "uri": spec.uri},
    )
    return [create_account(account), *(build(name, at, args) for name, args in extensions), metadata]


def token_account(mint: Pubkey, owner: Pubkey) -> Pubkey:
    """Return the address of an owner's associated token account."""
    return get_associated_token_address(owner, mint, TOKEN_2022)


def open_account(mint: Pubkey, owner: Pubkey, payer: Pubkey) -> Instruction:
    """Return the instruction that opens an owner's associated token account, or does nothing when it is open."""
    return create_idempotent_associated_token_account(payer, owner, mint, TOKEN_2022)


def mint_to(mint: Pubkey, account: Pubkey, authority: Pubkey, raw: int, decimals: int) -> Instruction:
    """Return MintToChecked of ``raw`` units into ``account``."""
    return build(
        "mint_to_checked",
        {"mint": mint, "token": account, "mint_authority": authority},
        {"amount": raw, "decimals": decimals},
    )


def transfer(
    mint: Pubkey, source: Pubkey, destination: Pubkey, authority: Pubkey, *, raw: int, decimals: int
) -> Instruction:
    """Return TransferChecked between two token accounts (a plain Transfer always fails for these mints)."""
    return build(
        "transfer_checked",
        {"source": source, "mint": mint, "destination": destination, "authority": authority},
        {"amount": raw, "decimals": decimals},
    )


def burn(mint: Pubkey, account: Pubkey, authority: Pubkey, raw: int, decimals: int) -> Instruction:
    """Return BurnChecked from a token account by its owner, delegate or the permanent delegate."""
    return build(
        "burn_checked",
        {"account": account, "mint": mint, "authority": authority},
        {"amount": raw, "decimals": decimals},
    )


def freeze(mint: Pubkey, account: Pubkey, authority: Pubkey) -> Instruction:
    """Return FreezeAccount."""
    return build("freeze_account", {"account": account, "mint": mint, "owner": authority})


def thaw(mint: Pubkey, account: Pubkey, authority: Pubkey) -> Instruction:
    """Return ThawAccount."""
    return build("thaw_account", {"account": account, "mint": mint, "owner": authority})


def update_multiplier(mint: Pubkey, authority: Pubkey, value: float, effective_timestamp: int) -> Instruction:
    """Return UpdateMultiplier; ``effective_timestamp`` in unix seconds, one that has passed applies at once."""
    return build(
        "update_multiplier_scaled_ui_mint",
        {"mint": mint, "authority": authority},
        {"multiplier": value, "effective_timestamp": effective_timestamp},
    )
