"""The command `aioreq URL`: arguments -> one request by the public Client -> bytes on stdout, as they arrive.

Must not know how a request travels: what it sends and receives, any user of `Client` can.

Exit status: 0 for every HTTP response, 1 for an error (one line on stderr), 2 for wrong usage, 130 after Ctrl-C, 141 when the
reader of stdout went away (what a shell shows for a command that SIGPIPE or SIGINT ended).
"""

from __future__ import annotations

import argparse
import asyncio
import os
import re
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, BinaryIO

import aioreq

from .progress_bar import progress_bar
from .request_head import serialize
from .saving import save

if TYPE_CHECKING:
    from .response import ResponseHead, StreamResponse

__all__ = ["main"]

# A field line is a token (RFC 9110 section 5.6.2), a colon, a value; a URL with its scheme differs by the `//` behind the colon.
# Nothing else is needed to tell `-H 'a: b' URL` apart.
FIELD = re.compile(r"([!#$%&'*+.^_`|~0-9A-Za-z-]+):(?!//)[ \t]*(.*)", re.DOTALL)


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command and returns its exit status; wrong usage leaves by SystemExit(2)."""
    parser = _parser()
    options = parser.parse_args(argv)
    if options.version:
        print(_version())
        return 0
    url, headers, content = _request(parser, options)
    method = options.method or ("GET" if content is None else "POST")
    try:
        asyncio.run(_fetch(method, url, headers, content, options))
        sys.stdout.flush()
    except aioreq.AioreqError as error:
        return _fail(str(error))
    except BrokenPipeError:
        # The interpreter flushes stdout once more when it ends, and would complain.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    except OSError as error:
        return _fail(str(error))
    except KeyboardInterrupt:
        return 130
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="aioreq", description="Makes one HTTP request and writes the body of the response to stdout.")
    add = parser.add_argument
    add("url", metavar="URL", nargs="?", help="what to request, with its scheme: https://example.com/")
    add("-X", "--method", metavar="METHOD", help="the request's method (default: GET, or POST with -d)")
    field = "NAME: VALUE"
    add("-H", "--headers", metavar=field, nargs="+", action="extend", default=[], help="header fields; `Name:` removes a default one")
    add("-d", "--data", metavar="DATA", action="append", help="the body, as a form unless -H says otherwise; @FILE reads it, @- from stdin")
    add("-A", "--user-agent", metavar="NAME", help="the User-Agent to send")
    add("-o", "--output", metavar="FILE", help="write the body to FILE (in a folder: by the server's name), there once it is whole")
    add("-C", dest="continued", metavar="-", choices=["-"], help="as curl's `-C -`: the same as --continue")
    add("--continue", dest="continued", action="store_true", help="with -o: keep what came before a failure, and go on with it next time")
    add("-i", "--include", action="store_true", help="write the response's head before its body")
    add("-v", "--verbose", action="store_true", help="show the heads of request (>) and response (<) on stderr")
    add("--version", action="store_true", help="show the version, and which parser runs")
    return parser


def _request(parser: argparse.ArgumentParser, options: argparse.Namespace) -> tuple[str, list[tuple[str, str | None]], bytes | None]:
    fields = [(entry, FIELD.fullmatch(entry)) for entry in options.headers]
    urls = [entry for entry, field in fields if field is None]
    if options.url is not None:
        urls.append(options.url)
    if options.continued and (not options.output or options.include or options.data is not None or (options.method or "GET") != "GET"):
        parser.error("--continue goes with -o and a plain GET, without -i, -d and -X")
    if not urls:
        parser.error("no URL was given")
    if len(urls) > 1:
        parser.error(f"one URL is needed, not {len(urls)}: {' '.join(urls)} (a header is written 'name: value')")
    headers = [(field[1], field[2] or None) for _, field in fields if field is not None]
    named = {name.lower() for name, _ in headers}
    if options.continued and named & {"range", "if-range"}:
        parser.error("--continue asks for ranges itself: leave Range and If-Range to it")
    if options.user_agent is not None and "user-agent" not in named:
        headers.append(("User-Agent", options.user_agent))
    if options.data is None:
        return urls[0], headers, None
    if "content-type" not in named:
        headers.append(("Content-Type", "application/x-www-form-urlencoded"))
    try:
        return urls[0], headers, b"&".join(map(_data, options.data))
    except OSError as error:
        parser.error(f"-d: {error}")


def _data(argument: str) -> bytes:
    if not argument.startswith("@"):
        return os.fsencode(argument)
    if argument == "@-":
        return sys.stdin.buffer.read()
    with open(argument[1:], "rb") as file:
        return file.read()


async def _fetch(method: str, url: str, headers: list[tuple[str, str | None]], content: bytes | None, options: argparse.Namespace) -> None:
    output = options.output
    async with aioreq.Client() as client:
        if options.continued:
            with progress_bar(_label(output)) as progress:
                done = await client.download(url, output, resume=True, headers=headers, progress=progress)
            if options.verbose:
                _show(done.response)
            return
        body: dict[str, Any] = {} if content is None else {"content": content}
        async with client.stream(method, url, headers=headers, **body) as response:
            if options.verbose:
                for exchange in (*response.redirects, response):
                    _show(exchange)
            lines = (*_head(response), "") if options.include else ()
            head = b"".join(line.encode("utf-8", "surrogateescape") + b"\r\n" for line in lines)
            if output and not _is_device(output):
                with progress_bar(_label(output)) as progress:
                    await save(response, output, progress=progress, before=head)
            else:
                await _write_out(response, output, head)


async def _write_out(response: StreamResponse, output: str | None, head: bytes) -> None:
    with ExitStack() as stack:
        out: BinaryIO = sys.stdout.buffer
        if output:
            out = stack.enter_context(open(output, "wb"))  # noqa: ASYNC230 - nothing else runs on this loop
        out.write(head)
        async for chunk in response.iter_bytes():
            out.write(chunk)
            out.flush()


def _label(output: str) -> str:
    return os.path.basename(os.path.abspath(output))


def _is_device(path: str) -> bool:
    """Whether it is there and is no file: nothing can be renamed to /dev/null or a pipe."""
    return os.path.exists(path) and not os.path.isfile(path) and not os.path.isdir(path)


def _show(response: ResponseHead) -> None:
    sent = serialize(response.request)[0].decode("utf-8", "surrogateescape")
    for line in sent.split("\r\n")[:-1]:
        print(f"> {line}", file=sys.stderr)
    for line in (*_head(response), ""):
        print(f"< {line}", file=sys.stderr)


def _head(response: ResponseHead) -> Iterator[str]:
    yield f"HTTP/{response.http_version} {response.status} {response.status_message}"
    for name, value in response.headers.items():
        yield f"{name}: {value}"


def _version() -> str:
    from .parser import IMPLEMENTATION

    python = ".".join(map(str, sys.version_info[:3]))
    return f"aioreq {aioreq.__version__} ({IMPLEMENTATION} parser, Python {python})"


def _fail(message: str) -> int:
    print(f"aioreq: {' '.join(message.split())}", file=sys.stderr)
    return 1
