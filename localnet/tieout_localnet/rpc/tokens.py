"""Methods that read token accounts and mints."""

from typing import Final

from solders.pubkey import Pubkey

from tieout_localnet import programs
from tieout_localnet.accounts import AccountState
from tieout_localnet.balances import Mint, TokenAccount, parse_mint, parse_token_account, scaled_ui_amount
from tieout_localnet.errors import invalid_params
from tieout_localnet.rpc.accounts import account_format, keyed_accounts
from tieout_localnet.rpc.params import Config, Params, pubkey
from tieout_localnet.rpc.table import Context, Method, Table, with_context
from tieout_localnet.validator import StateView

LARGEST_ACCOUNTS_MAX: Final = 20


def _mint(view: StateView, key: Pubkey) -> Mint:
    state = view.get(key)
    if state is None:
        raise invalid_params("Invalid param: could not find mint")
    mint = parse_mint(state)
    if mint is None:
        raise invalid_params("Invalid param: not a Token mint")
    return mint


def get_token_account_balance(context: Context, params: Params) -> object:
    """Amount of a token account, with its scaled display."""
    key, view = params.pubkey(0), context.view(params.config(1))
    state = view.get(key)
    if state is None:
        raise invalid_params("Invalid param: could not find account")
    token = parse_token_account(state)
    if token is None:
        raise invalid_params("Invalid param: not a Token account")
    return with_context(view.slot, scaled_ui_amount(token.amount, _mint(view, token.mint), view.unix_s))


def get_token_supply(context: Context, params: Params) -> object:
    """Supply of a mint, with its scaled display."""
    key, view = params.pubkey(0), context.view(params.config(1))
    mint = _mint(view, key)
    return with_context(view.slot, scaled_ui_amount(mint.supply, mint, view.unix_s))


def _token_accounts(view: StateView, program: Pubkey) -> list[tuple[Pubkey, AccountState, TokenAccount]]:
    parsed = ((key, state, parse_token_account(state)) for key, state in view.owned_by(program))
    return [(key, state, token) for key, state, token in parsed if token is not None]


def get_token_largest_accounts(context: Context, params: Params) -> object:
    """The twenty largest accounts of a mint."""
    key, view = params.pubkey(0), context.view(params.config(1))
    mint = _mint(view, key)
    state = view.get(key)
    program = programs.TOKEN if state is None else state.owner
    held = [
        (token.amount, account) for account, _, token in _token_accounts(view, program) if token.mint == key
    ]
    held.sort(key=lambda pair: (-pair[0], str(pair[1])))
    rows = [
        {"address": str(account), **scaled_ui_amount(amount, mint, view.unix_s)}
        for amount, account in held[:LARGEST_ACCOUNTS_MAX]
    ]
    return with_context(view.slot, rows)


def _selection(view: StateView, config: Config) -> tuple[Pubkey, Pubkey | None]:
    """The token program and, if asked for, the mint of a selection."""
    if config.members.get("mint") is not None:
        mint = pubkey(config.members["mint"])
        state = view.get(mint)
        if state is None:
            raise invalid_params("Invalid param: could not find mint")
        _mint(view, mint)
        return state.owner, mint
    if config.members.get("programId") is not None:
        program = pubkey(config.members["programId"])
        if program not in programs.TOKEN_PROGRAMS:
            raise invalid_params("Invalid param: unrecognized Token program id")
        return program, None
    raise invalid_params("Invalid params: expected one of `mint`, `programId`.")


def _by(context: Context, params: Params, *, delegate: bool) -> object:
    who, selection, config = params.pubkey(0), params.config(1), params.config(2)
    shape, view = account_format(config), context.view(config)
    program, mint = _selection(view, selection)
    found = [
        (key, state)
        for key, state, token in _token_accounts(view, program)
        if (token.delegate if delegate else token.owner) == who and mint in (None, token.mint)
    ]
    return with_context(view.slot, keyed_accounts(found, shape, view))


def get_token_accounts_by_owner(context: Context, params: Params) -> object:
    """Token accounts of an owner, of one mint or of one token program."""
    return _by(context, params, delegate=False)


def get_token_accounts_by_delegate(context: Context, params: Params) -> object:
    """Token accounts that a delegate may spend from."""
    return _by(context, params, delegate=True)


METHODS: Table = {
    "getTokenAccountBalance": Method(get_token_account_balance, 1, 2),
    "getTokenSupply": Method(get_token_supply, 1, 2),
    "getTokenLargestAccounts": Method(get_token_largest_accounts, 1, 2),
    "getTokenAccountsByOwner": Method(get_token_accounts_by_owner, 2, 3),
    "getTokenAccountsByDelegate": Method(get_token_accounts_by_delegate, 2, 3),
}
