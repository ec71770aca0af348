"""The registry as CSV, in one file or a folder: what TOML says, the same plan, the same rules, and line numbers."""

from pathlib import Path

import pytest

import tieout_reconcile
from reconcile.builders import ISIN, MINT, OTHER_ISIN, Book, address
from tieout_reconcile import BadInput
from tieout_reconcile.files import InputFile
from tieout_reconcile.loads import Load, Replay
from tieout_reconcile.registry import Registry
from tieout_reconcile.registry_csv import COLUMNS, read_registry_file
from tieout_reconcile.registry_file import SECTIONS, parse_registry

SECOND = address("second mint")
TREASURY, HOT, FROZEN, COIN = address("treasury"), address("hot"), address("frozen"), address("coin")
TOML = f"""
[[instruments]]
symbol = "AAPLx"
mint = "{MINT}"
isin = "{ISIN}"
decimals = 8
name = "Apple, Inc."
buffer_shares = "0.5"
chains = ["ethereum", "ton"]
late_days_max = 3
price_days_max = 9
large_share = "0.05"
inventory_authorised = true
calendar = "nyse"
[[instruments]]
symbol = "TSLAx"
mint = "{SECOND}"
isin = "{OTHER_ISIN}"
decimals = 8
[[wallets]]
owner = "{TREASURY}"
role = "treasury"
valid_from = 2026-01-01T00:00:00Z
source = "wallet list"
holder = "Issuer AG"
evidence = "deed"
proven_at = 2026-01-05T09:00:00Z
[[wallets]]
account = "{HOT}"
role = "venue_hot"
instrument = "AAPLx"
valid_from = 2026-01-01T00:00:00Z
valid_to = 2026-06-01T00:00:00Z
source = "wallet list"
venue = "kraken"
[[wallets]]
owner = "{FROZEN}"
role = "escrow"
valid_from = 2026-01-01T00:00:00Z
source = "wallet list"
wrapper = "wAAPLx"
[[custodians]]
id = "alpaca"
name = "Alpaca Securities LLC"
quantum = "0.000000001"
currency = "USD"
max_age_hours = 130
calendar = "nyse"
evidence = "broker"
[[custodians.accounts]]
id = "ITN-1"
instruments = ["AAPLx", "TSLAx"]
[[custodians.accounts]]
id = "ITN-2"
[[custodians.accounts]]
id = "OWN"
instruments = []
[[custodians]]
id = "bank"
name = "Bank"
[[calendars]]
id = "nyse"
closed = [2026-11-26, 2026-12-25]
[[calendars]]
id = "dubai"
weekend = ["saturday", "sunday", "friday"]
[[venues]]
id = "kraken"
name = "Kraken"
max_age_hours = 24
[[sources]]
kind = "orders"
name = "issuance desk"
at = ["08:00", "16:00"]
time_zone = "America/New_York"
[[announced]]
kind = "freeze"
valid_from = 2026-03-01T00:00:00Z
valid_to = 2026-03-02T00:00:00Z
source = "order of the court"
account = "{FROZEN}"
[[payment_tokens]]
currency = "USDC"
mint = "{COIN}"
decimals = 6
"""
LAST = "inventory_authorised,price_days_max"
PARTS = {
    "instruments": f"""symbol,mint,isin,decimals,name,buffer_shares,chains,late_days_max,large_share,calendar,{LAST}
AAPLx,{MINT},{ISIN},8,"Apple, Inc.",0.5,ton ethereum,3,0.05,nyse,true,9
TSLAx,{SECOND},{OTHER_ISIN},8,,,,,,,,
""",
    "wallets": f"""owner,account,role,instrument,valid_from,valid_to,source,venue,holder,evidence,proven_at,wrapper
{TREASURY},,treasury,,2026-01-01T00:00:00Z,,wallet list,,Issuer AG,deed,2026-01-05T09:00:00Z,
,{HOT},venue_hot,AAPLx,2026-01-01T00:00:00Z,2026-06-01T00:00:00Z,wallet list,kraken,,,,
{FROZEN},,escrow,,2026-01-01T00:00:00Z,,wallet list,,,,,wAAPLx
""",
    "custodians": """id,name,quantum,currency,max_age_hours,calendar,evidence
alpaca,Alpaca Securities LLC,0.000000001,USD,130,nyse,broker
bank,Bank,,,,,
""",
    "accounts": """custodian,id,instruments
alpaca,ITN-1,AAPLx
alpaca,ITN-1,TSLAx
alpaca,ITN-2,
alpaca,OWN,-
""",
    "calendars": "id,closed,weekend\nnyse,2026-11-26,\nnyse,2026-12-25,\ndubai,,friday saturday sunday\n",
    "venues": "id,name,max_age_hours\nkraken,Kraken,24\n",
    "sources": "kind,name,at,time_zone\norders,issuance desk,08:00 16:00,America/New_York\n",
    "announced": f"""kind,valid_from,valid_to,source,account
freeze,2026-03-01T00:00:00Z,2026-03-02T00:00:00Z,order of the court,{FROZEN}
""",
    "payment_tokens": f"currency,mint,decimals\nUSDC,{COIN},6\n",
}


