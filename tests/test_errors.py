"""The tree of errors: complete, as documented, with something to say and the parents that users expect."""

from __future__ import annotations

import copy
import inspect
import pickle
import re
from pathlib import Path
from typing import Any

import pytest

import aioreq
from aioreq import errors
from aioreq.errors import (
    AioreqError,
    ConnectionLost,
    DecodeError,
    IncompleteBody,
    LimitExceeded,
    StatusError,
    TooManyRedirects,
)
from aioreq.models import Request, Response

pytestmark = pytest.mark.no_loop

CLASSES: list[type[AioreqError]] = [value for value in vars(errors).values() if inspect.isclass(value) and issubclass(value, AioreqError)]
all_classes = pytest.mark.parametrize("kind", CLASSES, ids=lambda kind: kind.__name__)

# As in API.md and in the module's docstring.
PARENTS: dict[str, set[type[BaseException]]] = {
    "AioreqError": {Exception},
    "InvalidURL": {AioreqError, ValueError},
    "InvalidHeader": {AioreqError, ValueError},
    "ConnectError": {AioreqError, ConnectionError},
    "DNSError": {errors.ConnectError},
    "TLSError": {errors.ConnectError},
    "CertificateError": {errors.TLSError},
    "ProxyError": {errors.ConnectError},
    "GuardError": {AioreqError, PermissionError},
    "RedirectRefused": {AioreqError, PermissionError},
    "RequestTimeout": {AioreqError, TimeoutError},
    "PoolTimeout": {errors.RequestTimeout},
    "ConnectTimeout": {errors.RequestTimeout, errors.ConnectError},
    "ReadTimeout": {errors.RequestTimeout},
    "WriteTimeout": {errors.RequestTimeout},
    "TotalTimeout": {errors.RequestTimeout},
    "ProtocolError": {AioreqError},
    "RemoteProtocolError": {errors.ProtocolError},
    "LocalProtocolError": {errors.ProtocolError},
    "LimitExceeded": {errors.ProtocolError},
    "ConnectionLost": {AioreqError, ConnectionError},
    "IncompleteBody": {ConnectionLost},
    "WebSocketClosed": {ConnectionLost},
    "DecodeError": {AioreqError},
    "DigestMismatch": {AioreqError},
    "TooManyRedirects": {AioreqError},
    "StatusError": {AioreqError},
    "WebSocketRefused": {AioreqError},
    "ClientClosed": {AioreqError, RuntimeError},
}


def test_the_tree() -> None:
    assert {kind.__name__: set(kind.__bases__) for kind in CLASSES} == PARENTS


def test_all_of_them_are_public() -> None:
    assert sorted(PARENTS) == sorted(errors.__all__)
    for name in PARENTS:
        assert getattr(aioreq, name) is getattr(errors, name)
        assert name in aioreq.__all__


def test_the_docstring_draws_the_tree() -> None:
    drawn = errors.__doc__ or ""
    indents: list[tuple[int, str]] = []  # the line of ancestors of where we are
    seen = set()
    for line in drawn.splitlines():
        match = re.match(r"( {4,})((?:[A-Z]\w+,? ?)+)", line)
        if match is None:
            continue
        depth = len(match[1])
        names = [name for name in re.findall(r"\w+", match[2]) if name in PARENTS]
        while indents and indents[-1][0] >= depth:
            indents.pop()
        for name in names:
            if indents:
                assert getattr(errors, indents[-1][1]) in PARENTS[name], f"{name} is drawn under {indents[-1][1]}"
        seen |= set(names)
        indents.append((depth, names[-1]))
    assert seen == set(PARENTS)


@all_classes
def test_the_message_is_never_empty(kind: type[AioreqError]) -> None:
    for error in (kind(), kind(""), kind("", request=Request("GET", "http://h/"))):
        assert str(error) == f"{kind.__name__}: no detail was given"
    assert str(kind("what happened")) == "what happened"
    assert repr(kind("what happened")) == f"{kind.__name__}('what happened')"


@all_classes
def test_extras_are_keyword_only(kind: type[AioreqError]) -> None:
    # An OSError of two positional arguments would print [Errno ...].
    with pytest.raises(TypeError, match="positional argument"):
        kind("what", "more")  # type: ignore[call-arg, arg-type]
    with pytest.raises(TypeError, match=f"{kind.__name__} takes no 'unheard_of'"):
        kind("what", unheard_of=1)


@all_classes
def test_each_carries_its_request(kind: type[AioreqError]) -> None:
    request = Request("GET", "http://h/")
    assert kind("x").request is None
    error = kind("x", request=request)
    assert error.request is request
    assert "request" not in vars(kind("x"))


@all_classes
def test_each_can_be_raised_caught_and_noted(kind: type[AioreqError]) -> None:
    for parent in kind.__mro__[1:-1]:
        with pytest.raises(parent) as caught:
            raise kind("x") from OSError(5, "cause")
        assert isinstance(caught.value.__cause__, OSError)
    error = kind("x")
    error.add_note("attempt 2")
    assert error.__notes__ == ["attempt 2"]


@all_classes
def test_each_can_be_pickled(kind: type[AioreqError]) -> None:
    error = kind("what happened", request=Request("GET", "http://h/"))
    error.add_note("attempt 2")
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        back = pickle.loads(pickle.dumps(error, protocol))
        assert type(back) is kind
        assert (str(back), back.request, back.__notes__) == ("what happened", None, ["attempt 2"])


def test_extras_survive_pickling_but_for_what_cannot() -> None:
    response = Response(Request("GET", "http://h/"), "1.1", 500, b"", [])
    incomplete = IncompleteBody("cut", partial=b"ab", received=2, expected=5, response_started=True)
    back = pickle.loads(pickle.dumps(incomplete))
    assert (back.partial, back.received, back.expected, back.response_started) == (b"ab", 2, 5, True)
    assert pickle.loads(pickle.dumps(LimitExceeded("much", limit="head"))).limit == "head"
    assert pickle.loads(pickle.dumps(StatusError("no", response=response))).response is None
    assert str(copy.copy(incomplete)) == "cut"


@pytest.mark.parametrize(
    ("kind", "extras"),
    [
        (LimitExceeded, {"limit": ""}),
        (ConnectionLost, {"response_started": False}),
        (IncompleteBody, {"partial": b"", "received": 0, "expected": None, "response_started": False}),
        (DecodeError, {"partial": b""}),
        (TooManyRedirects, {"response": None}),
        (StatusError, {"response": None}),
    ],
)
def test_extras_have_defaults(kind: type[AioreqError], extras: dict[str, Any]) -> None:
    error = kind("x")
    assert {name: getattr(error, name) for name in extras} == extras
    values: dict[str, Any] = dict.fromkeys(extras, "given")
    assert vars(kind("x", **values)) == values


def test_one_except_catches_all_and_nothing_else() -> None:
    assert not issubclass(ValueError, AioreqError)
    assert all(issubclass(kind, AioreqError) for kind in CLASSES)
    assert all(kind.__doc__ for kind in CLASSES)


def test_no_module_raises_a_bare_builtin_connection_error() -> None:
    # Users catch AioreqError: what the system says is wrapped. Those of a face catch what its library raises, and its resolvers an OSError.
    package = Path(errors.__file__).parent
    for path in package.rglob("*.py"):
        if not {"testing", "compat"} & set(path.relative_to(package).parts):
            assert not re.search(r"raise (OSError|ConnectionError|TimeoutError|ssl\.SSLError)\b", path.read_text("utf-8")), path.name
