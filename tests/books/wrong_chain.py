"""Defects of the ledger itself, and acts of authority: the codes A."""

from books.kinds import kind
from books.model import Book, Control, Doubt, Label, Stock, Told, Truth
from books.wrong_orders import evening, journal, ordered, release, truth


def _found(book: Book, stock: Stock, name: str, code: str, audit: str, text: str = "99") -> Truth:
    """An open finding of an audit that the indexer made: the stock's figures are not known."""
    doubt = Doubt(stock, audit, evening(book), book.name("tx"), text)
    book.doubts.append(doubt)
    book.unknown.add(stock.symbol)
    return truth(name, Told(code, stock.symbol, None, audit))


@kind("A1", alone=True)
def slots_missing(book: Book, stock: Stock) -> Truth:
    """The mint is not proven up to the cut-off."""
    book.unproven.add(stock.symbol)
    book.unknown.add(stock.symbol)
    return truth("slots_missing", Told("A1", stock.symbol))


@kind("A2", bars="whole")
def transaction_twice(book: Book, stock: Stock) -> Truth:
    """A release stands at two places of the chain: so the ledger has it fill its order twice."""
    raw = book.size(stock)
    order = ordered(book, stock, "issue", raw)
    journal(book, order, raw)
    reference = release(book, order, raw, twice=True)
    book.owe(stock, raw, order.created_at)
    return truth(
        "transaction_twice", Told("A2", stock.symbol, raw, reference), Told("C7", stock.symbol, raw, order.request_id)
    )


@kind("A3", alone=True)
def instruction_unread(book: Book, stock: Stock) -> Truth:
    """A transaction that touches the mint holds an instruction that nobody knows."""
    doubt = Doubt(stock, "quarantine", evening(book), book.name("tx"), "unknown instruction 77")
    book.doubts.append(doubt)
    book.unknown.add(stock.symbol)
    return truth("instruction_unread", Told("A3", stock.symbol, None, doubt.reference))


@kind("A4", bars="whole")
def block_missing(book: Book, stock: Stock) -> Truth:
    """A release stands in a slot of which the ledger has no block."""
    raw = book.size(stock)
    order = ordered(book, stock, "issue", raw)
    journal(book, order, raw)
    reference = release(book, order, raw, blockless=True)
    return truth("block_missing", Told("A4", stock.symbol, raw, reference))


@kind("A5", alone=True)
def supply_drifts(book: Book, stock: Stock) -> Truth:
    """The node's supply is not the ledger's."""
    return _found(book, stock, "supply_drifts", "A5", "supply")


@kind("A6", alone=True)
def balance_drifts(book: Book, stock: Stock) -> Truth:
    """A node's balance of an account is not the ledger's."""
    return _found(book, stock, "balance_drifts", "A6", "balance")


@kind("A6", alone=True)
def treasury_moves_unseen(book: Book, stock: Stock) -> Truth:
    """The treasury's own account holds more than its movements brought: some of them are missing."""
    book.miscounted[stock.symbol] = ("treasury", 5 * stock.one)
    book.unknown.add(stock.symbol)
    told = [Told("A6", stock.symbol)]
    if stock.large_share:
        # where all holders are counted, they are more than the supply
        told.append(Told("D5", stock.symbol, 5 * stock.one))
    return truth("treasury_moves_unseen", *told)


@kind("A7", alone=True)
def nodes_disagree(book: Book, stock: Stock) -> Truth:
    """Two nodes tell a transaction differently."""
    return _found(book, stock, "nodes_disagree", "A7", "transaction")


@kind("A7", alone=True)
def decimals_disagree(book: Book, stock: Stock) -> Truth:
    """The registry has other decimals than the mint."""
    stock.known_decimals = stock.decimals - 1
    book.unknown.add(stock.symbol)
    return truth("decimals_disagree", Told("A7", stock.symbol))


@kind("A8", bars="whole")
def treasury_hides(book: Book, stock: Stock) -> Truth:
    """The treasury makes a balance confidential: nobody sees any more that it is not outside."""
    at, raw = evening(book), book.size(stock)
    moved = book.move(at, stock, "confidential_deposit", "treasury", "confidential", raw)
    book.owe(stock, raw, at)
    return truth("treasury_hides", Told("A8", stock.symbol, raw, moved.reference))


@kind("A9")
def seized_without_a_word(book: Book, stock: Stock) -> Truth | None:
    """The permanent delegate burns a holder's tokens: they stay owed, and it is shown."""
    at = evening(book)
    if (found := book.take(stock, at)) is None:
        return None
    moved = book.move(at, stock, "burn", found[0], "issuance", found[1], role="permanent_delegate")
    return truth("seized_without_a_word", Told("A9", stock.symbol, found[1], moved.reference, notice=True))


@kind("A9")
def authority_handed_over(book: Book, stock: Stock) -> Truth:
    """The mint authority goes to somebody else."""
    control = Control(
        evening(book), stock, "authority", book.name("tx"), None, {"type": "mint_tokens", "new": "somebody else"}
    )
    book.controls.append(control)
    return truth("authority_handed_over", Told("A9", stock.symbol, None, control.reference, notice=True))


@kind("A9")
def account_frozen_unannounced(book: Book, stock: Stock) -> Truth:
    """Somebody's account is frozen, and nothing of the business says why: what it holds stays owed."""
    control = Control(evening(book), stock, "freeze", book.name("tx"), "a holder", {})
    book.controls.append(control)
    told = Told("A9", stock.symbol, None, control.reference, notice=True)
    return truth("account_frozen_unannounced", told)


@kind("A9")
def mint_paused_unannounced(book: Book, stock: Stock) -> Truth:
    """The mint is paused, and nothing of the business says why."""
    control = Control(evening(book), stock, "pause", book.name("tx"), None, {})
    book.controls.append(control)
    return truth("mint_paused_unannounced", Told("A9", stock.symbol, None, control.reference, notice=True))


@kind("B11", alone=True)
def multiplier_is_another(book: Book, stock: Stock) -> Truth:
    """The mint's multiplier is not what the replay of its updates gives."""
    return _found(book, stock, "multiplier_is_another", "B11", "multiplier")


@kind("D3", bars="late_split late_dividend")
def label_ended_with_tokens(book: Book, stock: Stock) -> Truth:
    """An inventory wallet's entry ended, and its tokens are still there: from then on they are outside."""
    at, raw, name = evening(book), book.size(stock), book.name("stash")
    book.move(at, stock, "transfer", "treasury", name, raw)
    ended = book.stated_at
    book.labels.append(Label(name, "inventory", valid_to=ended))
    book.owe(stock, raw, ended)
    return truth("label_ended_with_tokens", Told("D3", stock.symbol, raw, f"{stock.symbol} account of {name}"))
