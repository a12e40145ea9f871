"""What RFC 9112 says about a response, decided once for both parsers: how its body is delimited, whether the connection goes on,
which bytes may stand where, and the words in which a fault is told.

Knows no buffer, no state and no receiver. `_parser.pyx` includes this file as source text, so that both twins run these very
lines: plain Python, nothing that Cython reads otherwise.
"""

from collections.abc import Iterable

from .errors import LimitExceeded, RemoteProtocolError

# RFC 9110 section 5.6.2, tchar.
TOKEN = frozenset(b"!#$%&'*+-.^_`|~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz")
# RFC 9110 section 5.5 and RFC 9112 section 4: HTAB, SP, VCHAR, obs-text. Never CR, LF, NUL or another control byte.
TEXT = frozenset({0x09, *range(0x20, 0x7F), *range(0x80, 0x100)})

# Both stay inside 63 bits, and no real message comes near: 10**18 - 1 and 16**15 - 1 bytes.
MAX_LENGTH_DIGITS = 18
MAX_SIZE_DIGITS = 15

VERSIONS = ("1.0", "1.1")  # by minor version

# How a message goes on behind its head.
INFORMATIONAL = 0  # another head follows
EMPTY = 1  # no body
UPGRADED = 2  # the message ends, and with it HTTP
SIZED = 3  # so many bytes
CHUNKED = 4
UNTIL_CLOSE = 5  # whatever comes until the connection ends


def decide(
    method: str,
    status: int,
    minor: int,
    lengths: list[bytes],
    codings: list[bytes],
    connection: list[bytes],
) -> tuple[int, int | None, bool]:
    """How the body is delimited, its declared length, and whether the connection may carry another exchange.

    `lengths`, `codings` and `connection` are the values of all Content-Length, Transfer-Encoding and Connection fields, in order.
    """
    # RFC 9112 section 6.3, rule 2 (and 9110 section 9.3.6): what a 2xx to CONNECT says about framing is ignored.
    if method == "CONNECT" and 200 <= status < 300:
        return UPGRADED, None, False
    # Faulty framing is refused even where there is no body: whoever sent it may have meant another response than we read.
    length = declared_length(lengths) if lengths else None
    if codings:
        check_codings(codings, minor)
        length = None  # rule 3: Transfer-Encoding overrides
    # RFC 9110 section 15.2.2: behind a 101 another protocol is spoken.
    if status == 101:
        return UPGRADED, None, False
    if status < 200:
        return INFORMATIONAL, None, False
    # RFC 9112 section 6.1: a message with both may be an attempt at smuggling; the connection is closed behind it.
    keep_alive = persistent(minor, connection) and not (lengths and codings)
    # Section 6.3, rule 1: no body, whatever the fields say.
    if method == "HEAD" or status == 204 or status == 304:
        return EMPTY, length, keep_alive
    if codings:
        return CHUNKED, None, keep_alive
    if length is not None:
        return SIZED, length, keep_alive
    # Rule 8: only the end of the connection ends it.
    return UNTIL_CLOSE, None, False


def declared_length(values: list[bytes]) -> int:
    """The one Content-Length (RFC 9110 section 8.6): digits only; `5, 5` and two fields are refused even where they agree."""
    if len(values) > 1:
        raise RemoteProtocolError(f"{len(values)} Content-Length fields: only one is allowed, even if they agree (RFC 9112 section 6.3)")
    value = values[0]
    if not value.isdigit():
        raise RemoteProtocolError(f"Content-Length must be decimal digits and nothing else, not {shown(value)} (RFC 9110 section 8.6)")
    if len(value) > MAX_LENGTH_DIGITS:
        raise RemoteProtocolError(f"Content-Length has {len(value)} digits; no more than {MAX_LENGTH_DIGITS} are believed")
    return int(value)


def check_codings(values: list[bytes], minor: int) -> None:
    """Transfer-Encoding (RFC 9112 section 6.1) must be one `chunked`, and can't be said in HTTP/1.0."""
    if len(values) > 1 or values[0].lower() != b"chunked":
        raise RemoteProtocolError(f"Transfer-Encoding must be 'chunked' alone, not {shown(b', '.join(values))}: no other was asked for")
    if minor == 0:
        raise RemoteProtocolError("Transfer-Encoding in an HTTP/1.0 response: its framing is faulty (RFC 9112 section 6.1)")


def persistent(minor: int, connection: list[bytes]) -> bool:
    """RFC 9112 section 9.3: `close` wins; HTTP/1.1 stays open by default, HTTP/1.0 when it says `keep-alive`."""
    if not connection:
        return minor == 1
    said = b",".join(connection).lower()
    if said == b"keep-alive":  # nearly always, and much the cheapest
        return True
    options = [option.strip(b" \t") for option in said.split(b",")]
    if b"close" in options:
        return False
    return minor == 1 or b"keep-alive" in options


