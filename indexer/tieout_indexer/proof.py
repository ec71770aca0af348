"""The proof: what the instructions did equals the node's own balance changes, account by account.

For each successful transaction and each token account of a tracked mint, a missing side
counting as 0: post − pre = Σ effects (reference: token-2022 identities, per transaction).
An amount that only the balances tell is solved from the residual, once an account, and marked.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence

from msgspec.structs import replace

from tieout_idl.programs import NATIVE_MINTS
from tieout_indexer.model import PSEUDO_ACCOUNTS, WHOLE, Doubt, Event, Touch, TransactionResult
from tieout_indexer.wire import TokenBalance, WireTransaction

_U64_MAX = 2**64 - 1
Key = tuple[str, str]


def prove(
    result: TransactionResult,
    transaction: WireTransaction,
    keys: Sequence[str],
    tracks: Callable[[str], bool],
    unsolved: Sequence[int],
) -> None:
    """Fill ``touches``, ``status`` and ``doubts``; drop the rows of mints that do not add up."""
    pre = _by_account(transaction.meta.pre_token_balances, keys, tracks)
    post = _by_account(transaction.meta.post_token_balances, keys, tracks)
    opened = {(c.mint, c.account) for c in result.controls if c.kind == "open" and c.account}
    solved = _solve(result.events, unsolved, pre, post) if unsolved else set()
    effects = sum_effects(result.events)
    for key in sorted(pre.keys() | post.keys() | effects.keys() | opened):
        _check(result, key, pre.get(key), post.get(key), effects.get(key, 0))
    for mint in solved:
        if result.status.get(mint) == "exact":
            result.status[mint] = "derived"
    if result.doubts:
        _drop_doubtful(result)


def sum_effects(events: Iterable[Event]) -> dict[Key, int]:
    """(mint, account) → the signed sum of what the events do to its visible amount."""
    effects: dict[Key, int] = defaultdict(int)
    for event in events:
        if event.source not in PSEUDO_ACCOUNTS:
            effects[event.mint, event.source] -= event.amount
        if event.destination not in PSEUDO_ACCOUNTS:
            effects[event.mint, event.destination] += event.amount - event.fee
    return dict(effects)


def _by_account(
    rows: Iterable[TokenBalance], keys: Sequence[str], tracks: Callable[[str], bool]
) -> dict[Key, TokenBalance]:
    return {(row.mint, keys[row.account_index]): row for row in rows if tracks(row.mint)}


def _solve(
    events: list[Event], unsolved: Sequence[int], pre: dict[Key, TokenBalance], post: dict[Key, TokenBalance]
) -> set[str]:
    """Give each event without an amount what is left of its account's change; only one an account can be solved."""
    effects = sum_effects(events)
    seen: set[Key] = set()
    solved = set()
    for index in unsolved:
        event = events[index]
        key = (event.mint, event.destination)
        residual = _amount(post.get(key)) - _amount(pre.get(key)) - effects.get(key, 0)
        if key not in seen and 0 <= residual <= _U64_MAX:
            events[index] = replace(event, amount=residual)
            solved.add(event.mint)
        seen.add(key)
    return solved


def _amount(row: TokenBalance | None) -> int:
    return int(row.ui_token_amount.amount) if row else 0  # digits only: the wire type holds it


def _check(
    result: TransactionResult, key: Key, pre: TokenBalance | None, post: TokenBalance | None, effect: int
) -> None:
    mint, account = key
    some = post or pre
    decimals = some.ui_token_amount.decimals if some else None
    before = int(pre.ui_token_amount.amount) if pre else None
    after = int(post.ui_token_amount.amount) if post else None
    result.touches.append(
        Touch(mint, account, decimals, before, after, pre.owner if pre else None, post.owner if post else None)
    )
    result.status.setdefault(mint, "exact")
    change = (after or 0) - (before or 0)
    if change != effect:
        native = " (wrapped SOL moves lamports, which are outside the proof)" if mint in NATIVE_MINTS else ""
        result.doubts.append(
            Doubt(
                WHOLE,
                mint,
                f"does not add up: the node says {account} changed by {change}, its instructions by {effect}{native}",
                "",
            )
        )


def _drop_doubtful(result: TransactionResult) -> None:
    doubtful = {doubt.mint for doubt in result.doubts}
    result.events = [e for e in result.events if e.mint not in doubtful]
    result.controls = [c for c in result.controls if c.mint not in doubtful]
    for mint in doubtful:
        result.status[mint] = "unproven"
    # One quarantine row a place and mint: the first reason stands for the others.
    first: dict[tuple[int, int, str], Doubt] = {}
    for doubt in result.doubts:
        first.setdefault((doubt.place.step, doubt.place.child, doubt.mint), doubt)
    result.doubts = list(first.values())
