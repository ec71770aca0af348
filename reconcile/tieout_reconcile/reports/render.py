"""The report for people: one self-contained page, and one table of figures. Pure, and derived from the report alone."""

import csv
import hashlib
import io
from collections.abc import Iterable, Mapping, Sequence
from fractions import Fraction
from html import escape
from typing import Any

from tieout_reconcile.canonical import to_plain
from tieout_reconcile.exact import rounded_text
from tieout_reconcile.reports.practitioner import SignedStatement, words
from tieout_reconcile.results import finding_id

_PLACES = 8
_STYLE = """
:root { color-scheme: light dark; --line: #8884; --good: #0a6b3d; --bad: #a8201a; --open: #8a5a00 }
@media (prefers-color-scheme: dark) { :root { --good: #6fd39f; --bad: #ff8f88; --open: #f0c060 } }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 72rem; margin: 0 auto; padding: 1rem }
h1 { font-size: 1.6rem } h2 { font-size: 1.2rem; margin-top: 2.5rem; border-bottom: 1px solid var(--line) }
table { border-collapse: collapse; width: 100%; margin: .5rem 0 1.5rem; font-variant-numeric: tabular-nums }
th, td { text-align: left; vertical-align: top; padding: .25rem .75rem .25rem 0; border-bottom: 1px solid var(--line) }
td.n, th.n { text-align: right } caption { text-align: left; font-weight: 600; padding: .5rem 0 }
code { font-size: .8rem; overflow-wrap: anywhere } .wide { overflow-x: auto }
.ties_out { color: var(--good) } .does_not_tie_out { color: var(--bad) } .incomplete { color: var(--open) }
.note { border-left: 4px solid var(--line); padding-left: 1rem }
@media print { body { max-width: none } h2 { break-after: avoid } tr { break-inside: avoid } }
"""
_FIGURES = (
    ("supply", "supply, raw"),
    ("inventory", "− inventory (treasury …), raw"),
    ("in_transit", "− in transit (redemption …), raw"),
    ("circulating", "= outside, raw"),
    ("frozen", "of it in frozen accounts, still owed, raw"),
    ("frozen_unknown", "of it where nobody knows whether it is frozen, raw"),
    ("owed_returns", "+ returned, still owed, raw"),
    ("owed_forced", "+ taken by force, still owed, raw"),
    ("liability_raw", "= liability, raw"),
    ("in_flight", "+ in flight over bridges, raw"),
    ("escrowed", "− escrow that another network counts, raw"),
    ("multiplier", "× multiplier in force"),
    ("other_chains", "+ on other networks, shares"),
    ("liability", "= liability, shares"),
    ("custody", "settled custody, shares"),
    ("unsettled", "unsettled trades, shares (never counted as settled)"),
    ("difference", "custody − liability, shares"),
)

_CASH = ("owed", "paid", "outstanding", "overdue", "overpaid")
"""What the cash of orders is told by, in the currency's own units."""
_VALUES = ("liability", "custody", "difference")
"""The figures in shares of which a report says what they are worth."""
_AT_REST = frozenset({"pending", "paid", "void"})
"""States of an order's cash that leave nothing to look at."""


def page(report: Mapping[str, Any], body: bytes, said: SignedStatement | None = None) -> bytes:
    """Return the report as one HTML page, with nothing to load from anywhere.

    ``said``: a practitioner's statement on it that was checked, to stand beside it.
    """
    run, inputs = report["run"], report["run"]["inputs"]
    verdict = run["verdict"]
    title = f"Report {report['report']}: as of slot {inputs['as_of_slot']}, {inputs['as_of_time'] or 'time unknown'}"
    parts = [
        f"<h1>{escape(title)}</h1>",
        f'<p><strong class="{escape(verdict)}">{escape(verdict.replace("_", " "))}</strong></p>',
        f'<p class="note">{escape(report["statement"])}</p>',
        *([] if said is None else [_section("A practitioner's statement on this report", _stated(said))]),
        *([] if report["period"] is None else [_section("Period", *_period(report["period"]))]),
        _section("Figures", *(_instrument(i) for i in run["instruments"])),
        *([_section("Payments by transactions on chain", _checks(run["payments"]))] if run["payments"] else []),
        *(
            [_section("Values (information: no verdict rests on a price)", _values(report["values"]))]
            if report["values"]
            else []
        ),
        _section("Breaks", _findings([f for f in run["findings"] if f["severity"] == "break"], "no break")),
        *(
            [_section("Shortfalls: cover and notifications", _shortfalls(report["shortfalls"]))]
            if report["shortfalls"]
            else []
        ),
        _section("Explained", _findings([f for f in run["findings"] if f["severity"] != "break"], "nothing")),
        _section("Roll-forward", *(_rolled(r, _since(report)) for r in report["roll_forward"])),
        _section("Population", _population(report["population"])),
        _section("Changes of the registry since the report before", _changes(report["registry_changes"])),
        _section("Sample", _sample(report["sample"])),
        _section("What it was computed from", _inputs(report, body)),
    ]
    head = f'<meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>{escape(title)}</title>'
    head += f"<style>{_STYLE}</style>"
    return f'<!doctype html><html lang="en"><head>{head}</head><body>{"".join(parts)}</body></html>\n'.encode()


