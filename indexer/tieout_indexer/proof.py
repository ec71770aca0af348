"""The proof: what the instructions did equals the node's own balance changes, account by account.

For each successful transaction and each token account of a tracked mint, a missing side
counting as 0: post − pre = Σ effects (reference: token-2022 identities, per transaction).
An amount that only the balances tell is solved from the residual, once an account, and marked.
"""

from collections import defaultdict
from collections.abc import Container, Iterable, Mapping, Sequence

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
    tracked: Container[str] | None,
    unsolved: Sequence[int],
    owner_of: Mapping[str, str | None],
) -> None:
    """Fill ``touches``, ``status`` and ``doubts``; drop the rows of mints that do not add up.

    ``tracked`` None: every mint is. ``owner_of`` is who owns each account after the instructions, where known.
    Raises ValueError where the node says an amount that no account can hold.
    """
    pre = _by_account(transaction.meta.pre_token_balances, keys, tracked)
    post = _by_account(transaction.meta.post_token_balances, keys, tracked)
    opened = {(c.mint, c.account) for c in result.controls if c.kind == "open" and c.account}
    solved = _solve(result, unsolved, pre, post) if unsolved else set()
    _compare(result, {*pre, *post, *opened}, pre, post, sum_effects(result.events))
    for touch in result.touches:
        result.status.setdefault(touch.mint, "exact")
        owner = owner_of.get(touch.account)
        if touch.post_owner not in (None, owner) and owner is not None:
            result.doubts.append(_owner_differs(touch, owner))
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
    rows: Iterable[TokenBalance], keys: Sequence[str], tracked: Container[str] | None
) -> dict[Key, TokenBalance]:
    return {(row.mint, keys[row.account_index]): row for row in rows if tracked is None or row.mint in tracked}


def _solve(
    result: TransactionResult, unsolved: Sequence[int], pre: dict[Key, TokenBalance], post: dict[Key, TokenBalance]
) -> set[str]:
    """Give each event without an amount what is left of its account's change; only one an account can be solved."""
    events = result.events
    effects = sum_effects(events)
    seen: set[Key] = set()
    solved = set()
    for index in unsolved:
        event = events[index]
        key = (event.mint, event.destination)
        residual = _amount(post.get(key)) - _amount(pre.get(key)) - effects.get(key, 0)
        if key in seen:
            told = f"{event.destination} is paid more than one amount that only its balance tells"
            result.doubts.append(Doubt(event.place, event.mint, told, ""))
        elif 0 <= residual <= _U64_MAX:
            events[index] = replace(event, amount=residual)
            solved.add(event.mint)
        seen.add(key)
    return solved


def _amount(row: TokenBalance | None) -> int:
    return int(row.ui_token_amount.amount) if row else 0  # digits only: parsing held it to that


def _compare(
    result: TransactionResult,
    named: set[Key],
    pre: dict[Key, TokenBalance],
    post: dict[Key, TokenBalance],
    effects: dict[Key, int],
) -> None:
    """Note what the node says of each account, and where it is not what the instructions did."""
    for key in sorted(named.union(effects)):
        mint, account = key
        first, last = pre.get(key), post.get(key)
        before = int(first.ui_token_amount.amount) if first else None
        after = int(last.ui_token_amount.amount) if last else None
        some = last or first
        result.touches.append(
            Touch(
                mint, account, some.ui_token_amount.decimals if some else None,
                before, after, first.owner if first else None, last.owner if last else None,
            )
        )  # fmt: skip
        if max(before or 0, after or 0) > _U64_MAX:
            raise ValueError(f"{account} is said to hold more than an account can: {before}, then {after}")
        change, effect = (after or 0) - (before or 0), effects.get(key, 0)
        if change != effect:
            result.doubts.append(_unequal(mint, account, change, effect))


def _unequal(mint: str, account: str, change: int, effect: int) -> Doubt:
    native = " (wrapped SOL moves lamports, which are outside the proof)" if mint in NATIVE_MINTS else ""
    told = f"does not add up: the node says {account} changed by {change}, its instructions by {effect}{native}"
    return Doubt(WHOLE, mint, told, "")


def _owner_differs(touch: Touch, owner: str) -> Doubt:
    told = (
        f"the node says that {touch.account} ends with owner {touch.post_owner}, its instructions leave it to {owner}"
    )
    return Doubt(WHOLE, touch.mint, told, "")


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
