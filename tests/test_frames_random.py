"""WebSocket frames at random: round trips, garbage, any cuts, and the websockets library on the same bytes."""

from __future__ import annotations

from typing import Any, NamedTuple

import pytest
from frame_wires import CLOSE, CONTINUATION, PING, PONG, TEXT, Event, control, judge, message, read_sent, served
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from peers import needed_module
from wires import load_twin, pieces

from aioreq import _masking_py as pure
from aioreq.errors import RemoteProtocolError
from aioreq.websocket.frames import close_payload, frame, parse_close

pytestmark = pytest.mark.no_loop

CAP = 300  # bytes of a message: some here have more

PAYLOADS = st.one_of(
    st.binary(max_size=12),
    st.sampled_from([b"x" * size for size in (124, 125, 126, 127, CAP - 1, CAP, CAP + 1)]),
    st.sampled_from([b"\x03\xe8", b"\x03\xe8bye", b"\x03\xed", b"\x03", b"\x0f\xa0\xff"]),
)


class Put(NamedTuple):
    """A frame, right or wrong, as a server might send it."""

    opcode: int
    payload: bytes
    fin: bool = True
    rsv: int = 0
    key: bytes = b""
    form: int = 0

    @property
    def wire(self) -> bytes:
        return served(self.opcode, self.payload, fin=self.fin, rsv=self.rsv, key=self.key, form=self.form)

    @property
    def longer_than_needed(self) -> bool:
        return self.form > (7 if len(self.payload) < 126 else 16)  # no payload here needs 64 bits


def any_frame(opcodes: st.SearchStrategy[int], fins: st.SearchStrategy[bool]) -> st.SearchStrategy[Put]:
    def put(opcode: int, payload: bytes, fin: bool, rsv: int, key: bytes, form: int) -> Put:
        return Put(opcode, payload, fin, rsv, key, 0 if form == 7 and len(payload) > 125 else form)

    odd_bits = st.sampled_from([0] * 30 + [1, 2, 4])
    odd_keys = st.sampled_from([b""] * 30 + [b"abcd"])
    odd_forms = st.sampled_from([0] * 30 + [7, 16, 64])
    return st.builds(put, opcodes, PAYLOADS, fins, odd_bits, odd_keys, odd_forms)


LIKELY = any_frame(st.sampled_from([0, 0, 1, 2, PING, PONG, CLOSE]), st.sampled_from([True, True, False]))
UNLIKELY = any_frame(st.integers(0, 15), st.booleans())


@st.composite
def mostly_right(draw: st.DrawFn) -> list[Put]:
    """Frames that follow the rules, but for the last one now and then."""
    frames: list[Put] = []
    going = False
    for _ in range(draw(st.integers(0, 6))):
        if draw(st.integers(0, 3)) == 0:
            frames.append(Put(draw(st.sampled_from([PING, PONG])), draw(st.binary(max_size=125))))
        else:
            opcode = CONTINUATION if going else draw(st.sampled_from([1, 2]))
            going = not draw(st.booleans())
            frames.append(Put(opcode, draw(st.binary(max_size=60)), fin=not going))
    return frames + draw(st.lists(LIKELY | UNLIKELY, max_size=2))


FRAMES = st.one_of(mostly_right(), mostly_right(), st.lists(LIKELY, max_size=6), st.lists(UNLIKELY, max_size=3))
WIRES = st.one_of(
    st.binary(max_size=40),
    FRAMES.map(lambda frames: b"".join(put.wire for put in frames)),
    st.tuples(FRAMES.map(lambda frames: b"".join(put.wire for put in frames)), st.binary(max_size=20)).map(b"".join),
)


