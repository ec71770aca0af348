"""``tieout instrument show | compare | profile``: a mint as the chain has it, beside what it should be."""

import json
import tomllib
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from tieout import exits, settings
from tieout.commands.market import Mint
from tieout.commands.options import Json, RpcUrl, run
from tieout.output import OUTPUT, table


def register(app: typer.Typer) -> None:
    """Add these to the instrument commands."""
    app.command("show")(show)
    app.command("compare")(compare)
    app.command("profile")(profile_)


def show(
    mint: Mint,
    profile: Annotated[
        Path | None,
        typer.Option(
            "--profile", help="TOML or JSON with what it should be, named as in --json; exit 1 if it differs."
        ),
    ] = None,
    rpc_url: RpcUrl = None,
    as_json: Json = False,
) -> None:
    """Show a mint as the chain has it: supply, multipliers, authorities and who holds them, extensions, risks."""
    from tieout_client import risks

    expected = None if profile is None else _profile(profile)
    found, holders = run(_show(mint, rpc_url))
    plain = _plain(found)
    plain["holders"] = {role: holder.detail for role, holder in holders.items()}
    plain["risks"] = {risk.code: risk.sentence for risk in risks(found, holders)}
    hidden = {"extension_fields"}
    lines = [table("", ("", ""), ((k, _line(v)) for k, v in plain.items() if k not in hidden))]
    _compared(plain, expected, *lines)


def compare(
    mint: Mint,
    profile: Annotated[
        Path, typer.Option("--profile", help="TOML or JSON, as tieout instrument profile writes it or by hand.")
    ],
    rpc_url: RpcUrl = None,
    as_json: Json = False,
) -> None:
    """Tell where a mint differs from a profile; exit 1 if it does."""
    expected = _profile(profile)
    found, holders = run(_show(mint, rpc_url))
    plain = {**_plain(found), "holders": {role: holder.detail for role, holder in holders.items()}}
    _compared(plain, expected)


def profile_(
    mint: Mint,
    out: Annotated[Path | None, typer.Option("--out", help="JSON file to write. Default: to the terminal.")] = None,
    rpc_url: RpcUrl = None,
    as_json: Json = False,
) -> None:
    """Write what an issuer's instruments have in common as this one has it: decimals, authorities, extensions."""
    found, _ = run(_show(mint, rpc_url))
    text = json.dumps(_common(_plain(found)), indent=1)
    if out is None:
        OUTPUT.result({"profile": json.loads(text)}, text)
        return
    try:
        out.write_text(text + "\n", "utf-8")
    except OSError as bad:
        raise exits.UsageProblem(f"cannot write the profile {out}: {bad.strerror or type(bad).__name__}") from bad
    OUTPUT.result({"path": str(out)}, f"the profile of {found.symbol} is in {out}")


def _compared(plain: dict[str, Any], expected: dict[str, Any] | None, *lines: Any) -> None:
    from tieout_client import differences

    differs = [] if expected is None else differences(expected, plain)
    shown = list(lines)
    if expected is not None:
        plain["differences"] = [{"field": at, "expected": e, "found": f} for at, e, f in differs]
        rows = [(at, _line(e), _line(f)) for at, e, f in differs]
        shown.append(
            table("differs from the profile", ("field", "expected", "found"), rows) if rows else "as the profile says"
        )
    OUTPUT.result(plain, *shown)
    if differs:
        raise exits.Found


_OWN_FIELDS = {
    "token_metadata": {"mint", "name", "symbol", "uri", "additional_metadata"},
    "metadata_pointer": {"metadata_address"},
    "scaled_ui_amount_config": {"multiplier", "new_multiplier", "new_multiplier_effective_timestamp"},
    "transfer_fee_config": {"withheld_amount"},
}
"""Extension → fields that are this instrument's own."""


def _common(plain: dict[str, Any]) -> dict[str, Any]:
    fields = {
        name: {k: v for k, v in values.items() if k not in _OWN_FIELDS.get(name, set())}
        for name, values in plain["extension_fields"].items()
    }
    kept = {name: plain[name] for name in ("decimals", "paused", "authorities", "extensions")}
    return {**kept, "extension_fields": fields}


def _profile(path: Path) -> dict[str, Any]:
    try:
        text = path.read_text("utf-8")
        found = json.loads(text) if path.suffix == ".json" else tomllib.loads(text)
    except OSError as bad:
        raise exits.UsageProblem(f"cannot read the profile {path}: {bad.strerror or type(bad).__name__}") from bad
    except (ValueError, RecursionError) as bad:
        raise exits.UsageProblem(f"the profile {path} is neither TOML nor, named .json, JSON: {bad}") from bad
    if not isinstance(found, dict) or not found:
        raise exits.UsageProblem(f"the profile {path} names nothing to compare: take fields of instrument show --json")
    # What show --json says of itself and of the moment is no part of a profile.
    return {name: value for name, value in found.items() if name not in {"schema", "slot"}}


def _plain(found: Any) -> dict[str, Any]:
    pending = found.pending
    return {
        "mint": found.address,
        "slot": found.slot,
        "symbol": found.symbol,
        "name": found.name,
        "uri": found.uri,
        "decimals": found.decimals,
        "supply_raw": str(found.supply),
        "space": found.space,
        "paused": found.paused,
        "multiplier": multiplier_of(found.multiplier),
        "pending": None if pending is None else multiplier_of(pending),
        "authorities": dict(found.authorities),
        "extensions": [e.name for e in found.mint.extensions],
        "extension_fields": {e.name: {k: _json(v) for k, v in e.fields.items()} for e in found.mint.extensions},
    }


def _json(value: Any) -> Any:
    """A field of an extension as it stands in JSON, the same on both sides of a comparison."""
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, float):
        return repr(value)
    if isinstance(value, dict):
        return {k: _json(v) for k, v in value.items()}
    # Beyond 2^53 other readers of JSON lose digits.
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) >= 2**53:
        return str(value)
    return [_json(v) for v in value] if isinstance(value, list | tuple) else value


def _line(value: Any) -> Any:
    if isinstance(value, dict):
        return "\n".join(f"{k}: {'none' if v is None else v}" for k, v in value.items())
    return ", ".join(value) if isinstance(value, list) else value


def multiplier_of(value: Any) -> dict[str, Any]:
    """A multiplier as plain values."""
    # Beyond year 9999 there is no date to show: the seconds say it.
    seconds = value.effective_timestamp
    shown = datetime.fromtimestamp(seconds, UTC).isoformat() if 0 <= seconds < 253_402_300_800 else str(seconds)
    return {"value": str(value.as_float), "bits": value.bits.hex(), "effective_at": shown}


async def _show(mint: str, rpc_url: list[str] | None) -> tuple[Any, Any]:
    from solders.keypair import Keypair as Key

    from tieout_client import connect

    # Reading needs no key of anybody's: a throw-away one stands where a signer is asked for.
    async with connect(settings.node_urls(rpc_url), Key()) as connected:
        found = await connected.show(mint)
        return found, await connected.holders(found)
