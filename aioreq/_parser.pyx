# cython: language_level=3
"""The response parser, compiled: the same classes, paragraphs, order and names as `_parser_py.py`, which is the reference.

The contract is in `parser.py`, the decisions in `framing.py`, which is included here as source text; field lines are read in
`_fields.pxi`, chunks in `_chunked.pxi`. Knows no socket, loop or URL. Beside it, for frames.py: `_masking.pxi`,
`_frames.pxi`.
"""

cimport cython
from cpython.buffer cimport PyBUF_SIMPLE, PyBuffer_FillInfo, PyBuffer_Release, PyObject_GetBuffer
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.list cimport PyList_New, PyList_SET_ITEM
from cpython.mem cimport PyMem_Free, PyMem_Realloc
from cpython.object cimport PyObject
from cpython.ref cimport Py_INCREF
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
include "_fields.pxi"
include "_chunked.pxi"
include "_gathered.pxi"
include "_masking.pxi"
include "_frames.pxi"

__all__ = ["ChunkedDecoder", "Fields", "Payload", "ResponseParser", "find", "forget_keys", "framed", "hand_on_whole", "masked"]

cdef const char* PREFIX = "HTTP/1."
cdef const char* USUAL_VERSION = "HTTP/1.1 "
cdef list NONE = []

cdef enum:
    IDLE, STATUS, AFTER_STATUS, REASON, STATUS_LF, FIELDS, SIZED_BODY, CHUNKED_BODY, BODY_UNTIL_CLOSE, DONE, BROKEN

cdef enum:
    UNUSUAL = -1  # no outcome of framing's


cdef inline int64_t number(Text value) noexcept:
    """Digits, no more than `framing.MAX_LENGTH_DIGITS`; -1 for anything else."""
    cdef int64_t number = 0
    cdef Py_ssize_t i
    if not 0 < value.size <= LENGTH_DIGITS:
        return -1
    for i in range(value.size):
        if not 0x30 <= value.at[i] <= 0x39:
            return -1
        number = number * 10 + value.at[i] - 0x30
    return number


cdef inline bint says(const char* text, const char* word, Py_ssize_t length) noexcept:
    """Whether `text` is `word`, in any case: both have `length` bytes, 8 or more, `word` lower-case letters and hyphens. What differs
    from these by 0x20 alone is the other case of a letter, or a CR, which no text holds.
    """
    cdef uint64_t have, want
    cdef Py_ssize_t i = 0
    while True:
        memcpy(&have, text + i, 8)
        memcpy(&want, word + i, 8)
        if have | 0x2020202020202020u != want:
            return False
        if i == length - 8:
            return True
        i = i + 8 if i + 16 <= length else length - 8


cdef list all_called(fields, bytes name):
    return (<Fields> fields).values(name) if type(fields) is Fields else []


