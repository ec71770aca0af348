"""``tieout instrument dividend | split``: corporate actions as multipliers, shown before they are signed."""

import re
from collections.abc import Callable
from fractions import Fraction
from typing import Annotated, Any

import typer

from tieout import exits, settings
from tieout.commands.instrument import timestamp
from tieout.commands.market import Mint
from tieout.commands.options import Json, RpcUrl, run
from tieout.issuer import Keypair, Keys, Signers, issuer, receipt
from tieout.output import OUTPUT, exact, table

At = Annotated[str | None, typer.Option("--at", help="When it takes effect (ISO 8601 with a zone). Default: now.")]
Sign = Annotated[bool, typer.Option("--sign", help="Sign and send it; without this it is only shown.")]
From = Annotated[
    str | None,
    typer.Option(
        "--from", help="The multiplier in force, as it is shown; needed to sign, so that nothing is applied twice."
    ),
]
Replace = Annotated[bool, typer.Option("--replace-pending", help="Drop the multiplier that is announced already.")]
Force = Annotated[
    str | None, typer.Option("--force", help="Why an absurd or backdated step is meant; written into the memo.")
]


def register(app: typer.Typer) -> None:
    """Add the corporate actions to the instrument commands."""
    app.command("dividend")(dividend)
    app.command("split")(split)


def dividend(
    mint: Mint,
    gross: Annotated[str, typer.Option("--gross", help="Cash for one share, before tax.")],
    withholding: Annotated[str, typer.Option("--withholding", help="Tax withheld, as a part of 1: 0.30.")],
    price: Annotated[str, typer.Option("--price", help="Price of one share at which the net cash is reinvested.")],
    at: At = None,
    sign: Sign = False,
    old: From = None,
    replace_pending: Replace = False,
    force: Force = None,
    rpc_url: RpcUrl = None,
    keypair: Keypair = None,
    keys: Keys = None,
    signer: Signers = None,
    as_json: Json = False,
) -> None:
    """Show, or with --sign send, the multiplier of a cash dividend: old x (1 + net / price)."""
    from tieout_client import dividend as step_of

    cash, tax, paid = _number("--gross", gross), _number("--withholding", withholding), _number("--price", price)

    def step(bits: bytes) -> Any:
        return step_of(bits, gross=cash, withholding=tax, price=paid, forced=force is not None)

    more = {"replace_pending": replace_pending, "reason": force}
    _act(mint, step, at, old if sign else None, sign, (rpc_url, keypair, keys, signer), more)


def split(
    mint: Mint,
    ratio: Annotated[str, typer.Argument(help="New shares for old ones: 10:1; 1:10 is a reverse split.")],
    at: At = None,
    sign: Sign = False,
    old: From = None,
    replace_pending: Replace = False,
    force: Force = None,
    rpc_url: RpcUrl = None,
    keypair: Keypair = None,
    keys: Keys = None,
    signer: Signers = None,
    as_json: Json = False,
) -> None:
    """Show, or with --sign send, the multiplier of a split or reverse split."""
    from tieout_client import split as step_of

    parts = re.fullmatch(r"([0-9]{1,6}):([0-9]{1,6})", ratio)
    if parts is None:
        raise exits.UsageProblem(f"{ratio!r} is no ratio: write new shares for old ones, such as 10:1")
    new, before = int(parts[1]), int(parts[2])

    def step(bits: bytes) -> Any:
        return step_of(bits, new=new, old=before, forced=force is not None)

    more = {"replace_pending": replace_pending, "reason": force}
    _act(mint, step, at, old if sign else None, sign, (rpc_url, keypair, keys, signer), more)


def _act(
    mint: str,
    step: Callable[[bytes], Any],
    at: str | None,
    old: str | None,
    sign: bool,
    connection: tuple[Any, Any, Any, Any],
    more: dict[str, Any],
) -> None:
    if sign and old is None:
        raise exits.UsageProblem("to sign, name the multiplier that the step starts from with --from, as it is shown")
    when = None if at is None else timestamp(at)
    if not sign or old is None:
        _show(run(_planned(mint, step, connection[0])), None)
        return

    async def work() -> tuple[Any, Any]:
        from tieout_client import multiplier_bits_for

        expected = multiplier_bits_for(old)[0]
        planned = step(expected)
        async with issuer(*connection) as connected:
            options = {"expected": expected, **more}
            if when is None:
                return planned, await connected.set_multiplier_now(mint, planned.wanted, **options)
            return planned, await connected.schedule_multiplier(mint, planned.wanted, when, **options)

    _show(*run(work()))


async def _planned(mint: str, step: Callable[[bytes], Any], rpc_url: list[str] | None) -> Any:
    from solders.keypair import Keypair as Key

    from tieout_client import connect

    async with connect(settings.node_urls(rpc_url), Key()) as connected:
        return step((await connected.show(mint)).multiplier.bits)


def _show(step: Any, done: Any) -> None:
    plain = {
        "action": step.kind,
        "old": repr(float(step.old)),
        "wanted": exact(step.wanted),
        "new": repr(float(step.kept)),
        "bits": step.bits.hex(),
        "error": f"{float(step.error):.3e}",
        "signed": done is not None,
        **({} if done is None else receipt(done)),
    }
    OUTPUT.result(plain, table("", ("", ""), list(plain.items())))


def _number(option: str, text: str) -> Fraction:
    if not re.fullmatch(r"[0-9]{1,20}(\.[0-9]{1,20})?", text):
        raise exits.UsageProblem(f"{option} {text[:40]!r} is no number: write digits, with a point if need be")
    return Fraction(text)
