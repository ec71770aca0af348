"""The database package's errors; the tree is drawn in the package docstring."""


class DatabaseError(Exception):
    """A database operation cannot go on."""


class DatabaseUnreachable(DatabaseError):
    """No server answered, or it refused the login; trying again may help."""


class SchemaBehind(DatabaseError):
    """The database lacks migrations that this version needs."""


class MigrationDrift(DatabaseError):
    """An applied migration no longer has the content that was applied."""


class PasswordInDsn(DatabaseError):
    """A connection string on the command line carries a password."""
