"""``tieout index``: caring for the ledger: slots given up, repairs, decoding again, evidence, audits."""

from pathlib import Path
from typing import Annotated, Any

import typer

from tieout import exits, settings
from tieout.commands.database import findings_json, findings_table
from tieout.commands.index_options import FromSlot, Mints, ToSlot, checked_mints, limits
from tieout.commands.index_status import holes_table, parked_table, standing
from tieout.commands.options import BIGINT_MAX, Dsn, Json, RpcUrl, group, run
from tieout.output import OUTPUT

PARKED = typer.Typer(help="Slots in doubt.", invoke_without_command=True, rich_markup_mode=None)
EVIDENCE = group("The node's exact bytes: moved to files, verified there.")
Slot = Annotated[int, typer.Argument(min=0, max=BIGINT_MAX, help="The parked slot.")]
From = Annotated[int, typer.Option("--from", "--from-slot", min=0, max=BIGINT_MAX, help="First slot of the range.")]
To = Annotated[int, typer.Option("--to", "--to-slot", min=0, max=BIGINT_MAX, help="Last slot of the range, inclusive.")]
Folder = Annotated[Path, typer.Argument(help="The folder of evidence.", file_okay=False)]


def register(app: typer.Typer) -> None:
    """Add the commands to ``tieout index``."""
    app.add_typer(PARKED, name="parked")
    app.command("repair")(repair)
    app.command("redecode")(redecode)
    app.command("verify")(verify)
    app.command("multiplier-rule")(multiplier_rule)
    app.add_typer(EVIDENCE, name="evidence")


@PARKED.callback()
def parked(context: typer.Context, dsn: Dsn = None, as_json: Json = False) -> None:
    """List the slots in doubt, and those given up; nothing beyond a slot in doubt is committed."""
    if context.invoked_subcommand is not None:
        return
    found = run(standing(settings.database_dsn(dsn)))
    OUTPUT.result(
        {"parked": found.parked, "accepted": found.holes},
        parked_table(found.parked) if found.parked else "no slot is parked",
        *([holes_table(found.holes)] if found.holes else []),
    )
    if found.parked:
        raise exits.Found


@PARKED.command()
def accept(
    slot: Slot,
    reason: Annotated[str, typer.Option("--reason", help="Why nobody will ever be able to read it.")],
    by: Annotated[str | None, typer.Option("--by", help="Who answers for it. Default: this user at this host.")] = None,
    from_slot: Annotated[
        int | None,
        typer.Option(
            "--from", min=0, max=BIGINT_MAX, help="First slot of the hole. Default: after the last accepted block."
        ),
    ] = None,
    dsn: Dsn = None,
    as_json: Json = False,
) -> None:
    """Give up a parked slot: a hole for good, reported, never claimed as proven; the indexer goes on after it."""
    from tieout_indexer import accept_parked, whoami

    if not reason.strip():
        raise exits.UsageProblem("--reason is empty: whoever reads the ledger in ten years will ask")
    work = accept_parked(
        settings.database_dsn(dsn), slot, reason.strip(), by or whoami(), from_slot=from_slot, limits=limits()
    )
    hole = run(work)
    OUTPUT.result(
        {
            "from_slot": hole.from_slot,
            "to_slot": hole.to_slot,
            "reason": hole.reason,
            "accepted_by": hole.accepted_by,
        },
        f"slots {hole.from_slot} to {hole.to_slot} are given up by {hole.accepted_by}: {hole.reason}",
    )


def repair(
    from_slot: From,
    to_slot: To,
    rpc_url: RpcUrl = None,
    dsn: Dsn = None,
    mint: Mints = None,
    as_json: Json = False,
) -> None:
    """Read stored slots again and append what puts the ledger right; holes that can be read now are filled.

    Exit 0 when the range is as the chain has it, corrected or not; 1 when a slot cannot be read again or a
    finalized block changed.
    """
    from tieout_indexer import repair as work

    if to_slot < from_slot:
        raise exits.UsageProblem(f"--to {to_slot} is before --from {from_slot}")
    where, urls = settings.database_dsn(dsn), settings.node_urls(rpc_url)
    done = run(work(urls, where, from_slot, to_slot, mints=checked_mints(mint), limits=limits()))
    OUTPUT.result(
        {
            "from_slot": from_slot,
            "to_slot": to_slot,
            "mints": done.mints,
            "slots_compared": done.slots_compared,
            "appended": done.appended,
            "retracted": done.retracted,
            "evidence_restored": done.evidence_restored,
            "filled": [list(r) for r in done.filled],
            "holes": [list(r) for r in done.unread],
            "parked": {"slot": done.parked.slot, "reason": done.parked.reason} if done.parked else None,
            "complete": done.complete,
        },
        *_repair_lines(done),
    )
    if not done.complete:
        raise exits.Found


def _repair_lines(done: Any) -> list[str]:
    lines = [f"{done.slots_compared} slots compared with the chain"]
    if done.changed:
        lines.append(
            f"{done.appended} rows appended, {done.retracted} retracted, "
            f"{done.evidence_restored} pieces of evidence restored"
        )
    else:
        lines.append("nothing differs: nothing written")
    lines += [f"slots {start} to {end}, given up before, are read" for start, end in done.filled]
    lines += [f"slots {start} to {end} stay a hole" for start, end in done.unread]
    if done.parked:
        lines.append(f"slot {done.parked.slot} cannot be read again: {done.parked.reason}")
    return lines


