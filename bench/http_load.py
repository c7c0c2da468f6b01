"""Load for a gateway: clients that stream completions over plain HTTP/1.1 and note when tokens come. One event loop for all of them,
so that a hundred clients cost the servers' machine little.
"""

import asyncio
import json
import time

EVENT = b"data: {"


class Reply:
    """What one client saw of one stream."""

    def __init__(self):
        self.started = time.monotonic()
        self.arrivals = []  # of reads that held events
        self.events = 0
        self.text = b""

    @property
    def first(self):
        """Seconds to the first event."""
        return self.arrivals[0] - self.started

    @property
    def gaps(self):
        """Seconds between two reads."""
        return [b - a for a, b in zip(self.arrivals, self.arrivals[1:])]


async def stream(server, body, wait_for_end=True):
    """One streamed request to server.port; raises unless its stream ends as server.done says. Or only asks, and returns
    the connection."""
    port, path, done = server.port, server.path, server.done
    payload = json.dumps(body).encode()
    reply = Reply()
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"POST %s HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%s" %
                 (path.encode(), len(payload), payload))
    await writer.drain()
    if not wait_for_end:
        return reader, writer
    head = await reader.readuntil(b"\r\n\r\n")
    if b" 200 " not in head.split(b"\r\n", 1)[0]:
        raise RuntimeError((head + await reader.read(2000)).decode(errors="replace"))
    tail, ended = b"", False
    while not ended:
        data = await reader.read(1 << 16)
        if not data:
            raise RuntimeError(f"the stream at port {port} ended early: {tail[-500:]!r}")
        events = data.count(EVENT)
        if events:
            reply.arrivals.append(time.monotonic())
            reply.events += events
        tail += data
        ended = done in tail
        tail = tail[-4096:]
    reply.text = tail
    writer.close()
    return reply


async def closed_loop(server, bodies, clients):
    """All bodies, `clients` at a time: their replies and how long it took. With several clients the first round of starts is spread over
    a tenth of a second, as people do not all ask at once."""
    waiting = list(reversed(bodies))
    replies = []

    async def client(index):
        await asyncio.sleep(0.1 * index / clients)
        while waiting:
            replies.append(await stream(server, waiting.pop()))

    start = time.monotonic()
    await asyncio.gather(*(client(index) for index in range(clients)))
    return replies, time.monotonic() - start
