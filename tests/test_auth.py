"""Authentication: a challenge in, an Authorization field out."""

import base64
import hashlib
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import aioreq.digest
from aioreq.auth import Auth, BasicAuth, DigestAuth, PasswordAuth, basic_header, credentials
from aioreq.challenges import Challenge, parse_challenges, parse_info
from aioreq.digest import choose, digest_answer
from aioreq.errors import InvalidHeader

pytestmark = pytest.mark.no_loop


def digest_header(challenge: Challenge, **options: Any) -> str:
    return digest_answer(challenge, **options).header


def answer(auth: PasswordAuth, challenges: list[Challenge], method: str, target: str, body: bytes | None = b"") -> str | None:
    """The first answer to the best of these challenges."""
    challenge = choose(auth, challenges, body is not None)
    if challenge is None:
        return None
    if challenge.scheme == "basic":
        return basic_header(auth.user, auth.password)
    return digest_header(challenge, user=auth.user, password=auth.password, method=method, target=target, nc=1, body=body)


def digest(field: str) -> dict[str, str]:
    """The parameters of a Digest field, read as a server reads them."""
    (challenge,) = parse_challenges([field])
    assert challenge.scheme == "digest"
    return dict(challenge.params)


def sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def md5(text: str) -> str:
    return hashlib.md5(text.encode()).hexdigest()


# --- Basic ---


@pytest.mark.parametrize(
    ("user", "password", "field"),
    [
        ("Aladdin", "open sesame", "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ=="),  # RFC 7617 section 2
        ("test", "123\xa3", "Basic dGVzdDoxMjPCow=="),  # section 2.1
        ("", "", "Basic Og=="),
        ("user", "a:b:c", "Basic dXNlcjphOmI6Yw=="),
    ],
)
def test_basic(user: str, password: str, field: str) -> None:
    assert basic_header(user, password) == field


def test_basic_refuses_a_colon_in_the_user() -> None:
    with pytest.raises(InvalidHeader, match="the user holds ':'") as caught:
        basic_header("a:secret", "b")
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("code", [*range(32), 127])
def test_basic_refuses_control_characters(code: int) -> None:
    with pytest.raises(InvalidHeader, match=r"the user holds the control character .* at position 1"):
        basic_header(f"a{chr(code)}", "secret")
    with pytest.raises(InvalidHeader, match=r"the password holds .* at position 6") as caught:
        basic_header("a", f"secret{chr(code)}")
    assert "secret" not in str(caught.value)


def test_basic_refuses_what_is_no_text() -> None:
    with pytest.raises(InvalidHeader, match="UTF-8"):
        basic_header("a", "\ud800")
    assert basic_header("a", "\udcff") == "Basic " + base64.b64encode(b"a:\xff").decode()


def test_values_hide_the_password_and_check_it() -> None:
    assert repr(BasicAuth("me", "hunter2")) == "BasicAuth(user='me')"
    assert repr(PasswordAuth("me", "hunter2")) == "PasswordAuth(user='me')"
    assert PasswordAuth("me", "a") != PasswordAuth("me", "b")
    with pytest.raises(InvalidHeader):
        BasicAuth("a:b", "c")
    with pytest.raises(TypeError, match="BasicAuth: user and password are str, not bytes"):
        BasicAuth("a", b"b")  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="PasswordAuth: user and password are str, not NoneType"):
        PasswordAuth(None, "b")  # type: ignore[arg-type]


# --- challenges (RFC 9110 section 11) ---


