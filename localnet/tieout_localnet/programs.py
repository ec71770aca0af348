"""Addresses of the programs and sysvars that the validator itself has to know."""

from typing import Final

from solders.pubkey import Pubkey

_key = Pubkey.from_string

SYSTEM: Final = Pubkey.default()
TOKEN: Final = _key("TokenkegQfeZyiNwAJbNbGKPFXCWuBvf9Ss623VQ5DA")
TOKEN_2022: Final = _key("TokenzQdBNbLqP5VEhdkAS6EPFLC1PHnBqCXEpPxuEb")
TOKEN_PROGRAMS: Final = frozenset({TOKEN, TOKEN_2022})
NATIVE_MINT: Final = _key("So11111111111111111111111111111111111111112")
COMPUTE_BUDGET: Final = _key("ComputeBudget111111111111111111111111111111")
LOOKUP_TABLE: Final = _key("AddressLookupTab1e1111111111111111111111111")
MEMO_PROGRAMS: Final = frozenset(
    {_key("Memo1UhkJRfHyvLMcVucJwxXeuD728EqVDDwQDxFMNo"), _key("MemoSq4gqABAXKb96qnH8TysNcWxMyWCqXgDLGmfcHr")}
)

NATIVE_LOADER: Final = _key("NativeLoader1111111111111111111111111111111")
LOADER_1: Final = _key("BPFLoader1111111111111111111111111111111111")
LOADER_2: Final = _key("BPFLoader2111111111111111111111111111111111")
UPGRADEABLE_LOADER: Final = _key("BPFLoaderUpgradeab1e11111111111111111111111")
LOADER_4: Final = _key("LoaderV411111111111111111111111111111111111")
LOADERS: Final = (NATIVE_LOADER, LOADER_1, LOADER_2, UPGRADEABLE_LOADER, LOADER_4)

SYSVAR_OWNER: Final = _key("Sysvar1111111111111111111111111111111111111")
RECENT_BLOCKHASHES: Final = _key("SysvarRecentB1ockHashes11111111111111111111")
SYSVARS: Final = frozenset(
    _key(address)
    for address in (
        "SysvarC1ock11111111111111111111111111111111",
        "SysvarEpochRewards1111111111111111111111111",
        "SysvarEpochSchedu1e111111111111111111111111",
        "SysvarFees111111111111111111111111111111111",
        "Sysvar1nstructions1111111111111111111111111",
        "SysvarLastRestartS1ot1111111111111111111111",
        "SysvarRecentB1ockHashes11111111111111111111",
        "SysvarRent111111111111111111111111111111111",
        "SysvarRewards111111111111111111111111111111",
        "SysvarS1otHashes111111111111111111111111111",
        "SysvarS1otHistory11111111111111111111111111",
        "SysvarStakeHistory1111111111111111111111111",
    )
)

BUILTIN_PROGRAMS: Final = frozenset(
    {
        SYSTEM,
        COMPUTE_BUDGET,
        *LOADERS,
        _key("Vote111111111111111111111111111111111111111"),
        _key("ZkE1Gama1Proof11111111111111111111111111111"),
        _key("Ed25519SigVerify111111111111111111111111111"),
        _key("KeccakSecp256k11111111111111111111111111111"),
        _key("Secp256r1SigVerify1111111111111111111111111"),
    }
)
"""Programs that are part of the node: cheap by default in the compute budget."""

RESERVED_KEYS: Final = (
    BUILTIN_PROGRAMS
    | SYSVARS
    | {
        SYSVAR_OWNER,
        LOOKUP_TABLE,
        _key("Config1111111111111111111111111111111111111"),
        _key("Feature111111111111111111111111111111111111"),
        _key("Stake11111111111111111111111111111111111111"),
        _key("StakeConfig11111111111111111111111111111111"),
    }
)
"""Accounts that no transaction may lock for writing, whatever its header says."""
