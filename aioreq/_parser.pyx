# cython: language_level=3
"""The response parser, compiled: the same classes, paragraphs, order and names as `_parser_py.py`, which is the reference.

The contract is in `parser.py`, the decisions in `framing.py`, which is included here as source text. `at` and `end` point into the
buffer that was fed: no byte at `end` or behind is read, and no pointer outlives the call. Knows no socket, loop or URL.
"""

from cpython.buffer cimport PyBUF_SIMPLE, PyBuffer_Release, PyObject_GetBuffer
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.object cimport PyObject
from libc.stdint cimport int64_t, uint64_t
from libc.string cimport memcmp, memcpy

cdef extern from "Python.h":
    # Cython's own declarations speak of objects; these are for one that isn't finished yet.
    PyObject* new_bytes "PyBytes_FromStringAndSize"(const char*, Py_ssize_t) except NULL
    char* content "PyBytes_AS_STRING"(PyObject*)
    Py_ssize_t size_of "PyBytes_GET_SIZE"(PyObject*)
    int resize "_PyBytes_Resize"(PyObject**, Py_ssize_t) except -1
    void forget "Py_CLEAR"(PyObject*)

# framing's outcomes, held as C integers
cdef int INFORMATIONAL, EMPTY, UPGRADED, SIZED, CHUNKED, UNTIL_CLOSE

include "framing.py"

__all__ = ["ChunkedDecoder", "ResponseParser", "find"]

ctypedef unsigned char byte_t

cdef enum:
    CR = 0x0D
    LF = 0x0A
    HTAB = 0x09
    SP = 0x20
    COLON = 0x3A
    SEMICOLON = 0x3B

    IS_TOKEN = 1
    IS_TEXT = 2
    NOT_HEX = 0xFF

    # framing's, as C constants; checked below
    SIZE_DIGITS = 15

cdef const char* PREFIX = "HTTP/1."
cdef Py_ssize_t UNBOUNDED = (<size_t>-1) >> 2
cdef byte_t[256] KIND
cdef byte_t[256] HEX


cdef int _fill_tables() except -1:
    cdef int byte
    for byte in range(256):
        KIND[byte] = (IS_TOKEN if byte in TOKEN else 0) | (IS_TEXT if byte in TEXT else 0)
        HEX[byte] = NOT_HEX
    for byte in b"0123456789abcdefABCDEF":
        HEX[byte] = int(chr(byte), 16)
    if MAX_SIZE_DIGITS != SIZE_DIGITS:
        raise ImportError("framing.MAX_SIZE_DIGITS and _parser.SIZE_DIGITS differ")
    return 0


_fill_tables()


# Names that most responses carry, as they are mostly spelled: found by their bytes, they cost no allocation. What falls on a taken slot
# is left out; any name that isn't here is merely copied.
COMMON_NAMES = b"""
    Accept-Ranges Access-Control-Allow-Credentials Access-Control-Allow-Headers Access-Control-Allow-Methods Access-Control-Allow-Origin
    Access-Control-Expose-Headers Access-Control-Max-Age Age Allow Alt-Svc CF-Cache-Status CF-RAY Cache-Control Connection
    Content-Disposition Content-Encoding Content-Language Content-Length Content-Location Content-Range Content-Security-Policy
    Content-Type Date ETag Expires Keep-Alive Last-Modified Link Location NEL Permissions-Policy Pragma Referrer-Policy Report-To
    Retry-After Server Server-Timing Set-Cookie Strict-Transport-Security Transfer-Encoding Vary Via WWW-Authenticate X-Cache
    X-Content-Type-Options X-Frame-Options X-Powered-By X-RateLimit-Limit X-RateLimit-Remaining X-RateLimit-Reset X-Request-Id
    X-XSS-Protection
""".split()
cdef PyObject* KNOWN[512]


cdef inline int slot(const byte_t* name, Py_ssize_t length) noexcept:
    return (length * 13 + name[0] * 19 + name[length - 1]) & 511


cdef int _fill_names() except -1:
    cdef bytes name
    cdef int place
    COMMON_NAMES.extend([name.lower() for name in COMMON_NAMES])  # kept alive by the list
    for name in COMMON_NAMES:
        place = slot(<const byte_t*> PyBytes_AS_STRING(name), PyBytes_GET_SIZE(name))
        if KNOWN[place] == NULL:
            KNOWN[place] = <PyObject*> name
    return 0


