"""Eight streams of 200 tokens of llama-134m q8 on four workers: how long they pause while a worker joins, is drained or is
killed, while the conductor's node is killed, and while the coordinator starts again. Every run's tokens are compared with an
undisturbed run's."""

import tempfile
import threading
import time

from cluster import Cluster

STREAMS = 8
TOKENS = 200


def arguments(index):
    prompt = ",".join(str(1 + (37 + index) * i % 900) for i in range(10 + 3 * index))
    return ["--prompt-ids", prompt, "-n", TOKENS, "--ignore-eos", "--temperature", "0"]


class TimedStream:
    """One stream, read by a thread of its own; notes when each token came."""

    def __init__(self, cluster, index):
        self.stream = cluster.stream("m", *arguments(index))
        self.times = []
        self.failure = None
        self.under_way = threading.Event()
        self.thread = threading.Thread(target=self._read, daemon=True)
        self.thread.start()

    def _read(self):
        try:
            while self.stream.read():
                if len(self.stream.ids) > len(self.times):
                    self.times.append(time.monotonic())
                if len(self.times) == 10:
                    self.under_way.set()
            self.stream.lines.close()
            assert self.stream.finished == "length", self.stream.lines.errors.decode()
        except AssertionError as failure:
            self.failure = failure
        self.under_way.set()

    def join(self):
        self.thread.join()
        if self.failure is not None:
            raise self.failure
        return self

    def longest_pause_ms(self, moment):
        """From then on: what lies before is the prefill of the other streams."""
        return 1e3 * max((b - a for a, b in zip(self.times, self.times[1:]) if b > moment), default=0.0)

    def first_after_ms(self, moment):
        """From then to the first token of the work that came after the longest pause."""
        pauses = [(b - a, b) for a, b in zip(self.times, self.times[1:]) if b > moment]
        return 1e3 * (max(pauses)[1] - moment) if pauses else 0.0


def under_streams(options, model, disturb):
    """Runs eight streams on four workers and disturbs them once all are under way. `disturb(cluster)` gives the moment of the
    disturbance and that of its notice, or None."""
    with Cluster(tempfile.mkdtemp(dir=options.folder), workers=4) as cluster:
        cluster.deploy(model, "m", "--workers", 0)
        streams = [TimedStream(cluster, index) for index in range(STREAMS)]
        for stream in streams:
            assert stream.under_way.wait(60), "a stream did not begin"
        moments = disturb(cluster)
        for stream in streams:
            stream.join()
        return streams, moments


def conductor(cluster):
    return cluster.deployment("m")["serving"]["conductor"]


def other_than_conductor(cluster):
    return next(f"w{i}" for i in range(4, 0, -1) if f"w{i}" != conductor(cluster))


def join(cluster):
    moment = time.monotonic()
    cluster.join("w9")
    cluster.wait_for_members("m", ["w1", "w2", "w3", "w4", "w9"])
    return moment, None


def drain(cluster):
    leaving, moment = other_than_conductor(cluster), time.monotonic()
    cluster.command("drain", leaving)
    cluster.wait_for_members("m", [f"w{i}" for i in range(1, 5) if f"w{i}" != leaving])
    return moment, None


def kill(cluster, node):
    moment = time.monotonic()
    cluster.kill(node)
    cluster.wait_for(lambda status: any(one["name"] == node and one["state"] == "lost" for one in status["nodes"]))
    return moment, time.monotonic()


def restart_coordinator(cluster):
    moment = time.monotonic()
    cluster.kill("c")
    cluster.up()
    return moment, None


DISTURBANCES = {
    "join": ("a worker joins", join, "<= 150"),
    "drain": ("a worker is drained", drain, "<= 150"),
    "kill": ("a worker is killed", lambda cluster: kill(cluster, other_than_conductor(cluster)), ""),
    "kill-conductor": ("the conductor's node is killed", lambda cluster: kill(cluster, conductor(cluster)), ""),
    "restart": ("the coordinator is killed and started", restart_coordinator, ""),
}


def measure(options, report, model, progress, samples_type):
    progress("elastic: undisturbed")
    undisturbed = samples_type()
    reference = None
    for _ in range(options.elastic_samples):
        streams, (moment, _) = under_streams(options, model, lambda cluster: (time.monotonic(), None))
        reference = reference or [(stream.stream.ids, stream.stream.logprobs) for stream in streams]
        undisturbed.append(max(stream.longest_pause_ms(moment) for stream in streams))
    what = f"{STREAMS} streams on 4 workers"
    report.add(f"{what}, undisturbed: longest pause of any stream ({options.elastic_samples} runs)", "ms", undisturbed, digits=0, worst=True)
    for name, (words, disturb, goal) in DISTURBANCES.items():
        if name not in options.disturb:
            continue
        longest, first, last, noticed = samples_type(), samples_type(), samples_type(), samples_type()
        for run in range(options.elastic_samples):
            progress(f"elastic: {words}, run {run + 1} of {options.elastic_samples}")
            streams, (moment, notice) = under_streams(options, model, disturb)
            assert [(stream.stream.ids, stream.stream.logprobs) for stream in streams] == reference, f"{words}: other tokens"
            longest.append(max(stream.longest_pause_ms(moment) for stream in streams))
            if notice is not None:
                noticed.append(1e3 * (notice - moment))
                again = [stream.first_after_ms(moment) for stream in streams]
                first.append(min(again))
                last.append(max(again))
        report.add(f"{what}, {words}: longest pause of any stream", "ms", longest, undisturbed, goal, digits=0, worst=True)
        if noticed:
            report.add(f"{what}, {words}: seen in the status", "ms", noticed, goal="<= 1000", digits=0, worst=True)
            report.add(f"{what}, {words}: the first stream's tokens again", "ms", first, goal="<= 2000", digits=0, worst=True)
            report.add(f"{what}, {words}: every stream's tokens again", "ms", last, digits=0)
