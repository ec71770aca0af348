"""A user's mistake gets a sentence and exit code 2; a bad file is refused whole, and nothing of it stays."""

from pathlib import Path

import pytest

from cli.conftest import Cli
from database.rows import Rows
from support.command import Done, tieout
from support.database import query
from support.replay import ReplayNode
from tieout_idl import base58

MINT = "XsbEhLAtcf6HdfpFZ5xEMdqW8nfAvcsP5bdudRLJzJp"
OWNER = base58.encode(bytes(range(32)))
ISIN = "US0378331005"
REGISTRY = f"""
[[instruments]]
symbol = "AAPLx"
mint = "{MINT}"
isin = "{ISIN}"
decimals = 8

[[wallets]]
owner = "{OWNER}"
role = "treasury"
valid_from = 2026-01-01T00:00:00Z
source = "wallet list"

[[custodians]]
id = "alpaca"
name = "Alpaca Securities LLC"
[[custodians.accounts]]
id = "ITN-1"
"""
STATEMENT = "custodian,account,isin,basis,as_of,raw\nalpaca,ITN-1,{isin},settled,2026-11-02T16:00:00Z,{raw}\n"
ORDERS = "request_id,side,symbol,quantity,status,created_at\nR-1,issue,{symbol},1,pending,2026-11-02T16:00:00Z\n"
STORED = (
    "recon.load_row",
    "recon.instrument_row",
    "recon.wallet_row",
    "recon.custodian_row",
    "recon.custody_account_row",
    "recon.position_row",
    "recon.order_row",
    "recon.run_row",
    "ledger.batch_row",
    "ledger.tracked_row",
    "ledger.cohort_coverage_row",
    "ledger.slot_row",
    "ledger.event_row",
    "ledger.evidence_row",
)


async def stored(dsn: str) -> dict[str, int]:
    return {table: (await query(dsn, f"select count(*) from {table}"))[0]["count"] for table in STORED}


def refused(done: Done, *words: str) -> None:
    assert done.code == 2, done
    assert done.out == ""
    assert done.err.startswith("error: ")
    assert "Traceback" not in done.err
    for word in words:
        assert word in done.err, done.err


def backfill(dsn: str, url: str, *mints: str, first: int = 1, last: int = 2) -> list[str]:
    named = [part for mint in mints for part in ("--mint", mint)]
    slots = ["--from-slot", str(first), "--to-slot", str(last)]
    return ["index", "backfill", "--dsn", dsn, "--rpc-url", url, *named, *slots]


NOWHERE = "http://127.0.0.1:1"


@pytest.mark.parametrize("mint", ["rubbish", "0OIl", MINT[:-2], MINT + "1", "", " ", "é", "1" * 31, "1" * 33])
async def test_a_malformed_mint_key_is_named(cli: Cli, dsn: str, mint: str) -> None:
    refused(await cli(*backfill(dsn, NOWHERE, mint)), "--mint", mint.strip())


async def test_wrapped_sol_is_no_mint_to_prove(cli: Cli, dsn: str) -> None:
    refused(
        await cli(*backfill(dsn, NOWHERE, "So11111111111111111111111111111111111111112")), "wrapped SOL", "lamports"
    )


async def test_a_range_that_ends_before_it_begins(cli: Cli, dsn: str) -> None:
    refused(await cli(*backfill(dsn, NOWHERE, MINT, first=5, last=4)), "--to-slot 4", "--from-slot 5")


async def test_no_mint_at_all(cli: Cli, dsn: str) -> None:
    refused(await cli(*backfill(dsn, NOWHERE)), "--mint")


async def test_an_address_without_an_account_is_no_mint(cli: Cli, dsn: str) -> None:
    async with ReplayNode({}) as node:
        node.tip, node.accounts = 10, {}
        refused(await cli(*backfill(dsn, node.url, MINT)), MINT, "no account")
    assert (await stored(dsn))["ledger.tracked_row"] == 0


