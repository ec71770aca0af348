"""Text from outside, made storable: Postgres takes no NUL and no invalid UTF-8."""

REPLACEMENT = "\ufffd"


def clean_text(raw: bytes | str, limit_characters: int) -> tuple[str, bool]:
    """Return ``(text, changed)``: NUL and invalid UTF-8 replaced by U+FFFD, cut at the limit.

    ``changed`` says that the text is not the exact bytes, which evidence keeps.
    """
    exact = raw if isinstance(raw, bytes) else raw.encode("utf-8", "surrogatepass")
    decoded = exact.decode("utf-8", "replace").replace("\x00", REPLACEMENT)
    text = decoded[:limit_characters]
    return text, text.encode() != exact
