"""Stories of tokens that cross to another network."""

from typing import Any

from tieout.scenarios.stage import ONE, SYMBOL, Stage
from tieout.scenarios.telling import Fact, Moment, Scenario, Telling, told


async def _read_ethereum(stage: Stage, shares: int) -> None:
    await stage.records("chains", {
        "symbol": SYMBOL, "network": "ethereum", "unit": "adjusted", "quantity": shares, "as_of": stage.closed_at,
        "source": "an archive node",
    })  # fmt: skip
    await stage.tell(f"ethereum is read: {shares} shares")


async def _left(stage: Stage) -> dict[str, Any]:
    """A hundred tokens are outside, forty of them burned for the bridge; the message of it."""
    await stage.list_instrument(1_000, chains=["ethereum"])
    await stage.release("REQ-1", 100, "participant")
    await stage.close()
    await stage.desk()
    at = await stage.now()
    holder = stage.signer("participant")
    done = await stage.issuer.burn(stage.mint, 40 * ONE, "MSG-1", holder=holder)
    await stage.tell("participant burns 40 tokens for the bridge to ethereum")
    return {
        "message_id": "MSG-1", "symbol": SYMBOL, "direction": "out", "network": "ethereum", "raw": 40 * ONE,
        "signature": done.signature, "sent_at": at, "delivered_at": None,
    }  # fmt: skip


async def _bridge_in_flight(stage: Stage) -> None:
    message = await _left(stage)
    await stage.close()
    await _read_ethereum(stage, 0)
    await stage.records("bridge", message)
    await stage.statement(100)
    done = await stage.reconcile("in flight")
    stage.fact("in flight, raw units", str(done.instruments[0].in_flight))
    await stage.wait(hours=1)
    message["delivered_at"] = await stage.now()
    await stage.records("bridge", message)
    await stage.tell("the message is delivered: 40 are minted on ethereum")
    await stage.wait(minutes=1)
    await stage.close()
    await _read_ethereum(stage, 40)
    done = await stage.reconcile("arrived")
    stage.fact("on ethereum, shares", str(done.instruments[0].other_chains))


BRIDGE_IN_FLIGHT = Scenario(
    "bridge-in-flight",
    "Tokens burned here and not minted there yet are owed by neither chain's supply, and are not lost sight of",
    "issuer, exchange",
    "xStocks' xBridge over Chainlink CCIP: a burn on one network, a mint on the other, no custody movement",
    Telling(
        (Moment("in flight", "ties_out"), Moment("arrived", "ties_out")),
        (Fact("in flight, raw units", str(40 * ONE)), Fact("on ethereum, shares", "40")),
    ),
    _bridge_in_flight,
)


async def _bridge_lost(stage: Stage) -> None:
    message = await _left(stage)
    await stage.wait(hours=30)
    await stage.tell("thirty hours on, the message was not delivered")
    await stage.close()
    await _read_ethereum(stage, 0)
    await stage.records("bridge", message)
    await stage.statement(100)
    done = await stage.reconcile("thirty hours on")
    stage.fact("shares owed", str(done.instruments[0].liability))


BRIDGE_LOST = Scenario(
    "bridge-lost",
    "A bridge message that never arrives is named after a day, and its tokens stay owed",
    "issuer, holders",
    "how xStocks' bridge locks and burns is not public: what left one network is owed until the other one shows it",
    Telling((Moment("thirty hours on", "ties_out", (told("C10", 40, "MSG-1"),)),), (Fact("shares owed", "100"),)),
    _bridge_lost,
)
