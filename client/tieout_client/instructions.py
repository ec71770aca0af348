"""Instruction lists of the operations: pure, from addresses to solders instructions.

Token instructions come from AnchorPy (``program.build``); the System, Associated Token and Memo
programs' from solders and solana-py.
"""

from dataclasses import dataclass
from typing import Any

from solders.instruction import Instruction
from solders.pubkey import Pubkey
from solders.system_program import CreateAccountParams, create_account
from spl.token.instructions import create_idempotent_associated_token_account, get_associated_token_address

from tieout_client.amounts import RAW_MAX, multiplier_bits_for
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

_TEXT_BYTES_MAX = {"symbol": 32, "name": 128, "uri": 256}
_OWN_FIELD_BYTES_MAX = 256
_FIELD_NAME_BYTES_MAX = 64
_DECIMALS_MAX = 18
_BASIS_POINTS_MAX = 10_000
_TLV_HEADER = 4


def check_text(field: str, value: str) -> None:
    """Raise BadInput when a text of the metadata is empty, too long or not printable."""
    longest = _TEXT_BYTES_MAX.get(field, _OWN_FIELD_BYTES_MAX)
    if not value or not value.isprintable() or len(value.encode()) > longest:
        raise BadInput(f"an instrument's {field} is 1 to {longest} bytes of printable text, not {value[:80]!r}")
    if not field or not field.isprintable() or len(field.encode()) > _FIELD_NAME_BYTES_MAX:
        raise BadInput(f"a field's name is 1 to {_FIELD_NAME_BYTES_MAX} bytes of printable text, not {field[:80]!r}")


@dataclass(frozen=True, slots=True, kw_only=True)
class InstrumentSpec:
    """What an instrument is called, how its amounts are counted, and what can be done to it.

    The defaults are the live xStocks configuration. ``checked`` says whether it can be made. A
    transfer fee is ``fee_basis_points`` of an amount, at most ``fee_raw_max`` raw units.
    """

    symbol: str
    name: str
    uri: str
    decimals: int = 8
    multiplier: float = 1.0
    default_frozen: bool = False
    permanent_delegate: bool = True
    scaled: bool = True
    pausable: bool = True
    confidential: bool = True
    transfer_hook: bool = True
    hook_program: Pubkey | None = None
    fee_basis_points: int | None = None
    fee_raw_max: int = RAW_MAX

    def checked(self) -> "InstrumentSpec":
        """Return itself. Raises BadInput naming the field that is empty, too long or out of range."""
        for field in ("symbol", "name", "uri"):
            check_text(field, getattr(self, field))
        if type(self.decimals) is not int or not 0 <= self.decimals <= _DECIMALS_MAX:
            raise BadInput(f"an instrument's decimals are 0 to {_DECIMALS_MAX}, not {self.decimals!r}")
        multiplier_bits_for(self.multiplier)
        self._check_combination()
        return self

    def _check_combination(self) -> None:
        if self.fee_basis_points is not None and not 0 <= self.fee_basis_points <= _BASIS_POINTS_MAX:
            raise BadInput(f"a transfer fee is 0 to {_BASIS_POINTS_MAX} basis points, not {self.fee_basis_points}")
        if self.fee_basis_points is not None and self.confidential:
            raise BadInput("an instrument with a transfer fee takes no plain confidential transfers: leave those out")
        if self.hook_program is not None and not self.transfer_hook:
            raise BadInput("a hook program needs the transfer hook extension: do not leave it out")
        if not self.scaled and self.multiplier != 1.0:
            raise BadInput(f"a multiplier of {self.multiplier} needs the scaled amount extension: do not leave it out")

    @property
    def extensions(self) -> tuple[str, ...]:
        """The fixed-length extensions, in the order in which they are initialized and lie in the account."""
        wanted = {
            "permanent_delegate": self.permanent_delegate,
            "scaled_ui_amount_config": self.scaled,
            "pausable_config": self.pausable,
            "confidential_transfer_mint": self.confidential,
            "transfer_hook": self.transfer_hook,
        }
        live = tuple(name for name in XSTOCKS_EXTENSIONS if wanted.get(name, True))
        return live if self.fee_basis_points is None else (*live, "transfer_fee_config")

    @property
    def created_space(self) -> int:
        """The bytes that the account is created with: metadata grows it afterwards."""
        return mint_space(list(self.extensions))

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
    """Return the instructions that make a mint.

    Order: account, extensions (all before the mint is initialized, or the program refuses),
    mint, metadata. The permanent delegate, or the key that would be it, is the authority of
    metadata, confidential transfers, hook and fee; no auditor, no automatic approval.
    """
    at, delegate = {"mint": mint}, keys.permanent_delegate
    account = CreateAccountParams(
        from_pubkey=payer, to_pubkey=mint, lamports=rent_lamports, space=spec.checked().created_space, owner=TOKEN_2022
    )
    settings = _extension_settings(spec, mint, keys)
    named = [settings[extension] for extension in spec.extensions]
    base = {
        "decimals": spec.decimals,
        "mint_authority": keys.mint_authority,
        "freeze_authority": keys.freeze_authority,
    }
    steps = [build(name, at, args) for name, args in [*named, ("initialize_mint2", base)]]
    metadata = build(
        "initialize_token_metadata",
        {"metadata": mint, "update_authority": delegate, "mint": mint, "mint_authority": keys.mint_authority},
        {"name": spec.name, "symbol": spec.symbol, "uri": spec.uri},
    )
    return [create_account(account), *steps, metadata]


def _extension_settings(spec: InstrumentSpec, mint: Pubkey, keys: MintKeys) -> dict[str, tuple[str, dict[str, Any]]]:
    """Extension → the instruction that initializes it, and its arguments."""
    delegate = keys.permanent_delegate
    return {
        "metadata_pointer": ("initialize_metadata_pointer", {"authority": delegate, "metadata_address": mint}),
        "permanent_delegate": ("initialize_permanent_delegate", {"delegate": delegate}),
        "default_account_state": (
            "initialize_default_account_state",
            {"state": "frozen" if spec.default_frozen else "initialized"},
        ),
        "scaled_ui_amount_config": (
            "initialize_scaled_ui_amount_mint",
            {"authority": keys.multiplier_authority, "multiplier": spec.multiplier},
        ),
        "pausable_config": ("initialize_pausable_config", {"authority": keys.pause_authority}),
        "confidential_transfer_mint": (
            "initialize_confidential_transfer_mint",
            {"authority": delegate, "auto_approve_new_accounts": False, "auditor_elgamal_pubkey": None},
        ),
        "transfer_hook": ("initialize_transfer_hook", {"authority": delegate, "program_id": spec.hook_program}),
        "transfer_fee_config": (
            "initialize_transfer_fee_config",
            {
                "transfer_fee_config_authority": delegate,
                "withdraw_withheld_authority": delegate,
                "transfer_fee_basis_points": spec.fee_basis_points or 0,
                "maximum_fee": spec.fee_raw_max,
            },
        ),
    }


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
    mint: Pubkey,
    source: Pubkey,
    destination: Pubkey,
    authority: Pubkey,
    *,
    raw: int,
    decimals: int,
    fee: int | None = None,
) -> Instruction:
    """Return TransferChecked between two token accounts (a plain Transfer always fails for these mints).

    With a ``fee`` in raw units the program refuses when it computes another one.
    """
    names = {"source": source, "mint": mint, "destination": destination, "authority": authority}
    args = {"amount": raw, "decimals": decimals}
    if fee is None:
        return build("transfer_checked", names, args)
    return build("transfer_checked_with_fee", names, args | {"fee": fee})


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
