"""What a chain's TransactionError means, by instruction, program and name.

Shapes (agave ``TransactionError``, serde JSON): ``"AccountNotFound"``,
``{"InstructionError": [2, {"Custom": 1}]}``, ``{"InstructionError": [0, "InvalidArgument"]}``,
``{"InsufficientFundsForRent": {"account_index": 0}}``. Only the error is read, never the logs.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from solders.instruction import Instruction

from tieout_client.program_errors import custom_error
from tieout_client.remedies import next_step
from tieout_idl import (
    ASSOCIATED_TOKEN_PROGRAM,
    MEMO_PROGRAMS,
    SYSTEM_PROGRAM,
    TOKEN_2022_PROGRAM,
    TOKEN_PROGRAM,
    TOKEN_PROGRAMS,
    TokenFormatError,
    UnknownInstruction,
    decode,
)

_PROGRAM_NAMES = {
    TOKEN_2022_PROGRAM: "Token-2022",
    TOKEN_PROGRAM: "Token",
    ASSOCIATED_TOKEN_PROGRAM: "Associated Token",
    SYSTEM_PROGRAM: "System",
    "ComputeBudget111111111111111111111111111111": "Compute Budget",
    **dict.fromkeys(MEMO_PROGRAMS, "Memo"),
}


@dataclass(frozen=True, slots=True)
class Refusal:
    """A TransactionError in words. Text form: where, name, sentence, code.

    ``index`` counts the transaction's instructions from 0, None when the transaction as a whole
    was refused; ``code`` is a program's own number, where it gave one.
    """

    error: Any
    name: str
    sentence: str = ""
    index: int | None = None
    program: str | None = None
    instruction: str | None = None
    code: int | None = None

    @property
    def next_step(self) -> str:
        """What to do about it, in one sentence."""
        return next_step(self.name.split(" ")[0])

    def __str__(self) -> str:
        what = f"{self.name}: {self.sentence}" if self.sentence else self.name
        code = "" if self.code is None else f" (custom error {self.code})"
        if self.index is None:
            return f"the transaction was refused: {what}"
        of = f"{self.instruction} of {self.program}" if self.instruction else str(self.program)
        return f"instruction {self.index} ({of}) was refused: {what}{code}"


def explain(error: Any, instructions: Sequence[Instruction]) -> Refusal:
    """Return a TransactionError in words; total: a shape of a later node version is named as it stands."""
    match error:
        case str():
            return Refusal(error, error, _words(error))
        case {"InstructionError": [int(index), detail]} if 0 <= index < len(instructions):
            return _explain_instruction(error, index, detail, instructions[index])
        case {"InstructionError": [index, detail]}:
            return Refusal(error, _plain(detail), f"in instruction {index}")
        case _:
            return Refusal(error, _plain(error))


def _explain_instruction(error: Any, index: int, detail: Any, instruction: Instruction) -> Refusal:
    address = str(instruction.program_id)
    where = (index, _PROGRAM_NAMES.get(address, address), _instruction_name(address, bytes(instruction.data)))
    if isinstance(detail, dict) and isinstance(detail.get("Custom"), int):
        code = detail["Custom"]
        name, sentence = custom_error(address, where[2], code)
        return Refusal(error, name, sentence, *where, code)
    return Refusal(error, _plain(detail), _words(detail) if isinstance(detail, str) else "", *where)


def _instruction_name(program: str, data: bytes) -> str | None:
    if program not in TOKEN_PROGRAMS:
        return None
    try:
        decoded = decode(data)
    except TokenFormatError:
        return None
    return None if isinstance(decoded, UnknownInstruction) else decoded.name


def _plain(detail: Any) -> str:
    if isinstance(detail, dict) and len(detail) == 1:
        name, inner = next(iter(detail.items()))
        return f"{name} {inner}"
    return str(detail)


def _words(name: str) -> str:
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", " ", name).lower()
