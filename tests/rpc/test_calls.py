"""A call is retried where that helps, failed over where another node may know, and given up in time."""

import asyncio
import itertools
from typing import Any

import pytest
from aiohttp import web

from rpc.nodes import Call, body, closed_port, full_queue, node, refusal, result, silence, tcp
from tieout_rpc import MalformedAnswer, NodeRefused, NodeUnreachable, RpcClient, RpcLimits

FAST = RpcLimits(give_up_after_s=2.0, backoff_initial_s=0.005, backoff_max_s=0.02)
GIVES_UP = RpcLimits(give_up_after_s=0.3, backoff_initial_s=0.02)
BOUND_S = 20


@pytest.fixture(autouse=True)
async def _bounded() -> Any:
    async with asyncio.timeout(BOUND_S):
        yield


async def ask(*urls: str, limits: RpcLimits = FAST, method: str = "getSlot") -> Any:
    async with RpcClient(urls, limits) as client:
        return await client.call(method)


async def test_a_call_carries_its_method_and_parameters() -> None:
    async with node(result(7)) as there, RpcClient([there.url]) as client:
        assert await client.call("getBlock", [5, {"encoding": "json"}]) == 7
    assert there.calls == [{"jsonrpc": "2.0", "id": 1, "method": "getBlock", "params": [5, {"encoding": "json"}]}]


async def test_the_raw_call_gives_the_nodes_exact_bytes_and_its_name() -> None:
    exact = b'{"a" : 1.10,\n "b":"\\u0041"}'
    async with (
        node(body(b'{"jsonrpc":"2.0","id":1,"result":' + exact + b"}")) as there,
        RpcClient([there.url]) as client,
    ):
        assert await client.call_raw("getBlock") == (exact, there.url)


async def test_a_null_result_is_none() -> None:
    async with node(result(None)) as there:
        assert await ask(there.url) is None


async def test_integers_beyond_a_doubles_reach_stay_exact() -> None:
    big = {"rentEpoch": 18446744073709551615, "amount": 2**53 + 1}
    async with node(result(big)) as there:
        assert await ask(there.url) == big


async def test_a_result_of_another_form_than_asked_for_is_malformed() -> None:
    async with node(result("seven")) as there, RpcClient([there.url], FAST) as client:
        with pytest.raises(MalformedAnswer, match="getSlot in an unexpected form"):
            await client.call("getSlot", [], int)


@pytest.mark.parametrize("wait", ["0", "1", None, "soon", "²", "-3"])
async def test_a_throttled_call_is_made_again(wait: str | None) -> None:
    headers = {} if wait is None else {"Retry-After": wait}
    async with node(body(b"slow down", 429, headers), result(7)) as there:
        assert await ask(there.url) == 7
    assert len(there.calls) == 2


async def test_a_wait_asked_for_is_honoured_before_the_call_is_made_again() -> None:
    throttled_until = 0.0
    loop = asyncio.get_running_loop()

    async def strict(call: Call) -> web.StreamResponse:
        nonlocal throttled_until
        if not throttled_until:
            throttled_until = loop.time() + 0.95
            return await body(b"", 429, {"Retry-After": "1"})(call)
        return await result(loop.time() >= throttled_until)(call)

    async with node(strict) as there:
        assert await ask(there.url) is True
    assert len(there.calls) == 2


async def test_a_wait_that_a_node_asks_for_comes_on_top_of_the_time_to_give_up() -> None:
    limits = RpcLimits(give_up_after_s=0.2, backoff_initial_s=0.01)
    async with node(body(b"", 429, {"Retry-After": "1"}), result(7)) as there:
        assert await ask(there.url, limits=limits) == 7
    assert len(there.calls) == 2


async def test_a_wait_asked_for_beyond_all_patience_is_not_sat_out() -> None:
    async with node(body(b"", 429, {"Retry-After": "3600"})) as there:
        with pytest.raises(NodeUnreachable, match="HTTP 429"):
            await ask(there.url)
    assert len(there.calls) == 1


@pytest.mark.parametrize("status", [500, 502, 503, 504])
async def test_a_server_error_is_made_up_for_by_the_next_answer(status: int) -> None:
    async with node(body(b"<html>", status), body(b"<html>", status), result(7)) as there:
        assert await ask(there.url) == 7
    assert len(there.calls) == 3


@pytest.mark.parametrize("code", [-32004, -32014, -32016, -32603, 429, -32429, -32029])
async def test_an_error_that_passes_is_tried_again(code: int) -> None:
    async with node(refusal(code), result(7)) as there:
        assert await ask(there.url) == 7
    assert len(there.calls) == 2


