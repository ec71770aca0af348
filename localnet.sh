#!/usr/bin/env bash
# Start, stop and look at a local Solana validator. All logic is in localnet/tieout_localnet.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
python="$here/localnet/.venv/bin/python"

if [[ ! -x $python ]]; then
    echo "The localnet is not installed: run \`make setup\` in $here." >&2
    exit 2
fi
exec "$python" -m tieout_localnet "$@"
