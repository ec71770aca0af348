"""A connection string is shown without its password, and refused with one on the command line."""

import string
from collections.abc import Callable
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tieout_database import PasswordInDsn, redact_dsn, refuse_password

EMPTY_PASSWORD = [
    "postgresql://postgres:@/postgres?host=/tmp/data",
    "postgresql://postgres@localhost/tieout",
    "postgresql://localhost:5432/tieout",
    "postgresql:///tieout?host=/var/run/postgresql&user=me",
    "postgresql://",
    "postgresql://u@h/d?password=",
    "postgresql://u@h/d?passfile=/home/u/.pgpass&application_name=password",
    "host=/tmp dbname=tieout user=me",
    "host=/tmp password='' user=me",
    "host=/tmp user=me password=",
    "service=tieout",
    "",
]


@pytest.mark.parametrize("dsn", EMPTY_PASSWORD)
def test_without_a_password_it_is_passed_on_as_given(dsn: str) -> None:
    assert refuse_password(dsn) == dsn


@pytest.mark.parametrize("dsn", [d for d in EMPTY_PASSWORD if "password=" not in d])
def test_without_a_password_it_is_shown_as_given(dsn: str) -> None:
    assert redact_dsn(dsn) == dsn


@pytest.mark.parametrize(
    ("dsn", "shown"),
    [
        ("postgresql://u:s3cret@h:5432/d?sslmode=require", "postgresql://u:***@h:5432/d?sslmode=require"),
        ("postgres://u:s3@cret@h/d", "postgres://u:***@h/d"),
        ("postgresql://u:s3:cret@h/d", "postgresql://u:***@h/d"),
        ("postgresql://u:s3%40cret@h/d", "postgresql://u:***@h/d"),
        ("postgresql://:s3cret@h/d", "postgresql://:***@h/d"),
        ("postgresql://u:s3cret@[::1]:5432/d", "postgresql://u:***@[::1]:5432/d"),
        ("postgresql://u:s3cret@a:1,b:2/d", "postgresql://u:***@a:1,b:2/d"),
        (" postgresql://u:s3cret@h/d\n", " postgresql://u:***@h/d\n"),
        ("'postgresql://u:s3cret@h/d'", "'postgresql://u:***@h/d'"),
        ("postgresql://u@h/d?password=s3cret&sslmode=require", "postgresql://u@h/d?password=***&sslmode=require"),
        ("postgresql://u@h/d?sslmode=require&pass%77ord=s3cret", "postgresql://u@h/d?sslmode=require&pass%77ord=***"),
        ("postgresql://u@h/d?sslpassword=s3cret", "postgresql://u@h/d?sslpassword=***"),
        ("host=h password=s3cret user=u", "host=h password=*** user=u"),
        ("host=h PASSWORD = 's3 cr\\'et' user=u", "host=h PASSWORD = *** user=u"),
        ("password=s3&cret host=h", "password=*** host=h"),
        ("password=s3\\ cret host=h", "password=*** host=h"),
    ],
)
def test_a_password_is_shown_as_stars_and_refused(dsn: str, shown: str) -> None:
    assert redact_dsn(dsn) == shown
    with pytest.raises(PasswordInDsn) as refused:
        refuse_password(dsn)
    assert "cret" not in str(refused.value)
    for named in ("TIEOUT_DSN", "PGPASSFILE", "PGSERVICE"):
        assert named in str(refused.value)


# None of the letters of a secret stands anywhere else in these strings.
SECRET = st.text(alphabet="QXZ987:@/?#&=%+ '\\\"\n\té", min_size=1, max_size=16).map(lambda s: "Q" + s)
QUOTED: dict[str, Callable[[str], str]] = {
    "postgresql://user:{}@host/name?sslmode=require": str,
    "postgresql://user:{}@host,other/name": lambda s: quote(s, safe=""),
    "postgresql://user@host/name?password={}&sslmode=require": lambda s: quote(s, safe=""),
    "postgresql://user@host/name?sslmode=require&password={}": lambda s: s.replace("&", "%26"),
    "host=a password='{}' user=b": lambda s: s.replace("\\", "\\\\").replace("'", "\\'"),
    "host=a password={} user=b": lambda s: "".join(f"\\{c}" if c in "\\' \n\t" else c for c in s),
}


@given(SECRET, st.sampled_from(sorted(QUOTED)))
def test_no_letter_of_a_secret_is_ever_shown(secret: str, form: str) -> None:
    dsn = form.format(QUOTED[form](secret))
    with pytest.raises(PasswordInDsn) as refused:
        refuse_password(dsn)
    for text in (redact_dsn(dsn), str(refused.value)):
        assert not set("QXZ987é") & set(text), text


@given(st.text(alphabet=string.printable, max_size=40))
def test_redacting_twice_changes_nothing_more(dsn: str) -> None:
    once = redact_dsn(dsn)
    assert redact_dsn(once) == once
