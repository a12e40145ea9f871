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


cdef inline bint same_name(const char* key, const char* name, Py_ssize_t length) noexcept:
    """`name` is in lower case; both have `length` bytes."""
    cdef const byte_t* have = <const byte_t*> key
    cdef Py_ssize_t i
    cdef byte_t byte
    for i in range(length):
        byte = have[i]
        if 0x41 <= byte <= 0x5A:
            byte |= 0x20
        if byte != <byte_t> name[i]:
            return False
    return True


def find(fields not None, bytes name not None):
    """The value of the first field called `name`, which is given in lower case; None where there is none."""
    cdef Py_ssize_t length = PyBytes_GET_SIZE(name)
    cdef bytes key
    if type(fields) is Fields:
        return (<Fields> fields).find(PyBytes_AS_STRING(name), length)
    for key, value in fields:
        if len(key) == length and same_name(PyBytes_AS_STRING(key), PyBytes_AS_STRING(name), length):
            return value
    return None


cdef struct Lengths:
    Py_ssize_t name
    Py_ssize_t value


cdef class Fields:
    """The fields of a section, in order: a sequence of (name, value) pairs of bytes. The pairs are made when somebody looks at them.

    `_block` holds for each field the lengths of its name and value, then both.
    """

    cdef char* _block
    cdef Py_ssize_t _count
    cdef list _pairs

    def __cinit__(self):
        self._block = NULL
        self._count = 0

    def __dealloc__(self):
        PyMem_Free(self._block)

    cdef find(self, const char* name, Py_ssize_t length):
        cdef const char* at = self._block
        cdef Lengths lengths
        cdef Py_ssize_t i
        for i in range(self._count):
            memcpy(&lengths, at, sizeof(Lengths))
            at += sizeof(Lengths)
            if lengths.name == length and same_name(at, name, length):
                return PyBytes_FromStringAndSize(at + length, lengths.value)
            at += lengths.name + lengths.value
        return None

    cdef list pairs(self):
        cdef const char* at = self._block
        cdef Lengths lengths
        cdef Py_ssize_t i
        cdef list pairs
        if self._pairs is None:
            pairs = []
            for i in range(self._count):
                memcpy(&lengths, at, sizeof(Lengths))
                at += sizeof(Lengths)
                value = PyBytes_FromStringAndSize(at + lengths.name, lengths.value)
                pairs.append((field_name(<const byte_t*> at, lengths.name), value))
                at += lengths.name + lengths.value
            self._pairs = pairs
        return self._pairs

    def __len__(self):
        return self._count

    def __getitem__(self, index):
        return self.pairs()[index]

    def __iter__(self):
        return iter(self.pairs())

    def index(self, *args):
        return self.pairs().index(*args)

    def count(self, pair):
        return self.pairs().count(pair)

    def __eq__(self, other):
        return self.pairs() == ((<Fields> other).pairs() if type(other) is Fields else other)

    __hash__ = None

    def __repr__(self):
        return repr(self.pairs())

    def __reduce__(self):
        return list, (self.pairs(),)


cdef enum:
    BLOCK = 1024  # enough for most heads


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
    cdef Py_ssize_t number
    # Fields' block on its way: `used` of `size` bytes, the last field of `count` from `last` on.
    cdef char* block
    cdef Py_ssize_t size
    cdef Py_ssize_t used
    cdef Py_ssize_t last
    cdef Py_ssize_t count
    cdef Lengths lengths

    def __cinit__(self, limits, str kind):
        self.block = NULL
        self.cap = limits.headers
        self.count_cap = bounded(self.cap)
        self.kind = kind
        self.kept = bytearray()
        self.reset()

    def __dealloc__(self):
        PyMem_Free(self.block)

    cdef int reset(self) except -1:
        self.state = LINE
        self.number = self.count = self.used = 0
        self.count_left = self.count_cap
        if self.kept:
            self.kept.clear()
        return 0

    cdef taken(self):
        """The fields, which are the caller's from now on; the next section begins."""
        cdef Fields fields
        if self.count == 0:
            self.reset()
            return []
        fields = Fields()
        fields._block, fields._count = self.block, self.count
        self.block = NULL
        self.size = 0
        self.reset()
        return fields

    cdef int add(self, const byte_t* start, Py_ssize_t length) except -1:
        cdef Py_ssize_t size = self.size
        cdef char* block
        if self.used + length > size:
            size = BLOCK if size == 0 else size
            while self.used + length > size:
                size *= 2
            block = <char*> PyMem_Realloc(self.block, size)
            if block == NULL:
                raise MemoryError
            self.block, self.size = block, size
        memcpy(self.block + self.used, start, length)
        self.used += length
        return 0

    cdef int add_name(self, const byte_t* start, Py_ssize_t length) except -1:
        self.last = self.used
        self.add(<const byte_t*> &self.lengths, sizeof(Lengths))  # in its place: not known yet
        self.add(start, length)
        self.lengths.name = length
        return 0

    cdef int add_value(self, const byte_t* start, Py_ssize_t length) except -1:
        self.add(start, length)
        self.lengths.value = length
        memcpy(self.block + self.last, &self.lengths, sizeof(Lengths))
        return 0

    cdef bytes name(self):
        return PyBytes_FromStringAndSize(self.block + self.last + sizeof(Lengths), self.lengths.name)

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
        cdef bytes token
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
                if self.kept:
                    token = self.take(start, at)
                    self.add_name(<const byte_t*> PyBytes_AS_STRING(token), PyBytes_GET_SIZE(token))
                else:
                    self.add_name(start, at - start)
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
                    raise bad_value(self.line(), self.name(), at[0])
                if self.kept:
                    token = self.take(start, at).strip(b" \t")
                    self.add_value(<const byte_t*> PyBytes_AS_STRING(token), PyBytes_GET_SIZE(token))
                else:
                    start = skip_space(start, at)
                    stop = at
                    while stop > start and (stop[-1] == SP or stop[-1] == HTAB):
                        stop -= 1
                    self.add_value(start, stop - start)
                at += 1
                self.state = VALUE_LF

            # CRLF
            if self.state == VALUE_LF:
                if at == end:
                    return at
                if at[0] != LF:
                    raise bad_line_end(self.line(), at[0])
                at += 1
                self.count += 1
                self.state = LINE

            elif self.state == LAST_LF:
                if at == end:
                    return at
                if at[0] != LF:
                    raise bad_line_end("the empty line", at[0])
                self.state = COMPLETE
                return at + 1
        return at
