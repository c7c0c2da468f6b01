// Whether this test runs under AddressSanitizer, whose memory and time are not those of the real program.
#pragma once

#include <boost/test/unit_test.hpp>

namespace tessera::test {

#if defined(__SANITIZE_ADDRESS__)
inline constexpr bool sanitized = true;
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
inline constexpr bool sanitized = true;
#else
inline constexpr bool sanitized = false;
#endif
#else
inline constexpr bool sanitized = false;
#endif

/// A precondition for what says nothing about memory and takes long.
struct NotSanitized {
  boost::test_tools::assertion_result operator()(boost::unit_test::test_unit_id) const {
    boost::test_tools::assertion_result result(!sanitized);
    if (sanitized) result.message() << "left to the release build: it takes minutes under the sanitizers";
    return result;
  }
};

}  // namespace tessera::test