def table(report: Mapping[str, Any], said: SignedStatement | None = None) -> bytes:
    """Return the figures as CSV: one line a figure, exact; with a practitioner's statement, that as well."""
    out = io.StringIO(newline="")
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(("symbol", "figure", "value"))
    for instrument in report["run"]["instruments"]:
        for name in ("verdict", *(name for name, _ in _FIGURES), "tolerance_short", "tolerance_over"):
            value = instrument[name]
            writer.writerow((instrument["symbol"], name, "unknown" if value is None else value))
        for total in instrument["cash"]:
            for name in _CASH:
                writer.writerow((instrument["symbol"], f"{total['kind']}_{name}_{total['currency']}", total[name]))
    for line in report["values"]:
        for name in _VALUES:
            value = "no price" if line["price"] is None else "unknown" if line[name] is None else line[name]
            writer.writerow((line["symbol"], f"value_{name}_{line['currency'] or ''}", value))
    if said is not None:
        stated = (*((name, value) for name, value in to_plain(said.statement).items() if value is not None),
                  ("public_key", said.public_key), ("words", words(said.statement)))  # fmt: skip
        writer.writerows(("", f"practitioner_{name}", value) for name, value in stated)
    return out.getvalue().encode()


def _section(title: str, *parts: str) -> str:
    return f"<section><h2>{escape(title)}</h2>{''.join(parts)}</section>"


def _stated(said: SignedStatement) -> str:
    return (
        f'<p class="note">{escape(words(said.statement))}</p><p>Dated {said.statement.dated}, signed by the key '
        f"<code>{escape(said.public_key)}</code> over the digest of this report.</p>"
    )


