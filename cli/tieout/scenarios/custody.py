"""Stories of the shares behind the tokens, and of an exchange's customers."""

from datetime import datetime
from typing import Any

from tieout.scenarios.stage import ONE, SYMBOL, Stage
from tieout.scenarios.telling import Fact, Moment, Scenario, Telling, noticed, told

_EXCHANGE: dict[str, Any] = {
    "wallets": (("exchange", "venue_omnibus"),),
    "venues": ("exchange-1",),
    "more_wallets": {"exchange": {"venue": "exchange-1"}},
}


async def _holders_unable_to_redeem(stage: Stage) -> None:
    await stage.list_instrument(1_000)
    await stage.release("REQ-1", 100, "participant")
    await stage.close()
    await stage.desk()
    await stage.statement(100)
    await stage.reconcile("at first")
    await stage.give_back("RED-1", 40, "participant")
    await stage.wait(days=8)
    await stage.tell("eight days on, nothing was paid out or delivered for RED-1")
    await stage.close()
    await stage.desk(pending=("RED-1",))
    await stage.statement(10)
    result = (await stage.reconcile("eight days on")).instruments[0]
    stage.fact("raw units that came back and are still owed", str(result.owed_returns))
    await stage.desk()
    await stage.tell("the desk calls RED-1 completed")
    await stage.wait(days=3)
    await stage.close()
    await stage.movements((100, "journal", "J-1", "REQ-1", stage.opened_at))
    await stage.statement(10)
    await stage.reconcile("called completed")


HOLDERS_UNABLE_TO_REDEEM = Scenario(
    "holders-unable-to-redeem",
    "Custody is gone and a redemption is never paid: both are named, and calling it completed does not help",
    "exchange, auditor, holders",
    "FTX's tokenized stocks: the broker had left in December 2021, the claim on its custody outlived it; "
    "545,000 wrapped AMC tokens without shown shares",
    Telling(
        (
            Moment("at first", "ties_out"),
            Moment("eight days on", "does_not_tie_out", (told("B1", -90, SYMBOL), told("C8", 40, "RED-1"))),
            # whoever calls it completed owes the shares that left custody for it, and none did
            Moment("called completed", "does_not_tie_out", (
                told("B1", -50, SYMBOL), told("C3", 40, "RED-1"), told("C8", 40, "RED-1"),
            )),
        ),
        (Fact("raw units that came back and are still owed", str(40 * ONE)),),
    ),
    _holders_unable_to_redeem,
)  # fmt: skip


async def _forced_delisting(stage: Stage) -> None:
    from tieout_client import LAND_FAILURES
    from tieout_reconcile import entitlement

    await stage.list_instrument(1_000, **_EXCHANGE)
    await stage.release("REQ-1", 100, "exchange")
    await stage.release("REQ-2", 20, "participant")
    await stage.pay(5, "participant", "alice")
    paused = await stage.issuer.pause(stage.mint)
    stage.name(paused.signature, "the pause")
    await stage.tell("the instrument is delisted: it is paused")
    landing = stage.issuer.using(options=LAND_FAILURES)
    tried = await landing.transfer(stage.mint, ONE, stage.signer("alice"), stage.owner("bob"))
    await stage.tell("alice tries to send a token meanwhile")
    stage.fact("a transfer while paused succeeded", tried.succeeded)
    await stage.close()
    snapshot = await entitlement(stage.dsn, SYMBOL, stage.slot)
    ours = {stage.owner("treasury"), stage.owner("redemption_wallet")}
    outside = [h for h in snapshot.holders if h.owner not in ours]
    await stage.tell(f"record time: {len(outside)} holders")
    stage.fact("holders entitled at the record time", len(outside))
    stage.fact("shares that they are entitled to", str(sum(h.shares for h in outside)))
    stage.fact("holders and treasury add up to the supply", snapshot.adds_up)
    resumed = await stage.issuer.resume(stage.mint)
    stage.name(resumed.signature, "the resumption")
    await stage.tell("it is resumed, so that tokens can come back")
    await stage.give_back("RED-1", 100, "exchange")
    await stage.give_back("RED-2", 15, "participant")
    await stage.close()
    await stage.desk()
    await stage.statement(5)
    done = await stage.reconcile("wound down")
    stage.fact("shares still owed to who did not come", str(done.instruments[0].liability))


FORCED_DELISTING = Scenario(
    "forced-delisting",
    "A delisting: paused, entitlements taken, the exchange returns its omnibus holding; who did not come is still owed",
    "issuer, exchange, holders",
    "Binance's stock tokens, 2021: 90 days to sell, the rest sold by force on 15 October",
    Telling(
        (
            Moment(
                "wound down",
                "ties_out",
                (
                    # nobody announced them in the registry
                    noticed("A9", None, "the pause"),
                    noticed("A9", None, "the resumption"),
                ),
            ),
        ),
        (
            Fact("a transfer while paused succeeded", False),
            Fact("holders entitled at the record time", 3),
            Fact("shares that they are entitled to", "120"),
            Fact("holders and treasury add up to the supply", True),
            Fact("shares still owed to who did not come", "5"),
        ),
    ),
    _forced_delisting,
)


