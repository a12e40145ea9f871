"""Option values: checked where they are made, and a bad one named."""

from __future__ import annotations

import dataclasses
import math
import re
import ssl
from pathlib import Path
from typing import Any

import pytest

from aioreq.config import TLS, UNSET, Limits, Timeout

pytestmark = pytest.mark.no_loop

SECONDS = ("total", "pool", "connect", "read", "write")
COUNTS = ("per_host", "idle", "head", "headers", "trailers", "chunk_extensions", "informational", "body")


def refused(kind: type[Exception], message: str, make: Any, **options: Any) -> None:
    with pytest.raises(kind, match=re.escape(message)):
        make(**options)


# --- Timeout ---


def test_timeout_defaults() -> None:
    assert Timeout() == Timeout(total=None, pool=None, connect=10, read=60, write=60)


@pytest.mark.parametrize(
    ("value", "timeout"),
    [
        (None, Timeout(None, None, None, None, None)),
        (5, Timeout(total=5, pool=5, connect=5, read=None, write=None)),
        (0.5, Timeout(total=0.5, pool=0.5, connect=0.5, read=None, write=None)),
        (0, Timeout(total=0, pool=0, connect=0, read=None, write=None)),
        (math.inf, Timeout(total=math.inf, pool=math.inf, connect=math.inf, read=None, write=None)),
        (Timeout(read=1), Timeout(read=1)),
    ],
)
def test_timeout_of(value: Any, timeout: Timeout) -> None:
    assert Timeout.of(value) == timeout


@pytest.mark.parametrize("name", SECONDS)
def test_seconds_are_named(name: str) -> None:
    for good in (None, 0, 1, 2.5, math.inf):
        assert getattr(Timeout(**{name: good}), name) == good
    refused(ValueError, f"Timeout({name}=-1): seconds can't be negative or NaN", Timeout, **{name: -1})
    refused(ValueError, f"Timeout({name}=-0.5)", Timeout, **{name: -0.5})
    refused(ValueError, f"Timeout({name}=nan)", Timeout, **{name: math.nan})
    refused(TypeError, f"Timeout({name}=...) takes seconds or None, not str", Timeout, **{name: "5"})
    refused(TypeError, f"Timeout({name}=...) takes seconds or None, not bool", Timeout, **{name: True})
    refused(TypeError, f"Timeout({name}=...) takes seconds or None, not tuple", Timeout, **{name: (1, 2)})


@pytest.mark.parametrize("value", ["5", True, (3, 5), [], object()])
def test_timeout_of_something_else(value: Any) -> None:
    with pytest.raises(TypeError, match=rf"Timeout\(total=\.\.\.\) takes seconds or None, not {type(value).__name__}"):
        Timeout.of(value)
    with pytest.raises(ValueError, match=r"Timeout\(total=-1\)"):
        Timeout.of(-1)


# --- Limits ---


def test_limits_defaults() -> None:
    limits = Limits()
    assert (limits.connections, limits.per_host, limits.idle, limits.idle_timeout) == (100, 0, 100, 15)
    assert (limits.head, limits.headers, limits.body, limits.ratio) == (65536, 256, 512 * 1024 * 1024, 100)
    assert limits.lifetime is limits.field is None
    assert all(getattr(limits, field.name) >= 0 for field in dataclasses.fields(limits) if field.name not in ("lifetime", "field"))


@pytest.mark.parametrize("name", COUNTS)
def test_counts_are_named(name: str) -> None:
    assert getattr(Limits(**{name: 0}), name) == 0
    refused(ValueError, f"Limits({name}=-1): must be at least 0", Limits, **{name: -1})


@pytest.mark.parametrize("name", ["connections", "ratio"])
def test_what_must_not_be_zero(name: str) -> None:
    assert getattr(Limits(**{name: 1}), name) == 1
    refused(ValueError, f"Limits({name}=0): must be at least 1", Limits, **{name: 0})


