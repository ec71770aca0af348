"""The package's errors; the tree is drawn in the package docstring."""

from collections.abc import Sequence


class ReconcileError(Exception):
    """The reconciliation cannot go on."""


class BadInput(ReconcileError):
    """A file was refused whole. ``path`` names it, ``problems`` lists each fault with its place."""

    def __init__(self, path: str, problems: Sequence[str], more: int = 0) -> None:
        self.path = path
        self.problems = tuple(problems)
        self.more = more
        lines = [f"{path} was refused whole, nothing of it is stored:", *(f"  {problem}" for problem in problems)]
        if more:
            lines.append(f"  and {more} more")
        super().__init__("\n".join(lines))


class NoRegistry(ReconcileError):
    """No registry was ever applied, so nothing says which mints and wallets count."""


class NotReady(ReconcileError):
    """The ledger does not hold what was asked for; trying again later may help."""


class NotFound(ReconcileError):
    """A symbol, run or break that is not there."""


class NotAllowed(ReconcileError):
    """This person may not do this, or not now; the sentence says why and what to do."""


class BadSetting(ReconcileError):
    """A setting that cannot be used; the sentence names it."""
