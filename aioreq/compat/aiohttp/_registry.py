"""Which kind of payload a value is sent as. Knows no kind."""

from __future__ import annotations

import enum
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .payload import Payload

__all__ = ["PAYLOAD_REGISTRY", "LookupError", "Order", "PayloadRegistry", "get_payload", "is_payload", "payload_type", "register_payload"]


class LookupError(Exception):
    """No payload is registered for a value of this type."""


class Order(enum.StrEnum):
    """When a registered type is asked whether it fits."""

    normal = "normal"
    try_first = "try_first"
    try_last = "try_last"


def get_payload(data: Any, *args: Any, **kwargs: Any) -> Payload:
    """A value as the payload that is registered for its type. Errors: LookupError (this module's)."""
    return PAYLOAD_REGISTRY.get(data, *args, **kwargs)


def register_payload(factory: type[Payload], type: Any, *, order: Order = Order.normal) -> None:
    """Have values of a type sent as this kind of payload."""
    PAYLOAD_REGISTRY.register(factory, type, order=order)


class payload_type:  # noqa: N801  (aiohttp's name)
    """Decorates a payload class: values of that type are sent as one of it."""

    def __init__(self, type: Any, *, order: Order = Order.normal) -> None:
        self.type = type
        self.order = order

    def __call__(self, factory: type[Payload]) -> type[Payload]:
        register_payload(factory, self.type, order=self.order)
        return factory


class PayloadRegistry:
    """Which kind of payload a value is sent as."""

    __slots__ = ("_by_order", "_exact")

    def __init__(self) -> None:
        self._by_order: dict[Order, list[tuple[type[Payload], Any]]] = {order: [] for order in Order}
        self._exact: dict[Any, type[Payload]] = {}

    def get(self, data: Any, *args: Any, **kwargs: Any) -> Payload:
        """A value as a payload. Errors: LookupError (this module's)."""
        factory = self._found(data, Order.try_first) or self._exact.get(type(data))
        if factory is None:
            if is_payload(data):
                return data  # type: ignore[no-any-return]
            factory = self._found(data, Order.normal) or self._found(data, Order.try_last)
            if factory is None:
                raise LookupError(f"no payload is registered for {type(data).__name__}")
        return factory(data, *args, **kwargs)

    def _found(self, data: Any, order: Order) -> type[Payload] | None:
        for factory, kind in self._by_order[order]:
            if isinstance(data, kind):
                return factory
        return None

    def register(self, factory: type[Payload], type: Any, *, order: Order = Order.normal) -> None:
        """Have values of a type (or of a tuple of them) sent as this kind of payload."""
        if not isinstance(order, Order):
            raise ValueError(f"Unsupported order {order!r}")
        self._by_order[order].append((factory, type))
        if order is Order.normal:
            self._exact.update(dict.fromkeys(type if isinstance(type, Iterable) else (type,), factory))


PAYLOAD_REGISTRY = PayloadRegistry()


def is_payload(data: Any) -> bool:
    """Whether it is a payload; one of aiohttp's own is, too."""
    return all(hasattr(data, name) for name in ("write_with_length", "headers", "content_type"))
