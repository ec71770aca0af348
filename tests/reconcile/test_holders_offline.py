"""Who holds how much, and what a venue held, worked out offline from every account of the bundle."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from reconcile.builders import MINT, ONE, Book, address
from reconcile.test_elsewhere import COLD, HOT, VENUE, line, stocked
from reconcile.test_elsewhere import REGISTRY as RULES
from reconcile.test_reports import TRUSTED, failed, made, resigned, without_line
from tieout_reconcile import verify_report
from tieout_reconcile.canonical import canonical_bytes
from tieout_reconcile.reports import bundle


def with_line(start: bytes, change: Callable[[Any], Any]) -> Callable[[dict[str, bytes]], None]:
    """The first row of the mint that begins like this, with its values changed."""

    def changed(files: dict[str, bytes]) -> None:
        name = bundle.mint_name(MINT)
        lines = files[name].splitlines()
        number = next(n for n, line in enumerate(lines) if line.startswith(start))
        ((kind, values),) = json.loads(lines[number]).items()
        lines[number] = canonical_bytes({kind: change(values)})
        files[name] = b"".join(line + b"\n" for line in lines)

    return changed


HOLDER = b'{"account":["' + address(f"{MINT} account of ap").encode()
LEDGER = b'{"venue":["kraken"'
FORGED_HOLDINGS: dict[str, Callable[[dict[str, bytes]], None]] = {
    "a holder is dropped": without_line(bundle.mint_name(MINT), HOLDER),
    "a holder's tokens are another's": with_line(HOLDER, lambda v: [v[0], address("hot"), v[2]]),
    "a holder is split in two": with_line(HOLDER, lambda v: [v[0], v[1], str(int(v[2]) // 2)]),
    "what the venue held is dropped": without_line(bundle.mint_name(MINT), LEDGER),
    "what the venue held is said to be unknown": with_line(LEDGER, lambda v: [v[0], v[1], None, []]),
    "a wallet of the venue is left out": with_line(LEDGER, lambda v: [*v[:3], v[3][1:]]),
    "a wallet of the venue holds more": with_line(LEDGER, lambda v: [*v[:3], [[*v[3][0][:2], "1"], *v[3][1:]]]),
    "another's account is the venue's": with_line(
        LEDGER, lambda v: [*v[:3], [*v[3], [address(f"{MINT} account of ap"), address("ap"), str(70 * ONE)]]]
    ),
    "the venue is looked at in another slot": with_line(LEDGER, lambda v: [v[0], v[1], 29, []]),
}


async def test_large_holders_and_venues_are_worked_out_from_every_holder_offline(book: Book, tmp_path: Path) -> None:
    large = RULES.replace("decimals = 8", 'decimals = 8\nlarge_share = "0.02"')
    await stocked(book, large + VENUE + HOT + COLD)
    await book.records("venue", line("customer", str(31 * ONE), 50))
    # tokens that move after the ledger's instant are not the venue's then
    await book.transfer(60, "hot", "ap", 5 * ONE)
    path = await made(book, tmp_path)
    report = json.loads(bundle.unpack(path)[bundle.REPORT])
    found = {f["code"]: f["raw"] for f in report["run"]["findings"] if f["severity"] == "break"}
    assert found == {"D1": str(75 * ONE), "D4": str(-ONE)}
    assert failed(verify_report(path, TRUSTED)) == {}
    held = [x for x in bundle.unpack(path)[bundle.mint_name(MINT)].splitlines() if x.startswith(b'{"account":')]
    assert sum(int(json.loads(x)["account"][2]) for x in held) == 1000 * ONE
    for what, change in FORGED_HOLDINGS.items():
        forged = failed(verify_report(resigned(path, change), TRUSTED))
        assert "complete" in forged, (what, forged)


async def test_accounts_that_no_event_explains_make_d5_and_an_incomplete_bundle(book: Book, tmp_path: Path) -> None:
    await stocked(book, RULES.replace("decimals = 8", 'decimals = 8\nlarge_share = "0.9"') + VENUE + HOT + COLD)
    await book.touch(50, 900, book.ata("ghost"), address("ghost"), address("ghost"), 3)
    path = await made(book, tmp_path)
    verified = verify_report(path, TRUSTED)
    assert {c.name for c in verified.checks if not c.holds} == {"complete"}
    assert "its events add up to 0 raw, the node said 3" in failed(verified)["complete"]
    findings = json.loads(bundle.unpack(path)[bundle.REPORT])["run"]["findings"]
    assert [(f["code"], f["raw"]) for f in findings if f["severity"] == "break"] == [("D5", "-3")]