@pytest.mark.parametrize(
    ("value", "challenges"),
    [
        ("", []),
        (" , ,", []),
        ("Basic", [Challenge("basic")]),
        ("Negotiate, Basic", [Challenge("negotiate"), Challenge("basic")]),
        ('Basic realm="simple"', [Challenge("basic", {"realm": "simple"})]),
        ("BASIC Realm=simple", [Challenge("basic", {"realm": "simple"})]),
        ('Basic   realm = "a" , charset\t=\tUTF-8', [Challenge("basic", {"realm": "a", "charset": "UTF-8"})]),
        (r'Basic realm="a \"b\" \\ c\d"', [Challenge("basic", {"realm": r'a "b" \ cd'})]),
        ('Basic realm=""', [Challenge("basic", {"realm": ""})]),
        ('Basic realm="a, Digest nonce=b"', [Challenge("basic", {"realm": "a, Digest nonce=b"})]),
        ('Basic realm="\xe9\udcff"', [Challenge("basic", {"realm": "\xe9\udcff"})]),
        ("Negotiate dG9rZW4=", [Challenge("negotiate", token68="dG9rZW4=")]),
        ("Negotiate dG9rZW4== , Basic", [Challenge("negotiate", token68="dG9rZW4=="), Challenge("basic")]),
        ("Negotiate a-._~+/b", [Challenge("negotiate", token68="a-._~+/b")]),
        # RFC 9110 section 11.6.1.
        (
            'Basic realm="simple", Newauth realm="apps", type=1, title="Login to \\"apps\\""',
            [Challenge("basic", {"realm": "simple"}), Challenge("newauth", {"realm": "apps", "type": "1", "title": 'Login to "apps"'})],
        ),
        (",Basic ,, realm=a,,b=c,,Digest nonce=x,", [Challenge("basic", {"realm": "a", "b": "c"}), Challenge("digest", {"nonce": "x"})]),
        ("A b=c, D, E f=g", [Challenge("a", {"b": "c"}), Challenge("d"), Challenge("e", {"f": "g"})]),
    ],
)
def test_challenges(value: str, challenges: list[Challenge]) -> None:
    assert parse_challenges([value]) == challenges


@pytest.mark.parametrize(
    "value",
    [
        "Basic realm=simple thing",
        'Basic realm="open',
        'Basic realm="a" charset="b"',
        "Basic realm=a, realm=b",
        "Basic realm=a, REALM=b",
        'Basic realm="a"b',
        "Basic\trealm=a",
        "Basic realm=a; b=c",
        "Basic realm=a\x00b",
        'Basic realm="a\x01b"',
        'Basic realm="a\\\x7f"',
        "Negotiate abc=d=",
        "Negotiate abc, d=e",
        "realm=a",
        '"Basic"',
        "Basic é",
        "(Basic)",
        "Basic realm=a\n",
        "Basic abc\n",
        "Basic\u00a0realm=a",
    ],
)
def test_a_field_that_breaks_the_grammar_is_left_out(value: str) -> None:
    assert parse_challenges([value]) == []
    assert parse_challenges([f"{value}, Digest nonce=1", "Basic realm=b"]) == [Challenge("basic", {"realm": "b"})]


def test_several_fields() -> None:
    assert parse_challenges(["Digest nonce=a", "", "Digest nonce=b, Basic"]) == [
        Challenge("digest", {"nonce": "a"}),
        Challenge("digest", {"nonce": "b"}),
        Challenge("basic"),
    ]


@settings(deadline=None)
@given(
    st.lists(
        st.tuples(
            st.from_regex(r"[A-Za-z]{1,8}", fullmatch=True),
            st.dictionaries(
                st.from_regex(r"[a-z]{1,4}", fullmatch=True), st.text(st.characters(codec="utf-8", min_codepoint=32)), max_size=3
            ),
        )
    )
)
def test_what_is_written_is_read(challenges: list[tuple[str, dict[str, str]]]) -> None:
    def quoted(text: str) -> str:
        return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'

    expected = []
    for scheme, params in challenges:
        expected.append(Challenge(scheme.lower(), {name: value.replace("\x7f", "") for name, value in params.items()}))
    field = ", ".join(
        scheme + " " + ", ".join(f"{name}={quoted(value.replace(chr(127), ''))}" for name, value in params.items())
        for scheme, params in challenges
    )
    assert parse_challenges([field]) == expected


@settings(deadline=None)
@given(st.text(st.sampled_from(' \t,="\\aB1/é;\x00')))
def test_any_text_is_challenges_or_nothing(value: str) -> None:
    for challenge in parse_challenges([value]):
        assert challenge.scheme
        assert not (challenge.params and challenge.token68)


def test_a_long_hostile_field_ends() -> None:
    # Quadratic matching would take minutes on these.
    for value in ("a" * 300_000, "a " * 150_000, "," * 300_000, "A b=" + '"\\' * 150_000, "A " + "b=," * 100_000, "A b" + " " * 300_000):
        assert len(parse_challenges([value])) <= 1