def _table(caption: str, columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """A table; a column whose name ends in ``>`` is set to the right."""
    classes = [' class="n"' if c.endswith(">") else "" for c in columns]
    head = "".join(f'<th scope="col"{k}>{escape(c.rstrip(">"))}</th>' for c, k in zip(columns, classes, strict=True))
    lines = "".join(
        f"<tr>{''.join(f'<td{k}>{escape(str(cell))}</td>' for cell, k in zip(row, classes, strict=True))}</tr>"
        for row in rows
    )
    title = f"<caption>{escape(caption)}</caption>" if caption else ""
    return f'<div class="wide"><table>{title}<thead><tr>{head}</tr></thead><tbody>{lines}</tbody></table></div>'


def _number(text: str | None) -> str:
    return "unknown" if text is None else rounded_text(Fraction(text), _PLACES)


def _unproven(lines: Sequence[Mapping[str, Any]]) -> str:
    if not lines:
        return ""
    rows = [
        (
            u["address"],
            u["role"],
            u["raw"],
            _number(u["liability"]),
            _number(u["difference"]),
            u["verdict"].replace("_", " "),
        )
        for u in lines
    ]
    title = "Without each wallet whose holder and control are not proven: the figures were it a stranger's"
    head = ("wallet", "role", "raw>", "liability, shares>", "difference, shares>", "verdict")
    return _table(title, head, rows)


def _instrument(result: Mapping[str, Any]) -> str:
    title = f"{result['symbol']} ({result['isin']}): {result['verdict'].replace('_', ' ')}"
    rows = [(label, _number(result[name])) for name, label in _FIGURES]
    accounts = [
        (a["custodian"], a["account"], a["evidence"], _number(a["shares"]), a["as_of"] or "", a["problem"] or "")
        for a in result["accounts"]
    ]
    reasons = "".join(f"<li>{escape(reason)}</li>" for reason in result["reasons"])
    return (
        _table(title, ("", "figure>"), rows)
        + f"<p>Tolerance: {escape(result['tolerance_derivation'])}.</p>"
        + _table("Custody", ("custodian", "account", "evidence", "shares>", "as of", ""), accounts)
        + _unproven(result["unproven"])
        + _trades(result["trades"])
        + _more(result)
        + _cash(result)
        + (f"<ul>{reasons}</ul>" if reasons else "")
    )


def _trades(trades: Sequence[Mapping[str, Any]]) -> str:
    if not trades:
        return ""
    rows = ((t["custodian"], t["account"], t["reference"], _number(t["shares"]), t["settles_on"]) for t in trades)
    return _table("Unsettled trades", ("custodian", "account", "reference", "shares>", "settles on"), rows)


def _more(result: Mapping[str, Any]) -> str:
    """What stands beside the settled figures, each kind in a table of its own, where there is any."""
    parts = (
        ("Told twice, counted once", ("custodian", "account", "trade", "told by", "by", "shares>", ""),
         [(x["custodian"], x["account"], x["trade"], ", ".join(x["others"]), x["rule"], _number(x["shares"]),
           "" if x["sure"] else "in doubt") for x in result["told_twice"]]),
        ("Other networks", ("network", "unit", "as of", "shares>", ""),
         [(n["network"], n["unit"] or "", n["as_of"] or "", _number(n["shares"]), n["problem"] or "")
          for n in result["networks"]]),
        ("Wrappers (left out: what they wrap is counted where it lies)",
         ("network", "wrapper", "wraps", "as of", "supply>", "in escrow>", "", "escrow by"),
         [(w["network"], w["wrapper"], w["wraps"], w["as_of"], _number(w["supply"]), _number(w["escrowed"]),
           w["problem"] or ("" if w["covered"] else "not covered"),
           f"ledger; declared {_number(w['declared'])}" if w["on_ledger"] else "declared")
          for w in result["wrappers"]]),
        ("In flight over bridges", ("message", "direction", "network", "sent", "raw>"),
         [(f["message_id"], f["direction"], f["network"], f["sent_at"], f["raw"]) for f in result["flights"]]),
        ("Corporate actions to be booked (never counted as settled)",
         ("action", "kind", "pay date", "counts until", "shares>"),
         [(r["action_id"], r["kind"], r["pay_date"] or "", r["expires_on"], _number(r["shares"]))
          for r in result["receivables"]]),
        ("Shares that came for tokens not released yet", ("reference", "settled", "until", "shares>"),
         [(h["reference"], h["settled_at"] or "", h["until"], _number(h["shares"])) for h in result["held"]]),
        ("Shares lent out, their recall and cash collateral (never counted)",
         ("custodian", "account", "reference", "state", "shares>", "due on", "counts as coming until", "collateral>",
          "currency", "document"),
         [(x["custodian"], x["account"], x["reference"], x["state"], _number(x["shares"]), x["due_on"] or "",
           x["expires_on"] or "", _number(x["collateral_amount"]), x["collateral_currency"] or "", x["document"])
          for x in result["loans"]]),
        ("What others say, over all networks (never counted)", ("source", "as of", "circulating>", "held>"),
         [(o["source"], o["as_of"], _number(o["circulating"]), _number(o["held"])) for o in result["opinions"]]),
    )  # fmt: skip
    return "".join(_table(caption, columns, rows) for caption, columns, rows in parts if rows)


def _cash(result: Mapping[str, Any]) -> str:
    """What orders owe in cash: sums by currency, and each order of which something is open."""
    totals, lines = result["cash"], result["cash_legs"]
    if not totals:
        return ""
    open_ = [x for x in lines if x["state"] not in _AT_REST or x["ahead"]]
    sums = [(t["kind"], t["currency"], t["orders"], *(t[name] for name in _CASH)) for t in totals]
    rows = [
        (x["request_id"], x["kind"], x["currency"], x["owed"], x["paid"], x["returned"], x["outstanding"], x["state"],
         x["due_on"] or "", "" if x["ahead"] is None else f"{x['ahead']} first")
        for x in open_
    ]  # fmt: skip
    columns = ("kind", "currency", "orders not paid in full>", *(f"{name}>" for name in _CASH))
    head = ("request", "kind", "currency", "owed>", "paid>", "returned>", "outstanding>", "state", "due on", "ahead")
    rest = len(lines) - len(open_)
    return (
        _table("Cash of orders (no part of any figure in shares)", columns, sums)
        + (_table("Orders of which cash is open, or went ahead", head, rows) if rows else "")
        + f"<p>{rest} more orders are paid as agreed, or not owed: each is a line of the JSON.</p>"
    )


def _checks(lines: Sequence[Mapping[str, Any]]) -> str:
    """Payments that name their transaction: how many are borne out, and each that is not, or that nobody can know."""
    rows = [
        (p["reference"], p["state"], f"{p['amount']} {p['currency']} {p['direction']}", p["signature"],
         "" if p["said"] is None else f"{p['said']} said, {p['found']} moved", p["why"] or "")
        for p in lines if p["state"] != "equal"
    ]  # fmt: skip
    told = f"<p>{len(lines) - len(rows)} of {len(lines)} are what the chain shows. Unchecked is weaker evidence.</p>"
    columns = ("payment", "state", "amount", "transaction", "into the wallet (−: out of it)", "why")
    return told + (_table("", columns, rows) if rows else "")


def _values(lines: Sequence[Mapping[str, Any]]) -> str:
    rows = (
        (v["symbol"], v["currency"] or "", v["day"] or "", _number(v["price"]) if v["price"] else v["problem"],
         *(_number(v[name]) if v["price"] else "" for name in _VALUES), v["payable"] or "", v["source"] or "")
        for v in lines
    )  # fmt: skip
    columns = ("instrument", "currency", "price of", "price>", "liability>", "settled custody>",
               "difference, unexplained as it stands>", "payable to redeemers>", "whose price")  # fmt: skip
    return _table("By the last price on or before the cut-off's day, in its own currency", columns, rows)


def _findings(findings: Sequence[Mapping[str, Any]], none: str) -> str:
    if not findings:
        return f"<p>{escape(none)}</p>"
    rows = ((finding_id(f["key"]), f"{f['code']} {f['name']}", f["symbol"], f["summary"]) for f in findings)
    return _table("", ("id", "code", "instrument", "what"), rows)


def _since(report: Mapping[str, Any]) -> str:
    """Where the roll-forward opens."""
    previous, sign_off = report["previous"], report["period"]
    if sign_off is not None and (slot := sign_off["content"]["opens"]["slot"]) is not None:
        return f"the period's beginning, slot {slot}"
    if sign_off is not None or previous is None:
        return "the mint's creation"
    return f"report {previous['report']}, slot {previous['as_of_slot']}"


def _period(sign_off: Mapping[str, Any]) -> list[str]:
    """Who signed, what it opens with, and which breaks it carries forward."""
    content = sign_off["content"]
    people = [
        (what, sign_off[part]["actor"], sign_off[part]["at"], sign_off[part]["public_key"])
        for what, part in (("proposed by", "proposed"), ("signed by", "signed"))
    ]
    parts = [
        f"<p>{escape(content['period'])}: after {escape(content['from'])}, up to {escape(content['to'])}.</p>",
        _table("Signed by two persons", ("", "who", "when", "key"), people),
    ]
    if content["opening"] is not None:
        parts.append(_opening(content["opening"]))
    breaks = [
        (
            b["code"],
            b["symbol"],
            b["summary"],
            _aged(b["work"]),
            "yes" if b["key"] in content["carried_forward"] else "",
        )
        for b in content["breaks"]
    ]
    if breaks:
        columns = ("code", "instrument", "what", "age", "open before")
        parts.append(_table("Open at the lock, and carried forward", columns, breaks))
    return parts


def _opening(opening: Mapping[str, Any]) -> str:
    told = opening["prior_period_adjustments"]["differences"]
    if not told:
        return f"<p>It opens with what {escape(opening['period'])} closed with.</p>"
    rows = ((d["symbol"], d["figure"], d["locked"], d["restated"], d["difference"] or "") for d in told)
    caption = f"Prior-period adjustments: what {opening['period']} closed with, as known now"
    return _table(caption, ("instrument", "figure", "locked>", "now>", "difference>"), rows)


def _aged(work: Mapping[str, Any] | None) -> str:
    age = None if work is None else work["age"]
    if age is None:
        return "unknown"
    return "; ".join([f"{age['days']} days, {age['business_days']} business days by {age['calendar']}", *age["marks"]])


def _shortfalls(lines: Sequence[Mapping[str, Any]]) -> str:
    rows = (
        (finding_id(x["key"]), x["kind"], x["assets"] or x["recipient"], _number(x["shares"]) if x["shares"] else "",
         x["since"], f"load {x['document']}", x["actor"])
        for x in lines
    )  # fmt: skip
    columns = ("break", "", "which assets, or to whom", "shares>", "since, or when", "document", "recorded by")
    return _table("", columns, rows)


def _rolled(rolled: Mapping[str, Any], since: str) -> str:
    supply, raw, shares = rolled["supply"], rolled["outside_raw"], rolled["outside_shares"]
    moved = [
        (f"{'+' if m['direction'] == 'out' else '−'} {m['kind'].replace('_', ' ')} ({m['count']})", m["raw"])
        for m in raw["moved"]
    ]
    steps = [
        (f"+ multiplier {_number(s['from'])} → {_number(s['to'])} over {s['outside_raw']} raw", _number(s["shares"]))
        for s in shares["multiplier_steps"]
    ]
    return (
        _table(f"{rolled['symbol']} since {since}: supply, raw", ("", "raw>"), [
            ("opening", supply["opening"]), ("+ minted", supply["minted"]), ("− burned", supply["burned"]),
            ("= closing", supply["closing"]),
        ])
        + _table(f"{rolled['symbol']}: outside the issuer's wallets, raw", ("", "raw>"), [
            ("opening", raw["opening"]), *moved, ("unexplained", raw["unexplained"]), ("= closing", raw["closing"]),
        ])
        + _table(f"{rolled['symbol']}: the same in shares", ("", "shares>"), [
            ("opening", _number(shares["opening"])), ("+ moved, each at its own multiplier", _number(shares["moved"])),
            *steps, ("unexplained", _number(shares["unexplained"])), ("= closing", _number(shares["closing"])),
        ])
    )  # fmt: skip


def _population(population: Mapping[str, Any]) -> str:
    rows = (
        (p["symbol"], p["mint"], "not proven" if p["proven"] is None else f"{p['proven'][0]}–{p['proven'][1]}",
         p["events"], p["accounts"])
        for p in population["registered"]
    )  # fmt: skip
    others = population["indexed_but_not_registered"]
    text = "none" if not others else ", ".join(others)
    return (
        _table("Registered mints", ("symbol", "mint", "proven slots", "events>", "accounts>"), rows)
        + (f"<p>Indexed, but not registered: <code>{escape(text)}</code></p>")
        + _authorities(population)
    )


def _authorities(population: Mapping[str, Any]) -> str:
    rows = (
        (m["symbol"] or "not registered", m["mint"], a["type"], a["authority"], a["from_slot"])
        for m in population["under_the_issuers_authorities"] for a in m["authorities"]
    )  # fmt: skip
    columns = ("symbol", "mint", "authority over", "held by", "from slot>")
    caption = "Mints created with, or later given, an authority that the issuer has or had"
    return _table(caption, columns, rows) + f"<p>{escape(population['not_seen'])}</p>"


def _changes(changes: Sequence[Mapping[str, Any]]) -> str:
    if not changes:
        return "<p>none</p>"
    return _table("", ("", "what"), ((c["action"], c["what"]) for c in changes))


def _sample(sample: Mapping[str, Any]) -> str:
    rows = (
        (m["symbol"], m["slot"], m["kind"], m["raw"], m["signature"], m["evidence"] or "detached")
        for m in sample["movements"]
    )
    return (
        f"<p>Drawn by the seed <code>{escape(sample['seed'])}</code>, which the cut-off block gives: anybody can draw "
        "it again.</p>"
    ) + _table("", ("instrument", "slot>", "kind", "raw>", "transaction", "evidence"), rows)


def _inputs(report: Mapping[str, Any], body: bytes) -> str:
    inputs = report["run"]["inputs"]
    previous = report["previous"]
    rows = [
        ("this report, SHA-256", hashlib.sha256(body).hexdigest()),
        ("the report before, SHA-256", "none" if previous is None else previous["sha256"]),
        ("rules, software", f"{report['run']['rules']}, {report['software']}"),
        *((name.replace("_", " "), "unknown" if value is None else value) for name, value in inputs.items()),
    ]
    return _table("", ("", ""), rows) + (
        "<p>To verify: <code>tieout report verify FILE --trust PUBLIC_KEY</code>. It computes every figure again from "
        "the bundle that holds this page, and needs neither node nor database.</p>"
    )
