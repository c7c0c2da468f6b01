"""Somebody between two workers changes, repeats, leaves out and swaps frames, and plays old handshakes again: the connection ends, the
epoch is replaced, and no token is other than undisturbed."""

import os
import shutil
import socket
import tempfile
import threading
import unittest

from cluster import WAIT_S, Cluster, synth
from relay import SHIM, TO_ACCEPTOR, TO_DIALER, RelayedPorts, cut_short, flip, leave_out, repeat, swap
from steady import arguments, reference
from strangers import until_closed
from unittest_junit import full_only

STREAMS, TOKENS = 2, 100
# By then both streams are under way.
FRAMES = 150


@unittest.skipUnless(SHIM, "TESSERA_RELAY_CONNECT names no library (./dev test builds it)")
class TamperTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.mkdtemp(prefix="tessera-tamper-")
        cls.addClassCleanup(shutil.rmtree, cls.folder, ignore_errors=True)
        cls.model = synth(cls.folder, "tiny", "q8")
        cls.references = [reference(cls.model, index, TOKENS) for index in range(STREAMS)]
        cls.relayed = RelayedPorts(2)
        cls.addClassCleanup(cls.relayed.close)
        nodes = "\n".join(f'[[nodes]]\nname = "v{index}"\nhost = "127.0.0.1"\nroles = ["worker"]\ncores = 1\ndata_port = {port}\n'
                          for index, port in enumerate(cls.relayed.ports))
        cls.cluster = Cluster(os.path.join(cls.folder, "cluster"), workers=0, nodes=nodes, extra="[timeouts]\nstall_ms = 3000\n",
                              environment=cls.relayed.environment)
        cls.cluster.__enter__()
        cls.addClassCleanup(cls.cluster.__exit__, None)
        cls.cluster.deploy(cls.model, "m", "--workers", 2)
        # The participant with the higher index dials the other.
        cls.relay = next(relay for relay in cls.relayed.relays if relay.recorded)

    def logs(self, after=None):
        """Of each node, as far as it is new."""
        texts = {}
        for node in ("v0", "v1"):
            with open(os.path.join(self.cluster.state, "logs", f"{node}.log"), encoding="utf-8") as file:
                texts[node] = file.read()[len(after[node]) if after else 0:]
        return texts

    def epoch(self):
        return self.cluster.deployment("m")["serving"]["epoch"]

    def streams(self):
        return [self.cluster.stream("m", *arguments(index, TOKENS)) for index in range(STREAMS)]

    def compare(self, streams):
        for stream, expected in zip(streams, self.references):
            stream.read_all()
            self.assertEqual((stream.ids, stream.logprobs), expected)

    def under(self, direction, function, after=FRAMES):
        before, logs = self.epoch(), self.logs()
        self.relay.tamper(direction, after, function)
        streams = self.streams()
        self.assertTrue(self.relay.changed.wait(WAIT_S), "no frame came by")
        self.compare(streams)
        self.assertTrue(self.relay.cut.wait(WAIT_S), "the connection goes on after it was tampered with")
        self.cluster.wait_for(lambda status: any(one["name"] == "m" and one["state"] == "serving" and one["serving"]["epoch"] > before
                                                 for one in status["deployments"]))
        return "\n".join(self.logs(logs).values())

    def test_a_changed_bit_ends_the_connection(self):
        for position, direction in ((4, TO_ACCEPTOR), (80, TO_DIALER), (-1, TO_ACCEPTOR), (-20, TO_DIALER)):
            with self.subTest(position=position):
                self.assertIn("it was altered, repeated, or sealed with another key", self.under(direction, flip(position)))

    @full_only
    def test_a_changed_length_ends_the_connection(self):
        self.under(TO_ACCEPTOR, flip(0))
        self.assertIn("impossible length", self.under(TO_DIALER, flip(3)))

    def test_a_repeated_frame_ends_the_connection(self):
        self.assertIn("it was altered, repeated", self.under(TO_ACCEPTOR, repeat))

    @full_only
    def test_a_missing_frame_ends_the_connection(self):
        self.under(TO_DIALER, leave_out)

    @full_only
    def test_swapped_frames_end_the_connection(self):
        self.under(TO_ACCEPTOR, swap)

    @full_only
    def test_every_change_in_both_directions(self):
        for direction in (TO_ACCEPTOR, TO_DIALER):
            for function in (*map(flip, (0, 1, 2, 3, 4, 11, 40, 75, 76, 100, -1, -16, -17)), repeat, leave_out, swap, cut_short):
                for after in (1, 2, 3, 50, 301):
                    with self.subTest(direction=direction, function=function, after=after):
                        self.under(direction, function, after)

    @full_only
    def test_a_changed_handshake_gives_no_connection_and_the_next_one_does(self):
        # A frame that is changed in the middle makes a new epoch, whose first frame, the proof, is changed too.
        for direction in (TO_ACCEPTOR, TO_DIALER):
            with self.subTest(direction=direction):
                streams = self.streams()
                self.relay.tamper(direction, FRAMES, flip(-1))
                self.assertTrue(self.relay.changed.wait(WAIT_S))
                self.relay.tamper(direction, 0, flip(-1))
                self.assertTrue(self.relay.changed.wait(WAIT_S))
                self.compare(streams)

    def test_a_handshake_that_is_played_again_gives_nothing(self):
        old = self.relay.recorded[-1]
        self.assertGreater(len(old), 1)

        def play(bytes_again):
            with socket.create_connection(("127.0.0.1", self.relay.target)) as connection:
                try:
                    connection.sendall(bytes_again)
                except ConnectionError:
                    pass
                return until_closed(connection, WAIT_S)

        # The epoch serves: nobody waits for such a caller any more.
        streams, replayed = self.streams(), []
        threads = [threading.Thread(target=lambda: replayed.append(play(b"".join(old))), daemon=True) for _ in range(3)]
        for thread in threads:
            thread.start()
        self.compare(streams)

        # A new epoch begins: beside the true dialer come its own hello, followed by frames of the epoch before, and the whole of the old one.
        def beside(hello):
            for again in (hello + b"".join(old[1:]), b"".join(old), hello):
                thread = threading.Thread(target=lambda data=again: replayed.append(play(data)), daemon=True)
                threads.append(thread)
                thread.start()

        self.relay.on_hello = beside
        try:
            self.under(TO_ACCEPTOR, flip(-1))
        finally:
            self.relay.on_hello = None
        self.assertGreater(len(threads), 3)
        for thread in threads:
            thread.join(WAIT_S)
        self.assertEqual(len(replayed), len(threads))
        self.compare(self.streams())


if __name__ == "__main__":
    unittest.main()
