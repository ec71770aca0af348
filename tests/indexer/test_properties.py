"""Three promises over whatever comes: any split gives the same tables, no bytes break it, all postings sum to zero."""

import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from support.database import fresh_database, query
from support.ledger import ledger
from support.replay import GoldenDay, ReplayNode
from support.transactions import ALICE, BOB, ISSUER, MINT, OWNERS, TREASURY, balances, instruction, transaction
from tieout_idl import encode
from tieout_indexer import IndexerLimits, SegmentOutcome, backfill, redecode
from tieout_indexer.decode import Scope, decode_transaction
from tieout_indexer.model import DecodedBlock
from tieout_indexer.pipeline import decode_block
from tieout_indexer.source import Fetched, Parked, verifiable
from tieout_indexer.wire import UNREADABLE

ANY = settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
FIRST, LAST = 58, 152
NAMES = ("AAPLx", "TSLAx")


class Killed(Exception):
    """The indexer ends here, in the middle of what it does."""


@dataclass(frozen=True)
class Visit:
    """One start of the indexer: what it is to read, in which steps, and after how many of them it is killed."""

    mints: tuple[str, ...]
    from_slot: int
    to_slot: int
    window: int
    rows: int
    ends_after: int | None


slots = st.integers(FIRST, LAST)
visits = st.lists(
    st.builds(
        lambda mints, a, b, window, rows, ends: Visit(mints, min(a, b), max(a, b), window, rows, ends),
        st.sampled_from([NAMES, NAMES[:1], NAMES[1:], NAMES[::-1]]),
        slots, slots, st.integers(1, 40), st.sampled_from([1, 7, 20_000]), st.none() | st.integers(0, 6),
    ),
    max_size=5,
)  # fmt: skip


async def visit(day: GoldenDay, node: ReplayNode, dsn: str, each: Visit) -> None:
    done = 0

    def progress(_: SegmentOutcome) -> None:
        nonlocal done
        done += 1
        if each.ends_after is not None and done > each.ends_after:
            raise Killed

    limits = IndexerLimits(window_slots_max=each.window, batch_rows_max=each.rows, poll_interval_s=0.01)
    mints = [day.mints[name] for name in each.mints]
    try:
        await backfill([node.url], dsn, mints, each.from_slot, each.to_slot, progress=progress, limits=limits)
    except Killed:
        return


@pytest.fixture
async def node(day: GoldenDay) -> AsyncIterator[ReplayNode]:
    async with ReplayNode(day.blocks()) as made:
        yield made


@pytest.fixture
async def undisturbed(day: GoldenDay, node: ReplayNode, dsn: str) -> dict[str, list[Any]]:
    """Every view after one run over the whole day."""
    await visit(day, node, dsn, Visit(NAMES, FIRST, LAST, 128, 20_000, None))
    return await ledger(dsn)


@settings(ANY, max_examples=8)
@given(visits)
async def test_any_split_into_windows_mints_and_restarts_gives_the_same_tables(
    day: GoldenDay,
    node: ReplayNode,
    undisturbed: dict[str, list[Any]],
    server_dsn: str,
    template: str,
    split: list[Visit],
) -> None:
    async with fresh_database(server_dsn, template) as dsn:
        for each in split:
            await visit(day, node, dsn, each)
        await visit(day, node, dsn, Visit(NAMES, FIRST, LAST, 33, 20_000, None))
        # what was read before its past was known is told better by the same evidence afterwards
        await redecode(dsn, 0, LAST)
        told, wanted = await ledger(dsn), dict(undisturbed)
        assert [{**r, "from_slot": 0} for r in told.pop("tracked")] == [
            {**r, "from_slot": 0} for r in wanted.pop("tracked")
        ], "known from their creation, whatever was read first"
        assert told == wanted


def scope() -> Scope:
    return Scope(frozenset({MINT}), {}, lambda slot: 0, IndexerLimits())


