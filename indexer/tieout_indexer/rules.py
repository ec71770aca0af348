"""What each instruction of the token program does, as data: one row an instruction, the same form for all.

Every instruction of the table stands in exactly one of MOVES, CONTROLS and SILENT (a test holds
this): to add one, add its row. Names of accounts and fields are those of ``token_2022.json``.
Source: token-2022 ``program/src/processor.rs`` and the extension processors.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from tieout_idl import multiplier_bits
from tieout_indexer.model import CONFIDENTIAL, ISSUANCE, WITHHELD


@dataclass(frozen=True, slots=True)
class Move:
    """An instruction that moves a visible balance or the supply.

    ``source`` and ``destination`` name accounts of the instruction, or a pseudo-account.
    ``amount`` is the field that holds it; None: only the node's balances tell. ``role`` is fixed,
    or ``holder``: owner, delegate or permanent delegate, to be found out.
    """

    kind: str
    source: str
    destination: str
    authority: str
    role: str
    amount: str | None = "amount"
    fee: str = ""
    """``mint``: the mint's own fee applies; else the field that holds it"""


@dataclass(frozen=True, slots=True)
class Rule:
    """An instruction that changes a control: which account and mint it names, who signs, what it says."""

    kind: str
    account: str | None = None
    mint: str | None = None
    authority: str | None = None
    details: Callable[[Mapping[str, Any]], dict[str, Any]] = dict


MOVES: Final[dict[str, Move]] = {
    "transfer": Move("transfer", "source", "destination", "authority", "holder"),
    "transfer_checked": Move("transfer", "source", "destination", "authority", "holder", fee="mint"),
    "transfer_checked_with_fee": Move("transfer", "source", "destination", "authority", "holder", fee="fee"),
    "mint_to": Move("mint", ISSUANCE, "token", "mint_authority", "mint_authority"),
    "mint_to_checked": Move("mint", ISSUANCE, "token", "mint_authority", "mint_authority"),
    "burn": Move("burn", "account", ISSUANCE, "authority", "holder"),
    "burn_checked": Move("burn", "account", ISSUANCE, "authority", "holder"),
    "permissioned_burn": Move("burn", "account", ISSUANCE, "permissioned_burn_authority", "permissioned_burn"),
    "permissioned_burn_checked": Move("burn", "account", ISSUANCE, "permissioned_burn_authority", "permissioned_burn"),
    "withdraw_withheld_tokens_from_mint": Move(
        "fee_withdrawal", WITHHELD, "fee_receiver", "withdraw_withheld_authority", "withdraw_withheld", amount=None
    ),
    "withdraw_withheld_tokens_from_accounts": Move(
        "fee_withdrawal", WITHHELD, "fee_receiver", "withdraw_withheld_authority", "withdraw_withheld", amount=None
    ),
    "confidential_deposit": Move("confidential_deposit", "token", CONFIDENTIAL, "authority", "holder"),
    "confidential_withdraw": Move("confidential_withdrawal", CONFIDENTIAL, "token", "authority", "holder"),
}


def _multiplier(args: Mapping[str, Any]) -> dict[str, Any]:
    # The first one also says who may announce others.
    authority = {"authority": args["authority"]} if "authority" in args else {}
    return {
        "bits": multiplier_bits(args["multiplier"]).hex(),
        "effective_timestamp": args.get("effective_timestamp", 0),
        **authority,
    }


def _plain(args: Mapping[str, Any]) -> dict[str, Any]:
    # Byte strings are encrypted amounts: kept whole in evidence, no use in a row.
    return {name: value for name, value in args.items() if not isinstance(value, bytes)}


def _set_to(**fixed: Any) -> Callable[[Mapping[str, Any]], dict[str, Any]]:
    return lambda args: {**args, **fixed}


def _initial_fee(args: Mapping[str, Any]) -> dict[str, Any]:
    return {**_fee(args), **_plain(args), "initial": True}


def _fee(args: Mapping[str, Any]) -> dict[str, Any]:
    # u64 as text: many JSON readers cut integers at 2^53.
    return {"basis_points": args["transfer_fee_basis_points"], "maximum_fee": str(args["maximum_fee"])}


