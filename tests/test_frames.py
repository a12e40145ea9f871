"""WebSocket frames, the RFC's cases written out (RFC 6455 sections 5.2 to 5.7, 7.4, 8.1): whole, byte by byte and at every split."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Callable
from typing import Any

import pytest
from frame_wires import (
    BINARY,
    CLOSE,
    CONTINUATION,
    PING,
    PONG,
    TEXT,
    Event,
    Recorder,
    Verdict,
    control,
    judge,
    message,
    read_sent,
    served,
)
from wires import TWINS, every_split, load_twin

import aioreq.websocket.frames
from aioreq.errors import LimitExceeded, RemoteProtocolError
from aioreq.parser import IMPLEMENTATION
from aioreq.websocket.frames import FrameParser, close_payload, frame, parse_close

pytestmark = pytest.mark.no_loop

HELLO = b"Hello"

# --- what is right: a wire, and what it says

VALID: dict[str, tuple[bytes, list[Event]]] = {
    # section 5.7, the frames that a server may send
    "an unmasked text message": (bytes.fromhex("81 05 48 65 6c 6c 6f"), [message(HELLO)]),
    "a fragmented unmasked text message": (bytes.fromhex("01 03 48 65 6c 80 02 6c 6f"), [message(HELLO)]),
    "an unmasked ping": (bytes.fromhex("89 05 48 65 6c 6c 6f"), [control(PING, HELLO)]),
    "256 bytes of binary": (bytes.fromhex("82 7E 0100") + bytes(range(256)), [message(bytes(range(256)), BINARY)]),
    # section 5.2, the three forms of a length at their edges
    "nothing": (served(TEXT), [message(b"")]),
    "one byte": (served(BINARY, b"\0"), [message(b"\0", BINARY)]),
    "125 bytes": (served(TEXT, b"x" * 125), [message(b"x" * 125)]),
    "126 bytes": (served(TEXT, b"x" * 126), [message(b"x" * 126)]),
    # section 5.4
    "fragments, each empty": (served(TEXT, fin=False) + served(CONTINUATION, fin=False) + served(CONTINUATION), [message(b"")]),
    "fragments, some empty": (
        served(BINARY, fin=False) + served(CONTINUATION, b"ab", fin=False) + served(CONTINUATION, fin=False) + served(CONTINUATION),
        [message(b"ab", BINARY)],
    ),
    "two messages in fragments": (
        served(TEXT, b"a", fin=False) + served(CONTINUATION, b"b") + served(BINARY, b"c", fin=False) + served(CONTINUATION, b"d"),
        [message(b"ab"), message(b"cd", BINARY)],
    ),
    "control frames between fragments": (
        served(TEXT, b"He", fin=False) + served(PING, b"1") + served(PONG) + served(CONTINUATION, b"llo") + served(PING),
        [message(b"He", last=False), control(PING, b"1"), control(PONG), message(b"llo"), control(PING)],
    ),
    "a character cut by fragments": (
        served(TEXT, b"\xe2\x82", fin=False) + served(CONTINUATION, b"\xac"),
        [message("\u20ac".encode())],
    ),
    "messages one after another": (
        served(TEXT, b"a") + served(BINARY, b"bc" * 80) + served(TEXT, b"d" * 9),
        [message(b"a"), message(b"bc" * 80, BINARY), message(b"d" * 9)],
    ),
    "a message that never ends": (served(TEXT, b"ab", fin=False), [message(b"ab", last=False)]),
    # section 5.5
    "control frames of 125 bytes": (
        served(PING, bytes(125)) + served(PONG, b"y" * 125),
        [control(PING, bytes(125)), control(PONG, b"y" * 125)],
    ),
    "an empty close": (served(CLOSE), [control(CLOSE)]),
    "a close with code and reason": (served(CLOSE, b"\x03\xe8bye"), [control(CLOSE, b"\x03\xe8bye")]),
    "a close in the middle of a message": (
        served(TEXT, b"a", fin=False) + served(CLOSE, b"\x03\xe9"),
        [message(b"a", last=False), control(CLOSE, b"\x03\xe9")],
    ),
    # section 1.4: what follows a close is discarded, be it wrong
    "a message behind a close": (served(CLOSE) + served(TEXT, b"too late"), [control(CLOSE)]),
    "garbage behind a close": (served(CLOSE, b"\x03\xe8") + b"\xff" * 20, [control(CLOSE, b"\x03\xe8")]),
}


@pytest.mark.parametrize("name", VALID)
def test_valid(name: str) -> None:
    wire, events = VALID[name]
    for cuts in every_split(wire):
        assert judge(wire, cuts) == Verdict(events), cuts


# The last two are lengths of which the last two bytes would do for a header.
@pytest.mark.parametrize("size", [4092, 4096, 4097, 65535, 65536, 100_000, 0x8105, 0x1_8105])
def test_large_messages(size: int) -> None:
    payload = os.urandom(size)
    wire = served(TEXT, b"before") + served(BINARY, payload) + served(TEXT, b"behind")
    assert len(served(BINARY, payload)) - size == (4 if size < 65536 else 10)  # section 5.7: 64 KiB have a length of 64 bits
    wanted = Verdict([message(b"before"), message(payload, BINARY), message(b"behind")])
    for step in (1 if size < 5000 else 61, 4096, 65536, len(wire)):
        assert judge(wire, range(step, len(wire), step)) == wanted, step
    for cut in (*range(1, 30), *range(len(wire) - 20, len(wire))):
        assert judge(wire, [cut]) == wanted, cut


@pytest.mark.parametrize("kind", [TEXT, BINARY])
def test_compressed_messages(kind: int) -> None:
    """RFC 7692 section 6: RSV1 on the first frame says it of the whole message; others may come uncompressed."""
    wire = served(kind, b"abcd", rsv=4) + served(kind, b"ab", rsv=4, fin=False) + served(PING) + served(CONTINUATION, b"c")
    wire += served(kind, b"plain") + served(kind, rsv=4)
    events = [
        message(b"abcd", kind, compressed=True),
        message(b"ab", kind, last=False, compressed=True),
        control(PING),
        message(b"c", kind, compressed=True),
        message(b"plain", kind),
        message(b"", kind, compressed=True),
    ]
    for cuts in every_split(wire):
        assert judge(wire, cuts, compressed=True) == Verdict(events), cuts


# --- what is wrong: a wire that is so at its last byte, at none before, and what the error says

GOING_ON = served(TEXT, b"a", fin=False)

INVALID: dict[str, tuple[bytes, str]] = {
    # section 5.2
    "RSV1 without an extension": (b"\xc1", "RSV1 set, but no compression was agreed"),
    "RSV2": (b"\xa1", r"reserved bit \(RSV2\)"),
    "RSV3": (b"\x91", r"reserved bit \(RSV3\)"),
    "RSV2 and RSV3 on a ping": (b"\xb9", r"a ping frame with a reserved bit \(RSV2\)"),
    **{f"opcode {opcode:#x}": (bytes([0x80 | opcode]), f"opcode {opcode:#x} is reserved") for opcode in (*range(3, 8), *range(11, 16))},
    "125 bytes in 16 bits": (b"\x81\x7e\x00\x7d", "length, 125, isn't in its shortest form"),
    "no byte in 16 bits": (b"\x82\x7e\x00\x00", "length, 0, isn't in its shortest form"),
    "65535 bytes in 64 bits": (b"\x82\x7f\x00\x00\x00\x00\x00\x00\xff\xff", "length, 65535, isn't in its shortest form"),
    "5 bytes in 64 bits, of a fragment": (GOING_ON + b"\x80\x7f" + bytes(7) + b"\x05", "a continuation frame whose length, 5,"),
    "a length of 2 ** 63": (b"\x82\x7f\x80" + bytes(7), "most significant bit"),
    "a length of 2 ** 64 - 1": (b"\x82\x7f" + b"\xff" * 8, "most significant bit"),
    # section 5.1
    "a masked message": (b"\x81\x85", "a masked text frame from a server"),
    "a masked message of 16 bits": (b"\x82\xfe", "a masked binary frame"),
    "a masked close": (b"\x88\x80", "a masked close frame"),
    "a masked fragment": (GOING_ON + b"\x80\x81", "a masked continuation frame"),
    # section 5.4
    "nothing to continue": (b"\x80", "no message to go on with"),
    "nothing to continue, in fragments": (b"\x00", "no message to go on with"),
    "nothing to continue any more": (GOING_ON + served(CONTINUATION) + b"\x80", "no message to go on with"),
    "nothing to continue behind a whole message": (served(TEXT, b"abc") + b"\x80", "no message to go on with"),
    "a text in the middle of another": (GOING_ON + b"\x81", "a text frame in the middle of a fragmented message"),
    "a binary in the middle of a text": (GOING_ON + served(PING) + b"\x02", "a binary frame in the middle of a fragmented message"),
    # section 5.5
    "a ping of 126 bytes": (b"\x89\x7e", "a ping frame of more than 125 bytes"),
    "a close of 64 bits": (b"\x88\x7f", "a close frame of more than 125 bytes"),
    "a ping in fragments": (b"\x09", "a ping frame in fragments"),
    "a pong in fragments": (GOING_ON + b"\x0a", "a pong frame in fragments"),
    "a close in fragments": (b"\x08", "a close frame in fragments"),
}


@pytest.mark.parametrize("name", INVALID)
def test_invalid(name: str) -> None:
    wire, says = INVALID[name]
    before = judge(wire[:-1])
    assert before.error is None, "wrong before its last byte"
    wanted = judge(wire)
    assert wanted.error is not None
    assert wanted.error[0] == "RemoteProtocolError"
    assert wanted.error[3] == 1002
    assert wanted.events == before.events
    with pytest.raises(RemoteProtocolError, match=says):
        FrameParser(Recorder(), None, False).feed(wire)
    # Whatever follows, and however it comes.
    for behind in (b"", b"\x00" * 12, served(TEXT, b"abc")):
        for cuts in every_split(wire + behind):
            assert judge(wire + behind, cuts) == wanted, cuts
    behind = bytes(70_000)  # as if it were a payload
    for some in ([], [1], [len(wire)], [len(wire) + 1], [*range(1000, 70_000, 1000)]):
        assert judge(wire + behind, some) == wanted, some


@pytest.mark.parametrize(
    "wire",
    [GOING_ON + b"\xc0", b"\xc9", b"\xc8", b"\xca", served(TEXT, b"a", rsv=4, fin=False) + b"\xc0", b"\xe1", b"\xd2", b"\xc3"],
    ids=lambda wire: wire.hex(),
)
def test_invalid_with_compression(wire: bytes) -> None:
    """RFC 7692 section 6.1: on continuations and control frames RSV1 stays forbidden, and the others everywhere."""
    assert judge(wire[:-1], compressed=True).error is None
    wanted = judge(wire, compressed=True)
    assert wanted.error is not None
    assert wanted.error[0] == "RemoteProtocolError"
    for cuts in every_split(wire):
        assert judge(wire, cuts, compressed=True) == wanted


# --- the bound of a message


@pytest.mark.parametrize("limit", [0, 1, 5, 125, 126, 300])
def test_the_longest_message(limit: int) -> None:
    fits = served(BINARY, bytes(limit))
    beyond = served(BINARY, bytes(limit + 1))
    head = beyond[: -limit - 1]
    for cuts in every_split(fits):
        assert judge(fits, cuts, max_message=limit) == Verdict([message(bytes(limit), BINARY)])
    # The header is enough, and not a byte less.
    refused = judge(head, max_message=limit)
    assert refused.events == []
    assert refused.error is not None
    assert refused.error[0] == "LimitExceeded"
    assert refused.error[2:] == ("max_message", 1009)
    assert f"more than {limit} bytes" in refused.error[1]
    assert "max_message=" in refused.error[1]
    assert judge(head[:-1], max_message=limit).error is None
    for cuts in every_split(beyond):
        assert judge(beyond, cuts, max_message=limit) == refused


def test_the_longest_message_in_fragments() -> None:
    parts = [served(TEXT, b"abc", fin=False), served(CONTINUATION, b"de", fin=False), served(PING, b"x" * 50)]
    fits = b"".join([*parts, served(CONTINUATION, b"f"), served(TEXT, b"ghijkl")])
    beyond = b"".join([*parts, b"\x80\x02"])
    for cuts in every_split(fits):
        verdict = judge(fits, cuts, max_message=6)
        assert verdict.error is None
        assert verdict.events[-1] == message(b"ghijkl")
    for cuts in every_split(beyond):
        verdict = judge(beyond, cuts, max_message=6)
        assert verdict.error is not None
        assert verdict.error[2] == "max_message"


def test_a_length_is_believed_but_nothing_is_reserved_for_it() -> None:
    huge = b"\x82\x7f" + (2**63 - 1).to_bytes(8, "big")
    assert judge(huge + b"abc", max_message=None) == Verdict([message(b"abc", BINARY, last=False)])
    refused = judge(huge)
    assert refused.error is not None
    assert refused.error[0] == "LimitExceeded"


def test_a_limit_beyond_any_length() -> None:
    wire = served(TEXT, HELLO) + served(BINARY, HELLO, fin=False) + served(CONTINUATION, HELLO)
    assert judge(wire, max_message=10**30) == judge(wire, max_message=None) == Verdict([message(HELLO), message(HELLO * 2, BINARY)])


def test_a_compressed_message_may_be_a_little_longer() -> None:
    """Nobody has seen what is in it: stored blocks and flushes cost bytes, and the decompressor counts those that come out."""
    assert judge(served(TEXT, bytes(17_000), rsv=4), max_message=16_000, compressed=True).error is None
    refused = judge(served(TEXT, bytes(20_000), rsv=4), max_message=16_000, compressed=True)
    assert refused.error is not None
    assert "more than 16000 bytes" in refused.error[1]
    plain = judge(served(TEXT, bytes(16_001)), max_message=16_000, compressed=True)
    assert plain.error is not None


# --- how a parser is used


def test_only_the_first_bytes_of_a_buffer_are_read() -> None:
    wire = served(TEXT, b"abcdef") + served(PING)
    for make in (bytes, bytearray, lambda data: memoryview(bytes(data)), lambda data: memoryview(bytearray(data))):
        for size in range(len(wire) + 1):
            parser = FrameParser(recorder := Recorder(), None, False)
            parser.feed(make(wire + b"\xff" * 9), size)
            parser.hand_on()
            assert recorder.events == judge(wire[:size]).events
            parser.feed(make(wire[size:]))
            assert recorder.events == judge(wire).events


def test_what_is_handed_on_is_a_copy() -> None:
    buffer = bytearray(served(TEXT, b"a" * 100) + served(BINARY, b"b" * 5000) + served(PING, b"c") + b"\x81")
    parser = FrameParser(recorder := Recorder(), None, False)
    parser.feed(buffer)
    buffer[:] = b"\0" * len(buffer)
    buffer.clear()  # nothing holds on to it
    parser.feed(b"\x00")
    assert recorder.events == [message(b"a" * 100), message(b"b" * 5000, BINARY), control(PING, b"c"), message(b"")]


def test_nothing_holds_on_to_the_buffer_behind_an_error() -> None:
    buffer = bytearray(served(BINARY, b"b" * 5000, fin=False) + b"\xff")
    with pytest.raises(RemoteProtocolError) as caught:
        FrameParser(Recorder(), None, False).feed(buffer)
    buffer.clear()
    del caught


@pytest.mark.parametrize("wire", [b"\x91", b"\x81\x85", served(PING) + b"\x83", b"\x82\x7f\xff" + bytes(7)], ids=lambda wire: wire.hex())
def test_a_broken_parser_stays_broken(wire: bytes) -> None:
    parser = FrameParser(recorder := Recorder(), None, False)
    with pytest.raises(RemoteProtocolError):
        parser.feed(wire)
    before = list(recorder.events)
    for more in (served(TEXT, b"fine"), b"", wire):
        with pytest.raises(RemoteProtocolError, match="earlier error"):
            parser.feed(more)
    assert recorder.events == before


@pytest.mark.parametrize(
    "wire", [served(TEXT, b"abc"), served(TEXT, b"abc", fin=False), served(PING), served(CLOSE)], ids=lambda w: w.hex()
)
def test_an_error_of_a_callback_comes_out_and_breaks_the_parser(wire: bytes) -> None:
    class Failing:
        def on_piece(self, *event: object) -> None:
            raise OSError("no room")

        on_control = on_piece

    for step in (1, len(wire)):
        parser = FrameParser(Failing(), None, False)
        with pytest.raises(OSError, match="no room"):
            for at in range(0, len(wire), step):
                parser.feed(wire[at : at + step])
        with pytest.raises(RemoteProtocolError, match="earlier error"):
            parser.feed(served(TEXT, b"x"))


@pytest.mark.parametrize("wire", [served(TEXT, b"abc"), served(TEXT, b"a" * 5000), served(PING)], ids=["short", "long", "control"])
def test_feeding_from_inside_a_callback_is_an_error(wire: bytes) -> None:
    class Impatient:
        parser: FrameParser

        def on_piece(self, *event: object) -> None:
            self.parser.feed(b"\x81\x00")

        on_control = on_piece

    receiver = Impatient()
    receiver.parser = FrameParser(receiver, None, False)
    with pytest.raises(RuntimeError, match="inside a callback"):
        receiver.parser.feed(wire)


def test_a_closed_parser_ignores_what_comes() -> None:
    parser = FrameParser(recorder := Recorder(), None, False)
    parser.feed(served(CLOSE))
    for more in (b"", b"\xff", served(CLOSE), served(TEXT, b"x")):
        parser.feed(more)
    assert recorder.events == [control(CLOSE)]


def test_every_fault_names_its_section() -> None:
    for wire, _ in INVALID.values():
        error = judge(wire).error
        assert error is not None
        assert error[1].startswith("WebSocket: ")
        assert "(RFC 6455 section 5." in error[1]


# --- what is sent


@pytest.fixture(params=TWINS)
def masked(request: pytest.FixtureRequest) -> Callable[[bytes, bytes, Any], bytes]:
    if request.param == "compiled":
        masked: Callable[[bytes, bytes, Any], bytes] = load_twin("compiled").masked
    else:
        from aioreq._masking_py import masked
    return masked


def test_masking_by_the_book(masked: Callable[[bytes, bytes, Any], bytes]) -> None:
    """Section 5.3, and the masked frames of section 5.7."""
    key = bytes.fromhex("37 fa 21 3d")
    assert masked(b"\x81\x85", key, HELLO) == bytes.fromhex("81 85 37 fa 21 3d 7f 9f 4d 51 58")
    assert masked(b"\x8a\x85", key, HELLO) == bytes.fromhex("8a 85 37 fa 21 3d 7f 9f 4d 51 58")


@pytest.mark.parametrize("size", [*range(34), 125, 126, 1000, 4096, 65535, 65536, 65537, 65543, 131_072, 200_001])
def test_masking_at_every_size(masked: Callable[[bytes, bytes, Any], bytes], size: int) -> None:
    payload, key = os.urandom(size), os.urandom(4)
    wanted = b"head" + key + bytes(byte ^ key[at % 4] for at, byte in enumerate(payload))
    for given in (payload, bytearray(payload), memoryview(payload), memoryview(b"ab" + payload + b"c")[2:-1]):
        made = masked(b"head", key, given)
        assert type(made) is bytes
        assert made == wanted
    assert masked(b"", bytes(4), payload) == bytes(4) + payload


def test_masking_misused(masked: Callable[[bytes, bytes, Any], bytes]) -> None:
    for key in (b"", b"abc", b"abcde"):
        with pytest.raises(ValueError, match="4 bytes"):
            masked(b"", key, b"x")
    for payload in ("text", None, 5):
        with pytest.raises(TypeError):
            masked(b"", b"abcd", payload)


@pytest.mark.parametrize("opcode", [CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG])
@pytest.mark.parametrize(("size", "form"), [(0, 7), (1, 7), (125, 7), (126, 16), (65535, 16), (65536, 64), (70_000, 64)])
def test_a_frame_that_is_sent(opcode: int, size: int, form: int) -> None:
    payload = os.urandom(size)
    if opcode >= CLOSE and size > 125:
        with pytest.raises(ValueError, match=f"125 bytes at most, not {size}"):
            frame(opcode, payload)
        return
    for given in (payload, bytearray(payload), memoryview(payload)):
        [sent] = read_sent(frame(opcode, given))
        assert (sent.opcode, sent.payload, sent.fin, sent.rsv, sent.form) == (opcode, payload, True, 0, form)


def test_the_bits_of_a_frame_that_is_sent() -> None:
    wire = frame(TEXT, b"a", fin=False, compressed=True) + frame(CONTINUATION, b"b", fin=False) + frame(CONTINUATION, b"c")
    assert [(sent.opcode, sent.fin, sent.rsv) for sent in read_sent(wire)] == [(1, False, 4), (0, False, 0), (0, True, 0)]


def test_each_frame_has_a_key_of_its_own() -> None:
    """Section 10.3: fresh for each frame, from a strong source. 5000 draws of 32 bits agree by chance thrice in a thousand runs."""
    keys = [read_sent(frame(PING, b""))[0].key for _ in range(5000)]
    assert len(set(keys)) >= len(keys) - 1
    assert {byte for key in keys for byte in key} == set(range(256))


def test_threads_share_no_keys() -> None:
    keys: list[bytes] = []

    def draw() -> None:
        keys.extend(frame(PING, b"")[2:6] for _ in range(2000))

    threads = [threading.Thread(target=draw) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(keys)) >= len(keys) - 2


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
def test_a_forked_process_has_keys_of_its_own() -> None:
    script = """
