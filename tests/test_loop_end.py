"""What is called at the end of a loop: once, by whichever way comes first."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Callable

import pytest

from aioreq.loop_end import LoopEnd


class Ended:
    """Counts its calls, at once or some turns of the loop later."""

    def __init__(self) -> None:
        self.times = 0

    def at_once(self) -> None:
        self.times += 1

    async def later(self) -> None:
        for _ in range(3):
            await asyncio.sleep(0)
        self.times += 1


@pytest.fixture(params=["asyncio", "uvloop"])
def new_loop(request: pytest.FixtureRequest) -> Callable[[], asyncio.AbstractEventLoop]:
    if request.param == "asyncio":
        return asyncio.new_event_loop
    factory: Callable[[], asyncio.AbstractEventLoop] = pytest.importorskip("uvloop").new_event_loop
    return factory


@pytest.mark.parametrize("way", ["at_once", "later"])
def test_with_the_loop(new_loop: Callable[[], asyncio.AbstractEventLoop], way: str) -> None:
    ended, held = Ended(), []

    async def main() -> None:
        held.append(LoopEnd(getattr(ended, way)))
        await asyncio.sleep(0.01)
        gc.collect()
        assert ended.times == 0

    with asyncio.Runner(loop_factory=new_loop) as runner:
        runner.run(main())
        assert ended.times == 0
    assert ended.times == 1
    held[0].now()  # after the loop has ended, too
    assert ended.times == 1


@pytest.mark.parametrize("way", ["at_once", "later"])
def test_when_nobody_holds_it(new_loop: Callable[[], asyncio.AbstractEventLoop], way: str) -> None:
    ended = Ended()

    async def main() -> None:
        LoopEnd(getattr(ended, way))
        gc.collect()
        for _ in range(10):
            await asyncio.sleep(0)
        assert ended.times == 1

    with asyncio.Runner(loop_factory=new_loop) as runner:
        runner.run(main())
    assert ended.times == 1


def test_now(new_loop: Callable[[], asyncio.AbstractEventLoop]) -> None:
    ended, held = Ended(), []

    async def main() -> None:
        held.append(LoopEnd(ended.at_once))
        for _ in range(2):
            held[0].now()
            assert ended.times == 1

    with asyncio.Runner(loop_factory=new_loop) as runner:
        runner.run(main())
    assert ended.times == 1


@pytest.mark.parametrize("early", [True, False])
def test_what_ends_may_ask_for_its_end(new_loop: Callable[[], asyncio.AbstractEventLoop], early: bool) -> None:
    ended = Ended()
    held: list[LoopEnd] = []

    def end() -> None:
        ended.at_once()
        held[0].now()

    async def main() -> None:
        held.append(LoopEnd(end))
        if early:
            held[0].now()

    with asyncio.Runner(loop_factory=new_loop) as runner:
        runner.run(main())
    assert ended.times == 1


def test_a_loop_that_is_closed_without_a_runner(new_loop: Callable[[], asyncio.AbstractEventLoop]) -> None:
    ended, held = Ended(), []

    async def main() -> None:
        held.append(LoopEnd(ended.at_once))

    loop = new_loop()
    loop.run_until_complete(main())
    loop.close()
    assert ended.times == 0
    held.pop().now()
    assert ended.times == 1
