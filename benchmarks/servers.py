"""The servers that clients are measured against: nginx, or the embedded server where that is missing, and two of our own: for
chunks and for WebSocket.

Each is a process of its own on the machine's first core, started and stopped here; clients run on the second. Makes no request.
"""

from __future__ import annotations

import contextlib
import gzip
import json
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from .workloads import MEGABYTE, Workload, small

HOST = "127.0.0.1"
ROOT = Path(__file__).parent.parent
PATIENCE = 10.0  # seconds for a server to start

FIELDS = {  # with nginx's own five the small response has twelve
    "Cache-Control": "private, max-age=0, must-revalidate",
    "ETag": 'W/"5e15153d-120f"',
    "Vary": "Accept-Encoding, Accept, Origin",
    "X-Request-Id": "0b9a6f2e-6a44-4c3a-8bd3-0f7a8d3c55aa",
    "Strict-Transport-Security": "max-age=31536000; includeSubDomains; preload",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}


@dataclass(frozen=True)
class Servers:
    """Where they listen."""

    name: str
    web: str
    tls: str
    chunked: str
    echo: str
    ca: str

    def url(self, workload: Workload) -> str:
        return str(asdict(self)[workload.server]) + workload.path


def pinned(command: list[str], core: int) -> list[str]:
    """The command, on one core of those that we have, where the system can do that."""
    taskset = shutil.which("taskset")
    cores = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
    return [taskset, "-c", str(cores[core]), *command] if taskset and len(cores) > 1 else command


def nginx() -> str | None:
    # Debian keeps servers where an ordinary user's PATH doesn't look.
    return shutil.which("nginx", path=os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/sbin", "/usr/local/sbin"]))


@contextlib.contextmanager
def running(*, embedded: bool = False) -> Iterator[Servers]:
    program = None if embedded else nginx()
    # What nginx keeps of an upload goes to memory, where there is a place for it.
    memory = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    with contextlib.ExitStack() as stack:
        # A run that is told to end takes its servers along.
        stack.callback(signal.signal, signal.SIGTERM, signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM)))
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="aioreq-bench-", dir=memory)))
        chunked, echo = [stack.enter_context(_announced([sys.executable, "-m", f"benchmarks.{name}"]))[0] for name in ("chunked", "echo")]
        if program is None:
            web, tls, ca = stack.enter_context(_announced([sys.executable, "-m", "benchmarks.embedded", str(folder)]))
            yield Servers("aioreq.testing", web, tls, chunked, echo, ca)
        else:
            ports = _free_ports(2)
            _write_files(folder, ports)
            stack.enter_context(_nginx(program, folder, ports))
            web, tls = f"http://{HOST}:{ports[0]}", f"https://{HOST}:{ports[1]}"
            yield Servers(_version(program), web, tls, chunked, echo, str(folder / "ca.pem"))


@contextlib.contextmanager
def _announced(command: list[str]) -> Iterator[list[str]]:
    """A server of ours: the words of the line that it prints when it listens."""
    with subprocess.Popen(pinned(command, 0), stdout=subprocess.PIPE, text=True, cwd=ROOT) as process:
        try:
            assert process.stdout is not None
            words = process.stdout.readline().split()
            if not words:
                raise SystemExit(f"{' '.join(command)} didn't start")
            yield words
        finally:
            process.terminate()


# -- nginx


def _version(program: str) -> str:
    return subprocess.run([program, "-v"], capture_output=True, text=True, check=False).stderr.strip().removeprefix("nginx version: ")


def _free_ports(count: int) -> list[int]:
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for sock in sockets:
            sock.bind((HOST, 0))
        return [sock.getsockname()[1] for sock in sockets]


def compressible(size: int) -> bytes:
    """JSON as it comes from services: it shrinks to a fifth."""
    chance = random.Random(1)
    rows: list[dict[str, object]] = []
    while len(text := json.dumps(rows)) < size:
        rows.append({"id": chance.randrange(10**6), "name": chance.choice(["ann", "bob", "eve"]), "score": chance.random(), "active": True})
    return text.encode()[:size]


def _write_files(folder: Path, ports: list[int]) -> None:
    from aioreq.testing import Authority

    authority = Authority()
    (folder / "ca.pem").write_bytes(authority.pem)
    (folder / "server.pem").write_bytes(authority.issue("localhost", HOST))
    files = folder / "files"
    for made in (files, folder / "temp"):
        made.mkdir()
    (files / "10kb").write_bytes(random.Random(1).randbytes(10_000))
    (files / "1mb").write_bytes(random.Random(1).randbytes(MEGABYTE))
    with open(files / "100mb", "wb") as sparse:
        sparse.truncate(100 * MEGABYTE)
    (files / "gzip.gz").write_bytes(gzip.compress(compressible(32768), mtime=0))
    for path in (folder, files, folder / "temp"):
        path.chmod(0o777)  # a worker of another user reads and writes there
    (folder / "nginx.conf").write_text(_configuration(folder, ports))


def _configuration(folder: Path, ports: list[int]) -> str:
    temp = " ".join(f"{what}_temp_path {folder}/temp/{what};" for what in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
    fields = " ".join(f"add_header {name} '{value}';" for name, value in FIELDS.items())
    # /post: `return` discards the body, but reads it. /upload: what is proxied is read whole first, and counted.
    locations = f"""
        location = /json {{ {fields} return 200 '{small().decode()}'; }}
        location = /connections {{ {fields} return 200 '{small(b"C").decode().replace("C", "$connection_requests", 1)}'; }}
        location = /post {{ {fields} return 200 '{small().decode()}'; }}
        location /files/ {{ root {folder}; }}
        location = /gzip {{ root {folder}/files; gzip_static on; }}
        location = /upload {{
            proxy_pass http://{HOST}:{ports[0]}/counted;
            proxy_set_body "";
            proxy_set_header X-Received $content_length;
        }}
        location = /counted {{ return 200 "$http_x_received"; }}
    """
    return f"""
{"user root;" if os.geteuid() == 0 else ""}
worker_processes 1;
daemon off;
pid {folder}/nginx.pid;
error_log {folder}/error.log error;
events {{ worker_connections 4096; }}
http {{
    access_log off;
    default_type application/json;
    sendfile on;
    tcp_nopush on;
    keepalive_timeout 300;
    keepalive_requests 100000000;
    client_max_body_size 0;
    client_body_buffer_size 256k;
    open_file_cache max=16;
    {temp}
    server {{ listen {HOST}:{ports[0]} backlog=4096; {locations} }}
    server {{
        listen {HOST}:{ports[1]} ssl backlog=4096;
        ssl_certificate {folder}/server.pem;
        ssl_certificate_key {folder}/server.pem;
        {locations}
    }}
}}
"""


@contextlib.contextmanager
def _nginx(program: str, folder: Path, ports: list[int]) -> Iterator[None]:
    command = [program, "-p", str(folder), "-e", str(folder / "error.log"), "-c", str(folder / "nginx.conf")]
    with subprocess.Popen(pinned(command, 0), stderr=subprocess.PIPE, text=True) as process:
        try:
            end = time.monotonic() + PATIENCE
            while not all(map(_answers, ports)):
                if process.poll() is not None or time.monotonic() > end:
                    process.kill()
                    said = process.communicate()[1]
                    raise SystemExit(f"nginx didn't start: {said}{(folder / 'error.log').read_text()}")
                time.sleep(0.02)
            yield
        finally:
            process.terminate()


def _answers(port: int) -> bool:
    try:
        socket.create_connection((HOST, port), timeout=1).close()
    except OSError:
        return False
    return True
