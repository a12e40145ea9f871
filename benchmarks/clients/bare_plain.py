"""The limit of clients that keep to a plain Protocol: the bare client by `data_received` throughout."""

from __future__ import annotations

from . import bare


class Client(bare.Client):
    BUFFERED = False
