"""A book around one mint in a fresh database."""

from collections.abc import AsyncIterator

import pytest

from reconcile.builders import Book


@pytest.fixture
async def book(dsn: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Book]:
    built = await Book.open(dsn, tmp_path_factory.mktemp("files"))
    yield built
    await built.close()
