"""Every client-side name of aiohttp, and every parameter of its public classes and methods, is there: diffed against the installed one."""

from __future__ import annotations

import importlib
import inspect
from typing import Any

import pytest
from peers import needed_module

import aioreq.compat.aiohttp as ours

theirs = needed_module("aiohttp", "aiohttp")

pytestmark = pytest.mark.no_loop

# Names that aren't carried, and why.
SERVER = "the server's"
LEFT_OUT = {
    "ChainMapProxy": SERVER,
    "GunicornUVLoopWebWorker": SERVER,
    "GunicornWebWorker": SERVER,
    "set_zlib_backend": "what decodes is the core's: zlib-ng by itself where it is installed",
}
ADDED = {"ProxyConnector"}  # of aiohttp's early versions

# Submodules that client code imports from, and names of theirs that are no client's.
SUBMODULES = {
    "abc": "AbstractAccessLogger AbstractMatchInfo AbstractRouter AbstractView parse_set_cookie_headers IterableBase",
    "client": "",
    "client_exceptions": "",
    "client_middleware_digest_auth": "DigestAuthChallenge escape_quotes parse_header_pairs unescape_quotes",
    "client_reqrep": "",
    "client_ws": "",
    "connector": "",
    "cookiejar": "",
    "formdata": "",
    "http_websocket": "WebSocketReader WebSocketWriter ws_ext_gen ws_ext_parse",  # frames are the core's
    "http_exceptions": "DecompressSizeError",  # which nothing raises
    "multipart": "",
    "payload": "",
    "payload_streamer": "",
    "resolver": "",
    "streams": "",
    "tracing": "",
}

# Members and parameters that aren't carried, and why.
INSIDE = "a constant of aiohttp's own code"
MEMBERS_LEFT_OUT = {
    **{f"CookieJar.{name}": INSIDE for name in ("MAX_TIME", "SUB_MAX_TIME")},
    **{f"CookieJar.DATE_{name}_RE": INSIDE for name in ("DAY_OF_MONTH", "HMS_TIME", "MONTH", "TOKENS", "YEAR")},
    "ClientResponse.ATTRS": INSIDE,
    "ClientSession.ATTRS": INSIDE,
    **{f"{kind}Connector.connect": "connections are the core's" for kind in ("Base", "NamedPipe", "TCP", "Unix")},
    **{f"ClientRequest.{name}": "a request is written by the core" for name in ("close", "send", "terminate", "write_bytes")},
    **{f"ClientRequest.update_{name}_encoding": "framing is the core's" for name in ("content", "transfer")},
    **{f"ClientResponse.{name}": "deprecated for UploadTracker" for name in ("output_size", "upload_complete")},
    "Fingerprint.HASHFUNC_BY_DIGESTLEN": INSIDE,
}


def public(kind: type) -> set[str]:
    """The names that a class has of its own, or from aiohttp's other classes."""
    names: set[str] = set()
    for base in kind.__mro__:
        if base.__module__.startswith("aiohttp."):
            names |= {name for name in vars(base) if not name.startswith("_")}
    return names


def parameters(function: Any) -> dict[str, tuple[Any, Any]]:
    """Kind and default by name; a default that is an object is told by its type."""
    found = {}
    for name, parameter in inspect.signature(function).parameters.items():
        default = parameter.default
        if default is not parameter.empty and not isinstance(default, bool | int | float | str | bytes | tuple | type(None)):
            default = "an object"
        found[name] = (parameter.kind, default)
    return found


def lacking(name: str, mine: Any, other: Any) -> list[str]:
    """What the parameters of `mine` lack, or have otherwise."""
    have, want = parameters(mine), parameters(other)
    problems = []
    for parameter, (kind, default) in want.items():
        where = f"{name}({parameter})"
        if where in MEMBERS_LEFT_OUT:
            continue
        if parameter not in have:
            problems.append(f"{where} is missing")
        elif have[parameter] != (kind, default) and (default != "an object" or have[parameter] != (kind, None)):
            problems.append(f"{where} is {have[parameter]}, not {(kind, default)}")
    order = [parameter for parameter in have if parameter in want and want[parameter][0] is inspect.Parameter.POSITIONAL_OR_KEYWORD]
    if order != [parameter for parameter in want if parameter in order]:
        problems.append(f"{name}: positional parameters in the order {order}")
    return problems