@pytest.mark.parametrize("name", [*COUNTS, "connections", "ratio"])
@pytest.mark.parametrize("value", [None, 1.0, "1", True])
def test_counts_are_whole_numbers(name: str, value: Any) -> None:
    refused(TypeError, f"Limits({name}=...) takes a whole number, not {type(value).__name__}", Limits, **{name: value})


def test_idle_timeout() -> None:
    assert Limits(idle_timeout=0.5).idle_timeout == 0.5
    refused(TypeError, "Limits(idle_timeout=None): give seconds; 0 keeps no connection", Limits, idle_timeout=None)
    refused(TypeError, "Limits(idle_timeout=...) takes seconds", Limits, idle_timeout="1")
    refused(ValueError, "Limits(idle_timeout=-1)", Limits, idle_timeout=-1)


# --- TLS ---


def test_tls_defaults() -> None:
    assert TLS() == TLS(verify=True, ca=None, cert=None, context=None, keylog=None)


def test_tls_of() -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    assert TLS.of(True) == TLS()
    assert TLS.of(False) == TLS(verify=False)
    assert TLS.of(context) == TLS(context=context)
    assert TLS.of("ca.pem") == TLS.of(Path("ca.pem")) == TLS(ca="ca.pem")
    value: Any
    for value in (None, 1, 0, b"ca.pem", object()):
        with pytest.raises(TypeError, match=rf"verify= takes True, False, an ssl\.SSLContext or a CA path, not {type(value).__name__}"):
            TLS.of(value)


def test_tls_values_are_named() -> None:
    refused(TypeError, "TLS(verify=...) takes True or False", TLS, verify="ca.pem")
    refused(TypeError, "TLS(verify=...) takes True or False", TLS, verify=1)
    refused(TypeError, "TLS(verify=...) takes True or False", TLS, verify=None)
    refused(TypeError, "TLS(ca=...) takes a path, not int", TLS, ca=5)
    refused(TypeError, "TLS(keylog=...) takes a path, not bool", TLS, keylog=True)
    refused(TypeError, "TLS(context=...) takes an ssl.SSLContext, not str", TLS, context="ca.pem")
    for cert in (5, b"cert.pem", ["cert.pem", "key.pem"], (), ("a", "b", "hunter2", "d")):
        with pytest.raises(TypeError, match=re.escape("TLS(cert=...) takes a path, (certificate, key) or")) as caught:
            TLS(cert=cert)  # type: ignore[arg-type]
        assert "hunter2" not in str(caught.value)


def test_a_context_of_ones_own_is_used_as_it_is() -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    for options in ({"verify": False}, {"ca": "ca.pem"}, {"cert": "cert.pem"}, {"keylog": "log"}):
        refused(ValueError, "TLS(context=...): set verify, ca, cert and keylog on the context itself", TLS, context=context, **options)


def test_a_client_certificate_is_not_shown() -> None:
    tls = TLS(cert=("cert.pem", "key.pem", "hunter2"))
    assert tls.cert == ("cert.pem", "key.pem", "hunter2")
    assert "hunter2" not in repr(tls)


# --- all of them ---


@pytest.mark.parametrize("value", [Timeout(), Limits(), TLS(), TLS(cert=("a", "b")), TLS(ca=Path("x"))])
def test_values_are_frozen_comparable_and_usable_as_keys(value: Any) -> None:
    name = dataclasses.fields(value)[0].name
    with pytest.raises(dataclasses.FrozenInstanceError):
        setattr(value, name, 1)
    with pytest.raises((AttributeError, TypeError)):
        value.typo = 1
    assert {value: 1}[dataclasses.replace(value)] == 1


@pytest.mark.parametrize("kind", [Timeout, Limits, TLS])
def test_an_unknown_option_is_named(kind: Any) -> None:
    with pytest.raises(TypeError, match="unexpected keyword argument 'conect'"):
        kind(conect=1)


def test_unset() -> None:
    assert repr(UNSET) == "UNSET"
    assert not UNSET
    assert UNSET is not None
