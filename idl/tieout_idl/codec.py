"""Instruction data ↔ values, by the table, total in both directions.

Values: integers are ``int``; ``publicKey`` is base58 ``str`` (``None`` where zeroable and zero,
or where an option is absent); ``f64`` is ``float`` (its eight bytes survive both ways); fixed
arrays are ``bytes``; enums are snake-case names (a variant with a field is ``(name, value)``).

Lenient on trailing bytes, as older versions of the program were; strict on short data; an
unknown tag is a value, not an error.
"""

import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from tieout_idl import base58
from tieout_idl.errors import BadValue, ShortData, UnknownName
from tieout_idl.table import BY_DISCRIMINATOR, EXTENSIONS, INSTRUCTIONS, TYPES, Field, InstructionLayout, snake

Decoder = Callable[[bytes, int], tuple[Any, int]]
Encoder = Callable[[Any], bytes]
Compiled = tuple[tuple[str, Decoder], ...]
"""Field names with their decoders, in order."""

_NUMBERS = {
    "u8": "<B", "u16": "<H", "u32": "<I", "u64": "<Q", "i8": "<b", "i16": "<h", "i64": "<q", "f64": "<d", "bool": "<B",
}  # fmt: skip
_ZERO_KEY = bytes(32)
_STRING_BYTES_MAX = 65_536


@dataclass(frozen=True, slots=True)
class Instruction:
    """A decoded instruction: its layout and its fields by name."""

    layout: InstructionLayout
    args: Mapping[str, Any]

    @property
    def name(self) -> str:
        """The instruction's name in snake case, ``transfer_checked``."""
        return self.layout.name


@dataclass(frozen=True, slots=True)
class UnknownInstruction:
    """Data whose tag this table lacks: a value to report, never to guess from."""

    data: bytes


@dataclass(frozen=True, slots=True)
class Child:
    """One instruction inside a Batch: how many of the batch's accounts it takes, and its data."""

    number_of_accounts: int
    data: bytes


def find_layout(data: bytes) -> InstructionLayout | None:
    """Return the layout whose discriminator ``data`` begins with, or None."""
    return BY_DISCRIMINATOR.get(data[:1]) or BY_DISCRIMINATOR.get(data[:2]) or BY_DISCRIMINATOR.get(data[:8])


def decode(data: bytes) -> Instruction | UnknownInstruction:
    """Decode instruction data. Raises ShortData or BadValue naming the instruction, field and byte."""
    layout = find_layout(data)
    if layout is None:
        return UnknownInstruction(data)
    return Instruction(layout, decode_fields(layout.name, _COMPILED[layout.name], data, len(layout.discriminator)))


def decode_fields(what: str, fields: Compiled, data: bytes, offset: int) -> dict[str, Any]:
    """Decode compiled fields from ``data`` at ``offset``; ``what`` names the whole in errors."""
    values: dict[str, Any] = {}
    for name, decoder in fields:
        try:
            values[name], offset = decoder(data, offset)
        except (IndexError, struct.error):
            raise ShortData(
                f"{what}: field {name} starts at byte {offset} of data that has only {len(data)} bytes"
            ) from None
        except (ValueError, RecursionError) as bad:
            raise BadValue(f"{what}: field {name} at byte {offset}: {bad}") from None
    return values


def encode(name: str, args: Mapping[str, Any] | None = None) -> bytes:
    """Encode an instruction by name. Raises UnknownName or BadValue naming the field."""
    layout = INSTRUCTIONS.get(name)
    if layout is None:
        raise UnknownName(f"the token program has no instruction {name!r}")
    given = dict(args or {})
    unknown = sorted(given.keys() - {f.name for f in layout.fields})
    missing = [f.name for f in layout.fields if f.name not in given]
    if unknown or missing:
        raise UnknownName(f"{name} takes {[f.name for f in layout.fields]}; missing {missing}, unknown {unknown}")
    return layout.discriminator + encode_fields(name, layout.fields, given)


