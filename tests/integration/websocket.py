"""A WebSocket client as small as one can be (RFC 6455): text messages, pings, closes."""

import base64
import hashlib
import json
import os
import socket
import struct

GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
TEXT, CLOSE, PING, PONG = 1, 8, 9, 10


class WebSocket:
    """`with WebSocket(port, path) as client:`. Every wait has a limit."""

    def __init__(self, port, path, timeout_s, headers=()):
        key = base64.b64encode(os.urandom(16))
        self.socket = socket.create_connection(("127.0.0.1", port), timeout_s)
        lines = [f"GET {path} HTTP/1.1", f"Host: 127.0.0.1:{port}", "Upgrade: websocket", "Connection: Upgrade", "Sec-WebSocket-Version: 13",
                 f"Sec-WebSocket-Key: {key.decode()}", *headers]
        self.socket.sendall("\r\n".join(lines).encode() + b"\r\n\r\n")
        self.file = self.socket.makefile("rb")
        self.status = int(self.file.readline().split()[1])
        self.headers = {}
        while (line := self.file.readline().strip()):
            name, _, value = line.partition(b":")
            self.headers[name.decode().lower()] = value.strip().decode()
        if self.status == 101:
            assert self.headers["sec-websocket-accept"] == base64.b64encode(hashlib.sha1(key + GUID).digest()).decode()

    def __enter__(self):
        return self

    def __exit__(self, *failure):
        self.file.close()
        self.socket.close()

    def send_frame(self, opcode, payload):
        mask = os.urandom(4)
        size = len(payload)
        head = bytes([0x80 | opcode])
        if size < 126:
            head += bytes([0x80 | size])
        elif size < 1 << 16:
            head += bytes([0x80 | 126]) + struct.pack(">H", size)
        else:
            head += bytes([0x80 | 127]) + struct.pack(">Q", size)
        self.socket.sendall(head + mask + bytes(byte ^ mask[i % 4] for i, byte in enumerate(payload)))

    def send(self, **message):
        self.send_frame(TEXT, json.dumps(message).encode())

    def read_frame(self):
        """Opcode and payload."""
        head = self.file.read(2)
        assert len(head) == 2, "the connection ended"
        size = head[1]
        if size >= 126:
            size = struct.unpack(*((">H", self.file.read(2)) if size == 126 else (">Q", self.file.read(8))))[0]
        return head[0] & 15, self.file.read(size)

    def read(self):
        opcode, payload = self.read_frame()
        assert opcode == TEXT, (opcode, payload)
        return json.loads(payload)

    def read_all(self):
        """The text of one answer, and its last message."""
        text = ""
        while (message := self.read())["type"] == "text":
            text += message["text"]
        return text, message

    def close(self, code=1000):
        """Waits for the server's close; its code."""
        self.send_frame(CLOSE, struct.pack(">H", code))
        while (frame := self.read_frame())[0] != CLOSE:
            pass
        return struct.unpack(">H", frame[1][:2])[0]
