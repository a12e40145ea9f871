"""The chunked transfer coding, compiled: the same paragraphs, order and names as `_chunked_py.py`. Included by `_parser.pyx`.

Knows no message around it.
"""

cdef enum:
    SIZE, BEFORE_EXTENSION, EXTENSION, SIZE_LF, DATA, DATA_CR, DATA_LF, TRAILERS, CHUNKS_DONE, CHUNKS_BROKEN


@cython.final
cdef class ChunkedDecoder:
    """The chunked transfer coding (RFC 9112 section 7.1), without a message around it.

    `feed(data)` returns what `data` held of the body, in one piece; `done` says that the last chunk and the trailer section were
    read, `trailers` what stood there, `rest()` the bytes behind. Raises `RemoteProtocolError` or `LimitExceeded`, then takes no more.
    `ends`, where somebody has put a list there, gets how many bytes of the body lie before the end of each chunk.
    """

    cdef object _limits
    cdef Section _section
    cdef object _trailers
    cdef bytearray _rest
    cdef int _state
    cdef public object ends
    cdef int64_t _size
    cdef int64_t _total
    cdef int _digits
    cdef bint _spaced
    cdef Py_ssize_t _extension_cap
    cdef Py_ssize_t _trailers_cap
    cdef Py_ssize_t _extension_left
    cdef Py_ssize_t _trailers_left
    # The body bytes of this feed: one piece lies in the caller's buffer, several are joined in `_joined`.
    cdef const byte_t* _piece
    cdef Py_ssize_t _piece_size
    cdef PyObject* _joined
    cdef Py_ssize_t _joined_size

    def __cinit__(self, limits):
        self._limits = limits
        self._extension_cap = bounded(limits.chunk_extensions)
        self._trailers_cap = bounded(limits.trailers) + 2  # the empty line is no trailer
        self._section = Section(limits, "trailer")
        self._rest = bytearray()
        self._joined = NULL
        self._piece = NULL
        self._reset()

    cdef int _reset(self) except -1:
        self._state = SIZE
        self._size = self._digits = self._total = 0
        self._spaced = False
        self._extension_left = self._extension_cap
        self._trailers_left = self._trailers_cap
        self._section.reset()
        self._trailers = NONE
        return 0

    @property
    def done(self):
        return self._state == CHUNKS_DONE

    @property
    def trailers(self):
        return self._trailers

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
                self._total += count
                if self._size:
                    return at
                if self.ends is not None:
                    self.ends.append(self._total)
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
                    self._trailers = self._section.taken()
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
