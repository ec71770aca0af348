"""Where the command begins: before what takes time to load, so that no interrupt ends in a traceback."""

import signal
import sys


def run() -> None:
    """Load the command line, run it, and exit; an interrupt that comes meanwhile is told as any other."""
    early: list[int] = []

    def note(number: int, frame: object) -> None:
        del frame
        early.append(number)

    heard = [signal.SIGTERM]
    # a script that starts us in the background has it ignored: that stays
    if signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:
        heard.append(signal.SIGINT)
    for number in heard:
        signal.signal(number, note)

    # a third of a second
    from tieout.main import run_to_code

    # SIGTERM ends it as tidily as Ctrl-C
    for number in heard:
        signal.signal(number, signal.default_int_handler)
    code = run_to_code(sys.argv[1:], interrupted=bool(early))
    # what is left is the interpreter's own end, which has no words for it
    for number in heard:
        signal.signal(number, signal.SIG_DFL)
    sys.exit(code)
