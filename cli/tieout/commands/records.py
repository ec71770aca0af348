"""``tieout action | chain | bridge | movement | loan | payment | price | venue``: what the business knows."""

import csv
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from tieout import exits, settings
from tieout.commands.declaring import Account, Custodian, CutOff, Map, TimeZone, declared_of
from tieout.commands.options import BIGINT_MAX, Dsn, Json, group, instant, run
from tieout.commands.reconcile import slot_or_instant
from tieout.commands.statement import Files, PersonalKey, show_imported, signing_key
from tieout.output import OUTPUT, exact, shares, table

ACTION = group("Corporate actions: dividends, splits and the like, as they were declared.")
CHAIN = group("Other chains: what other networks hold of an instrument.")
BRIDGE = group("Bridge messages: tokens on their way between chains.")
MOVEMENT = group("Custody movements: what custodians moved, and what for.")
LOAN = group("Loans of shares: what is lent out, its recall, and the cash held against it.")
PAYMENT = group("Payments of orders: money and stablecoins that came in and went out.")
PRICE = group("Dated prices: what figures in shares are worth, shown beside them and read by no verdict.")
VENUE = group("Venues: their own ledgers beside their wallets.")

Cells = Callable[[Any], Sequence[Any]]
_LISTS: dict[str, tuple[typer.Typer, str, tuple[str, ...], Cells]] = {
    "actions": (
        ACTION, "corporate actions", ("id", "isin", "kind", "status", "ex", "pays", "effective", "factor>"),
        lambda a: (a.action_id, a.isin, a.kind, a.status, a.ex_date or "", a.pay_date or "", _at(a.effective_at),
                   a.factor or ""),
    ),
    "chains": (
        CHAIN, "readings of other chains",
        ("mint", "network", "wrapper", "as of", "unit", "quantity>", "issuer's own>", "multiplier>", "source"),
        lambda r: (r.mint, r.network, r.wrapper, _at(r.as_of), r.unit, exact(r.quantity), exact(r.issuer_held),
                   r.multiplier or "", r.source),
    ),
    "bridge": (
        BRIDGE, "bridge messages", ("message", "mint", "direction", "network", "raw>", "sent", "delivered"),
        lambda m: (m.message_id, m.mint, m.direction, m.network, f"{m.raw:,}", _at(m.sent_at), _at(m.delivered_at)),
    ),
    "movements": (
        MOVEMENT, "custody movements",
        ("custodian", "account", "reference", "isin", "kind", "shares>", "for", "settled"),
        lambda m: (m.custodian, m.account, m.reference, m.isin, m.kind, exact(m.quantity),
                   m.request_id or m.action_id or "", _at(m.settled_at)),
    ),
    "loans": (
        LOAN, "loans of shares",
        ("custodian", "account", "reference", "isin", "shares>", "position", "lent", "due", "returned", "collateral>",
         "currency"),
        lambda x: (x.custodian, x.account, x.reference, x.isin, exact(x.quantity), x.position, _at(x.lent_at),
                   x.due_on or "", _at(x.returned_at),
                   "" if x.collateral_amount is None else exact(x.collateral_amount), x.collateral_currency or ""),
    ),
    "payments": (
        PAYMENT, "payments of orders",
        ("reference", "direction", "amount>", "currency", "paid", "for", "counterparty", "source"),
        lambda p: (p.reference, p.direction, exact(p.amount), p.currency, _at(p.paid_at), p.request_id or "",
                   p.counterparty or "", p.source),
    ),
    "prices": (
        PRICE, "dated prices", ("isin", "date", "price>", "currency", "source", "market"),
        lambda p: (p.isin, p.day, exact(p.price), p.currency, p.source, p.mic or ""),
    ),
    "venue": (
        VENUE, "lines of venues' ledgers", ("venue", "as of", "mint", "kind", "account", "quantity>", "unit"),
        lambda x: (x.venue, _at(x.as_of), x.mint, x.kind, x.account or "", exact(x.quantity), x.unit),
    ),
}  # fmt: skip


def _at(moment: Any) -> str:
    return "" if moment is None else f"{moment:%Y-%m-%d %H:%M:%S}"


def _take(kind: str, paths: list[Path], key: Path | None, dsn: str | None, form: str | None, declared: Any) -> None:
    from tieout_reconcile import import_records

    signer = signing_key(key)
    where = settings.database_dsn(dsn)

    async def work() -> list[Any]:
        return [
            await import_records(where, kind, path, declared=declared, file_format=form, key=signer) for path in paths
        ]

    show_imported(run(work()))


def _add(kind: str) -> None:
    app, what, columns, cells = _LISTS[kind]

    if kind != "movements":

        @app.command("import", help=f"Take in files of {what}; each is taken whole or refused whole, and taken once.")
        def import_(
            paths: Files,
            file_format: Annotated[
                str | None, typer.Option("--format", help="Told by the content when left out.")
            ] = None,
            key: PersonalKey = None,
            dsn: Dsn = None,
            as_json: Json = False,
        ) -> None:
            _take(kind, paths, key, dsn, file_format, None)

    @app.command("list", help=f"List the {what}, each in its newest version.")
    def list_(dsn: Dsn = None, as_json: Json = False) -> None:
        from tieout_reconcile import list_records

        found = run(list_records(settings.database_dsn(dsn), kind))
        OUTPUT.result({kind: [r.to_json() for r in found]}, table("", columns, (cells(r) for r in found)))