async def test_an_account_of_another_program_is_no_mint(cli: Cli, dsn: str) -> None:
    async with ReplayNode({}) as node:
        node.tip, node.accounts = 10, {MINT: {"owner": "11111111111111111111111111111111", "data": ["", "base64"]}}
        refused(await cli(*backfill(dsn, node.url, MINT)), MINT, "11111111111111111111111111111111")
    assert (await stored(dsn))["ledger.tracked_row"] == 0


async def test_following_without_any_mint(dsn: str) -> None:
    async with ReplayNode({}) as node:
        node.tip = 10
        done = await tieout("index", "run", "--dsn", dsn, "--rpc-url", node.url)
    assert done.code == 2
    assert "error: no mint is tracked yet: name one with --mint" in done.err


@pytest.mark.parametrize("url", ["rubbish", "ftp://node", "http://node:port", "http://node:99999", "http://[::1", ""])
async def test_an_address_that_is_no_nodes(cli: Cli, dsn: str, url: str) -> None:
    refused(await cli(*backfill(dsn, url, MINT)), "is no node address", "http://host:port")
    refused(await cli("instrument", "show", MINT, "--rpc-url", url), "is no node address")


async def test_no_node_named(cli: Cli, dsn: str) -> None:
    refused(
        await cli("index", "backfill", "--dsn", dsn, "--mint", MINT, "--from-slot", "1", "--to-slot", "2"), "--rpc-url"
    )


@pytest.mark.parametrize(
    "dsn",
    [
        "postgresql://u:QZX987@h/d",
        "postgresql://u:QZ@X987@h/d",
        "postgresql://u@h/d?password=QZX987",
        "host=h password=QZX987",
        "postgresql://u:QZX/987@h/d",
    ],
)
@pytest.mark.parametrize("command", [["db", "migrate"], ["db", "status"], ["index", "status"], ["reconcile", "run"]])
async def test_a_password_on_the_command_line_is_refused_and_not_shown(cli: Cli, command: list[str], dsn: str) -> None:
    done = await cli(*command, "--dsn", dsn)
    refused(done, "TIEOUT_DSN", "PGPASSFILE", "PGSERVICE")
    assert not set("QZ987") & set(done.err)


@pytest.mark.parametrize("flags", [[], ["--dsn", ""], ["--dsn", " "]])
async def test_no_database_named(cli: Cli, flags: list[str]) -> None:
    refused(await cli("index", "status", *flags), "--dsn", "TIEOUT_DSN")


NEED_SCHEMA = [
    "index status",
    "index parked",
    "index redecode",
    "db roles",
    "db verify",
    "registry show",
    "statement list",
    "order list",
    "reconcile run",
    "reconcile history",
    "breaks list",
    "headroom AAPLx",
    "instrument list",
]


@pytest.mark.parametrize("command", NEED_SCHEMA)
async def test_a_database_that_was_never_migrated_is_told_how(cli: Cli, empty_dsn: str, command: str) -> None:
    refused(await cli(*command.split(), "--dsn", empty_dsn), "tieout db migrate")


async def test_the_indexer_refuses_a_database_that_was_never_migrated(cli: Cli, empty_dsn: str) -> None:
    async with ReplayNode({}) as node:
        node.tip = 10
        refused(await cli(*backfill(empty_dsn, node.url, MINT)), "tieout db migrate")


@pytest.fixture
async def registered(cli: Cli, dsn: str, tmp_path: Path) -> str:
    """A database with a registry."""
    path = tmp_path / "good.toml"
    path.write_text(REGISTRY, "utf-8")
    done = await cli("registry", "apply", str(path), "--dsn", dsn)
    assert done.code == 0, done.err
    return dsn


