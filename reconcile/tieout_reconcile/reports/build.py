"""The report as a value: from a run and what it was computed from. Pure, so that a verifier builds the same."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from tieout_reconcile.canonical import canonical_bytes, from_plain, to_plain
from tieout_reconcile.facts import Movement
from tieout_reconcile.loads import Load, Replay, loads_digest
from tieout_reconcile.prices import ValueLine, values_of
from tieout_reconcile.registry import Registry, compare, instant_text
from tieout_reconcile.reports import bundle
from tieout_reconcile.reports.mint_rows import MintRows, chain_of, known_range, token_chain_of
from tieout_reconcile.reports.roll_forward import roll_forward
from tieout_reconcile.reports.sample import draw, seed_of
from tieout_reconcile.results import Inputs, Run
from tieout_reconcile.token_payments import named_signatures, tokens_named
from tieout_reconcile.whole import reconcile_all

SCHEMA = "tieout/report/1"
REPORT_RULES = "5"
IN_PART_RULES = "6"
"""Of a report that tells of a payment token only what named transactions moved; every other one is by the rules above,
and both are verified."""
STATEMENT = (
    "This is a statement by the management that signs it, not the opinion of an independent practitioner. "
    "It compares the tokens outside the issuer's own wallets, at the multiplier in force, with the settled shares "
    "that the registered custodians reported for the accounts registered as their collateral, as of one finalized "
    "block. It does not show who else may have a claim on those shares, nor that a custodian's statement is true."
)


@dataclass(frozen=True, slots=True)
class Previous:
    """The report before this one: its digest, and where its period ended."""

    report: int
    sha256: str
    as_of_slot: int
    as_of_time: datetime | None
    known_load: int


@dataclass(frozen=True, slots=True)
class Head:
    """What a report says of itself, and no file of its bundle could: number, software, the one before.

    ``period``: the sign-off of a locked period, where it is one's report. ``shortfalls``: the cover and the
    notifications that were recorded for its breaks when it was made, each with its maker's signature. ``in_part``:
    a payment token may be told in part, as in no report of older rules.
    """

    report: int
    software: str
    previous: Previous | None
    period: Mapping[str, Any] | None = None
    shortfalls: tuple[Mapping[str, Any], ...] = ()
    in_part: bool = True

    @property
    def opens(self) -> tuple[int | None, datetime | None]:
        """The slot and the instant after which its period begins; None: with the mint's creation."""
        if self.period is not None:
            opens = self.period["content"]["opens"]
            return opens["slot"], None if opens["time"] is None else datetime.fromisoformat(opens["time"])
        previous = self.previous
        return (None, None) if previous is None else (previous.as_of_slot, previous.as_of_time)


def head_of(report: Mapping[str, Any]) -> Head:
    """Return the head that a report says."""
    previous = report["previous"]
    return Head(
        report["report"],
        report["software"],
        None if previous is None else from_plain(Previous, previous),
        report.get("period"),  # a report of older rules has neither: it is told to be of those
        tuple(report.get("shortfalls", ())),
        report["rules"] == IN_PART_RULES,
    )


@dataclass(frozen=True, slots=True)
class Batch:
    """A commit of the ledger: number, decoder, the digest of its rows, its link to the one before."""

    batch: int
    decoder_version: str
    prev_hash: bytes
    hash: bytes
    content_hash: bytes

    def follows(self, prev_hash: bytes, number: int) -> bool:
        """Whether it is the next link: its hash covers its predecessor's, its number, decoder and content."""
        head = f"{self.batch}\n{self.decoder_version}\n".encode()
        made = hashlib.sha256(prev_hash + head + self.content_hash).digest()
        return self.batch == number and self.prev_hash == prev_hash and self.hash == made


@dataclass(frozen=True, slots=True)
class AuthorityHeld:
    """An authority of the issuer's over a mint, registered or not, and the first slot from which it is known."""

    mint: str
    type: str
    authority: str
    from_slot: int


UNSEEN = (
    "Mints that were never indexed are not seen, whoever's they are; nor is who held an authority over a mint before "
    "the ledger knows of it."
)


