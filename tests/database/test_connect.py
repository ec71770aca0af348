"""A database that cannot be used is told of in one sentence, in time, without its password."""

import asyncio

import pytest

import tieout_database
from rpc.nodes import closed_port, silence, tcp
from tieout_database import DatabaseUnreachable, connect, open_pool, pool

SECRET = "QZX987"


def with_secret(dsn: str) -> str:
    return f"{dsn}{'&' if '?' in dsn else '?'}password={SECRET}"


async def refused(dsn: str) -> str:
    """What is said of a DSN, by both ways to connect."""
    said = []
    for way in (connect, open_pool):
        async with asyncio.timeout(10):
            with pytest.raises(DatabaseUnreachable) as wrong:
                await way(dsn)
        said.append(str(wrong.value))
    assert said[0] == said[1]
    assert "cannot be reached" in said[0]
    assert "\n" not in said[0]
    assert SECRET not in said[0]
    return said[0]


def port_of(url: str) -> int:
    return int(url.rpartition(":")[2])


async def test_a_port_on_which_nobody_listens() -> None:
    async with closed_port() as url:
        said = await refused(f"postgresql://u:{SECRET}@127.0.0.1:{port_of(url)}/d")
    assert f"127.0.0.1:{port_of(url)}" in said
    assert "tieout db start" in said


async def test_a_socket_that_is_not_there() -> None:
    assert "/nowhere/at/all" in await refused(f"postgresql://u:{SECRET}@/d?host=/nowhere/at/all")


async def test_a_host_without_an_address() -> None:
    assert "no-such-host.invalid" in await refused(f"postgresql://u:{SECRET}@no-such-host.invalid/d")


async def test_a_database_that_is_not_there(server_dsn: str) -> None:
    base, mark, rest = server_dsn.partition("?")
    said = await refused(with_secret(f"{base.rpartition('/')[0]}/not_there{mark}{rest}"))
    assert "not_there" in said


@pytest.mark.parametrize(
    "dsn",
    [
        "rubbish",
        "mysql://u@h/d",
        "postgresql://u@h:port/d",
        "postgresql://u@h/d?sslmode=sometimes",
        "postgresql://u@h/d?novalue",
        "postgresql://[::1/d",
        "postgresql://u@h\x00/d",
        "postgresql://u@\udc80/d",
        f"postgresql://u:{SECRET}/{SECRET}@h/d",
        f"postgresql://u:{SECRET}@{SECRET}:{SECRET}@h/d",
        f"postgresql://u:{SECRET}@h:x/d",
        f"host=h user=u password={SECRET}",
        f"host=h user=u password='{SECRET}",
    ],
)
async def test_text_that_is_no_connection_string(dsn: str) -> None:
    assert await refused(dsn)


async def test_a_server_that_accepts_and_never_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pool, "CONNECT_TIMEOUT_S", 0.2)
    async with tcp(silence) as url:
        assert "no answer in 0.2 s" in await refused(f"postgresql://u:{SECRET}@127.0.0.1:{port_of(url)}/d")


async def test_a_server_that_is_no_postgres() -> None:
    async def web(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(8)
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        writer.close()

    async with tcp(web) as url:
        assert await refused(f"postgresql://u:{SECRET}@127.0.0.1:{port_of(url)}/d")


def test_waiting_for_a_server_is_bounded_below_the_ten_seconds_promised() -> None:
    assert pool.CONNECT_TIMEOUT_S < 9


async def test_a_connection_speaks_utc_and_json(dsn: str) -> None:
    connection = await connect(dsn)
    try:
        assert await connection.fetchval("show timezone") == "UTC"
        assert await connection.fetchval("show application_name") == "tieout"
        assert await connection.fetchval("select $1::jsonb", {"a": [1, None, "é"]}) == {"a": [1, None, "é"]}
    finally:
        await connection.close()


async def test_a_pool_lends_connections_set_up_alike(dsn: str) -> None:
    async with await open_pool(dsn, size_max=2) as many:
        answers = await asyncio.gather(*(many.fetchval("select $1::jsonb", {"n": n}) for n in range(8)))
        assert many.get_size() <= 2
    assert answers == [{"n": n} for n in range(8)]


def test_public_names_exist_are_sorted_and_complete() -> None:
    assert sorted(tieout_database.__all__) == list(tieout_database.__all__)
    public = {name for name, value in vars(tieout_database).items() if not name.startswith("_")}
    modules = {"amounts", "audit", "content", "dsn", "embedded", "errors", "migrate", "pool", "queries", "roles"}
    assert public - modules - {"text"} | {"migrate"} == set(tieout_database.__all__)
