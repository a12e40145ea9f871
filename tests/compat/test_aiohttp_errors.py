"""The errors of the aiohttp face: the same tree, attributes and words as aiohttp's, and caught by its names where it is loaded."""

from __future__ import annotations

import pickle
import ssl
import subprocess
import sys
import warnings
from typing import Any

import pytest
from multidict import CIMultiDict, CIMultiDictProxy
from peers import needed_module
from yarl import URL

from aioreq.compat.aiohttp import client_exceptions as ours
from aioreq.compat.aiohttp import client_reqrep, http_exceptions

needed_module("aiohttp", "aiohttp")
import aiohttp.client_exceptions as theirs  # noqa: E402
import aiohttp.client_reqrep  # noqa: E402
import aiohttp.http_exceptions  # noqa: E402

pytestmark = pytest.mark.no_loop

BUILTIN = (OSError, ConnectionResetError, TimeoutError, ValueError, TypeError, ssl.SSLError, ssl.CertificateError)
HEADERS = CIMultiDictProxy(CIMultiDict({"X": "1"}))
URL_ = URL("http://example.org/a?b")


def info(module: Any) -> Any:
    return module.RequestInfo(URL_, "GET", HEADERS, URL_)


def key(module: Any, is_ssl: bool = True, **changed: Any) -> Any:
    return module.ConnectionKey("example.org", 443, is_ssl, changed.get("ssl", True), None, None, None)


CERTIFICATE = ssl.SSLCertVerificationError(1, "certificate verify failed")
ARGUMENTS: dict[str, Any] = {
    **dict.fromkeys(
        ("ClientError", "ClientConnectionError", "ClientPayloadError", "UploadAbortedError", "WSMessageTypeError", "NonHttpUrlClientError"),
        lambda module: (("went wrong",), {}),
    ),
    **dict.fromkeys(
        ("RedirectClientError", "NonHttpUrlRedirectClientError", "ServerConnectionError", "ServerTimeoutError"),
        lambda module: (("went wrong",), {}),
    ),
    **dict.fromkeys(("ConnectionTimeoutError", "SocketTimeoutError", "ClientConnectionResetError"), lambda module: (("slow",), {})),
    **dict.fromkeys(
        ("ClientResponseError", "ContentTypeError", "WSServerHandshakeError", "ClientHttpProxyError", "TooManyRedirects"),
        lambda module: ((info(module), ()), {"status": 404, "message": "Not Found", "headers": HEADERS}),
    ),
    "ClientOSError": lambda module: ((104, "Connection reset by peer"), {}),
    **dict.fromkeys(
        ("ClientConnectorError", "ClientConnectorDNSError", "ClientProxyConnectionError", "ClientSSLError", "ClientConnectorSSLError"),
        lambda module: ((key(module), OSError(111, "Connect call failed")), {}),
    ),
    "UnixClientConnectorError": lambda module: (("/run/x.sock", key(module, ssl=False), OSError(2, "No such file")), {}),
    "ClientConnectorCertificateError": lambda module: ((key(module), CERTIFICATE), {}),
    "ServerDisconnectedError": lambda module: ((), {}),
    "ServerFingerprintMismatch": lambda module: ((b"\1" * 32, b"\2" * 32, "example.org", 443), {}),
    **dict.fromkeys(
        ("InvalidURL", "InvalidUrlClientError", "InvalidUrlRedirectClientError"), lambda module: (("http:///x", "has no host"), {})
    ),
}


def built(name: str) -> tuple[Any, Any]:
    """Ours and theirs, of the same arguments."""
    (args, options), (their_args, their_options) = ARGUMENTS[name](client_reqrep), ARGUMENTS[name](aiohttp.client_reqrep)
    return getattr(ours, name)(*args, **options), getattr(theirs, name)(*their_args, **their_options)


def test_every_error_is_tried() -> None:
    assert set(ARGUMENTS) == set(ours.__all__) == {*theirs.__all__, "TooManyRedirects", "UnixClientConnectorError"}


@pytest.mark.parametrize("name", ours.__all__)
def test_bases_are_the_same(name: str) -> None:
    mine, other = getattr(ours, name), getattr(theirs, name)
    assert {k.__name__ for k in mine.__mro__ if k.__module__.startswith("aioreq.")} == {
        k.__name__ for k in other.__mro__ if k.__module__.startswith("aiohttp.")
    }
    assert [issubclass(mine, kind) for kind in BUILTIN] == [issubclass(other, kind) for kind in BUILTIN]


@pytest.mark.parametrize("name", ours.__all__)
def test_words_and_attributes_are_the_same(name: str) -> None:
    mine, other = built(name)
    assert str(mine)
    assert str(mine) == str(other)
    assert repr(mine).split("(")[0] == repr(other).split("(")[0]
    assert len(mine.args) == len(other.args)
    for attribute in dir(other):
        if attribute.startswith("_") or attribute in ("code", "args", "characters_written") or callable(getattr(other, attribute)):
            continue
        value, expected = getattr(mine, attribute), getattr(other, attribute)
        assert value == expected or (str(value) == str(expected) and str(value)), attribute


