"""Real servers and proxies for tests: nginx, squid, tinyproxy, dante and microsocks, each of them a process of its own on loopback.

A pytest plugin: the fixtures live as long as the session and start their peer when the first test asks for it. Where a peer isn't
installed the test is skipped, unless AIOREQ_PEERS=required: there it fails. Knows nothing of aioreq but the test server's certificates.
"""

from __future__ import annotations

import contextlib
import importlib
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from aioreq.testing import Authority

HOST = "127.0.0.1"
USER, PASSWORD = "ann", "open:sesame"  # what the proxies that want credentials take; RFC 7617 allows the colon
PLAIN_PASSWORD = "sesame"  # tinyproxy's: its file takes letters and digits only
STARTING = 20  # seconds a peer may take until its port answers

# Each size is a file under /files/; a megabyte is more than any buffer on the way.
FILES = {"empty": 0, "small": 1000, "medium": 100_000, "large": 1_000_000}


def content(size: int) -> bytes:
    """What a file of nginx's holds: bytes that tell their place, of no period that is a power of two."""
    return (bytes(range(251)) * (size // 251 + 1))[:size]


class Peer:
    """A server's process. `configure(folder, ports)` writes its files and gives the command that keeps it in the foreground."""

    def __init__(
        self,
        program: str,
        package: str,
        configure: Callable[[Path, list[int]], Sequence[str]],
        *,
        ports: int = 1,
        owners: Sequence[str] = (),
        patience: float = 3,
    ) -> None:
        self.program = program
        self.package = package
        self.ports: list[int] = []
        # Not below pytest's own folder, which nobody but its owner may enter: some peers give up root's rights.
        self.folder = Path(tempfile.mkdtemp(prefix=f"aioreq-{program}-"))
        self._configure = configure
        self._count = ports
        self._owners = owners  # the names of the user that it turns into where root starts it
        self._patience = patience  # seconds it gets to end by itself
        self._process: subprocess.Popen[bytes] | None = None

    def __repr__(self) -> str:
        return f"<{self.program} on {', '.join(map(str, self.ports))}>"

    @property
    def port(self) -> int:
        return self.ports[0]

    @property
    def address(self) -> str:
        """host:port."""
        return f"{HOST}:{self.port}"

    @property
    def ca(self) -> Path:
        """The certificate of the authority that signed its own, where it has one."""
        return self.folder / "ca.pem"

    def start(self) -> None:
        """Ready when this returns. Another process may take a port between its choice and its use: then with others."""
        for _ in range(3):
            self.ports = free_ports(self._count)
            if self._launch():
                return
        raise AssertionError(f"{self.program} doesn't start:\n{self.log()}")

    def restart(self) -> None:
        """Stop, and start again on the same ports."""
        self.stop()
        assert self._launch(), f"{self.program} doesn't start again:\n{self.log()}"

    def reload(self) -> None:
        """SIGHUP: a new configuration, or none, without a pause; how nginx is updated in the middle of traffic."""
        assert self._process is not None
        self._process.send_signal(signal.SIGHUP)

    def stop(self) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        process.terminate()
        try:
            process.wait(self._patience)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def discard(self) -> None:
        self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    def log(self, most: int = 4000) -> str:
        """The end of everything that it wrote."""
        texts = {path.name: path.read_text("utf-8", "replace").strip() for path in sorted(self.folder.glob("*.log"))}
        return "\n".join(f"--- {name}\n{text[-most:]}" for name, text in texts.items() if text) or "(it wrote nothing)"

    def _give_away(self, path: Path) -> None:
        for owner in self._owners:
            with contextlib.suppress(LookupError):
                shutil.chown(path, owner)
                return

    def _launch(self) -> bool:
        command = [*self._configure(self.folder, self.ports)]
        command[0] = find(command[0]) or command[0]
        if self._owners and os.geteuid() == 0:
            for path in (self.folder, *self.folder.iterdir()):
                self._give_away(path)
        with (self.folder / "output.log").open("ab") as output:
            self._process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, cwd=self.folder)
        until = time.monotonic() + STARTING
        while time.monotonic() < until and self._process.poll() is None:
            if all(answers(port) for port in self.ports):
                return self._process.poll() is None  # and not another process, that took the port first
            time.sleep(0.01)
        self.stop()
        return False


class WebServer(Peer):
    """nginx. Each URL is an origin, without a slash at its end.

    /echo?id=x gives `x`; /connection?id=x gives `connection-number requests-on-it x`; /files/{small,...} are `FILES`, under
    /chunked/ of unknown length, under /packed/ gzipped for who accepts it; /length reads an upload and gives its Content-Length.
    """

    @property
    def url(self) -> str:
        return f"http://{HOST}:{self.ports[0]}"

    @property
    def tls_url(self) -> str:
        """By a certificate that the authority in `ca` signed."""
        return f"https://{HOST}:{self.ports[1]}"

    @property
    def brief_url(self) -> str:
        """Connections end after 3 requests, and after 1 second of idling."""
        return f"http://{HOST}:{self.ports[2]}"


class Proxy(Peer):
    """A proxy; `username` and `password` are what it wants, None where it wants nothing."""

    def __init__(self, *args: Any, scheme: str = "http", password: str | None = None, **options: Any) -> None:
        super().__init__(*args, **options)
        self.scheme = scheme
        self.username = None if password is None else USER
        self.password = password

    @property
    def url(self) -> str:
        """scheme://host:port, without credentials."""
        return f"{self.scheme}://{self.address}"

    @property
    def url_with_credentials(self) -> str:
        return self.url if self.password is None else f"{self.scheme}://{USER}:{quote(self.password, safe='')}@{self.address}"


class Squid(Proxy):
    """It takes two seconds to end in order, and leaves shared memory behind when it isn't given them."""

    def stop(self) -> None:
        super().stop()
        for path in Path("/dev/shm").glob(f"{self.service(self.ports)}-*"):
            path.unlink(missing_ok=True)

    @staticmethod
    def service(ports: list[int]) -> str:
        return "".join(["aioreq", *map(str, ports)])


def find(program: str) -> str | None:
    # Debian keeps servers where an ordinary user's PATH doesn't look.
    return shutil.which(program, path=os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/sbin", "/usr/local/sbin"]))


def needed(program: str, package: str) -> str:
    """Where it is; the test is skipped, or fails, where it isn't installed."""
    path = find(program)
    if path is None:
        missing = f"{program} isn't installed (the package {package} of Debian and Ubuntu)"
        if os.environ.get("AIOREQ_PEERS") == "required":
            pytest.fail(f"{missing}, and AIOREQ_PEERS=required", pytrace=False)
        pytest.skip(missing)
    return path


def needed_module(name: str, package: str) -> Any:
    """The module; the test, or the module that asks, is skipped, or fails, where its package isn't installed."""
    try:
        return importlib.import_module(name)
    except ImportError:
        missing = f"the package {package} isn't installed (pip install {package})"
        if os.environ.get("AIOREQ_PEERS") == "required":
            pytest.fail(f"{missing}, and AIOREQ_PEERS=required", pytrace=False)
        pytest.skip(missing, allow_module_level=True)


def free_ports(count: int) -> list[int]:
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for sock in sockets:
            sock.bind((HOST, 0))
        return [sock.getsockname()[1] for sock in sockets]


def answers(port: int) -> bool:
    try:
        socket.create_connection((HOST, port), timeout=1).close()
    except OSError:
        return False
    return True


def write_certificate(folder: Path) -> None:
    authority = Authority()
    (folder / "ca.pem").write_bytes(authority.pem)
    (folder / "server.pem").write_bytes(authority.issue("localhost", HOST, "::1"))


# -- nginx


def web_server() -> WebServer:
    return WebServer("nginx", "nginx-light", _configure_nginx, ports=3)


def _configure_nginx(folder: Path, ports: list[int]) -> list[str]:
    for name in ("files", "temp"):
        (folder / name).mkdir(exist_ok=True)
    for name, size in FILES.items():
        (folder / "files" / name).write_bytes(content(size))
    if not (folder / "ca.pem").exists():
        write_certificate(folder)
    locations = f"""
        location /echo {{ return 200 "$arg_id"; }}
        location /connection {{ return 200 "$connection $connection_requests $arg_id"; }}
        location /files/ {{ root {folder}; }}
        location /chunked/ {{ alias {folder}/files/; ssi on; ssi_types *; }}
        location /packed/ {{ alias {folder}/files/; gzip on; gzip_types *; }}
        location /length {{ proxy_pass http://{HOST}:{ports[0]}/taken; proxy_http_version 1.1; proxy_set_header Connection ""; }}
        location /taken {{ return 200 "$http_content_length"; }}
        location /moved {{ return 302 /echo?id=$arg_id; }}
    """
    (folder / "nginx.conf").write_text(f"""
{"user root;" if os.geteuid() == 0 else ""}
worker_processes 1;
daemon off;
pid {folder}/nginx.pid;
error_log {folder}/error.log notice;
events {{ worker_connections 1024; }}
http {{
    access_log off;
    default_type application/octet-stream;
    client_max_body_size 0;
    {" ".join(f"{what}_temp_path {folder}/temp/{what};" for what in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))}
    server {{ listen {HOST}:{ports[0]} backlog=1024; keepalive_requests 1000000; {locations} }}
    server {{
        listen {HOST}:{ports[1]} ssl backlog=1024;
        keepalive_requests 1000000;
        ssl_certificate {folder}/server.pem;
        ssl_certificate_key {folder}/server.pem;
        {locations}
    }}
    server {{ listen {HOST}:{ports[2]}; keepalive_requests 3; keepalive_timeout 1; {locations} }}
}}
""")
    return ["nginx", "-p", str(folder), "-e", str(folder / "error.log"), "-c", str(folder / "nginx.conf")]


# -- squid


def squid_proxy(*, credentials: bool = False, tls: bool = False) -> Proxy:
    def configure(folder: Path, ports: list[int]) -> list[str]:
        lines = [
            f"http_port {HOST}:{ports[0]}",
            f"pid_filename {folder}/squid.pid",
            f"cache_log {folder}/cache.log",
            f"access_log stdio:{folder}/access.log",
            f"coredump_dir {folder}",
            "visible_hostname localhost",
            "cache deny all",
            "cache_mem 1 MB",
            "max_filedescriptors 4096",  # by default it makes a table of the process's limit
            "shutdown_lifetime 0 seconds",
            "pinger_enable off",
            "connect_retries 0",
        ]
        if tls:
            if not (folder / "ca.pem").exists():
                write_certificate(folder)
            lines[0] = f"https_port {HOST}:{ports[0]} tls-cert={folder}/server.pem tls-key={folder}/server.pem"
        if credentials:
            # Asked line by line: what it reads is quoted, as in a URL.
            helper = folder / "helper.sh"
            helper.write_text(
                "#!/bin/sh\nwhile read -r line; do\n"
                f'    case "$line" in "{USER} {PASSWORD}"|"{USER} {quote(PASSWORD)}") echo OK;; *) echo ERR;; esac\ndone\n'
            )
            lines += [
                f"auth_param basic program /bin/sh {helper}",
                "auth_param basic children 1",
                "auth_param basic realm peers",
                "acl known proxy_auth REQUIRED",
                "http_access allow known",
                "http_access deny all",
            ]
        else:
            lines.append("http_access allow all")
        (folder / "squid.conf").write_text("\n".join(lines) + "\n")
        return ["squid", "-N", "-n", Squid.service(ports), "-f", str(folder / "squid.conf")]

    scheme, password = "https" if tls else "http", PASSWORD if credentials else None
    return Squid("squid", "squid", configure, owners=("proxy", "squid"), patience=0.1, scheme=scheme, password=password)


# -- tinyproxy


def tiny_proxy(*, credentials: bool = False) -> Proxy:
    def configure(folder: Path, ports: list[int]) -> list[str]:
        lines = [
            f"Port {ports[0]}",
            f"Listen {HOST}",
            "Timeout 60",
            "MaxClients 500",
            f'LogFile "{folder}/tinyproxy.log"',
            "LogLevel Warning",
        ]
        if credentials:
            lines.append(f"BasicAuth {USER} {PLAIN_PASSWORD}")
        (folder / "tinyproxy.conf").write_text("\n".join(lines) + "\n")
        return ["tinyproxy", "-d", "-c", str(folder / "tinyproxy.conf")]

    return Proxy("tinyproxy", "tinyproxy", configure, password=PLAIN_PASSWORD if credentials else None)


# -- SOCKS


def socks_proxy() -> Proxy:
    """dante: SOCKS4, 5 and 5h, for everybody (its own users would have to be the system's); 4a's 0.0.0.1 it takes for an address."""

    def configure(folder: Path, ports: list[int]) -> list[str]:
        lines = [
            f"logoutput: {folder}/dante.log",
            f"internal: {HOST} port = {ports[0]}",
            f"external: {HOST}",
            "clientmethod: none",
            "socksmethod: none",
            *(["user.privileged: root", "user.unprivileged: nobody"] if os.geteuid() == 0 else []),
            "client pass { from: 0.0.0.0/0 to: 0.0.0.0/0 }",
            "socks pass { from: 0.0.0.0/0 to: 0.0.0.0/0 protocol: tcp }",
        ]
        (folder / "danted.conf").write_text("\n".join(lines) + "\n")
        return ["danted", "-f", str(folder / "danted.conf"), "-p", str(folder / "danted.pid")]

    return Proxy("danted", "dante-server", configure, scheme="socks5")


def socks_auth_proxy() -> Proxy:
    """microsocks: SOCKS5 and 5h, for who knows the password (RFC 1929)."""

    def configure(folder: Path, ports: list[int]) -> list[str]:
        return ["microsocks", "-i", HOST, "-p", str(ports[0]), "-u", USER, "-P", PASSWORD]

    return Proxy("microsocks", "microsocks", configure, scheme="socks5", password=PASSWORD)


# -- fixtures


@contextlib.contextmanager
def running(peer: Any) -> Iterator[Any]:
    """The peer, started; the test is skipped, or fails, where it isn't installed."""
    try:
        needed(peer.program, peer.package)
        peer.start()
        yield peer
    finally:
        peer.discard()


@pytest.fixture(scope="session")
def nginx() -> Iterator[WebServer]:
    with running(web_server()) as peer:
        yield peer


@pytest.fixture(scope="session")
def squid() -> Iterator[Proxy]:
    """An HTTP proxy that tunnels to any port."""
    with running(squid_proxy()) as peer:
        yield peer


@pytest.fixture(scope="session")
def squid_auth() -> Iterator[Proxy]:
    """The same for `peer.username` and `peer.password` only, by Basic."""
    with running(squid_proxy(credentials=True)) as peer:
        yield peer


@pytest.fixture(scope="session")
def squid_tls() -> Iterator[Proxy]:
    """The same behind TLS: an https:// proxy, certified by `peer.ca`."""
    with running(squid_proxy(tls=True)) as peer:
        yield peer


@pytest.fixture(scope="session")
def tinyproxy() -> Iterator[Proxy]:
    """Another HTTP proxy that tunnels to any port; it closes after each plain request."""
    with running(tiny_proxy()) as peer:
        yield peer


@pytest.fixture(scope="session")
def tinyproxy_auth() -> Iterator[Proxy]:
    with running(tiny_proxy(credentials=True)) as peer:
        yield peer


@pytest.fixture(scope="session")
def socks() -> Iterator[Proxy]:
    """SOCKS4, 5 and 5h without credentials; `peer.url` says socks5."""
    with running(socks_proxy()) as peer:
        yield peer


@pytest.fixture(scope="session")
def socks_auth() -> Iterator[Proxy]:
    """SOCKS5 and 5h for `peer.username` and `peer.password`."""
    with running(socks_auth_proxy()) as peer:
        yield peer


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Any:
    """A test that fails shows what its peers wrote."""
    report = yield
    if report.failed:
        for value in getattr(item, "funcargs", {}).values():
            if isinstance(value, Peer):
                report.sections.append((f"what {value!r} wrote", value.log()))
    return report
