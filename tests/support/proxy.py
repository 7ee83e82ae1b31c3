"""A loopback proxy that loses replies: the request arrives, its answer never comes back."""

import select
import socket
import threading
from pathlib import Path


class LossyProxy:
    """TCP on loopback in front of a server's unix socket; passes everything until told to lose."""

    def __init__(self, upstream: Path) -> None:
        self.upstream = upstream
        self._left: dict[bytes, int] = {}
        self._lock = threading.Lock()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"redis://127.0.0.1:{self._listener.getsockname()[1]}/0"
        threading.Thread(target=self._accept, daemon=True).start()

    def lose(self, marker: bytes, times: int) -> None:
        """Drop the connection instead of answering the next `times` requests with this marker."""
        with self._lock:
            self._left[marker] = times

    def all_lost(self) -> bool:
        """Whether everything that was to be lost is."""
        return not any(self._left.values())

    def close(self) -> None:
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with client, socket.socket(socket.AF_UNIX) as server:
            try:
                server.connect(str(self.upstream))
                self._pump(client, server)
            except OSError:
                return

    def _pump(self, client: socket.socket, server: socket.socket) -> None:
        doomed = False
        while True:
            for ready in select.select([client, server], [], [])[0]:
                data = ready.recv(1 << 20)
                if not data or (ready is server and doomed):
                    return
                if ready is client:
                    doomed = doomed or self._takes(data)
                    server.sendall(data)
                else:
                    client.sendall(data)

    def _takes(self, request: bytes) -> bool:
        """Whether this request's reply is to be lost; counts it."""
        with self._lock:
            for marker, left in self._left.items():
                if left and marker in request:
                    self._left[marker] -= 1
                    return True
            return False
