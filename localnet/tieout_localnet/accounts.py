"""Accounts as values, and the accounts database: the newest state and every older one still needed.

The newest value of each account is kept in one dictionary. What an account held at an older slot is
found through the pre-images that each slot of the chain keeps (see `chain`).
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final, TypeAlias

from solders.account import Account
from solders.pubkey import Pubkey

RENT_EXEMPT_EPOCH: Final = 2**64 - 1
"""What nodes report as `rentEpoch` of every rent-exempt account."""

SYSTEM_PROGRAM: Final = Pubkey.default()


@dataclass(frozen=True, slots=True)
class AccountState:
    """One account at one moment: lamports, data, the owning program."""

    lamports: int
    data: bytes
    owner: Pubkey
    executable: bool = False

    @classmethod
    def from_engine(cls, account: Account) -> "AccountState":
        """Copy an account out of the execution engine."""
        return cls(account.lamports, bytes(account.data), account.owner, account.executable)

    def to_engine(self) -> Account:
        """The same account in the execution engine's form."""
        return Account(self.lamports, self.data, self.owner, self.executable, RENT_EXEMPT_EPOCH)


EMPTY: Final = AccountState(0, b"", SYSTEM_PROGRAM)
"""Stands for an account that does not exist where a value is needed."""

Changes: TypeAlias = Mapping[Pubkey, AccountState | None]
"""New values of accounts; None means that the account is gone."""


class AccountsDb:
    """The newest state of all accounts, with an index by owning program."""

    def __init__(self, builtin: Mapping[Pubkey, AccountState]) -> None:
        self._builtin = dict(builtin)
        self._current: dict[Pubkey, AccountState] = {}
        self._by_owner: dict[Pubkey, set[Pubkey]] = {}
        for key, state in builtin.items():
            self._by_owner.setdefault(state.owner, set()).add(key)

    def __len__(self) -> int:
        return len(self._current)

    def get(self, key: Pubkey) -> AccountState | None:
        """The newest value of an account."""
        found = self._current.get(key)
        return found if found is not None else self._builtin.get(key)

    def apply(self, changes: Changes) -> None:
        """Take over new values."""
        for key, state in changes.items():
            before = self.get(key)
            if before is not None and (state is None or state.owner != before.owner):
                self._by_owner.get(before.owner, set()).discard(key)
            if state is None:
                self._current.pop(key, None)
            else:
                self._current[key] = state
                self._by_owner.setdefault(state.owner, set()).add(key)

    def owned_by(self, program: Pubkey) -> frozenset[Pubkey]:
        """Addresses of the accounts that a program owns now."""
        return frozenset(self._by_owner.get(program, ()))

    def stored(self) -> Iterator[tuple[Pubkey, AccountState]]:
        """All accounts that are the chain's own, not the engine's."""
        return iter(self._current.items())

    def lamports(self) -> int:
        """Sum over all accounts of the chain."""
        return sum(state.lamports for state in self._current.values())


def changed(
    before: Mapping[Pubkey, AccountState | None], after: Iterable[tuple[Pubkey, AccountState | None]]
) -> dict[Pubkey, AccountState | None]:
    """Those of the later values that differ from the earlier ones."""
    return {key: state for key, state in after if before.get(key) != state}