def redecode(
    from_slot: FromSlot = 0,
    to_slot: ToSlot = 2**62,
    evidence: Annotated[
        Path | None, typer.Option("--evidence", help="Folder to which evidence was moved.", file_okay=False)
    ] = None,
    dsn: Dsn = None,
    as_json: Json = False,
) -> None:
    """Decode the stored evidence again, without a node; append only what differs."""
    from tieout_indexer import redecode as work

    appended, retracted = run(work(settings.database_dsn(dsn), from_slot, to_slot, evidence=evidence, limits=limits()))
    OUTPUT.result(
        {"appended": appended, "retracted": retracted},
        f"{appended} rows appended, {retracted} retracted"
        if appended or retracted
        else "nothing differs: nothing written",
    )


def verify(rpc_url: RpcUrl = None, dsn: Dsn = None, mint: Mints = None, as_json: Json = False) -> None:
    """Audit the ledger: hash chain, evidence and identities; supply, every balance, withheld fees, the multiplier
    and transactions against the node. A difference is stored as a finding with both values, and closed once both
    agree again.
    """
    from tieout_indexer import Audited, audit_against_node, store_findings, verify_chain

    where, mints, urls = settings.database_dsn(dsn), checked_mints(mint), settings.node_urls(rpc_url)

    async def work() -> tuple[list[Any], list[str], int | None]:
        _, findings = await verify_chain(where)
        every = mints or [t["mint"] for t in (await standing(where)).tracked]
        node = await audit_against_node(urls, where, every, limits=limits())
        findings += node.findings
        whole = [*node.audited, *(Audited(check) for check in ("gapless", "content", "chain", "evidence", "coverage"))]
        batch = await store_findings(where, findings, whole, limits())
        return findings, node.skipped, batch

    findings, skipped, batch = run(work())
    for why in skipped:
        OUTPUT.note(f"not checked: {why}")
    OUTPUT.result(
        {"findings": findings_json(findings), "skipped": skipped, "batch": batch},
        findings_table(findings) if findings else VERIFIED,
    )
    if findings:
        raise exits.Found


def multiplier_rule(
    from_slot: Annotated[
        int | None,
        typer.Option("--from-slot", min=0, max=BIGINT_MAX, help="First slot that follows the rule of today."),
    ] = None,
    reason: Annotated[str, typer.Option("--reason", help="How that is known.")] = "",
    by: Annotated[str | None, typer.Option("--by", help="Who answers for it. Default: this user at this host.")] = None,
    dsn: Dsn = None,
    as_json: Json = False,
) -> None:
    """Show, or declare, from which slot on a public cluster's UpdateMultiplier keeps what had come into force.

    Before token-2022 #522 (merged on 2025-06-25) it did not. Where nothing is declared and both rules differ, the
    multiplier is unknown. A local chain has the program of today.
    """
    from tieout_indexer import declare_multiplier_rule, read_multiplier_rule, whoami

    where = settings.database_dsn(dsn)
    if from_slot is None:
        rule = run(read_multiplier_rule(where))
    elif not reason.strip():
        raise exits.UsageProblem("--reason is empty: whoever reads the ledger in ten years will ask")
    else:
        rule = run(declare_multiplier_rule(where, from_slot, reason.strip(), by or whoami(), limits=limits()))
    OUTPUT.result(
        {
            "from_slot": rule.from_slot if rule else None,
            "reason": rule.reason if rule else None,
            "declared_by": rule.declared_by if rule else None,
        },
        f"the rule of today holds from slot {rule.from_slot} on, says {rule.declared_by}: {rule.reason}"
        if rule
        else "nothing is declared: on a public cluster, multipliers on which both rules differ are unknown",
    )


VERIFIED = "the ledger holds: chain, identities, and the node's own supply, balances, multiplier and transactions"


@EVIDENCE.command()
def detach(
    to: Annotated[Path, typer.Option("--to", help="The folder to move it to.", file_okay=False)],
    before: Annotated[int, typer.Option("--before", min=0, max=BIGINT_MAX, help="All slots before this one.")],
    dsn: Dsn = None,
    as_json: Json = False,
) -> None:
    """Move old evidence to files named by hash; rows and hashes stay in the ledger."""
    from tieout_indexer import detach_evidence

    done = run(detach_evidence(settings.database_dsn(dsn), to, before, limits()))
    OUTPUT.result(
        {
            "before_slot": done.before_slot,
            "files": done.files,
            "bytes": done.size,
            "folder": str(to),
            "manifest_sha256": done.manifest_sha256 or None,
        },
        f"{done.files} pieces of evidence before slot {before} moved to {to}, {done.size} bytes"
        if done.files
        else f"no evidence before slot {before} is left in the ledger",
    )


@EVIDENCE.command("verify")
def verify_evidence(folder: Folder, dsn: Dsn = None, as_json: Json = False) -> None:
    """Read back every file of a folder; with --dsn, also that it holds all that this ledger moved away."""
    from tieout_indexer import missing_from, verify_folder

    verdict = verify_folder(folder)
    missing = run(missing_from(settings.database_dsn(dsn), folder)) if dsn else []
    OUTPUT.result(
        {
            "folder": str(folder),
            "verified": verdict.verified,
            "damaged": verdict.damaged,
            "missing": missing,
            "manifest_sha256": verdict.manifest_sha256,
        },
        f"{verdict.verified} pieces of evidence verified, {len(verdict.damaged)} damaged",
        *verdict.damaged,
        *(f"{place}: moved out of the ledger, and not in this folder" for place in missing),
    )
    if verdict.damaged or missing:
        raise exits.Found
