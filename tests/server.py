"""A web application on a real socket: served by uvicorn in a thread of the test, asked by a client of the standard library."""

from __future__ import annotations

import contextlib
import http.client
import json
import socket
import threading
from dataclasses import dataclass
from typing import Any

from sync import PATIENCE, eventually


@dataclass(frozen=True)
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def text(self) -> str:
        return self.body.decode()

    def json(self) -> Any:
        return json.loads(self.body)


class Client:
    """Asks one server, each time on a connection of its own."""

    def __init__(self, port: int):
        self.port = port

    def ask(self, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None) -> Answer:
        """A body that is no str or bytes is sent as JSON."""
        if body is not None and not isinstance(body, (bytes, str)):
            body = json.dumps(body)
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE)
        with contextlib.closing(connection):
            connection.request(method, path, body, headers or {})
            response = connection.getresponse()
            named = {name.lower(): value for name, value in response.getheaders()}
            return Answer(response.status, named, response.read())

    def get(self, path: str, body: Any = None, **headers: str) -> Answer:
        return self.ask("GET", path, body, headers)

    def post(self, path: str, body: Any = None, **headers: str) -> Answer:
        return self.ask("POST", path, body, headers)

    def is_up(self, path: str = "/light") -> bool:
        """Whether the server answers in time, with 200."""

        def answers():
            try:
                return self.get(path).status == 200
            except OSError:
                return False

        return eventually(answers)

    def connected(self):
        """A connection on which nothing was said."""
        return contextlib.closing(socket.create_connection(("127.0.0.1", self.port), timeout=PATIENCE))

    @contextlib.contextmanager
    def asking(self, path: str):
        """A client that has asked and waits; leaving goes away without having heard anything."""
        with self.connected() as connection:
            connection.sendall(f"GET {path} HTTP/1.1\r\nhost: localhost\r\n\r\n".encode())
            yield connection


@contextlib.contextmanager
def serve(app: Any, **options: Any):
    """Serve an application; gives a client of it."""
    import uvicorn

    started = threading.Event()

    class Server(uvicorn.Server):
        async def startup(self, sockets=None):
            await super().startup(sockets)
            started.set()

    server = Server(uvicorn.Config(app, port=0, log_config=None, **options))
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        assert started.wait(PATIENCE)
        yield Client(server.servers[0].sockets[0].getsockname()[1])
    finally:
        server.should_exit = True
        thread.join(PATIENCE)
        assert not thread.is_alive()


def free_port() -> int:
    with contextlib.closing(socket.socket()) as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]
