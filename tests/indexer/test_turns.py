"""Work in turns: the same result as at once, and others get their turn."""

import asyncio
import time

import pytest

from tieout_indexer.turns import Work, at_once, in_turns


def counting(steps: int, step_s: float = 0.0) -> Work[int]:
    done = 0
    for _ in range(steps):
        time.sleep(step_s)
        done += 1
        yield
    return done


async def test_work_in_turns_comes_to_what_it_comes_to_at_once() -> None:
    for steps in (0, 1, 1_000):
        assert await in_turns(counting(steps)) == at_once(counting(steps)) == steps


async def test_what_else_is_ready_runs_before_long_work_has_ended() -> None:
    told: list[str] = []

    async def other() -> None:
        told.append("other")

    async def work() -> None:
        await in_turns(counting(20, step_s=0.001))
        told.append("work")

    await asyncio.gather(work(), other())
    assert told == ["other", "work"]


async def test_an_error_of_the_work_comes_out_either_way() -> None:
    def failing() -> Work[int]:
        yield
        raise ValueError("hostile")

    with pytest.raises(ValueError, match="hostile"):
        at_once(failing())
    with pytest.raises(ValueError, match="hostile"):
        await in_turns(failing())
