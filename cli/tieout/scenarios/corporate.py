"""Stories of corporate actions: a multiplier steps, and custody follows or does not."""

from datetime import timedelta
from fractions import Fraction
from typing import Any

from tieout.papers import stated
from tieout.scenarios.stage import ISIN, SYMBOL, Stage
from tieout.scenarios.telling import Fact, Moment, Scenario, Telling, noticed, told

# AAPLx's step of 2026-08-08T00:30Z
_BEFORE, _AFTER = "1.0026642075893797", "1.0032690125398187"
_FACTOR = f"{_AFTER.replace('.', '')}/{_BEFORE.replace('.', '')}"
_TOKENS = 100
# what the doubles are, exactly
_HELD, _OWED = _TOKENS * Fraction(float(_BEFORE)), _TOKENS * Fraction(float(_AFTER))


def _action(stage: Stage, name: str, kind: str, **more: Any) -> dict[str, Any]:
    return {"action_id": name, "isin": ISIN, "kind": kind, "status": "announced", **more}


async def _dividend_reinvested(stage: Stage) -> None:
    await stage.list_instrument(1_000, multiplier=_BEFORE)
    await stage.release("REQ-1", _TOKENS, "participant")
    await stage.close()
    await stage.desk()
    announced = await stage.now()
    step = announced.replace(hour=0, minute=30, second=0) + timedelta(days=1)
    pays = (announced + timedelta(days=3)).date()
    await stage.records("actions", _action(
        stage, "DIV-1", "dividend", announced_at=announced, ex_date=announced.date(), record_date=announced.date(),
        pay_date=pays, effective_at=step, factor=_FACTOR, cash_rate="0.26", currency="USD", withholding="0.30",
    ))  # fmt: skip
    await stage.tell(f"DIV-1 is declared: 0.26 USD, paid on {pays}; the multiplier steps at {step:%Y-%m-%d %H:%M} UTC")
    await stage.issuer.schedule_multiplier(stage.mint, _AFTER, int(step.timestamp()))
    await stage.tell(f"the multiplier {_AFTER} is announced on the chain for that instant")
    await stage.wait(days=1)
    await stage.tell("the instant has passed: no transaction, and every token stands for more")
    await stage.close()
    await stage.statement(_HELD)
    await stage.reconcile("before the cash is reinvested")
    await stage.wait(days=3)
    await stage.close()
    await stage.statement(_OWED)
    await stage.reconcile("after it is reinvested")


DIVIDEND_REINVESTED = Scenario(
    "dividend-reinvested",
    "The multiplier steps before custody buys the shares: a receivable with an end, never a tolerance",
    "issuer, auditor",
    "AAPLx, 2026-08-08T00:30Z: 1.0026642075893797 to 1.0032690125398187, silently, by the clock",
    Telling((
        Moment("before the cash is reinvested", "ties_out_in_settlement", (noticed("B4", _OWED - _HELD, SYMBOL),)),
        # custody counts in billionths of a share: what is left is shown, never hidden
        Moment("after it is reinvested", "ties_out", (noticed("B9", stated(_OWED) - _OWED, SYMBOL),)),
    )),
    _dividend_reinvested,
)  # fmt: skip


async def _split_backdated(stage: Stage) -> None:
    await stage.list_instrument(1_000)
    await stage.release("REQ-1", 100, "participant")
    announced = await stage.now()
    await stage.wait(hours=3)
    step = announced + timedelta(hours=1)
    await stage.records("actions", _action(
        stage, "SPLIT-1", "split", announced_at=announced, effective_at=step, factor="10",
    ))  # fmt: skip
    await stage.tell(f"SPLIT-1 was declared: ten for one at {step:%H:%M} UTC")
    done = await stage.issuer.schedule_multiplier(
        stage.mint, 10, int(step.timestamp()), reason="the signer was asleep"
    )  # fmt: skip
    stage.name(done.signature, "the step")
    await stage.tell(f"two hours late, the multiplier 10 is set as of {step:%H:%M}")
    await stage.close()
    await stage.desk()
    await stage.statement(1_000)
    done_run = await stage.reconcile("the close")
    stage.fact("shares owed", str(done_run.instruments[0].liability))


SPLIT_BACKDATED = Scenario(
    "split-backdated",
    "A split is put on the chain two hours after the instant that it names: in between every token was a tenth",
    "exchange, auditor",
    "NFLXx, 2025-11-16T23:55Z: 1 to 10. The program takes an instant that has passed; "
    "Ondo writes multipliers already in force as a matter of course",
    Telling((Moment("the close", "ties_out", (told("B14", None, "the step"),)),), (Fact("shares owed", "1000"),)),
    _split_backdated,
)
