"""Text from outside, made storable: Postgres takes no NUL and no invalid UTF-8."""

REPLACEMENT = "\ufffd"
CUT = "…[cut]"
"""What a text ends in that was cut at its limit: it makes it longer than any text that was not."""


def clean_text(raw: bytes | str, limit_characters: int) -> tuple[str, bool]:
    """Return ``(text, changed)``: NUL and invalid UTF-8 replaced by U+FFFD, cut at the limit.

    ``changed`` says that the text is not the exact bytes, which evidence keeps.
    """
    exact = raw if isinstance(raw, bytes) else raw.encode("utf-8", "surrogatepass")
    decoded = exact.decode("utf-8", "replace").replace("\x00", REPLACEMENT)
    text = decoded[:limit_characters]
    return text, text.encode() != exact


def marked_text(raw: bytes | str, limit_characters: int) -> str:
    """Return a text as ``clean_text`` does; one that is longer than the limit is cut there, and ends in ``CUT``.

    So it is longer than any text that was not cut, and says itself that evidence has more.
    """
    text, _ = clean_text(raw, limit_characters + 1)
    return text if len(text) <= limit_characters else text[:limit_characters] + CUT