# --- faults: what was wrong, where, and the rule. Only single bytes and copied, shortened values are ever shown. ---

_LIMITS = {
    "head": "the status line and header section are longer than {} bytes",
    "headers": "more than {} fields in one section",
    "field": "the name or the value of a header field is longer than {} bytes",
    "trailers": "the trailer section is longer than {} bytes",
    "chunk_extensions": "the chunk extensions of one body are longer than {} bytes",
    "informational": "more than {} informational (1xx) responses before the final one",
}


def limit_exceeded(limit: str, cap: int) -> LimitExceeded:
    return LimitExceeded(f"{_LIMITS[limit].format(cap)}; raise it with Limits({limit}=...)", limit=limit)


def check_lengths(fields: Iterable[tuple[bytes, bytes]], cap: int) -> None:
    """Raise LimitExceeded where a name or a value is longer than that: asked of a head that is long enough to have such a one."""
    for name, value in fields:
        if len(name) > cap or len(value) > cap:
            raise limit_exceeded("field", cap)


def shown(value: bytes) -> str:
    text = repr(value[:40])[1:]
    return text if len(value) <= 40 else f"{text}... ({len(value)} bytes)"


def shown_byte(byte: int) -> str:
    if byte == 0x0A:
        return "a bare LF (lines end with CRLF)"
    return f"{chr(byte)!r}" if 0x20 < byte < 0x7F else f"byte 0x{byte:02X}"


def bad_status_line(at: int, byte: int) -> RemoteProtocolError:
    """`at` is the position in `HTTP/1.1 200 `: 13 bytes, of which the last may be missing."""
    if at < 7:
        wanted = "the response must begin with 'HTTP/1.'"
    elif at == 7:
        wanted = "the version must be HTTP/1.0 or HTTP/1.1"
    elif at == 8:
        wanted = "a space must follow the version"
    elif at < 12:
        wanted = "the status code must be three digits, 100 to 599"
    else:
        wanted = "a space or CRLF must follow the status code"
    return RemoteProtocolError(f"status line, position {at}: {wanted}, not {shown_byte(byte)} (RFC 9112 section 4)")


def bad_reason(byte: int) -> RemoteProtocolError:
    return RemoteProtocolError(f"status line: {shown_byte(byte)} in the reason phrase (RFC 9112 section 4)")


def bad_line_start(line: str, byte: int) -> RemoteProtocolError:
    """`line` says which one: "field line 3"."""
    if byte == 0x20 or byte == 0x09:
        return RemoteProtocolError(f"{line} begins with whitespace: folded lines are refused (RFC 9112 section 5.2)")
    return RemoteProtocolError(f"{line}: a name can't begin with {shown_byte(byte)} (RFC 9110 section 5.1)")


def bad_name(line: str, byte: int) -> RemoteProtocolError:
    if byte == 0x20 or byte == 0x09:
        return RemoteProtocolError(f"{line}: whitespace in the name or before the colon (RFC 9112 section 5.1)")
    return RemoteProtocolError(f"{line}: {shown_byte(byte)} in the name (RFC 9110 section 5.1)")


def bad_value(line: str, name: bytes, byte: int) -> RemoteProtocolError:
    return RemoteProtocolError(f"{line}: {shown_byte(byte)} in the value of {shown(name)} (RFC 9110 section 5.5)")


def bad_line_end(where: str, byte: int) -> RemoteProtocolError:
    return RemoteProtocolError(f"{where}: a bare CR (lines end with CRLF), followed by {shown_byte(byte)} (RFC 9112 section 2.2)")


def bad_chunk_size(byte: int) -> RemoteProtocolError:
    return RemoteProtocolError(f"chunk size: {shown_byte(byte)} where hexadecimal digits, ';' or CRLF must stand (RFC 9112 section 7.1)")


def chunk_size_overflow() -> RemoteProtocolError:
    return RemoteProtocolError(f"chunk size: more than {MAX_SIZE_DIGITS} hexadecimal digits")


def bad_chunk_extension(byte: int) -> RemoteProtocolError:
    return RemoteProtocolError(f"chunk extension: {shown_byte(byte)} (RFC 9112 section 7.1.1)")


def bad_chunk_end(byte: int) -> RemoteProtocolError:
    return RemoteProtocolError(f"chunk data: CRLF must follow the announced bytes, not {shown_byte(byte)} (RFC 9112 section 7.1)")


def refused() -> RemoteProtocolError:
    return RemoteProtocolError("nothing more is parsed on this connection: an earlier error, or its end, was already met")
