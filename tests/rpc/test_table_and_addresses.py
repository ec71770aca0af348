"""The error table is complete; an address is shown without what it hides."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

import tieout_rpc
from support.paths import SHARED
from tieout_rpc import ERROR_TABLE, Action, Endpoint, NodeRefused, RpcClient, redact_url, rule_for, websocket_url

AGAVE_CODES = [*range(-32021, -32000), -32600, -32601, -32602, -32603, -32700]


@pytest.mark.parametrize("code", [*AGAVE_CODES, 429, -32429, -32029])
def test_every_code_a_node_or_its_proxy_answers_has_a_rule(code: int) -> None:
    assert rule_for(code).code == code
    assert rule_for(code).name != "Unknown"


def test_the_table_knows_every_code_of_the_reference() -> None:
    page = SHARED / "reference" / "solana-rpc.md"
    if not page.exists():
        pytest.skip("the reference page is not here")
    section = page.read_text("utf-8").split("### 4.2")[1].split("### 4.3")[0]
    named = {int(code) for code in re.findall(r"-32\d{3}\b", section)}
    assert len(named) > 20
    assert named <= set(ERROR_TABLE)


@pytest.mark.parametrize("code", [0, 1, -1, -32000, -32022, -31000, 2**40])
def test_an_unknown_code_is_another_nodes_to_answer(code: int) -> None:
    assert rule_for(code).action is Action.FAIL_OVER
    assert rule_for(code).name == "Unknown"


@pytest.mark.parametrize("code", [-32007, -32009])
def test_no_code_says_that_a_slot_was_skipped_for_certain(code: int) -> None:
    assert rule_for(code).action is Action.PARK


def test_a_refusal_says_who_what_and_why() -> None:
    refused = NodeRefused("getBlock", -32001, "cleaned up", {"first": 7}, "http://node")
    assert str(refused) == "http://node answered getBlock with -32001 BlockCleanedUp: cleaned up"
    assert refused.data == {"first": 7}


def test_public_names_exist_are_sorted_and_complete() -> None:
    assert sorted(tieout_rpc.__all__, key=lambda n: (not n.isupper(), n.islower(), n)) == list(tieout_rpc.__all__)
    modules = {"client", "endpoint", "envelope", "errors", "limits", "websocket"}
    public = {name for name in vars(tieout_rpc) if not name.startswith("_")} - modules
    assert public == set(tieout_rpc.__all__)


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("http://127.0.0.1:8899", "http://127.0.0.1:8899"),
        ("http://127.0.0.1:8899/", "http://127.0.0.1:8899"),
        ("https://node.example", "https://node.example"),
        ("https://user:hidden@node.example:443", "https://node.example:443"),
        ("https://node.example/v2/hidden", "https://node.example/***"),
        ("https://node.example/?api-key=hidden", "https://node.example/***"),
        ("https://node.example?api-key=hidden", "https://node.example/***"),
        ("https://node.example/#hidden", "https://node.example/***"),
        ("http://[::1]:8899/hidden", "http://[::1]:8899/***"),
        ("https://user:hid/den@node.example", "https://***"),
        ("https://user:hidden@[::1", "https://***"),
        ("http://node.example:99999/hidden", "http://***"),
        ("hidden", "***"),
        ("", "***"),
    ],
)
def test_an_address_is_shown_without_user_path_query_or_fragment(url: str, shown: str) -> None:
    assert redact_url(url) == shown


HIDDEN = st.text(alphabet="QZ7:/?#@%[] &=\\", min_size=1, max_size=12)


@given(
    HIDDEN, st.sampled_from(["https://u:{}@node.example/", "https://node.example/{}", "https://node.example?key={}"])
)
def test_a_secret_never_shows_whatever_its_characters(secret: str, form: str) -> None:
    assert not set("QZqz7") & set(redact_url(form.format("7" + secret)))


@pytest.mark.parametrize(
    "url", ["", "node", "ftp://node", "http://", "http://:80", "http://node:x", "http://node:0", "http://[::1"]
)
def test_what_is_no_address_is_refused_in_words(url: str) -> None:
    with pytest.raises(ValueError, match="is no node address: write http://host:port"):
        Endpoint(url)
    with pytest.raises(ValueError, match="is no node address"):
        RpcClient([url])


def test_a_client_without_any_address_is_refused() -> None:
    with pytest.raises(ValueError, match="--rpc-url"):
        RpcClient([])


@pytest.mark.parametrize(
    ("http", "socket"),
    [
        ("http://127.0.0.1:8899", "ws://127.0.0.1:8900"),
        ("https://node.example", "wss://node.example"),
        ("https://node.example/key?a=b", "wss://node.example/key?a=b"),
        ("http://[::1]:8899/", "ws://[::1]:8900/"),
        ("http://user:8899@node:8899", "ws://user:8899@node:8900"),
    ],
)
def test_the_websocket_is_one_port_up(http: str, socket: str) -> None:
    assert websocket_url(http) == socket


def test_the_score_counts_failures_and_forgives_after_an_answer() -> None:
    endpoint = Endpoint("http://node:1")
    endpoint.failed()
    endpoint.failed()
    assert (endpoint.requests, endpoint.failures, endpoint.failures_in_a_row) == (2, 2, 2)
    endpoint.succeeded(1.0)
    assert (endpoint.requests, endpoint.failures, endpoint.failures_in_a_row) == (3, 2, 0)
    assert 0 < endpoint.latency_s <= 1.0