# --- Digest ---

RFC_7616 = (
    'Digest realm="http-auth@example.org", qop="auth, auth-int", algorithm={}, '
    'nonce="7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v", opaque="FQhe/qaU925kfnzjCev0ciny7QMkPqMAFRtzCUYo5tdS"'
)


@pytest.mark.parametrize(
    ("algorithm", "response"),
    [("MD5", "8ca523f5e9506fed4657c9700eebdbec"), ("SHA-256", "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1")],
)
def test_rfc_7616_section_3_9_1(algorithm: str, response: str) -> None:
    (challenge,) = parse_challenges([RFC_7616.format(algorithm)])
    field = digest_header(
        challenge,
        user="Mufasa",
        password="Circle of Life",
        method="GET",
        target="/dir/index.html",
        nc=1,
        cnonce="f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ",
    )
    assert field == (
        'Digest username="Mufasa", realm="http-auth@example.org", nonce="7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v", '
        f'uri="/dir/index.html", algorithm={algorithm}, response="{response}", qop=auth, nc=00000001, '
        'cnonce="f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ", opaque="FQhe/qaU925kfnzjCev0ciny7QMkPqMAFRtzCUYo5tdS"'
    )


RFC_2617 = {"realm": "testrealm@host.com", "nonce": "dcd98b7102dd2f0e8b11d0f600bfb0c093"}


def test_rfc_2617_section_3_5() -> None:
    challenge = Challenge("digest", {**RFC_2617, "qop": "auth,auth-int", "opaque": "5ccc069c403ebaf9f0171e9517f40e41"})
    field = digest_header(
        challenge, user="Mufasa", password="Circle Of Life", method="GET", target="/dir/index.html", nc=1, cnonce="0a4f113b"
    )
    assert digest(field)["response"] == "6629fae49393a05397450978507c4ef1"
    assert "algorithm" not in digest(field)  # as the server left it out


def test_without_qop_as_rfc_2069() -> None:
    field = digest_header(
        Challenge("digest", RFC_2617), user="Mufasa", password="Circle Of Life", method="GET", target="/dir/index.html", nc=1
    )
    assert digest(field) == {**RFC_2617, "username": "Mufasa", "uri": "/dir/index.html", "response": "670fd8c2df070c60b045671b8b24ff02"}


@pytest.mark.parametrize(("algorithm", "hashed"), [("MD5-sess", md5), ("SHA-256-sess", sha256), ("sha-256-SESS", sha256)])
@pytest.mark.parametrize("qop", ["auth", None])
def test_session_variants(algorithm: str, hashed: Callable[[str], str], qop: str | None) -> None:
    challenge = Challenge("digest", {"realm": "r", "nonce": "n", "algorithm": algorithm, **({"qop": qop} if qop else {})})
    params = digest(digest_header(challenge, user="u", password="p", method="POST", target="/x?y=1", nc=0x2A, cnonce="c"))
    secret, request = hashed(f"{hashed('u:r:p')}:n:c"), hashed("POST:/x?y=1")
    if qop:
        assert params["response"] == hashed(f"{secret}:n:0000002a:c:auth:{request}")
        assert (params["nc"], params["qop"]) == ("0000002a", "auth")
    else:
        assert params["response"] == hashed(f"{secret}:n:{request}")
    assert (params["cnonce"], params["algorithm"]) == ("c", algorithm)


# Section 3.9.2 with its numbers corrected, as by erratum 4897: those printed were made by a truncated SHA-512, not by SHA-512/256.
RFC_7616_2 = (
    'Digest realm="api@example.org", qop="auth", algorithm=SHA-512-256, nonce="5TsQWLVdgBdmrQ0XsxbDODV+57QdFR34I9HAbC/RVvkK", '
    'opaque="HRPCssKJSGjCrkzDg8OhwpzCiGPChXYjwrI2QmXDnsOS", charset=UTF-8, userhash={}'
)


