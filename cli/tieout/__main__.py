"""``python -m tieout``."""

from tieout.entry import run

run()