@dataclass(frozen=True, slots=True)
class Material:
    """All that a report is computed from, the files of the business parsed once.

    ``tracked``: every mint that the ledger covers, registered or not. ``content``: the ledger's own rows that all of
    it follows from, as its batches were hashed. ``authorities``: those that the issuer has or had, over any mint.
    ``in_part``: of payment tokens that are told in part, the transactions that they are told of.
    """

    inputs: Inputs
    replay: Replay
    mints: Mapping[str, MintRows]
    tracked: tuple[str, ...]
    batches: tuple[Batch, ...]
    evidence: Mapping[tuple[int, int], bytes]
    content: bytes = b""
    authorities: tuple[AuthorityHeld, ...] = ()
    in_part: Mapping[str, frozenset[str]] = field(default_factory=dict)

    @property
    def slots_in_part(self) -> dict[str, set[int]]:
        """The slots of those transactions, by mint."""
        return {mint: {e.position.slot for e in self.mints[mint].events} for mint in self.in_part}


def recompute(material: Material) -> Run:
    """Return the run that the material gives. Raises BadInput for a file that does not parse."""
    book = material.replay.book(material.inputs.as_of_time)
    slot = material.inputs.as_of_slot
    chains = {i.mint: chain_of(material.mints[i.mint], book.registry, slot) for i in book.registry.instruments}
    named = named_signatures(book.business)
    tokens = {
        token.mint: token_chain_of(material.mints[token.mint], named, slot)
        for token in tokens_named(book.registry, book.business)
    }
    return reconcile_all(book, chains, tokens, _inputs(material))


def _inputs(material: Material) -> Inputs:
    """The inputs with every digest computed from the files, none of them taken on trust."""
    said = material.inputs
    loads = material.replay.loads
    load, registry = material.replay.registries[-1]
    last = material.batches[-1] if material.batches else None
    return Inputs(
        genesis_hash=said.genesis_hash,
        as_of_slot=said.as_of_slot,
        as_of_time=said.as_of_time,
        blockhash=said.blockhash,
        known_batch=last.batch if last else 0,
        batch_hash=last.hash.hex() if last else None,
        known_load=len(loads),
        loads_sha256=loads_digest((x.load, x.kind, x.sha256, x.declared) for x in loads),
        registry_load=load,
        registry_sha256=registry.content_sha256.hex(),
    )


def build(head: Head, run: Run, material: Material) -> tuple[dict[str, Any], dict[str, bytes]]:
    """Return the report and the files of its bundle that it lists by digest."""
    registry = material.replay.registries[-1][1]
    drawn = sampled(run, registry, material, head)
    files = dict(_files(run, material, [m for _, m in drawn]))
    previous = head.previous
    before = None if previous is None else material.replay.registry(previous.known_load)
    symbols = {i.symbol: i.mint for i in registry.instruments}
    report = {
        "schema": SCHEMA,
        "rules": IN_PART_RULES if material.in_part else REPORT_RULES,
        "statement": STATEMENT,
        "report": head.report,
        "software": head.software,
        "previous": None if previous is None else to_plain(previous),
        "period": head.period,
        "shortfalls": list(head.shortfalls),
        "run": run.to_json(),
        "registry_changes": [c.to_json() for c in compare(before[1] if before else None, registry)],
        "values": [line.to_json() for line in _values(run, registry, material)],
        "population": _population(registry, material, run.inputs.as_of_slot),
        "roll_forward": [
            rolled
            for result in run.instruments
            if (rolled := _rolled(result.symbol, run, symbols, material, registry, head)) is not None
        ],
        "sample": {
            "seed": seed_of(run.inputs.genesis_hash, run.inputs.as_of_slot, run.inputs.blockhash),
            "movements": [_sample_line(symbol, m, material) for symbol, m in drawn],
        },
        "files": {name: hashlib.sha256(data).hexdigest() for name, data in sorted(files.items())},
    }
    return report, files


def _values(run: Run, registry: Registry, material: Material) -> list[ValueLine]:
    """What the figures are worth: information, by the prices among the files."""
    prices = material.replay.prices()
    days = {i.symbol: i.price_days_max for i in registry.instruments}
    return values_of(run.instruments, days, prices, run.inputs.as_of_time) if prices else []


def sampled(run: Run, registry: Registry, material: Material, head: Head) -> list[tuple[str, Movement]]:
    """Draw the sample among all movements of registered instruments in the report's period."""
    opens = head.opens[0]
    after = -1 if opens is None else opens
    period = (
        (i.symbol, m)
        for i in registry.instruments
        for m in material.mints[i.mint].events
        if m.position.slot > after and m.kind != "opening"  # a snapshot is no movement
    )
    return draw(seed_of(run.inputs.genesis_hash, run.inputs.as_of_slot, run.inputs.blockhash), period)


