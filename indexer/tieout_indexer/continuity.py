"""From one transaction to the next: each account begins where the last one left it.

The proof of a transaction cannot see a transaction that is missing altogether; this can.
Pure: the caller loads what earlier transactions left.
"""

from dataclasses import dataclass

from tieout_indexer.model import WHOLE, Doubt, Touch, TransactionResult

Key = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Left:
    """What the last transaction left of an account; amount None: no such account."""

    amount: int | None
    owner: str | None


class Continuity:
    """The state of every account that a run of slots touches, carried forward.

    ``left`` holds what is known from before; ``complete`` names the mints of which everything
    before is known, so that an account without an entry did not exist.
    """

    def __init__(self, left: dict[Key, Left], complete: set[str]) -> None:
        self._left = left
        self._complete = complete

    def knows(self, key: Key) -> bool:
        """Whether something is known of the account's state."""
        return key in self._left

    def is_complete(self, mint: str) -> bool:
        """Whether all that came before is known of the mint."""
        return mint in self._complete

    def learn(self, left: dict[Key, Left]) -> None:
        """Add what earlier transactions left of accounts not met yet."""
        self._left = {**left, **self._left}

    def check(self, result: TransactionResult) -> list[Doubt]:
        """Compare the transaction's pre-state with what was left, then move on to its post-state."""
        for control in result.controls:
            if control.kind == "mint_open":
                self._complete.add(control.mint)
        doubts = [d for d in map(self.check_touch, result.touches) if d is not None]
        for touch in result.touches:
            self._left[touch.mint, touch.account] = Left(touch.post_amount, touch.post_owner)
        first = {doubt.mint: doubt for doubt in reversed(doubts)}
        return list(first.values())

    def check_touch(self, touch: Touch) -> Doubt | None:
        """Compare one account's pre-state with what was left; does not move on."""
        before = self._left.get((touch.mint, touch.account))
        if before is None:
            if touch.mint not in self._complete:
                return None
            before = Left(None, None)
        if touch.pre_amount != before.amount:
            return _broken(touch, "amount", before.amount, touch.pre_amount)
        if None not in (touch.pre_owner, before.owner) and touch.pre_owner != before.owner:
            return _broken(touch, "owner", before.owner, touch.pre_owner)
        return None


def _broken(touch: Touch, what: str, left: object, found: object) -> Doubt:
    def said(value: object) -> str:
        return "no account" if value is None else str(value)

    return Doubt(
        WHOLE,
        touch.mint,
        f"continuity: the last transaction left {touch.account} with {what} {said(left)}, "
        f"this one found {said(found)}: a transaction between them is missing",
        "",
    )
