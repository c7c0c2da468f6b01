"""Calls that would break exactness or the injected clock and randomness, outside the few files that wrap them."""

import fnmatch
import re
from dataclasses import dataclass

from lint_rules.tree import Finding, code_only, line_of

LIBM = (
    "exp exp2 exp10 expm1 log log2 log10 log1p pow sin cos tan sincos asin acos atan atan2 sinh cosh tanh asinh acosh atanh cbrt hypot "
    "erf erfc tgamma lgamma"
).split()


def call(*names, suffixes=""):
    """Matches a call of one of the names, also with std:: or ::, but neither a member, another namespace's function nor a declaration."""
    alternatives = "|".join(names)
    return re.compile(r"(?P<before>(?:\b\w+|[>*&])[ \t]+)?(?<![\w.:>])(?:(?:std)?::)?(?P<name>(?:%s)%s)\s*\(" % (alternatives, suffixes))


def word(*names):
    return re.compile(r"(?<![\w])(?P<name>%s)(?!\w)" % "|".join(names))


@dataclass(frozen=True)
class Ban:
    rule: str
    pattern: re.Pattern
    remedy: str
    folders: tuple = ("*",)  # where the ban holds
    allowed: tuple = ()  # files that are the exception


BANS = [
    Ban("wall-clock", word("system_clock", "high_resolution_clock", r"steady_clock\s*::\s*now", "utc_clock", "file_clock", "gettimeofday",
                           "clock_gettime", "timespec_get", "localtime", "localtime_r", "gmtime", "gmtime_r", "__rdtsc", "__DATE__",
                           "__TIME__", "__TIMESTAMP__"),
        "time comes from the Clock that is passed in (runtime/base/clock.hpp)",
        # A thread's own processor time is no wall clock, and nothing is decided by it in tests.
        allowed=("runtime/base/clock.cpp", "runtime/device/read_speed.cpp")),
    Ban("wall-clock", call("time", "clock", "ftime"), "time comes from the Clock that is passed in (runtime/base/clock.hpp)",
        allowed=("runtime/base/clock.cpp",)),
    Ban("sleep", word("sleep_for", "sleep_until", "usleep", "nanosleep", "clock_nanosleep"), "wait for an event instead"),
    Ban("sleep", call("sleep"), "wait for an event instead"),
    Ban("random", word("random_device", "mt19937", "mt19937_64", "minstd_rand", "minstd_rand0", "default_random_engine", "knuth_b",
                       "ranlux24", "ranlux48", r"uniform_\w+_distribution", "normal_distribution", "arc4random", "drand48", "getrandom",
                       "getentropy"),
        "randomness is philox() with a seed, or the EntropySource that is passed in (runtime/base/rng.hpp)",
        # mt19937_64 is the same everywhere, and these draw no distributions of the library.
        allowed=("runtime/base/rng.cpp", "tests/sim/world.hpp", "tests/unit/batching/conductor_property_test.cpp")),
    Ban("random", call("rand", "srand", "rand_r", "random", "srandom", "random_shuffle"),
        "randomness is philox() with a seed, or the EntropySource that is passed in (runtime/base/rng.hpp)",
        allowed=("runtime/base/rng.cpp", "tests/sim/world.hpp")),
    Ban("libm", call(*LIBM, suffixes="[fl]?"), "libm differs between machines: use the op table or runtime/base/exact_math.hpp",
        folders=("kernels/*", "runtime/model/*", "runtime/tensor/*", "runtime/base/*"), allowed=("runtime/base/exact_math.*",)),
    Ban("libm", re.compile(r"(?<!\w)(?P<name>__builtin_(?:%s)[fl]?)\s*\(" % "|".join(LIBM)),
        "libm differs between machines: use the op table or runtime/base/exact_math.hpp", folders=("kernels/*", "runtime/*")),
    Ban("libm", re.compile(r"(?<!\w)(?P<name>std\s*::\s*(?:reduce|transform_reduce|inner_product|accumulate))\s*[<(]"),
        "the order of a sum in the numeric path is written out as docs/exactness.md says", folders=("kernels/*",)),
    Ban("cores", word("hardware_concurrency", "get_nprocs", "get_nprocs_conf", "_SC_NPROCESSORS_ONLN", "_SC_NPROCESSORS_CONF",
                      "sched_getaffinity"),
        "the number of threads is decided in runtime/device", allowed=("runtime/device/*",)),
]


def _is_declaration(match):
    """`double exp(` declares; `return exp(` calls."""
    before = match.groupdict().get("before")
    return bool(before) and before.split()[0] not in ("return", "else", "case", "do", "throw", "co_return", "co_yield", "*", "&", ">")


def _matches(path, patterns):
    return any(fnmatch.fnmatch(path, pattern) for pattern in patterns)


def check(tree):
    findings = []
    for path in tree.cxx():
        code = code_only(tree.text(path))
        for ban in BANS:
            if not _matches(path, ban.folders) or _matches(path, ban.allowed):
                continue
            for match in ban.pattern.finditer(code):
                if not _is_declaration(match):
                    name = re.sub(r"\s", "", match.group("name"))
                    findings.append(Finding(path, line_of(code, match.start("name")), ban.rule, f"'{name}' is not allowed here: {ban.remedy}"))
    return findings
