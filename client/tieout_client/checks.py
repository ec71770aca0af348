"""Checks before signing: the state that an operation starts from, each with its own error and next step.

All accounts are read at one slot. The chain has the last word: between the look and the landing
anything may change, and then the program refuses.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction

from solders.pubkey import Pubkey

from tieout_client.amounts import shares_to_raw
from tieout_client.errors import (
    AccountFrozen,
    AccountMissing,
    BadInput,
    InstrumentPaused,
    InsufficientInventory,
    OverLimit,
    WrongAuthority,
    WrongDecimals,
)
from tieout_client.reading import CLOCK, Balance, Instrument, parse_balance, parse_instrument, read_accounts
from tieout_client.sending import Commitment
from tieout_rpc import RpcClient


@dataclass(frozen=True, slots=True, kw_only=True)
class AmountLimits:
    """What a desk lets through: shares for one operation, and for one kind of operation in any 24 hours.

    None: no limit. The day's limit is counted in the journal and needs one.
    """

    operation_shares_max: Fraction | None = None
    day_shares_max: Fraction | None = None


@dataclass(frozen=True, slots=True)
class Scene:
    """A mint and token accounts as one slot shows them; None: there is no such account."""

    instrument: Instrument
    accounts: Mapping[Pubkey, Balance | None]

    def authority(self, role: str, key: Pubkey) -> None:
        """Raise WrongAuthority unless ``key`` holds the role, named as in ``Instrument.authorities``."""
        holder = self.instrument.authorities.get(role)
        if holder != str(key):
            has = f"is {holder}: sign with that key" if holder else "is nobody, for good: no key can do this any more"
            raise WrongAuthority(f"the {role} authority of {self.instrument.address} {has}, not with {key}")

    def running(self) -> None:
        """Raise InstrumentPaused while the mint is paused."""
        if self.instrument.paused:
            raise InstrumentPaused(
                f"the instrument {self.instrument.symbol} ({self.instrument.address}) is paused: "
                "find out why, then resume it"
            )

    def usable(self, account: Pubkey, *, thawed: bool = True) -> Balance:
        """Return an open account of this mint. Raises AccountMissing, AccountFrozen (if ``thawed``), BadInput."""
        found = self.accounts[account]
        if found is None:
            raise AccountMissing(f"there is no token account {account}: check the owner, or open the account first")
        if found.mint != self.instrument.address:
            raise BadInput(f"the token account {account} is of the mint {found.mint}, not of {self.instrument.address}")
        if thawed and found.frozen:
            raise AccountFrozen(f"the token account {account} of {found.owner} is frozen: thaw it first if it may move")
        return found

    def debit(self, account: Pubkey, raw: int) -> None:
        """Raise as ``usable``, and InsufficientInventory when the account holds less than ``raw``."""
        held = self.usable(account).raw
        if held < raw:
            raise InsufficientInventory(
                f"the token account {account} holds {held} raw, {raw} are asked for: {raw - held} raw are missing"
            )

    def credit(self, account: Pubkey) -> None:
        """Raise AccountFrozen when the account exists and is frozen; one that is missing will be opened."""
        if self.accounts[account] is not None:
            self.usable(account)

    def decimals(self, expected: int | None) -> None:
        """Raise WrongDecimals when the caller counts in other decimals than the mint."""
        if expected is not None and expected != self.instrument.decimals:
            raise WrongDecimals(
                f"{self.instrument.address} counts in {self.instrument.decimals} decimals, not in {expected}: "
                "is it the mint that is meant"
            )

    def within(self, raw: int, limits: AmountLimits) -> None:
        """Raise OverLimit when ``raw`` stands for more shares than one operation may move."""
        ceiling = self.raw_limit(limits.operation_shares_max)
        if ceiling is not None and raw > ceiling:
            raise OverLimit(
                f"{raw} raw are more than {ceiling} raw, the limit of {limits.operation_shares_max} shares for one "
                "operation: split the order, or raise the limit if this is meant"
            )

    def raw_limit(self, shares: Fraction | None) -> int | None:
        """Return a limit in shares as raw units at the multiplier in force."""
        if shares is None:
            return None
        return shares_to_raw(shares, self.instrument.decimals, self.instrument.multiplier.bits).raw


async def look(rpc: RpcClient, mint: Pubkey, accounts: Sequence[Pubkey], commitment: Commitment) -> Scene:
    """Read a mint and token accounts at one slot. Raises BadInput for what is no mint or no token account."""
    slot, (found, clock, *others) = await read_accounts(rpc, [mint, CLOCK, *accounts], commitment)
    instrument = parse_instrument(mint, slot, found, clock)
    balances = {
        at: None if other is None else parse_balance(at, slot, other)
        for at, other in zip(accounts, others, strict=True)
    }
    return Scene(instrument, balances)
