"""Named queries: SQL lives in ``.sql`` files beside the code that runs it, one name a query."""

import re
from importlib import resources

_HEADER = re.compile(r"^-- name: (?P<name>[a-z][a-z0-9_]*)\s*$", re.MULTILINE)


class Queries:
    """The queries of one file, read by name: ``queries["tracked_mints"]``.

    A file is a run of ``-- name: some_query`` headers, each followed by its SQL.
    """

    def __init__(self, package: str, filename: str) -> None:
        text = resources.files(package).joinpath(filename).read_text("utf-8")
        parts = _HEADER.split(text)
        if parts[0].strip() and not all(line.startswith("--") or not line for line in parts[0].strip().splitlines()):
            raise ValueError(f"{package}/{filename}: SQL before the first '-- name:' header")
        self._sql = {name: sql.strip() for name, sql in zip(parts[1::2], parts[2::2], strict=True)}
        if len(self._sql) != len(parts) // 2:
            raise ValueError(f"{package}/{filename}: two queries have the same name")

    def __getitem__(self, name: str) -> str:
        return self._sql[name]

    @property
    def names(self) -> frozenset[str]:
        """The names of all queries in the file."""
        return frozenset(self._sql)
