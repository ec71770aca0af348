"""Audits of the ledger against a node: supply, every balance, withheld fees, and which transactions there are.

Both sides are compared at the node's own slot, or at the ledger's last one where nothing names the mint since.
"""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import asyncpg

from tieout_database import Queries, check_schema, connect
from tieout_indexer.accounts import AccountsAt, MintAt, read_accounts, read_mint, withheld_of
from tieout_indexer.audit import identity_findings
from tieout_indexer.errors import BadEvidence, NoSnapshot
from tieout_indexer.evidence import stored_body
from tieout_indexer.findings import Audited, AuditFinding
from tieout_indexer.limits import IndexerLimits
from tieout_indexer.listing import Listed, list_signatures, moves_of
from tieout_indexer.multipliers import NO_MULTIPLIER, RULE_UNKNOWN, observed_multiplier, replayed_multiplier
from tieout_indexer.steps import account_keys
from tieout_indexer.wire import UNREADABLE, parse_transaction
from tieout_indexer.withheld import withheld_by_account
from tieout_rpc import MalformedAnswer, NodeRefused, RpcClient, RpcLimits

_SQL = Queries("tieout_indexer", "audit_node.sql")
_POLL_S = 0.1


@dataclass(slots=True)
class AuditResult:
    """What audits found, which were carried out whole, and which the node cannot answer."""

    findings: list[AuditFinding] = field(default_factory=list)
    audited: list[Audited] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)


async def audit_against_node(
    urls: Sequence[str],
    dsn: str,
    mints: Sequence[str],
    *,
    limits: IndexerLimits | None = None,
    rpc_limits: RpcLimits | None = None,
) -> AuditResult:
    """Run every audit for each mint. Raises RpcError where no node answers at all."""
    limits = limits or IndexerLimits()
    connection = await connect(dsn)
    try:
        await check_schema(connection)
        result = AuditResult()
        async with RpcClient(urls, rpc_limits) as rpc:
            for mint in mints:
                await _Audit(rpc, connection, mint, limits, result).run()
        return result
    finally:
        await connection.close()


