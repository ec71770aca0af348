"""``token_2022.json`` against the program's official description (Codama), name by name, byte by byte."""

import pytest

from tieout_idl import INSTRUCTIONS, PROGRAM_ERRORS
from tieout_idl.table import EXTENSIONS, TYPES, snake

OFFICIAL = "token-2022-codama-idl.json"
TAG_BYTES = {"u8": 1, "u16": 2}


@pytest.fixture
def official(shared_json):
    return shared_json(OFFICIAL)["program"]


@pytest.fixture
def official_types(official):
    return {t["name"]: t["type"] for t in official["definedTypes"]}


def anchor_type(node, types):
    """The Anchor type that a Codama type node stands for, as (type, zeroable, remainder)."""
    kind = node["kind"]
    if kind in PLAIN:
        return PLAIN[kind], False, kind == "stringTypeNode"
    if kind in SHAPED:
        return SHAPED[kind](node), False, False
    if kind == "zeroableOptionTypeNode":
        return anchor_type(node["item"], types)[0], True, False
    if kind == "arrayTypeNode":
        remainder = node["count"]["kind"] == "remainderCountNode"
        return {"vec": anchor_type(node["item"], types)[0]}, False, remainder
    if kind == "definedTypeLinkNode":
        return linked_type(node["name"], types), False, False
    inner = {"amountTypeNode": "number", "sizePrefixTypeNode": "type", "optionTypeNode": "item"}[kind]
    found = anchor_type(node[inner], types)[0]
    return ({"option": found} if kind == "optionTypeNode" else found), False, False


PLAIN = {
    "publicKeyTypeNode": "publicKey",
    "booleanTypeNode": "bool",
    "stringTypeNode": "string",
    "bytesTypeNode": "bytes",
}


def batch_child(node):
    # The one anonymous struct of the description.
    assert [f["name"] for f in node["fields"]] == ["numberOfAccounts", "instructionData"]
    return {"defined": "BatchedInstruction"}


SHAPED = {
    "numberTypeNode": lambda node: node["format"],
    "fixedSizeTypeNode": lambda node: {"array": ["u8", node["size"]]},
    "structTypeNode": batch_child,
}


def linked_type(name, types):
    if name == "extensionType":
        return types[name]["size"]["format"]
    if types[name]["kind"] == "fixedSizeTypeNode":
        return anchor_type(types[name], types)[0]
    return {"defined": name[0].upper() + name[1:]}


def official_discriminator(instruction):
    by_name = {a["name"]: a for a in instruction["arguments"]}
    out = b""
    for node in instruction["discriminators"]:
        assert node["kind"] == "fieldDiscriminatorNode"
        assert node["offset"] == len(out)
        argument = by_name[node["name"]]
        value = argument["defaultValue"]
        if value["kind"] == "bytesValueNode":
            assert value["encoding"] == "base16"
            out += bytes.fromhex(value["data"])
        else:
            out += value["number"].to_bytes(TAG_BYTES[argument["type"]["format"]], "little")
    return out


def test_the_same_hundred_instructions(official):
    assert [snake(i["name"]) for i in official["instructions"]] == list(INSTRUCTIONS)
    assert len(INSTRUCTIONS) == 100


def test_discriminators_are_the_official_ones(official):
    for instruction in official["instructions"]:
        ours = INSTRUCTIONS[snake(instruction["name"])].discriminator
        assert ours == official_discriminator(instruction), instruction["name"]


def test_accounts_are_the_official_ones_in_order_and_flags(official):
    for instruction in official["instructions"]:
        theirs = [
            (
                snake(a["name"]),
                a["isWritable"],
                a["isSigner"] in (True, "either"),
                a["isOptional"],
                a["isSigner"] == "either",
            )
            for a in instruction["accounts"]
        ]
        ours = [
            (a.name, a.is_writable, a.is_signer, a.is_optional, a.is_multisig)
            for a in INSTRUCTIONS[snake(instruction["name"])].accounts
        ]
        assert ours == theirs, instruction["name"]


def test_fields_are_the_official_ones_in_order_and_type(official, official_types):
    for instruction in official["instructions"]:
        discriminators = {d["name"] for d in instruction["discriminators"]}
        theirs = [
            (snake(a["name"]), *anchor_type(a["type"], official_types))
            for a in instruction["arguments"]
            if a["name"] not in discriminators
        ]
        ours = [(f.name, f.type, f.zeroable, f.remainder) for f in INSTRUCTIONS[snake(instruction["name"])].fields]
        assert ours == theirs, instruction["name"]


@pytest.mark.parametrize("name", ["AccountState", "AuthorityType", "TokenMetadataField"])
def test_enums_have_the_official_variants_in_order(official_types, name):
    theirs = official_types[name[0].lower() + name[1:]]
    assert theirs["size"]["format"] == "u8"
    assert [v["name"].lower() for v in TYPES[name]["variants"]] == [v["name"].lower() for v in theirs["variants"]]


def test_extension_types_are_the_official_ones(official_types):
    theirs = {number: snake(v["name"]) for number, v in enumerate(official_types["extensionType"]["variants"])}
    ours = {number: name for number, (name, _) in EXTENSIONS.items()}
    assert ours == {n: name for n, name in theirs.items() if n}


def test_extension_fields_are_the_official_ones(official_types):
    """Which keys are zeroable, the official description does not say everywhere: names, order and types are held."""
    for number, variant in enumerate(official_types["extension"]["variants"]):
        if variant["kind"] == "enumEmptyVariantTypeNode":
            continue
        struct = variant["struct"]
        while struct["kind"] != "structTypeNode":
            struct = struct["type"]
        name, fields = EXTENSIONS[number]
        assert snake(variant["name"]).startswith(name.split("_")[0])
        ours = [(f.name, f.type) for f in fields]
        theirs = [(snake(f["name"]), f["type"]) for f in struct["fields"]]
        assert [n for n, _ in ours] == [n for n, _ in theirs], name
        for (field, kind), (_, node) in zip(ours, theirs, strict=True):
            if node["kind"] == "mapTypeNode":
                assert kind == {"vec": {"defined": "MetadataPair"}}
            else:
                assert same_width(kind, anchor_type(node, official_types)[0]), (name, field)


def same_width(ours, theirs):
    # Timestamps are signed in the program's source and unsigned in the description: the width decides the layout.
    signless = {"i64": "u64", "i16": "u16"}
    plain = [signless.get(kind, kind) if isinstance(kind, str) else kind for kind in (ours, theirs)]
    return plain[0] == plain[1]


def test_the_described_errors_have_our_names(official):
    for error in official["errors"]:
        name, sentence = PROGRAM_ERRORS[error["code"]]
        assert name[0].lower() + name[1:] == error["name"]
        assert sentence
    assert sorted(PROGRAM_ERRORS) == list(range(69))


@pytest.mark.parametrize("kind", ["mint", "token"])
def test_base_layouts_are_the_official_ones(official, kind):
    names = {
        "mint": ["mintAuthority", "supply", "decimals", "isInitialized", "freezeAuthority", "extensions"],
        "token": [
            "mint", "owner", "amount", "delegate", "state", "isNative", "delegatedAmount", "closeAuthority",
            "extensions",
        ],
    }  # fmt: skip
    account = next(a for a in official["accounts"] if a["name"] == kind)
    assert [f["name"] for f in account["data"]["fields"]] == names[kind]
