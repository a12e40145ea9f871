"""What WebSocket servers send, right and wrong, as it stands on the wire, and what a client makes of it: of RFC 6455 and RFC 7692.

Knows nothing of aioreq. test_websocket_server.py holds another client to it, so that the tables aren't what we only believe.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable
from dataclasses import dataclass, field

from websocket_server import (
    BINARY,
    CLOSE,
    CONTINUATION,
    PING,
    PONG,
    TEXT,
    Peer,
    accept_of,
    closing,
    fragments,
    frame,
    refusal,
    switching,
)

# -- right


@dataclass(frozen=True)
class Right:
    """What a server may send, and the messages, and the payloads of pongs, that it becomes."""

    wire: bytes
    messages: list[str | bytes] = field(default_factory=list)
    pongs: list[bytes] = field(default_factory=list)
    compressed: bool = False


def from_hex(text: str) -> bytes:
    return bytes.fromhex(text)


KAPPA = "κόσμε 🜁 ﷽"  # of two, of four and of three bytes
NUMBERS = bytes(range(256))

RIGHT = {
    # Section 5.7, as they are written out there.
    "a text": Right(from_hex("81 05 48 65 6c 6c 6f"), ["Hello"]),
    "a text in two fragments": Right(from_hex("01 03 48 65 6c  80 02 6c 6f"), ["Hello"]),
    "a ping": Right(from_hex("89 05 48 65 6c 6c 6f"), [], [b"Hello"]),
    "256 bytes": Right(from_hex("82 7E 0100") + NUMBERS, [NUMBERS]),
    "64 KiB": Right(from_hex("82 7F 0000000000010000") + NUMBERS * 256, [NUMBERS * 256]),
    # RFC 7692 section 7.2.3, likewise.
    "a compressed text": Right(from_hex("c1 07 f2 48 cd c9 c9 07 00"), ["Hello"], compressed=True),
    "a compressed text in two fragments": Right(from_hex("41 03 f2 48 cd  80 04 c9 c9 07 00"), ["Hello"], compressed=True),
    "a shared window": Right(from_hex("c1 07 f2 48 cd c9 c9 07 00  c1 05 f2 00 11 00 00"), ["Hello", "Hello"], compressed=True),
    "a block that isn't compressed": Right(from_hex("c1 0b 00 05 00 fa ff 48 65 6c 6c 6f 00"), ["Hello"], compressed=True),
    "a last block": Right(from_hex("c1 08 f3 48 cd c9 c9 07 00 00"), ["Hello"], compressed=True),
    "two blocks": Right(from_hex("c1 0d f2 48 05 00 00 00 ff ff ca c9 c9 07 00"), ["Hello"], compressed=True),
    "a last block, and messages behind it": Right(
        from_hex("c1 08 f3 48 cd c9 c9 07 00 00  c1 07 f2 48 cd c9 c9 07 00  c1 08 f3 48 cd c9 c9 07 00 00"), ["Hello"] * 3, compressed=True
    ),
    "an empty compressed text": Right(from_hex("c1 01 00"), [""], compressed=True),
    "a compressed message in fragments, some of them empty": Right(
        fragments(BINARY, [b"", from_hex("f2"), b"", from_hex("48 cd c9 c9 07"), b"", b"\x00", b""], rsv=4), [b"Hello"], compressed=True
    ),
    "one compressed and one not": Right(from_hex("c1 07 f2 48 cd c9 c9 07 00  81 05 48 65 6c 6c 6f"), ["Hello"] * 2, compressed=True),
    "control frames are never compressed": Right(
        from_hex("41 03 f2 48 cd  89 02 68 69  80 04 c9 c9 07 00"), ["Hello"], [b"hi"], compressed=True
    ),
    # Lengths where the next form begins.
    **{f"{size} bytes": Right(frame(BINARY, bytes(size)), [bytes(size)]) for size in (0, 1, 125, 126, 127, 65_535, 65_537)},
    "an empty text": Right(frame(TEXT), [""]),
    # Section 5.4.
    "empty fragments alone": Right(fragments(TEXT, [b"", b"", b""]), [""]),
    "empty fragments around": Right(fragments(BINARY, [b"", b"a", b"", b"b", b""]), [b"ab"]),
    "control frames amid a message": Right(
        frame(TEXT, b"a", fin=False)
        + frame(PING, b"1")
        + frame(PONG, b"unasked")
        + frame(CONTINUATION, b"b", fin=False)
        + frame(PING, b"2")
        + frame(CONTINUATION, b"c"),
        ["abc"],
        [b"1", b"2"],
    ),
    "a character in fragments": Right(fragments(TEXT, [KAPPA.encode()[at : at + 1] for at in range(len(KAPPA.encode()))]), [KAPPA]),
    "the ends of Unicode": Right(frame(TEXT, "\0\ud7ff\ue000\ufffe\uffff\U0010ffff".encode()), ["\0\ud7ff\ue000\ufffe\uffff\U0010ffff"]),
    "bytes that are no text": Right(frame(BINARY, b"\xff\xc0\x80\xed\xa0\x80"), [b"\xff\xc0\x80\xed\xa0\x80"]),
    # Section 5.5.
    "an empty ping": Right(frame(PING), [], [b""]),
    "a ping of 125 bytes": Right(frame(PING, bytes(125)), [], [bytes(125)]),
    "a pong that nobody asked for": Right(frame(PONG, b"\xff") + frame(TEXT, b"x"), ["x"]),
    "messages one behind the other": Right(b"".join([frame(TEXT, b"%d" % n) for n in range(300)]), [str(n) for n in range(300)]),
}

# Closes that a server may send (sections 5.5.1 and 7.4, and the registry of RFC 6455 section 11.7), and what they say.
RIGHT_CLOSES = {
    "without a code": (frame(CLOSE), 1005, ""),
    **{str(code): (closing(code), code, "") for code in (*range(1000, 1004), *range(1007, 1015), 3000, 3999, 4000, 4999)},
    "a reason": (closing(1000, KAPPA), 1000, KAPPA),
    "a reason of 123 bytes": (closing(1011, "r" * 123), 1011, "r" * 123),
}

# -- wrong


@dataclass(frozen=True)
class Wrong:
    """What a server must not send, and the code with which the connection is failed (section 7.4.1)."""

    wire: bytes
    code: int = 1002
    words: str = ""  # what the error's message names
    compressed: bool = False


MASK = from_hex("37 fa 21 3d")


def _frames() -> dict[str, Wrong]:
    found: dict[str, Wrong] = {}
    # Section 5.1: a server doesn't mask.
    found["a masked text"] = Wrong(from_hex("81 85 37 fa 21 3d 7f 9f 4d 51 58"), words="mask")  # section 5.7
    for name, opcode in {"binary": BINARY, "ping": PING, "pong": PONG}.items():
        found[f"a masked {name}"] = Wrong(frame(opcode, b"x", mask=MASK), words="mask")
    found["a masked close"] = Wrong(frame(CLOSE, b"\x03\xe8", mask=MASK), words="mask")
    found["a masked text without a byte"] = Wrong(frame(TEXT, mask=MASK), words="mask")
    found["a masked fragment"] = Wrong(frame(TEXT, b"x", fin=False) + frame(CONTINUATION, b"x", mask=MASK), words="mask")
    found["a mask of zeros"] = Wrong(frame(TEXT, b"x", mask=bytes(4)), words="mask")
    # Section 5.2: reserved bits and opcodes.
    for rsv in range(1, 8):
        found[f"reserved bits {rsv:03b}"] = Wrong(frame(TEXT, b"x", rsv=rsv), words="reserved|RSV")
    for rsv in (1, 2, 4):
        found[f"reserved bits {rsv:03b} of a ping"] = Wrong(frame(PING, rsv=rsv), words="reserved|RSV")
        found[f"reserved bits {rsv:03b} of a fragment"] = Wrong(
            frame(TEXT, b"x", fin=False) + frame(CONTINUATION, b"x", rsv=rsv), words="reserved|RSV"
        )
    found["reserved bits of a close"] = Wrong(frame(CLOSE, b"\x03\xe8", rsv=4), words="reserved|RSV")
    for opcode in (3, 4, 5, 6, 7, 11, 12, 13, 14, 15):
        found[f"opcode {opcode}"] = Wrong(frame(opcode, b"x"), words="opcode")
        found[f"opcode {opcode} of no byte"] = Wrong(frame(opcode), words="opcode")
    found["opcode 3 amid a message"] = Wrong(frame(TEXT, b"x", fin=False) + frame(3, b"x"), words="opcode")
    # Section 5.5: control frames.
    for name, opcode in {"ping": PING, "pong": PONG, "close": CLOSE}.items():
        found[f"a fragmented {name}"] = Wrong(frame(opcode, b"", fin=False), words="fragment|FIN")
        found[f"a {name} of 126 bytes"] = Wrong(frame(opcode, b"\x03\xe8" + b"x" * 124), words="125")
        found[f"a {name} of 65536 bytes"] = Wrong(frame(opcode, b"\x03\xe8" + b"x" * 65_534), words="125")
        found[f"a {name} of five bytes, their number in 16 bits"] = Wrong(frame(opcode, b"\x03\xe8abc", bits=16), words="125|minimal|short")
    # Section 5.4: fragments.
    found["a continuation of nothing"] = Wrong(frame(CONTINUATION, b"x"), words="continu")
    found["a continuation of nothing, to be continued"] = Wrong(frame(CONTINUATION, b"x", fin=False), words="continu")
    found["a continuation behind the last"] = Wrong(fragments(TEXT, [b"a", b"b"]) + frame(CONTINUATION, b"c"), words="continu")
    for first, second in ((TEXT, TEXT), (TEXT, BINARY), (BINARY, TEXT), (BINARY, BINARY)):
        for fin in (True, False):
            found[f"opcode {second} within a message of {first}{', to be continued' if not fin else ''}"] = Wrong(
                frame(first, b"x", fin=False) + frame(second, b"x", fin=fin), words="fragment|message"
            )
    # Section 5.2: lengths.
    for size, bits in ((0, 16), (5, 16), (125, 16), (0, 64), (5, 64), (126, 64), (65_535, 64)):
        found[f"a length of {size} in {bits} bits"] = Wrong(frame(BINARY, bytes(size), bits=bits), words="minimal|length")
    for length in (1 << 63, (1 << 63) + 5, (1 << 64) - 1):
        found[f"a length of {length}"] = Wrong(frame(BINARY, b"x", bits=64, declared=length), words="length|bit")
    # Sections 5.5.1 and 7.4.
    found["a close of one byte"] = Wrong(frame(CLOSE, b"\x03"), words="close")
    for code in (0, 1, 999, 1004, 1005, 1006, 1015, 1016, 1100, 1999, 2000, 2999, 5000, 5001, 65_535):
        found[f"a close with {code}"] = Wrong(closing(code), words=f"{code}")
        found[f"a close with {code} and a reason"] = Wrong(closing(code, "because"), words=f"{code}")
    return found


# Section 8.1, and RFC 3629 section 3: what is no UTF-8, whole.
NO_TEXT = {
    "a byte that never comes": b"\xff",
    "a continuation byte alone": b"a\x80b",
    "overlong, two bytes": b"\xc0\x80",
    "overlong, three bytes": b"\xe0\x80\xaf",
    "overlong, four bytes": b"\xf0\x80\x80\xaf",
    "a surrogate": b"\xed\xa0\x80",
    "a pair of surrogates": b"\xed\xa0\xbd\xed\xb8\x80",
    "beyond Unicode": b"\xf4\x90\x80\x80",
    "five bytes": b"\xf8\x88\x80\x80\x80",
    "the first of two bytes": b"a\xc3",
    "the first two of three bytes": b"\xe2\x82",
    "the first three of four bytes": b"\xf0\x9f\x98",
    "half a character, and another": b"\xe2\x82\xe2\x82\xac",
}


def _texts() -> dict[str, Wrong]:
    found: dict[str, Wrong] = {}
    for name, data in NO_TEXT.items():
        found[f"{name}"] = Wrong(frame(TEXT, data), 1007, "UTF-8")
        found[f"{name}, behind a right one"] = Wrong(frame(TEXT, KAPPA.encode() + data), 1007, "UTF-8")
        found[f"{name}, in fragments"] = Wrong(fragments(TEXT, [data[at : at + 1] for at in range(len(data))]), 1007, "UTF-8")
        found[f"{name}, in a fragment behind a ping"] = Wrong(
            frame(TEXT, KAPPA.encode(), fin=False) + frame(PING) + frame(CONTINUATION, data), 1007, "UTF-8"
        )
        found[f"{name}, in the reason of a close"] = Wrong(closing(1000, data), 1007, "UTF-8")
    found["an empty last fragment behind half a character"] = Wrong(fragments(TEXT, [b"\xe2\x82", b""]), 1007, "UTF-8")
    return found


def deflated(data: bytes) -> bytes:
    deflater = zlib.compressobj(wbits=-15)
    return (deflater.compress(data) + deflater.flush(zlib.Z_SYNC_FLUSH)).removesuffix(b"\x00\x00\xff\xff")


def _compressed() -> dict[str, Wrong]:
    """RFC 7692 sections 6 and 7."""
    found = {
        "RSV1 of a fragment that isn't the first": Wrong(from_hex("41 03 f2 48 cd  c0 04 c9 c9 07 00"), words="RSV1|reserved"),
        "RSV1 of a fragment of what isn't compressed": Wrong(from_hex("01 03 48 65 6c  c0 02 6c 6f"), words="RSV1|reserved"),
        "RSV1 of a ping": Wrong(from_hex("c9 05 48 65 6c 6c 6f"), words="RSV1|reserved"),
        "RSV1 of a close": Wrong(from_hex("c8 02 03 e8"), words="RSV1|reserved"),
        "RSV2 besides RSV1": Wrong(from_hex("e1 07 f2 48 cd c9 c9 07 00"), words="reserved|RSV"),
        "RSV3 besides RSV1": Wrong(from_hex("d1 07 f2 48 cd c9 c9 07 00"), words="reserved|RSV"),
        "a block of the reserved kind": Wrong(frame(TEXT, b"\x06", rsv=4), 1007, "deflate|decompress"),
        "lengths of a stored block that don't match": Wrong(
            frame(TEXT, from_hex("00 05 00 00 00 48 65 6c 6c 6f 00"), rsv=4), 1007, "deflate"
        ),
        "a reference back before the beginning": Wrong(frame(TEXT, from_hex("f2 00 11 00 00"), rsv=4), 1007, "deflate|decompress"),
        "bytes of chance": Wrong(frame(BINARY, NUMBERS[::-1], rsv=4), 1007, "deflate|decompress"),
        "bad UTF-8 behind compression": Wrong(frame(TEXT, deflated(b"abc\xff"), rsv=4), 1007, "UTF-8"),
        "half a character behind compression": Wrong(frame(TEXT, deflated(b"\xe2\x82"), rsv=4), 1007, "UTF-8"),
    }
    return {name: Wrong(one.wire, one.code, one.words, compressed=True) for name, one in found.items()}


WRONG = _frames() | _texts() | _compressed()

# -- the handshake


@dataclass(frozen=True)
class Answer:
    """To a handshake, right or wrong."""

    of: Callable[[Peer], bytes]
    words: str = ""
    subprotocols: tuple[str, ...] = ()
    compression: bool = False
    refused: bool = False  # an answer of another kind, rather than a wrong one


def _extended(value: str) -> Callable[[Peer], bytes]:
    return lambda peer: switching(peer, [("Sec-WebSocket-Extensions", value)])


def _spoken(*values: str) -> Callable[[Peer], bytes]:
    return lambda peer: switching(peer, [("Sec-WebSocket-Protocol", value) for value in values])


RIGHT_ANSWERS = {
    "any case": Answer(lambda peer: switching(peer, upgrade=["WebSocket"], connection=["UPGRADE"])),
    "among other options": Answer(lambda peer: switching(peer, connection=["keep-alive, Upgrade"])),
    "in two fields": Answer(lambda peer: switching(peer, connection=["keep-alive", "upgrade"])),
    "another reason": Answer(lambda peer: switching(peer, line="HTTP/1.1 101 Web Socket Protocol Handshake")),
    "no reason": Answer(lambda peer: switching(peer, line="HTTP/1.1 101 ")),
    "behind early hints": Answer(lambda peer: b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" + switching(peer)),
    "behind a 100": Answer(lambda peer: b"HTTP/1.1 100 Continue\r\n\r\n" + switching(peer)),
    "none of the subprotocols": Answer(switching, subprotocols=("chat", "superchat")),
    "one of the subprotocols": Answer(_spoken("superchat"), subprotocols=("chat", "superchat")),
    "compression offered and not taken": Answer(switching, compression=True),
    "compression": Answer(_extended("permessage-deflate"), compression=True),
    "compression with all its parameters": Answer(
        _extended("permessage-deflate;server_no_context_takeover ; client_no_context_takeover;server_max_window_bits=9"), compression=True
    ),
    "a quoted parameter": Answer(_extended('permessage-deflate; server_max_window_bits="10"'), compression=True),
}

WRONG_ANSWERS = {
    # Section 4.1, on what the client checks; in the order of the list there.
    "no Upgrade": Answer(lambda peer: switching(peer, upgrade=[]), "Upgrade"),
    "another Upgrade": Answer(lambda peer: switching(peer, upgrade=["h2c"]), "Upgrade"),
    "an Upgrade to two": Answer(lambda peer: switching(peer, upgrade=["websocket, h2c"]), "Upgrade"),
    "two Upgrades": Answer(lambda peer: switching(peer, upgrade=["websocket", "websocket"]), "Upgrade"),
    "an Upgrade with a version": Answer(lambda peer: switching(peer, upgrade=["websocket/13"]), "Upgrade"),
    "an empty Upgrade": Answer(lambda peer: switching(peer, upgrade=[""]), "Upgrade"),
    "no Connection": Answer(lambda peer: switching(peer, connection=[]), "Connection"),
    "another Connection": Answer(lambda peer: switching(peer, connection=["keep-alive"]), "Connection"),
    "a Connection alike": Answer(lambda peer: switching(peer, connection=["Upgraded"]), "Connection"),
    "no Sec-WebSocket-Accept": Answer(lambda peer: switching(peer, accept=[]), "Sec-WebSocket-Accept"),
    "two of them": Answer(lambda peer: switching(peer, accept=[accept_of(peer.key)] * 2), "Sec-WebSocket-Accept"),
    "a right and a wrong one": Answer(lambda peer: switching(peer, accept=[accept_of(peer.key), "x"]), "Sec-WebSocket-Accept"),
    "an empty one": Answer(lambda peer: switching(peer, accept=[""]), "Sec-WebSocket-Accept"),
    "one of another key": Answer(lambda peer: switching(peer, accept=["s3pPLMBiTxaQ9kYGzzhZRbK+xOo="]), "Sec-WebSocket-Accept"),
    "the key itself": Answer(lambda peer: switching(peer, accept=[peer.key]), "Sec-WebSocket-Accept"),
    "one in another case": Answer(lambda peer: switching(peer, accept=[accept_of(peer.key).swapcase()]), "Sec-WebSocket-Accept"),
    "one with more behind it": Answer(lambda peer: switching(peer, accept=[accept_of(peer.key) + "=="]), "Sec-WebSocket-Accept"),
    "an extension that nobody asked for": Answer(_extended("permessage-deflate"), "permessage-deflate"),
    "another extension than was offered": Answer(_extended("x-webkit-deflate-frame"), "x-webkit-deflate-frame", compression=True),
    "one more extension than was offered": Answer(_extended("permessage-deflate, x-more"), "x-more", compression=True),
    "compression twice": Answer(_extended("permessage-deflate, permessage-deflate"), "permessage-deflate", compression=True),
    "a subprotocol that nobody asked for": Answer(_spoken("chat"), "chat"),
    "another subprotocol": Answer(_spoken("other"), "other", subprotocols=("chat", "superchat")),
    "two subprotocols": Answer(_spoken("chat, superchat"), "chat", subprotocols=("chat", "superchat")),
    "two fields of subprotocols": Answer(_spoken("chat", "superchat"), "chat", subprotocols=("chat", "superchat")),
    "a subprotocol in another case": Answer(_spoken("Chat"), "Chat", subprotocols=("chat", "superchat")),
    # RFC 7692 sections 7.1.
    **{
        f"permessage-deflate; {parameters}": Answer(_extended(f"permessage-deflate; {parameters}"), "permessage-deflate", compression=True)
        for parameters in (
            "unknown",
            "server_no_context_takeover=1",
            "client_no_context_takeover=true",
            "server_no_context_takeover; server_no_context_takeover",
            "server_max_window_bits",
            "server_max_window_bits=7",
            "server_max_window_bits=16",
            "server_max_window_bits=08",
            "server_max_window_bits=+9",
            "server_max_window_bits=x",
            "server_max_window_bits=10; server_max_window_bits=10",
            "client_max_window_bits",
            "client_max_window_bits=7",
            "client_max_window_bits=16",
            "client_max_window_bits=010",
        )
    },
    # RFC 9110 section 15.2 and RFC 9112 section 2.5: no 1xx of HTTP/1.0.
    "a 101 of HTTP/1.0": Answer(lambda peer: switching(peer, line="HTTP/1.0 101 Switching Protocols"), "1.0|101"),
    "another protocol": Answer(lambda peer: b"SSH-2.0-OpenSSH_9.6\r\n", "status line|HTTP"),
}

REFUSALS = {
    "200": refusal("200 OK", b"hello"),
    "204": b"HTTP/1.1 204 No Content\r\n\r\n",
    "400": refusal("400 Bad Request", b"why"),
    "401": refusal("401 Unauthorized", b"who", ("WWW-Authenticate", 'Basic realm="here"')),
    "403": refusal("403 Forbidden"),
    "404": refusal("404 Not Found", b"x" * 1000),
    "426": refusal("426 Upgrade Required", b"", ("Sec-WebSocket-Version", "8, 7")),
    "503": refusal("503 Service Unavailable", b"later"),
}