_fill_names()


cdef inline bytes field_name(const byte_t* name, Py_ssize_t length):
    """`length` is 1 or more."""
    cdef PyObject* known = KNOWN[slot(name, length)]
    if known != NULL and size_of(known) == length and memcmp(content(known), name, length) == 0:
        return <bytes> known
    return PyBytes_FromStringAndSize(<const char*> name, length)


cdef inline const byte_t* skip_token(const byte_t* at, const byte_t* end) noexcept:
    while at < end and KIND[at[0]] & IS_TOKEN:
        at += 1
    return at


cdef inline const byte_t* skip_text(const byte_t* at, const byte_t* end) noexcept:
    cdef uint64_t word
    # Eight at a time while none is below 0x20 or is 0x7F (a tab is left to the loop below).
    while end - at >= 8:
        memcpy(&word, at, 8)
        if ((word - 0x2020202020202020u) & ~word | ((word ^ 0x7F7F7F7F7F7F7F7Fu) - 0x0101010101010101u) & ~(word ^ 0x7F7F7F7F7F7F7F7Fu)) & 0x8080808080808080u:
            break
        at += 8
    while at < end and KIND[at[0]] & IS_TEXT:
        at += 1
    return at


cdef inline const byte_t* skip_space(const byte_t* at, const byte_t* end) noexcept:
    while at < end and (at[0] == SP or at[0] == HTAB):
        at += 1
    return at


cdef inline Py_ssize_t bounded(cap) except -1:
    return cap if cap < UNBOUNDED else UNBOUNDED


cdef inline bint same_name(bytes key, const char* name, Py_ssize_t length) noexcept:
    """`name` is in lower case; key has `length` bytes."""
    cdef const byte_t* have = <const byte_t*> PyBytes_AS_STRING(key)
    cdef Py_ssize_t i
    cdef byte_t byte
    for i in range(length):
        byte = have[i]
        if 0x41 <= byte <= 0x5A:
            byte |= 0x20
        if byte != <byte_t> name[i]:
            return False
    return True


def find(list fields not None, bytes name not None):
    """The value of the first field called `name`, which is given in lower case; None where there is none."""
    cdef Py_ssize_t length = PyBytes_GET_SIZE(name)
    cdef tuple pair
    cdef bytes key
    for pair in fields:
        key = pair[0]
        if len(key) == length and same_name(key, PyBytes_AS_STRING(name), length):
            return pair[1]
    return None


cdef enum:
    LINE, NAME, BEFORE_VALUE, VALUE, VALUE_LF, LAST_LF, COMPLETE


