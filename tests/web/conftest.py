"""A book, and the service that shows it."""

from collections.abc import AsyncIterator

import httpx
import pytest

from reconcile.builders import Book
from web.service import fill, served


@pytest.fixture
async def book(dsn: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Book]:
    built = await Book.open(dsn, tmp_path_factory.mktemp("files"))
    yield built
    await built.close()


@pytest.fixture
async def client(book: Book) -> AsyncIterator[httpx.AsyncClient]:
    await fill(book)
    async with served(book.dsn) as found:
        yield found
