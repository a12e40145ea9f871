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
from .redirect import RedirectAnswer, RedirectMiddleWare, RedirectPolicy
from .retry import RetryMiddleWare

__all__ = [
    "AuthenticationMiddleWare",
    "CookiesMiddleWare",
    "DecodeMiddleWare",
    "MiddleWare",
    "MiddleWareTypes",
    "PoolMiddleWare",
    "RedirectAnswer",
    "RedirectMiddleWare",
    "RedirectPolicy",
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
    links = list(middlewares)
    for link in links:
        _check(link)  # all of them before any is joined: an instance stays free where another link is wrong
    head: MiddleWare = PoolMiddleWare()
    for link in reversed(links):
        if isinstance(link, str):
            head = _BY_NAME[link](next_middleware=head)
        elif isinstance(link, type):
            head = link(next_middleware=head)
        else:
            _check(link)  # it may stand twice in this very tuple
            link.next_middleware = head
            head = link
    return head


def _check(link: object) -> None:
    if isinstance(link, str):
        if link not in _BY_NAME:
            raise ValueError(f"there is no middleware {link!r}; the names are {', '.join(_BY_NAME)}")
    elif isinstance(link, MiddleWare):
        if link.linked:
            raise ValueError(f"the {type(link).__name__} instance already stands in a chain: make another one, or give the class")
    elif not (isinstance(link, type) and issubclass(link, MiddleWare)):
        raise TypeError(f"middlewares: {link!r} is neither a name, nor a subclass of MiddleWare, nor an instance of one")