cdef class _Section:
    """A header or trailer section: field lines, then an empty one (RFC 9112 section 5)."""

    cdef object cap
    cdef str kind
    cdef Py_ssize_t count_left
    cdef bytearray kept
    cdef int state
    cdef list fields
    cdef Py_ssize_t number
    cdef bytes name
    cdef bytes value

    def __cinit__(self, limits, str kind):
        self.cap = limits.headers
        self.kind = kind
        self.kept = bytearray()
        self.reset()

    cdef int reset(self) except -1:
        self.state = LINE
        self.fields = []
        self.number = 0
        self.count_left = bounded(self.cap)
        self.name = self.value = b""
        if self.kept:
            self.kept.clear()
        return 0

    cdef str line(self):
        return f"{self.kind} line {self.number}"

    cdef int keep(self, const byte_t* start, const byte_t* at) except -1:
        self.kept += (<const char*> start)[:at - start]
        return 0

    cdef bytes take(self, const byte_t* start, const byte_t* at):
        if not self.kept:
            return PyBytes_FromStringAndSize(<const char*> start, at - start)
        self.keep(start, at)
        token = bytes(self.kept)
        self.kept.clear()
        return token

    cdef const byte_t* scan(self, const byte_t* at, const byte_t* end) except NULL:
        cdef const byte_t* start
        cdef const byte_t* stop
        while at < end:
            # *( field-line CRLF ) CRLF; what begins with a space would be obs-fold (section 5.2): refused
            if self.state == LINE:
                if at[0] == CR:
                    at += 1
                    self.state = LAST_LF
                else:
                    self.number += 1
                    if not KIND[at[0]] & IS_TOKEN:
                        raise bad_line_start(self.line(), at[0])
                    if self.count_left == 0:
                        raise limit_exceeded("headers", self.cap)
                    self.count_left -= 1
                    self.state = NAME

            # field-name = token, the colon right behind it (section 5.1)
            if self.state == NAME:
                start = at
                at = skip_token(at, end)
                if at == end:
                    self.keep(start, at)
                    return at
                if at[0] != COLON:
                    raise bad_name(self.line(), at[0])
                self.name = self.take(start, at) if self.kept else field_name(start, at - start)
                at += 1
                self.state = BEFORE_VALUE

            # OWS
            if self.state == BEFORE_VALUE:
                at = skip_space(at, end)
                if at == end:
                    return at
                self.state = VALUE

            # field-value, OWS behind it cut off
            if self.state == VALUE:
                start = at
                at = skip_text(at, end)
                if at == end:
                    self.keep(start, at)
                    return at
                if at[0] != CR:
                    raise bad_value(self.line(), self.name, at[0])
                if self.kept:
                    self.value = self.take(start, at).rstrip(b" \t")
                else:
                    stop = at
                    while stop > start and (stop[-1] == SP or stop[-1] == HTAB):
                        stop -= 1
                    self.value = PyBytes_FromStringAndSize(<const char*> start, stop - start)
                at += 1
                self.state = VALUE_LF

            # CRLF
            if self.state == VALUE_LF:
                if at == end:
                    return at
                if at[0] != LF:
                    raise bad_line_end(self.line(), at[0])
                at += 1
                self.fields.append((self.name, self.value))
                self.state = LINE

            elif self.state == LAST_LF:
                if at == end:
                    return at
                if at[0] != LF:
                    raise bad_line_end("the empty line", at[0])
                self.state = COMPLETE
                return at + 1
        return at


cdef enum:
    SIZE, BEFORE_EXTENSION, EXTENSION, SIZE_LF, DATA, DATA_CR, DATA_LF, TRAILERS, CHUNKS_DONE, CHUNKS_BROKEN


