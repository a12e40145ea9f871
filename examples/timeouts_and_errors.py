"""What can go wrong, and how to tell: `python examples/timeouts_and_errors.py URL`. Every error of aioreq's is an AioreqError."""

from __future__ import annotations

import asyncio
import sys

import aioreq


async def fetch(client: aioreq.Client, url: str, timeout: aioreq.Timeout | float | None) -> str:
    try:
        response = await client.get(url, timeout=timeout)
        response.raise_for_status()
    except aioreq.InvalidURL as error:  # ours: nothing was sent
        return f"wrong URL: {error}"
    except aioreq.ConnectTimeout:  # both a RequestTimeout and a ConnectError
        return "nobody picked up in time"
    except aioreq.RequestTimeout as error:  # also TimeoutError; the subclass says which limit
        return f"too slow ({type(error).__name__})"
    except aioreq.ConnectError as error:  # also ConnectionError; DNS and TLS errors are children
        return f"no connection ({type(error).__name__})"
    except aioreq.ConnectionLost as error:  # IncompleteBody: `partial` is what had arrived
        return f"cut off ({type(error).__name__})"
    except aioreq.StatusError as error:
        return f"refused: {error}"  # error.response is the whole response
    except aioreq.AioreqError as error:
        return f"something else: {error}"
    return f"{len(response.content)} bytes"


async def main(url: str) -> None:
    # A total limit runs across redirects, retries and authentication; `connect` and `read` bound single phases.
    patient = aioreq.Timeout(total=20, connect=5, read=10)
    cases: list[tuple[str, aioreq.Timeout | float | None]] = [
        (url + "/bytes/10", patient),
        (url + "/delay/30", 0.1),  # a number is the total
        (url + "/delay/30", aioreq.Timeout(read=0.1)),
        (url + "/status/503", patient),
        (url + "/redirect/50", patient),
        ("http://127.0.0.1:1/", patient),
        ("http://nowhere.invalid/", patient),
        ("www.google.com", None),
    ]
    async with aioreq.Client(retry=0) as client:
        for target, timeout in cases:
            print(f"{target.removeprefix(url)}: {await fetch(client, target, timeout)}")


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
