"""Masking (RFC 6455 section 5.3), compiled: what `_masking_py.py` does, eight bytes at a time. Included by `_parser.pyx`.

Knows no frame: what stands before the key is handed in.
"""


cdef inline void mask_into(byte_t* to, const byte_t* at, Py_ssize_t size, const byte_t* mask) noexcept:
    cdef uint64_t twice, word
    cdef Py_ssize_t i, words = size >> 3
    memcpy(&twice, mask, 4)
    memcpy(<byte_t*> &twice + 4, mask, 4)
    for i in range(words):
        memcpy(&word, at + (i << 3), 8)
        word ^= twice
        memcpy(to + (i << 3), &word, 8)
    for i in range(words << 3, size):
        to[i] = at[i] ^ mask[i & 3]


def masked(bytes head not None, bytes key not None, payload not None):
    cdef Py_buffer view
    cdef Py_ssize_t before = PyBytes_GET_SIZE(head)
    cdef byte_t* to
    cdef bytes whole
    if PyBytes_GET_SIZE(key) != 4:
        raise ValueError("a masking key has 4 bytes")
    PyObject_GetBuffer(payload, &view, PyBUF_SIMPLE)
    try:
        if view.len > UNBOUNDED:
            raise MemoryError
        whole = PyBytes_FromStringAndSize(NULL, before + 4 + view.len)
        to = <byte_t*> PyBytes_AS_STRING(whole)
        memcpy(to, PyBytes_AS_STRING(head), before)
        memcpy(to + before, PyBytes_AS_STRING(key), 4)
        mask_into(to + before + 4, <const byte_t*> view.buf, view.len, <const byte_t*> PyBytes_AS_STRING(key))
        return whole
    finally:
        PyBuffer_Release(&view)
