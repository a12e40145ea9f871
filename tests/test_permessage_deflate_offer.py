"""What is offered for permessage-deflate, and what a server may make of it (RFC 7692 section 7.1, RFC 6455 section 9.1)."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from peers import needed_module

from aioreq.errors import RemoteProtocolError
from aioreq.websocket.permessage_deflate import Deflate, agreed

pytestmark = pytest.mark.no_loop


@pytest.mark.parametrize(
    ("terms", "offer"),
    [
        (Deflate(), "permessage-deflate; client_max_window_bits"),
        (Deflate(True, True), "permessage-deflate; server_no_context_takeover; client_no_context_takeover; client_max_window_bits"),
        (Deflate(server_max_window_bits=10), "permessage-deflate; server_max_window_bits=10; client_max_window_bits"),
        (Deflate(client_max_window_bits=8, level=1, min_size=0), "permessage-deflate; client_max_window_bits=8"),
    ],
)
def test_offers(terms: Deflate, offer: str) -> None:
    assert terms.offer() == offer


ANY = Deflate(level=3, min_size=7)
STRICT = Deflate(server_no_context_takeover=True, server_max_window_bits=12, client_max_window_bits=11)

AGREED: dict[str, tuple[Deflate | None, list[str], Deflate | None]] = {
    "nothing": (ANY, [], None),
    "nothing, and nothing was asked for": (None, [], None),
    "an empty field": (ANY, ["", " , \t,"], None),
    "yes": (ANY, ["permessage-deflate"], ANY),
    "yes, among empty elements": (ANY, ["", ", permessage-deflate ,", ""], ANY),
    "all that it may say by itself": (
        ANY,
        ["permessage-deflate;server_no_context_takeover ; client_no_context_takeover;server_max_window_bits=9;client_max_window_bits =\t8"],
        Deflate(True, True, 9, 8, 3, 7),
    ),
    "a quoted value": (ANY, ['permessage-deflate; server_max_window_bits="10"'], Deflate(server_max_window_bits=10, level=3, min_size=7)),
    "a quoted value with an escape": (
        ANY,
        ['permessage-deflate;server_max_window_bits="1\\5"'],
        ANY,
    ),
    "what was demanded": (
        STRICT,
        ["permessage-deflate; server_max_window_bits=12; server_no_context_takeover"],
        STRICT,
    ),
    "more than was demanded": (
        STRICT,
        ["permessage-deflate; client_max_window_bits=9; server_no_context_takeover; server_max_window_bits=8"],
        Deflate(True, False, 8, 9),
    ),
    "less of ours than we said": (
        Deflate(client_no_context_takeover=True),
        ["permessage-deflate"],
        Deflate(client_no_context_takeover=True),
    ),
}


@pytest.mark.parametrize("name", AGREED)
def test_agreed(name: str) -> None:
    offer, answer, wanted = AGREED[name]
    assert agreed(offer, answer) == wanted


REFUSED: dict[str, tuple[Deflate | None, list[str], str]] = {
    "unasked": (None, ["permessage-deflate"], "'permessage-deflate' wasn't offered"),
    "another": (ANY, ["x-webkit-deflate-frame"], "'x-webkit-deflate-frame' wasn't offered"),
    "another besides": (ANY, ["permessage-deflate, bbf-usp-protocol"], "'bbf-usp-protocol' wasn't offered"),
    "another before": (ANY, ["foo; bar=1", "permessage-deflate"], "'foo' wasn't offered"),
    "in other letters": (ANY, ["Permessage-Deflate"], "wasn't offered"),
    "twice": (ANY, ["permessage-deflate, permessage-deflate"], "only one"),
    "twice, in two fields": (ANY, ["permessage-deflate", "permessage-deflate"], "only one"),
    "an unknown parameter": (ANY, ["permessage-deflate; mem_level=4"], "'mem_level' is none of its parameters"),
    "a parameter twice": (ANY, ["permessage-deflate; server_no_context_takeover; server_no_context_takeover"], "stands there twice"),
    "bits twice": (ANY, ["permessage-deflate; server_max_window_bits=9; server_max_window_bits=9"], "stands there twice"),
    "a value where none is": (ANY, ["permessage-deflate; server_no_context_takeover=true"], "takes no value"),
    "a value of ours where none is": (ANY, ["permessage-deflate; client_no_context_takeover=1"], "takes no value"),
    "no bits": (ANY, ["permessage-deflate; server_max_window_bits"], "must be a number from 8 to 15"),
    "no bits of ours": (ANY, ["permessage-deflate; client_max_window_bits"], "must be a number from 8 to 15"),
    **{
        f"{bits!r} bits": (ANY, [f"permessage-deflate; server_max_window_bits={bits}"], "from 8 to 15")
        for bits in ("7", "16", "08", "010", "1", "x", "115", "1_0", "+9")
    },
    "more bits than demanded": (STRICT, ["permessage-deflate; server_no_context_takeover; server_max_window_bits=13"], "from 8 to 12"),
    "more bits than we have": (
        STRICT,
        ["permessage-deflate; server_no_context_takeover; server_max_window_bits=12; client_max_window_bits=12"],
        "client_max_window_bits must be a number from 8 to 11",
    ),
    "a demand forgotten": (STRICT, ["permessage-deflate; server_max_window_bits=12"], "server_no_context_takeover was asked for"),
    "bits forgotten": (STRICT, ["permessage-deflate; server_no_context_takeover"], "server_max_window_bits was asked for"),
    **{
        f"{value!r}": (ANY, [value], "breaks its grammar")
        for value in (
            ";",
            "permessage-deflate;",
            "permessage-deflate; ;",
            "permessage-deflate client_no_context_takeover",
            "permessage-deflate; server_max_window_bits=",
            'permessage-deflate; server_max_window_bits="',
            'permessage-deflate; server_max_window_bits=""',
            'permessage-deflate; server_max_window_bits="1 0"',
            "permessage-deflate; =9",
            "permessage-deflate\x00",
            "permessage-deflate\n",
            "perméssage-deflate",
        )
    },
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused(name: str) -> None:
    offer, answer, says = REFUSED[name]
    with pytest.raises(RemoteProtocolError, match=says) as caught:
        agreed(offer, answer)
    assert "RFC " in str(caught.value)


def test_a_long_answer_is_told_in_short() -> None:
    with pytest.raises(RemoteProtocolError) as caught:
        agreed(Deflate(), ["x" * 100_000])
    assert len(str(caught.value)) < 400
    assert "100000 characters" in str(caught.value)


def test_a_long_answer_is_read_in_no_time() -> None:
    for answer in ("a" + " " * 200_000, "," * 200_000, "permessage-deflate" + ";a" * 100_000, 'permessage-deflate;a="' + "b" * 200_000):
        with pytest.raises(RemoteProtocolError):
            agreed(Deflate(), [answer + "é"])


@pytest.mark.parametrize(
    ("options", "error", "says"),
    [
        ({"server_max_window_bits": 7}, ValueError, "server_max_window_bits=7.*at least 8"),
        ({"client_max_window_bits": 16}, ValueError, "client_max_window_bits=16.*at most 15"),
        ({"client_max_window_bits": True}, TypeError, "client_max_window_bits"),
        ({"server_no_context_takeover": 1}, TypeError, "server_no_context_takeover=.*True or False"),
        ({"level": 10}, ValueError, "level=10"),
        ({"level": -1}, ValueError, "level=-1"),
        ({"min_size": -1}, ValueError, "min_size=-1"),
        ({"min_size": 1.5}, TypeError, "min_size"),
    ],
)
def test_wrong_options(options: dict[str, Any], error: type[Exception], says: str) -> None:
    with pytest.raises(error, match=says):
        Deflate(**options)


# --- the websockets library, run side by side


@pytest.fixture(scope="module")
def theirs() -> Any:
    return needed_module("websockets.extensions.permessage_deflate", "websockets")


NAMES = ["server_no_context_takeover", "client_no_context_takeover", "server_max_window_bits", "client_max_window_bits", "x"]
PARAMETERS = st.lists(
    st.tuples(st.sampled_from(NAMES), st.none() | st.sampled_from(["8", "9", "10", "12", "15", "16", "09", "x"])), max_size=4
)
OFFERS = st.builds(
    Deflate, st.booleans(), st.booleans(), st.sampled_from([8, 10, 12, 15]), st.sampled_from([9, 10, 12, 15])
)  # their client offers no window of 8 bits


@settings(max_examples=800, deadline=None)
@given(offer=OFFERS, parameters=PARAMETERS)
def test_they_agree_to_the_same(theirs: Any, offer: Deflate, parameters: list[tuple[str, str | None]]) -> None:
    factory = theirs.ClientPerMessageDeflateFactory(
        offer.server_no_context_takeover,
        offer.client_no_context_takeover,
        offer.server_max_window_bits if offer.server_max_window_bits < 15 else None,
        offer.client_max_window_bits if offer.client_max_window_bits < 15 else True,
    )
    answer = "; ".join(["permessage-deflate", *(name if value is None else f"{name}={value}" for name, value in parameters)])
    if ("client_max_window_bits", "8") in parameters:
        return  # they can't compress with so small a window
    try:
        extension = factory.process_response_params(parameters, [])
        wanted: tuple[object, ...] | None = (
            extension.remote_no_context_takeover,
            extension.local_no_context_takeover,
            extension.remote_max_window_bits,
            extension.local_max_window_bits,
        )
    except needed_module("websockets.exceptions", "websockets").NegotiationError:
        wanted = None
    try:
        terms = agreed(offer, [answer])
    except RemoteProtocolError:
        assert wanted is None
        return
    assert terms is not None
    ours = (
        terms.server_no_context_takeover,
        terms.client_no_context_takeover,
        terms.server_max_window_bits,
        terms.client_max_window_bits,
    )
    assert ours == wanted
