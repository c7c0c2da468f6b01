// Comparable speeds: what placement makes of the speeds that nodes measured of themselves.
//
//   measured     9.1   7.4  10.0   8.8  19.5   GB/s: four equal machines that were busy while they measured, a fast one
//   comparable   1     1     1     1     2      times the median
//
// A measurement of some milliseconds on a machine that starts other nodes at the same time is off by a few tens of
// percent. Shares that follow such noise move slices without making anything faster, so speeds near the cluster's
// median count as the median, and others are rounded to a step.
#pragma once

#include <span>
#include <vector>

namespace tessera {

/// Speeds that differ from the median by less than this factor are equal to it.
inline constexpr double speed_noise_factor = 1.5;
/// Others are rounded to steps, so many for each doubling.
inline constexpr double speed_steps_per_doubling = 2;

/// As multiples of the median (of an even number the lower one), in the order given. All are positive and finite.
std::vector<double> comparable_speeds(std::span<const double> measured);

}  // namespace tessera