import os
from aioreq.websocket.frames import frame
frame(9, b"")
keys = lambda: {frame(9, b"")[2:6] for _ in range(100)}
reading, writing = os.pipe()
child = os.fork()
if child == 0:
    os.write(writing, b"".join(keys()))
    os._exit(0)
os.waitpid(child, 0)
theirs = os.read(reading, 4096)
print(len(keys() & {theirs[at:at + 4] for at in range(0, len(theirs), 4)}))
"""
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "0"


def test_the_switch_between_the_twins() -> None:
    script = "import aioreq.websocket.frames; print(aioreq.websocket.frames.framed.__module__)"
    for choice, wanted in (("off", "aioreq._frames_py"), ("auto", None)):
        environment = os.environ | {"AIOREQ_EXTENSIONS": choice}
        ran = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=True)
        assert ran.stdout.strip() in ((wanted,) if wanted else ("aioreq._parser", "aioreq._frames_py"))
    framed = vars(aioreq.websocket.frames)["framed"]
    assert framed.__module__ == ("aioreq._frames_py" if IMPLEMENTATION == "pure" else "aioreq._parser")


# --- the close frame

# Section 7.4.1, with 1012 to 1014 of IANA's registry; section 7.4.2: for libraries and for whoever agrees on one.
ON_THE_WIRE = {1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014, *range(3000, 5000)}


def test_every_close_code() -> None:
    read, made = set(), set()
    for code in range(65536):
        try:
            assert parse_close(code.to_bytes(2, "big") + b"why") == (code, "why")
            read.add(code)
        except RemoteProtocolError:
            pass
        try:
            assert close_payload(code, "why") == code.to_bytes(2, "big") + b"why"
            made.add(code)
        except ValueError:
            pass
    assert read == made == ON_THE_WIRE


@pytest.mark.parametrize("code", [0, 999, 1004, 1005, 1006, 1015, 1016, 2999, 5000, 65535])
def test_a_close_code_that_is_never_on_the_wire(code: int) -> None:
    with pytest.raises(RemoteProtocolError, match=f"close code {code}, .*section 7.4") as caught:
        parse_close(code.to_bytes(2, "big"))
    assert caught.value.close_code == 1002
    with pytest.raises(ValueError, match=f"{code} can't be sent"):
        close_payload(code, "why")


def test_a_close_without_a_code() -> None:
    assert parse_close(b"") == (1005, "")
    assert close_payload(1005) == b""
    with pytest.raises(ValueError, match="1005 can't be sent"):
        close_payload(1005, "but why")


def test_a_close_of_one_byte() -> None:
    with pytest.raises(RemoteProtocolError, match="a close frame of one byte") as caught:
        parse_close(b"\x03")
    assert caught.value.close_code == 1002


@pytest.mark.parametrize("reason", ["", "bye", "κόσμε", "\U0010ffff", "\ufeff", "\0", "x" * 123, "ü" * 61])
def test_reasons(reason: str) -> None:
    payload = close_payload(1000, reason)
    assert payload == b"\x03\xe8" + reason.encode()
    assert parse_close(payload) == (1000, reason)
    assert len(read_sent(frame(CLOSE, payload))[0].payload) <= 125


@pytest.mark.parametrize("reason", ["x" * 124, "ü" * 62])
def test_a_reason_that_is_too_long(reason: str) -> None:
    with pytest.raises(ValueError, match="123 bytes of UTF-8 at most, not 124"):
        close_payload(1000, reason)


@pytest.mark.parametrize(
    "reason",
    [
        b"\x80",  # a continuation byte alone
        b"\xc0\xaf",  # overlong
        b"\xe0\x80\xaf",
        b"\xed\xa0\x80",  # a surrogate
        b"\xf4\x90\x80\x80",  # beyond U+10FFFF
        b"\xf8\x88\x80\x80\x80",  # five bytes
        b"\xce\xba\xe1\xbd\xb9\xcf",  # cut short
        b"fine until \xff",
    ],
    ids=lambda reason: reason.hex(),
)
def test_a_reason_that_is_no_utf_8(reason: bytes) -> None:
    """Section 8.1: 1007."""
    with pytest.raises(RemoteProtocolError, match="no UTF-8") as caught:
        parse_close(b"\x03\xe8" + reason)
    assert caught.value.close_code == 1007
    assert caught.value.__cause__ is None


def test_the_errors_are_those_of_the_tree() -> None:
    assert LimitExceeded.close_code is RemoteProtocolError.close_code is None  # what has nothing to do with WebSocket
