"""Somebody between two nodes: a relay of data connections that records, and on demand alters, repeats, leaves out or swaps frames.

Nodes come to it by `relay_connect` (tests/support), which leads their connections to a data port to the relay's."""

import os
import socket
import struct
import threading

from cluster import free_ports

SHIM = os.environ.get("TESSERA_RELAY_CONNECT")
TO_ACCEPTOR, TO_DIALER = 0, 1


class Relay:
    """Listens on `port`, and speaks to the listener on `target`."""

    def __init__(self, target):
        self.target = target
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.port = self.listener.getsockname()[1]
        self.lock = threading.Lock()
        self.change = None   # (direction, frames to let pass, function of one or two frames)
        self.changed = threading.Event()
        self.cut = threading.Event()  # the connection that was tampered with is over
        self.on_hello = None  # called with the hello of each dialer, before it goes on
        self.recorded = []   # of each connection: what the dialer sent: its hello, its frames
        self.frames = 0
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self):
        self.listener.close()

    def tamper(self, direction, after, function):
        """Once: the frame after so many more in this direction goes through `function(frame)`, or, if it returns None, is held and
        given to it together with the next as function(frame, next). What comes out is sent."""
        self.changed.clear()
        self.cut.clear()
        with self.lock:
            self.change = [direction, after, function]

    def _accept(self):
        while True:
            try:
                dialer, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(dialer,), daemon=True).start()

    def _serve(self, dialer):
        try:
            acceptor = socket.create_connection(("127.0.0.1", self.target))
        except OSError:
            dialer.close()
            return
        for one in (dialer, acceptor):
            one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        record = []
        with self.lock:
            self.recorded.append(record)
        back = threading.Thread(target=self._pump, args=(acceptor, dialer, TO_DIALER, None), daemon=True)
        back.start()
        self._pump(dialer, acceptor, TO_ACCEPTOR, record)
        back.join()
        dialer.close()
        acceptor.close()

    @staticmethod
    def _exactly(source, count):
        data = b""
        while len(data) < count:
            more = source.recv(count - len(data))
            if not more:
                raise ConnectionError("closed")
            data += more
        return data

    def _pump(self, source, sink, direction, record):
        touched = False
        try:
            prefix = self._exactly(source, 8)
            hello = prefix + self._exactly(source, struct.unpack("<I", prefix[4:])[0])
            if record is not None:
                record.append(hello)
                if self.on_hello:
                    self.on_hello(hello)
            sink.sendall(hello)
            while True:
                length = self._exactly(source, 4)
                frame = length + self._exactly(source, struct.unpack("<I", length)[0])
                if record is not None and len(record) < 100:
                    record.append(frame)
                with self.lock:
                    self.frames += 1
                    change, turn = self.change, False
                    if change and change[0] == direction:
                        change[1] -= 1
                        turn = change[1] < 0
                        if turn:
                            self.change = None
                if turn:
                    touched = True
                    out = change[2](frame)
                    if out is None:
                        length = self._exactly(source, 4)
                        out = change[2](frame, length + self._exactly(source, struct.unpack("<I", length)[0]))
                    self.changed.set()
                    frame = out
                sink.sendall(frame)
        except (ConnectionError, OSError):
            pass
        for one in (source, sink):
            try:
                one.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
        if touched:
            self.cut.set()


class RelayedPorts:
    """Data ports for so many nodes, a relay before each, and the environment that leads there."""

    def __init__(self, count):
        self.ports = free_ports(count)
        self.relays = [Relay(port) for port in self.ports]
        self.environment = {"LD_PRELOAD": SHIM, "TESSERA_TEST_RELAY": ",".join(f"{port}={relay.port}" for port, relay in zip(self.ports, self.relays))}

    def close(self):
        for relay in self.relays:
            relay.close()


def flip(position):
    """Changes one bit at this byte of the frame, from the end if it is negative."""

    def function(frame):
        changed = bytearray(frame)
        changed[position] ^= 1
        return bytes(changed)

    return function


def repeat(frame):
    return frame + frame


def leave_out(frame):  # pylint: disable=unused-argument
    return b""


def swap(frame, following=None):
    return None if following is None else following + frame


def cut_short(frame):
    return frame[:len(frame) // 2]
