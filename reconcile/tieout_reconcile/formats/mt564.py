"""Corporate action notifications: MT564 (ISO 15022) and seev.031 (ISO 20022), as rows of an action file. Pure.

Taken from both: the event's reference, its function or type, the ISIN, ex, record, pay and effective day, new for
old or additional for existing, gross rate with its currency, withholding, and the ISIN that is delivered. Of
several options the terms and dates are those of the default; which one would be guessed is refused
(``options.py``). Neither knows the token: it takes effect at 00:00 UTC of the effective or ex day, near which
the multiplier's step is looked for.

MT564: ``:20C::CORP``, ``:23G:`` NEWM, REPL, RMDR, CANC, WITH, ``:22F::CAEV``, ``:98a::PREP``, XDTE, RDTE, PAYD,
EFFD, ``:92D::NEWO`` and ADEX, ``:92F::GRSS``, ``:92A::TAXR``. A time without its distance from UTC is read as UTC.
"""

import re
from collections.abc import Iterator
from datetime import UTC, date, datetime
from fractions import Fraction
from xml.etree.ElementTree import Element

from tieout_reconcile.exact import decimal_text
from tieout_reconcile.files import InputFile, Problems, Row, decode_text, shown
from tieout_reconcile.formats import fin, options
from tieout_reconcile.formats.xml import local, parse_xml

KINDS = {
    "DVCA": "dividend", "DRIP": "dividend", "CAPG": "dividend", "SPLF": "split", "SPLR": "reverse_split",
    "SOFF": "spin_off", "MRGR": "merger", "CHAN": "isin_change", "DVSE": "stock_dividend",
}  # fmt: skip
_ANNOUNCED = frozenset({"NEWM", "REPL", "RMDR"})
_CANCELLED = frozenset({"CANC", "WITH"})
_GROWING = frozenset({"SPLF", "DVSE"})
"""The events of which a ratio may say what comes on top of each share, rather than in its place."""
_RATIO = re.compile(r":(NEWO|ADEX)/[^/]*/([\d,]+)/([\d,]+)")
_RATE = re.compile(r":GRSS/[^/]*/(?:[A-Z]{4}/)?([A-Z]{3})(\d+,\d*)")
_TAX = re.compile(r":TAXR/[^/]*/(?:[A-Z]{4}/)?(\d+,\d*)")


def is_seev031(head: str) -> bool:
    """Whether a file begins like a corporate action notification."""
    return "seev.031" in head or "CorpActnNtfctn" in head


def mt564_rows(file: InputFile, problems: Problems) -> Iterator[Row]:
    """Yield a row for each message. Faults go to ``problems`` with their lines."""
    for message in fin.messages(decode_text(file), "564", problems):
        general = next(message.named("GENL"), None)
        if general is None:
            problems.add(f"line {message.line}", "the message has no block GENL: it is no MT564")
            continue
        place = f"line {general.line}"
        if problems.rule >= 2:
            options.keep_default_block(message, place, problems)
        blocks = list(_walk(message))
        event = _first(blocks, "22F", ":CAEV/").rpartition("/")[2]
        function = (general.value("23G") or "").partition("/")[0]
        values = {
            "action_id": _first([general], "20C", ":CORP//"),
            "isin": _isin(next(message.named("USECU"), None)),
            "kind": _kind(event, place, problems),
            "status": _status(function, place, problems),
            "announced_at": _instant(_date(blocks, "PREP", place, problems)),
            "ex_date": _day(_date(blocks, "XDTE", place, problems)),
            "record_date": _day(_date(blocks, "RDTE", place, problems)),
            "pay_date": _day(_date(blocks, "PAYD", place, problems)),
            **_fin_terms(blocks, event, place, problems),
        }
        values["effective_at"] = _effective(_day(_date(blocks, "EFFD", place, problems)) or values["ex_date"])
        new = [_isin(b) for b in blocks if b.name == "SECMOVE"]
        values["new_isin"] = next((i for i in new if i and i != values["isin"]), "")
        yield Row(general.line, values, problems, place)


def _walk(block: fin.Block) -> Iterator[fin.Block]:
    yield block
    for inner in block.blocks:
        yield from _walk(inner)


