"""A TLS server of Python's ssl module on blocking sockets: it sends its alerts, and tells a close_notify from a bare end."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
import threading
from collections.abc import Callable
from typing import Any

__all__ = ["PATIENCE", "StrictServer"]

PATIENCE = 10  # seconds for a server's thread to end, which has nothing to wait for


class StrictServer:
    """A blocking TLS server on threads that tells how each connection ended: "close_notify", "FIN" or "RST"."""

    def __init__(self, context: ssl.SSLContext) -> None:
        self._context = context
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._threads: list[threading.Thread] = []
        self.port: int = self._listener.getsockname()[1]
        self.url = f"https://127.0.0.1:{self.port}"
        self.received = b""  # of all connections
        self.ends: list[str] = []
        self.held = threading.Event()  # what /hold waits for

    def __enter__(self) -> StrictServer:
        self._spawn(self._accept)
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.held.set()
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for thread in self._threads:
            thread.join(PATIENCE)
            assert not thread.is_alive()

    def _spawn(self, job: Callable[..., None], *args: Any) -> None:
        thread = threading.Thread(target=job, args=args, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                self._spawn(self._serve, self._listener.accept()[0])

    def _serve(self, bare: socket.socket) -> None:
        bare.settimeout(PATIENCE)
        with self._context.wrap_socket(bare, server_side=True, suppress_ragged_eofs=False, do_handshake_on_connect=False) as connection:
            try:
                connection.do_handshake()
            except OSError as error:
                self.ends.append(f"no handshake: {error}")
                with contextlib.suppress(OSError):
                    # In stages (RFC 9112 section 9.6), or a reset may overtake the alert.
                    connection.shutdown(socket.SHUT_WR)
                    while socket.socket.recv(connection, 65536):
                        pass
                return
            try:
                end = self._talk(connection)
            except ssl.SSLEOFError:
                end = "FIN"
            except ConnectionError:
                end = "RST"
            self.ends.append(end)

    def _talk(self, connection: ssl.SSLSocket) -> str:
        received = b""
        while True:
            data = connection.recv(65536)
            if not data:
                return "close_notify"
            received += data
            self.received += data
            while b"\r\n\r\n" in received:
                head, _, received = received.partition(b"\r\n\r\n")
                target = head.split(b" ")[1]
                if target == b"/hold":
                    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n")
                    self.held.wait(PATIENCE)
                    continue
                last = b"Connection: close\r\n" if target == b"/last" else b""
                connection.sendall(b"HTTP/1.1 200 OK\r\n" + last + b"Content-Length: 2\r\n\r\nok")
                if target == b"/bye":
                    connection.unwrap()  # sends a close_notify and waits for the client's
                    return "close_notify"

    async def ended(self, *ends: str) -> None:
        """Waits until as many connections have ended, and compares how; "aborted" is any end without a close_notify."""
        await self.until(lambda: len(self.ends) >= len(ends))
        found = ["aborted" if want == "aborted" and end in ("FIN", "RST") else end for want, end in zip(ends, self.ends, strict=True)]
        assert found == list(ends), self.ends

    async def until(self, condition: Callable[[], bool]) -> None:
        """Waits for something that a thread of the server's brings about."""
        async with asyncio.timeout(PATIENCE):
            while not condition():  # noqa: ASYNC110 (threads ring no bell)
                await asyncio.sleep(0.001)
