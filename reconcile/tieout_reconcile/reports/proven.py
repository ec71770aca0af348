"""What follows from the ledger's own rows for each mint of a report, to be compared with what its bundle says. Pure.

Each part is worked out as the database's function of the same name works it out, from rows that were hashed into the
chain of batches. Accounts and venues are not among them: they follow from the movements (``mint_rows``).
"""

import base64
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from tieout_reconcile.chain import (
    authority_changes_by_mint,
    control_acts_by_mint,
    doubted_by_mint,
    findings_by_mint,
    movements_by_mint,
    multipliers_by_mint,
    owner_changes_by_mint,
)
from tieout_reconcile.facts import Movement, Position
from tieout_reconcile.reports.content import Rows
from tieout_reconcile.reports.mint_rows import SNAPSHOT_INDEX, FrozenState, MintRows, Opening, of_transactions
from tieout_reconcile.reports.stepping import steps_of

Row = dict[str, Any]
Ranges = tuple[tuple[int, int], ...]
PARTS = (
    "coverage", "openings", "events", "owner_changes", "multipliers", "findings", "doubted", "orphans",
    "authority_changes", "control_acts", "frozen",
)  # fmt: skip
_ACTS = {"freeze": None, "thaw": None, "pause": None, "resume": None, "hook": "program_id", "default_state": "state"}
"""What of an act's details is its value, as ``ledger.control_acts_known`` has it."""
_PSEUDO = frozenset({"issuance", "withheld", "confidential"})


@dataclass(frozen=True, slots=True)
class Asked:
    """Of what chain, up to which slot, and for which mints."""

    genesis_hash: str | None
    slot: int
    mints: tuple[str, ...]


def differences(
    rows: Rows, said: Mapping[str, MintRows], slot: int, genesis_hash: str | None,
    named: Mapping[str, Collection[str]] | None = None,
) -> list[str]:  # fmt: skip
    """Return, part by part, where what a bundle says of its mints is not what the ledger's rows give; empty if none.

    ``named``: of the mints that are told in part, the transactions that they are told of.
    """
    named, wrong = named or {}, list[str]()
    proven = proven_rows(rows, Asked(genesis_hash, slot, tuple([mint for mint in said if mint not in named])))
    for mint, signatures in named.items():
        proven[mint] = of_transactions(proven_rows(rows, Asked(genesis_hash, slot, (mint,)))[mint], signatures)
    for mint in sorted(said):
        for part in PARTS:
            told, found = getattr(said[mint], part), getattr(proven[mint], part)
            if told != found:
                wrong.append(f"{mint}: {part.replace('_', ' ')}: it says {len(told)}, {_gap(told, found)}")
    return wrong


def _gap(told: Sequence[Any], found: Sequence[Any]) -> str:
    known = set(told)
    missing = next((one for one in found if one not in known), None)
    return f"the ledger's rows give {len(found)}" + ("" if missing is None else f", and {missing} is not said")


def unlisted(rows: Rows, tracked: Iterable[str], unproven: Iterable[str]) -> list[str]:
    """Return the mints that were read and are not told of; of another one in quarantine nothing may be proven.

    ``unproven``: reported mints of which no slot is proven.
    """
    read = {row["mint"] for row in rows["coverage_row"]} | {row["mint"] for row in rows["cohort_row"]}
    read |= {mint for table, mint in rows.hidden if table == "coverage_row"}
    doubtful = {mint for table, mint in rows.hidden if table == "quarantine_row"}
    return sorted(read - set(tracked) - doubtful - set(unproven))


def block_shown(rows: Rows, blockhash: str | None, at: datetime | None, slot: int) -> bool:
    """Whether the block of the cut-off, with its time, is one of the ledger's rows at or before the slot."""
    return at is None or any(
        row["blockhash"] == blockhash and row["slot"] <= slot and _time(row["block_time"]) == at
        for row in rows["slot_row"]
    )


def evidence_digests(rows: Rows) -> dict[tuple[int, int], set[bytes]]:
    """Return the SHA-256 of the node's answers that the ledger's rows name, by (slot, tx_index)."""
    found: dict[tuple[int, int], set[bytes]] = {}
    for row in rows["evidence_row"]:
        found.setdefault((row["slot"], row["tx_index"]), set()).add(base64.b64decode(row["sha256"]))
    return found


def detached_before(rows: Rows) -> int:
    """Return the slot before which evidence was moved to files, by the ledger's own record; 0: none was."""
    return max((row["before_slot"] for row in rows["detachment_row"]), default=0)


