"""Reconciliation: what the tokens promise against the shares in custody, and which movement has no order.

Takes in the registry (TOML), custodian statements and orders (CSV and the custodians' own formats, in
``formats``), reads the proven ledger through
its views, and stores each run with its derivation. The cores (``registry_file``, ``statements``,
``orders``, ``crossings``, ``matching``, ``liability``, ``findings``, ``instrument``) are pure;
``store``, ``chain``, ``intake`` and ``runner`` do the I/O. Unknown is never zero: the verdict is
then ``incomplete``. Findings are stored values, not exceptions.

Errors::

    ReconcileError
    ├── NotReady      trying again later may help: the ledger does not reach what was asked for
    ├── NoRegistry    apply a registry first
    ├── BadInput      a file was refused whole; path, problems (each with its place)
    └── NotFound      no such symbol, run or break

A database that cannot be reached raises ``tieout_database.DatabaseUnreachable``.
"""

from tieout_reconcile.errors import BadInput, NoRegistry, NotFound, NotReady, ReconcileError
from tieout_reconcile.exact import decimal_text, rounded_text
from tieout_reconcile.intake import (
    Imported,
    Plan,
    apply_registry,
    import_orders,
    import_statement,
    list_orders,
    list_statements,
    plan_registry,
    show_registry,
)
from tieout_reconcile.orders import Order
from tieout_reconcile.registry import Change, Custodian, CustodyAccount, Instrument, Registry, Role, Wallet
from tieout_reconcile.results import (
    CrossingLine,
    CustodyLine,
    Encumbrance,
    Finding,
    Inputs,
    InstrumentResult,
    MatchLine,
    RoleLine,
    Run,
    Verdict,
)
from tieout_reconcile.runner import (
    AsOf,
    Headroom,
    get_break,
    get_run,
    headroom,
    latest_run,
    list_breaks,
    run,
    run_history,
)
from tieout_reconcile.store import RunSummary, StatementInfo

__all__ = [
    "AsOf",
    "BadInput",
    "Change",
    "CrossingLine",
    "Custodian",
    "CustodyAccount",
    "CustodyLine",
    "Encumbrance",
    "Finding",
    "Headroom",
    "Imported",
    "Inputs",
    "Instrument",
    "InstrumentResult",
    "MatchLine",
    "NoRegistry",
    "NotFound",
    "NotReady",
    "Order",
    "Plan",
    "ReconcileError",
    "Registry",
    "Role",
    "RoleLine",
    "Run",
    "RunSummary",
    "StatementInfo",
    "Verdict",
    "Wallet",
    "apply_registry",
    "decimal_text",
    "get_break",
    "get_run",
    "headroom",
    "import_orders",
    "import_statement",
    "latest_run",
    "list_breaks",
    "list_orders",
    "list_statements",
    "plan_registry",
    "rounded_text",
    "run",
    "run_history",
    "show_registry",
]
