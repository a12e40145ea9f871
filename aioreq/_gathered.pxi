"""A body of declared length, or a frame's payload, on its way into the one object that it will be, compiled: what `_gathered_py.py` does,
without its copy. Included by `_parser.pyx`.

The bytes object is written to while nobody else has it. What the outside gets is the room behind what has arrived, as a buffer that
keeps this object alive. Knows no message around the body.
"""

cdef enum:
    ROOM = 1048576


@cython.final
cdef class Gathered:
    """`filled` bytes of `total`; as a buffer, the room behind them, with `spare` for a byte too many."""

    cdef PyObject* _bytes
    cdef int64_t _total
    cdef bint _spare
    cdef Py_ssize_t _size
    cdef Py_ssize_t filled
    cdef Py_ssize_t _exports
    cdef bint _handed_on

    def __cinit__(self, int64_t total, Py_ssize_t arrived=0, bint spare=True):
        cdef Py_ssize_t size = arrived * 2 if arrived * 2 > ROOM else ROOM
        self._bytes = NULL
        self._total = total
        self._spare = spare
        self.filled = self._exports = 0
        self._handed_on = False
        self._size = <Py_ssize_t> total if total < size else size
        self._bytes = new_bytes(NULL, self._size)

    def __dealloc__(self):
        forget(self._bytes)

    cdef char* end(self) noexcept:
        return content(self._bytes) + self.filled

    def __len__(self):
        # The byte behind the content of a bytes object is a NUL: here it is room for a byte too many, which must be noticed.
        return self._size - self.filled + (self._spare and self._size == self._total)

    def __getbuffer__(self, Py_buffer* buffer, int flags):
        if self._bytes == NULL or self._handed_on:
            raise BufferError("the body is whole, and handed on")
        PyBuffer_FillInfo(buffer, self, self.end(), len(self), False, flags)
        self._exports += 1

    def __releasebuffer__(self, Py_buffer* buffer):
        self._exports -= 1
        if self._handed_on and not self._exports:
            forget(self._bytes)

    cdef Gathered with_room(self, Py_ssize_t count):
        """This object or its successor, with room for `count` bytes, or for some."""
        cdef Py_ssize_t wanted = self.filled + (count if count else 1)
        cdef Py_ssize_t size
        cdef Gathered larger
        if self._bytes == NULL:
            raise MemoryError  # once more: there was none for it
        if wanted <= self._size or self._size == self._total:
            return self
        if self._exports:
            # The loop still holds the last room: that one stays where it is.
            larger = Gathered(self._total, wanted, self._spare)
            memcpy(content(larger._bytes), content(self._bytes), self.filled)
            larger.filled = self.filled
            return larger
        size = wanted * 2
        if self._total < size:
            size = <Py_ssize_t> self._total
        resize(&self._bytes, size)
        self._size = size
        return self

    cdef bytes copy(self):
        return b"" if self._bytes == NULL else PyBytes_FromStringAndSize(content(self._bytes), self.filled)

    cdef int take_surplus(self) noexcept:
        cdef byte_t surplus = <byte_t> content(self._bytes)[self._size]
        content(self._bytes)[self._size] = 0
        return surplus

    cdef bytes take(self):
        cdef bytes body = <bytes> self._bytes
        self._handed_on = True
        if not self._exports:  # whoever still holds the room must not hold memory that has gone
            forget(self._bytes)
        return body
