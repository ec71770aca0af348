"""Stories of the primary market: tokens against orders."""

from fractions import Fraction

from tieout.scenarios.stage import ONE, Stage
from tieout.scenarios.telling import Fact, Moment, Scenario, Telling, noticed, told


async def _day_in_balance(stage: Stage) -> None:
    await stage.list_instrument(10_000)
    await stage.release("REQ-1", Fraction("250.5"), "participant")
    await stage.release("REQ-2", Fraction("74.25"), "venue")
    await stage.pay(60, "participant", "alice")
    await stage.give_back("RED-1", 25, "participant")
    await stage.issuer.sweep(stage.mint, 25 * ONE, "RED-1")
    await stage.tell("the tokens that came back are swept into the treasury; nothing is burned")
    await stage.close()
    await stage.desk()
    await stage.statement(Fraction("299.75"))
    await stage.reconcile("the close")


DAY_IN_BALANCE = Scenario(
    "day-in-balance",
    "A day of issues, sales and a redemption: supply is 10,000, owed and held are 299.75",
    "issuer, exchange, auditor",
    "xStocks on Solana: minted ahead into a treasury, issued by a transfer out of it, redeemed by one back, no burn",
    Telling((Moment("the close", "ties_out"),)),
    _day_in_balance,
)


async def _unbacked_mint(stage: Stage) -> None:
    await stage.list_instrument(1_000)
    await stage.release("REQ-1", 100, "participant")
    done = await stage.issuer.mint_to(stage.mint, 3 * ONE, stage.owner("outsider"))
    stage.name(done.signature, "the mint")
    await stage.tell("the mint authority mints 3 tokens straight to an outsider; no order asks for them")
    await stage.close()
    await stage.desk()
    await stage.statement(100)
    await stage.reconcile("after the mint")
    done = await stage.issuer.burn(stage.mint, 3 * ONE, "OOPS", holder=stage.signer("outsider"))
    stage.name(done.signature, "the burn")
    await stage.tell("the outsider burns them again: the supply looks as if nothing had been")
    await stage.close()
    await stage.statement(100)
    await stage.reconcile("after the burn")


UNBACKED_MINT = Scenario(
    "unbacked-mint",
    "A mint to an outsider without an order is named, and stays named after the supply is back where it was",
    "issuer, auditor",
    "Paxos, 2025-10-15: 300 trillion PYUSD minted at 19:12 UTC and burned at 19:34; a daily snapshot sees neither",
    Telling((
        Moment("after the mint", "does_not_tie_out", (told("B1", -3, "AAPLx"), told("C1", 3, "the mint"))),
        Moment("after the burn", "ties_out", (told("C1", 3, "the mint"), noticed("C3", 3, "the burn"))),
    )),
    _unbacked_mint,
)  # fmt: skip


async def _treasury_raid(stage: Stage) -> None:
    await stage.list_instrument(1_000)
    await stage.release("REQ-1", 6, "participant", of=10)
    await stage.release("REQ-1", 6, "participant")
    await stage.close()
    await stage.desk()
    await stage.statement(10)
    await stage.reconcile("the close")


TREASURY_RAID = Scenario(
    "treasury-raid",
    "Two releases name one order of 10 and are 12 together: each alone would have passed",
    "issuer, auditor",
    "xStocks' treasury is one hot key that holds half of the supply or more (52.4% of NVDAx, 74.8% of AAPLx)",
    Telling((Moment("the close", "does_not_tie_out", (told("B1", -2, "AAPLx"), told("C5", 12, "REQ-1"))),)),
    _treasury_raid,
)


async def _seizure(stage: Stage) -> None:
    await stage.list_instrument(1_000)
    await stage.release("REQ-1", 100, "participant")
    await stage.pay(12, "participant", "thief")
    account = stage.issuer.account_address(stage.mint, stage.owner("thief"))
    frozen = await stage.issuer.freeze(stage.mint, account)
    stage.name(frozen.signature, "the freeze")
    await stage.tell("the thief's token account is frozen")
    done = await stage.issuer.seize(stage.mint, account, 12 * ONE, "CASE-1")
    stage.name(done.signature, "the seizure")
    await stage.tell("CASE-1: the permanent delegate moves 12 tokens to the treasury, in one transaction")
    await stage.close()
    await stage.desk()
    await stage.statement(100)
    result = (await stage.reconcile("the close")).instruments[0]
    stage.fact("raw units owed for what was seized", str(result.owed_forced))


SEIZURE = Scenario(
    "seizure",
    "What the permanent delegate takes back into the treasury is still owed to somebody",
    "issuer, auditor",
    "every xStocks mint has a permanent delegate (a 2-of-3 multisig); no use of it is documented so far",
    Telling(
        (Moment("the close", "ties_out", (noticed("A9", 12, "the seizure"), noticed("A9", None, "the freeze"))),),
        (Fact("raw units owed for what was seized", str(12 * ONE)),),
    ),
    _seizure,
)


async def _duplicate_request(stage: Stage) -> None:
    from tieout_client import AlreadyIssued, connect

    await stage.list_instrument(1_000)
    at, keys = await stage.now(), (stage.signer("payer"), stage.authorities())
    stage.ask("REQ-1", 100, "participant", at)
    wanted = (stage.mint, 100 * ONE, stage.owner("participant"), "REQ-1")
    async with connect(stage.url, *keys, journal=stage.folder / "desk.sqlite", guard="account") as desk:
        first = await desk.issue(*wanted)
        await stage.tell("REQ-1: 100 tokens are released to participant")
        again = await desk.issue(*wanted)
        await stage.tell("REQ-1: the same desk is asked for it again (a double click), and shows what it did")
    stage.fact("the second answer is the first transaction", first.signature == again.signature)
    async with connect(stage.url, *keys, journal=stage.folder / "other-desk.sqlite", guard="account") as other:
        try:
            await other.issue(*wanted)
            said = "issued"
        except AlreadyIssued:
            said = "refused"
    await stage.tell("REQ-1: another desk, with a journal of its own, is asked for it: the chain knows the request")
    stage.fact("the other desk", said)
    await stage.close()
    await stage.desk()
    await stage.statement(100)
    await stage.reconcile("the close")
    treasury = stage.owner("treasury")
    left = await stage.query("select amount from ledger.balances where mint = $1 and owner = $2", stage.mint, treasury)
    stage.fact("left in the treasury", str(int(left[0]["amount"]) // ONE))


DUPLICATE_REQUEST = Scenario(
    "duplicate-request",
    "One request asked for three times, by two desks, is released once",
    "issuer",
    "ST0X: minted again after a time-out of its node; a duplicate of 0.750 shares is on record",
    Telling(
        (Moment("the close", "ties_out"),),
        (
            Fact("the second answer is the first transaction", True),
            Fact("the other desk", "refused"),
            Fact("left in the treasury", "900"),
        ),
    ),
    _duplicate_request,
)