def made(kind: Any) -> Any:
    """One of them, for attributes that `__init__` sets; None where it takes arguments."""
    try:
        return kind()
    except (TypeError, RuntimeError):
        return None


def diff(name: str, mine: Any, other: Any) -> list[str]:
    if not inspect.isclass(other):
        return lacking(name, mine, other) if inspect.isfunction(other) else []
    if not inspect.isclass(mine):
        return [f"{name} is no class"]
    problems = lacking(name, mine, other) if "__init__" in vars(other) or "__new__" in vars(other) else []
    for member in sorted(public(other)):
        where = f"{name}.{member}"
        if where in MEMBERS_LEFT_OUT:
            continue
        if not hasattr(mine, member) and member not in getattr(mine, "__annotations__", {}) and not hasattr(made(mine), member):
            problems.append(f"{where} is missing")
            continue
        theirs_is, ours_is = inspect.getattr_static(other, member), inspect.getattr_static(mine, member, None)
        if inspect.isfunction(theirs_is) or isinstance(theirs_is, classmethod | staticmethod):
            if not callable(getattr(mine, member)):
                problems.append(f"{where} is no method")
            else:
                problems += lacking(where, getattr(mine, member), getattr(other, member))
        elif inspect.isfunction(ours_is):
            problems.append(f"{where} is a method")
    return problems


def test_every_client_side_name_is_there() -> None:
    assert set(theirs.__all__) - set(LEFT_OUT) == set(ours.__all__) - ADDED
    assert not set(LEFT_OUT) & set(ours.__all__)
    assert len(set(ours.__all__)) == len(ours.__all__)


@pytest.mark.parametrize("name", ours.__all__)
def test_the_public_names_are_importable(name: str) -> None:
    value = getattr(ours, name)
    assert inspect.ismodule(value) or not inspect.isclass(value) or value.__module__.startswith("aioreq.") or "Type" in name


@pytest.mark.parametrize("name", [name for name in ours.__all__ if name not in (*ADDED, "hdrs")])
def test_classes_and_functions_take_the_same(name: str) -> None:
    assert diff(name, getattr(ours, name), getattr(theirs, name)) == []


def test_each_verb_takes_the_same_options() -> None:
    from aioreq.compat.aiohttp._options import RequestOptions

    assert set(RequestOptions.__annotations__) >= set(theirs.client._RequestOptions.__annotations__)
    private = parameters(theirs.ClientSession._request)
    deprecated = {"verify_ssl", "ssl_context", "fingerprint"}
    assert deprecated <= set(private)
    assert set(RequestOptions.__annotations__) >= set(private) - {"self", "method", "str_or_url"}


@pytest.mark.parametrize("module", sorted(SUBMODULES))
def test_submodules_have_what_is_imported_from_them(module: str) -> None:
    other, mine = importlib.import_module(f"aiohttp.{module}"), getattr(ours, module)
    left_out = SUBMODULES[module].split()
    public_there = getattr(other, "__all__", None) or [
        name for name, value in vars(other).items() if getattr(value, "__module__", "") == other.__name__ and not name.startswith("_")
    ]
    problems = [f"{name} is missing" for name in public_there if not hasattr(mine, name) and name not in {*left_out, *LEFT_OUT}]
    for name in public_there:
        if hasattr(mine, name):
            problems += diff(name, getattr(mine, name), getattr(other, name))
    assert problems == []


def test_all_header_names_are_there() -> None:
    for name in dir(theirs.hdrs):
        if name.isupper():
            assert getattr(ours.hdrs, name) == getattr(theirs.hdrs, name), name


def test_the_version_is_the_one_that_is_followed() -> None:
    assert ours.__version__ == theirs.__version__


def test_what_is_left_out_is_there_to_be_left_out() -> None:
    for where in MEMBERS_LEFT_OUT:
        name, _, rest = where.partition(".")
        assert hasattr(theirs, name), where
        member = rest.partition("(")[0]
        assert not member or hasattr(getattr(theirs, name), member), where


def test_an_unknown_name_is_refused() -> None:
    with pytest.raises(AttributeError, match="no attribute 'web'"):
        _ = ours.web
    assert "ClientSession" in dir(ours)