@settings(max_examples=1500, deadline=None)
@given(wire=WIRES, compressed=st.booleans(), limit=st.sampled_from([None, 0, 5, CAP, CAP]), data=st.data())
def test_one_verdict_and_documented_errors_only(wire: bytes, compressed: bool, limit: int | None, data: st.DataObject) -> None:
    wanted = judge(wire, max_message=limit, compressed=compressed)
    assert wanted.error is None or wanted.error[0] in ("RemoteProtocolError", "LimitExceeded")
    if wanted.error is not None:
        assert wanted.error[2:] == (("max_message", 1009) if wanted.error[0] == "LimitExceeded" else ("", 1002))
    cuts = sorted(data.draw(st.lists(st.integers(0, len(wire)), max_size=8)))
    assert judge(wire, cuts, max_message=limit, compressed=compressed) == wanted
    assert judge(wire, range(1, len(wire)), max_message=limit, compressed=compressed) == wanted


@settings(max_examples=500, deadline=None)
@given(
    payload=st.binary(max_size=70) | st.integers(100, 70_000).map(bytes),
    opcode=st.sampled_from([0, 1, 2]),
    fin=st.booleans(),
    rsv=st.booleans(),
)
def test_what_is_sent_is_what_is_read(payload: bytes, opcode: int, fin: bool, rsv: bool) -> None:
    [sent] = read_sent(frame(opcode, payload, fin, rsv))
    assert (sent.opcode, sent.payload, sent.fin, sent.rsv) == (opcode, payload, fin, 4 * rsv)


@settings(max_examples=500, deadline=None)
@given(data=st.binary(max_size=90), key=st.binary(min_size=4, max_size=4), head=st.binary(max_size=10), start=st.integers(0, 9))
def test_masking_is_one(data: bytes, key: bytes, head: bytes, start: int) -> None:
    compiled = load_twin("compiled")
    given = memoryview(data)[start:]
    made = compiled.masked(head, key, given)
    assert made == pure.masked(head, key, given)
    assert pure.masked(b"", key, made[len(head) + 4 :])[4:] == given


@settings(max_examples=500, deadline=None)
@given(code=st.integers(0, 65535) | st.sampled_from([1000, 1001, 3000]), reason=st.text(max_size=70))
def test_a_close_comes_back(code: int, reason: str) -> None:
    try:
        payload = close_payload(code, reason)
    except ValueError:
        return
    assert parse_close(payload) == (code, reason)


@settings(max_examples=500, deadline=None)
@given(payload=st.binary(max_size=125) | st.binary(max_size=30).map(b"\x03\xe8".__add__))
def test_any_close_is_read_or_refused(payload: bytes) -> None:
    try:
        code, reason = parse_close(payload)
    except RemoteProtocolError as error:
        fault = error.close_code
    else:
        assert close_payload(code, reason) == payload
        return
    assert fault in (1002, 1007)


# --- the websockets library, run side by side


@pytest.fixture(scope="module")
def protocol() -> Any:
    return needed_module("websockets.protocol", "websockets")


@pytest.fixture(scope="module")
def their_frames() -> Any:
    return needed_module("websockets.frames", "websockets")


def they_read(protocol: Any, wire: bytes, limit: int, *, server: bool = False) -> tuple[list[Any], Any]:
    """The frames that a peer made with the websockets library gets of a wire, and its error."""
    peer = protocol.Protocol(protocol.Side.SERVER if server else protocol.Side.CLIENT, state=protocol.State.OPEN, max_size=limit)
    peer.logger.disabled = True
    for piece in pieces(wire, range(100, len(wire), 100)):
        peer.receive_data(piece)
    return peer.events_received(), peer.parser_exc


def folded(frames: list[Any]) -> list[Event]:
    """Their frames as our recorder would tell of them."""
    events: list[Event] = []
    kind = 0
    for one in frames:
        opcode, data = int(one.opcode), bytes(one.data)
        if opcode >= CLOSE:
            events.append(control(opcode, data))
            continue
        kind = opcode or kind
        if events and events[-1][0] == "message" and not events[-1][3]:
            events[-1] = message(events[-1][2] + data, kind, one.fin)
        elif data or one.fin:
            events.append(message(data, kind, one.fin))
    return events