def encode_fields(what: str, fields: tuple[Field, ...], values: Mapping[str, Any]) -> bytes:
    """Encode ``fields`` in order; ``what`` names the whole in errors."""
    out = bytearray()
    for field in fields:
        try:
            out += _codec(field)[1](values[field.name])
        except (struct.error, ValueError, TypeError, OverflowError, AttributeError) as bad:
            raise BadValue(f"{what}: field {field.name} cannot be {values[field.name]!r}: {bad}") from None
    return bytes(out)


def _codec(field: Field) -> tuple[Decoder, Encoder]:
    return _codec_of(repr(field.type), field.zeroable, field.remainder)


@cache
def _codec_of(type_repr: str, zeroable: bool, remainder: bool) -> tuple[Decoder, Encoder]:
    # Types are dicts, which do not hash: the cache goes by their text, made from our own table.
    kind = _TYPE_BY_REPR[type_repr]
    if remainder:
        return _remainder(kind)
    if zeroable:
        return _zeroable_key()
    return _codec_of_type(kind)


def _codec_of_type(kind: Any) -> tuple[Decoder, Encoder]:
    if isinstance(kind, str):
        if kind in _NUMBERS:
            return _number(kind)
        return {"publicKey": _key, "string": _string, "bytes": _short_bytes}[kind]()
    if "option" in kind:
        return _option(_codec_of_type(kind["option"]))
    if "array" in kind:
        return _array(kind["array"][1])
    if "vec" in kind:
        return _vec(_codec_of_type(kind["vec"]))
    definition = TYPES[kind["defined"]]
    if definition["kind"] == "enum":
        return _enum(kind["defined"], definition["variants"])
    return _struct(kind["defined"], definition["fields"])


def _take(data: bytes, offset: int, length: int) -> bytes:
    if offset + length > len(data):
        raise IndexError
    return data[offset : offset + length]


def _number(kind: str) -> tuple[Decoder, Encoder]:
    packer = struct.Struct(_NUMBERS[kind])
    unpack_from, size = packer.unpack_from, packer.size

    def read(data: bytes, offset: int) -> tuple[Any, int]:
        return unpack_from(data, offset)[0], offset + size

    def read_bool(data: bytes, offset: int) -> tuple[Any, int]:
        return bool(unpack_from(data, offset)[0]), offset + size

    def write(value: Any) -> bytes:
        if kind not in {"f64", "bool"} and (isinstance(value, bool) or not isinstance(value, int)):
            raise TypeError(f"an integer is needed, not {type(value).__name__}")
        packed: bytes = packer.pack(value)
        return packed

    return (read_bool if kind == "bool" else read), write


def _key() -> tuple[Decoder, Encoder]:
    def read(data: bytes, offset: int) -> tuple[Any, int]:
        return base58.encode(_take(data, offset, 32)), offset + 32

    return read, lambda value: base58.public_key(str(value))


def _zeroable_key() -> tuple[Decoder, Encoder]:
    def read(data: bytes, offset: int) -> tuple[Any, int]:
        raw = _take(data, offset, 32)
        return (None if raw == _ZERO_KEY else base58.encode(raw)), offset + 32

    return read, lambda value: _ZERO_KEY if value is None else base58.public_key(str(value))


def _string() -> tuple[Decoder, Encoder]:
    def read(data: bytes, offset: int) -> tuple[Any, int]:
        length = struct.unpack_from("<I", data, offset)[0]
        return _take(data, offset + 4, length).decode("utf-8", "replace"), offset + 4 + length

    def write(value: Any) -> bytes:
        raw: bytes = value.encode()
        if len(raw) > _STRING_BYTES_MAX:
            raise ValueError(f"a text of {len(raw)} bytes does not fit a transaction")
        return struct.pack("<I", len(raw)) + raw

    return read, write


def _short_bytes() -> tuple[Decoder, Encoder]:
    # Only a batch's children are of this type, and theirs is a one-byte length.
    def read(data: bytes, offset: int) -> tuple[Any, int]:
        length = data[offset]
        return _take(data, offset + 1, length), offset + 1 + length

    return read, lambda value: bytes([len(value)]) + bytes(value)