def is_read_or_parked(body: bytes) -> None:
    for relevant in (True, False):
        found = verifiable(1, body, "node", lambda _, relevant=relevant: relevant)  # type: ignore[misc]
        assert isinstance(found, Fetched | Parked)
        if isinstance(found, Fetched):
            assert isinstance(decode_block(scope(), found), DecodedBlock | Parked)


@settings(ANY, max_examples=300)
@given(st.binary(max_size=300))
def test_no_bytes_at_all_make_it_raise(body: bytes) -> None:
    is_read_or_parked(body)
    try:
        decode_transaction(scope(), 1, 0, body)
    except UNREADABLE:
        return  # what the caller parks the slot for


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)


@pytest.fixture(scope="module")
def busy(day: GoldenDay) -> list[bytes]:
    """The day's blocks in which something happens."""
    idle = set(day.idle_slots())
    return [json.dumps(block).encode() for slot, block in sorted(day.blocks().items()) if slot not in idle]


@settings(ANY, max_examples=200)
@given(data=st.data())
def test_no_change_to_the_bytes_of_a_real_block_makes_it_raise(
    day: GoldenDay, busy: list[bytes], data: st.DataObject
) -> None:
    """Cut, overwritten or with other JSON in the place of some: read, or parked."""
    body = data.draw(st.sampled_from(busy))
    start = data.draw(st.integers(0, len(body)))
    length = data.draw(st.integers(0, 40))
    patch = data.draw(st.binary(max_size=12) | JSON.map(lambda value: json.dumps(value).encode()))
    changed = body[:start] + patch + body[start + length :]
    is_read_or_parked(changed)
    for mint in day.mints.values():
        found = verifiable(1, changed, "node", lambda _: True)
        if isinstance(found, Fetched):
            one = Scope(frozenset({mint}), {}, lambda slot: 0, IndexerLimits())
            assert isinstance(decode_block(one, found), DecodedBlock | Parked)


