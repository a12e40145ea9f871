"""Multipart bodies under aiohttp's names: `MultipartWriter` for those that go out, `MultipartReader` for those that come in."""

from __future__ import annotations

from ._dispositions import BadContentDispositionHeader, BadContentDispositionParam, content_disposition_filename, parse_content_disposition
from ._multipart_reader import BodyPartReader, MultipartReader, MultipartResponseWrapper
from ._multipart_writer import BodyPartReaderPayload, MultipartWriter

__all__ = [
    "BadContentDispositionHeader",
    "BadContentDispositionParam",
    "BodyPartReader",
    "BodyPartReaderPayload",
    "MultipartReader",
    "MultipartResponseWrapper",
    "MultipartWriter",
    "content_disposition_filename",
    "parse_content_disposition",
]