def whole(parts: dict[str, str] = PARTS) -> str:
    return "\n".join(f"[{name}]\n{text}" for name, text in parts.items())


def folder(path: Path, parts: dict[str, str] = PARTS) -> Path:
    path.mkdir()
    for name, text in parts.items():
        (path / f"{name}.csv").write_text("\ufeff" + text.replace("\n", "\r\n"), "utf-8", newline="")
    return path


def parse(text: str) -> Registry:
    return parse_registry(InputFile("registry", text.encode()))


def refused(text: str) -> str:
    with pytest.raises(BadInput) as bad:
        parse(text)
    return "\n".join(bad.value.problems)


def test_one_file_and_a_folder_say_what_toml_says(tmp_path: Path) -> None:
    packed = read_registry_file(folder(tmp_path / "registry"))
    assert parse(whole()) == parse_registry(packed) == parse(TOML)
    assert parse(whole()).content_sha256 == parse(TOML).content_sha256


def test_every_section_of_the_registry_has_a_part() -> None:
    assert set(COLUMNS) == {*SECTIONS, "accounts"}


async def test_equal_content_changes_nothing_against_toml_and_a_change_is_planned_alike(
    book: Book, tmp_path: Path
) -> None:
    applied = await tieout_reconcile.apply_registry(book.dsn, book.file("registry.toml", TOML))
    one, many = book.file("registry.csv", whole()), folder(tmp_path / "registry")
    for path in (one, many):
        assert (await tieout_reconcile.plan_registry(book.dsn, path)).changes == ()
        again = await tieout_reconcile.apply_registry(book.dsn, path)
        assert (again.changes, again.load) == ((), applied.load)
    changed = PARTS | {"venues": "id,name,max_age_hours\nkraken,Kraken,12\n"}
    plans = [
        await tieout_reconcile.plan_registry(book.dsn, path)
        for path in (
            book.file("other.toml", TOML.replace("max_age_hours = 24", "max_age_hours = 12")),
            book.file("other.csv", whole(changed)),
            folder(tmp_path / "changed", changed),
        )
    ]
    assert len({plan.content_sha256 for plan in plans}) == 1
    assert plans[0].changes
    assert all(plan.changes == plans[0].changes for plan in plans)


async def test_a_folder_is_stored_as_one_file_and_replayed(book: Book, tmp_path: Path) -> None:
    made = await tieout_reconcile.apply_registry(book.dsn, folder(tmp_path / "registry"))
    assert made.load is not None
    rows = await book.db.fetch("select load, kind, name, format, declared, body from recon.load_bodies order by load")
    assert Replay([Load(**row) for row in rows]).registry() == (made.load, parse(TOML))
    assert await tieout_reconcile.show_registry(book.dsn) == parse(TOML)
    counted = await book.db.fetchval("select rows from recon.loads where load = $1", made.load)
    # instruments, wallets, custodians, calendars, and one of each of the others
    assert counted == 2 + 3 + 2 + 2 + 4


def changed(part: str, old: str, new: str) -> dict[str, str]:
    assert old in PARTS[part]
    return PARTS | {part: PARTS[part].replace(old, new, 1)}