@pytest.mark.parametrize(
    ("userhash", "username"),
    [
        ("true", 'username="793263caabb707a56211940d90411ea4a575adeccb7e360aeb624ed06ece9b0b"'),
        ("false", "username*=UTF-8''J%C3%A4s%C3%B8n%20Doe"),
    ],
)
def test_rfc_7616_section_3_9_2(userhash: str, username: str) -> None:
    (challenge,) = parse_challenges([RFC_7616_2.format(userhash)])
    field = digest_header(
        challenge,
        user="J\xe4s\xf8n Doe",
        password="Secret, or not?",
        method="GET",
        target="/doe.json",
        nc=1,
        cnonce="NTg6RKcb9boFIAS3KrFK9BGeh+iDa/sm6jUMp2wds69v",
    )
    assert field.startswith(f"Digest {username}, ")
    assert 'response="3798d4131c277846293534c3edc11bd8a5e4cdcbff78b05db9d95eeb1cec68a5"' in field
    assert ("userhash=true" in field) == (userhash == "true")


def test_each_answer_has_a_cnonce_of_its_own() -> None:
    challenge = Challenge("digest", {**RFC_2617, "qop": "auth"})
    fields = [digest(digest_header(challenge, user="u", password="p", method="GET", target="/", nc=n)) for n in (1, 2)]
    assert fields[0]["cnonce"] != fields[1]["cnonce"]
    assert min(len(field["cnonce"]) for field in fields) >= 16
    assert [field["nc"] for field in fields] == ["00000001", "00000002"]


def test_names_are_quoted_and_hashed_as_they_are() -> None:
    challenge = Challenge("digest", {"realm": 'r"1\\', "nonce": "n", "qop": "auth", "opaque": 'o"', "algorithm": "SHA-256"})
    user, password, target = 'DOMAIN\\"me"', 'p"\\', "/a\\b"
    field = digest_header(challenge, user=user, password=password, method="GET", target=target, nc=1, cnonce="c")
    assert 'username="DOMAIN\\\\\\"me\\""' in field
    params = digest(field)
    assert (params["username"], params["realm"], params["uri"], params["opaque"]) == (user, 'r"1\\', target, 'o"')
    secret = sha256(f'{user}:r"1\\:{password}')
    assert params["response"] == sha256(f"{secret}:n:00000001:c:auth:{sha256('GET:' + target)}")


def test_users_beyond_ascii() -> None:
    user = "J\xe4s\xf8n Doe"  # RFC 7616 section 3.9.2
    base = {"realm": "api@example.org", "nonce": "n", "qop": "auth", "algorithm": "SHA-256"}

    def fields(**params: str) -> str:
        return digest_header(Challenge("digest", base | params), user=user, password="Secret, or not?", method="GET", target="/", nc=1)

    assert "Digest username*=UTF-8''J%C3%A4s%C3%B8n%20Doe, realm=" in fields(charset="utf-8")
    assert f'Digest username="{user}", realm=' in fields()
    hashed = digest(fields(charset="UTF-8", userhash="TRUE"))
    assert hashed["username"] == sha256(f"{user}:api@example.org")
    assert hashed["userhash"] == "true"
    assert "userhash" not in digest(fields(userhash="false"))


@pytest.mark.parametrize("char", ["\r", "\n", "\0", "\x7f"])
def test_digest_refuses_control_characters(char: str) -> None:
    challenge = Challenge("digest", RFC_2617)
    with pytest.raises(InvalidHeader, match="the user holds"):
        digest_header(challenge, user=f"a{char}", password="p", method="GET", target="/", nc=1)
    with pytest.raises(InvalidHeader, match="the target holds"):
        digest_header(challenge, user="a", password="p", method="GET", target=f"/{char}", nc=1)


def test_stale() -> None:
    assert Challenge("digest", {"stale": "TRUE"}).stale
    assert not Challenge("digest", {"stale": "false"}).stale
    assert not Challenge("digest").stale


# --- which challenge ---

MD5 = "Digest realm=r, nonce=md5, qop=auth"
SHA = "Digest realm=r, nonce=sha, qop=auth, algorithm=SHA-256"
ME = PasswordAuth("me", "pw")