CONTROLS: Final[dict[str, Rule]] = {
    "initialize_mint": Rule("mint_open", mint="mint"),
    "initialize_mint2": Rule("mint_open", mint="mint"),
    "initialize_account": Rule("open", "account", "mint"),
    "initialize_account2": Rule("open", "account", "mint"),
    "initialize_account3": Rule("open", "account", "mint"),
    "close_account": Rule("close", "account", authority="owner"),
    "set_authority": Rule("authority", "owned", authority="owner"),
    "approve": Rule("delegate", "source", authority="owner"),
    "approve_checked": Rule("delegate", "source", "mint", "owner"),
    "revoke": Rule("delegate", "source", authority="owner", details=_set_to(delegate=None)),
    "freeze_account": Rule("freeze", "account", "mint", "owner"),
    "thaw_account": Rule("thaw", "account", "mint", "owner"),
    "pause": Rule("pause", mint="mint", authority="authority"),
    "resume": Rule("resume", mint="mint", authority="authority"),
    "initialize_pausable_config": Rule("pausable", mint="mint"),
    "initialize_scaled_ui_amount_mint": Rule("multiplier", mint="mint", details=_multiplier),
    "update_multiplier_scaled_ui_mint": Rule("multiplier", mint="mint", authority="authority", details=_multiplier),
    "initialize_permanent_delegate": Rule("permanent_delegate", mint="mint"),
    "initialize_mint_close_authority": Rule("mint_close_authority", mint="mint"),
    "initialize_default_account_state": Rule("default_state", mint="mint"),
    "update_default_account_state": Rule("default_state", mint="mint", authority="freeze_authority"),
    "initialize_transfer_hook": Rule("hook", mint="mint"),
    "update_transfer_hook": Rule("hook", mint="mint", authority="authority"),
    "initialize_transfer_fee_config": Rule("transfer_fee", mint="mint", details=_initial_fee),
    "set_transfer_fee": Rule("transfer_fee", mint="mint", authority="transfer_fee_config_authority", details=_fee),
    "harvest_withheld_tokens_to_mint": Rule("harvest", mint="mint"),
    "initialize_interest_bearing_mint": Rule("interest_rate", mint="mint"),
    "update_rate_interest_bearing_mint": Rule("interest_rate", mint="mint", authority="rate_authority"),
    "initialize_non_transferable_mint": Rule("non_transferable", mint="mint"),
    "initialize_metadata_pointer": Rule("metadata_pointer", mint="mint"),
    "update_metadata_pointer": Rule("metadata_pointer", mint="mint", authority="metadata_pointer_authority"),
    "initialize_group_pointer": Rule("group_pointer", mint="mint"),
    "update_group_pointer": Rule("group_pointer", mint="mint", authority="group_pointer_authority"),
    "initialize_group_member_pointer": Rule("group_member_pointer", mint="mint"),
    "update_group_member_pointer": Rule(
        "group_member_pointer", mint="mint", authority="group_member_pointer_authority"
    ),
    "initialize_token_metadata": Rule("metadata", mint="mint", authority="mint_authority"),
    "update_token_metadata_field": Rule("metadata", mint="metadata", authority="update_authority"),
    "remove_token_metadata_key": Rule("metadata", mint="metadata", authority="update_authority"),
    "update_token_metadata_update_authority": Rule("metadata", mint="metadata", authority="update_authority"),
    "initialize_token_group": Rule("group", mint="mint", authority="mint_authority"),
    "update_token_group_max_size": Rule("group", mint="group", authority="update_authority"),
    "update_token_group_update_authority": Rule("group", mint="group", authority="update_authority"),
    "initialize_token_group_member": Rule("group", mint="member_mint", authority="member_mint_authority"),
    "initialize_permissioned_burn": Rule("permissioned_burn", mint="mint"),
    "reallocate": Rule("reallocate", "token", authority="owner"),
    "enable_memo_transfers": Rule("memo_transfer", "token", authority="owner", details=_set_to(required=True)),
    "disable_memo_transfers": Rule("memo_transfer", "token", authority="owner", details=_set_to(required=False)),
    "enable_cpi_guard": Rule("cpi_guard", "token", authority="owner", details=_set_to(enabled=True)),
    "disable_cpi_guard": Rule("cpi_guard", "token", authority="owner", details=_set_to(enabled=False)),
    "initialize_confidential_transfer_mint": Rule("confidential_policy", mint="mint"),
    "update_confidential_transfer_mint": Rule("confidential_policy", mint="mint", authority="authority"),
    "initialize_confidential_transfer_fee": Rule("confidential_fee", mint="mint"),
    "enable_harvest_to_mint": Rule("confidential_fee", mint="mint", authority="authority"),
    "disable_harvest_to_mint": Rule("confidential_fee", mint="mint", authority="authority"),
    "harvest_withheld_tokens_to_mint_for_confidential_transfer_fee": Rule("confidential_fee", mint="mint"),
    "withdraw_withheld_tokens_from_mint_for_confidential_transfer_fee": Rule(
        "confidential_fee", "destination", "mint", "authority", _plain
    ),
    "withdraw_withheld_tokens_from_accounts_for_confidential_transfer_fee": Rule(
        "confidential_fee", "destination", "mint", "authority", _plain
    ),
    "initialize_confidential_mint_burn": Rule("confidential_supply", mint="mint", details=_plain),
    "rotate_supply_elgamal_pubkey": Rule("confidential_supply", mint="mint", authority="authority"),
    "update_confidential_mint_burn_decryptable_supply": Rule(
        "confidential_supply", mint="mint", authority="authority", details=_plain
    ),
    "apply_confidential_pending_burn": Rule("confidential_supply", mint="mint", authority="authority"),
    "confidential_mint": Rule("confidential_supply", "token", "mint", "authority", _plain),
    "confidential_burn": Rule("confidential_supply", "token", "mint", "authority", _plain),
    "permissioned_confidential_burn": Rule("confidential_supply", "token", "mint", "authority", _plain),
    **{
        name: Rule("confidential", "token", authority="authority", details=_plain)
        for name in (
            "configure_confidential_transfer_account",
            "approve_confidential_transfer_account",
            "empty_confidential_transfer_account",
            "apply_confidential_pending_balance",
            "enable_confidential_credits",
            "disable_confidential_credits",
            "enable_non_confidential_credits",
            "disable_non_confidential_credits",
        )
    },
    "configure_confidential_transfer_account_with_registry": Rule("confidential", "token", "mint"),
    "confidential_transfer": Rule("confidential", "source_token", "mint", "authority", _plain),
    "confidential_transfer_with_fee": Rule("confidential", "source_token", "mint", "authority", _plain),
}

SILENT: Final[frozenset[str]] = frozenset(
    {
        # Questions, answered in return data.
        "get_account_data_size",
        "amount_to_ui_amount",
        "ui_amount_to_amount",
        "emit_token_metadata",
        # Preparations that say nothing of an instrument's amounts or controls.
        "initialize_immutable_owner",
        "initialize_multisig",
        "initialize_multisig2",
        "create_native_mint",
        # Lamports only.
        "sync_native",
        "unwrap_lamports",
        "withdraw_excess_lamports",
    }
)

CONTAINER: Final = "batch"
"""Its children are decoded one by one; itself it does nothing."""
