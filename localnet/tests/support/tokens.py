"""Instructions of Token-2022 and its neighbours, by their bytes."""

import struct

from solders.instruction import AccountMeta, Instruction
from solders.pubkey import Pubkey
from solders.system_program import CreateAccountParams, TransferParams, create_account, transfer

TOKEN = Pubkey.from_string("TokenkegQfeZyiNwAJbNbGKPFXCWuBvf9Ss623VQ5DA")
TOKEN_2022 = Pubkey.from_string("TokenzQdBNbLqP5VEhdkAS6EPFLC1PHnBqCXEpPxuEb")
ASSOCIATED = Pubkey.from_string("ATokenGPvbdGVxr1b2hvZbsiqW5xWH25efTNsLJA8knL")
MEMO = Pubkey.from_string("MemoSq4gqABAXKb96qnH8TysNcWxMyWCqXgDLGmfcHr")
SYSTEM = Pubkey.default()

MINT_BYTES = 82
SCALED_MINT_BYTES = 166 + 4 + 56


def _w(key: Pubkey, signer: bool = False) -> AccountMeta:
    return AccountMeta(key, signer, True)


def _r(key: Pubkey, signer: bool = False) -> AccountMeta:
    return AccountMeta(key, signer, False)


def create_mint(
    payer: Pubkey, mint: Pubkey, authority: Pubkey, rent: int, program: Pubkey = TOKEN_2022, decimals: int = 8
) -> list[Instruction]:
    """A mint without extensions."""
    account = create_account(
        CreateAccountParams(from_pubkey=payer, to_pubkey=mint, lamports=rent, space=MINT_BYTES, owner=program)
    )
    data = bytes([20, decimals]) + bytes(authority) + b"\x01" + bytes(authority)
    return [account, Instruction(program, data, [_w(mint)])]


def create_scaled_mint(payer: Pubkey, mint: Pubkey, authority: Pubkey, rent: int) -> list[Instruction]:
    """A mint with a multiplier of 1."""
    account = create_account(
        CreateAccountParams(
            from_pubkey=payer, to_pubkey=mint, lamports=rent, space=SCALED_MINT_BYTES, owner=TOKEN_2022
        )
    )
    scale = b"\x2b\x00" + bytes(authority) + struct.pack("<d", 1.0)
    data = bytes([20, 8]) + bytes(authority) + b"\x00"
    return [
        account,
        Instruction(TOKEN_2022, scale, [_w(mint)]),
        Instruction(TOKEN_2022, data, [_w(mint)]),
    ]


def update_multiplier(mint: Pubkey, authority: Pubkey, multiplier: float, effective_at: int) -> Instruction:
    """Schedule a multiplier."""
    data = b"\x2b\x01" + struct.pack("<dq", multiplier, effective_at)
    return Instruction(TOKEN_2022, data, [_w(mint), _r(authority, True)])


def associated(owner: Pubkey, mint: Pubkey, program: Pubkey = TOKEN_2022) -> Pubkey:
    """The associated token account of an owner."""
    return Pubkey.find_program_address([bytes(owner), bytes(program), bytes(mint)], ASSOCIATED)[0]


def create_associated(
    payer: Pubkey, owner: Pubkey, mint: Pubkey, program: Pubkey = TOKEN_2022
) -> Instruction:
    """Open the associated token account, by calls from the associated program."""
    account = associated(owner, mint, program)
    keys = [_w(payer, True), _w(account), _r(owner), _r(mint), _r(SYSTEM), _r(program)]
    return Instruction(ASSOCIATED, b"\x01", keys)


def mint_to(
    mint: Pubkey, account: Pubkey, authority: Pubkey, amount: int, program: Pubkey = TOKEN_2022
) -> Instruction:
    """Mint raw units."""
    keys = [_w(mint), _w(account), _r(authority, True)]
    return Instruction(program, b"\x07" + struct.pack("<Q", amount), keys)


def transfer_checked(
    source: Pubkey,
    mint: Pubkey,
    destination: Pubkey,
    owner: Pubkey,
    amount: int,
    program: Pubkey = TOKEN_2022,
    decimals: int = 8,
) -> Instruction:
    """Move raw units."""
    keys = [_w(source), _r(mint), _w(destination), _r(owner, True)]
    return Instruction(program, b"\x0c" + struct.pack("<QB", amount, decimals), keys)


def transfer_lamports(source: Pubkey, to: Pubkey, lamports: int) -> Instruction:
    """Move lamports."""
    return transfer(TransferParams(from_pubkey=source, to_pubkey=to, lamports=lamports))


def memo(text: str) -> Instruction:
    """A note."""
    return Instruction(MEMO, text.encode(), [])
