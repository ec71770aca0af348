"""The HTTP methods: one table of name → handler, filled by the modules of this package."""

from tieout_localnet.rpc import accounts, admin, blocks, chaos, cluster, history, tokens, transactions
from tieout_localnet.rpc.table import Context, Method, Table

__all__ = ["METHODS", "Context", "Method"]

METHODS: Table = {
    **accounts.METHODS,
    **admin.METHODS,
    **blocks.METHODS,
    **chaos.METHODS,
    **cluster.METHODS,
    **history.METHODS,
    **tokens.METHODS,
    **transactions.METHODS,
}
