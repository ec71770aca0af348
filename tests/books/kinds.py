"""What a kind of defect is: its name, where it can be put, and how it changes a book."""

from collections.abc import Callable
from dataclasses import dataclass

from books.model import Book, Stock, Truth

Inject = Callable[[Book, Stock], Truth | None]


@dataclass(frozen=True)
class Kind:
    """A kind of defect.

    ``code``: what names it. ``needs``: traits of its stock; ``bars``: none of these. ``claims``: what it takes
    for itself, so that no other kind may claim it of the same stock; ``alone``: it makes the stock unknown, so
    nothing else may be wrong with it. ``last``: it is sized by all that was injected before.
    """

    name: str
    code: str
    inject: Inject
    needs: frozenset[str] = frozenset()
    bars: frozenset[str] = frozenset()
    claims: frozenset[str] = frozenset()
    alone: bool = False
    last: bool = False

    def suits(self, stock: Stock) -> bool:
        """Whether a stock can have it."""
        traits = stock.traits | ({"nine"} if stock.decimals == 9 else set())
        return self.needs <= traits | {"bare", "holiday"} and not self.bars & traits


KINDS: dict[str, Kind] = {}


def kind(
    code: str, *, needs: str = "", bars: str = "", claims: str = "", alone: bool = False, last: bool = False
) -> Callable[[Inject], Inject]:
    """Register a function that injects a kind of defect, under its own name."""

    def add(inject: Inject) -> Inject:
        name = inject.__name__
        KINDS[name] = Kind(
            name,
            code,
            inject,
            frozenset(needs.split()),
            frozenset(bars.split()),
            frozenset(claims.split()),
            alone,
            last,
        )
        return inject

    return add
