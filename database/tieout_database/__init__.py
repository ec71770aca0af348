"""Postgres for tieout: connection strings, pools, named queries, migrations, the embedded server.

The only package that opens a connection. It knows no node and no instrument: the packages
above bring their own ``.sql`` files and call what is listed here.

Errors::

    DatabaseError
    ├── DatabaseUnreachable   trying again may help: no server answered, or it refused the login
    ├── SchemaBehind          run ``tieout db migrate``
    ├── MigrationDrift        an applied migration's file was changed: restore it
    └── PasswordInDsn         a secret on the command line: use TIEOUT_DSN, PGPASSFILE or PGSERVICE
"""

from tieout_database.audit import AuditEntry, append_audit, list_audit, verify_audit
from tieout_database.dsn import redact_dsn, refuse_password
from tieout_database.embedded import EmbeddedPostgres
from tieout_database.errors import DatabaseError, DatabaseUnreachable, MigrationDrift, PasswordInDsn, SchemaBehind
from tieout_database.migrate import Migration, applied_migrations, check_schema, load_migrations, migrate
from tieout_database.pool import connect, open_pool
from tieout_database.queries import Queries
from tieout_database.roles import create_roles
from tieout_database.text import clean_text, marked_text

__all__ = [
    "AuditEntry",
    "DatabaseError",
    "DatabaseUnreachable",
    "EmbeddedPostgres",
    "Migration",
    "MigrationDrift",
    "PasswordInDsn",
    "Queries",
    "SchemaBehind",
    "append_audit",
    "applied_migrations",
    "check_schema",
    "clean_text",
    "connect",
    "create_roles",
    "list_audit",
    "load_migrations",
    "marked_text",
    "migrate",
    "open_pool",
    "redact_dsn",
    "refuse_password",
    "verify_audit",
]
