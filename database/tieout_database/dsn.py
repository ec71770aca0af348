"""Connection strings: passed on unparsed, redacted wherever shown, refused when they leak a password.

A DSN is any string that libpq and asyncpg accept, ``postgresql://postgres:@/postgres?host=/dir``
included. Only secrets are ever looked for; the rest is the driver's to read. What is no sound
DSN, a slash or an at sign in the password, is searched as well: its author meant it as a secret.
"""

import re
from urllib.parse import unquote_plus

from tieout_database.errors import PasswordInDsn

_HIDDEN = "***"
_SECRET_KEYS = {"password", "sslpassword"}
# Greedy to the last at sign: a password that holds one, or a slash, is hidden whole.
_AUTHORITY = re.compile(r"(?P<head>[a-z][a-z0-9+]*://[^:/?#@]*:)(?P<secret>.+)(?P<tail>@)", re.IGNORECASE | re.DOTALL)
_PARAMETER = re.compile(r"(?P<head>(?P<mark>[?&])(?P<key>[^=&?]*)=)(?P<secret>[^&]*)")
_KEYWORD = re.compile(
    r"(?P<head>(?:^|[\s'\"])(?:ssl)?password\s*=\s*)(?P<secret>'(?:[^'\\]|\\.)*'?|(?:\\.|[^\s\\'])*)",
    re.IGNORECASE | re.DOTALL,
)


def redact_dsn(dsn: str) -> str:
    """Return the DSN with a password, in any of its places, shown as ``***``."""
    return _split(dsn)[0]


def holds_password(dsn: str) -> bool:
    """Whether the DSN holds a secret; an empty password is none."""
    return any(secret.strip("'") for secret in _split(dsn)[1])


def refuse_password(dsn: str) -> str:
    """Return a DSN given on the command line, or raise PasswordInDsn when it holds a secret.

    Process lists and shell histories show arguments to everybody. An empty password is none.
    """
    if holds_password(dsn):
        raise PasswordInDsn(
            f"the connection string {redact_dsn(dsn)!r} holds a password, which the process list would show: "
            "put it in TIEOUT_DSN, or in a file named by PGPASSFILE or PGSERVICE"
        )
    return dsn


def _split(dsn: str) -> tuple[str, list[str]]:
    """The redacted DSN, and the secrets that were in it."""
    secrets: list[str] = []

    def hide(found: re.Match[str]) -> str:
        parts = found.groupdict()
        if "key" in parts and unquote_plus(parts["key"]).strip().lower() not in _SECRET_KEYS:
            return found[0]
        secrets.append(parts["secret"])
        return f"{parts['head']}{_HIDDEN}{parts.get('tail', '')}"

    shown = _AUTHORITY.sub(hide, dsn)
    shown = _PARAMETER.sub(hide, shown) if "://" in shown else shown
    return _KEYWORD.sub(hide, shown), secrets
