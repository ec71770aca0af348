"""Connection strings: passed on unparsed, redacted wherever shown, refused when they leak a password.

A DSN is any string that libpq and asyncpg accept, ``postgresql://postgres:@/postgres?host=/dir``
included. Only the password is ever looked for; the rest is the driver's to read.
"""

import re

from tieout_database.errors import PasswordInDsn

_URL_PASSWORD = re.compile(
    r"(?P<head>^[a-z][a-z0-9+]*://[^:/?#@]*:)(?P<secret>.+)(?P<tail>@)", re.IGNORECASE | re.DOTALL
)
_KEYWORD_PASSWORD = re.compile(
    r"(?P<head>(?:^|[\s?&])password\s*=\s*)(?P<secret>'(?:[^'\\]|\\.)*'|[^\s&]+)", re.IGNORECASE
)


def redact_dsn(dsn: str) -> str:
    """Return the DSN with a password, in either of its two places, shown as ``***``."""
    shown = _URL_PASSWORD.sub(r"\g<head>***\g<tail>", dsn)
    return _KEYWORD_PASSWORD.sub(r"\g<head>***", shown)


def refuse_password(dsn: str) -> str:
    """Return a DSN given on the command line, or raise PasswordInDsn when it holds a secret.

    Process lists and shell histories show arguments to everybody. An empty password is none.
    """
    empty = {"", "''"}
    found = [m.group("secret") for p in (_URL_PASSWORD, _KEYWORD_PASSWORD) for m in p.finditer(dsn)]
    if any(secret not in empty for secret in found):
        raise PasswordInDsn(
            f"the connection string {redact_dsn(dsn)!r} holds a password, which the process list would show: "
            "put it in TIEOUT_DSN, or in a file named by PGPASSFILE or PGSERVICE"
        )
    return dsn
