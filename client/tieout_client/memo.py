"""The memo that ties a transaction to a request: ``tieout/1 <kind> <request id>``.

One memo a transaction, by the SPL Memo program. Reconciliation matches on its exact bytes.
"""

import re
from dataclasses import dataclass
from typing import Final, Literal, get_args

from solders.instruction import Instruction
from solders.pubkey import Pubkey

from tieout_client.errors import BadInput
from tieout_idl.programs import MEMO_PROGRAM

MemoKind = Literal["issue", "redeem", "sweep", "seize", "burn", "mint", "payout"]
REQUEST_ID_LENGTH_MAX: Final = 64
_PREFIX: Final = "tieout/1"
_MEMO = Pubkey.from_string(MEMO_PROGRAM)
_REQUEST_ID = re.compile(rf"[\x21-\x7e]{{1,{REQUEST_ID_LENGTH_MAX}}}")
_MEMO_BYTES_MAX = 566


@dataclass(frozen=True, slots=True)
class RequestMemo:
    """A memo of ours, taken apart."""

    kind: MemoKind
    request_id: str

    def __str__(self) -> str:
        return f"{_PREFIX} {self.kind} {self.request_id}"


def request_memo(kind: MemoKind, request_id: str) -> RequestMemo:
    """Return the memo of a request. Raises BadInput unless the id is 1 to 64 printable ASCII characters, no space."""
    if not _REQUEST_ID.fullmatch(request_id):
        raise BadInput(
            f"{request_id[:80]!r} is no request id: "
            f"1 to {REQUEST_ID_LENGTH_MAX} printable ASCII characters without spaces are needed"
        )
    return RequestMemo(kind, request_id)


def parse_memo(text: str) -> RequestMemo | None:
    """Return the request that a memo names, or None when it is not one of ours."""
    parts = text.split(" ")
    if len(parts) != 3 or parts[0] != _PREFIX or not _REQUEST_ID.fullmatch(parts[2]):
        return None
    kind = next((k for k in get_args(MemoKind) if k == parts[1]), None)
    return None if kind is None else RequestMemo(kind, parts[2])


def memo_instruction(memo: RequestMemo | str) -> Instruction:
    """Return the Memo instruction of a text. Raises BadInput when it is empty, too long or no UTF-8."""
    try:
        raw = str(memo).encode()
    except UnicodeEncodeError as bad:
        raise BadInput(f"a memo is a text that UTF-8 can write: {bad.reason} at character {bad.start}") from bad
    if not 0 < len(raw) <= _MEMO_BYTES_MAX:
        raise BadInput(f"a memo has 1 to {_MEMO_BYTES_MAX} bytes, not {len(raw)}")
    return Instruction(_MEMO, raw, [])
