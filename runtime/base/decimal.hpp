// A float as a person would write it.
#pragma once

namespace tessera {

/// A double whose shortest decimal form is the shortest one that reads back as the same float: so that JSON shows
/// -1.25, not -1.2500000476837158, and loses no bit.
double decimal_of(float value);

}  // namespace tessera