@pytest.mark.parametrize(
    ("values", "nonce"),
    [
        ([MD5, SHA], "sha"),
        ([SHA, MD5], "sha"),
        (["Basic realm=r", f"{MD5}, {SHA}"], "sha"),
        ([MD5 + ", algorithm=md5-sess", MD5], "md5"),
        (["Digest realm=r, nonce=first", "Digest realm=r, nonce=second"], "first"),
        (["Digest realm=r, nonce=x, algorithm=SHA-512-256", MD5], "x"),
        ([MD5, "Digest realm=r, nonce=x, algorithm=sha-512-256-SESS", SHA], "x"),
        ([SHA, "Digest realm=r, nonce=x, algorithm=SHA-512-256"], "sha"),
        (["Digest realm=r, nonce=x, algorithm=SHA-512", MD5], "md5"),
        (["Digest realm=r, nonce=x, algorithm=SHA-256, qop=auth-int", MD5], "x"),
        (["Digest realm=r, nonce=x, algorithm=SHA-256, qop=auth-conf", MD5], "md5"),
        (["Digest realm=r, algorithm=SHA-256", MD5], "md5"),
        (["Digest nonce=x, algorithm=SHA-256", MD5], "md5"),
        (['Digest realm=r, nonce=x, algorithm=SHA-256, qop=""', MD5], "md5"),
        (['Digest realm=r, nonce=int, qop="auth-int ,AUTH"'], "int"),
    ],
)
def test_the_strongest_digest_that_can_be_answered(values: list[str], nonce: str) -> None:
    challenge = choose(ME, parse_challenges(values))
    assert challenge is not None
    assert challenge.params["nonce"] == nonce
    field = answer(ME, parse_challenges(values), "GET", "/x")
    assert field is not None
    assert digest(field)["nonce"] == nonce


def test_basic_where_nothing_better_is_offered() -> None:
    offered = parse_challenges(["Negotiate, Digest realm=r, nonce=n, algorithm=SHA3-256", "Basic realm=r"])
    assert answer(ME, offered, "GET", "/") == basic_header("me", "pw")


def test_nothing_to_answer() -> None:
    for values in ([], ["Negotiate"], ["Bearer realm=r"], ["Digest realm=r, nonce=n, qop=auth-conf"], ["Basic realm=a b"]):
        assert answer(ME, parse_challenges(values), "GET", "/") is None


def test_basic_auth_answers_basic_alone() -> None:
    me = BasicAuth("me", "pw")
    assert answer(me, parse_challenges([SHA, "Basic realm=r"]), "GET", "/") == basic_header("me", "pw")
    assert answer(me, parse_challenges([SHA]), "GET", "/") is None


def test_digest_auth_answers_digest_alone() -> None:
    me = DigestAuth("me", "pw")
    assert answer(me, parse_challenges(["Basic realm=r"]), "GET", "/") is None
    field = answer(me, parse_challenges(["Basic realm=r", MD5]), "GET", "/")
    assert field is not None
    assert digest(field)["nonce"] == "md5"


def test_a_body_that_isnt_at_hand() -> None:
    offered = parse_challenges(["Digest realm=r, nonce=int, qop=auth-int, algorithm=SHA-256", MD5])
    chosen = choose(ME, offered, body=False)
    assert chosen is not None
    assert chosen.params["nonce"] == "md5"
    with pytest.raises(ValueError, match="can't be answered by Digest"):
        digest_answer(offered[0], user="u", password="p", method="GET", target="/", nc=1, body=None)


@pytest.mark.parametrize("body", [b"", b"v=1&w=\xff"])
def test_auth_int_covers_the_body(body: bytes) -> None:
    (challenge,) = parse_challenges(['Digest realm="r", nonce="n", qop="auth-int", algorithm=SHA-256'])
    made = digest_answer(challenge, user="u", password="p", method="POST", target="/x", nc=2, cnonce="c", body=body)
    secret, request = sha256("u:r:p"), sha256("POST:/x:" + hashlib.sha256(body).hexdigest())
    assert digest(made.header)["response"] == sha256(f"{secret}:n:00000002:c:auth-int:{request}")
    assert digest(made.header)["qop"] == "auth-int"
    assert not made.contradicts({"rspauth": "of a body that nobody hashed"})


