"""Scenarios: stories played on a real local chain, each saying beforehand what must be found.

``telling`` is the pure core (what is told, what is found, the difference); ``stage`` plays, ``running`` gives it a
chain and a database; the stories stand in ``market``, ``custody``, ``corporate``, ``crossing`` and ``nodes``.
"""

from tieout.scenarios import corporate, crossing, custody, market, nodes
from tieout.scenarios.telling import Scenario

SCENARIOS: dict[str, Scenario] = {
    s.name: s
    for s in (
        market.DAY_IN_BALANCE,
        market.UNBACKED_MINT,
        market.TREASURY_RAID,
        market.DUPLICATE_REQUEST,
        market.SEIZURE,
        custody.HOLDERS_UNABLE_TO_REDEEM,
        custody.FORCED_DELISTING,
        custody.SYNTHETIC_WITHOUT_CUSTODY,
        custody.LYING_CUSTODIAN_RESTATEMENT,
        custody.OMNIBUS_SHORTFALL,
        corporate.DIVIDEND_REINVESTED,
        corporate.SPLIT_BACKDATED,
        crossing.BRIDGE_IN_FLIGHT,
        crossing.BRIDGE_LOST,
        nodes.FORKED_CHAIN,
        nodes.LYING_NODE,
        nodes.MISSED_SLOTS,
        nodes.CRASHED_INDEXER,
    )
}
"""By name, in the order in which they are listed and played."""