@settings(max_examples=1000, deadline=None)
@given(frames=FRAMES)
def test_they_read_the_same(protocol: Any, frames: list[Put]) -> None:
    """Whole frames, so that neither waits for more of a faulty one. Where the two may differ is written down here."""
    assume(not any(put.longer_than_needed for put in frames))  # they take any form of a length; section 5.2: the shortest must be used
    wire = b"".join(put.wire for put in frames)
    ours = judge(wire, max_message=CAP)
    error, events = ours.error, list(ours.events)
    for at, event in enumerate(events):
        if event[:2] == ("control", CLOSE):
            try:
                parse_close(event[2])
            except RemoteProtocolError as fault:
                error, events = ("RemoteProtocolError", str(fault), "", fault.close_code), events[:at]
                break
    their_events, their_error = they_read(protocol, wire, CAP)
    if their_error is not None and "incomplete fragmented message" in str(their_error):
        return  # they refuse a close in the middle of a message, which section 5.4 allows as for any control frame
    if type(their_error).__name__ == "PayloadTooBig" and error is None:
        assert any(put.opcode >= CLOSE for put in frames)
        return  # they count a control frame amid a message as a part of it
    assert (error is None) == (their_error is None), (error, their_error)
    theirs = folded(their_events)
    if error is None:
        assert events == theirs
    else:
        # They tell of a frame when it was whole and right, we of its pieces before.
        assert events[: len(theirs)] == theirs or events[: len(theirs) - 1] == theirs[:-1]


@settings(max_examples=300, deadline=None)
@given(frames=st.lists(st.tuples(st.sampled_from([1, 2, PING, PONG]), st.binary(max_size=200)), max_size=5), cut=st.booleans())
def test_they_read_what_we_send(protocol: Any, frames: list[tuple[int, bytes]], cut: bool) -> None:
    wire, wanted = b"", []
    for opcode, payload in frames:
        if opcode >= CLOSE:
            wire += frame(opcode, payload[:125])
            wanted.append(control(opcode, payload[:125]))
        elif cut:
            half = len(payload) // 2
            wire += frame(opcode, payload[:half], fin=False) + frame(CONTINUATION, payload[half:])
            wanted.append(message(payload, opcode))
        else:
            wire += frame(opcode, payload)
            wanted.append(message(payload, opcode))
    wire += frame(CLOSE, close_payload(1000, "bye"))
    read, error = they_read(protocol, wire, 1 << 20, server=True)
    assert error is None
    assert folded(read) == [*wanted, control(CLOSE, b"\x03\xe8bye")]


@settings(max_examples=300, deadline=None)
@given(
    frames=st.lists(
        st.tuples(st.sampled_from([1, 2, PING, PONG]), st.binary(max_size=125) | st.integers(0, 70_000).map(bytes)), max_size=4
    ),
    data=st.data(),
)
def test_we_read_what_they_send(their_frames: Any, frames: list[tuple[int, bytes]], data: st.DataObject) -> None:
    wire, wanted = b"", []
    for opcode, payload in frames:
        payload = payload[:125] if opcode >= CLOSE else payload
        wire += their_frames.Frame(their_frames.Opcode(opcode), payload).serialize(mask=False)
        wanted.append(control(opcode, payload) if opcode >= CLOSE else message(payload, opcode))
    cuts = sorted(data.draw(st.lists(st.integers(0, len(wire)), max_size=4)))
    assert judge(wire, cuts).events == wanted


def test_they_know_the_same_close_codes(their_frames: Any) -> None:
    for code in range(5100):
        try:
            parse_close(code.to_bytes(2, "big"))
            ours = True
        except RemoteProtocolError:
            ours = False
        theirs = code in {int(known) for known in their_frames.EXTERNAL_CLOSE_CODES} or 3000 <= code < 5000
        assert ours == theirs, code


def test_they_mask_the_same() -> None:
    utils = needed_module("websockets.utils", "websockets")
    key = b"\x01\x80\xfe\x5a"
    for size in (*range(20), 125, 1024, 65537):
        payload = bytes(range(256)) * (size // 256 + 1)
        assert pure.masked(b"", key, payload[:size])[4:] == utils.apply_mask(payload[:size], key)
        assert read_sent(frame(TEXT, payload[:size]))[0].payload == payload[:size]
