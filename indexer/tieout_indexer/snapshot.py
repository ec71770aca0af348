"""A mint picked up in mid-life from a picture of all its accounts: balances are proven from there on.

The mint is read before and after its accounts: only where it is the same both times is what it says true of the
accounts' slot. The picture must add up: supply = Σ amounts + withheld + hidden. Each account becomes a touch of
that slot in which nothing changes, so that the next transaction must begin where the picture left it.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from tieout_database.content import Row
from tieout_idl import Mint, multiplier_bits
from tieout_indexer.accounts import AccountsAt, MintAt, read_accounts, read_mint, withheld_of
from tieout_indexer.backfilling import check_mint_address
from tieout_indexer.errors import NoSnapshot
from tieout_indexer.limits import IndexerLimits
from tieout_indexer.model import SNAPSHOT_INDEX
from tieout_indexer.rows import RowSet, evidence_row
from tieout_indexer.session import open_session
from tieout_indexer.writer import Stands
from tieout_rpc import MalformedAnswer, NodeRefused, RpcClient, RpcLimits

_AUTHORITIES = {
    "transfer_fee_config": ("transfer_fee_config", "transfer_fee_config_authority"),
    "withheld_withdraw": ("transfer_fee_config", "withdraw_withheld_authority"),
    "close_mint": ("mint_close_authority", "close_authority"),
    "interest_rate": ("interest_bearing_config", "rate_authority"),
    "permanent_delegate": ("permanent_delegate", "delegate"),
    "confidential_transfer_mint": ("confidential_transfer_mint", "authority"),
    "transfer_hook_program_id": ("transfer_hook", "authority"),
    "confidential_transfer_fee_config": ("confidential_transfer_fee", "authority"),
    "metadata_pointer": ("metadata_pointer", "authority"),
    "group_pointer": ("group_pointer", "authority"),
    "group_member_pointer": ("group_member_pointer", "authority"),
    "scaled_ui_amount": ("scaled_ui_amount_config", "authority"),
    "pause": ("pausable_config", "authority"),
    "permissioned_burn": ("permissioned_burn", "authority"),
}
"""Authority type, as set_authority names it → the extension and its field that hold it."""


@dataclass(frozen=True, slots=True)
class Opening:
    """A mint read whole: raw supply, withheld fees, and what confidential balances hide."""

    mint: str
    slot: int
    decimals: int
    supply: int
    withheld: int
    hidden: int
    accounts: int


async def take_snapshot(
    urls: Sequence[str],
    dsn: str,
    mint: str,
    *,
    limits: IndexerLimits | None = None,
    rpc_limits: RpcLimits | None = None,
) -> Opening:
    """Read a mint whole at the finalized slot and open it there, beside a running indexer.

    Raises NoSnapshot where the picture does not hold together, RpcError, DatabaseError.
    """
    limits = limits or IndexerLimits()
    check_mint_address(mint)
    async with open_session(urls, dsn, limits, rpc_limits or RpcLimits(), beside=True) as session:
        there, picture = await _bracketed(session.rpc, mint, limits.snapshot_attempts_max)
        opening = added_up(mint, there.mint, picture)
        if opening.slot in (await session.writer.openings([mint]))[mint]:
            return opening  # this slot's picture is in the ledger
        when = await _block_time(session.rpc, opening.slot)
        stale = await session.writer.stands(mint, opening.slot)
        rows = RowSet()
        if mint not in await session.writer.tracked():
            rows["tracked_row"].append((mint, opening.slot + 1))
        rows["opening_row"].append((
            mint, opening.slot, opening.decimals, opening.supply, opening.withheld, opening.hidden, opening.accounts
        ))  # fmt: skip
        rows["touch_row"].extend(_touches(opening, picture, stale))
        rows["control_row"].extend(_controls(opening, there.mint, picture, when, stale))
        body = json.dumps({"mint": there.data.hex(), "accounts": picture.answer.decode()}).encode()
        rows["evidence_row"].append(evidence_row(opening.slot, SNAPSHOT_INDEX, "snapshot", "getProgramAccounts", body))
        await session.writer.commit(rows)
        return opening


async def _bracketed(rpc: RpcClient, mint: str, attempts: int) -> tuple[MintAt, AccountsAt]:
    for _ in range(attempts):
        before = await read_mint(rpc, mint)
        picture = await read_accounts(rpc, mint, before.program)
        after = await read_mint(rpc, mint)
        if before.data == after.data and before.slot <= picture.slot <= after.slot:
            return before, picture
    raise NoSnapshot(
        f"the mint {mint} changed while its accounts were read, {attempts} times: try again in a calm hour"
    )


def added_up(address: str, mint: Mint, picture: AccountsAt) -> Opening:
    """Check supply = Σ amounts + withheld + hidden. Raises NoSnapshot with the figures."""
    amounts = sum(account.amount for account in picture.accounts.values())
    withheld = withheld_of(mint) + sum(map(withheld_of, picture.accounts.values()))
    hidden = mint.supply - amounts - withheld
    may_hide = any(e.name == "confidential_transfer_account" for a in picture.accounts.values() for e in a.extensions)
    if hidden < 0 or (hidden and not may_hide):
        raise NoSnapshot(
            f"the accounts of {address} do not add up at slot {picture.slot}: supply {mint.supply}, "
            f"but balances {amounts} and withheld fees {withheld}: the node does not list all accounts, or lies"
        )
    return Opening(address, picture.slot, mint.decimals, mint.supply, withheld, hidden, len(picture.accounts))


async def _block_time(rpc: RpcClient, slot: int) -> datetime | None:
    try:
        seconds: int | None = await rpc.call("getBlockTime", [slot], int | None)
    except (NodeRefused, MalformedAnswer):
        return None
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC)


def _touches(opening: Opening, picture: AccountsAt, stale: Stands) -> list[Row]:
    place = (opening.slot, SNAPSHOT_INDEX, opening.mint)
    found = [
        (*place, address, opening.decimals, a.amount, a.amount, a.owner, a.owner)
        for address, a in sorted(picture.accounts.items())
    ]
    gone = sorted(stale.accounts.keys() - picture.accounts.keys())
    return found + [(*place, address, opening.decimals, None, None, None, None) for address in gone]


def _controls(opening: Opening, mint: Mint, picture: AccountsAt, when: datetime | None, stale: Stands) -> list[Row]:
    """What holds at the snapshot, in the form of controls: from here on it is known, set it was before.

    What the ledger holds for true from before, and the picture does not bear out, ends here.
    """
    told: list[tuple[str, str | None, dict[str, Any]]] = [("snapshot", None, _mint_details(opening, mint))]
    scaled = mint.extension("scaled_ui_amount_config")
    if scaled:
        fields = scaled.fields
        told += [
            ("multiplier", None, {"bits": multiplier_bits(fields[name]).hex(), "effective_timestamp": seconds})
            for name, seconds in (
                ("multiplier", 0),
                ("new_multiplier", fields["new_multiplier_effective_timestamp"]),
            )
        ]
    pausable = mint.extension("pausable_config")
    if pausable and pausable.fields["paused"]:
        told.append(("pause", None, {}))
    elif stale.paused:
        told.append(("resume", None, {}))
    for address, account in sorted(picture.accounts.items()):
        if account.state == "frozen":
            told.append(("freeze", address, {}))
        elif stale.accounts.get(address, False) is not False:
            told.append(("thaw", address, {}))
    told += [("close", address, {}) for address in sorted(stale.accounts.keys() - picture.accounts.keys())]
    return [
        (opening.slot, when, SNAPSHOT_INDEX, step, -1, "", "", kind, opening.mint, account, None,
         {**details, "snapshot": True})
        for step, (kind, account, details) in enumerate(told)
    ]  # fmt: skip


def _mint_details(opening: Opening, mint: Mint) -> dict[str, Any]:
    extensions = {e.name: e.fields for e in mint.extensions}
    fees = extensions.get("transfer_fee_config")
    authorities: dict[str, Any] = {"mint_tokens": mint.mint_authority, "freeze_account": mint.freeze_authority}
    for kind, (extension, field) in _AUTHORITIES.items():
        if extension in extensions:
            authorities[kind] = extensions[extension][field]
    return {
        "decimals": opening.decimals,
        "supply": str(opening.supply),
        "withheld": str(opening.withheld),
        "hidden": str(opening.hidden),
        "permanent_delegate": extensions.get("permanent_delegate", {}).get("delegate"),
        "default_state": extensions.get("default_account_state", {}).get("state"),
        "transfer_fee": fees and {
            age: {
                "epoch": fees[f"{age}_transfer_fee"]["epoch"],
                "maximum_fee": str(fees[f"{age}_transfer_fee"]["maximum_fee"]),
                "basis_points": fees[f"{age}_transfer_fee"]["transfer_fee_basis_points"],
            }
            for age in ("older", "newer")
        },
        "authorities": authorities,
    }  # fmt: skip
