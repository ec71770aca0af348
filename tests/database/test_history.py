"""State over time: who owned, who could, what was frozen and paused, from when to when."""

from typing import Any

from database.rows import MINT, Rows, at


async def control(rows: Rows, kind: str, slot: int, step: int = 0, **more: Any) -> None:
    more.setdefault("details", {})
    await rows.add("control_row", kind=kind, slot=slot, step=step, block_time=at(slot), **more)


async def spans(rows: Rows, view: str, *columns: str) -> list[tuple[Any, ...]]:
    found = await rows.fetch(f"select {', '.join(columns)} from ledger.{view} order by from_slot, to_slot")
    return [tuple(row.values()) for row in found]


async def test_an_account_has_its_owner_from_opening_through_changes_to_closing_and_again(rows: Rows) -> None:
    await control(rows, "open", 1, account="a", details={"owner": "Ann"})
    await control(rows, "owner", 5, account="a", authority="Ann", details={"new": "Bob", "old": "Ann"})
    await control(rows, "owner", 5, step=1, account="a", authority="Bob", details={"new": "Cy", "old": "Bob"})
    await control(rows, "close", 9, account="a")
    await control(rows, "open", 12, account="a", details={"owner": "Dee"})
    assert await spans(rows, "owners", "owner", "from_slot", "to_slot", "how", "ended_by", "set_by") == [
        ("Ann", 1, 5, "open", "owner", None),
        ("Bob", 5, 5, "owner", "owner", "Ann"),
        ("Cy", 5, 9, "owner", "close", "Bob"),
        ("Dee", 12, None, "open", None, None),
    ]
    assert await rows.value("select from_time from ledger.owners where owner = 'Cy'") == at(5)


async def test_an_account_met_in_mid_life_is_owned_by_whom_the_node_named_first(rows: Rows) -> None:
    await rows.add("touch_row", slot=4, account="a", pre_owner="Ann", post_owner="Ann", pre_amount=3, post_amount=2)
    await control(rows, "owner", 6, account="a", details={"new": None})
    await rows.add("touch_row", slot=6, account="a", pre_owner="Ann", post_owner="Bob", pre_amount=2, post_amount=2)
    assert await spans(rows, "owners", "owner", "from_slot", "to_slot", "how") == [
        ("Ann", 4, 6, "seen"),
        ("Bob", 6, None, "owner"),
    ]


async def test_frozen_intervals_count_accounts_that_are_born_frozen_and_end_with_the_account(rows: Rows) -> None:
    await control(rows, "open", 1, account="a", details={"owner": "Ann", "frozen": True})
    await control(rows, "thaw", 3, account="a", authority="Compliance")
    await control(rows, "freeze", 7, account="a", authority="Desk")
    await control(rows, "close", 8, account="a")
    await control(rows, "open", 9, account="a", details={"owner": "Ann", "frozen": False})
    await control(rows, "freeze", 10, account="b", authority="Desk")
    columns = ("account", "from_slot", "to_slot", "how", "frozen_by", "thawed_by", "ended_by")
    assert await spans(rows, "frozen", *columns) == [
        ("a", 1, 3, "open", None, "Compliance", "thaw"),
        ("a", 7, 8, "freeze", "Desk", None, "close"),
        ("b", 10, None, "freeze", "Desk", None, None),
    ]


async def test_paused_intervals_run_from_pause_to_resume(rows: Rows) -> None:
    await control(rows, "pause", 3, authority="P")
    await control(rows, "pause", 4, authority="P")
    await control(rows, "resume", 6, authority="Q")
    await control(rows, "pause", 9, authority="P")
    columns = ("mint", "from_slot", "to_slot", "paused_by", "resumed_by")
    assert await spans(rows, "paused", *columns) == [(MINT, 3, 6, "P", "Q"), (MINT, 9, None, "P", None)]


async def test_each_authority_has_its_history_from_the_mints_creation_on(rows: Rows) -> None:
    await control(rows, "permanent_delegate", 1, details={"delegate": "D"})
    await control(rows, "pausable", 1, step=1, details={"authority": "P"})
    await control(
        rows, "mint_open", 1, step=2, details={"decimals": 8, "mint_authority": "M", "freeze_authority": None}
    )
    await control(rows, "authority", 5, authority="M", details={"type": "mint_tokens", "new": "N"})
    await control(rows, "authority", 8, authority="N", details={"type": "mint_tokens", "new": None})
    await control(rows, "authority", 9, account="a", authority="O", details={"type": "close_account", "new": "C"})
    found = await rows.fetch(
        "select type, account, authority, from_slot, to_slot, set_by from ledger.authorities order by type, from_slot"
    )
    assert [tuple(r.values()) for r in found] == [
        ("close_account", "a", "C", 9, None, "O"),
        ("freeze_account", None, None, 1, None, None),
        ("mint_tokens", None, "M", 1, 5, None),
        ("mint_tokens", None, "N", 5, 8, "M"),
        ("mint_tokens", None, None, 8, None, "N"),
        ("pause", None, "P", 1, None, None),
        ("permanent_delegate", None, "D", 1, None, None),
    ]


async def test_what_was_retracted_is_no_part_of_history(rows: Rows) -> None:
    await control(rows, "pause", 3, batch=1)
    await rows.add("retraction_row", relation="control", slot=3, row_batch=1, batch=2)
    assert await spans(rows, "paused", "mint", "from_slot") == []


async def test_findings_open_change_close_and_open_again(rows: Rows) -> None:
    for batch, action, found in ((1, "open", "5"), (2, "open", "6"), (3, "close", "6"), (4, "open", "7")):
        await rows.add(
            "finding_row", slot=batch, action=action, expected="4", found=found, at=at(batch), batch=batch,
            evidence="both 4" if action == "close" else "",
        )  # fmt: skip
    told = await rows.fetch(
        "select found, opened_batch, closed_batch, evidence, slot from ledger.findings order by opened_batch"
    )
    assert [tuple(r.values()) for r in told] == [("6", 1, 3, "both 4", 2), ("7", 4, None, None, 4)]