def proven_rows(rows: Rows, asked: Asked) -> dict[str, MintRows]:
    """Return each mint's rows as they follow, without accounts and venues."""
    live = _Live(rows)
    controls = [c for c in live.of("control", "control_row") if c["mint"] in asked.mints]
    doubts = live.of("quarantine", "quarantine_row")
    coverage = _coverages(rows, doubts, asked.mints)
    of_mint = _by_mint(controls)
    told = _in_order(_events(live, of_mint, coverage, asked))
    events = movements_by_mint(told)
    upto = [c for c in controls if c["slot"] <= asked.slot]
    changed = owner_changes_by_mint(_owner_change(c, live) for c in upto if c["kind"] == "owner" and c["account"])
    authorities = authority_changes_by_mint(
        c | {"authority_type": _text(c, "type"), "new_authority": _text(c, "new")}
        for c in upto if c["kind"] == "authority" and c["signature"]
    )  # fmt: skip
    acts = control_acts_by_mint(_act(c) for c in upto if c["kind"] in _ACTS)
    doubted = doubted_by_mint(q for q in doubts if q["slot"] <= asked.slot)
    steps, findings = _steps(rows, controls, asked), _findings(rows, asked.mints)
    blocks = {row["slot"] for row in rows["slot_row"]}
    return {
        mint: MintRows(
            mint,
            coverage[mint],
            _openings(of_mint.get(mint, ())),
            tuple(events.get(mint, ())),
            tuple(changed.get(mint, ())),
            tuple(steps.get(mint, ())),
            (),
            tuple(findings.get(mint, ())),
            tuple(doubted.get(mint, ())),
            _orphans(events.get(mint, ()), blocks),
            (),
            tuple(authorities.get(mint, ())),
            tuple(acts.get(mint, ())),
            _frozen(c for c in of_mint.get(mint, ()) if c["slot"] <= asked.slot),
        )
        for mint in asked.mints
    }


class _Live:
    """The rows that no retraction took back, in order of their places."""

    def __init__(self, rows: Rows) -> None:
        self.rows = rows
        self._retracted = {
            (r["relation"], r["slot"], r["tx_index"], r["step"], r["child"], r["mint"], r["account"], r["row_batch"])
            for r in rows["retraction_row"]
        }
        touches = sorted(self.of("touch", "touch_row"), key=lambda t: int(t["batch"]))
        self._owners: dict[tuple[Any, ...], str | None] = {
            (t["slot"], t["tx_index"], t["mint"], t["account"]): t["post_owner"] for t in touches
        }

    def of(self, relation: str, table: str) -> list[Row]:
        """All live rows of a table; a time is an instant."""
        return _in_order(_timed(row) for row in self.rows[table] if not self._is_retracted(relation, row))

    def owner_after(self, control: Row) -> str | None:
        """Whose the node says an account was after a transaction; None where it does not say."""
        place = tuple(control[name] for name in ("slot", "tx_index", "mint", "account"))
        return self._owners.get(place)

    def _is_retracted(self, relation: str, row: Row) -> bool:
        account = row["account"] if relation == "touch" else ""
        place = (row["slot"], row["tx_index"], row.get("step", 0), row.get("child", 0))
        return (relation, *place, row["mint"], account, row["batch"]) in self._retracted


def _in_order(rows: Iterable[Row]) -> list[Row]:
    return sorted(rows, key=lambda r: (r["slot"], r["tx_index"], r.get("step", 0), r.get("child", 0)))


def _time(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text)


def _timed(row: Row) -> Row:
    return row | {"block_time": _time(row["block_time"])} if "block_time" in row else row


def _text(control: Row, name: str) -> str | None:
    value = control["details"].get(name)
    return None if value is None else str(value)


def _act(control: Row) -> Row:
    name = _ACTS[control["kind"]]
    return control | {"value": None if name is None else _text(control, name)}


def _frozen(controls: Iterable[Row]) -> tuple[FrozenState, ...]:
    """As ``ledger.frozen_known``: the last word on each account, where it is not that it is free."""
    last = {c["account"]: c for c in controls if c["kind"] in ("freeze", "thaw", "open") and c["account"]}
    states = {
        account: c["details"]["frozen"] if c["kind"] == "open" and "frozen" in c["details"] else c["kind"] == "freeze"
        for account, c in last.items()
    }
    return tuple(FrozenState(account, states[account]) for account in sorted(states) if states[account] is not False)


def _coverages(rows: Rows, doubts: Sequence[Row], mints: Sequence[str]) -> dict[str, Ranges]:
    """As ``ledger.coverage_known``: what was read, merged, up to the first transaction in quarantine."""
    read, of_cohort = _by_mint(rows["coverage_row"]), dict[int, list[Row]]()
    for row in rows["cohort_coverage_row"]:
        of_cohort.setdefault(row["cohort"], []).append(row)
    for row in rows["cohort_row"]:
        read.setdefault(row["mint"], []).extend(of_cohort.get(row["cohort"], ()))
    doubt = {mint: min(int(q["slot"]) for q in found) for mint, found in _by_mint(doubts).items()}
    return {mint: _proven(read.get(mint, ()), doubt.get(mint)) for mint in mints}


def _proven(read: Iterable[Row], doubt: int | None) -> Ranges:
    merged: list[tuple[int, int]] = []
    for first, last in sorted((r["from_slot"], r["to_slot"]) for r in read):
        if merged and first <= merged[-1][1] + 1:
            merged[-1] = (merged[-1][0], max(merged[-1][1], last))
        else:
            merged.append((first, last))
    return tuple((a, b if doubt is None else min(b, doubt - 1)) for a, b in merged if doubt is None or a < doubt)