@pytest.mark.parametrize("name", ours.__all__)
def test_they_travel_between_processes(name: str) -> None:
    if name in ("ClientResponseError", "ContentTypeError", "WSServerHandshakeError", "ClientHttpProxyError", "TooManyRedirects"):
        _, options = ARGUMENTS[name](client_reqrep)
        mine = getattr(ours, name)(client_reqrep.RequestInfo(URL_, "GET", None), (), **{**options, "headers": None})  # type: ignore[arg-type]
    else:
        mine, _ = built(name)
    copy = pickle.loads(pickle.dumps(mine))
    assert type(copy) is type(mine)
    assert str(copy) == str(mine)


def test_a_response_error_without_a_status_tells_less() -> None:
    mine = ours.ClientResponseError(info(client_reqrep), ())
    other = theirs.ClientResponseError(info(aiohttp.client_reqrep), ())
    assert (mine.status, mine.message, mine.headers) == (other.status, other.message, other.headers) == (0, "", None)
    assert str(mine) == str(other)


def test_the_old_name_of_the_status_still_works_and_warns() -> None:
    with pytest.warns(DeprecationWarning, match="deprecated"):
        error = ours.ClientResponseError(info(client_reqrep), (), code=400)
    with pytest.warns(DeprecationWarning, match="deprecated"):
        assert error.code == 400
    with pytest.warns(DeprecationWarning, match="deprecated"):
        error.code = 401
    assert error.status == 401
    with pytest.raises(ValueError, match="not both"):
        ours.ClientResponseError(info(client_reqrep), (), code=400, status=400)


def test_connector_errors_tell_where() -> None:
    error = ours.ClientConnectorError(key(client_reqrep, ssl=True), OSError(111, "refused"))
    assert (error.host, error.port, error.ssl, error.errno, error.strerror) == ("example.org", 443, True, 111, "refused")
    assert str(error) == "Cannot connect to host example.org:443 ssl:default [refused]"
    assert ours.ClientConnectorCertificateError(key(client_reqrep), ValueError("x")).os_error.errno is None


@pytest.mark.parametrize("name", http_exceptions.__all__)
def test_errors_of_messages_are_the_same(name: str) -> None:
    mine, other = getattr(http_exceptions, name), getattr(aiohttp.http_exceptions, name)
    args: tuple[Any, ...] = () if name == "HttpProcessingError" else ("line",)
    assert str(mine(*args)) == str(other(*args))
    assert repr(mine(*args)) == repr(other(*args))
    assert mine(*args).args == other(*args).args
    assert (mine(*args).code, mine(*args).message) == (other(*args).code, other(*args).message)
    assert http_exceptions.LineTooLong(b"x", 3).args == aiohttp.http_exceptions.LineTooLong(b"x", 3).args


CATCHES = """
import sys
{first}
{second}
import aiohttp, aiohttp.client_exceptions as theirs
from aioreq.compat.aiohttp import client_exceptions as ours
import aioreq.compat.aiohttp as face
caught = [name for name in ours.__all__ if issubclass(getattr(ours, name), getattr(theirs, name))]
print(len(caught), len(ours.__all__))
try:
    raise face.ServerTimeoutError("slow")
except aiohttp.ServerTimeoutError:
    print("as theirs")
except TimeoutError:
    print("as a TimeoutError")
"""
REAL, FACE = "import aiohttp", "import aioreq.compat.aiohttp"


def run(code: str) -> list[str]:
    done = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.split("\n")


def test_where_aiohttp_was_imported_before_its_names_catch_ours() -> None:
    count = str(len(ours.__all__))
    assert run(CATCHES.format(first=REAL, second=FACE)) == [f"{count} {count}", "as theirs", ""]


def test_where_it_is_imported_later_they_dont() -> None:
    assert run(CATCHES.format(first=FACE, second=REAL)) == [f"0 {len(ours.__all__)}", "as a TimeoutError", ""]


def test_the_face_imports_no_aiohttp() -> None:
    code = f"""
import sys, warnings
{FACE} as aiohttp
for name in aiohttp.__all__:
    getattr(aiohttp, name)
print([name for name in sys.modules if name.split(".")[0] == "aiohttp"])
"""
    assert run(code) == ["[]", ""]


def test_what_users_derive_from_ours_is_their_own() -> None:
    class Mine(ours.ClientResponseError):
        """A user's."""

    assert type(Mine) is type
    assert Mine.__bases__ == (ours.ClientResponseError,)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert str(Mine(info(client_reqrep), (), status=1))