BAD_REGISTRIES = {
    "unreadable": (b"[[instruments]]\nsymbol = \n", ["not TOML", "line 2"]),
    "an unknown key": (
        REGISTRY.replace("decimals", "decimal").encode(),
        ["instruments[0].decimal", "is not one of", "is missing"],
    ),
    "an unknown table": (
        b"[[instrument]]\n" + REGISTRY.encode(),
        ["instrument", "is not one of instruments, wallets, custodians"],
    ),
    "a malformed mint": (REGISTRY.replace(MINT, "rubbish").encode(), ["instruments[0].mint", "is no address"]),
    "a wrong check digit": (REGISTRY.replace(ISIN, "US0378331006").encode(), ["instruments[0].isin", "US0378331006"]),
    "an unknown role": (REGISTRY.replace('"treasury"', '"treasurer"').encode(), ["wallets[0].role", "treasurer"]),
    "empty": (b"", ["there is none"]),
    "no text": (bytes(range(128, 256)), ["line 1", "not UTF-8"]),
    "a NUL": (REGISTRY.replace("wallet list", "wallet\0list").encode(), ["NUL"]),
    "nested without end": (b"a = " + b"[" * 100_000, ["not TOML"]),
}


@pytest.mark.parametrize("case", BAD_REGISTRIES)
async def test_a_bad_registry_is_refused_whole(cli: Cli, registered: str, tmp_path: Path, case: str) -> None:
    data, words = BAD_REGISTRIES[case]
    (tmp_path / "bad.toml").write_bytes(data)
    before = await stored(registered)
    for verb in ("plan", "apply"):
        refused(await cli("registry", verb, str(tmp_path / "bad.toml"), "--dsn", registered), "bad.toml", *words)
    assert await stored(registered) == before


GOOD_LINE = STATEMENT.format(isin=ISIN, raw="100").splitlines()[1]
BAD_STATEMENTS = {
    "a fractional raw amount": (
        STATEMENT.format(isin=ISIN, raw="100") + GOOD_LINE.replace("T16", "T17").replace("100", "1.5") + "\n",
        ["line 3", "1.5"],
    ),
    "an unknown ISIN": (STATEMENT.format(isin="US88160R1014", raw="1"), ["line 2", "US88160R1014"]),
    "a negative position": (STATEMENT.format(isin=ISIN, raw="-1"), ["line 2", "-1"]),
    "an instant without a zone": (STATEMENT.format(isin=ISIN, raw="1").replace("00Z", "00"), ["line 2", "zone"]),
    "an unknown account": (STATEMENT.format(isin=ISIN, raw="1").replace("ITN-1", "ITN-2"), ["line 2", "ITN-2"]),
    "no rows' columns": ("nonsense\n1\n", ["custodian"]),
    "a NUL": (STATEMENT.format(isin=ISIN, raw="1\0"), ["line 2", "NUL"]),
    "a row twice": (STATEMENT.format(isin=ISIN, raw="1") + GOOD_LINE + "\n", ["line 3", "line 2"]),
}


@pytest.mark.parametrize("case", BAD_STATEMENTS)
async def test_a_bad_statement_is_refused_whole_with_its_lines(
    cli: Cli, registered: str, tmp_path: Path, case: str
) -> None:
    text, words = BAD_STATEMENTS[case]
    (tmp_path / "bad.csv").write_text(text, "utf-8")
    before = await stored(registered)
    refused(await cli("statement", "import", str(tmp_path / "bad.csv"), "--dsn", registered), "bad.csv", *words)
    assert await stored(registered) == before


BAD_ORDERS = {
    "an unknown symbol": (ORDERS.format(symbol="TSLAx"), ["line 2", "TSLAx"]),
    "an unknown side": (ORDERS.format(symbol="AAPLx").replace("issue", "give"), ["line 2", "give"]),
    "a request id with a space": (ORDERS.format(symbol="AAPLx").replace("R-1", "R 1"), ["line 2", "R 1"]),
}


@pytest.mark.parametrize("case", BAD_ORDERS)
async def test_a_bad_order_file_is_refused_whole_with_its_lines(
    cli: Cli, registered: str, tmp_path: Path, case: str
) -> None:
    text, words = BAD_ORDERS[case]
    (tmp_path / "bad.csv").write_text(text, "utf-8")
    before = await stored(registered)
    refused(await cli("order", "import", str(tmp_path / "bad.csv"), "--dsn", registered), "bad.csv", *words)
    assert await stored(registered) == before


