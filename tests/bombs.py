"""Small bodies that unfold to 512 MiB of zeros, one for each way to write them."""

from __future__ import annotations

import functools
import gzip
import zlib
from collections.abc import Callable

import brotli

__all__ = ["MIB", "SIZES", "bomb"]

MIB = 1 << 20
# Content-Encoding -> the most bytes that the body takes. One layer of deflate can't be written shorter.
SIZES = {"gzip": 512 * 1024, "deflate": 512 * 1024, "gzip, gzip": 16 * 1024, "br": 16 * 1024, "zstd": 16 * 1024 + 8}


@functools.cache
def bomb(coding: str) -> bytes:
    """512 MiB of zeros."""
    if coding == "gzip":
        gzipped = zlib.compressobj(9, wbits=31)
        return _zeros(gzipped.compress, gzipped.flush)
    if coding == "deflate":
        return bomb("gzip")[10:-8]  # without gzip's head and checksum: bare deflate data
    if coding == "gzip, gzip":
        return gzip.compress(bomb("gzip"), mtime=0)
    if coding == "br":
        brotlied = brotli.Compressor(quality=5)
        return _zeros(brotlied.process, brotlied.finish)
    # zstd: one frame with a window of 8 MiB, of 128 KiB blocks of one repeated byte, 4 bytes each.
    return b"\x28\xb5\x2f\xfd" + bytes([0, 13 << 3]) + bytes([2, 0, 16, 0]) * 4095 + bytes([3, 0, 16, 0])


def _zeros(compress: Callable[[bytes], bytes], finish: Callable[[], bytes]) -> bytes:
    block = bytes(MIB)
    return b"".join([compress(block) for _ in range(512)] + [finish()])
