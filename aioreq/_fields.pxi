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
    LENGTH_DIGITS = 18

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
    if MAX_LENGTH_DIGITS != LENGTH_DIGITS:
        raise ImportError("framing.MAX_LENGTH_DIGITS and _parser.LENGTH_DIGITS differ")
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


cdef extern from *:
    """
    /* The index of the first byte that has its high bit set; any smaller one will do, where that can't be told in one step. */
    #if defined(__GNUC__) && __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
    #define first_marked(word) (__builtin_ctzll(word) >> 3)
    #else
    #define first_marked(word) 0
    #endif
    """
    int first_marked(uint64_t word) noexcept


cdef inline const byte_t* skip_token(const byte_t* at, const byte_t* end) noexcept:
    cdef int i
    while end - at >= 8:
        for i in range(8):  # none of which needs a look at the end
            if not KIND[at[i]] & IS_TOKEN:
                return at + i
        at += 8
    while at < end and KIND[at[0]] & IS_TOKEN:
        at += 1
    return at


cdef inline const byte_t* skip_text(const byte_t* at, const byte_t* end) noexcept:
    cdef uint64_t word
    # Eight at a time, in seven bits each: one more, and 0x7F is 0, control bytes are up to 0x20; another 0x5F, and what was above that
    # has its high bit set, as obs-text has it anyway. Without it stands what ends the text, or a tab, which the table below knows.
    while end - at >= 8:
        memcpy(&word, at, 8)
        word |= (((word & 0x7F7F7F7F7F7F7F7Fu) + 0x0101010101010101u) & 0x7F7F7F7F7F7F7F7Fu) + 0x5F5F5F5F5F5F5F5Fu
        word = ~word & 0x8080808080808080u
        if word:
            at += first_marked(word)
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
    cdef const Line* line
    cdef bytes key
    if type(fields) is Fields:
        line = (<Fields> fields).called(PyBytes_AS_STRING(name), length, (<Fields> fields)._lines)
        return None if line == NULL else (<Fields> fields).value(line)
    for key, value in fields:
        if len(key) == length and same_name(PyBytes_AS_STRING(key), PyBytes_AS_STRING(name), length):
            return value
    return None


cdef struct Line:
    Py_ssize_t colon
    Py_ssize_t stop  # its CR


cdef struct Text:
    const char* at
    Py_ssize_t size


cdef inline Text value_of(const char* raw, const Line* line) noexcept:
    """What stands between the colon and the CR, without the space around it."""
    cdef const byte_t* start = <const byte_t*> raw + line.colon + 1
    cdef const byte_t* stop = <const byte_t*> raw + line.stop
    cdef Text value
    start = skip_space(start, stop)
    while stop > start and (stop[-1] == SP or stop[-1] == HTAB):
        stop -= 1
    value.at, value.size = <const char*> start, stop - start
    return value


@cython.final
@cython.no_gc  # holds pairs of bytes, which hold nothing
@cython.freelist(8)
cdef class Fields:
    """The fields of a section, in order: a sequence of (name, value) pairs of bytes. The pairs are made when somebody looks at them.

    `_raw` is the section as it came, `_lines` where its lines have their colons and ends: a name begins behind the end before it.
    """

    cdef char* _raw
    cdef Line* _lines
    cdef Py_ssize_t _count
    cdef list _pairs

    def __cinit__(self):
        self._raw = NULL
        self._lines = NULL
        self._count = 0

    def __dealloc__(self):
        PyMem_Free(self._raw)
        PyMem_Free(self._lines)

    cdef const Line* called(self, const char* name, Py_ssize_t length, const Line* line) noexcept:
        """The first line from `line` on that has this name; NULL where there is none."""
        cdef const Line* end = self._lines + self._count
        cdef const char* at = self._raw + (line[-1].stop + 2 if line > self._lines else 0)
        while line < end:
            if self._raw + line.colon - at == length and same_name(at, name, length):
                return line
            at = self._raw + line.stop + 2
            line += 1
        return NULL

    cdef bytes value(self, const Line* line):
        cdef Text value = value_of(self._raw, line)
        return PyBytes_FromStringAndSize(value.at, value.size)

    cdef list values(self, bytes name):
        cdef list values = []
        cdef const Line* line = self.called(PyBytes_AS_STRING(name), PyBytes_GET_SIZE(name), self._lines)
        while line != NULL:
            values.append(self.value(line))
            line = self.called(PyBytes_AS_STRING(name), PyBytes_GET_SIZE(name), line + 1)
        return values

    cdef list pairs(self):
        cdef const char* at = self._raw
        cdef const Line* line = self._lines
        cdef Py_ssize_t i
        cdef list pairs
        if self._pairs is None:
            pairs = PyList_New(self._count)
            for i in range(self._count):
                pair = (field_name(<const byte_t*> at, self._raw + line.colon - at), self.value(line))
                Py_INCREF(pair)
                PyList_SET_ITEM(pairs, i, pair)
                at = self._raw + line.stop + 2
                line += 1
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
    LINE, NAME, VALUE, VALUE_LF, LAST_LF, COMPLETE

    FEW = 16  # lines; most heads have no more


