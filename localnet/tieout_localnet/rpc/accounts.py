"""Methods that read accounts."""

import base64
import binascii
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from solders.pubkey import Pubkey

from tieout_localnet import base58, encoding
from tieout_localnet.accounts import AccountState
from tieout_localnet.encoding import Json
from tieout_localnet.errors import RpcError, invalid_params
from tieout_localnet.rpc.params import Config, Params, pubkey, sequence, text, u64
from tieout_localnet.rpc.table import Context, Method, Table, with_context
from tieout_localnet.validator import StateView

ACCOUNTS_PER_CALL_MAX: Final = 100
FILTERS_MAX: Final = 4
MEMCMP_BYTES_MAX: Final = 128
ACCOUNT_ENCODINGS: Final = ("binary", "base58", "base64", "base64+zstd", "jsonParsed")


@dataclass(frozen=True, slots=True)
class AccountFormat:
    """How the client wants accounts: encoding, and a slice of the data."""

    encoding: str
    data_slice: tuple[int, int] | None

    def show(self, state: AccountState, view: StateView) -> Json:
        """An account in this format, from a state; refuses long data in base58."""
        slice_length = len(state.data) if self.data_slice is None else self.data_slice[1]
        shown_bytes = min(len(state.data), slice_length)
        if self.encoding in ("binary", "base58") and shown_bytes > encoding.BASE58_DATA_BYTES_MAX:
            raise RpcError(
                -32600,
                f"Encoded binary (base 58) data should be less than {encoding.BASE58_DATA_BYTES_MAX} bytes, "
                "please use Base64 encoding.",
            )
        return encoding.account_json(state, self.encoding, self.data_slice, view.get, view.unix_s)


def account_format(config: Config, default: str = "binary") -> AccountFormat:
    """The format that a configuration asks for."""
    name = config.optional_text("encoding") or default
    if name not in ACCOUNT_ENCODINGS:
        options = ", ".join(f"`{option}`" for option in ACCOUNT_ENCODINGS)
        raise invalid_params(f"Invalid params: unknown variant `{name}`, expected one of {options}.")
    data_slice = config.nested("dataSlice")
    if data_slice is None:
        return AccountFormat(name, None)
    offset, length = (u64(data_slice.members.get(member)) for member in ("offset", "length"))
    return AccountFormat(name, (offset, length))


def get_account_info(context: Context, params: Params) -> object:
    """One account, or null."""
    key, config = params.pubkey(0), params.config(1)
    shape, view = account_format(config), context.view(config)
    state = view.get(key)
    return with_context(view.slot, None if state is None else shape.show(state, view))


def get_multiple_accounts(context: Context, params: Params) -> object:
    """Up to a hundred accounts from one state."""
    wanted, config = params.list(0), params.config(1)
    if len(wanted) > ACCOUNTS_PER_CALL_MAX:
        raise invalid_params(f"Too many inputs provided; max {ACCOUNTS_PER_CALL_MAX}")
    keys = [pubkey(value) for value in wanted]
    shape, view = account_format(config, "base64"), context.view(config)
    states = (view.get(key) for key in keys)
    return with_context(view.slot, [None if state is None else shape.show(state, view) for state in states])


def get_balance(context: Context, params: Params) -> object:
    """Lamports of an account; an unknown one has none."""
    key, view = params.pubkey(0), context.view(params.config(1))
    state = view.get(key)
    return with_context(view.slot, 0 if state is None else state.lamports)


Filter = Callable[[AccountState], bool]


def account_filters(value: object) -> list[Filter]:
    """Filters of getProgramAccounts and programSubscribe: memcmp, dataSize, tokenAccountState."""
    given = [] if value is None else sequence(value)
    if len(given) > FILTERS_MAX:
        raise invalid_params(f"Too many filters provided; max {FILTERS_MAX}")
    return [_filter(item) for item in given]


def _filter(value: object) -> Filter:
    if value == "tokenAccountState":
        return lambda state: len(state.data) >= 165 and state.data[108] != 0
    if isinstance(value, dict) and "dataSize" in value:
        size = u64(value["dataSize"])
        return lambda state: len(state.data) == size
    if isinstance(value, dict) and isinstance(value.get("memcmp"), dict):
        return _memcmp(Config(value["memcmp"]))
    raise invalid_params("Invalid params: unknown filter, expected one of `dataSize`, `memcmp`.")


def _memcmp(config: Config) -> Filter:
    offset = u64(config.members.get("offset"))
    wanted = config.members.get("bytes")
    raw = (
        bytes(_byte(item) for item in wanted) if isinstance(wanted, list) else _decoded(config, text(wanted))
    )
    if len(raw) > MEMCMP_BYTES_MAX:
        raise invalid_params("Invalid param: DataTooLarge")
    return lambda state: state.data[offset : offset + len(raw)] == raw


def _byte(value: object) -> int:
    number = u64(value)
    if number > 255:
        raise invalid_params(f"Invalid params: invalid value: integer `{number}`, expected u8.")
    return number


def _decoded(config: Config, value: str) -> bytes:
    try:
        if config.optional_text("encoding") == "base64":
            return base64.b64decode(value, validate=True)
        return base58.decode(value)
    except (base58.InvalidCharacter, binascii.Error) as error:
        raise invalid_params(f"Invalid param: {error}") from error


def get_program_accounts(context: Context, params: Params) -> object:
    """Accounts that a program owns, filtered."""
    program, config = params.pubkey(0), params.config(1)
    filters = account_filters(config.members.get("filters"))
    shape, view = account_format(config), context.view(config)
    found = keyed_accounts(
        [pair for pair in view.owned_by(program) if all(f(pair[1]) for f in filters)], shape, view
    )
    return with_context(view.slot, found) if config.flag("withContext") else found


def keyed_accounts(
    pairs: list[tuple[Pubkey, AccountState]], shape: AccountFormat, view: StateView
) -> list[Json]:
    """Accounts with their addresses."""
    return [{"account": shape.show(state, view), "pubkey": str(key)} for key, state in pairs]


def get_minimum_balance(context: Context, params: Params) -> object:
    """Lamports that make an account of this size rent-exempt."""
    return context.validator.engine.rent_exempt_minimum(params.u64(0))


METHODS: Table = {
    "getAccountInfo": Method(get_account_info, 1, 2),
    "getMultipleAccounts": Method(get_multiple_accounts, 1, 2),
    "getBalance": Method(get_balance, 1, 2),
    "getProgramAccounts": Method(get_program_accounts, 1, 2),
    "getMinimumBalanceForRentExemption": Method(get_minimum_balance, 1, 2),
}
