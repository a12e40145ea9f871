"""Masking (RFC 6455 section 5.3) in plain Python. Knows no frame: what stands before the key is handed in."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing_extensions import Buffer

__all__ = ["masked"]

# As numbers, piece by piece: what is large is never there three times over. A multiple of 4, so that each piece begins the key anew.
_STEP = 64 * 1024


def masked(head: bytes, key: bytes, payload: Buffer) -> bytes:
    """`head`, `key` and the payload, each byte of it XORed with that byte of the key whose turn it is."""
    if len(key) != 4:
        raise ValueError("a masking key has 4 bytes")
    parts = [head, key]
    with memoryview(payload) as given, given.cast("B") as view:
        size = len(view)
        mask = key * (min(size, _STEP) // 4 + 1)
        for start in range(0, size, _STEP):
            count = min(size - start, _STEP)
            number = int.from_bytes(view[start : start + count], "little") ^ int.from_bytes(mask[:count], "little")
            parts.append(number.to_bytes(count, "little"))
    return b"".join(parts)
