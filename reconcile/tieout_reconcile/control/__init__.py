"""Control in time: crossings, inventory mints and changes of control are checked as they become final, and told.

The cores (``judging``, ``acts``, ``alerts``, ``ripcord``'s standing) are pure; ``checking`` and ``outbox`` write,
``daemon`` runs them, ``status`` tells how they do. A finding is a stored value, each change of it a numbered
notice, and a notice is told to each receiver until it has answered.
"""

from tieout_reconcile.control.acknowledging import acknowledge
from tieout_reconcile.control.alerts import Alert, Notice
from tieout_reconcile.control.checking import Checker, Outcome
from tieout_reconcile.control.daemon import control
from tieout_reconcile.control.judging import Alarm, Judgement
from tieout_reconcile.control.limits import ControlLimits, Receiver
from tieout_reconcile.control.ripcord import Ripcord
from tieout_reconcile.control.status import Status, control_status, list_alerts

__all__ = [
    "Alarm",
    "Alert",
    "Checker",
    "ControlLimits",
    "Judgement",
    "Notice",
    "Outcome",
    "Receiver",
    "Ripcord",
    "Status",
    "acknowledge",
    "control",
    "control_status",
    "list_alerts",
]
