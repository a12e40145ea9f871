"""What is wrong with a message, in aiohttp's words for it: in front of a user it is the cause of a client error, or a part's."""

from __future__ import annotations

from textwrap import indent

from multidict import CIMultiDict

from .client_exceptions import like_aiohttp

__all__ = [
    "BadHttpMessage",
    "BadHttpMethod",
    "BadStatusLine",
    "ContentEncodingError",
    "ContentLengthError",
    "HttpBadRequest",
    "HttpProcessingError",
    "InvalidHeader",
    "InvalidURLError",
    "LineTooLong",
    "PayloadEncodingError",
    "TransferEncodingError",
]


class HttpProcessingError(Exception, metaclass=like_aiohttp):
    """A message that breaks HTTP: `code` is the status that fits, `message` says why."""

    code = 0
    message = ""
    headers: CIMultiDict[str] | None = None

    def __init__(self, *, code: int | None = None, message: str = "", headers: CIMultiDict[str] | None = None) -> None:
        Exception.__init__(self)
        if code is not None:
            self.code = code
        self.message = message
        self.headers = headers

    def __str__(self) -> str:
        return f"{self.code}, message:\n{indent(self.message, '  ')}"

    def __repr__(self) -> str:
        return f"<{type(self).__name__}: {self.code}, message={self.message!r}>"


class BadHttpMessage(HttpProcessingError, metaclass=like_aiohttp):
    """The message can't be read."""

    code = 400
    message = "Bad Request"

    def __init__(self, message: str, *, headers: CIMultiDict[str] | None = None) -> None:
        HttpProcessingError.__init__(self, message=message, headers=headers)
        self.args = (message,)


class HttpBadRequest(BadHttpMessage, metaclass=like_aiohttp):
    """The message can't be read."""


class PayloadEncodingError(BadHttpMessage, metaclass=like_aiohttp):
    """The body isn't what its head says."""


class ContentEncodingError(PayloadEncodingError, metaclass=like_aiohttp):
    """The body isn't what Content-Encoding says."""


class TransferEncodingError(PayloadEncodingError, metaclass=like_aiohttp):
    """The body isn't what Transfer-Encoding says."""


class ContentLengthError(PayloadEncodingError, metaclass=like_aiohttp):
    """The body is shorter than Content-Length says."""


class LineTooLong(BadHttpMessage, metaclass=like_aiohttp):
    """A line is longer than what was asked for."""

    def __init__(self, line: str | bytes, limit: str | int = "Unknown", actual_size: str = "Unknown") -> None:
        BadHttpMessage.__init__(self, f"Got more than {limit} bytes when reading: {line!r}.")
        self.args = (line, limit, actual_size)


class InvalidHeader(BadHttpMessage, metaclass=like_aiohttp):
    """A header field that is none."""

    def __init__(self, hdr: bytes | str) -> None:
        BadHttpMessage.__init__(self, f"Invalid HTTP header: {hdr!r}")
        self.hdr = hdr.decode(errors="backslashreplace") if isinstance(hdr, bytes) else hdr
        self.args = (hdr,)


class BadStatusLine(BadHttpMessage, metaclass=like_aiohttp):
    """A status line that is none."""

    def __init__(self, line: str = "", error: str | None = None) -> None:
        given: object = line
        self.line = given if isinstance(given, str) else repr(given)
        BadHttpMessage.__init__(self, error or f"Bad status line {self.line!r}")
        self.args = (self.line,)


class BadHttpMethod(BadStatusLine, metaclass=like_aiohttp):
    """A method that is none."""

    def __init__(self, line: str = "", error: str | None = None) -> None:
        BadStatusLine.__init__(self, line, error or f"Bad HTTP method in status line {line!r}")


class InvalidURLError(BadHttpMessage, metaclass=like_aiohttp):
    """A target that is none."""