@cython.final
cdef class ResponseParser:
    """One response after another (RFC 9112); see `parser.py` for the contract."""

    cdef object _receiver
    cdef object _limits
    cdef Section _section
    cdef ChunkedDecoder _chunks
    cdef bytearray _rest
    cdef bint _busy
    cdef str _method
    cdef bint _bodiless
    cdef int _state
    cdef readonly bint started
    cdef readonly bint done
    cdef readonly bint keep_alive
    cdef readonly bint upgraded
    cdef readonly bint close_delimited
    cdef readonly object content_length
    cdef public object chunk_ends
    cdef int64_t _left
    cdef bint _in_one
    cdef Gathered _gathered
    cdef Py_ssize_t _informational
    cdef int _position
    cdef int _minor
    cdef int _status
    cdef bytes _reason
    cdef Py_ssize_t _head_cap
    cdef Py_ssize_t _field_cap
    cdef Py_ssize_t _head_left

    def __cinit__(self, receiver, limits):
        self._receiver = receiver
        self._limits = limits
        self._reason = b""
        self._head_cap = bounded(limits.head)
        self._field_cap = self._head_cap if limits.field is None else bounded(limits.field)
        self._section = Section(limits, "field")
        self._rest = bytearray()
        self._busy = False
        self._method = ""
        self._bodiless = False
        self._reset()
        self._state = IDLE

    cdef int _reset(self) except -1:
        self.started = self.done = self.keep_alive = self.upgraded = self.close_delimited = False
        self.content_length = None
        self.chunk_ends = None
        self._gathered = None
        self._in_one = False
        self._left = self._informational = 0
        self._next_head()
        return 0

    cdef int _next_head(self) except -1:
        self._state = STATUS
        self._position = self._minor = self._status = 0
        self._head_left = self._head_cap
        return 0

    def expect(self, str method not None):
        if self._state == BROKEN:
            raise refused()
        if self.started and not self.done:
            raise RuntimeError("expect() in the middle of a response")
        if method is not self._method:
            self._method = method
            self._bodiless = method == "HEAD" or method == "CONNECT"
        self._reset()

    def rest(self):
        if not self._rest:
            return b""
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

    def feed(self, data not None, Py_ssize_t size=-1):
        cdef Py_buffer view
        if self._busy:
            raise RuntimeError("feed() inside a callback of the same parser")
        if self._state == BROKEN:
            raise refused()
        if data is self._gathered:
            self._landed(size)
            return
        PyObject_GetBuffer(data, &view, PyBUF_SIMPLE)
        if size < 0 or size > view.len:
            size = view.len
        self._busy = True
        try:
            self._message(<const byte_t*> view.buf, <const byte_t*> view.buf + size)
        except BaseException:
            self._state = BROKEN
            raise
        finally:
            self._busy = False
            PyBuffer_Release(&view)

    @property
    def gathering(self):
        return self._gathered is not None

    @property
    def gathered(self):
        return b"" if self._gathered is None else self._gathered.copy()

    def room(self):
        if self._gathered is None:
            raise RuntimeError("room() outside a body that is being gathered")
        self._gathered = self._gathered.with_room(0)
        return self._gathered

    cdef int _landed(self, Py_ssize_t size) except -1:
        if size < 0 or size > len(self._gathered):
            raise ValueError(f"feed(room, {size}): that isn't the size of what came")
        self._busy = True
        try:
            if size > self._left:
                self._rest.append(self._gathered.take_surplus())
                size = <Py_ssize_t> self._left
            self._gather(size)
        except BaseException:
            self._state = BROKEN
            raise
        finally:
            self._busy = False
        return 0

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
                if self._in_one and (count < self._left or self._gathered is not None):
                    if self._gathered is None:
                        self._gathered = Gathered(self._left)
                    self._gathered = self._gathered.with_room(count)
                    memcpy(self._gathered.end(), at, count)
                    self._gather(count)
                else:
                    self._left -= count
                    self._receiver.on_body(PyBytes_FromStringAndSize(<const char*> at, count))
                    if self._left == 0:
                        self._finish([])
                at += count

            # chunks, those of one feed in one piece, also before an error,
            elif self._state == CHUNKED_BODY:
                try:
                    at = self._chunks._scan(at, end)
                finally:
                    body = self._chunks._take()
                    if body:
                        self._receiver.on_body(body)
                if self._chunks._state == CHUNKS_DONE:
                    self._finish(self._chunks._trailers)

            # or all there is
            else:
                self._receiver.on_body(PyBytes_FromStringAndSize(<const char*> at, end - at))
                at = end
        return 0

    cdef int _gather(self, Py_ssize_t count) except -1:
        cdef bytes body
        self._left -= count
        self._gathered.filled += count
        if self._left == 0:
            body = self._gathered.take()
            self._gathered = None
            self._receiver.on_body(body)
            self._finish([])
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
        # HTTP-version SP status-code (section 4): position 0 to 11; mostly the first nine at once
        if self._position == 0 and self._state == STATUS and end - at > 8 and memcmp(at, USUAL_VERSION, 9) == 0:
            self._minor = 1
            self._position = 9
            at += 9
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
                self._reason = b""
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
            self._reason = self._section.take(start, at, self._reason)
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
        cdef int64_t size = 0
        cdef int kind
        fields = self._section.taken()
        if self._head_cap - self._head_left > self._field_cap:
            check_lengths(fields, self._limits.field)
        version, status, reason = VERSIONS[self._minor], self._status, self._reason
        kind = self._usual(<Fields> fields, &size) if type(fields) is Fields else UNUSUAL
        if kind == UNUSUAL:
            lengths, codings = all_called(fields, b"content-length"), all_called(fields, b"transfer-encoding")
            kind, length, keep_alive = decide(self._method, status, self._minor, lengths, codings, all_called(fields, b"connection"))
        else:
            length, keep_alive = size if kind == SIZED else None, True

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
        self._in_one = self._receiver.on_head(version, status, reason, fields) is True
        if kind == CHUNKED:
            if self._chunks is None:
                self._chunks = ChunkedDecoder(self._limits)  # with the first body that has chunks
            self._chunks._reset()
            self._chunks.ends = self.chunk_ends
            self._state = CHUNKED_BODY
        elif kind == UNTIL_CLOSE:
            self._state = BODY_UNTIL_CLOSE
        elif kind == SIZED and length:
            self._left = length
            self._state = SIZED_BODY
        else:
            self._finish([])
        return 0

    cdef int _usual(self, Fields fields, int64_t* length) noexcept:
        """SIZED or CHUNKED for a message that says so in the usual way, on a connection that stays open: `decide` would say the same.
        UNUSUAL for all others, and all faults: it has to be asked.
        """
        cdef const char* at = fields._raw
        cdef const Line* line = fields._lines
        cdef Py_ssize_t name
        cdef Text value
        cdef bint sized = False
        cdef bint chunked = False
        if self._bodiless or self._minor == 0 or self._status < 200 or self._status == 204 or self._status == 304:
            return UNUSUAL
        for _ in range(fields._count):
            name = fields._raw + line.colon - at
            if name == 14 and says(at, "content-length", 14):
                length[0] = number(value_of(fields._raw, line))
                if sized or length[0] < 0:
                    return UNUSUAL
                sized = True
            elif name == 17 and says(at, "transfer-encoding", 17):
                value = value_of(fields._raw, line)
                if chunked or value.size != 7 or not same_name(value.at, "chunked", 7):
                    return UNUSUAL
                chunked = True
            elif name == 10 and says(at, "connection", 10):
                value = value_of(fields._raw, line)
                if value.size != 10 or not says(value.at, "keep-alive", 10):
                    return UNUSUAL
            at = fields._raw + line.stop + 2
            line += 1
        if sized == chunked:
            return UNUSUAL
        return SIZED if sized else CHUNKED

    cdef int _finish(self, trailers) except -1:
        self._state = DONE
        self.done = True
        self._receiver.on_end(trailers)
        return 0
