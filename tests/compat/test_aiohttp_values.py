"""Small values of the aiohttp face: credentials, media types, file names, versions: what aiohttp makes of the same arguments."""

from __future__ import annotations

import io
import pickle
import warnings
from typing import Any

import pytest
from peers import needed_module
from yarl import URL

import aioreq
import aioreq.compat.aiohttp as ours

theirs = needed_module("aiohttp", "aiohttp")

pytestmark = pytest.mark.no_loop

BOTH = pytest.mark.parametrize("module", [ours, theirs], ids=["ours", "theirs"])


def basic(module: Any, *args: Any) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        return module.BasicAuth(*args)


@pytest.mark.parametrize("args", [("ann",), ("ann", "sesame"), ("ann", "öpen", "utf-8"), ("", "x:y")])
def test_credentials(args: tuple[str, ...]) -> None:
    mine, other = basic(ours, *args), basic(theirs, *args)
    assert tuple(mine) == tuple(other)
    assert mine.encode() == other.encode()
    assert (mine.login, mine.password, mine.encoding) == (other.login, other.password, other.encoding)
    assert ours.BasicAuth.decode(mine.encode(), mine.encoding) == mine == other
    assert ours.encode_basic_auth(*args) == theirs.encode_basic_auth(*args)
    assert hash(mine) == hash(other)
    assert mine._replace(login="bob").login == "bob"


def test_a_password_is_in_no_repr() -> None:
    assert "sesame" not in repr(basic(ours, "ann", "sesame"))


@BOTH
def test_credentials_are_deprecated_and_checked(module: Any) -> None:
    with pytest.warns(DeprecationWarning, match="encode_basic_auth"):
        module.BasicAuth("ann")
    for wrong in ((None,), ("ann", None), ("a:b",)):
        with pytest.raises(ValueError, match=r"None|:"):
            basic(module, *wrong)
    with pytest.raises(ValueError, match=":"):
        module.encode_basic_auth("a:b")
    for field in ("Basic", "Bearer YTpi", "Basic !", "Basic YQ=="):
        with pytest.raises(ValueError):
            module.BasicAuth.decode(field)


def test_credentials_of_urls() -> None:
    for text in ("http://a:b%20c@x/", "http://a@x/", "http://:b@x/", "http://x/"):
        assert ours.BasicAuth.from_url(URL(text)) == theirs.BasicAuth.from_url(URL(text))
        assert ours.helpers.strip_auth_from_url(URL(text)) == theirs.helpers.strip_auth_from_url(URL(text))
    with pytest.raises(TypeError):
        ours.BasicAuth.from_url("http://x/")  # type: ignore[arg-type]


def test_etags() -> None:
    assert (ours.ETag("x"), ours.ETag("x", is_weak=True)) == (ours.ETag(value="x", is_weak=False), ours.ETag("x", True))
    assert repr(ours.ETag("x")) == repr(theirs.ETag("x"))
    assert hash(ours.ETag("x")) == hash(ours.ETag("x"))
    with pytest.raises(AttributeError):
        ours.ETag("x").value = "y"  # type: ignore[misc]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "*",
        "text/html",
        "Text/HTML; Charset=UTF-8",
        'a/b+c; x="y z"; x=2; ;flag',
        "application/rss+xml",
        "text",
        "multipart/x;boundary=b",
    ],
)
def test_media_types(text: str) -> None:
    mine, other = ours.helpers.parse_mimetype(text), theirs.helpers.parse_mimetype(text)
    assert (mine.type, mine.subtype, mine.suffix, mine.parameters) == (other.type, other.subtype, other.suffix, other.parameters)


class Named(io.BytesIO):
    def __init__(self, name: Any) -> None:
        super().__init__()
        self.name = name


@pytest.mark.parametrize("name", ["a.txt", "/x/a.txt", "<stdin>", "", 3, b"a", "a>"])
def test_names_of_files(name: Any) -> None:
    for default in (None, "other"):
        assert ours.helpers.guess_filename(Named(name), default) == theirs.helpers.guess_filename(Named(name), default)
    assert ours.helpers.guess_filename(object(), "x") == "x"


@pytest.mark.parametrize("quote", [True, False])
@pytest.mark.parametrize("params", [{}, {"name": "a b"}, {"name": 'ä"\\\t'}, {"name": "x", "filename": 'ü "%.txt'}])
def test_dispositions_are_written_the_same(quote: bool, params: dict[str, str]) -> None:
    for kind in ("form-data", "attachment"):
        assert ours.helpers.content_disposition_header(kind, quote, **params) == theirs.helpers.content_disposition_header(
            kind, quote, **params
        )


@BOTH
def test_what_is_no_disposition_is_refused(module: Any) -> None:
    for args, params in ((("",), {}), (("a b",), {}), (("a",), {"b c": "x"}), (("a",), {"": "x"})):
        with pytest.raises(ValueError, match="bad content disposition"):
            module.helpers.content_disposition_header(*args, **params)


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "example.org", "", None, "1.2", "localhost"])
def test_addresses(host: str | None) -> None:
    assert ours.helpers.is_ip_address(host) == theirs.helpers.is_ip_address(host)


def test_versions_and_phrases() -> None:
    assert (ours.HttpVersion10, ours.HttpVersion11) == (theirs.HttpVersion10, theirs.HttpVersion11)
    assert repr(ours.HttpVersion11) == repr(theirs.HttpVersion11)
    assert ours.HttpVersion10 < ours.HttpVersion11 == ours.HttpVersion(1, 1)
    assert pickle.loads(pickle.dumps(ours.HttpVersion11)) == (1, 1)
    assert ours.http.RESPONSES == theirs.http.RESPONSES
    assert ours.http.SERVER_SOFTWARE.endswith(f" aioreq/{aioreq.__version__}")
    assert ours.http.SERVER_SOFTWARE.split("/")[:2][0] == theirs.http.SERVER_SOFTWARE.split("/")[0] == "Python"


def test_methods() -> None:
    assert set(theirs.hdrs.METH_ALL) == set(ours.hdrs.METH_ALL)
    assert "content-type".title() == ours.hdrs.CONTENT_TYPE
