"""The two ends of the usual WebSocket frame, compiled: what `_frames_py.py` does. Included by `_parser.pyx`, behind `_masking.pxi` and
`_gathered.pxi`.

Everything that isn't usual, and what is wrong with it, is frames.py's business.
"""

from os import urandom

cdef bytes KEYS = b""  # made at once: a system call for each would cost as much as a frame
cdef Py_ssize_t NEXT_KEY = 0


def forget_keys():
    global KEYS
    KEYS = b""


def framed(int first, payload not None):
    global KEYS, NEXT_KEY
    cdef Py_buffer view
    cdef Py_ssize_t before, i
    cdef uint64_t length
    cdef byte_t* to
    cdef bytes made
    PyObject_GetBuffer(payload, &view, PyBUF_SIMPLE)
    try:
        if view.len > UNBOUNDED:
            raise MemoryError
        length = view.len
        before = 2 if length < 126 else 4 if length < 65536 else 10
        made = PyBytes_FromStringAndSize(NULL, before + 4 + view.len)
        to = <byte_t*> PyBytes_AS_STRING(made)

        # FIN, RSV1-3, opcode; MASK, payload length
        to[0] = first
        if before == 2:
            to[1] = 0x80 | length
        elif before == 4:
            to[1] = 0x80 | 126
            to[2], to[3] = length >> 8, length & 0xFF
        else:
            to[1] = 0x80 | 127
            for i in range(8):
                to[2 + i] = (length >> (56 - 8 * i)) & 0xFF

        # masking key, payload; nothing between the look at the keys and the copy of one lets another thread run
        if NEXT_KEY >= PyBytes_GET_SIZE(KEYS):
            KEYS = urandom(1024)
            NEXT_KEY = 0
        to += before
        memcpy(to, PyBytes_AS_STRING(KEYS) + NEXT_KEY, 4)
        NEXT_KEY += 4
        mask_into(to + 4, <const byte_t*> view.buf, view.len, to)
        return made
    finally:
        PyBuffer_Release(&view)


def hand_on_whole(data not None, Py_ssize_t at, Py_ssize_t end, uint64_t most, on_piece):
    cdef Py_buffer view
    cdef const byte_t* octets
    cdef Py_ssize_t start, i
    cdef uint64_t length
    PyObject_GetBuffer(data, &view, PyBUF_SIMPLE)
    try:
        if at < 0 or end > view.len:
            raise ValueError("more bytes than there are")
        octets = <const byte_t*> view.buf
        while end - at >= 4 and (octets[at] == 0x81 or octets[at] == 0x82):
            start, length = at + 2, octets[at + 1]
            if length == 126:
                start, length = at + 4, octets[at + 2] << 8 | octets[at + 3]
                if length < 126:
                    break
            elif length == 127 and end - at >= 10:
                start, length = at + 10, 0
                for i in range(2, 10):
                    length = length << 8 | octets[at + i]
                if length < 65536:
                    break
            elif length > 126:
                break
            if length > <uint64_t> (end - start) or length > most:
                break
            on_piece(octets[at] & 0x0F, PyBytes_FromStringAndSize(<const char*> octets + start, length), True, False)
            at = start + length
        return at
    finally:
        PyBuffer_Release(&view)


@cython.final
cdef class Payload:
    cdef Gathered _gathered

    def __cinit__(self, int64_t total):
        self._gathered = Gathered(total, 0, False)

    @property
    def filled(self):
        return self._gathered.filled

    def add(self, data not None, Py_ssize_t at, Py_ssize_t end):
        cdef Py_buffer view
        PyObject_GetBuffer(data, &view, PyBUF_SIMPLE)
        try:
            if not 0 <= at <= end <= view.len or end - at > self._gathered._total - self._gathered.filled:
                raise ValueError("more bytes than there are, or than there is room for")
            self._gathered = self._gathered.with_room(end - at)
            memcpy(self._gathered.end(), <const char*> view.buf + at, end - at)
            self._gathered.filled += end - at
        finally:
            PyBuffer_Release(&view)

    def room(self):
        self._gathered = self._gathered.with_room(0)
        return self._gathered

    def landed(self, Py_ssize_t size):
        if not 0 <= size <= len(self._gathered):
            raise ValueError(f"{size} bytes can't have come into the room")
        self._gathered.filled += size

    def take(self):
        return self._gathered.take() if self._gathered.filled == self._gathered._total else self._gathered.copy()