def _by_mint(rows: Iterable[Row]) -> dict[str, list[Row]]:
    found: dict[str, list[Row]] = {}
    for row in rows:
        found.setdefault(row["mint"], []).append(row)
    return found


def _openings(controls: Iterable[Row]) -> tuple[Opening, ...]:
    return tuple(
        Opening(Position(c["slot"], c["tx_index"], c["step"], c["child"]), c["details"].get("decimals"))
        for c in controls
        if c["kind"] in ("mint_open", "snapshot")
    )


def _counted_after(openings: Iterable[Row], controls: Iterable[Row], coverage: Ranges, slot: int) -> int:
    """As ``ledger.counted_after``: the slot of the snapshot that a mint's movements begin with, or -1."""
    born = [c["slot"] for c in controls if c["kind"] == "mint_open"]
    seen = sorted(o["slot"] for o in openings)
    after = -1
    for first, last in coverage:
        opened = [at for at in seen if first - 1 <= at <= last]
        if opened and opened[0] <= slot <= last and not any(first <= at <= last for at in born):
            after = max(after, opened[0])
    return after


def _events(live: _Live, controls: Mapping[str, list[Row]], coverage: Mapping[str, Ranges], asked: Asked) -> list[Row]:
    found, events = list[Row](), _by_mint(live.of("event", "event_row"))
    openings, touches = _by_mint(live.rows["opening_row"]), _by_mint(live.rows["touch_row"])
    for mint in asked.mints:
        mine = controls.get(mint, [])
        after = _counted_after(openings.get(mint, ()), mine, coverage[mint], asked.slot)
        opened = [o for o in openings.get(mint, ()) if o["slot"] == after]
        found += _opening_events(opened[0], mine, touches.get(mint, ())) if opened else []
        found += [_shown(r) for r in events.get(mint, ()) if after < r["slot"] <= asked.slot]
    return found


def _shown(event: Row) -> Row:
    return event | {side: None if event[side] in _PSEUDO else event[side] for side in ("source", "destination")}


def _opening_events(opening: Row, controls: Iterable[Row], touches: Iterable[Row]) -> list[Row]:
    """As ``ledger.opening_events_known``: what the snapshot found, an account a row. Raises ValueError."""
    mint, slot, accounts = opening["mint"], opening["slot"], opening["accounts"]
    at = next((c["block_time"] for c in controls if (c["kind"], c["slot"]) == ("snapshot", slot)), None)
    found = [t for t in touches if (t["slot"], t["tx_index"]) == (slot, SNAPSHOT_INDEX)]
    if len(found) != accounts:
        raise ValueError(f"the snapshot of {mint} at slot {slot} has {accounts} accounts, {len(found)} are shown")
    held = [(t["account"], t["post_owner"], t["post_amount"]) for t in sorted(found, key=lambda t: str(t["account"]))]
    held.append((None, None, opening["withheld"] + opening["hidden"]))
    return [
        {"mint": mint, "slot": slot, "tx_index": SNAPSHOT_INDEX, "step": number, "child": -1, "block_time": at,
         "signature": "", "kind": "opening", "source": None, "source_owner": None, "destination": account,
         "destination_owner": owner, "authority": None, "authority_role": None, "amount": amount, "fee": 0,
         "memo": None}
        for number, (account, owner, amount) in enumerate(one for one in held if one[2])
    ]  # fmt: skip


def _owner_change(control: Row, live: _Live) -> Row:
    """As ``ledger.owner_changes_known``: where the instruction does not say to whom, the node's balances do."""
    said = _text(control, "new")
    return control | {"new_owner": said if said is not None else live.owner_after(control)}


def _steps(rows: Rows, controls: Sequence[Row], asked: Asked) -> dict[str, list[Any]]:
    declared = max(rows["multiplier_rule_row"], key=lambda r: int(r["batch"]), default=None)
    since = None if declared is None else int(declared["from_slot"])
    updates = _by_mint(c for c in controls if c["kind"] == "multiplier")
    made = [s for mint in asked.mints for s in steps_of(updates.get(mint, []), since, asked.genesis_hash)]
    return multipliers_by_mint(sorted(made, key=lambda s: (s["announced_slot"], s["tx_index"], s["step"], s["child"])))


def _findings(rows: Rows, mints: Sequence[str]) -> dict[str, list[Any]]:
    """As ``ledger.findings_known``: the last word on each, where it is not that it closed."""
    last = {(f["audit"], f["subject"]): f for f in sorted(rows["finding_row"], key=lambda f: int(f["batch"]))}
    open_ones = [f for _, f in sorted(last.items()) if f["action"] == "open"]
    return findings_by_mint(f | {"mint": m} for m in mints for f in open_ones if f["mint"] in (None, m))


def _orphans(events: Iterable[Movement], blocks: set[int]) -> tuple[int, ...]:
    return tuple(sorted({e.position.slot for e in events} - blocks))