@pytest.mark.parametrize("command", [["registry", "apply"], ["statement", "import"], ["order", "import"]], ids=" ".join)
async def test_a_file_that_is_not_there_or_no_text(
    cli: Cli, registered: str, tmp_path: Path, command: list[str]
) -> None:
    (tmp_path / "binary").write_bytes(b"\x7fELF\x00\xff\xfe" * 100)
    before = await stored(registered)
    refused(await cli(*command, "no-such-file", "--dsn", registered), "no-such-file", "not there")
    folder = "holds none of instruments.csv" if command[0] == "registry" else "is no file"
    refused(await cli(*command, str(tmp_path), "--dsn", registered), folder)
    refused(await cli(*command, str(tmp_path / "binary"), "--dsn", registered), "binary", "line 1")
    assert await stored(registered) == before


@pytest.mark.parametrize("command", [["statement", "import"], ["order", "import"]], ids=" ".join)
async def test_files_need_a_registry_first(cli: Cli, dsn: str, tmp_path: Path, command: list[str]) -> None:
    (tmp_path / "some.csv").write_text(STATEMENT.format(isin=ISIN, raw="1"), "utf-8")
    refused(await cli(*command, str(tmp_path / "some.csv"), "--dsn", dsn), "tieout registry apply")


@pytest.fixture
async def reconcilable(registered: str, rows: Rows) -> str:
    """A database with a registry, and a ledger in which its mint is proven."""
    await rows.add("cluster_row")
    await rows.batches(1)
    await rows.add("tracked_row", mint=MINT)
    await rows.add("coverage_row", mint=MINT, from_slot=0, to_slot=1)
    await rows.add("slot_row", slot=1)
    await rows.add("control_row", mint=MINT, kind="mint_open", details={"decimals": 8})
    return registered


async def test_what_the_registry_does_not_know_is_named(cli: Cli, reconcilable: str) -> None:
    refused(await cli("headroom", "TSLAx", "--dsn", reconcilable), "TSLAx")


async def test_what_was_not_reconciled_is_named(cli: Cli, reconcilable: str) -> None:
    assert (await cli("reconcile", "run", "--dsn", reconcilable)).code == 1
    refused(await cli("breaks", "show", "nothing", "--dsn", reconcilable), "nothing")
    refused(await cli("breaks", "list", "--run", "9", "--dsn", reconcilable), "9")
    refused(await cli("reconcile", "show", "9", "--dsn", reconcilable), "9")


@pytest.mark.parametrize(
    "command", [["headroom", "AAPLx"], ["registry", "show"], ["instrument", "list"], ["reconcile", "run"]], ids=" ".join
)
async def test_before_any_registry_the_sentence_says_what_to_do(cli: Cli, dsn: str, command: list[str]) -> None:
    refused(await cli(*command, "--dsn", dsn), "tieout registry apply")


@pytest.mark.parametrize(
    "command",
    [["reconcile", "show"], ["reconcile", "show", "7"], ["breaks", "list"], ["breaks", "show", "nothing"]],
    ids=" ".join,
)
async def test_before_any_run_there_is_nothing_to_show(cli: Cli, registered: str, command: list[str]) -> None:
    refused(await cli(*command, "--dsn", registered))


async def test_reconciling_an_empty_ledger_is_told_in_a_sentence(cli: Cli, registered: str) -> None:
    done = await cli("reconcile", "run", "--dsn", registered)
    assert done.code in (1, 2)
    assert "Traceback" not in done.err
    assert (await stored(registered))["recon.run_row"] in (0, 1)
    assert done.out + done.err


AS_OF = [
    "tomorrow",
    "2026-11-02",
    "2026-11-02T16:00:00",
    "-1",
    "1" + "0" * 30,
    str(2**63),
    "²",
    "0001-01-01T00:00:00+14:00",
]


