"""A book's movements as Interactive Brokers tells them: the sections of a Flex query, by its own words."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from xml.sax.saxutils import quoteattr

from books.model import Leg, Place, plain

TOLD = frozenset({"journal", "receive", "deliver", "buy", "sell", "reinvest", "split", "dividend", "fee"})
"""What the four sections can say."""
_LOOKBACK = timedelta(days=14)
"""A query lists trades by their trade date: it begins before the period, so that those that settle in it are there."""


def to_flex_activity(place: Place, start: datetime, end: datetime, legs: Sequence[Leg]) -> str:
    """One account's trades, transfers, corporate actions and cash; sums stand beside the rows, as IBKR writes them."""
    sections = {
        "Trades": [_trade(leg) for leg in legs if leg.kind in ("buy", "sell", "reinvest")],
        "Transfers": [_transfer(leg) for leg in legs if leg.kind in ("journal", "receive", "deliver")],
        "CorporateActions": [_action(leg) for leg in legs if leg.kind == "split"],
        "CashTransactions": [_cash(leg) for leg in legs if leg.kind in ("dividend", "fee")],
    }
    body = "".join(f"<{name}>{''.join(rows)}</{name}>" for name, rows in sections.items())
    period = f'fromDate="{start - _LOOKBACK:%Y%m%d}" toDate="{end:%Y%m%d}" period="" whenGenerated="{_time(end)}"'
    return (
        '<FlexQueryResponse queryName="q" type="AF"><FlexStatements count="1">'
        f"<FlexStatement accountId={quoteattr(place.account)} {period}>{body}</FlexStatement>"
        "</FlexStatements></FlexQueryResponse>"
    )


def _time(at: datetime) -> str:
    return f"{at:%Y%m%d;%H%M%S}"


def _element(name: str, leg: Leg, **more: str) -> str:
    shared = {
        "accountId": leg.place.account, "assetCategory": "STK", "symbol": "SHARE", "isin": leg.isin, "currency": "USD",
        "transactionID": leg.reference, "reportDate": f"{leg.at:%Y%m%d}",
    }  # fmt: skip
    text = " ".join(f"{key}={quoteattr(value)}" for key, value in (shared | more).items())
    return f"<{name} {text} />"


def _trade(leg: Leg) -> str:
    side = "SELL" if leg.kind == "sell" else "BUY"
    said = {
        "transactionType": "ExchTrade", "buySell": side, "quantity": plain(leg.shares),
        "dateTime": _time(leg.at - timedelta(days=1)), "settleDateTarget": f"{leg.at:%Y%m%d}",
        "orderReference": leg.request_id, "notes": "P;R" if leg.kind == "reinvest" else "P",
    }  # fmt: skip
    order = _element("Order", leg, **(said | {"transactionID": ""}), levelOfDetail="ORDER")
    return order + _element("Trade", leg, **said, levelOfDetail="EXECUTION", netCash=leg.cash or "0")


def _transfer(leg: Leg) -> str:
    way = "OUT" if leg.shares < 0 else "IN"
    return _element(
        "Transfer", leg, type="FOP", direction=way, quantity=plain(leg.shares), dateTime=_time(leg.at),
        clientReference=leg.request_id, levelOfDetail="TRANSFER",
    )  # fmt: skip


def _action(leg: Leg) -> str:
    return _element(
        "CorporateAction",
        leg,
        type="FS",
        actionID=leg.action_id,
        quantity=plain(leg.shares),
        dateTime=_time(leg.at),
        levelOfDetail="DETAIL",
    )


def _cash(leg: Leg) -> str:
    kind = {"dividend": "Dividends", "fee": "Other Fees"}[leg.kind]
    row = {
        "type": kind,
        "actionID": leg.action_id,
        "amount": leg.cash,
        "currency": leg.currency,
        "dateTime": _time(leg.at),
    }
    total = _element("CashTransaction", leg, **(row | {"transactionID": ""}), levelOfDetail="SUMMARY")
    return total + _element("CashTransaction", leg, **row, levelOfDetail="DETAIL")
