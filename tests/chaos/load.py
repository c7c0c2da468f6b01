"""Streams that are always running: each slot runs `tessera generate --events` again and again, and compares every token as it comes."""

import json
import queue
import threading
import time

from binary import TIME_FACTOR
from cluster import Lines

# Without any event for so long a stream counts as stuck.
STUCK_S = 60 * TIME_FACTOR


# What a new request is told after some seconds without any worker.
REFUSAL = "is not served at the moment"


class Run:
    """One stream: when its tokens came, and what is wrong with it."""

    def __init__(self, slot, reference):
        self.slot, self.reference = slot, reference
        self.started = time.monotonic()
        self.times = []
        self.ended = None
        self.resumptions = 0
        self.refused = False  # told that nobody can serve it, before its first token
        self.fault = None

    def __str__(self):
        return f"stream {self.slot}, request {self.reference.index}, after {len(self.times)} tokens"


class Slot(threading.Thread):
    def __init__(self, load, number):
        super().__init__(daemon=True)
        self.load, self.number = load, number
        self.lines = None

    def run(self):
        # Each slot has its own order of the requests.
        references = self.load.references
        position = self.number * 7
        while not self.load.stopping.is_set():
            position += 5 + 2 * (self.number % 2)
            run = Run(self.number, references[position % len(references)])
            self.load.began(run)
            lines = self.lines = Lines("generate", self.load.deployment, *run.reference.arguments, "--events", "--cluster", self.load.config)
            try:
                run.fault = self._follow(run, lines)
            finally:
                lines.close()
            if run.fault:
                run.fault += f" {lines.errors.decode(errors='replace').strip()}"
                if self.load.outage and not run.times and REFUSAL in run.fault:
                    run.refused, run.fault = True, None
            self.load.finished(run)

    def _follow(self, run, lines):
        """To the end; what is wrong, or None."""
        finished = None
        while True:
            try:
                line = lines.queue.get(timeout=STUCK_S)
            except queue.Empty:
                return f"no event within {STUCK_S:.0f} s"
            now = time.monotonic()
            if line is None:
                return None if finished == "length" else f"ended without its tokens (exit code {lines.process.wait()})"
            event = json.loads(line, parse_float=str)
            if event["event"] == "token":
                wrong = self.wrong(run, event)
                if wrong:
                    return wrong
                run.times.append(now)
            elif event["event"] == "resumed":
                run.resumptions += 1
            elif event["event"] == "finished":
                finished = event["reason"]
                if len(run.times) != len(run.reference.ids):
                    return f"finished ({finished}) too early"
            else:
                return f"failed: {event}"

    @staticmethod
    def wrong(run, event):
        """What is wrong with a token; None if it is the undisturbed run's next one."""
        index = len(run.times)
        if event["index"] != index:
            return f"token {event['index']} came where {index} was due"
        if index >= len(run.reference.ids):
            return "more tokens than asked for"
        got, expected = (event["id"], event["logprob"]), (run.reference.ids[index], run.reference.logprobs[index])
        return None if got == expected else f"token {index} is {got}, undisturbed it is {expected}"


class Load:
    """`count` streams at any time, until stop(). All threads; the lock guards runs and wakes those who wait for progress."""

    def __init__(self, config, deployment, references, count):
        self.config, self.deployment, self.references = config, deployment, references
        self.stopping = threading.Event()
        self.changed = threading.Condition()
        self.runs = []
        self.violations = []
        self.outage = False  # nobody can serve: new requests may be refused
        self.slots = [Slot(self, number) for number in range(count)]

    def start(self):
        for slot in self.slots:
            slot.start()

    def began(self, run):
        with self.changed:
            self.runs.append(run)

    def finished(self, run):
        with self.changed:
            run.ended = time.monotonic()
            if run.fault:
                self.violations.append(f"{run}: {run.fault}")
            self.changed.notify_all()

    def running(self):
        with self.changed:
            return [run for run in self.runs if run.ended is None]

    def stop(self):
        """Lets what runs come to its end."""
        self.stopping.set()
        for slot in self.slots:
            slot.join()

    def give_up(self):
        """Ends everything at once; what runs counts as unfinished."""
        self.stopping.set()
        for slot in self.slots:
            if slot.lines is not None:
                slot.lines.process.kill()
        for slot in self.slots:
            slot.join()
