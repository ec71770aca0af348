"""A node's TransactionError in words: by instruction, program and name, from every shape."""

import pytest
from solders.instruction import Instruction
from solders.pubkey import Pubkey

from tieout_client import build, explain
from tieout_client.instructions import open_account
from tieout_client.memo import memo_instruction

A = Pubkey.from_bytes(bytes([1]) * 32)
MINT_TO = build("mint_to", {"mint": A, "token": A, "mint_authority": A}, {"amount": 1})
OTHER = Instruction(A, b"\x01", [])
SYSTEM = Instruction(Pubkey.default(), b"", [])
UNKNOWN = "UnknownError: a code that is in no table of ours for this program"
TAKEN = "AccountAlreadyInUse: an account with this address exists already"
NOT_OWNED = "InvalidOwner: the associated account is not owned by this wallet"
STEPS = [memo_instruction("hello"), MINT_TO, open_account(A, A, A), SYSTEM, OTHER]


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (
            {"InstructionError": [1, {"Custom": 67}]},
            "instruction 1 (mint_to of Token-2022) was refused: MintPaused: the mint is paused (custom error 67)",
        ),
        (
            {"InstructionError": [1, {"Custom": 4000}]},
            f"instruction 1 (mint_to of Token-2022) was refused: {UNKNOWN} (custom error 4000)",
        ),
        (
            {"InstructionError": [3, {"Custom": 0}]},
            f"instruction 3 (System) was refused: {TAKEN} (custom error 0)",
        ),
        (
            {"InstructionError": [2, {"Custom": 0}]},
            f"instruction 2 (Associated Token) was refused: {NOT_OWNED} (custom error 0)",
        ),
        (
            {"InstructionError": [4, {"Custom": 1}]},
            f"instruction 4 ({A}) was refused: {UNKNOWN} (custom error 1)",
        ),
        (
            {"InstructionError": [0, "InvalidInstructionData"]},
            "instruction 0 (Memo) was refused: InvalidInstructionData: invalid instruction data",
        ),
        (
            {"InstructionError": [1, {"BorshIoError": "x"}]},
            "instruction 1 (mint_to of Token-2022) was refused: BorshIoError x",
        ),
        ({"InstructionError": [9, {"Custom": 1}]}, "the transaction was refused: Custom 1: in instruction 9"),
        ("AccountNotFound", "the transaction was refused: AccountNotFound: account not found"),
        (
            {"InsufficientFundsForRent": {"account_index": 2}},
            "the transaction was refused: InsufficientFundsForRent {'account_index': 2}",
        ),
        ({"a": 1, "b": 2}, "the transaction was refused: {'a': 1, 'b': 2}"),
        (None, "the transaction was refused: None"),
        (17, "the transaction was refused: 17"),
        ({"InstructionError": "odd"}, "the transaction was refused: InstructionError odd"),
    ],
)
def test_every_shape_has_words(error, words):
    refusal = explain(error, STEPS)
    assert str(refusal) == words
    assert refusal.error == error


def test_the_parts_are_there_for_programs_too():
    refusal = explain({"InstructionError": [1, {"Custom": 17}]}, STEPS)
    assert (refusal.index, refusal.program, refusal.instruction) == (1, "Token-2022", "mint_to")
    assert (refusal.code, refusal.name) == (17, "AccountFrozen")
