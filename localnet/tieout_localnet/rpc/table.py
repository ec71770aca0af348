"""What a method is: a handler from parameters to a JSON-able result, and how many parameters it takes."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Protocol, TypeAlias

from tieout_localnet.chain import Slot
from tieout_localnet.chaos import Book
from tieout_localnet.errors import INVALID_PARAMS, RpcError, invalid_params, min_context_slot_not_reached
from tieout_localnet.forks import Forks
from tieout_localnet.rpc.params import Config, Params
from tieout_localnet.validator import StateView, Validator

API_VERSION: Final = "4.1.1"
"""The release of the real node whose shapes these are."""


class Ticker(Protocol):
    """What makes slots: can be stopped, started and stepped."""

    def pause(self) -> None:
        """Make no slots until resumed."""

    def resume(self) -> None:
        """Make slots by the clock again."""

    def step(self, slots: int) -> None:
        """Close this many slots now."""

    def describe(self) -> dict[str, object]:
        """Mode and slot length."""


@dataclass(frozen=True, slots=True)
class Context:
    """What handlers work on."""

    validator: Validator
    ticker: Ticker
    port: int
    ledger: str
    forks: Forks
    book: Book

    def view(self, config: Config) -> StateView:
        """The state that a configuration asks for; checks minContextSlot."""
        view = self.validator.view(config.commitment())
        check_min_context_slot(config, view.slot)
        return view

    def slot(self, config: Config) -> Slot:
        """The slot that a configuration asks for; checks minContextSlot."""
        slot = self.validator.position(config.commitment())
        check_min_context_slot(config, slot)
        return slot


def check_min_context_slot(config: Config, slot: Slot) -> None:
    """-32016 when the state is older than `minContextSlot`."""
    wanted = config.optional_u64("minContextSlot")
    if wanted is not None and slot < wanted:
        raise min_context_slot_not_reached(slot)


Handler: TypeAlias = Callable[[Context, Params], object]


@dataclass(frozen=True, slots=True)
class Method:
    """A handler and the number of parameters it takes."""

    handler: Handler
    least: int
    most: int

    def call(self, context: Context, params: list[object]) -> object:
        """Check the number of parameters and answer."""
        if len(params) < self.least:
            raise invalid_params(f"`params` should have at least {self.least} argument(s)")
        if len(params) > self.most:
            message = f"Invalid parameters: Expected from {self.least} to {self.most} parameters."
            raise RpcError(INVALID_PARAMS, message, f'"Got: {len(params)}"')
        return self.handler(context, Params(params))


Table: TypeAlias = dict[str, Method]


def with_context(slot: int, value: object) -> dict[str, object]:
    """A result with the slot whose state it describes."""
    return {"context": {"apiVersion": API_VERSION, "slot": slot}, "value": value}
