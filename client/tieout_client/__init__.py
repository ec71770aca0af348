"""Drive Token-2022 instruments of the xStocks configuration through AnchorPy.

``async with connect(url, signer) as issuer: await issuer.issue(mint, raw, owner, "req-1")``.
AnchorPy builds instructions from the table of ``tieout_idl``, solders signs, ``tieout_rpc``
carries; amounts are raw integers, shares only at the edge (``shares_to_raw``, ``show_shares``).

Errors::

    ClientError
    ├── BadInput          a value, address, file or state to put right; nothing was sent
    ├── ProgramRefused    a program said no, by name; the same bytes would fail again
    ├── Expired           the transaction is dead; doing it again is safe
    └── OutcomeUnknown    sent, and no node could tell in time; look before doing it again

    and the errors of ``tieout_rpc`` as they are: the node was not reached, or did not take the transaction
"""

from tieout_client.amounts import (
    UNIT_MULTIPLIER,
    MultiplierValue,
    RawAmount,
    check_raw,
    multiplier_bits_for,
    parse_raw,
    parse_shares,
    shares_to_raw,
    show_shares,
)
from tieout_client.control import AUTHORITY_TYPES, MultiplierSet
from tieout_client.errors import BadInput, ClientError, Expired, OutcomeUnknown, ProgramRefused
from tieout_client.instructions import InstrumentSpec, token_account
from tieout_client.instruments import AccountOpened, InstrumentCreated
from tieout_client.issuer import Issuer, airdrop, connect
from tieout_client.keys import Address, Authorities, Signer, load_keypair, write_keypair
from tieout_client.memo import MemoKind, RequestMemo, parse_memo, request_memo
from tieout_client.program import TokenInstructionCoder, build, token_program
from tieout_client.reading import Balance, Instrument, Multiplier
from tieout_client.refusal import Refusal, explain
from tieout_client.sending import (
    LAND_FAILURES,
    Commitment,
    Receipt,
    Sender,
    SendOptions,
    SignatureStatus,
    SignedTransaction,
    sign,
)

__all__ = [
    "AUTHORITY_TYPES",
    "LAND_FAILURES",
    "UNIT_MULTIPLIER",
    "AccountOpened",
    "Address",
    "Authorities",
    "BadInput",
    "Balance",
    "ClientError",
    "Commitment",
    "Expired",
    "Instrument",
    "InstrumentCreated",
    "InstrumentSpec",
    "Issuer",
    "MemoKind",
    "Multiplier",
    "MultiplierSet",
    "MultiplierValue",
    "OutcomeUnknown",
    "ProgramRefused",
    "RawAmount",
    "Receipt",
    "Refusal",
    "RequestMemo",
    "SendOptions",
    "Sender",
    "SignatureStatus",
    "SignedTransaction",
    "Signer",
    "TokenInstructionCoder",
    "airdrop",
    "build",
    "check_raw",
    "connect",
    "explain",
    "load_keypair",
    "multiplier_bits_for",
    "parse_memo",
    "parse_raw",
    "parse_shares",
    "request_memo",
    "shares_to_raw",
    "show_shares",
    "sign",
    "token_account",
    "token_program",
    "write_keypair",
]
