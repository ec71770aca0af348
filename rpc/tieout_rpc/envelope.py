"""What a node wraps its answers in: ``{"jsonrpc": "2.0", "result": …, "id": 1}``. Pure.

A block is megabytes between a known head and a known tail. Where both stand there, the result is cut
out of the middle without reading it: whoever decodes it finds out whether it is one JSON value, and only
then is the whole what it looked like. Anything else is read in full.
"""

import re

import msgspec

_LARGE_BYTES = 65_536
"""Below, reading in full costs next to nothing."""
_TAIL_BYTES = 256
_ABOUT = rb'"(?:jsonrpc|id)"\s*:\s*(?:"[\w.-]*"|-?\d+|null)'
_HEAD = re.compile(rb"\s*\{\s*(?:" + _ABOUT + rb'\s*,\s*)*"result"\s*:\s*')
_TAIL = re.compile(rb"\s*(?:,\s*" + _ABOUT + rb"\s*)*\}\s*\Z")


class ErrorBody(msgspec.Struct):
    """What a node gives for a refusal."""

    code: int
    message: str = ""
    data: object = None


class _Envelope(msgspec.Struct):
    result: msgspec.Raw = msgspec.Raw(b"")
    error: ErrorBody | None = None


_DECODER = msgspec.json.Decoder(_Envelope)


def opened(body: bytes) -> tuple[bytes, ErrorBody | None]:
    """Return an answer's result in its exact bytes (empty: there is none; null is four letters), and its error.

    Raises msgspec's errors, UnicodeDecodeError or RecursionError on what is no answer.
    """
    if len(body) >= _LARGE_BYTES:
        head = _HEAD.match(body)
        tail = _TAIL.search(body, len(body) - _TAIL_BYTES)
        if head is not None and tail is not None:
            return body[head.end() : tail.start()], None
    envelope = _DECODER.decode(body)
    return bytes(envelope.result), envelope.error
