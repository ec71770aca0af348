"""Under which version of its format's rules a file was taken in: ``mt535/2``, in the format that is stored. Pure.

A stored file is read again by its own version, so that an old report comes out as it did. What was stored
before there were versions has none, which is the first.
"""

import re

from tieout_reconcile.files import RULE

_STORED = re.compile(r"(.+)/(\d{1,4})", re.ASCII)


def stored_form(form: str) -> str:
    """Return a format as it is stored with a file that is read today."""
    return f"{form}/{RULE}"


def form_of(stored: str) -> str:
    """Return the format without its version."""
    found = _STORED.fullmatch(stored)
    return found[1] if found else stored


def rule_of(stored: str | None) -> int:
    """Return the version of the rules by which a stored file is read."""
    found = _STORED.fullmatch(stored or "")
    return int(found[2]) if found else 1
