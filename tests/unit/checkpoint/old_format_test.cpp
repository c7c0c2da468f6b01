// Checkpoints of every format version that this build claims to read. The files in tests/data are never rewritten: a
// change that makes this test fail is a new format version.
#include <cstring>
#include <ostream>

#include <boost/test/data/monomorphic.hpp>
#include <boost/test/data/test_case.hpp>
#include <boost/test/unit_test.hpp>

#include "tests/support/paths.hpp"
#include "tests/unit/checkpoint/small_models.hpp"

using namespace tessera;
using namespace tessera::test;
namespace data = boost::unit_test::data;

BOOST_AUTO_TEST_SUITE(old_format)

namespace {

struct OldFile {
  DType dtype;
  const char* path;
  const char* content_id;
};
std::ostream& operator<<(std::ostream& out, const OldFile& file) { return out << file.path; }

const OldFile version_1_files[] = {
    {DType::q8, "data/checkpoint_v1_q8.h5", "e0a0f709586768c92adc33e12caa6ba22cb5520ddbd6e9461bd630b13f8f46ca"},
    {DType::bf16, "data/checkpoint_v1_bf16.h5", "da6673005eaf49d9e9963a44bc149be149898487bd32809a3dd93ac01df8f247"},
    {DType::q4, "data/checkpoint_v1_q4.h5", "a6c4768af1bca3cee407e89b0899ba928b0c2d9a8a22f643c0b917d9ce83d894"},
};

}  // namespace

BOOST_DATA_TEST_CASE(a_file_of_version_1_opens_with_its_content_id_and_its_bytes, data::make(version_1_files), file) {
  const auto opened = open_checkpoint(test_file(file.path), file.content_id);
  BOOST_REQUIRE_MESSAGE(opened, message_of(opened));
  const Checkpoint& checkpoint = **opened;
  BOOST_TEST((checkpoint.manifest().shape == smallest_shape()));
  BOOST_TEST((checkpoint.manifest().dtype == file.dtype));
  BOOST_TEST(checkpoint.manifest().chat_template == header_of(smallest_shape(), file.dtype).chat_template);
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

BOOST_DATA_TEST_CASE(the_writer_still_gives_the_content_id_of_version_1, data::make(version_1_files), file) {
  const TemporaryFolder folder;
  const auto id = write_model(folder.file("m.h5"), smallest_shape(), file.dtype);
  BOOST_REQUIRE_MESSAGE(id, message_of(id));
  BOOST_TEST(*id == file.content_id);
}

BOOST_AUTO_TEST_SUITE_END()
