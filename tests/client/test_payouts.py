"""Payouts: the file is read whole or refused, and each row is paid once however often it is killed.

``TIEOUT_PAYOUT_ROWS`` is how many rows the killed command pays, 600 by default.
"""

import asyncio
import os

import pytest
from solders.keypair import Keypair
from solders.pubkey import Pubkey

from client.desks import house_on, raw_of
from support.command import start_tieout, tieout
from tieout_client import (
    ROWS_PER_TRANSACTION,
    BadInput,
    InsufficientInventory,
    Journal,
    PayoutRow,
    parse_payout,
    write_keypair,
)
from tieout_client.reading import read_accounts
from tieout_idl import parse_account

ROWS = int(os.environ.get("TIEOUT_PAYOUT_ROWS", "600"))
ONE = bytes.fromhex("000000000000f03f")
A, B = (str(Keypair.from_seed(bytes([n]) * 32).pubkey()) for n in (1, 2))


def test_a_file_is_read_in_shares_or_raw():
    text = f"owner,amount,note\n{A},2.5,x\n{B},1,\n"
    assert parse_payout(text, decimals=8, bits=ONE) == [PayoutRow(2, A, 250_000_000), PayoutRow(3, B, 100_000_000)]
    assert parse_payout(f"owner,amount\n{A},7\n", decimals=8) == [PayoutRow(2, A, 7)]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "first line: owner and amount"),
        ("owner;amount\n", "first line: owner and amount"),
        ("owner,amount\n", "1 to 100000 rows, not 0"),
        (f"owner,amount\n{A},1\nnobody,1\n{A},0\n{A},-3\n", r"line 3: 'nobody' is no owner.*line 4: .*line 5: '-3'"),
        (f"owner,amount\n{A}\n", "line 2: '' is no raw amount"),
        (f'owner,amount\n{A},"1\n', "unexpected end"),
        ("x" * 140_000, "line 1: field larger than field limit"),
    ],
)
def test_a_bad_file_is_refused_whole_with_its_lines(text, words):
    with pytest.raises(BadInput, match=words):
        parse_payout(text, decimals=8)


def rows_of(count):
    return [PayoutRow(n + 2, str(Keypair().pubkey()), 1 + n % 5) for n in range(count)]


async def test_a_payout_killed_on_the_way_pays_each_row_once(chain, tmp_path):
    rows = rows_of(200)
    async with house_on(chain, inventory=10_000) as house:
        holder = house.roles.treasury
        for kill_after in (14, 70):
            settled = 0
            killed = asyncio.Event()

            def progress(more, kill_after=kill_after, killed=killed):
                nonlocal settled
                settled += more
                if settled >= kill_after:
                    killed.set()

            async with house.desk(tmp_path / "j") as issuer:
                paying = asyncio.create_task(issuer.payout(house.mint, rows, holder, "div-7", progress=progress))
                await killed.wait()
                paying.cancel()
                await asyncio.gather(paying, return_exceptions=True)
        async with house.desk(tmp_path / "j") as issuer:
            lines = await issuer.payout(house.mint, rows, holder, "div-7")
            assert [line.row for line in lines] == rows
            assert all(line.paid for line in lines)
            assert await raw_of(issuer, house.mint, holder.pubkey()) == 10_000 - sum(r.raw for r in rows)
            for row in rows[::17]:
                assert await raw_of(issuer, house.mint, row.owner) == row.raw
            assert await issuer.payout(house.mint, rows, holder, "div-7") == lines
            with pytest.raises(BadInput, match="was signed before with"):
                await issuer.payout(house.mint, rows[1:], holder, "div-7")


async def test_a_payout_is_checked_as_a_whole_and_a_refused_part_is_told(chain, tmp_path):
    rows = rows_of(9)
    async with house_on(chain, inventory=100) as house, house.desk(tmp_path / "j") as issuer:
        holder = house.roles.treasury
        with pytest.raises(InsufficientInventory):
            await issuer.payout(house.mint, [PayoutRow(2, A, 60), PayoutRow(3, B, 50)], holder, "p-1")
        opened = await issuer.open_account(house.mint, rows[8].owner)
        await issuer.freeze(house.mint, opened.account)
        lines = await issuer.payout(house.mint, rows, holder, "p-2")
        assert [line.paid for line in lines] == [True] * 7 + [False] * 2
        assert "AccountFrozen" in lines[8].error
        await issuer.thaw(house.mint, opened.account)
        assert all(line.paid for line in await issuer.payout(house.mint, rows, holder, "p-2"))
        async with house.desk() as forgetful:
            with pytest.raises(BadInput, match="name one"):
                await forgetful.payout(house.mint, rows, holder, "p-3")


async def test_the_command_is_killed_twice_and_pays_each_row_once(chain, tmp_path):
    rows, journal, result = rows_of(ROWS), tmp_path / "j.sqlite", tmp_path / "result.csv"
    (tmp_path / "rows.csv").write_text("owner,amount\n" + "".join(f"{r.owner},{r.raw}\n" for r in rows))
    async with house_on(chain, inventory=10 * ROWS) as house, house.desk() as issuer:
        write_keypair(tmp_path / "payer.json", house.payer)
        write_keypair(tmp_path / "treasury.json", house.roles.treasury)
        command = (
            "payout", house.mint, str(tmp_path / "rows.csv"), "--holder", str(tmp_path / "treasury.json"), "--raw",
            "--request", "DIV-1", "--keypair", str(tmp_path / "payer.json"), "--journal", str(journal),
            "--rpc-url", chain, "--result", str(result), "--json",
        )  # fmt: skip
        transactions = -(-ROWS // ROWS_PER_TRANSACTION)
        for part in (4, 2):
            running = await start_tieout(*command)
            while running.returncode is None and not (journal.exists() and signed(journal) > transactions // part):
                await asyncio.sleep(0.005)
            running.kill()
            assert await running.wait() == -9
            assert 0 < signed(journal) < transactions
        done = await tieout(*command)
        assert (done.code, done.json["paid"], done.json["unpaid"]) == (0, ROWS, []), done.err
        assert await raw_of(issuer, house.mint, house.roles.treasury.pubkey()) == 10 * ROWS - sum(r.raw for r in rows)
        assert await balances(issuer, house.mint, rows) == [row.raw for row in rows]
    lines = result.read_text().splitlines()
    assert len(lines) == ROWS + 1
    assert all(",paid," in line for line in lines[1:])
    kept = Journal(journal).entries()
    # What a killed run signed and did not send may have died meanwhile, and then was signed once more.
    assert {e.state for e in kept} <= {"landed", "dead"}
    assert sorted(e.request_id for e in kept if e.state == "landed") == sorted(
        f"DIV-1/{n}" for n in range(transactions)
    )


async def balances(issuer, mint, rows):
    at = [Pubkey.from_string(issuer.account_address(mint, row.owner)) for row in rows]
    found = []
    for first in range(0, len(at), 100):
        _, accounts = await read_accounts(issuer.rpc, at[first : first + 100], "confirmed")
        found += [parse_account(account[1]).amount for account in accounts]
    return found


def signed(journal):
    kept = Journal(journal)
    try:
        return len(kept.entries())
    finally:
        kept.close()