class _Audit:
    """The audits of one mint."""

    def __init__(
        self, rpc: RpcClient, connection: asyncpg.Connection, mint: str, limits: IndexerLimits, result: AuditResult
    ) -> None:
        self._rpc = rpc
        self._connection = connection
        self._mint = mint
        self._limits = limits
        self._result = result

    async def run(self) -> None:
        known = await self._connection.fetchrow(_SQL["known_range"], self._mint)
        if known is None:
            self._cannot("supply", "a known supply", "unknown: the mint is unproven")
            return
        self._result.findings += await identity_findings(self._connection, self._mint)
        self._result.audited.append(Audited("identity", self._mint))
        await self._supply()
        audits = (("balances", self._accounts), ("multiplier", self._multiplier), ("signatures", self._signatures))
        for name, audit in audits:
            try:
                await audit()
            except (NodeRefused, MalformedAnswer, NoSnapshot) as refused:
                self._result.skipped.append(f"{name} of {self._mint}: {refused}")

    def _cannot(self, check: str, expected: str, why: str) -> None:
        self._result.findings.append(AuditFinding(check, self._mint, expected, why, self._mint, stored=False))

    def _differs(self, check: str, subject: str, expected: object, found: object, slot: int) -> None:
        finding = AuditFinding(check, subject, str(expected), str(found), self._mint, slot)
        self._result.findings.append(finding)

    async def _supply(self) -> None:
        answer: Any = await self._rpc.call("getTokenSupply", [self._mint, {"commitment": "finalized"}])
        try:
            slot, amount = int(answer["context"]["slot"]), int(answer["value"]["amount"])
        except (KeyError, TypeError, ValueError) as bad:
            raise MalformedAnswer(f"a node answered getTokenSupply in an unexpected form: {bad}") from bad
        at = await self._comparable(slot)
        ours = None if at is None else await self._connection.fetchval(_SQL["supply_at"], self._mint, at)
        if at is None or ours is None:
            self._cannot("supply", f"{amount} at slot {slot}", "the ledger is not proven up to that slot")
            return
        if int(ours) != amount:
            self._differs("supply", self._mint, amount, int(ours), slot)
        self._result.audited.append(Audited("supply", self._mint, slot))

    async def _comparable(self, slot: int) -> int | None:
        """The slot at which the ledger can be compared with the node's state at ``slot``; None: it is behind."""
        give_up_at = time.monotonic() + self._limits.audit_wait_s
        while True:
            covered = await self._connection.fetchval(_SQL["covered_to"], self._mint)
            if covered >= slot:
                return slot
            newest = await self._newest_mention()
            if newest is not None and newest <= covered:
                return int(covered)
            if time.monotonic() > give_up_at:
                return None
            await asyncio.sleep(_POLL_S)

    async def _newest_mention(self) -> int | None:
        """The slot of the newest transaction that names the mint; None where the node cannot say."""
        try:
            listed = await list_signatures(self._rpc, self._mint, count_max=1)
        except (NodeRefused, MalformedAnswer):
            return None
        return listed[0].slot if listed else 0

    async def _accounts(self) -> None:
        mint = await read_mint(self._rpc, self._mint)
        there = await read_accounts(self._rpc, self._mint, mint.program)
        at = await self._comparable(there.slot)
        if at is None:
            self._cannot("balance", f"accounts at slot {there.slot}", "the ledger is not proven up to that slot")
            return
        here = {r["account"]: r for r in await self._connection.fetch(_SQL["balances_at"], self._mint, at)}
        for address in sorted(there.accounts.keys() | here.keys()):
            self._compare(address, there, here.get(address))
        self._result.audited += [Audited(check, self._mint, there.slot) for check in ("balance", "owner", "frozen")]
        await self._withheld(mint, there, at)

    def _compare(self, address: str, there: AccountsAt, row: asyncpg.Record | None) -> None:
        account, slot = there.accounts.get(address), there.slot
        if account is None or row is None:
            shown = "no account", f"an account with {int(row['amount']) if row else account and account.amount}"
            self._differs("balance", address, *(shown if row else shown[::-1]), slot)
            return
        for check, expected, found in (
            ("balance", account.amount, int(row["amount"])),
            ("owner", account.owner, row["owner"]),
            ("frozen", account.state == "frozen", row["frozen"]),
        ):
            # whether it is frozen may be unknown (null): then nothing was claimed
            if expected != found and found is not None:
                self._differs(check, address, expected, found, slot)

    async def _withheld(self, mint: MintAt, there: AccountsAt, at: int) -> None:
        """Fees withheld, in sum and account by account, where the mint did not move meanwhile."""
        after = await read_mint(self._rpc, self._mint)
        if after.data != mint.data:
            self._result.skipped.append(f"withheld fees of {self._mint}: the mint changed while it was read")
            return
        total = withheld_of(mint.mint) + sum(withheld_of(account) for account in there.accounts.values())
        ours = int(await self._connection.fetchval(_SQL["withheld_at"], self._mint, at) or 0)
        if total != ours:
            self._differs("withheld", self._mint, total, ours, there.slot)
        self._result.audited.append(Audited("withheld", self._mint, there.slot))
        if mint.mint.extension("transfer_fee_config"):
            await self._withheld_by_account(mint, there, at)

    async def _withheld_by_account(self, mint: MintAt, there: AccountsAt, at: int) -> None:
        here = await withheld_by_account(self._connection, self._mint, at)
        if here is None:
            why = "the evidence that says which accounts were swept is not in the ledger"
            self._result.skipped.append(f"withheld fees of {self._mint} account by account: {why}")
            return
        told = {address: withheld_of(account) for address, account in there.accounts.items()}
        told[self._mint] = withheld_of(mint.mint)
        for address in sorted(told.keys() | here.keys()):
            if told.get(address, 0) != here.get(address, 0):
                self._differs("withheld_account", address, told.get(address, 0), here.get(address, 0), there.slot)
        self._result.audited.append(Audited("withheld_account", self._mint, there.slot))

    async def _multiplier(self) -> None:
        """The mint's own multiplier fields against the replay: instructions alone do not tell them for certain."""
        there = await read_mint(self._rpc, self._mint)
        at = await self._comparable(there.slot)
        if at is None:
            self._cannot("multiplier", f"the mint at slot {there.slot}", "the ledger is not proven up to that slot")
            return
        row = await self._connection.fetchrow(_SQL["multiplier_state"], self._mint, at)
        observed, replay = observed_multiplier(there.mint), replayed_multiplier(row)
        if observed is not None and replay is not None and replay.multiplier is None:
            self._result.skipped.append(f"the older multiplier of {self._mint}: {RULE_UNKNOWN}")
            replay = replace(replay, multiplier=observed.multiplier)
        if observed != replay:
            self._differs("multiplier", self._mint, observed or NO_MULTIPLIER, replay or NO_MULTIPLIER, there.slot)
        self._result.audited.append(Audited("multiplier", self._mint, there.slot))

    async def _signatures(self) -> None:
        """Each listed transaction that moves the mint is in the ledger; each movement that names the mint is listed."""
        known = await self._connection.fetchrow(_SQL["known_range"], self._mint)
        assert known is not None, "asked before"
        first = await self._floor(known["first_slot"])
        listed = await list_signatures(
            self._rpc, self._mint, from_slot=first, count_max=self._limits.audit_signatures_max
        )
        if len(listed) == self._limits.audit_signatures_max:
            first = listed[-1].slot + 1  # the list was cut: the ledger is compared above the cut only
        there = {
            entry.signature: entry for entry in listed if not entry.failed and first <= entry.slot <= known["to_slot"]
        }
        rows = await self._connection.fetch(_SQL["signatures"], self._mint, first, known["to_slot"])
        here = {row["signature"]: row for row in rows}
        for signature in sorted(there.keys() - here.keys()):
            await self._absent_here(there[signature])
        for signature in sorted(here.keys() - there.keys()):
            row = here[signature]
            if row["moves"] and await self._names_the_mint(row["slot"], row["tx_index"]):
                self._differs(
                    "signatures",
                    signature,
                    "listed by the node",
                    f"only in the ledger, slot {row['slot']}",
                    row["slot"],
                )
        self._result.audited.append(Audited("signatures", self._mint, known["to_slot"]))

    async def _floor(self, from_slot: int) -> int:
        try:
            first: int = await self._rpc.call("getFirstAvailableBlock", result_type=int)
        except (NodeRefused, MalformedAnswer):
            return from_slot
        return max(from_slot, first)

    async def _absent_here(self, entry: Listed) -> None:
        """A transaction may name the mint and do nothing to it; one that does something must be here."""
        moves = await moves_of(self._rpc, entry, self._mint)
        if moves is None:
            self._result.skipped.append(f"transaction {entry.signature}: listed by the node, which does not have it")
        elif moves:
            self._differs("signatures", entry.signature, f"slot {entry.slot}: {moves}", "not in the ledger", entry.slot)

    async def _names_the_mint(self, slot: int, tx_index: int) -> bool:
        """Whether the transaction's own keys name the mint; an unchecked transfer's do not.

        By the stored evidence; where that was moved away it cannot be told, and nothing is claimed.
        """
        record = await self._connection.fetchrow(_SQL["evidence"], slot, tx_index)
        if record is None:
            return False
        try:
            transaction = parse_transaction(stored_body(record["body"], record["sha256"]))
        except (BadEvidence, *UNREADABLE):
            return False  # damaged evidence is a finding of its own
        return self._mint in account_keys(transaction)
