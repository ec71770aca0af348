"""The service on a port: a server that lets its listeners go before it waits for them."""

import asyncio
import socket

import uvicorn
from fastapi import FastAPI

_FAREWELL_S = 3.0
"""How long an answer under way may take after the signal; who does not read it is cut off then."""
_LAST_RESORT_S = 5


class Server(uvicorn.Server):
    """uvicorn waits for open connections before it ends the application: event streams must be ended first."""

    def __init__(self, app: FastAPI, host: str, port: int) -> None:
        super().__init__(
            uvicorn.Config(
                app,
                host=host,
                port=port,
                log_level="warning",
                access_log=False,
                server_header=False,
                timeout_graceful_shutdown=_LAST_RESORT_S,
            )
        )
        self._app = app

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """End the streams, wait for the answers under way, cut off who does not take theirs."""
        self._app.state.tieout.stream.end()
        cutting = asyncio.create_task(self._cut_off())
        try:
            await super().shutdown(sockets)
        finally:
            cutting.cancel()

    async def _cut_off(self) -> None:
        await asyncio.sleep(_FAREWELL_S)
        for connection in list(self.server_state.connections):
            # a task cancelled in mid-answer would leave a traceback: a connection that is gone ends it quietly
            if isinstance(transport := getattr(connection, "transport", None), asyncio.WriteTransport):
                transport.abort()
