"""No `async` anywhere: `python examples/sync_script.py URL`. Connections are kept from call to call, cookies aren't."""

from __future__ import annotations

import sys
from concurrent.futures import ThreadPoolExecutor

import aioreq


def main(url: str) -> None:
    response = aioreq.get(url + "/get", params={"q": "hello"})
    print(response, response.json()["args"])

    response = aioreq.post(url + "/anything", json=[1, 2, 3])
    print(response.json()["body"])

    with ThreadPoolExecutor(4) as pool:  # threads share the connections
        print([answer.text for answer in pool.map(aioreq.get, [f"{url}/id/{n}" for n in range(8)])])

    try:
        aioreq.get(url + "/status/404", raise_for_status=True)
    except aioreq.StatusError as error:
        print(error)


if __name__ == "__main__":
    main(sys.argv[1])
