"""``python -m tieout``."""

from tieout.main import run

run()
