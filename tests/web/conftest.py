"""A book, and the service that shows it."""

from collections.abc import AsyncIterator

import httpx
import pytest
from argon2 import PasswordHasher

from reconcile.builders import Book
from tieout_web import access
from web.service import fill, served

REAL_HASHER = access._HASHER


@pytest.fixture(autouse=True)
def cheap_passwords(monkeypatch: pytest.MonkeyPatch) -> None:
    """Six people a book would cost a second of hashing in each test; one test holds the real cost."""
    monkeypatch.setattr(access, "_HASHER", PasswordHasher(time_cost=1, memory_cost=8, parallelism=1))


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