def _option(item: tuple[Decoder, Encoder]) -> tuple[Decoder, Encoder]:
    def read(data: bytes, offset: int) -> tuple[Any, int]:
        flag = data[offset]
        if flag == 0:
            return None, offset + 1
        if flag != 1:
            raise ValueError(f"an option begins with 0 or 1, not {flag}")
        return item[0](data, offset + 1)

    return read, lambda value: b"\0" if value is None else b"\1" + item[1](value)


def _array(length: int) -> tuple[Decoder, Encoder]:
    def read(data: bytes, offset: int) -> tuple[Any, int]:
        return _take(data, offset, length), offset + length

    def write(value: Any) -> bytes:
        if len(value) != length:
            raise ValueError(f"{length} bytes are needed, not {len(value)}")
        return bytes(value)

    return read, write


def _vec(item: tuple[Decoder, Encoder]) -> tuple[Decoder, Encoder]:
    def read(data: bytes, offset: int) -> tuple[Any, int]:
        count = struct.unpack_from("<I", data, offset)[0]
        offset += 4
        values = []
        for _ in range(count):
            value, offset = item[0](data, offset)
            values.append(value)
        return tuple(values), offset

    return read, lambda value: struct.pack("<I", len(value)) + b"".join(map(item[1], value))


def _enum(name: str, variants: list[dict[str, Any]]) -> tuple[Decoder, Encoder]:
    names = [snake(v["name"]) for v in variants]
    contents = [_codec_of_type(v["fields"][0]) if v.get("fields") else None for v in variants]

    def read(data: bytes, offset: int) -> tuple[Any, int]:
        tag = data[offset]
        if tag >= len(names):
            raise ValueError(f"{name} has no variant {tag}")
        content = contents[tag]
        if content is None:
            return names[tag], offset + 1
        value, offset = content[0](data, offset + 1)
        return (names[tag], value), offset

    def write(value: Any) -> bytes:
        variant, inner = value if isinstance(value, tuple) else (value, None)
        if variant not in names:
            raise ValueError(f"{name} is one of {names}")
        tag = names.index(variant)
        content = contents[tag]
        return bytes([tag]) + (content[1](inner) if content else b"")

    return read, write


def _struct(name: str, raw_fields: list[dict[str, Any]]) -> tuple[Decoder, Encoder]:
    parts = [(snake(f["name"]), _codec_of_type(f["type"])) for f in raw_fields]

    def read(data: bytes, offset: int) -> tuple[Any, int]:
        values = {}
        for part, (reader, _) in parts:
            values[part], offset = reader(data, offset)
        return (Child(**values) if name == "BatchedInstruction" else values), offset

    def write(value: Any) -> bytes:
        get = value.get if isinstance(value, dict) else lambda key: getattr(value, key)
        return b"".join(writer(get(part)) for part, (_, writer) in parts)

    return read, write


def _remainder(kind: Any) -> tuple[Decoder, Encoder]:
    if kind == "string":
        return (
            lambda data, offset: (data[offset:].decode("utf-8", "replace"), len(data)),
            lambda value: str(value).encode(),
        )
    item = _codec_of_type(kind["vec"])

    def read(data: bytes, offset: int) -> tuple[Any, int]:
        values = []
        while offset < len(data):
            value, offset = item[0](data, offset)
            values.append(value)
        return tuple(values), offset

    return read, lambda value: b"".join(map(item[1], value))


def _all_types() -> dict[str, Any]:
    fields = [f for layout in INSTRUCTIONS.values() for f in layout.fields]
    fields += [f for _, extension_fields in EXTENSIONS.values() for f in extension_fields]
    return {repr(f.type): f.type for f in fields}


_TYPE_BY_REPR = _all_types()


def compile_fields(fields: tuple[Field, ...]) -> Compiled:
    """Look the decoders of fields up once, for ``decode_fields``."""
    return tuple((field.name, _codec(field)[0]) for field in fields)


_COMPILED = {name: compile_fields(layout.fields) for name, layout in INSTRUCTIONS.items()}