@cython.final
cdef class Section:
    """A header or trailer section: field lines, then an empty one (RFC 9112 section 5)."""

    cdef object cap
    cdef str kind
    cdef Py_ssize_t count_cap
    cdef int state
    # Fields on their way: `used` of `size` bytes, `count` of `room` lines.
    cdef char* raw
    cdef Py_ssize_t size
    cdef Py_ssize_t used
    cdef Line* lines
    cdef Py_ssize_t room
    cdef Py_ssize_t count

    def __cinit__(self, limits, str kind):
        self.raw = NULL
        self.lines = NULL
        self.size = self.room = 0
        self.cap = limits.headers
        self.count_cap = bounded(self.cap)
        self.kind = kind
        self.reset()

    def __dealloc__(self):
        PyMem_Free(self.raw)
        PyMem_Free(self.lines)

    cdef void reset(self) noexcept:
        self.state = LINE
        self.count = self.used = 0

    cdef taken(self):
        """The fields, which are the caller's from now on; the next section begins."""
        cdef Fields fields
        if self.count == 0:
            self.reset()
            return []
        fields = Fields.__new__(Fields)
        fields._raw, fields._lines, fields._count = self.raw, self.lines, self.count
        self.raw = NULL
        self.lines = NULL
        self.size = self.room = 0
        self.reset()
        return fields

    cdef str line(self):
        return f"{self.kind} line {self.count + 1}"

    cdef bytes name(self):
        """The last line's, of what was kept."""
        cdef Py_ssize_t start = self.lines[self.count - 1].stop + 2 if self.count else 0
        return PyBytes_FromStringAndSize(self.raw + start, self.lines[self.count].colon - start)

    cdef int add_line(self, Py_ssize_t colon) except -1:
        cdef Py_ssize_t room
        cdef Line* lines
        if self.count == self.room:
            room = self.room * 2 if self.room else FEW
            lines = <Line*> PyMem_Realloc(self.lines, room * sizeof(Line))
            if lines == NULL:
                raise MemoryError
            self.lines, self.room = lines, room
        self.lines[self.count].colon = colon
        return 0

    cdef int keep(self, const byte_t* start, const byte_t* at) except -1:
        cdef Py_ssize_t used = self.used + (at - start)
        cdef Py_ssize_t size = self.size
        cdef char* raw
        if start == at:
            return 0
        if used > size:
            size = used if self.used == 0 else used * 2  # mostly this is all; what is cut once may be cut often
            raw = <char*> PyMem_Realloc(self.raw, size)
            if raw == NULL:
                raise MemoryError
            self.raw, self.size = raw, size
        memcpy(self.raw + self.used, start, at - start)
        self.used = used
        return 0

    cdef bytes take(self, const byte_t* start, const byte_t* at, bytes last):
        """What was kept, and all up to `at`; `last` where it is the same once more."""
        cdef Py_ssize_t size = at - start
        if self.used:
            self.keep(start, at)
            start, size, self.used = <const byte_t*> self.raw, self.used, 0
        if size == PyBytes_GET_SIZE(last) and memcmp(start, PyBytes_AS_STRING(last), size) == 0:
            return last
        return PyBytes_FromStringAndSize(<const char*> start, size)

    cdef const byte_t* scan(self, const byte_t* begin, const byte_t* end) except NULL:
        cdef const byte_t* at = self.read(begin, end)
        if self.count or self.state != COMPLETE:
            self.keep(begin, at)
        return at

    cdef const byte_t* read(self, const byte_t* begin, const byte_t* end) except NULL:
        cdef const byte_t* at = begin
        while at < end:
            # *( field-line CRLF ) CRLF; what begins with a space would be obs-fold (section 5.2): refused
            if self.state == LINE:
                if at[0] == CR:
                    at += 1
                    self.state = LAST_LF
                else:
                    if not KIND[at[0]] & IS_TOKEN:
                        raise bad_line_start(self.line(), at[0])
                    if self.count == self.count_cap:
                        raise limit_exceeded("headers", self.cap)
                    self.state = NAME

            # field-name = token, the colon right behind it (section 5.1)
            if self.state == NAME:
                at = skip_token(at, end)
                if at == end:
                    return at
                if at[0] != COLON:
                    raise bad_name(self.line(), at[0])
                self.add_line(self.used + (at - begin))
                at += 1
                self.state = VALUE

            # OWS field-value OWS
            if self.state == VALUE:
                at = skip_text(at, end)
                if at == end:
                    return at
                if at[0] != CR:
                    self.keep(begin, at)
                    raise bad_value(self.line(), self.name(), at[0])
                self.lines[self.count].stop = self.used + (at - begin)
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
