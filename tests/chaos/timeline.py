"""What happened when, and how long streams waited because of it."""

import statistics
import time


class Mark:
    def __init__(self, kind):
        self.kind = kind
        self.at = time.monotonic()
        self.wall = time.time()
        self.until = None  # when the next one was set


class Timeline:
    """Marks in the order of time. A mark's window lasts until the next one."""

    def __init__(self):
        self.marks = []

    def mark(self, kind):
        mark = Mark(kind)
        if self.marks:
            self.marks[-1].until = mark.at
        self.marks.append(mark)
        return mark

    def close(self):
        if self.marks:
            self.marks[-1].until = time.monotonic()


def recovery(mark, run):
    """Seconds that this stream stood still because of the mark: the longest part of a pause between two tokens that lies in the mark's window. None for a
    stream that did not run then. (A fault's next mark is set when every stream has gone on, so a pause seldom reaches into the next window.)"""
    if not run.times or run.started > mark.at or run.times[-1] < mark.at:
        return None
    longest = 0.0
    for before, after in zip(run.times, run.times[1:]):
        if after > mark.at and before < mark.until:
            longest = max(longest, min(after, mark.until) - max(before, mark.at))
    if run.times[0] > mark.at:  # it ran, and waited for its first token
        longest = max(longest, min(run.times[0], mark.until) - mark.at)
    return longest


def quantile(values, share):
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def summary(marks, runs):
    """Per kind of fault: how often, how many streams ran then, and their recovery times in seconds."""
    rows = {}
    for mark in marks:
        row = rows.setdefault(mark.kind, {"count": 0, "times": []})
        row["count"] += 1
        row["times"] += [seconds for seconds in (recovery(mark, run) for run in runs) if seconds is not None]
    return [{"kind": kind, "count": row["count"], "streams": len(row["times"]),
             **({"median_s": statistics.median(row["times"]), "p99_s": quantile(row["times"], 0.99), "max_s": max(row["times"])} if row["times"] else {})}
            for kind, row in rows.items()]
