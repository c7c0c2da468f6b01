// Named maxima of templates: a template comes from a model file, so it may be anything.
#pragma once

#include <cstddef>
#include <cstdint>

namespace tessera::limits {

/// Bytes of a template's source. Larger ones are refused before they are read.
inline constexpr std::size_t template_bytes_max = std::size_t{1} << 20;
/// Expressions and blocks inside each other in the source, and levels of evaluation at run time.
inline constexpr std::size_t template_nesting_max = 200;
inline constexpr std::size_t template_evaluation_depth_max = 1000;
/// Different variables of a template.
inline constexpr std::size_t template_names_max = 4096;
/// Macros that call macros.
inline constexpr std::size_t template_calls_max = 100;
/// Lists and dictionaries inside each other, and so what printing, comparing and destroying them recurses into.
inline constexpr std::size_t template_value_depth_max = 100;
/// Values in one list or dictionary, each counted as often as it is reached.
inline constexpr std::size_t template_value_weight_max = 2'000'000;
#if defined(__SANITIZE_ADDRESS__)
#define TESSERA_INSTRUMENTED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define TESSERA_INSTRUMENTED 1
#endif
#endif
/// Evaluated nodes, elements and (by 32) bytes of one rendering: about a second at worst, also in a sanitized build,
/// where each takes ten times as long.
#ifdef TESSERA_INSTRUMENTED
inline constexpr std::uint64_t template_steps_max = 1'000'000;
#else
inline constexpr std::uint64_t template_steps_max = 10'000'000;
#endif
/// Bytes of all values alive during one rendering, the conversation included.
inline constexpr std::size_t template_memory_bytes_max = std::size_t{256} << 20;
/// Bytes of the rendered text.
inline constexpr std::size_t template_output_bytes_max = std::size_t{64} << 20;
/// Length of a range(), as the reference's sandbox has it.
inline constexpr std::int64_t template_range_max = 100'000;

}  // namespace tessera::limits