@dataclass
class Market:
    """A mint with a fee of one percent as the program keeps it, and the blocks that its operations make."""

    held: dict[str, int] = field(default_factory=lambda: {"treasury": 0, "alice": 0, "bob": 0})
    withheld: dict[str, int] = field(default_factory=lambda: {"treasury": 0, "alice": 0, "bob": 0})
    on_mint: int = 0
    hidden: int = 0
    supply: int = 0
    bodies: list[bytes] = field(default_factory=list)

    def open(self) -> None:
        fee = {
            "transfer_fee_config_authority": None, "withdraw_withheld_authority": None,
            "transfer_fee_basis_points": 100, "maximum_fee": 2**64 - 1,
        }  # fmt: skip
        mint = {"decimals": 8, "mint_authority": ISSUER, "freeze_authority": None}
        self._land(
            dict(self.held), instruction(encode("initialize_transfer_fee_config", fee), MINT),
            instruction(encode("initialize_mint2", mint), MINT),
            *(instruction(encode("initialize_account3", {"owner": OWNERS[a]}), a, MINT) for a in ACCOUNTS.values()),
            opened=True,
        )  # fmt: skip

    def act(self, verb: str, source: str, target: str, part: int) -> None:
        """Carry an operation out over a part (in percent) of what there is to move."""
        before, amount = dict(self.held), self.held[source] * part // 100
        a, b = ACCOUNTS[source], ACCOUNTS[target]
        match verb:
            case "mint":
                self.held[target] += part
                self.supply += part
                self._land(before, instruction(encode("mint_to", {"amount": part}), MINT, b, ISSUER))
            case "burn":
                self.held[source] -= amount
                self.supply -= amount
                self._land(before, instruction(encode("burn", {"amount": amount}), a, MINT, ISSUER))
            case "hide":
                self.held[source] -= amount
                self.hidden += amount
                data = encode("confidential_deposit", {"amount": amount, "decimals": 8})
                self._land(before, instruction(data, a, MINT, ISSUER))
            case "harvest":
                self.on_mint += self.withheld[source] + (self.withheld[target] if target != source else 0)
                self.withheld |= {source: 0, target: 0}
                self._land(before, instruction(encode("harvest_withheld_tokens_to_mint"), MINT, a, b))
            case "collect":
                total = sum(self.withheld.values()) + self.on_mint
                self.on_mint = 0
                self.withheld = dict.fromkeys(self.withheld, 0)
                self.held[target] += total
                self._land(
                    before, instruction(encode("harvest_withheld_tokens_to_mint"), MINT, *ACCOUNTS.values()),
                    instruction(encode("withdraw_withheld_tokens_from_mint"), MINT, b, ISSUER),
                )  # fmt: skip
            case _:
                fee = 0 if source == target else -(-amount // 100)
                self.held[source] -= amount
                self.held[target] += amount - fee
                self.withheld[target] += fee
                data = encode("transfer_checked", {"amount": amount, "decimals": 8})
                self._land(before, instruction(data, a, MINT, b, ISSUER))

    def _land(self, before: dict[str, int], *steps: dict[str, Any], opened: bool = False) -> None:
        pre = [] if opened else balances(**before)
        self.bodies.append(transaction(*steps, pre=pre, post=balances(**self.held)))

    def blocks(self) -> dict[int, Any]:
        made = {}
        for slot in range(len(self.bodies) + 1):
            body = json.loads(self.bodies[slot - 1]) if slot else None
            if body:
                body["transaction"]["signatures"] = [f"{slot:064d}".replace("0", "A")]
            made[slot] = {
                "blockhash": f"hash{slot}", "previousBlockhash": f"hash{max(slot - 1, 0)}",
                "parentSlot": max(slot - 1, 0), "blockTime": 1_700_000_000 + slot,
                "transactions": [body] if body else [],
            }  # fmt: skip
        return made


ACCOUNTS = {"treasury": TREASURY, "alice": ALICE, "bob": BOB}
names = st.sampled_from(sorted(ACCOUNTS))
operations = st.lists(
    st.tuples(
        st.sampled_from(["mint", "transfer", "burn", "hide", "harvest", "collect"]), names, names, st.integers(0, 100)
    ),
    min_size=1,
    max_size=12,
)


@settings(ANY, max_examples=12)
@given(operations)
async def test_whatever_happens_the_postings_of_a_mint_sum_to_zero_at_every_slot(
    server_dsn: str, template: str, done: list[tuple[str, str, str, int]]
) -> None:
    market = Market()
    market.open()
    market.act("mint", "treasury", "treasury", 10_000)
    for operation in done:
        market.act(*operation)
    last = len(market.bodies)
    async with fresh_database(server_dsn, template) as dsn, ReplayNode(market.blocks()) as node:
        read = await backfill([node.url], dsn, [MINT], 0, last, limits=IndexerLimits(poll_interval_s=0.01))
        assert read.complete, read
        sums = await query(
            dsn,
            "select s.slot, sum(p.delta) as total from generate_series(2, $2::bigint) as s(slot) "
            "cross join lateral ledger.postings_known($1, s.slot) p group by s.slot order by s.slot",
            MINT, last,
        )  # fmt: skip
        assert [(r["slot"], r["total"]) for r in sums] == [(slot, 0) for slot in range(2, last + 1)]
        ends = {r["account"]: int(r["total"]) for r in await query(
            dsn, "select account, sum(delta) as total from ledger.postings_known($1, $2) group by account", MINT, last
        )}  # fmt: skip
    pseudo = {
        "issuance": -market.supply,
        "withheld": sum(market.withheld.values()) + market.on_mint,
        "confidential": market.hidden,
    }
    wanted = {ACCOUNTS[name]: amount for name, amount in market.held.items()} | pseudo
    assert {a: n for a, n in ends.items() if n} == {a: n for a, n in wanted.items() if n}