for _kind in _LISTS:
    _add(_kind)


@MOVEMENT.command("import")
def import_movements(
    paths: Files,
    start: Annotated[
        str | None, typer.Option("--from", help="With --to: every movement after this instant is in the file.")
    ] = None,
    end: Annotated[
        str | None, typer.Option("--to", help="Up to and with this instant (ISO 8601, with its zone).")
    ] = None,
    custodian: Custodian = None,
    account: Account = None,
    time_zone: TimeZone = None,
    cut_off: CutOff = None,
    map_path: Map = None,
    file_format: Annotated[
        str | None,
        typer.Option(
            "--format", help="csv, mt536, semt017, alpaca-activities, ibkr-flex; told by the content when left out."
        ),
    ] = None,
    key: PersonalKey = None,
    dsn: Dsn = None,
    as_json: Json = False,
) -> None:
    """Take in files of custody movements; each is taken whole or refused whole, and taken once."""
    given = {"custodian": custodian, "account": account, "time_zone": time_zone, "cut_off": cut_off}
    _take("movements", paths, key, dsn, file_format, declared_of(given, map_path, start, end))


@VENUE.command()
def show(
    as_of: Annotated[
        str | None, typer.Option("--as-of", help="A slot, or an instant with its zone (ISO 8601).")
    ] = None,
    dsn: Dsn = None,
    as_json: Json = False,
) -> None:
    """Who holds the supply, by venue and role, and unlabelled. Exit 1 where it does not add up."""
    from tieout_reconcile import venue_splits

    found = run(venue_splits(settings.database_dsn(dsn), slot_or_instant(as_of)))
    tables = [
        table(
            f"{s.symbol} as of slot {s.slot:,}: supply {s.supply:,} raw"
            + ("" if s.adds_up else ", and the lines DO NOT ADD UP to it"),
            ("held by", "raw>", "shares>", "owners>"),
            ((x.label, f"{x.raw:,}", shares(x.shares), x.owners) for x in s.lines),
        )
        for s in found
    ]
    OUTPUT.result({"instruments": [s.to_json() for s in found]}, *tables)
    if not all(s.adds_up for s in found):
        raise exits.Found


def entitlement(
    symbol: Annotated[str, typer.Argument(help="The instrument's symbol.")],
    at: Annotated[
        str | None, typer.Option("--at", help="The record time, an instant with its zone (ISO 8601).")
    ] = None,
    slot: Annotated[int | None, typer.Option("--slot", min=0, max=BIGINT_MAX, help="The record slot.")] = None,
    csv_path: Annotated[Path | None, typer.Option("--csv", help="Also write every holder to this file.")] = None,
    dsn: Dsn = None,
    as_json: Json = False,
) -> None:
    """All holders at a record time, raw and in shares. Exit 1 where they do not add up to the supply."""
    from tieout_reconcile import entitlement as ask

    if at is not None and slot is not None:
        raise exits.UsageProblem("--at and --slot name two record times: give one")
    moment = slot if at is None else instant("--at", at)
    found = run(ask(settings.database_dsn(dsn), symbol, moment))
    columns = ("owner", "raw>", "shares>", "accounts>", "frozen, raw>", "program", "label")
    rows = [
        (h.owner or "unknown", str(h.raw), exact(h.shares), h.accounts,
         "unknown" if h.frozen is None else str(h.frozen), "yes" if h.program_owned else "no", h.label or "")
        for h in found.holders
    ]  # fmt: skip
    if csv_path is not None:
        _write_csv(csv_path, rows)
    when = f"{found.at:%Y-%m-%d %H:%M:%S} UTC" if found.at else "an unknown time"
    head = f"{found.symbol} as of slot {found.slot:,}, {when}: supply {found.supply:,} raw, {len(rows)} holders"
    hidden = [f"withheld or hidden: {found.unseen:,} raw"] if found.unseen else []
    wrong = [] if found.adds_up else ["the holders DO NOT ADD UP to the supply: tieout index verify"]
    OUTPUT.result(found.to_json(), head, table("", columns, rows), *hidden, *wrong)
    if not found.adds_up:
        raise exits.Found


def _write_csv(path: Path, rows: Sequence[Sequence[Any]]) -> None:
    try:
        with path.open("w", encoding="utf-8", newline="") as out:
            writer = csv.writer(out, lineterminator="\n")
            writer.writerow(("owner", "raw", "shares", "accounts", "frozen_raw", "program_owned", "label"))
            writer.writerows(rows)
    except OSError as failed:
        why = failed.strerror or type(failed).__name__
        raise exits.UsageProblem(f"--csv {path} cannot be written: {why}") from failed


def register(app: typer.Typer) -> None:
    """Add the commands to the application."""
    for name, part in (
        ("action", ACTION),
        ("chain", CHAIN),
        ("bridge", BRIDGE),
        ("movement", MOVEMENT),
        ("loan", LOAN),
        ("payment", PAYMENT),
        ("price", PRICE),
        ("venue", VENUE),
    ):
        app.add_typer(part, name=name)
    app.command("entitlement")(entitlement)