def _first(blocks: list[fin.Block], tag: str, start: str) -> str:
    return next((v for b in blocks if (v := b.value(tag, start)) is not None), "").strip()


def _isin(block: fin.Block | None) -> str:
    found = fin.ISIN.match((block.value("35B") or "") if block is not None else "")
    return found[1] if found else ""


def _date(blocks: list[fin.Block], qualifier: str, place: str, problems: Problems) -> datetime | date | None:
    given = next((v for b in blocks for t in ("98A", "98C", "98E") for _, v in b.values(t, f":{qualifier}/")), None)
    if given is None or given.rpartition("/")[2] in ("UKWN", "OPEN", "ONGO"):
        return None
    found = fin.DATE.fullmatch(given)
    try:
        if found is None:
            raise ValueError
        return fin.moment_of(found)
    except (ValueError, OverflowError):
        problems.add(place, f":98a::{qualifier}// is {shown(given)}, which is no date")
        return None


def _fin_terms(blocks: list[fin.Block], event: str, place: str, problems: Problems) -> dict[str, str]:
    terms = {"factor": "", "cash_rate": "", "currency": "", "withholding": ""}
    for block in blocks:
        for _, tag, value in block.fields:
            for name, said in _fin_term(tag, value, event, problems.rule).items():
                if terms[name] not in ("", said):
                    problems.add_since(2, place, f"says two things of its {name}: {terms[name]} and {said}")
                terms[name] = said
    return terms


def _fin_term(tag: str, value: str, event: str, rule: int) -> dict[str, str]:
    """Return what one field says of an action's terms."""
    if tag == "92D" and (found := _RATIO.fullmatch(value)):
        ratio = f"{_number(found[2])}/{_number(found[3])}"
        return {"factor": _factor(ratio, event, additional=found[1] == "ADEX" and rule >= 2)}
    if tag == "92F" and (found := _RATE.fullmatch(value)):
        return {"currency": found[1], "cash_rate": _number(found[2])}
    if tag == "92A" and (found := _TAX.fullmatch(value)):
        return {"withholding": decimal_text(Fraction(_number(found[1])) / 100)}
    return {}


def _factor(ratio: str, event: str, *, additional: bool) -> str:
    """Return new for old of a ratio; what is additional for existing shares comes on top of them.

    A stock dividend takes no share away: one new for twenty is one on top of twenty, whatever it is called.
    """
    whole = _whole_ratio(ratio)
    new, _, old = whole.partition("/")
    if event not in _GROWING or not new.isdecimal() or not old.isdecimal() or not int(old):
        return whole
    on_top = additional or (event == "DVSE" and int(new) <= int(old))
    return _whole_ratio(f"{int(new) + int(old)}/{old}") if on_top else whole


def _number(text: str) -> str:
    return text.replace(",", ".").rstrip(".") or "0"


def _whole_ratio(text: str) -> str:
    """The ratio of two decimals as one of whole numbers."""
    new, _, old = text.partition("/")
    if not old or not Fraction(old):
        return text
    found = Fraction(new) / Fraction(old)
    return f"{found.numerator}/{found.denominator}"


def _kind(event: str, place: str, problems: Problems) -> str:
    if event not in KINDS:
        problems.add(place, f"the event {shown(event)} is not one of {', '.join(sorted(KINDS))}: declare it in a CSV")
    return KINDS.get(event, "dividend")


def _status(function: str, place: str, problems: Problems) -> str:
    if function not in _ANNOUNCED | _CANCELLED:
        problems.add(place, f"the function {shown(function)} is not one of NEWM, REPL, RMDR, CANC, WITH")
    return "cancelled" if function in _CANCELLED else "announced"


def _day(moment: datetime | date | None) -> str:
    if isinstance(moment, datetime):
        return moment.date().isoformat()
    return "" if moment is None else moment.isoformat()


def _instant(moment: datetime | date | None) -> str:
    if moment is None:
        return ""
    if not isinstance(moment, datetime):
        moment = datetime.combine(moment, datetime.min.time())
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).isoformat()


def _effective(day: str) -> str:
    return f"{day}T00:00:00+00:00" if day else ""


