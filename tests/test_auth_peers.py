"""Passwords with software that isn't ours: Apache's mod_auth_digest and mod_auth_basic as servers, curl as a client beside ours."""

from __future__ import annotations

import asyncio
import hashlib
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from digest_server import Protected
from peers import HOST, Peer, needed, running

from aioreq import BasicAuth, Client, DigestAuth
from aioreq.testing import Server

USER, PASSWORD, REALM = "ann", "open: sesame", "here, and there"
MODULES = "mpm_event authn_core authn_file authz_core authz_user auth_basic auth_digest"


def configure(folder: Path, ports: list[int]) -> list[str]:
    """/digest/, whose nonces live for a second; /int/, whose are good for long and hand on none; /basic/."""
    modules = next((path for path in ("/usr/lib/apache2/modules", "/usr/lib64/httpd/modules") if Path(path).exists()), "modules")
    for name in ("digest", "int", "basic"):
        (folder / "files" / name).mkdir(parents=True, exist_ok=True)
        (folder / "files" / name / "x").write_text(name)
    secret = hashlib.md5(f"{USER}:{REALM}:{PASSWORD}".encode()).hexdigest()
    (folder / "digest.users").write_text(f"{USER}:{REALM}:{secret}\n")
    sha1 = subprocess.run(
        [needed("openssl", "openssl"), "passwd", "-apr1", "-stdin"], input=PASSWORD, capture_output=True, text=True, check=True
    ).stdout
    (folder / "basic.users").write_text(f"{USER}:{sha1}")
    digest = f'AuthType Digest\nAuthName "{REALM}"\nAuthDigestProvider file\nAuthUserFile {folder}/digest.users\nRequire valid-user'
    (folder / "apache.conf").write_text(f"""
ServerRoot {folder}
ServerName localhost
Listen {HOST}:{ports[0]}
PidFile {folder}/apache.pid
ErrorLog {folder}/error.log
Mutex file:{folder}
{"User nobody" if os.geteuid() == 0 else ""}
{"".join(f"LoadModule {name}_module {modules}/mod_{name}.so{chr(10)}" for name in MODULES.split())}
DocumentRoot {folder}/files
<Location /digest>
{digest}
AuthDigestDomain /digest/
AuthDigestNonceLifetime 1
</Location>
<Location /int>
{digest}
</Location>
<Location /basic>
AuthType Basic
AuthName "{REALM}"
AuthUserFile {folder}/basic.users
Require valid-user
</Location>
""")
    return ["apache2", "-f", f"{folder}/apache.conf", "-DFOREGROUND"]


@pytest.fixture(scope="module")
def apache() -> Iterator[Peer]:
    with running(Peer("apache2", "apache2-bin", configure, owners=("nobody",))) as peer:
        yield peer


@pytest.mark.parametrize("auth", [(USER, PASSWORD), DigestAuth(USER, PASSWORD), BasicAuth(USER, PASSWORD)])
async def test_apache(apache: Peer, client: Client, auth: Any) -> None:
    for name in ("digest", "int", "basic"):
        wanted = not (isinstance(auth, BasicAuth) and name != "basic") and not (isinstance(auth, DigestAuth) and name == "basic")
        for query in ("", "?a=%2F b", ""):
            response = await client.get(f"http://{apache.address}/{name}/x{query}", auth=auth)
            assert response.status == (200 if wanted else 401)
            assert not wanted or response.text == name
    assert client.stats().open == 1


async def test_apaches_wrong_password(apache: Peer, client: Client) -> None:
    for name in ("digest", "basic"):
        assert (await client.get(f"http://{apache.address}/{name}/x", auth=(USER, "wrong"))).status == 401


async def test_apaches_nonces(apache: Peer) -> None:
    url = f"http://{apache.address}/digest/x"
    async with Client(auth=(USER, PASSWORD)) as client:
        first = await client.get(url)
        # It proves itself, and hands on a nonce, which the next request is answered with: no 401 in between.
        assert "rspauth=" in first.headers["authentication-info"]
        following = await client.get(url)
        assert following.request.authorization is not None
        assert first.headers["authentication-info"].partition('nextnonce="')[2].partition('"')[0] in following.request.authorization
        await asyncio.sleep(2.1)  # it is stale now
        responses = await asyncio.gather(*[client.get(url) for _ in range(30)])
        assert {response.status for response in responses} == {200}


@pytest.fixture
def curl() -> str:
    return needed("curl", "curl")


@pytest.mark.parametrize(
    ("algorithm", "qop"),
    [(name, qop) for name in ("MD5", "MD5-sess", "SHA-256", "SHA-256-sess") for qop in ("auth", "auth,auth-int")]
    + [("MD5", None), ("SHA-256", None)],  # of a session without qop curl forgets the cnonce
)
@pytest.mark.parametrize("userhash", [True, False])
async def test_curl_says_the_same(server: Server, client: Client, curl: str, algorithm: str, qop: str | None, userhash: bool) -> None:
    protected = Protected(USER, PASSWORD, algorithm=algorithm, userhash=userhash, qop=qop, fixed=True)
    server.route("*", protected)
    url = server.url + "/a?b=c"
    options = ["-sS", "--digest", "-u", f"{USER}:{PASSWORD}", "-d", "body", "-w", " %{http_code}"]
    process = await asyncio.create_subprocess_exec(curl, *options, url, stdout=subprocess.PIPE)
    out, _ = await process.communicate()
    assert out.endswith(b" 200")
    protected.counts.clear()  # a fixed nonce, so that the answers can be held side by side
    protected.sessions.clear()
    assert (await client.post(url, content=b"body", auth=(USER, PASSWORD))).status == 200
    theirs, ours = protected.answers
    changing = {"cnonce", "response"}
    assert {name: value for name, value in ours.items() if name not in changing} == {
        name: value for name, value in theirs.items() if name not in changing
    }