async def test_a_dropped_connection_is_tried_again() -> None:
    dropped = itertools.count()

    async def hang_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        request = await reader.readuntil(b"\r\n\r\n")
        assert request.startswith(b"POST")
        if next(dropped) == 0:
            writer.transport.abort()
            return
        answer = b'{"jsonrpc":"2.0","id":2,"result":7}'
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%s" % (len(answer), answer))
        await writer.drain()

    async with tcp(hang_up) as url:
        assert await ask(url) == 7
    assert next(dropped) == 2


@pytest.mark.parametrize("code", [-32001, -32005, -32011, -32601, -31999])
async def test_what_one_node_cannot_answer_another_is_asked(code: int) -> None:
    async with node(refusal(code)) as poor, node(result(7)) as rich:
        assert await ask(poor.url, rich.url) == 7
    assert len(poor.calls) == len(rich.calls) == 1


async def test_what_no_node_can_answer_is_not_asked_again() -> None:
    async with node(refusal(-32001)) as one, node(refusal(-32005)) as other:
        with pytest.raises(NodeRefused) as refused:
            await ask(one.url, other.url)
    assert refused.value.code == -32005
    assert len(one.calls) == len(other.calls) == 1


async def test_a_node_that_cannot_answer_does_not_hide_that_another_is_only_away_for_a_moment() -> None:
    async with node(body(b"", 503), result(7)) as away, node(refusal(-32001)) as poor:
        assert await ask(away.url, poor.url) == 7


@pytest.mark.parametrize("code", [-32002, -32003, -32006, -32013, -32015, -32600, -32602, -32700])
async def test_our_own_mistakes_are_raised_at_once(code: int) -> None:
    async with node(refusal(code, "no", {"err": 1})) as there, node(result(7)) as other:
        with pytest.raises(NodeRefused) as refused:
            await ask(there.url, other.url)
    assert (refused.value.code, refused.value.data) == (code, {"err": 1})
    assert (len(there.calls), len(other.calls)) == (1, 0)


@pytest.mark.parametrize("code", [-32007, -32009])
async def test_what_one_node_calls_skipped_another_is_asked_for_and_nobody_twice(code: int) -> None:
    async with node(refusal(code, "skipped")) as there, node(result(7)) as other:
        assert await ask(there.url, other.url) == 7
    async with node(refusal(code, "skipped")) as there, node(refusal(code, "skipped")) as other:
        with pytest.raises(NodeRefused, match=str(code)):
            await ask(there.url, other.url)
        assert (len(there.calls), len(other.calls)) == (1, 1)


async def test_an_error_that_stays_is_raised_in_the_end_with_its_code() -> None:
    async with node(refusal(-32004)) as there:
        with pytest.raises(NodeRefused, match="-32004 BlockNotAvailable"):
            await ask(there.url, limits=GIVES_UP)
    assert len(there.calls) > 1


async def test_a_node_that_is_down_is_given_up_and_named_without_its_key() -> None:
    async with closed_port() as url:
        with pytest.raises(NodeUnreachable) as down:
            await ask(f"{url}/hidden-key", limits=GIVES_UP)
    assert str(down.value) == f"{url}/*** did not answer getSlot: Connection refused"


async def test_a_host_that_lets_nobody_in_is_given_up_and_named_without_its_key() -> None:
    limits = RpcLimits(give_up_after_s=0.5, connect_timeout_s=0.2)
    async with full_queue() as url:
        with pytest.raises(NodeUnreachable) as down:
            await ask(f"{url}/hidden-key?api-key=hidden-too", limits=limits)
    assert str(down.value) == f"{url}/*** did not answer getSlot: no connection within the time allowed"


async def test_a_host_that_does_not_exist_is_named() -> None:
    with pytest.raises(NodeUnreachable, match=r"did not answer getSlot: .*known"):
        await ask("http://node.invalid/hidden-key", limits=GIVES_UP)


async def test_the_next_node_answers_for_one_that_is_down_and_is_asked_first_from_then_on() -> None:
    async with closed_port() as url, node(result(7)) as there, RpcClient([url, there.url], FAST) as client:
        assert await client.call("getSlot") == 7
        assert await client.call("getSlot") == 7
        failures = {e.url: e.failures for e in client.endpoints}
    assert failures == {url: 1, there.url: 0}


async def test_a_node_that_accepts_and_never_answers_is_given_up() -> None:
    async with tcp(silence) as url, asyncio.timeout(5):
        with pytest.raises(NodeUnreachable, match="did not answer getSlot"):
            await ask(url, limits=GIVES_UP)


async def test_a_silent_node_leaves_time_for_the_next_one() -> None:
    async with tcp(silence) as url, node(result(7)) as there:
        assert await ask(url, there.url, limits=RpcLimits(give_up_after_s=1.0)) == 7


