"""All kinds of defect, and how a book gets its own: none to five, each on a stock that can have it."""

from books import wrong_actions, wrong_cash, wrong_chain, wrong_custody, wrong_elsewhere, wrong_orders, wrong_venues
from books.kinds import KINDS, Kind
from books.model import Book, Stock

MODULES = (wrong_actions, wrong_cash, wrong_chain, wrong_custody, wrong_elsewhere, wrong_orders, wrong_venues)
MOST = 5


def spoil(book: Book, count: int | None = None) -> list[str]:
    """Inject some kinds of defect, drawn by the book's own dice; return their names."""
    wanted = book.dice.randint(0, MOST) if count is None else count
    # a kind that needs much of its stock finds few: it is asked first more often
    drawn = sorted(KINDS.values(), key=lambda k: book.dice.random() / (1 + 2 * len(k.needs)))
    placed: list[tuple[Kind, Stock]] = []
    for kind in drawn:
        if len(placed) == wanted:
            break
        fitting = [s for s in book.stocks if kind.suits(s) and _free(kind, [k for k, on in placed if on is s])]
        if fitting:
            placed.append((kind, book.dice.choice(fitting)))
    return [kind.name for kind, stock in sorted(placed, key=lambda p: _stage(p[0])) if inject(book, kind, stock)]


def _stage(kind: Kind) -> int:
    """What moves tokens comes first, then steps, which change what is owed for them, then what both are sized by."""
    return 2 if kind.last else int("step" in kind.claims)


def _free(kind: Kind, there: list[Kind]) -> bool:
    """Whether a stock with these defects can have one more."""
    if there and (kind.alone or any(k.alone for k in there)):
        return False
    return not any(kind.claims & k.claims for k in there)


def inject(book: Book, kind: Kind, stock: Stock) -> bool:
    """Inject one kind into a stock; False where the book gives no occasion for it."""
    truth = kind.inject(book, stock)
    if truth is None:
        return False
    book.told += truth.told
    return True
