// Finding text in text in linear time, whatever the two are.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace tessera::jinja {

/// Byte position of the first `needle` at or behind `from`, or of the last one that ends at or before `end`; npos:
/// none.
std::size_t find_text(std::string_view text, std::string_view needle, std::size_t from = 0);
std::size_t find_last_text(std::string_view text, std::string_view needle, std::size_t end = std::string_view::npos);

/// Occurrences that do not overlap, from the left; one more than characters for an empty needle.
std::size_t count_text(std::string_view text, std::string_view needle);
/// str.replace: at most `count` occurrences, all where it is negative. Call replaced_bytes before, for its size.
std::string replace_text(std::string_view text, std::string_view needle, std::string_view by, std::int64_t count);
/// Upper bound of the size of the result; saturates.
std::size_t replaced_bytes(std::string_view text, std::string_view needle, std::string_view by, std::int64_t count);

/// str.split and rsplit: at most `count` times, any number where it is negative. An empty separator: at white space.
std::vector<std::string_view> split_text(std::string_view text, std::string_view separator, std::int64_t count);
std::vector<std::string_view> split_text_from_right(std::string_view text, std::string_view separator,
                                                    std::int64_t count);

}  // namespace tessera::jinja
