"""The token program as an AnchorPy ``Program``, with the bytes of ``tieout_idl``.

AnchorPy hard-codes eight-byte Anchor discriminators; Token-2022 has tags of one, two and eight.
So the program's ``coder.instruction`` is ours, and the namespaces are built again around it:
``token_program().methods["mint_to"].args([…]).accounts({…}).instruction()`` gives the bytes of a
mainnet MintTo. AnchorPy builds; sending goes through ``tieout_rpc``.
"""

import warnings
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any, NoReturn, cast

from anchorpy import Idl, InstructionCoder, NamedInstruction, Program, Provider, Wallet
from anchorpy.program.core import _build_namespace
from solders.instruction import AccountMeta, Instruction
from solders.keypair import Keypair
from solders.pubkey import Pubkey

from tieout_client.errors import BadInput
from tieout_idl import IDL_JSON, INSTRUCTIONS, TOKEN_2022_PROGRAM, TokenFormatError, UnknownInstruction, decode, encode
from tieout_idl.table import TYPES, InstructionLayout, snake

TOKEN_2022 = Pubkey.from_string(TOKEN_2022_PROGRAM)


class _BuildOnly(Provider):
    """A provider without a connection: one way to send, with its retries and its proof of death, is enough."""

    def __init__(self) -> None:
        super().__init__(connection=cast("Any", None), wallet=Wallet(Keypair()))

    async def send(self, tx: Any, opts: Any = None) -> NoReturn:  # noqa: ARG002
        raise BadInput("this program only builds instructions: send them with tieout_client.Sender")

    async def simulate(self, tx: Any, opts: Any = None) -> NoReturn:  # noqa: ARG002
        raise BadInput("this program only builds instructions: simulate them with tieout_client.Sender")


class TokenInstructionCoder(InstructionCoder):
    """AnchorPy's instruction coder with the token program's discriminators and layouts.

    Values: public keys are ``Pubkey`` (base58 accepted), None where zeroable or absent; enums are
    snake-case names, ``"mint_tokens"`` (AnchorPy's enum objects accepted); the rest as in
    ``tieout_idl``.
    """

    def build(self, obj: NamedInstruction, **_: Any) -> bytes:
        """Return the data of an instruction. Raises TokenFormatError naming the field."""
        layout = INSTRUCTIONS[obj.name]
        return encode(obj.name, {f.name: _to_idl(f.type, obj.data[f.name]) for f in layout.fields})

    def parse(self, data: bytes, **_: Any) -> NamedInstruction | UnknownInstruction:
        """Return the instruction that data stands for; an unknown tag is a value. Raises ShortData, BadValue."""
        decoded = decode(data)
        if isinstance(decoded, UnknownInstruction):
            return decoded
        values = {f.name: _from_idl(f.type, decoded.args[f.name]) for f in decoded.layout.fields}
        return NamedInstruction(data=values, name=decoded.name)


@cache
def token_program() -> Program:
    """Return the AnchorPy program of Token-2022, made once (a tenth of a second)."""
    with warnings.catch_warnings():
        # sumtypes, under AnchorPy's enums, still passes attrs an argument that attrs deprecates.
        warnings.simplefilter("ignore", DeprecationWarning)
        idl, provider = Idl.from_json(IDL_JSON), _BuildOnly()
        program = Program(idl, TOKEN_2022, provider)
        program.coder.instruction = TokenInstructionCoder(idl)
        (
            program.rpc,
            program.instruction,
            program.transaction,
            program.account,
            program.simulate,
            program.type,
            program.methods,
        ) = _build_namespace(idl, program.coder, TOKEN_2022, provider)
    return program


def build(
    name: str,
    accounts: Mapping[str, Pubkey],
    args: Mapping[str, Any] | None = None,
    *,
    multisig_signers: Sequence[Pubkey] = (),
    remaining: Sequence[AccountMeta] = (),
) -> Instruction:
    """Return one Token-2022 instruction, by AnchorPy, from accounts and arguments by name.

    An optional account left out is left out of the list, as this program wants it. With ``multisig_signers``
    the authority account is a multisig: it does not sign, they do. ``remaining`` follows last
    (a hook's accounts, withheld-fee sources). Raises BadInput naming what is missing or wrong.
    """
    layout = INSTRUCTIONS.get(name)
    if layout is None:
        raise BadInput(f"the token program has no instruction {name!r}")
    given = dict(args or {})
    wrong = sorted(given.keys() ^ {f.name for f in layout.fields})
    if wrong:
        raise BadInput(f"{name} takes the arguments {[f.name for f in layout.fields]}: {wrong} do not fit")
    addresses = {
        a.name: accounts.get(a.name, TOKEN_2022) for a in layout.accounts if a.is_optional or a.name in accounts
    }
    method = (
        token_program()
        .methods[name]
        .args([given[f.name] for f in layout.fields])
        .accounts(addresses)
        .remaining_accounts([*(AccountMeta(s, True, False) for s in multisig_signers), *remaining])
    )
    try:
        instruction: Instruction = method.instruction()
    except (TokenFormatError, ValueError) as bad:
        raise BadInput(f"cannot build {name}: {bad}") from bad
    return _as_given(instruction, layout, accounts.keys(), bool(multisig_signers))


def _as_given(built: Instruction, layout: InstructionLayout, given: Any, multisig: bool) -> Instruction:
    # AnchorPy knows neither optional accounts nor multisigs: their places are put right afterwards.
    metas: list[AccountMeta] = []
    for meta, account in zip(built.accounts, layout.accounts, strict=False):
        if account.is_multisig and multisig:
            metas.append(AccountMeta(meta.pubkey, False, meta.is_writable))
        elif not account.is_optional or account.name in given:
            metas.append(meta)
    return Instruction(built.program_id, bytes(built.data), [*metas, *built.accounts[len(layout.accounts) :]])


def _to_idl(kind: Any, value: Any) -> Any:
    if value is None:
        return None
    if kind == "publicKey":
        return str(value)
    if isinstance(kind, dict) and "option" in kind:
        return _to_idl(kind["option"], value)
    if isinstance(kind, dict) and TYPES.get(kind.get("defined", ""), {}).get("kind") == "enum":
        return _enum_name(value)
    return value


def _enum_name(value: Any) -> Any:
    if isinstance(value, str):
        return snake(value)
    if isinstance(value, tuple):
        return (snake(value[0]), *value[1:])
    name = snake(type(value).__name__)
    inner = getattr(value, "tuple_data", None)
    if inner is None:
        return name
    return (name, inner[0] if isinstance(inner, tuple) else inner)


def _from_idl(kind: Any, value: Any) -> Any:
    if value is None:
        return None
    if kind == "publicKey":
        return Pubkey.from_string(value)
    if isinstance(kind, dict) and "option" in kind:
        return _from_idl(kind["option"], value)
    return value