@pytest.mark.parametrize("as_of", AS_OF)
async def test_an_instant_without_a_zone_or_no_slot_is_refused(cli: Cli, registered: str, as_of: str) -> None:
    refused(await cli("reconcile", "run", "--as-of", as_of, "--dsn", registered), "--as-of")


@pytest.mark.parametrize(
    "command", [["issue", MINT, "1", "--to", OWNER, "--request", "R"], ["instrument", "pause", MINT]]
)
async def test_a_command_that_signs_needs_a_key(cli: Cli, command: list[str]) -> None:
    refused(await cli(*command, "--rpc-url", NOWHERE), "--keypair")


@pytest.mark.parametrize("content", [None, "", "[1,2", "[1,2,3]", '"text"', "\x00\xff"])
async def test_a_key_file_that_is_none_is_refused_without_its_content(
    cli: Cli, tmp_path: Path, content: str | None
) -> None:
    if content is not None:
        (tmp_path / "key.json").write_text(content)
    done = await cli("instrument", "pause", MINT, "--keypair", str(tmp_path / "key.json"), "--rpc-url", NOWHERE)
    refused(done, "key.json")


@pytest.mark.parametrize(("keys", "word"), [("x" * 5000, "too long"), ("a\0b", "--keys")])
async def test_a_folder_of_keys_that_cannot_be_one_is_named(cli: Cli, tmp_path: Path, keys: str, word: str) -> None:
    key = tmp_path / "key.json"
    assert (await cli("key", "new", str(key))).code == 0
    done = await cli("instrument", "pause", MINT, "--keypair", str(key), "--keys", keys, "--rpc-url", NOWHERE)
    refused(done, word)


@pytest.mark.parametrize("at", ["0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00", "2026-11-02", "soon"])
async def test_an_instant_that_is_none_is_refused_wherever_one_is_asked_for(cli: Cli, at: str) -> None:
    for command in (
        ("portfolio", OWNER, "--at", at, "--rpc-url", NOWHERE),
        ("entitlement", "AAPLx", "--at", at),
        ("instrument", "split", MINT, "2:1", "--at", at, "--rpc-url", NOWHERE),
    ):
        refused(await cli(*command), "--at", at)


async def test_a_result_that_cannot_be_written_names_the_path_and_the_reason(cli: Cli, tmp_path: Path) -> None:
    refused(await cli("report", "export", "--to", "x" * 5000, "--unsigned"), "xxx", "too long")
    refused(await cli("tx", "prepare", "x" * 5000, "instrument", "pause", MINT), "xxx", "too long")


HOSTILE = "\x1b[31mred\x1b[0m\x07\x9b2J\u202e"


@pytest.mark.parametrize(
    "arguments",
    [
        [HOSTILE],
        ["headroom", HOSTILE],
        ["breaks", "show", HOSTILE],
        ["statement", "import", HOSTILE],
        ["registry", "apply", HOSTILE],
        ["index", "backfill", "--mint", HOSTILE, "--from-slot", "1", "--to-slot", "2"],
        ["index", "backfill", "--mint", MINT, "--from-slot", "1", "--to-slot", "2", "--rpc-url", HOSTILE],
        ["reconcile", "run", "--as-of", HOSTILE],
        ["headroom", "a\udc80b"],
        ["statement", "import", "a\udc80b"],
        ["reconcile", "run", "--as-of", "\udc80"],
        ["headroom", "a\x00b"],
        ["statement", "import", "a\x00b"],
        ["statement", "import", "/dev/null", "--custodian", "\udc80"],
        ["movement", "import", "/dev/null", "--time-zone", "\udc80"],
    ],
)
@pytest.mark.parametrize("as_json", [[], ["--json"]])
async def test_escapes_nul_and_lone_surrogates_in_arguments_do_no_harm(
    cli: Cli, reconcilable: str, arguments: list[str], as_json: list[str]
) -> None:
    where = ["--dsn", reconcilable] if len(arguments) > 1 else []
    done = await cli(*arguments, *where, *as_json)
    assert done.code == 2, done
    assert not set("\x1b\x07\x9b\u202e\x00\udc80") & set(done.out + done.err)
    assert bool(done.out) == bool(as_json)


