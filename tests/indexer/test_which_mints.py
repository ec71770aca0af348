"""Which addresses are taken up: what the node says of an account decides, and what it once was counts too."""

import pytest
from solders.keypair import Keypair

from support.command import tieout_here
from support.database import value
from support.replay import Answer, GoldenDay, ReplayNode
from tieout_idl.programs import SYSTEM_PROGRAM, TOKEN_2022_PROGRAM


async def backfill(node: ReplayNode, dsn: str, day: GoldenDay, *mints: str):
    return await tieout_here(
        "index", "backfill", "--rpc-url", node.url, "--dsn", dsn, *(word for m in mints for word in ("--mint", m)),
        "--from-slot", str(day.first), "--to-slot", str(day.last), "--json",
    )  # fmt: skip


def remembering(*named: str):
    """A node that lists a transaction for these addresses alone."""

    def answer(method: str, params: list) -> Answer | None:
        if method != "getSignaturesForAddress":
            return None
        return {"result": [{"signature": "1" * 64, "slot": 1, "err": None}] if params[0] in named else []}

    return answer


async def test_an_address_that_never_was_is_refused_and_nothing_is_tracked(dsn: str, day: GoldenDay) -> None:
    stranger = str(Keypair().pubkey())
    async with ReplayNode(day.blocks()) as node:
        node.accounts = {}
        node.override = remembering()
        read = await backfill(node, dsn, day, stranger)
    assert read.code == 2
    assert f"there is no account {stranger} on this chain" in read.out + read.err
    assert await value(dsn, "select count(*) from ledger.tracked") == 0


async def test_a_mint_that_was_closed_keeps_its_history(dsn: str, day: GoldenDay) -> None:
    mint = day.mints["TSLAx"]
    async with ReplayNode(day.blocks()) as node:
        node.accounts = {}
        node.override = remembering(mint)
        read = await backfill(node, dsn, day, mint)
    assert read.code == 0, read.out + read.err
    assert await value(dsn, "select count(*) from ledger.events") > 0


@pytest.mark.parametrize(("owner", "code"), [(SYSTEM_PROGRAM, 2), (TOKEN_2022_PROGRAM, 0)])
async def test_an_account_is_a_mints_where_a_token_program_owns_it(
    dsn: str, day: GoldenDay, owner: str, code: int
) -> None:
    mint = day.mints["TSLAx"]
    async with ReplayNode(day.blocks()) as node:
        node.accounts = {mint: {"owner": owner, "data": ["", "base64"], "lamports": 1}}
        read = await backfill(node, dsn, day, mint)
    assert read.code == code, read.out + read.err
    assert (f"{mint} is no mint: its account belongs to the program {owner}" in read.out + read.err) is (code == 2)


async def test_many_mints_are_asked_for_together_and_the_one_that_is_none_is_named(dsn: str, day: GoldenDay) -> None:
    mints = [str(Keypair().pubkey()) for _ in range(101)]
    stranger = mints[-1]
    async with ReplayNode(day.blocks()) as node:
        node.accounts = {mint: {"owner": TOKEN_2022_PROGRAM, "data": ["", "base64"]} for mint in mints[:-1]}
        node.override = remembering()
        read = await backfill(node, dsn, day, *mints)
        assert node.requests["getMultipleAccounts"] == 2, "a node answers for at most 100 at once"
    assert read.code == 2
    assert f"there is no account {stranger} on this chain" in read.out + read.err
