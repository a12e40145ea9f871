"""Ten thousand requests to hundreds of origins through a pool of twenty: in order of arrival for each origin, and none starves.

How long an origin waits is counted in requests that others were served meanwhile, never in seconds.
"""

from __future__ import annotations

import asyncio
from collections import Counter, defaultdict
from collections.abc import Sequence

import pytest

import aioreq
from aioreq.slots import HANDOVERS
from aioreq.testing import Request, Server

SLOTS = 20
TURN = HANDOVERS + 1  # requests of one origin served before a slot of its goes to another one that waits


async def served(asked: Sequence[str], **limits: int) -> list[tuple[str, int]]:
    """The requests (origin, number) in the order in which they were answered, all asked at once in the order of `asked`.

    The origins are names of one server; their requests are numbered in order of arrival.
    """
    order: list[tuple[str, int]] = []

    def note(request: Request) -> str:
        name = (request.header("host") or "").partition(":")[0]
        order.append((name, int(request.params["number"])))
        return request.params["number"]

    numbers: Counter[str] = Counter()
    async with Server(record=False) as server:
        server.route("/{number}", note)
        resolver = dict.fromkeys(set(asked), "127.0.0.1")
        async with aioreq.Client(
            resolver=resolver, limits=aioreq.Limits(**limits), timeout=aioreq.Timeout(read=None), retry=0, middlewares=()
        ) as client:
            requests = []
            for name in asked:
                requests.append(client.get(f"http://{name}:{server.port}/{numbers[name]}"))
                numbers[name] += 1
            answers = await asyncio.gather(*requests)
            stats = client.stats()
            assert stats.open == stats.idle <= limits["connections"]
            assert stats.waiting == 0
    expected: Counter[str] = Counter()
    for name, answer in zip(asked, answers, strict=True):
        assert answer.text == str(expected[name])
        expected[name] += 1
    assert sorted(order) == sorted((name, number) for name in numbers for number in range(numbers[name]))
    return order


def waits_of(order: list[tuple[str, int]]) -> dict[str, list[int]]:
    """For each origin, how many requests of others were served before its first one, and between one and the next."""
    last: dict[str, int] = {}
    waits: dict[str, list[int]] = defaultdict(list)
    for position, (name, _) in enumerate(order):
        waits[name].append(position - last.get(name, -1) - 1)
        last[name] = position
    return waits


@pytest.mark.slow
@pytest.mark.parametrize("per_host", [0, 1])
async def test_ten_thousand_requests_to_five_hundred_origins(per_host: int) -> None:
    origins = [f"origin-{n}.test" for n in range(500)]
    each = 20
    order = await served(origins * each, connections=SLOTS, per_host=per_host)
    for origin in origins:
        numbers = [number for name, number in order if name == origin]
        if per_host == 1:
            assert numbers == list(range(each)), "not in order of arrival"
        # Several connections may be under way to one origin: none is overtaken by more than they are.
        assert all(abs(number - position) < SLOTS for position, number in enumerate(numbers))
    # Nobody waits for more than those that came before, each once, and those that are at work meanwhile.
    waits = waits_of(order)
    for position, origin in enumerate(origins):
        assert waits[origin][0] <= (position + SLOTS) * each, "an origin was passed over"


@pytest.mark.parametrize("per_host", [0, 1, 2])
async def test_origins_with_long_queues_take_turns(per_host: int) -> None:
    """Each has hundreds waiting all the time, and comes by after a bounded number of others."""
    origins = [f"origin-{n}.test" for n in range(20)]
    slots = 4
    order = await served(origins * 250, connections=slots, per_host=per_host)
    longest = max(wait for waits in waits_of(order).values() for wait in waits)
    assert longest <= (len(origins) - 1 + slots) * TURN


@pytest.mark.slow
async def test_one_origin_with_thousands_of_requests_holds_up_nobody() -> None:
    """It came first and has every slot; each slot serves it one turn, then the others, and only then it again."""
    few = [f"origin-{n}.test" for n in range(499)]
    each = 10
    order = await served(["greedy.test"] * 5000 + few * each, connections=SLOTS, per_host=0)
    waits = waits_of(order)
    for position, origin in enumerate(few):
        assert waits[origin][0] <= SLOTS * TURN + (position + SLOTS) * each
    done = max(position for position, (name, _) in enumerate(order) if name != "greedy.test")
    assert done <= SLOTS * TURN + len(few) * each + 2 * SLOTS * TURN
