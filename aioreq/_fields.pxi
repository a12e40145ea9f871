"""Field lines and single bytes, compiled: the same paragraphs, order and names as `_fields_py.py`. Included by `_parser.pyx`.

`at` and `end` point into the buffer that was fed: no byte at `end` or behind is read, and no pointer outlives the call. Knows no
status line, no chunk and no limit in bytes.
"""

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
    LINE, NAME, VALUE, VALUE_LF, LAST_LF, COMPLETE


cdef class Section:
    """A header or trailer section: field lines, then an empty one (RFC 9112 section 5)."""

    cdef object cap
    cdef str kind
    cdef Py_ssize_t count_cap
    cdef Py_ssize_t count_left
    cdef bytearray kept
    cdef int state
    cdef list fields
    cdef Py_ssize_t number
    cdef bytes name
    cdef bytes value

    def __cinit__(self, limits, str kind):
        self.cap = limits.headers
        self.count_cap = bounded(self.cap)
        self.kind = kind
        self.kept = bytearray()
        self.reset()

    cdef int reset(self) except -1:
        self.state = LINE
        self.fields = []
        self.number = 0
        self.count_left = self.count_cap
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
                self.state = VALUE

            # OWS field-value OWS
            if self.state == VALUE:
                start = at
                at = skip_text(at, end)
                if at == end:
                    self.keep(start, at)
                    return at
                if at[0] != CR:
                    raise bad_value(self.line(), self.name, at[0])
                if self.kept:
                    self.value = self.take(start, at).strip(b" \t")
                else:
                    start = skip_space(start, at)
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
