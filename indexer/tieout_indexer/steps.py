"""Instructions in execution order: outer ones, each followed by what it invoked, batches opened up.

The step counts over all instructions of all programs from 0; the path is for people.
"""

from collections.abc import Container, Iterator

import msgspec

from tieout_idl import base58
from tieout_idl.codec import Child
from tieout_indexer.model import Place
from tieout_indexer.wire import WireInstruction, WireTransaction


class Step(msgspec.Struct, frozen=True, gc=False):
    """One instruction as executed: its program, its accounts by address, its data still in base58."""

    place: Place
    program: str
    accounts: tuple[str, ...]
    data: str

    def raw_data(self) -> bytes:
        """The instruction data. Raises ValueError when it is not base58."""
        return base58.decode(self.data)


def account_keys(transaction: WireTransaction) -> list[str]:
    """All account keys in the order that indexes refer to: static, loaded writable, loaded read-only."""
    loaded = transaction.meta.loaded_addresses
    static = transaction.transaction.message.account_keys
    return static if loaded is None else static + loaded.writable + loaded.readonly


def execution_steps(transaction: WireTransaction, keys: list[str], programs: Container[str]) -> Iterator[Step]:
    """Yield the instructions of ``programs`` in execution order; steps count those of all programs.

    Raises IndexError where an index names no key, ValueError where one names no instruction.
    """
    inner: dict[int, list[WireInstruction]] = {}
    for group in transaction.meta.inner_instructions:
        inner.setdefault(group.index, []).extend(group.instructions)
    if inner and max(inner) >= len(transaction.transaction.message.instructions):
        raise ValueError(f"it has inner instructions of instruction {max(inner)}, which is not there")
    step = 0
    for index, outer in enumerate(transaction.transaction.message.instructions):
        program = keys[outer.program_id_index]
        if program in programs:
            yield _step(Place(step, -1, str(index)), program, outer, keys)
        step += 1
        if index not in inner:
            continue
        trail: list[int] = []
        for nested in inner[index]:
            height = nested.stack_height or 2
            depth = height - 1 if height > 2 else 1
            if len(trail) == depth:
                trail[-1] += 1
            else:
                _climb(trail, depth)
            program = keys[nested.program_id_index]
            if program in programs:
                yield _step(Place(step, -1, ".".join(map(str, (index, *trail)))), program, nested, keys)
            step += 1


def _step(place: Place, program: str, instruction: WireInstruction, keys: list[str]) -> Step:
    return Step(place, program, tuple([keys[i] for i in instruction.accounts]), instruction.data)


def _climb(trail: list[int], depth: int) -> None:
    # The trail holds an ordinal a level: deeper ones end here, this level's next sibling begins.
    if len(trail) > depth:
        del trail[depth:]
        trail[-1] += 1
    trail += [0] * (depth - len(trail))


def batch_children(step: Step, children: tuple[Child, ...]) -> Iterator[tuple[Place, tuple[str, ...], bytes]]:
    """Yield ``(place, accounts, data)`` of each instruction in a Batch; its accounts are consumed in order."""
    start = 0
    for ordinal, child in enumerate(children):
        accounts = step.accounts[start : start + child.number_of_accounts]
        start += child.number_of_accounts
        place = Place(step.place.step, ordinal, f"{step.place.path}#{ordinal}")
        yield place, accounts, child.data
