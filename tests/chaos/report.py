"""What a run of chaos tells in the end."""

import os

from timeline import summary

DAY_S = 86400
FAILURES_SHOWN = 12


def detection(marks, detections):
    """Seconds from each kind of mark to the first loss that the coordinator noticed in its window."""
    found = {}
    for mark in marks:
        second = mark.wall % DAY_S
        window = mark.until - mark.at
        waits = [(at - second) % DAY_S for at, _ in detections]
        # The log says milliseconds: what it noticed at once may seem a moment too early.
        noticed = [0.0 if wait > DAY_S - 0.01 else wait for wait in waits if wait < window or wait > DAY_S - 0.01]
        if noticed:
            found.setdefault(mark.kind, []).append(min(noticed))
    return found


def report(chaos):
    runs = chaos.runs
    ended = [run for run in runs if run.ended is not None]
    rows = summary(chaos.timeline.marks, runs)
    noticed = detection(chaos.timeline.marks, chaos.detections)
    for row in rows:
        if row["kind"] in noticed:
            row["detection_max_s"] = max(noticed[row["kind"]])
    return {
        "seed": chaos.options.seed, "seconds": chaos.seconds, "faults": chaos.faults, "concurrent_streams": chaos.options.streams,
        "streams": len(ended), "refused": sum(run.refused for run in ended), "tokens_compared": sum(len(run.times) for run in ended), "resumptions": sum(run.resumptions for run in ended),
        "kinds": rows, "failures": chaos.failures, "not_tested": chaos.skipped, "commit": os.environ.get("TESSERA_BENCH_COMMIT", "unknown"),
    }


def table(result):
    def ms(value):
        return "-" if value is None else f"{1000 * value:.0f}"

    lines = [f"{'':42} {'count':>5} {'streams':>7}  {'median':>6} {'p99':>6} {'max':>6} ms without a token; {'noticed':>7} within ms at most"]
    for row in sorted(result["kinds"], key=lambda each: each["kind"]):
        lines.append(f"{row['kind']:42} {row['count']:5} {row['streams']:7}  {ms(row.get('median_s')):>6} {ms(row.get('p99_s')):>6} "
                     f"{ms(row.get('max_s')):>6} {'':20} {ms(row.get('detection_max_s')):>7}")
    lines.append(f"\nseed {result['seed']}: {result['faults']} faults in {result['seconds']:.0f} s; {result['streams']} streams, "
                 f"{result['tokens_compared']} tokens compared, {result['resumptions']} resumptions; "
                 f"{result['refused']} refused while there was no worker")
    if result["not_tested"]:
        lines.append(f"NOT TESTED: faults of the network ({result['not_tested']})")
    lines += [f"FAILED: {failure}" for failure in result["failures"][:FAILURES_SHOWN]] or ["every stream complete and identical; nothing leaked"]
    return "\n".join(lines)