def seev031_rows(file: InputFile, problems: Problems) -> Iterator[Row]:
    """Yield a row for each notification. Faults go to ``problems`` with their elements."""
    root = parse_xml(file)
    made = _text(root, "CreDt") or _text(root, "CreDtTm")
    found = [e for e in root.iter() if local(e) in ("CorpActnNtfctn", "CorporateActionNotification")]
    if not found:
        problems.add(local(root), "holds no CorpActnNtfctn")
    for number, one in enumerate(found, 1):
        place = f"CorpActnNtfctn[{number}]"
        if problems.rule >= 2:
            options.keep_default_element(one, place, problems)
        event = _text(_child(_child(one, "CorpActnGnlInf"), "EvtTp"), "Cd")
        general = _child(one, "CorpActnGnlInf")
        ex_date, effective = _dated(one, "ExDvddDt"), _dated(one, "FctvDt")
        if not made:
            problems.add(place, "has no creation time (AppHdr/CreDt): when it was announced is unknown")
        rate, tax = _child(one, "GrssDvddRate"), _child(one, "WhldgTaxRate")
        _check_said_once(one, place, problems)
        amount = next((e for e in rate.iter() if local(e) == "Amt"), None) if rate is not None else None
        percent = _text(tax, "Rate") if tax is not None else ""
        underlying = _text(general, "ISIN")
        new = [
            e.text or "" for m in one.iter() if local(m) == "SctiesMvmntDtls" for e in m.iter() if local(e) == "ISIN"
        ]
        values = {
            "action_id": _text(general, "CorpActnEvtId"),
            "isin": underlying,
            "kind": _kind(event, place, problems),
            "status": _status(_text(_child(one, "NtfctnGnlInf"), "NtfctnTp") or "NEWM", place, problems),
            "announced_at": _xml_instant(made),
            "ex_date": ex_date,
            "record_date": _dated(one, "RcrdDt"),
            "pay_date": _dated(one, "PmtDt"),
            "effective_at": _effective(effective or ex_date),
            "factor": _xml_factor(one, event),
            "cash_rate": (amount.text or "") if amount is not None else "",
            "currency": amount.get("Ccy", "") if amount is not None else "",
            "withholding": decimal_text(Fraction(percent) / 100) if re.fullmatch(r"\d+(\.\d+)?", percent) else percent,
            "new_isin": next((i for i in new if i and i != underlying), ""),
        }
        yield Row(number, values, problems, place)


def _child(element: Element | None, name: str) -> Element | None:
    return None if element is None else next((e for e in element.iter() if local(e) == name), None)


def _text(element: Element | None, name: str) -> str:
    found = _child(element, name)
    return "" if found is None else (found.text or "").strip()


def _dated(element: Element, name: str) -> str:
    found = _child(element, name)
    given = "" if found is None else _text(found, "Dt") or _text(found, "DtTm")
    inner = (
        None if found is None else next((e.text for e in found.iter() if local(e) in ("Dt", "DtTm") and e.text), None)
    )
    return ((inner or given).strip())[:10]


def _check_said_once(notification: Element, place: str, problems: Problems) -> None:
    for name in ("GrssDvddRate", "WhldgTaxRate", "NewToOd", "AddtlQtyForExstgScties"):
        said = {
            tuple((local(x), (x.text or "").strip(), *sorted(x.attrib.items())) for x in e.iter())
            for e in notification.iter()
            if local(e) == name
        }
        if len(said) > 1:
            problems.add_since(2, place, f"says {len(said)} things of its {name}")


def _xml_instant(made: str) -> str:
    """Return an instant with its zone; one without is UTC."""
    try:
        moment = datetime.fromisoformat(made)
    except ValueError:
        return made
    return _instant(moment)


def _xml_factor(notification: Element, event: str) -> str:
    replacing, additional = _child(notification, "NewToOd"), _child(notification, "AddtlQtyForExstgScties")
    if replacing is not None:
        return _factor(_xml_ratio(replacing), event, additional=False)
    return _factor(_xml_ratio(additional), event, additional=True)


def _xml_ratio(element: Element | None) -> str:
    if element is None:
        return ""
    sizes = [(e.text or "").strip() for e in element.iter() if local(e) in ("Qty1", "Qty2")]
    numbers = [size for size in sizes if re.fullmatch(r"\d+(\.\d+)?", size)]
    return _whole_ratio("/".join(numbers)) if len(numbers) == 2 else "/".join(sizes)
