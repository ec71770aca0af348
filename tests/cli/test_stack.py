"""What demo and scenarios stand on, where the machine is not theirs alone."""

import socket
from pathlib import Path

import pytest

from tieout import stack


async def test_a_port_that_was_taken_after_it_was_seen_free_costs_another_try(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    free = stack.free_port
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        ports = [int(taken.getsockname()[1])]
        monkeypatch.setattr(stack, "free_port", lambda: ports.pop() if ports else free())
        async with stack.localnet(tmp_path) as chain:
            assert chain.port != int(taken.getsockname()[1])
        monkeypatch.setattr(stack, "free_port", lambda: int(taken.getsockname()[1]))
        with pytest.raises(stack.LocalnetFailed, match=r"Port \d+ is in use by another program"):
            async with stack.localnet(tmp_path):
                pass
