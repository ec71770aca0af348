"""Drive Token-2022 instruments of the xStocks configuration through AnchorPy.

``async with connect(url, signer) as issuer: await issuer.issue(mint, raw, owner, "req-1")``.
AnchorPy builds instructions from the table of ``tieout_idl``, solders signs, ``tieout_rpc``
carries; amounts are raw integers, shares only at the edge (``shares_to_raw``, ``show_shares``).

Errors::

    ClientError
    ├── BadInput             a value, address, file or state to put right; nothing was sent
    │   ├── WrongAuthority         the mint names another key for the role
    │   ├── InstrumentPaused       nothing moves until it is resumed
    │   ├── AccountFrozen          nothing moves until it is thawed
    │   ├── AccountMissing         never opened, or closed
    │   ├── WrongDecimals          the mint counts otherwise than the caller
    │   ├── InsufficientInventory  less is there than is asked for
    │   └── OverLimit              more than the desk's limit for an operation or a day
    ├── ProgramRefused       a program said no, by name, with a next step; the same bytes would fail again
    │   └── PROGRAM_REFUSALS["MintPaused"], …   a class for each error of the programs that are called
    ├── AlreadyIssued        the chain knows the request: its guard account exists
    ├── Expired              the transaction is dead; doing it again is safe
    ├── OutcomeUnknown       sent, and no node could tell in time; look before doing it again
    └── JournalUnavailable   the journal's disk or lock; what is not in it was not sent

    and the errors of ``tieout_rpc`` as they are: the node was not reached, or did not take the transaction
"""

from tieout_client.actions import MultiplierStep, dividend, split
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
from tieout_client.bulk import BulkLine, BulkRow, parse_accounts
from tieout_client.checks import AmountLimits, Scene
from tieout_client.control import AUTHORITY_TYPES, MultiplierSet
from tieout_client.errors import (
    PROGRAM_REFUSALS,
    AccountFrozen,
    AccountMissing,
    AlreadyIssued,
    BadInput,
    ClientError,
    Expired,
    InstrumentPaused,
    InsufficientInventory,
    JournalUnavailable,
    OutcomeUnknown,
    OverLimit,
    ProgramRefused,
    WrongAuthority,
    WrongDecimals,
)
from tieout_client.exactly_once import Desk, Requests
from tieout_client.guard import CLUSTERS, GuardAccount, GuardMode, guard_address
from tieout_client.holding import Holding, Portfolio
from tieout_client.instructions import InstrumentSpec, token_account
from tieout_client.instruments import AccountOpened, InstrumentCreated
from tieout_client.issuer import Issuer, airdrop, connect
from tieout_client.journal import Entry, Journal, Request
from tieout_client.keys import (
    Address,
    AddressOnly,
    Authorities,
    Signer,
    keypair_from_environment,
    load_keypair,
    load_signer,
    write_keypair,
)
from tieout_client.market import Transferred
from tieout_client.memo import MemoKind, RequestMemo, parse_memo, request_memo
from tieout_client.multisig import Multisig, MultisigSigner
from tieout_client.nonce import Nonce
from tieout_client.payouts import ROWS_PER_TRANSACTION, PayoutLine, PayoutRow, parse_payout
from tieout_client.preparing import Captured
from tieout_client.program import TokenInstructionCoder, build, token_program
from tieout_client.reading import Balance, Instrument, Multiplier
from tieout_client.refusal import Refusal, explain
from tieout_client.remedies import REMEDIES
from tieout_client.risks import Holder, Risk, differences, risks
from tieout_client.sending import (
    LAND_FAILURES,
    Commitment,
    Receipt,
    Sender,
    SendOptions,
    sign,
)
from tieout_client.settling import SignatureStatus, SignedTransaction, is_dead, restore, simulate
from tieout_client.transaction_file import TransactionFile, parse_transaction, read_transaction, write_transaction
from tieout_client.words import Words

__all__ = [
    "AUTHORITY_TYPES",
    "CLUSTERS",
    "LAND_FAILURES",
    "PROGRAM_REFUSALS",
    "REMEDIES",
    "ROWS_PER_TRANSACTION",
    "UNIT_MULTIPLIER",
    "AccountFrozen",
    "AccountMissing",
    "AccountOpened",
    "Address",
    "AddressOnly",
    "AlreadyIssued",
    "AmountLimits",
    "Authorities",
    "BadInput",
    "Balance",
    "BulkLine",
    "BulkRow",
    "Captured",
    "ClientError",
    "Commitment",
    "Desk",
    "Entry",
    "Expired",
    "GuardAccount",
    "GuardMode",
    "Holder",
    "Holding",
    "Instrument",
    "InstrumentCreated",
    "InstrumentPaused",
    "InstrumentSpec",
    "InsufficientInventory",
    "Issuer",
    "Journal",
    "JournalUnavailable",
    "MemoKind",
    "Multiplier",
    "MultiplierSet",
    "MultiplierStep",
    "MultiplierValue",
    "Multisig",
    "MultisigSigner",
    "Nonce",
    "OutcomeUnknown",
    "OverLimit",
    "PayoutLine",
    "PayoutRow",
    "Portfolio",
    "ProgramRefused",
    "RawAmount",
    "Receipt",
    "Refusal",
    "Request",
    "RequestMemo",
    "Requests",
    "Risk",
    "Scene",
    "SendOptions",
    "Sender",
    "SignatureStatus",
    "SignedTransaction",
    "Signer",
    "TokenInstructionCoder",
    "TransactionFile",
    "Transferred",
    "Words",
    "WrongAuthority",
    "WrongDecimals",
    "airdrop",
    "build",
    "check_raw",
    "connect",
    "differences",
    "dividend",
    "explain",
    "guard_address",
    "is_dead",
    "keypair_from_environment",
    "load_keypair",
    "load_signer",
    "multiplier_bits_for",
    "parse_accounts",
    "parse_memo",
    "parse_payout",
    "parse_raw",
    "parse_shares",
    "parse_transaction",
    "read_transaction",
    "request_memo",
    "restore",
    "risks",
    "shares_to_raw",
    "show_shares",
    "sign",
    "simulate",
    "split",
    "token_account",
    "token_program",
    "write_keypair",
    "write_transaction",
]