def _rolled(
    symbol: str, run: Run, mints: Mapping[str, str], material: Material, registry: Registry, head: Head
) -> dict[str, Any] | None:
    result = run.instrument(symbol)
    assert result is not None, "it is one of the run's own"
    chain = chain_of(material.mints[mints[symbol]], registry, run.inputs.as_of_slot)
    return roll_forward(result, chain, *head.opens, (run.inputs.as_of_slot, run.inputs.as_of_time))


def _population(registry: Registry, material: Material, slot: int) -> dict[str, Any]:
    registered = {i.mint: i.symbol for i in registry.instruments}
    tokens = {token.mint for token in registry.payment_tokens}
    lines = []
    for mint, symbol in sorted(registered.items(), key=lambda pair: pair[1]):
        rows = material.mints[mint]
        known = known_range(rows, slot)
        lines.append({
            "symbol": symbol,
            "mint": mint,
            "proven": None if known is None else list(known),
            "events": len(rows.events),
            "accounts": len(rows.accounts),
            "owner_changes": len(rows.owner_changes),
            "multiplier_steps": len(rows.multipliers),
        })  # fmt: skip
    return {
        "registered": lines,
        "payment_tokens": _tokens(registry, material, slot),
        "indexed_but_not_registered": [m for m in material.tracked if m not in registered and m not in tokens],
        "under_the_issuers_authorities": _held(registered, material.authorities),
        "not_seen": UNSEEN,
    }


def _tokens(registry: Registry, material: Material, slot: int) -> list[dict[str, Any]]:
    """The payment tokens of which payments name transactions: what of them was read."""
    lines = []
    for token in tokens_named(registry, material.replay.business()):
        rows = material.mints[token.mint]
        proven = next(([first, last] for first, last in rows.coverage if first <= slot <= last), None)
        line = {"currency": token.currency, "mint": token.mint, "proven": proven, "events": len(rows.events)}
        lines.append(line | ({"in_part": True} if token.mint in material.in_part else {}))
    return lines


def _held(registered: Mapping[str, str], authorities: Sequence[AuthorityHeld]) -> list[dict[str, Any]]:
    """Every mint that was created with, or later given, an authority that the issuer has or had."""
    mints: dict[str, list[dict[str, Any]]] = {}
    for held in authorities:
        line = {"type": held.type, "authority": held.authority, "from_slot": held.from_slot}
        mints.setdefault(held.mint, []).append(line)
    return [{"mint": mint, "symbol": registered.get(mint), "authorities": lines} for mint, lines in mints.items()]


def _sample_line(symbol: str, movement: Movement, material: Material) -> dict[str, Any]:
    place = movement.position
    body = material.evidence.get((place.slot, place.tx_index))
    return {
        "symbol": symbol,
        "slot": place.slot,
        "tx_index": place.tx_index,
        "step": place.step,
        "child": place.child,
        "signature": movement.signature,
        "kind": movement.kind,
        "raw": str(movement.amount),
        "evidence": None if body is None else bundle.evidence_name(place.slot, place.tx_index),
    }


def _files(run: Run, material: Material, drawn: Sequence[Movement]) -> list[tuple[str, bytes]]:
    files = [(bundle.LOADS, canonical_bytes({"loads": [_load_line(load) for load in material.replay.loads]}))]
    files += [(bundle.load_name(load.load), load.body) for load in material.replay.loads]
    index = {
        "tracked": list(material.tracked),
        "authorities": [to_plain(held) for held in material.authorities],
        "genesis_hash": run.inputs.genesis_hash,
        "slot": run.inputs.as_of_slot,
        "block_time": instant_text(run.inputs.as_of_time),
        "blockhash": run.inputs.blockhash,
    }
    files.append((bundle.INDEX, canonical_bytes(index)))
    files.append((bundle.BATCHES, b"".join(canonical_bytes(to_plain(b)) + b"\n" for b in material.batches)))
    files.append((bundle.CONTENT, material.content))
    files += [(bundle.mint_name(mint), rows.to_bytes()) for mint, rows in sorted(material.mints.items())]
    wanted = sorted({(m.position.slot, m.position.tx_index) for m in drawn})
    files += [
        (bundle.evidence_name(*place), material.evidence[place]) for place in wanted if place in material.evidence
    ]
    return files


def _load_line(load: Load) -> dict[str, Any]:
    return {
        "load": load.load,
        "kind": load.kind,
        "name": load.name,
        "sha256": load.sha256.hex(),
        "format": load.format,
        "declared": load.declared,
    }
