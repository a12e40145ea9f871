"""The chain between the client and its pool: a linked list of policies, the first one nearest the client.

`Client(middlewares=...)` takes a tuple of names, classes or instances; slices of `default_middlewares` and `(Custom,) +
default_middlewares` are such tuples. `client.middlewares` is the head of the list, and `.next_middleware` may be assigned.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeAlias

from .authentication import AuthenticationMiddleWare
from .base import MiddleWare, PoolMiddleWare
from .cookies import CookiesMiddleWare
from .decode import DecodeMiddleWare
from .redirect import RedirectMiddleWare
from .retry import RetryMiddleWare

__all__ = [
    "AuthenticationMiddleWare",
    "CookiesMiddleWare",
    "DecodeMiddleWare",
    "MiddleWare",
    "MiddleWareTypes",
    "PoolMiddleWare",
    "RedirectMiddleWare",
    "RetryMiddleWare",
    "build",
    "default_middlewares",
]

MiddleWareTypes: TypeAlias = Iterable[str | type[MiddleWare] | MiddleWare]

_BY_NAME: dict[str, type[MiddleWare]] = {
    link.__name__: link for link in (RetryMiddleWare, RedirectMiddleWare, CookiesMiddleWare, DecodeMiddleWare, AuthenticationMiddleWare)
}

default_middlewares: tuple[str, ...] = tuple(_BY_NAME)


def build(middlewares: MiddleWareTypes) -> MiddleWare:
    """The head of a new chain. Errors: ValueError for an unknown name or an instance of another chain, TypeError for anything else."""
    if isinstance(middlewares, str):
        raise TypeError(f"middlewares={middlewares!r}: give a tuple, even of one")
    head: MiddleWare = PoolMiddleWare()
    for link in reversed(list(middlewares)):
        if isinstance(link, str):
            if link not in _BY_NAME:
                raise ValueError(f"there is no middleware {link!r}; the names are {', '.join(_BY_NAME)}")
            head = _BY_NAME[link](next_middleware=head)
        elif isinstance(link, type) and issubclass(link, MiddleWare):
            head = link(next_middleware=head)
        elif isinstance(link, MiddleWare):
            if link.linked:
                raise ValueError(f"{type(link).__name__} instance {link!r} already stands in a chain: make another one, or give the class")
            link.next_middleware = head
            head = link
        else:
            raise TypeError(f"middlewares: {link!r} is neither a name, nor a subclass of MiddleWare, nor an instance of one")
    return head