def test_what_the_server_proves() -> None:
    (challenge,) = parse_challenges([SHA])
    made = digest_answer(challenge, user="u", password="p", method="GET", target="/x", nc=2, cnonce="c")
    right = sha256(f"{sha256('u:r:p')}:sha:00000002:c:auth:{sha256(':/x')}")
    assert not made.contradicts({"rspauth": right.upper(), "nextnonce": "n"})
    assert not made.contradicts({"nextnonce": "n"})
    assert made.contradicts({"rspauth": right[:-1]})
    assert made.contradicts({"rspauth": "\xe9"})
    assert right not in repr(made)


@pytest.mark.parametrize(
    ("values", "info"),
    [
        (['nextnonce="a, b", qop=auth, nc=00000001'], {"nextnonce": "a, b", "qop": "auth", "nc": "00000001"}),
        (["nextnonce=a", 'rspauth="b"'], {"nextnonce": "a", "rspauth": "b"}),
        ([], {}),
        ([""], {}),
        (["nextnonce=a, nextnonce=b"], {}),
        (["nextnonce"], {}),
        (["abc="], {}),
        (["a=b, Digest nonce=c"], {}),
        (['nextnonce="open'], {}),
    ],
)
def test_authentication_info(values: list[str], info: dict[str, str]) -> None:
    assert parse_info(values) == info


def test_a_hash_that_openssl_lacks_isnt_offered(monkeypatch: pytest.MonkeyPatch) -> None:
    def new(name: str, *args: Any, **options: Any) -> Any:
        if name in ("sha512_256", "md5"):
            raise ValueError(f"unsupported hash type {name}")
        return hashlib_new(name, *args, **options)

    hashlib_new = hashlib.new
    monkeypatch.setattr(hashlib, "new", new)
    aioreq.digest._available.cache_clear()
    try:
        offered = parse_challenges(["Digest realm=r, nonce=x, algorithm=SHA-512-256", SHA, MD5])
        assert choose(ME, offered) is offered[1]
        assert choose(ME, [offered[0], offered[2]]) is None
    finally:
        aioreq.digest._available.cache_clear()


# --- what `auth=` takes ---


def test_credentials() -> None:
    basic, own = BasicAuth("a", "b"), Auth()
    assert credentials(None) is None
    assert credentials(basic) is basic
    assert credentials(own) is own
    assert credentials(("a", "b")) == PasswordAuth("a", "b")
    assert isinstance(credentials(lambda request: None), Auth)


@pytest.mark.parametrize("given", ["user:sesame", b"sesame", ["user", "sesame"], ("user",), ("u", "sesame", "x"), 1, object(), BasicAuth])
def test_what_auth_doesnt_take(given: Any) -> None:
    with pytest.raises(TypeError, match="auth= takes") as caught:
        credentials(given)
    assert "sesame" not in str(caught.value)
    if given is BasicAuth:
        assert "the class BasicAuth: make one" in str(caught.value)


def test_a_basic_field_is_made_once() -> None:
    me = BasicAuth("Aladdin", "open sesame")
    assert me.header is me.header == "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ=="
    assert me == BasicAuth("Aladdin", "open sesame") != BasicAuth("Aladdin", "x")
    assert me != PasswordAuth("Aladdin", "open sesame")
    assert hash(me) == hash(BasicAuth("Aladdin", "open sesame"))
    assert "QWxh" not in repr(me)
    assert repr(DigestAuth("me", "hunter2")) == "DigestAuth(user='me')"


def test_a_user_with_a_colon_is_for_digest_only() -> None:
    me = PasswordAuth("a:b", "c")
    assert answer(me, parse_challenges([MD5, "Basic realm=r"]), "GET", "/") is not None
    with pytest.raises(InvalidHeader, match="holds ':'"):
        answer(me, parse_challenges(["Basic realm=r"]), "GET", "/")


def test_what_cannot_be_answered_is_said() -> None:
    for challenge in (Challenge("basic"), Challenge("digest", {"realm": "r"}), Challenge("digest", {**RFC_2617, "algorithm": "x"})):
        with pytest.raises(ValueError, match="can't be answered by Digest"):
            digest_header(challenge, user="a", password="b", method="GET", target="/", nc=1)