async def test_a_byte_that_is_no_text_in_an_argument_of_the_process_does_no_harm(registered: str) -> None:
    for as_json in ([], ["--json"]):
        done = await tieout("statement", "import", "a\udc80\x1b[31m", "--dsn", registered, *as_json)
        assert done.code == 2, done
        assert "\x1b" not in done.out + done.err


async def test_a_terminal_without_our_letters_is_written_to_all_the_same(reconcilable: str) -> None:
    done = await tieout("headroom", "Ä–€", "--dsn", reconcilable, PYTHONIOENCODING="ascii", PYTHONUTF8="0")
    assert done.code == 2, done
    assert done.err.isascii()


async def test_escapes_in_files_do_no_harm(cli: Cli, registered: str, tmp_path: Path) -> None:
    (tmp_path / "bad.toml").write_text(
        REGISTRY.replace("AAPLx", HOSTILE.replace("\x1b", "\\u001b").replace("\x07", "")), "utf-8"
    )
    (tmp_path / "bad.csv").write_text(STATEMENT.format(isin=HOSTILE, raw=HOSTILE), "utf-8")
    for done in (
        await cli("registry", "apply", str(tmp_path / "bad.toml"), "--dsn", registered),
        await cli("statement", "import", str(tmp_path / "bad.csv"), "--dsn", registered),
    ):
        refused(done)
        assert not set("\x1b\x07\x9b\u202e") & set(done.err)


@pytest.mark.parametrize("name", ["state\x1b[31m.csv", "stäte.csv", "state\udc80.csv"])
async def test_a_good_file_with_a_hostile_name_is_taken_and_named_harmlessly(
    cli: Cli, registered: str, tmp_path: Path, name: str
) -> None:
    path = tmp_path / name
    path.write_text(STATEMENT.format(isin=ISIN, raw="100"), "utf-8")
    for command in (["import", str(path)], ["import", str(path), "--json"], ["list"]):
        done = await cli("statement", *command, "--dsn", registered)
        assert done.code == 0, done
        assert not set("\x1b\udc80") & set(done.out + done.err)


async def test_escapes_in_what_the_chain_said_do_no_harm(cli: Cli, dsn: str, rows: Rows) -> None:
    await rows.add("park_row", reason=HOSTILE)
    await rows.add("quarantine_row", reason=HOSTILE, signature=HOSTILE)
    for as_json in ([], ["--json"]):
        done = await cli("index", "status", "--dsn", dsn, *as_json)
        assert done.code == 1, done
        assert "red" in done.out
        assert not set("\x1b\x07\x9b\u202e") & set(done.out + done.err)


async def test_a_folder_of_csv_is_planned_and_applied_and_refused_whole_by_file_and_line(
    cli: Cli, dsn: str, tmp_path: Path
) -> None:
    folder = tmp_path / "registry"
    folder.mkdir()
    parts = {
        "instruments": f"symbol,mint,isin,decimals\nAAPLx,{MINT},{ISIN},8\n",
        "wallets": f"owner,role,valid_from,source\n{OWNER},treasury,2026-01-01T00:00:00Z,wallet list\n",
        "custodians": "id,name\nalpaca,Alpaca Securities LLC\n",
        "accounts": "custodian,id\nalpaca,ITN-1\n",
    }
    for name, text in parts.items():
        (folder / f"{name}.csv").write_text(text)
    assert (await cli("registry", "apply", str(folder), "--dsn", dsn)).code == 0
    toml = tmp_path / "registry.toml"
    toml.write_text(REGISTRY)
    plan = await cli("registry", "plan", str(toml), "--dsn", dsn, "--json")
    assert (plan.code, plan.json["changes"]) == (0, [])
    before = await stored(dsn)
    (folder / "wallets.csv").write_text(parts["wallets"].replace("treasury", "king"))
    refused(await cli("registry", "apply", str(folder), "--dsn", dsn), 'wallets.csv line 2, role: "king" is not one of')
    assert await stored(dsn) == before