cdef class ChunkedDecoder:
    """The chunked transfer coding (RFC 9112 section 7.1), without a message around it.

    `feed(data)` returns what `data` held of the body, in one piece; `done` says that the last chunk and the trailer section were
    read, `trailers` what stood there, `rest()` the bytes behind. Raises `RemoteProtocolError` or `LimitExceeded`, then takes no more.
    """

    cdef object _limits
    cdef _Section _section
    cdef bytearray _rest
    cdef int _state
    cdef int64_t _size
    cdef int _digits
    cdef bint _spaced
    cdef Py_ssize_t _extension_left
    cdef Py_ssize_t _trailers_left
    # The body bytes of this feed: one piece lies in the caller's buffer, several are joined in `_joined`.
    cdef const byte_t* _piece
    cdef Py_ssize_t _piece_size
    cdef PyObject* _joined
    cdef Py_ssize_t _joined_size

    def __cinit__(self, limits):
        self._limits = limits
        self._section = _Section(limits, "trailer")
        self._rest = bytearray()
        self._joined = NULL
        self._piece = NULL
        self._reset()

    cdef int _reset(self) except -1:
        self._state = SIZE
        self._size = self._digits = 0
        self._spaced = False
        self._extension_left = bounded(self._limits.chunk_extensions)
        self._trailers_left = bounded(self._limits.trailers) + 2  # the empty line is no trailer
        self._section.reset()
        return 0

    @property
    def done(self):
        return self._state == CHUNKS_DONE

    @property
    def trailers(self):
        return self._section.fields if self._state == CHUNKS_DONE else []

    def rest(self):
        rest = bytes(self._rest)
        self._rest.clear()
        return rest

    def feed(self, data not None):
        cdef Py_buffer view
        if self._state == CHUNKS_BROKEN:
            raise refused()
        PyObject_GetBuffer(data, &view, PyBUF_SIMPLE)
        cdef const byte_t* at = <const byte_t*> view.buf
        cdef const byte_t* end = at + view.len
        try:
            if at < end:
                at = self._scan(at, end)
            if at < end:
                self._rest += (<const char*> at)[:end - at]
            return self._take()
        except BaseException:
            self._state = CHUNKS_BROKEN
            raise
        finally:
            self._drop()
            PyBuffer_Release(&view)

    def __dealloc__(self):
        self._drop()

    cdef void _drop(self) noexcept:
        self._piece_size = self._joined_size = 0
        forget(self._joined)

    cdef int _add(self, const byte_t* at, Py_ssize_t count, const byte_t* end) except -1:
        if self._joined == NULL:
            if self._piece_size == 0:
                self._piece = at
                self._piece_size = count
                return 0
            # All that can still come in this feed: no more than was fed.
            self._joined = new_bytes(NULL, self._piece_size + (end - at))
            memcpy(content(self._joined), self._piece, self._piece_size)
            self._joined_size = self._piece_size
        memcpy(content(self._joined) + self._joined_size, at, count)
        self._joined_size += count
        return 0

    cdef bytes _take(self):
        cdef bytes body
        if self._joined == NULL:
            body = PyBytes_FromStringAndSize(<const char*> self._piece, self._piece_size) if self._piece_size else b""
        else:
            resize(&self._joined, self._joined_size)
            body = <bytes> self._joined
        self._drop()
        return body

    cdef const byte_t* _scan(self, const byte_t* at, const byte_t* end) except NULL:
        cdef const byte_t* start
        cdef const byte_t* stop
        cdef Py_ssize_t count
        while at < end:
            # chunk-size = 1*HEXDIG
            if self._state == SIZE:
                while at < end and HEX[at[0]] != NOT_HEX:
                    if self._digits == SIZE_DIGITS:
                        raise chunk_size_overflow()
                    self._size = self._size << 4 | HEX[at[0]]
                    self._digits += 1
                    at += 1
                if at == end:
                    return at
                if self._digits == 0:
                    raise bad_chunk_size(at[0])
                self._spaced = False
                self._state = BEFORE_EXTENSION

            # BWS only before ";" (section 7.1.1); all up to the CR counts as extension
            if self._state == BEFORE_EXTENSION:
                start = at
                at = skip_space(at, end)
                self._spend(at - start)
                self._spaced = self._spaced or at > start
                if at == end:
                    return at
                if at[0] == SEMICOLON:
                    self._state = EXTENSION
                elif at[0] == CR and not self._spaced:
                    at += 1
                    self._state = SIZE_LF
                else:
                    raise bad_chunk_size(at[0])

            # chunk-ext: tolerated unread
            if self._state == EXTENSION:
                start = at
                at = skip_text(at, end)
                self._spend(at - start)
                if at == end:
                    return at
                if at[0] != CR:
                    raise bad_chunk_extension(at[0])
                at += 1
                self._state = SIZE_LF

            # CRLF; the last chunk has the size 0
            if self._state == SIZE_LF:
                if at == end:
                    return at
                if at[0] != LF:
                    raise bad_line_end("chunk size", at[0])
                at += 1
                self._digits = 0
                self._state = DATA if self._size else TRAILERS

            # chunk-data
            if self._state == DATA:
                count = end - at
                if count > self._size:
                    count = <Py_ssize_t> self._size
                if count:
                    self._add(at, count, end)
                at += count
                self._size -= count
                if self._size:
                    return at
                self._state = DATA_CR

            # CRLF
            if self._state == DATA_CR:
                if at == end:
                    return at
                if at[0] != CR:
                    raise bad_chunk_end(at[0])
                at += 1
                self._state = DATA_LF

            if self._state == DATA_LF:
                if at == end:
                    return at
                if at[0] != LF:
                    raise bad_line_end("chunk data", at[0])
                at += 1
                self._state = SIZE

            # trailer-section CRLF (section 7.1.2)
            elif self._state == TRAILERS:
                stop = end if end - at <= self._trailers_left else at + self._trailers_left
                start = at
                at = self._section.scan(at, stop)
                self._trailers_left -= at - start
                if self._section.state == COMPLETE:
                    self._state = CHUNKS_DONE
                elif stop < end:
                    raise limit_exceeded("trailers", self._limits.trailers)

            elif self._state == CHUNKS_DONE:
                return at
        return at

    cdef int _spend(self, Py_ssize_t count) except -1:
        self._extension_left -= count
        if self._extension_left < 0:
            raise limit_exceeded("chunk_extensions", self._limits.chunk_extensions)
        return 0


