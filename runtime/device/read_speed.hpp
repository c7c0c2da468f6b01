// How fast this machine reads weights: what decides a worker's share of a model, since decoding is bound by memory.
#pragma once

#include <cstdint>

namespace tessera {

/// Bytes per second that `threads` threads together may read from memory: the best of several short runs of one thread,
/// by that thread's processor time (so that a busy machine does not look slow), times the threads, but at most
/// shared_read_factor runs' worth, as the threads share one memory. Takes about 50 ms and 64 MiB.
double measure_read_speed(std::uint32_t threads);

/// One core of today's servers draws a good half of what its memory channels give to all.
inline constexpr double shared_read_factor = 2.0;

/// To the nearest step of a half power of two, so that noise between equal machines does not make unequal shares.
double rounded_speed(double bytes_per_second);

}  // namespace tessera
