"""The cash of orders that moves on chain: some payments in a stablecoin name the transaction that paid them.

It has dice of its own, as the cash side has. What moved is the payment's amount, but where a defect says otherwise.
"""

from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction
from random import Random

from books.model import Book, Move, Payment, Stock

COIN, PLACES = "USDC", 6
DESK, EXCHANGE = "cash desk", "coin exchange"
"""Ours, and where coins come from."""
STOCKED = 10**18


def send_coins(book: Book) -> None:
    """Name the transaction of most payments in the coin."""
    dice = Random(f"coins of {book.seed}")
    for payment in book.payments:
        if payment.currency == COIN and dice.random() < 0.7:
            payment.transaction = f"coin for {payment.reference}"


def coin_of(book: Book) -> Stock:
    """The coin, as far as a chain sees it: a mint with decimals."""
    return replace(book.stocks[0], symbol=COIN, mint=f"mint of {COIN}", decimals=PLACES, steps=[])


def payee(payment: Payment) -> str:
    """Who is on the other side of a payment: a name that stands for their wallet."""
    return f"payee of {payment.request_id}" if payment.direction == "out" else EXCHANGE


def by_coin(book: Book) -> list[Payment]:
    """The payments that name a transaction, in order of time."""
    return sorted((p for p in book.payments if p.transaction), key=lambda p: (p.at, p.reference))


def moves(book: Book, coin: Stock) -> Iterator[Move]:
    """What moved on chain."""
    for payment in by_coin(book):
        moved = payment.amount if payment.moved is None else payment.moved
        sides = (DESK, payee(payment)) if payment.direction == "out" else (payee(payment), DESK)
        if moved:
            yield Move(payment.at, coin, "transfer", *sides, int(moved * 10**PLACES), payment.transaction)


def a_unit_less(payment: Payment) -> None:
    """The chain moves the smallest unit less than the payment says."""
    payment.moved = payment.amount - Fraction(1, 10**PLACES)
