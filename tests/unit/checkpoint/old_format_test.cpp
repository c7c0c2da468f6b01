// Checkpoints of every format version that this build claims to read. The files in tests/data are never rewritten: a
// change that makes this test fail is a new format version.
#include <cstring>

#include <boost/test/unit_test.hpp>

#include "tests/support/paths.hpp"
#include "tests/unit/checkpoint/small_models.hpp"

using namespace tessera;
using namespace tessera::test;

BOOST_AUTO_TEST_SUITE(old_format)

namespace {

constexpr const char* version_1_file = "data/checkpoint_v1_q8.h5";
constexpr const char* version_1_content_id = "e0a0f709586768c92adc33e12caa6ba22cb5520ddbd6e9461bd630b13f8f46ca";

}  // namespace

BOOST_AUTO_TEST_CASE(a_file_of_version_1_opens_with_its_content_id_and_its_bytes) {
  const auto opened = open_checkpoint(test_file(version_1_file), version_1_content_id);
  BOOST_REQUIRE_MESSAGE(opened, message_of(opened));
  const Checkpoint& checkpoint = **opened;
  BOOST_TEST((checkpoint.manifest().shape == smallest_shape()));
  BOOST_TEST((checkpoint.manifest().dtype == DType::q8));
  BOOST_TEST(checkpoint.manifest().chat_template == header_of(smallest_shape(), DType::q8).chat_template);
  for (std::uint32_t tensor = 0; tensor < checkpoint.manifest().tensors.size(); ++tensor) {
    const TensorEntry& entry = checkpoint.manifest().tensors[tensor];
    const auto mapped = checkpoint.map_all(entry.spec.name);
    BOOST_REQUIRE_MESSAGE(mapped, message_of(mapped));
    for (std::uint32_t unit = 0; unit < layout_units(entry.spec.layout); ++unit) {
      const auto expected = unit_bytes(1, entry, tensor, unit);
      BOOST_TEST(std::memcmp(mapped->unit(unit), expected.data(), expected.size()) == 0);
    }
  }
  const auto verified = checkpoint.verify({});
  BOOST_TEST(bool(verified), message_of(verified));
}

BOOST_AUTO_TEST_CASE(the_writer_still_gives_the_content_id_of_version_1) {
  const TemporaryFolder folder;
  const auto id = write_model(folder.file("m.h5"), smallest_shape(), DType::q8);
  BOOST_REQUIRE_MESSAGE(id, message_of(id));
  BOOST_TEST(*id == version_1_content_id);
}

BOOST_AUTO_TEST_SUITE_END()
