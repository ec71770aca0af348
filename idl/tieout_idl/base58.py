"""Base58 with the Bitcoin alphabet: how Solana writes public keys, hashes, signatures and instruction data."""

_ALPHABET = b"123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
_DIGITS = {letter: value for value, letter in enumerate(_ALPHABET)}
# Long texts go by chunks of letters, so that the long integer is not multiplied for each of them.
_CHUNK = 64
_CHUNK_BASE = 58**_CHUNK


def decode(text: str) -> bytes:
    """Return the bytes that ``text`` stands for. Raises ValueError naming the first letter that is none of base 58."""
    letters = text.encode()
    try:
        number = _number(letters[:_CHUNK])
        for start in range(_CHUNK, len(letters), _CHUNK):
            chunk = letters[start : start + _CHUNK]
            number = number * 58 ** len(chunk) + _number(chunk)
    except KeyError as bad:
        raise ValueError(f"{chr(bad.args[0])!r} is no base-58 letter in {text[:60]!r}") from None
    leading_zeros = len(text) - len(text.lstrip("1"))
    return bytes(leading_zeros) + number.to_bytes((number.bit_length() + 7) // 8, "big")


def _number(letters: bytes) -> int:
    value = 0
    for letter in letters:
        value = value * 58 + _DIGITS[letter]
    return value


def encode(raw: bytes) -> str:
    """Return ``raw`` in base 58."""
    number = int.from_bytes(raw, "big")
    letters = bytearray()
    while number:
        number, chunk = divmod(number, _CHUNK_BASE)
        for _ in range(_CHUNK):
            if not number and not chunk:
                break
            chunk, digit = divmod(chunk, 58)
            letters.append(_ALPHABET[digit])
    leading_zeros = len(raw) - len(raw.lstrip(b"\0"))
    letters.extend(b"1" * leading_zeros)
    letters.reverse()
    return letters.decode()


def public_key(text: str) -> bytes:
    """Return the 32 bytes of an address. Raises ValueError saying what is wrong with it."""
    raw = decode(text)
    if len(raw) != 32:
        raise ValueError(f"{text!r} is {len(raw)} bytes in base 58, an address has 32")
    return raw
