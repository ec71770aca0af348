"""Reconciliation: what the tokens promise against the shares in custody, and which movement has no order.

Takes in the registry (TOML), custodian statements and orders (CSV and the custodians' own formats, in
``formats``), reads the proven ledger through
its views, and stores each run with its derivation. The cores (``registry_file``, ``statements``,
``orders``, ``crossings``, ``matching``, ``liability``, ``findings``, ``instrument``) are pure;
``store``, ``chain``, ``intake`` and ``runner`` do the I/O; ``reports`` makes and verifies signed
reports. Unknown is never zero: the verdict is then ``incomplete``. Findings are stored values, not exceptions.

Errors::

    ReconcileError
    ├── NotReady      trying again later may help: the ledger does not reach what was asked for
    ├── NoRegistry    apply a registry first
    ├── BadInput      a file was refused whole; path, problems (each with its place)
    ├── NotFound      no such symbol, run or break
    ├── NotAllowed    this person may not do this, or not now
    └── BadSetting    a setting that cannot be used: mend it

A database that cannot be reached raises ``tieout_database.DatabaseUnreachable``.
"""

from tieout_reconcile.ages import Age
from tieout_reconcile.coverage import Coverage
from tieout_reconcile.covering import coverage
from tieout_reconcile.entitlement import (
    Entitlement,
    HolderLine,
    SplitLine,
    VenueSplit,
    entitlement,
    split_of,
    venue_splits,
)
from tieout_reconcile.errors import BadInput, BadSetting, NoRegistry, NotAllowed, NotFound, NotReady, ReconcileError
from tieout_reconcile.exact import decimal_text, parse_quantity, rounded_text
from tieout_reconcile.freshness import AgeLimits
from tieout_reconcile.intake import (
    Imported,
    Plan,
    apply_registry,
    import_orders,
    import_records,
    import_statement,
    import_trades,
    list_orders,
    list_records,
    list_statements,
    list_trades,
    plan_registry,
    read_map,
    show_registry,
)
from tieout_reconcile.lines import CrossingLine, CrossingLines, MatchLine
from tieout_reconcile.movements import Period
from tieout_reconcile.orders import Order
from tieout_reconcile.period_work import (
    ReportingPeriod,
    decide_period,
    list_periods,
    open_period,
    propose_period,
    show_period,
)
from tieout_reconcile.periods import PeriodAction, PeriodKind
from tieout_reconcile.prices import Price, ValueLine
from tieout_reconcile.registry import Change, Custodian, CustodyAccount, Instrument, Registry, Role, Wallet
from tieout_reconcile.reports.attaching import Attached, attach_statement, attached_of, list_statements_on_reports
from tieout_reconcile.reports.making import Exported, ReportInfo, export_report, list_reports, rebuild_bundle
from tieout_reconcile.reports.practitioner import ENGAGEMENTS, SignedStatement, Statement, sign_statement
from tieout_reconcile.reports.signing import read_key as read_signing_key
from tieout_reconcile.reports.verify import Check, Verified, read_report, verify_report
from tieout_reconcile.restating import Restated
from tieout_reconcile.results import (
    CustodyLine,
    Encumbrance,
    Finding,
    Inputs,
    InstrumentResult,
    RoleLine,
    Run,
    TradeLine,
    Verdict,
)
from tieout_reconcile.runner import (
    AsOf,
    Headroom,
    Margin,
    get_break,
    get_run,
    headroom,
    latest_run,
    list_breaks,
    run,
    run_history,
)
from tieout_reconcile.store import RunSummary, StatementInfo
from tieout_reconcile.trades import Trade
from tieout_reconcile.valuing import values_beside
from tieout_reconcile.workflow import LINES as EXPLANATION_LINES
from tieout_reconcile.workflow import Action, Kind, Person, Wish, Work
from tieout_reconcile.working import WorkedBreak, act, verify_signatures, worked_break, worked_breaks

__all__ = [
    "ENGAGEMENTS",
    "EXPLANATION_LINES",
    "Action",
    "Age",
    "AgeLimits",
    "AsOf",
    "Attached",
    "BadInput",
    "BadSetting",
    "Change",
    "Check",
    "Coverage",
    "CrossingLine",
    "CrossingLines",
    "Custodian",
    "CustodyAccount",
    "CustodyLine",
    "Encumbrance",
    "Entitlement",
    "Exported",
    "Finding",
    "Headroom",
    "HolderLine",
    "Imported",
    "Inputs",
    "Instrument",
    "InstrumentResult",
    "Kind",
    "Margin",
    "MatchLine",
    "NoRegistry",
    "NotAllowed",
    "NotFound",
    "NotReady",
    "Order",
    "Period",
    "PeriodAction",
    "PeriodKind",
    "Person",
    "Plan",
    "Price",
    "ReconcileError",
    "Registry",
    "ReportInfo",
    "ReportingPeriod",
    "Restated",
    "Role",
    "RoleLine",
    "Run",
    "RunSummary",
    "SignedStatement",
    "SplitLine",
    "Statement",
    "StatementInfo",
    "Trade",
    "TradeLine",
    "ValueLine",
    "VenueSplit",
    "Verdict",
    "Verified",
    "Wallet",
    "Wish",
    "Work",
    "WorkedBreak",
    "act",
    "apply_registry",
    "attach_statement",
    "attached_of",
    "coverage",
    "decide_period",
    "decimal_text",
    "entitlement",
    "export_report",
    "get_break",
    "get_run",
    "headroom",
    "import_orders",
    "import_records",
    "import_statement",
    "import_trades",
    "latest_run",
    "list_breaks",
    "list_orders",
    "list_periods",
    "list_records",
    "list_reports",
    "list_statements",
    "list_statements_on_reports",
    "list_trades",
    "open_period",
    "parse_quantity",
    "plan_registry",
    "propose_period",
    "read_map",
    "read_report",
    "read_signing_key",
    "rebuild_bundle",
    "rounded_text",
    "run",
    "run_history",
    "show_period",
    "show_registry",
    "sign_statement",
    "split_of",
    "values_beside",
    "venue_splits",
    "verify_report",
    "verify_signatures",
    "worked_break",
    "worked_breaks",
]
