"""Side by side: redirects, cookies and credentials, hop by hop."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from yarl import URL

from aioreq.testing import Reply, Request, Server

from .side_by_side import Stage, same


def site(server: Server) -> None:
    """/to/{status}?url=... redirects there, /set?... sets these cookies, /realm asks for a login, the rest says ok."""

    def to(request: Request) -> Reply:
        return Reply(int(request.params["status"]), [("Location", dict(request.query)["url"])], "moved")

    def set_cookies(request: Request) -> Reply:
        return Reply(200, [("Set-Cookie", value) for name, value in request.query if name == "c"], "set")

    def realm(request: Request) -> Reply:
        if request.header("authorization"):
            return Reply(200, [], "welcome")
        return Reply(401, [("WWW-Authenticate", 'Basic realm="x"')], "who?")

    server.route("/to/{status}", to)
    server.route("/set", set_cookies)
    server.route("/deep/set", set_cookies)
    server.route("/realm", realm)
    server.route("*", lambda request: "ok")


METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")


@pytest.mark.parametrize("status", [300, 301, 302, 303, 304, 305, 307, 308])
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("body", [None, b"body"], ids=repr)
async def test_each_status(status: int, method: str, body: bytes | None) -> None:
    async def play(stage: Stage) -> None:
        async with stage.lib.ClientSession() as session:
            for follow in (True, False):
                await stage.ask(session, method, f"/to/{status}?url=/end?a=b%23c", data=body, allow_redirects=follow)

    await same(play, routes=site)


@pytest.mark.parametrize(
    "data", [{"a": "1"}, "text", {"json": 1}, {"headers": {"Content-Type": "x/y", "Content-Encoding": "br"}}, {"chunked": True}], ids=repr
)
@pytest.mark.parametrize("status", [302, 303, 307])
async def test_kinds_of_body(data: Any, status: int) -> None:
    options = data if isinstance(data, dict) and "a" not in data else {"data": data}
    if "json" not in options:
        options = {"data": b"body", **options}

    async def play(stage: Stage) -> None:
        async with stage.lib.ClientSession() as session:
            await stage.ask(session, "POST", f"/to/{status}?url=/end", **options)
            await stage.ask(session, "PUT", f"/to/{status}?url=/end", **options)

    kept = "headers" in options and status != 307  # fields that tell of the body, which isn't sent any more
    await same(play, routes=site, reuse=False, different="redirects" if kept else None)


LOCATIONS = (
    "/end", "end", "?q=1", "//127.0.0.1:1/", "/a%20b%2Fc", "/a b", "/\u00e4", "../up", "/end#part", "#part", "http://", "http:///x",
    "http://[bad/", "http://host:port/", "ftp://host/x", "data:text/plain,x", "mailto:a@b", "javascript:alert(1)", "/?a=b&c=%zz", "/a|b",
    "http://127.0.0.1:1/", "/?q=a+b", "HTTP://127.0.0.1:1/", "http:/end", "/to/302?url=/end", "http://user@127.0.0.1:1/", "/x?y=http://z/",
)  # fmt: skip


@pytest.mark.parametrize("location", LOCATIONS)
@pytest.mark.parametrize("start", ["/start", "/deep/start", "/start#first"])
async def test_locations(location: str, start: str) -> None:
    def routes(server: Server) -> None:
        for path in ("/start", "/deep/start"):
            server.route(path, Reply(302, [("Location", location)]))
        site(server)

    async def play(stage: Stage) -> None:
        async with stage.lib.ClientSession() as session:
            await stage.ask(session, "GET", start)

    different = "URLs that are none" if location == "http:/end" else None
    if start.endswith("#first") and location in INHERITING:
        different = "redirects"
    await same(play, routes=routes, different=different)


INHERITING = ("/end", "end", "/to/302?url=/end", "/a%20b%2Fc", "/a b", "/\u00e4", "../up", "/?a=b&c=%zz", "/a|b", "/?q=a+b",
              "/x?y=http://z/")  # fmt: skip
FIELDS: dict[str, list[tuple[str, str]]] = {
    "none": [],
    "empty": [("Location", "")],
    "two": [("Location", "/end"), ("Location", "/end")],
    "URI": [("URI", "/end")],
}


@pytest.mark.parametrize("fields", FIELDS)
async def test_fields_of_redirects(fields: str) -> None:
    async def play(stage: Stage) -> None:
        async with stage.lib.ClientSession() as session:
            await stage.ask(session, "GET", "/start")

    def routes(server: Server) -> None:
        server.route("/start", Reply(302, FIELDS[fields]))
        site(server)

    await same(play, routes=routes, different=None if fields == "two" else "redirects")


@pytest.mark.parametrize("limit", [None, 1, 2, 3, 11, 0])
async def test_too_many(limit: int | None) -> None:
    options: dict[str, Any] = {} if limit is None else {"max_redirects": limit}

    async def play(stage: Stage) -> None:
        async with stage.lib.ClientSession() as session:
            await stage.ask(session, "GET", "/hops/10", **options)
            await stage.ask(session, "GET", "/hops/9", **options)

    def hop(request: Request) -> Reply:
        left = int(request.params["left"])
        return Reply(302, [("Location", f"/hops/{left - 1}")]) if left else Reply(200, [], "here")

    await same(play, routes=lambda server: server.route("/hops/{left}", hop), different="redirects" if limit == 0 else None)


@pytest.mark.parametrize("status", [302, 307])
@pytest.mark.parametrize(
    "source", ["Authorization", "auth", "userinfo", "cookies", "Cookie", "X-Api-Key", "Proxy-Authorization", "Host", "jar"]
)
@pytest.mark.parametrize("where", ["here", "host", "port"])
async def test_credentials(source: str, where: str, status: int) -> None:
    async def play(stage: Stage) -> None:
        lib = stage.lib
        async with Server(host="127.0.0.1" if where == "port" else "127.0.0.2", port=0, routes=site) as other:
            stage.names[f":{other.port}"] = ":OTHER"
            options: dict[str, Any] = {
                "Authorization": {"headers": {"Authorization": "Bearer secret"}},
                "auth": {"auth": lib.BasicAuth("ann", "secret")},
                "cookies": {"cookies": {"s": "secret"}},
                "Cookie": {"headers": {"Cookie": "s=secret"}},
            }.get(source, {} if source in ("userinfo", "jar") else {"headers": {source: "secret"}})
            async with lib.ClientSession(cookie_jar=lib.CookieJar(unsafe=True)) as session:
                if source == "jar":
                    session.cookie_jar.update_cookies({"s": "secret"}, URL(stage.url))
                origin = stage.url if where == "here" else other.url
                url = stage.url.replace("//", "//ann:secret@") if source == "userinfo" else stage.url
                await stage.ask(session, "GET", f"{url}/to/{status}?url={origin}/end", **options)
                for request in other.requests:
                    stage.say("elsewhere", sorted(pair for pair in request.headers if pair[0] not in (b"User-Agent", b"Host")))

    named = source in ("X-Api-Key", "Host") and where != "here"
    await same(play, routes=site, different="credentials across origins" if named else None)


COOKIES = (
    "a=1", "a=", "=1", "a", "a=1; Path=/deep", "a=1; Path=deep", "a=1; Path=/deep/", "a=1; Domain=localhost", "a=1; Domain=.localhost",
    "a=1; Domain=example.com", "a=1; Domain=com", "a=1; Domain=", "a=1; Secure", "a=1; HttpOnly", "a=1; SameSite=Lax", "a=1; Max-Age=0",
    "a=1; Max-Age=100", "a=1; Max-Age=-1", "a=1; Max-Age=x", "a=1; Expires=Wed, 21 Oct 2037 07:28:00 GMT",
    "a=1; Expires=Wed, 21 Oct 2015 07:28:00 GMT", "a=1; Expires=nonsense", 'a="1 2"', 'a="1;2"', "a=1 2", "a=\u00e4", 'a="\\073"', "a=b=c",
    "a=1; unknown=x", "__Host-a=1; Path=/; Secure", "__Host-a=1", "__Secure-a=1", "a=1; Expires=Thu, 01 Jan 1970 00:00:00 GMT", "a b=1",
    "a=,",     "a={json:1}", "a=1;path=/;secure;httponly", "a=1; Partitioned; Secure",
)  # fmt: skip
AS_THEY_CAME, SECURE = "cookies as they came", "cookies that are refused"
DIFFERENT_COOKIES = {
    **dict.fromkeys(["a=", "=1", "a", 'a="1;2"', "a=1 2", "a=\u00e4", "a=b=c", "a b=1", "a=,", "a={json:1}"], AS_THEY_CAME),
    **dict.fromkeys(["a=1; Secure", "a=1;path=/;secure;httponly", "a=1; Partitioned; Secure"], SECURE),
    **dict.fromkeys(["__Host-a=1; Path=/; Secure", "__Host-a=1", "__Secure-a=1"], SECURE),
    "a=1; Expires=Thu, 01 Jan 1970 00:00:00 GMT": "cookies that are refused",
}


@pytest.mark.parametrize("cookie", COOKIES)
@pytest.mark.parametrize("unsafe", [True, False])
@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
async def test_cookies(cookie: str, unsafe: bool, host: str) -> None:
    async def play(stage: Stage) -> None:
        url = stage.url.replace("127.0.0.1", host)
        jar = stage.lib.CookieJar(unsafe=unsafe)
        async with stage.lib.ClientSession(cookie_jar=jar) as session:
            async with session.get(url + "/deep/set", params={"c": cookie}) as response:
                stage.say(sorted(each.OutputString() for each in response.cookies.values()))
            stage.say_cookies(jar)
            for path in ("/", "/deep", "/deep/set", "/deeper"):
                async with session.get(url + path):
                    pass

    kept = unsafe or host == "localhost" or cookie == 'a="1;2"'  # of which response.cookies tells, too
    different = DIFFERENT_COOKIES.get(cookie) if kept else None
    await same(play, routes=site, different=different)


async def test_cookies_that_change() -> None:
    async def play(stage: Stage) -> None:
        lib = stage.lib
        jar = lib.CookieJar(unsafe=True)
        async with lib.ClientSession(cookie_jar=jar, cookies={"first": "0"}) as session:
            for query in ("c=a=1&c=b=2", "c=a=3", "c=b=; Max-Age=0", "c=c=4; Path=/other"):
                await stage.ask(session, "GET", "/set?" + query.replace("; ", "%3B%20").replace("=/", "%3D/"))
                stage.say_cookies(jar)
            await stage.ask(session, "GET", "/end", cookies={"a": "own", "z": "9"})
            await stage.ask(session, "GET", "/to/302?url=/set?c=d%3D1")
            stage.say_cookies(jar)
            jar.clear()
            await stage.ask(session, "GET", "/end")

    await same(play, routes=site)


async def test_two_cookies_of_one_name() -> None:
    async def play(stage: Stage) -> None:
        async with stage.lib.ClientSession(cookie_jar=stage.lib.CookieJar(unsafe=True)) as session:
            await stage.ask(session, "GET", "/set", params=[("c", "a=1; Path=/"), ("c", "a=2; Path=/deep")])
            await stage.ask(session, "GET", "/deep")

    await same(play, routes=site, different=AS_THEY_CAME)


async def test_public_suffixes() -> None:
    async def play(stage: Stage) -> None:
        jar = stage.lib.CookieJar()
        for domain in ("shop.co.uk", "co.uk", "a.github.io", "github.io"):
            jar.update_cookies_from_headers([f"{domain[0]}=1; Domain={domain}"], URL("http://a.shop.co.uk/"))
        stage.say_cookies(jar)

    await same(play, different="cookies that are refused")


async def test_a_redirect_that_sets_cookies() -> None:
    async def play(stage: Stage) -> None:
        jar = stage.lib.CookieJar(unsafe=True)
        async with stage.lib.ClientSession(cookie_jar=jar) as session:
            await stage.ask(session, "GET", "/hop", cookies={"own": "1"})
            stage.say_cookies(jar)

    def routes(server: Server) -> None:
        server.route("/hop", Reply(302, [("Location", "/end"), ("Set-Cookie", "h=1"), ("Set-Cookie", "own=2")]))
        site(server)

    await same(play, routes=routes)


JARS: dict[str, Any] = {
    "dummy": lambda lib: lib.DummyCookieJar(),
    "without quotes": lambda lib: lib.CookieJar(unsafe=True, quote_cookie=False),
    "secure": lambda lib: lib.CookieJar(unsafe=True, treat_as_secure_origin=[URL("http://127.0.0.1")]),
}


@pytest.mark.parametrize("jar", JARS)
async def test_jars(jar: str) -> None:
    async def play(stage: Stage) -> None:
        made = JARS[jar](stage.lib)
        for _ in range(2):  # two sessions share it
            async with stage.lib.ClientSession(cookie_jar=made, cookies={"s": "a b", "t": 'q"'}) as session:
                await stage.ask(session, "GET", "/set?c=a%3D1&c=b%3Dx%20y")
                await stage.ask(session, "GET", "/end", cookies={"u": "a,b"})
        stage.say_cookies(made)

    await same(play, routes=site, different=AS_THEY_CAME if jar == "secure" else None)


@pytest.mark.parametrize(
    "way", ["auth", "session", "userinfo", "userinfo quoted", "both", "field and auth", "empty", "netrc", "netrc and auth"]
)
async def test_basic(way: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login ann password sesame\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))

    async def play(stage: Stage) -> None:
        lib = stage.lib
        auth = lib.BasicAuth("ann", "ses:ame\u00e4")
        session_options: dict[str, Any] = {"session": {"auth": auth}}.get(way, {"trust_env": "netrc" in way})
        options: dict[str, Any] = {
            "auth": {"auth": auth},
            "both": {"auth": auth},
            "field and auth": {"auth": auth, "headers": {"Authorization": "x"}},
            "empty": {"auth": lib.BasicAuth("", "")},
            "netrc and auth": {"auth": auth},
        }.get(way, {})
        userinfo = {"userinfo": "ann:sesame@", "userinfo quoted": "a%40n:s%3Ae@", "both": "x:y@"}.get(way, "")
        async with lib.ClientSession(**session_options) as session:
            await stage.ask(session, "GET", stage.url.replace("//", f"//{userinfo}") + "/realm", **options)
            await stage.ask(session, "GET", stage.url.replace("//", f"//{userinfo}") + "/to/302?url=/realm", **options)

    await same(play, routes=site)


CHALLENGES = {
    "MD5": 'Digest realm="r", nonce="n", qop="auth"',
    "SHA-256": 'Digest realm="r", nonce="n", qop="auth", algorithm=SHA-256, opaque="o"',
    "without qop": 'Digest realm="r", nonce="n"',
    "unknown": 'Digest realm="r", nonce="n", algorithm=ROT13',
    "Basic": 'Basic realm="r"',
    "without a nonce": 'Digest realm="r"',
}


@pytest.mark.parametrize("challenge", CHALLENGES)
async def test_digest(challenge: str) -> None:
    def routes(server: Server) -> None:
        def answer(request: Request) -> Any:
            if request.header("authorization"):
                return "welcome"
            return Reply(401, [("WWW-Authenticate", CHALLENGES[challenge])], "who?")

        server.route("/*", answer)

    async def play(stage: Stage) -> None:
        lib = stage.lib
        async with lib.ClientSession(middlewares=(lib.DigestAuthMiddleware("ann", "sesame"),)) as session:
            with stage.trying():
                for method in ("GET", "POST"):
                    async with session.request(method, stage.url + "/a?b", data=b"x" if method == "POST" else None) as response:
                        stage.say(response.status, await response.text())
            for request in stage.server.requests:
                given = dict(part.strip().partition("=")[::2] for part in (request.header("authorization") or "").split(","))
                stage.say(
                    request.method,
                    sorted(name for name in given if name != "algorithm"),
                    [given.get(each) for each in ("uri", "nc", "qop")],
                )

    unanswerable = challenge in ("unknown", "without a nonce")
    await same(play, routes=routes, wire=False, different="challenges that can't be answered" if unanswerable else None)
