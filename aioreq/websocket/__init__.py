"""WebSockets (RFC 6455, RFC 7692), from the handshake to the frames.

`handshake` asks for one over the client's own chain, `websocket` is what the user holds, `forever` opens one after another. Behind them:
`link` is the connection, `inbox` what came, `outbox` what goes, `keepalive` the pings; `frames` and `permessage_deflate` are the grammar.
"""

from __future__ import annotations

from .websocket import WebSocket

__all__ = ["WebSocket"]