async def test_an_answer_that_began_in_time_may_take_longer_than_the_retries() -> None:
    async def drip(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        answer = b'{"jsonrpc":"2.0","id":1,"result":"abcdef"}'
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\nConnection: close\r\n\r\n" % len(answer))
        for start in range(0, len(answer), 7):
            writer.write(answer[start : start + 7])
            await writer.drain()
            await asyncio.sleep(0.1)

    async with tcp(drip) as url:
        assert await ask(url, limits=GIVES_UP) == "abcdef"


@pytest.mark.parametrize(
    "answer",
    [
        b"", b"<html>", b"{", b"[]", b"7", b"{}", b'{"message":"no such key"}', b'{"jsonrpc":"2.0","id":1}',
        b'{"error":"no such key"}', b'{"error":{"code":"x"}}', b'{"result":' + b"[" * 200_000, b"\xff\xfe\x00",
    ],
)  # fmt: skip
async def test_what_is_no_json_rpc_is_named_so(answer: bytes) -> None:
    async with node(body(answer)) as there:
        with pytest.raises(MalformedAnswer, match="answered getSlot with"):
            await ask(there.url, limits=GIVES_UP)
    assert len(there.calls) > 1


@pytest.mark.parametrize("value", [b'"\xff\xfe"', b"[" * 100_000 + b"]" * 100_000, b'"\\ud800"', b"1 2"])
async def test_a_result_that_cannot_be_read_is_malformed(value: bytes) -> None:
    async with node(body(b'{"jsonrpc":"2.0","id":1,"result":' + value + b"}")) as there:
        with pytest.raises(MalformedAnswer):
            await ask(there.url, limits=GIVES_UP)


@pytest.mark.parametrize("status", [401, 403, 404])
async def test_a_refusal_of_the_web_server_is_named_by_its_status(status: int) -> None:
    async with node(body(b"<html>forbidden</html>", status)) as there:
        with pytest.raises(MalformedAnswer, match=f"HTTP {status}"):
            await ask(there.url, limits=GIVES_UP)


async def test_a_json_rpc_error_counts_whatever_the_status_beside_it() -> None:
    async with node(body(b'{"jsonrpc":"2.0","id":1,"error":{"code":-32602,"message":"bad"}}', 400)) as there:
        with pytest.raises(NodeRefused, match="-32602 InvalidParams"):
            await ask(there.url)


async def test_malformed_json_once_is_made_up_for_by_the_next_answer() -> None:
    async with node(body(b'{"jsonrpc":"2.0","id":1,"resu'), result(7)) as there:
        assert await ask(there.url) == 7


async def test_a_body_cut_off_is_no_answer() -> None:
    async def cut(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b'HTTP/1.1 200 OK\r\nContent-Length: 900\r\n\r\n{"jsonrpc":"2.0","id":1,"result":7}')
        writer.close()

    async with tcp(cut) as url:
        with pytest.raises(NodeUnreachable):
            await ask(url, limits=GIVES_UP)


async def test_a_body_over_the_limit_is_not_read_to_its_end() -> None:
    limits = RpcLimits(give_up_after_s=0.1, backoff_initial_s=0.2, body_bytes_max=1000)
    async with node(result("x" * 2000)) as there, RpcClient([there.url], limits) as client:
        with pytest.raises(MalformedAnswer, match="over 1000 bytes"):
            await client.call("getBlock")
    async with node(result("x" * 900)) as there, RpcClient([there.url], limits) as client:
        assert await client.call("getBlock") == "x" * 900


async def test_a_redirection_in_a_circle_does_not_show_the_key() -> None:
    async with node(body(b"", 307, {"Location": "/hidden-key"})) as there:
        with pytest.raises(NodeUnreachable) as lost:
            await ask(f"{there.url}/hidden-key", limits=GIVES_UP)
    assert "hidden-key" not in str(lost.value)


async def test_many_calls_at_once_each_get_their_own_answer() -> None:
    async def echo(call: Call) -> web.StreamResponse:
        await asyncio.sleep(0)
        return await result(call["params"][0])(call)

    async with node(echo) as there, RpcClient([there.url], FAST) as client:
        answers: list[int] = await asyncio.gather(*(client.call("echo", [n]) for n in range(200)))
    assert answers == list(range(200))
    assert len({call["id"] for call in there.calls}) == 200


async def test_a_dead_node_beside_one_that_lacks_the_method_is_no_outage() -> None:
    async with node(refusal(-32601)) as lacking, closed_port() as dead:
        for urls in ([dead, lacking.url], [lacking.url, dead]):
            with pytest.raises(NodeRefused, match="MethodNotFound"):
                await ask(*urls, limits=GIVES_UP, method="getEpochSchedule")


async def test_a_dead_node_beside_one_that_lacks_the_block_is_not_taken_for_its_word() -> None:
    async with node(refusal(-32001)) as pruned, closed_port() as dead:
        with pytest.raises(NodeUnreachable):
            await ask(pruned.url, dead, limits=GIVES_UP, method="getBlock")
