"""The world's sockets in one poll: accepts, reads, sends without waiting, and relays what is not timed."""

import select
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass, field

SEND_BUFFER = 8 << 20
_SO_SNDBUFFORCE = 32


@dataclass(eq=False)
class Peer:
    """One connection."""

    socket: socket.socket
    kind: str = "http"
    buffer: bytearray = field(default_factory=bytearray)
    unsent: bytearray = field(default_factory=bytearray)
    back: "Peer | None" = None
    """The other half of a relayed connection."""


class Connections:
    """Every connection, told apart by its kind; ``hear`` is called with what came and when it was read."""

    def __init__(self, listener: socket.socket, commands: int, hear: Callable[[Peer, int], None]) -> None:
        """``commands`` is one more descriptor to watch."""
        self._listener = listener
        self._commands = commands
        self._hear = hear
        self._peers: dict[int, Peer] = {}
        self._poll = select.epoll()
        listener.setblocking(False)
        for descriptor in (listener.fileno(), commands):
            self._poll.register(descriptor, select.EPOLLIN)

    def turn(self, wait_s: float) -> bool:
        """Handle what there is, or wait so long; whether there is a command."""
        commanded = False
        for descriptor, what in self._poll.poll(wait_s):
            if descriptor == self._listener.fileno():
                self._accept()
            elif descriptor == self._commands:
                commanded = True
            elif (peer := self._peers.get(descriptor)) is not None:
                if what & select.EPOLLOUT:
                    self._flush(peer)
                if what & ~select.EPOLLOUT:
                    self._read(peer)
        return commanded

    def of_kind(self, kind: str) -> list[Peer]:
        return [peer for peer in self._peers.values() if peer.kind == kind]

    def send(self, peer: Peer, data: bytes) -> None:
        """Send now what the kernel takes and the rest as it makes room."""
        if peer.socket.fileno() < 0:
            return
        if peer.unsent:
            peer.unsent += data
            return
        try:
            sent = peer.socket.send(data)
        except BlockingIOError:
            sent = 0
        except OSError:
            self.drop(peer)
            return
        if sent < len(data):
            peer.unsent += data[sent:]
            self._poll.modify(peer.socket.fileno(), select.EPOLLIN | select.EPOLLOUT)

    def relay(self, peer: Peer, raw: bytes, port: int) -> None:
        """Let another server of this host answer a request, unless nobody waits for it any more."""
        if peer.socket.fileno() < 0:
            return
        if peer.back is None:
            connection = socket.create_connection(("127.0.0.1", port))
            connection.setblocking(False)
            peer.back = Peer(connection, "back", back=peer)
            self._add(peer.back)
        self.send(peer.back, raw)

    def drop(self, peer: Peer) -> None:
        """Close a connection, and the other half of a relayed one."""
        for one in (peer, peer.back):
            if one is not None and one.socket.fileno() >= 0:
                self._peers.pop(one.socket.fileno(), None)
                one.socket.close()

    def _accept(self) -> None:
        connection, _ = self._listener.accept()
        connection.setblocking(False)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._add(Peer(connection))

    def _add(self, peer: Peer) -> None:
        self._peers[peer.socket.fileno()] = peer
        self._poll.register(peer.socket.fileno(), select.EPOLLIN)

    def _read(self, peer: Peer) -> None:
        try:
            data = peer.socket.recv(1 << 16)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        read_ns = time.monotonic_ns()
        if not data:
            self.drop(peer)
        elif peer.kind == "back":
            if peer.back is not None:
                self.send(peer.back, data)
        else:
            peer.buffer += data
            self._hear(peer, read_ns)

    def _flush(self, peer: Peer) -> None:
        data, peer.unsent = bytes(peer.unsent), bytearray()
        self.send(peer, data)
        if not peer.unsent and peer.socket.fileno() >= 0:
            self._poll.modify(peer.socket.fileno(), select.EPOLLIN)


def widen(peer: Peer) -> None:
    """Make room for all queued frames, so that they wait at the contender's side and not here."""
    try:
        peer.socket.setsockopt(socket.SOL_SOCKET, _SO_SNDBUFFORCE, SEND_BUFFER)
    except OSError:
        peer.socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER)
