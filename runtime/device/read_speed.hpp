// How fast this machine reads weights: what decides a worker's share of a model, since decoding is bound by memory.
#pragma once

#include <cstdint>

namespace tessera {

/// Bytes per second that `threads` threads together may read from memory: the best of many samples of a millisecond of
/// one thread, by that thread's processor time (so that a busy machine looks slow only while others use the memory),
/// times the threads, but at most shared_read_factor times one, as the threads share one memory. Takes about 50 ms and
/// 64 MiB. Still off by tens of percent on a busy machine: see cluster/control/comparable_speeds.hpp.
double measure_read_speed(std::uint32_t threads);

/// Processor time that the calling thread has had, live: getrusage() counts it in ticks of some milliseconds.
double thread_cpu_seconds();

/// One core of today's servers draws a good half of what its memory channels give to all.
inline constexpr double shared_read_factor = 2.0;

}  // namespace tessera
