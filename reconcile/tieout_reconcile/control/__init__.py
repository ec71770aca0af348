"""Control in time: each boundary crossing is checked as it becomes final, and whoever must know is told.

The cores (``judging``, ``alerts``, ``ripcord``'s standing) are pure; ``checking`` and ``outbox`` write,
``daemon`` runs them, ``status`` tells how they do. A finding is a stored value, each change of it a numbered
notice, and a notice is told to each receiver until it has answered.
"""

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
    "control",
    "control_status",
    "list_alerts",
]
