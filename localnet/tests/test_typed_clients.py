"""The typed parsers of solders, which Python clients use, accept what is answered."""

import json
from typing import Any

import pytest
from solders.keypair import Keypair
from solders.rpc import responses
from support import tokens
from support.node import SOL, Node

LEVEL = {"commitment": "confirmed"}
V0 = {**LEVEL, "maxSupportedTransactionVersion": 0}


@pytest.fixture(scope="module")
def story(node: Node) -> dict[str, Any]:
    """A mint, a holder and one transaction, in a final block."""
    issuer, mint = node.funded(), Keypair()
    node.advance()
    account = tokens.associated(issuer.pubkey(), mint.pubkey())
    rent = node.call("getMinimumBalanceForRentExemption", tokens.MINT_BYTES)
    signature = node.send_instructions(
        [
            *tokens.create_mint(issuer.pubkey(), mint.pubkey(), issuer.pubkey(), rent),
            tokens.create_associated(issuer.pubkey(), issuer.pubkey(), mint.pubkey()),
            tokens.mint_to(mint.pubkey(), account, issuer.pubkey(), 5),
        ],
        issuer,
        mint,
    )
    node.advance(4)
    return {
        "issuer": str(issuer.pubkey()),
        "mint": str(mint.pubkey()),
        "account": str(account),
        "signature": signature,
        "slot": node.landed(signature)["slot"],
    }


CALLS: list[tuple[str, str, list[Any]]] = [
    ("GetBlockResp", "getBlock", ["$slot", {**V0, "encoding": "json"}]),
    ("GetBlockResp", "getBlock", ["$slot", {**V0, "encoding": "base64"}]),
    ("GetBlockResp", "getBlock", ["$slot", {**V0, "encoding": "jsonParsed"}]),
    ("GetBlockResp", "getBlock", ["$slot", {**V0, "transactionDetails": "accounts"}]),
    ("GetBlockResp", "getBlock", ["$slot", {**V0, "transactionDetails": "signatures"}]),
    ("GetTransactionResp", "getTransaction", ["$signature", V0]),
    ("GetTransactionResp", "getTransaction", ["$signature", {**V0, "encoding": "jsonParsed"}]),
    ("GetTransactionResp", "getTransaction", ["$signature", {**V0, "encoding": "base58"}]),
    ("GetSignatureStatusesResp", "getSignatureStatuses", [["$signature"]]),
    ("GetSignaturesForAddressResp", "getSignaturesForAddress", ["$mint", LEVEL]),
    ("GetAccountInfoResp", "getAccountInfo", ["$mint", {**LEVEL, "encoding": "base64"}]),
    ("GetAccountInfoResp", "getAccountInfo", ["$mint", {**LEVEL, "encoding": "base64+zstd"}]),
    ("GetMultipleAccountsResp", "getMultipleAccounts", [["$mint", "$account"], {"encoding": "base64"}]),
    ("GetProgramAccountsResp", "getProgramAccounts", [str(tokens.TOKEN_2022), {"encoding": "base64"}]),
    ("GetTokenAccountBalanceResp", "getTokenAccountBalance", ["$account", LEVEL]),
    ("GetTokenSupplyResp", "getTokenSupply", ["$mint", LEVEL]),
    ("GetTokenLargestAccountsResp", "getTokenLargestAccounts", ["$mint", LEVEL]),
    (
        "GetTokenAccountsByOwnerResp",
        "getTokenAccountsByOwner",
        ["$issuer", {"mint": "$mint"}, {"encoding": "base64"}],
    ),
    ("GetBalanceResp", "getBalance", ["$issuer"]),
    ("GetLatestBlockhashResp", "getLatestBlockhash", []),
    ("GetEpochInfoResp", "getEpochInfo", []),
    ("GetEpochScheduleResp", "getEpochSchedule", []),
    ("GetVersionResp", "getVersion", []),
    ("GetClusterNodesResp", "getClusterNodes", []),
    ("GetVoteAccountsResp", "getVoteAccounts", []),
    ("GetSupplyResp", "getSupply", []),
    ("GetInflationGovernorResp", "getInflationGovernor", []),
    ("GetInflationRateResp", "getInflationRate", []),
    ("GetBlockCommitmentResp", "getBlockCommitment", ["$slot"]),
    ("GetBlockProductionResp", "getBlockProduction", []),
    ("GetLargestAccountsResp", "getLargestAccounts", []),
    ("GetGenesisHashResp", "getGenesisHash", []),
    ("GetIdentityResp", "getIdentity", []),
    ("GetSlotLeaderResp", "getSlotLeader", []),
    ("GetHealthResp", "getHealth", []),
]


@pytest.mark.parametrize(("name", "method", "params"), CALLS, ids=lambda value: str(value)[:60])
def test_the_answer_parses(
    node: Node, story: dict[str, Any], name: str, method: str, params: list[Any]
) -> None:
    text = json.dumps(params)
    for word, value in story.items():
        text = text.replace(json.dumps(f"${word}"), json.dumps(value))
    answer = node.response(method, *json.loads(text))
    assert "error" not in answer
    parsed = getattr(responses, name).from_json(json.dumps(answer))
    assert isinstance(parsed, getattr(responses, name)), parsed


def test_a_transaction_of_a_block_and_the_same_by_signature_agree(node: Node, story: dict[str, Any]) -> None:
    by_signature = node.call("getTransaction", story["signature"], {"maxSupportedTransactionVersion": 0})
    block = node.call("getBlock", story["slot"], {"maxSupportedTransactionVersion": 0})
    in_block = block["transactions"][by_signature["transactionIndex"]]
    assert in_block["meta"] == by_signature["meta"]
    assert in_block["transaction"] == by_signature["transaction"]
    assert by_signature["blockTime"] == block["blockTime"]


def test_the_leader_is_paid_half_of_the_fees(node: Node, story: dict[str, Any]) -> None:
    block = node.call("getBlock", story["slot"], {"maxSupportedTransactionVersion": 0})
    fees = sum(item["meta"]["fee"] for item in block["transactions"])
    assert [reward["lamports"] for reward in block["rewards"]] == [fees // 2]
    assert block["rewards"][0]["pubkey"] == node.call("getIdentity")["identity"]
    assert fees >= 2 * 5_000
    assert fees < SOL