WRONG = [
    ("wallets", ",treasury,", ",king,", 2, 'role: "king" is not one of treasury'),
    ("wallets", TREASURY, "abc", 2, "owner: is no address"),
    ("wallets", f",{HOT}", f"{TREASURY},{HOT}", 3, "give exactly one of owner and account"),
    ("wallets", "kraken", "binance", 3, 'venue: "binance" is the id of no entry'),
    ("wallets", "2026-06-01T00:00:00Z", "2025-06-01T00:00:00Z", 3, "is not after valid_from"),
    ("instruments", ",8,,,", ",8.5,,,", 3, 'decimals: "8.5" is not an integer'),
    ("instruments", "nyse,true", "nyse,yes", 2, 'inventory_authorised: "yes" is not true or false'),
    ("instruments", OTHER_ISIN, "US88160R1015", 3, 'isin: "US88160R1015" is no ISIN'),
    ("instruments", "0.05", "1.5", 2, "large_share: is not above 0"),
    ("custodians", ",130,", ",0,", 2, "max_age_hours: 0 is not between 1"),
    ("custodians", "bank,Bank", "bank,", 3, "name: is missing"),
    ("accounts", "ITN-1,TSLAx", "ITN-1,NVDAx", 2, 'instruments: "NVDAx" is the symbol of no instrument'),
    ("accounts", "alpaca,OWN", "nobody,OWN", 5, 'custodian: "nobody" is the id of no entry of [custodians]'),
    ("accounts", "ITN-1,TSLAx", "ITN-1,", 3, "are named in one row and left out, which is all, at"),
    ("calendars", "2026-12-25", "25.12.2026", 2, 'closed: "25.12.2026" is no day'),
    ("calendars", "2026-12-25,", "2026-12-25,blursday", 2, 'weekend: "blursday" is not one of monday'),
    ("sources", "08:00", "8 o'clock", 2, 'at: "8" is no time of day'),
    ("announced", "freeze", "melt", 2, 'kind: "melt" is not one of freeze'),
]  # fmt: skip


@pytest.mark.parametrize(("part", "old", "new", "line", "said"), WRONG)
def test_a_fault_is_told_with_its_line_in_the_file_and_by_the_rules_of_toml(
    tmp_path: Path, part: str, old: str, new: str, line: int, said: str
) -> None:
    parts = changed(part, old, new)
    text = whole(parts)
    before = text[: text.index(f"[{part}]")].count("\n") + 1
    joint = "" if said.startswith(("are named", "give", "is not after")) else ", "
    alone = refused(text)
    assert f"line {before + line}{joint}" in alone, alone
    assert said in alone
    with pytest.raises(BadInput) as bad:
        parse_registry(read_registry_file(folder(tmp_path / "registry", parts)))
    together = "\n".join(bad.value.problems)
    assert f"{part}.csv line {line}{joint}" in together, together
    assert said in together


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (whole(PARTS | {"venues": "id,title\nkraken,Kraken\n"}), "the column name is missing"),
        (whole(PARTS | {"venues": "id,name,age\nkraken,Kraken,1\n"}), 'the column "age" is not one of id, max_age'),
        (whole(PARTS | {"venues": "id,name\nkraken\n"}), "has 1 fields, the header has 2"),
        (whole() + "\n[venues]\nid,name\nb,B\n", "the part [venues] is there twice"),
        (whole(PARTS | {"venues": 'id,name\n"kraken,Kraken\n'}), "is not CSV"),
        (whole({k: v for k, v in PARTS.items() if k != "instruments"}), "there is none: a registry names at least one"),
    ],
)  # fmt: skip
def test_a_part_of_another_shape_is_refused(text: str, said: str) -> None:
    assert said in refused(text)


def test_a_csv_without_parts_and_a_folder_of_other_files_are_refused_with_what_to_do(tmp_path: Path) -> None:
    bare = tmp_path / "instruments.csv"
    bare.write_text(PARTS["instruments"])
    with pytest.raises(BadInput, match=r"write a line \[instruments\] before its columns, or give the folder"):
        read_registry_file(bare)
    odd = folder(tmp_path / "odd", PARTS | {"wallet": PARTS["wallets"]})
    with pytest.raises(BadInput, match=r'"wallet.csv": is no part of a registry: instruments.csv'):
        read_registry_file(odd)
    (tmp_path / "empty").mkdir()
    with pytest.raises(BadInput, match=r"holds none of instruments.csv"):
        read_registry_file(tmp_path / "empty")


def test_toml_is_read_as_toml_whatever_its_first_line_is() -> None:
    assert "write [[instruments]]" in refused('[instruments]\nsymbol = "AAPLx"\n')
    assert parse("# a comment\n" + TOML) == parse(TOML)
