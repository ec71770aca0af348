"""The `jsonParsed` encoding: instructions and accounts of the programs that a node can read.

Everything else is shown as nodes show what they do not know: an instruction with its keys and data, account
data in base64.
"""

from tieout_localnet.parsed.accounts import account_data
from tieout_localnet.parsed.instructions import instruction

__all__ = ["account_data", "instruction"]