async def _synthetic_without_custody(stage: Stage) -> None:
    await stage.list_instrument(0)
    for number, minter in enumerate(("alice", "bob"), 1):
        done = await stage.issuer.mint_to(stage.mint, 25 * ONE, stage.owner(minter))
        stage.name(done.signature, f"mint {number}")
        await stage.tell(f"{minter} mints 25 tokens against collateral that is no share")
    await stage.close()
    result = (await stage.reconcile("the close")).instruments[0]
    stage.fact("custody is unknown, not zero", result.custody is None)


SYNTHETIC_WITHOUT_CUSTODY = Scenario(
    "synthetic-without-custody",
    "Tokens that follow a price and have no shares: never good, and custody is unknown, not zero",
    "exchange, auditor",
    "Mirror on Terra: anybody minted against crypto collateral, no custody; a wrong price drained pools in May 2022",
    Telling(
        (Moment("the close", "incomplete", (
            told("B6", None, SYMBOL), told("C1", 25, "mint 1"), told("C1", 25, "mint 2"),
        )),),
        (Fact("custody is unknown, not zero", True),),
    ),
    _synthetic_without_custody,
)  # fmt: skip


async def _lying_custodian_restatement(stage: Stage) -> None:
    await stage.list_instrument(1_000)
    await stage.release("REQ-1", 100, "participant")
    await stage.close()
    await stage.desk()
    await stage.statement(100)
    first = await stage.reconcile("as first stated")
    await stage.tell("the custodian restates the same instant")
    await stage.statement(60)
    await stage.reconcile("as restated")
    known = {"known_batch": first.inputs.known_batch, "known_load": first.inputs.known_load}
    again = await stage.reconcile("as it was known at first", **known)
    stage.fact("the first run again is the same, byte for byte", again.canonical_json() == first.canonical_json())
    statements = await stage.query("select distinct load from recon.positions")
    stage.fact("statements kept", len(statements))


LYING_CUSTODIAN_RESTATEMENT = Scenario(
    "lying-custodian-restatement",
    "A restated statement supersedes the first; what was known before it stays, and computes to the same bytes",
    "auditor, issuer",
    "reserve feeds can be green while the assets are elsewhere (the SEC's case about TrueUSD)",
    Telling(
        (
            Moment("as first stated", "ties_out"),
            Moment("as restated", "does_not_tie_out", (told("B1", -40, SYMBOL),)),
            Moment("as it was known at first", "ties_out"),
        ),
        (Fact("the first run again is the same, byte for byte", True), Fact("statements kept", 2)),
    ),
    _lying_custodian_restatement,
)


def _ledger_line(kind: str, shares: int, account: str | None, as_of: datetime) -> dict[str, Any]:
    return {
        "venue": "exchange-1", "symbol": SYMBOL, "kind": kind, "quantity": shares * ONE, "unit": "raw", "as_of": as_of,
        "account": account,
    }  # fmt: skip


async def _omnibus_shortfall(stage: Stage) -> None:
    await stage.list_instrument(1_000, **_EXCHANGE)
    await stage.release("REQ-1", 100, "exchange")
    await stage.pay(20, "exchange", "bob")
    await stage.tell("that withdrawal was never booked in the exchange's own ledger")
    await stage.wait(minutes=1)
    as_of = await stage.now()
    await stage.wait(minutes=1)
    await stage.close()
    await stage.desk()
    await stage.statement(100)
    # a customer in debit is not set off against the others
    lines = [("customer", 70, "c-1"), ("customer", 35, "c-2"), ("customer", -5, "c-3"), ("house", 10, None)]
    await stage.records("venue", *(_ledger_line(kind, much, account, as_of) for kind, much, account in lines))
    await stage.tell("the exchange's ledger says: customers 70 and 35, one at -5, its own 10; its wallet holds 80")
    await stage.reconcile("the close")


OMNIBUS_SHORTFALL = Scenario(
    "omnibus-shortfall",
    "The issuer is whole, the exchange is not: its customers' ledger exceeds its omnibus wallet, gross",
    "exchange, auditor",
    "an exchange's customers hold claims on an omnibus wallet, not tokens: Binance's stock tokens of 2021 "
    "could not even be withdrawn",
    Telling((Moment("the close", "ties_out", (told("D4", -35, SYMBOL),)),)),
    _omnibus_shortfall,
)