cdef list NONE = []

cdef enum:
    IDLE, STATUS, AFTER_STATUS, REASON, STATUS_LF, FIELDS, SIZED_BODY, CHUNKED_BODY, BODY_UNTIL_CLOSE, DONE, BROKEN


cdef class ResponseParser:
    """One response after another (RFC 9112); see `parser.py` for the contract."""

    cdef object _receiver
    cdef object _limits
    cdef _Section _section
    cdef ChunkedDecoder _chunks
    cdef bytearray _rest
    cdef bint _busy
    cdef str _method
    cdef int _state
    cdef readonly bint started
    cdef readonly bint done
    cdef readonly bint keep_alive
    cdef readonly bint upgraded
    cdef readonly bint close_delimited
    cdef readonly object content_length
    cdef int64_t _left
    cdef Py_ssize_t _informational
    cdef int _position
    cdef int _minor
    cdef int _status
    cdef bytes _reason
    cdef Py_ssize_t _head_left

    def __cinit__(self, receiver, limits):
        self._receiver = receiver
        self._limits = limits
        self._section = _Section(limits, "field")
        self._chunks = ChunkedDecoder(limits)
        self._rest = bytearray()
        self._busy = False
        self._method = ""
        self._reset()
        self._state = IDLE

    cdef int _reset(self) except -1:
        self.started = self.done = self.keep_alive = self.upgraded = self.close_delimited = False
        self.content_length = None
        self._left = self._informational = 0
        self._next_head()
        return 0

    cdef int _next_head(self) except -1:
        self._state = STATUS
        self._position = self._minor = self._status = 0
        self._reason = b""
        self._head_left = bounded(self._limits.head)
        return 0

    def expect(self, str method not None):
        if self._state == BROKEN:
            raise refused()
        if self.started and not self.done:
            raise RuntimeError("expect() in the middle of a response")
        self._method = method
        self._reset()

    def rest(self):
        rest = bytes(self._rest)
        self._rest.clear()
        return rest

    def feed_eof(self):
        if self._busy:
            raise RuntimeError("feed_eof() inside a callback of the same parser")
        if self._state == BODY_UNTIL_CLOSE:
            try:
                self._finish([])
            except BaseException:
                self._state = BROKEN
                raise
        elif not self.done:
            self._state = BROKEN
        return self.done

    def feed(self, data not None):
        cdef Py_buffer view
        if self._busy:
            raise RuntimeError("feed() inside a callback of the same parser")
        if self._state == BROKEN:
            raise refused()
        PyObject_GetBuffer(data, &view, PyBUF_SIMPLE)
        self._busy = True
        try:
            self._message(<const byte_t*> view.buf, <const byte_t*> view.buf + view.len)
        except BaseException:
            self._state = BROKEN
            raise
        finally:
            self._busy = False
            PyBuffer_Release(&view)

    cdef int _message(self, const byte_t* at, const byte_t* end) except -1:
        cdef Py_ssize_t count
        while at < end:
            # what stands behind the message, or comes unasked, is for rest()
            if self._state == IDLE or self._state == DONE:
                self._rest += (<const char*> at)[:end - at]
                return 0

            # HTTP-message = start-line CRLF *( field-line CRLF ) CRLF [ message-body ] (section 2.1)
            if self._state <= FIELDS:
                self.started = True
                at = self._head(at, end)

            # message-body (section 6): so many bytes,
            elif self._state == SIZED_BODY:
                count = end - at
                if count > self._left:
                    count = <Py_ssize_t> self._left
                self._left -= count
                self._receiver.on_body(PyBytes_FromStringAndSize(<const char*> at, count))
                at += count
                if self._left == 0:
                    self._finish([])

            # chunks, those of one feed in one piece, also before an error,
            elif self._state == CHUNKED_BODY:
                try:
                    at = self._chunks._scan(at, end)
                finally:
                    body = self._chunks._take()
                    if body:
                        self._receiver.on_body(body)
                if self._chunks._state == CHUNKS_DONE:
                    self._finish(self._chunks._section.fields)

            # or all there is
            else:
                self._receiver.on_body(PyBytes_FromStringAndSize(<const char*> at, end - at))
                at = end
        return 0

    cdef const byte_t* _head(self, const byte_t* at, const byte_t* end) except NULL:
        cdef const byte_t* stop = end if end - at <= self._head_left else at + self._head_left
        cdef const byte_t* start = at
        at = self._status_line(at, stop)
        if self._state == FIELDS:
            at = self._section.scan(at, stop)
        self._head_left -= at - start
        if self._section.state == COMPLETE:
            self._complete_head()
        elif stop < end:
            raise limit_exceeded("head", self._limits.head)
        return at

    cdef const byte_t* _status_line(self, const byte_t* at, const byte_t* end) except NULL:
        cdef const byte_t* start
        cdef byte_t byte
        cdef bint good
        # HTTP-version SP status-code (section 4): position 0 to 11
        while self._state == STATUS and at < end:
            byte = at[0]
            if self._position < 7:
                good = byte == <byte_t> PREFIX[self._position]
            elif self._position == 7:
                good = 0x30 <= byte <= 0x31
                self._minor = byte - 0x30
            elif self._position == 8:
                good = byte == SP
            else:
                good = 0x30 <= byte <= 0x39 if self._position > 9 else 0x31 <= byte <= 0x35
                self._status = self._status * 10 + byte - 0x30
            if not good:
                raise bad_status_line(self._position, byte)
            at += 1
            self._position += 1
            if self._position == 12:
                self._state = AFTER_STATUS

        # SP; without a reason it may be missing
        if self._state == AFTER_STATUS:
            if at == end:
                return at
            if at[0] == SP:
                self._state = REASON
            elif at[0] == CR:
                self._state = STATUS_LF
            else:
                raise bad_status_line(12, at[0])
            at += 1

        # reason-phrase
        if self._state == REASON:
            start = at
            at = skip_text(at, end)
            if at == end:
                self._section.keep(start, at)
                return at
            if at[0] != CR:
                raise bad_reason(at[0])
            self._reason = self._section.take(start, at)
            at += 1
            self._state = STATUS_LF

        # CRLF
        if self._state == STATUS_LF:
            if at == end:
                return at
            if at[0] != LF:
                raise bad_line_end("status line", at[0])
            at += 1
            self._state = FIELDS
        return at

    cdef int _complete_head(self) except -1:
        cdef list fields = self._section.fields
        cdef list lengths = NONE
        cdef list codings = NONE
        cdef list connection = NONE
        cdef int kind
        cdef tuple pair
        cdef bytes name
        cdef Py_ssize_t size
        self._section.reset()
        for pair in fields:
            name = pair[0]
            size = PyBytes_GET_SIZE(name)
            if size == 14 and same_name(name, "content-length", 14):
                if lengths is NONE:
                    lengths = []
                lengths.append(pair[1])
            elif size == 17 and same_name(name, "transfer-encoding", 17):
                if codings is NONE:
                    codings = []
                codings.append(pair[1])
            elif size == 10 and same_name(name, "connection", 10):
                if connection is NONE:
                    connection = []
                connection.append(pair[1])
        version, status, reason = VERSIONS[self._minor], self._status, self._reason
        kind, length, keep_alive = decide(self._method, status, self._minor, lengths, codings, connection)

        if kind == INFORMATIONAL:
            self._informational += 1
            if self._informational > self._limits.informational:
                raise limit_exceeded("informational", self._limits.informational)
            self._next_head()
            self._receiver.on_head(version, status, reason, fields)
            return 0

        self.content_length = length
        self.keep_alive = keep_alive
        self.upgraded = kind == UPGRADED
        self.close_delimited = kind == UNTIL_CLOSE
        self._receiver.on_head(version, status, reason, fields)
        if kind == CHUNKED:
            self._chunks._reset()
            self._state = CHUNKED_BODY
        elif kind == UNTIL_CLOSE:
            self._state = BODY_UNTIL_CLOSE
        elif kind == SIZED and length:
            self._left = length
            self._state = SIZED_BODY
        else:
            self._finish([])
        return 0

    cdef int _finish(self, list trailers) except -1:
        self._state = DONE
        self.done = True
        self._receiver.on_end(trailers)
        return 0
