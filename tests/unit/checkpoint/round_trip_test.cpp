#include <cstring>

#include <boost/test/unit_test.hpp>

#include "tests/support/paths.hpp"
#include "tests/unit/checkpoint/small_models.hpp"

using namespace tessera;
using namespace tessera::test;

BOOST_AUTO_TEST_SUITE(round_trip)

namespace {

void check_reads_back(const ModelShape& shape, DType dtype) {
  const TemporaryFolder folder;
  const std::string path = folder.file("m.h5");
  const auto id = write_model(path, shape, dtype);
  BOOST_REQUIRE_MESSAGE(id, message_of(id));
  const auto opened = open_checkpoint(path, *id);
  BOOST_REQUIRE_MESSAGE(opened, message_of(opened));
  const Checkpoint& checkpoint = **opened;
  const Manifest& manifest = checkpoint.manifest();

  const Manifest header = header_of(shape, dtype);
  BOOST_TEST((manifest.shape == shape));
  BOOST_TEST((manifest.geometry == header.geometry));
  BOOST_TEST((manifest.dtype == dtype));
  BOOST_TEST(manifest.name == header.name);
  BOOST_TEST(manifest.source_format == header.source_format);
  BOOST_TEST(manifest.chat_template == header.chat_template);
  BOOST_TEST((manifest.rope_frequencies == header.rope_frequencies));
  BOOST_TEST(checkpoint.content_id() == *id);
  BOOST_TEST(checkpoint.source().uri() == "file://" + path);

  const auto specs = model_tensors(shape, header.geometry, dtype);
  BOOST_REQUIRE(manifest.tensors.size() == specs.size());
  for (std::uint32_t tensor = 0; tensor < specs.size(); ++tensor) {
    const TensorEntry& entry = manifest.tensors[tensor];
    BOOST_TEST(entry.spec.name == specs[tensor].name);
    BOOST_TEST((entry.spec.layout == specs[tensor].layout));
    const auto all = checkpoint.map_all(entry.spec.name);
    BOOST_REQUIRE_MESSAGE(all, message_of(all));
    BOOST_TEST(all->bytes() == layout_bytes(entry.spec.layout));
    for (std::uint32_t unit = 0; unit < layout_units(entry.spec.layout); ++unit) {
      const auto expected = unit_bytes(1, entry, tensor, unit);
      BOOST_TEST(std::memcmp(all->unit(unit), expected.data(), expected.size()) == 0);
      BOOST_TEST(reinterpret_cast<std::uintptr_t>(all->unit(unit)) % 64 == 0u);
    }
  }
  const auto tokenizer = checkpoint.read_tokenizer();
  BOOST_REQUIRE_MESSAGE(tokenizer, message_of(tokenizer));
  BOOST_TEST((*tokenizer == tokenizer_bytes()));
  const auto verified = checkpoint.verify({});
  BOOST_TEST(bool(verified), message_of(verified));
}

}  // namespace

BOOST_AUTO_TEST_CASE(models_of_every_dtype_are_read_back_byte_for_byte) {
  for (const DType dtype : all_dtypes) {
    check_reads_back(smallest_shape(), dtype);
    check_reads_back(sliced_shape(), dtype);
  }
}

BOOST_AUTO_TEST_CASE(some_units_are_mapped_alone_with_the_right_bytes) {
  const TemporaryFolder folder;
  const std::string path = folder.file("m.h5");
  BOOST_REQUIRE(write_model(path, sliced_shape(), DType::q8));
  const auto checkpoint = open_checkpoint(path);
  BOOST_REQUIRE_MESSAGE(checkpoint, message_of(checkpoint));
  const Manifest& manifest = (*checkpoint)->manifest();
  for (std::uint32_t tensor = 0; tensor < manifest.tensors.size(); ++tensor) {
    const TensorEntry& entry = manifest.tensors[tensor];
    const std::uint32_t units = layout_units(entry.spec.layout);
    for (std::uint32_t begin = 0; begin <= units; ++begin) {
      for (std::uint32_t end = begin; end <= units; ++end) {
        const auto mapped = (*checkpoint)->map(entry.spec.name, {begin, end});
        BOOST_REQUIRE_MESSAGE(mapped, message_of(mapped));
        BOOST_REQUIRE((mapped->units() == SliceRange{begin, end}));
        BOOST_REQUIRE_EQUAL(mapped->bytes(),
                            layout_unit_offset(entry.spec.layout, end) - layout_unit_offset(entry.spec.layout, begin));
        for (std::uint32_t unit = begin; unit < end; ++unit) {
          const auto expected = unit_bytes(1, entry, tensor, unit);
          BOOST_REQUIRE(std::memcmp(mapped->unit(unit), expected.data(), expected.size()) == 0);
        }
      }
    }
  }
}

BOOST_AUTO_TEST_CASE(units_and_tensors_that_do_not_exist_are_refused_by_name) {
  const TemporaryFolder folder;
  const std::string path = folder.file("m.h5");
  BOOST_REQUIRE(write_model(path, sliced_shape(), DType::f32));
  const auto checkpoint = open_checkpoint(path);
  BOOST_REQUIRE_MESSAGE(checkpoint, message_of(checkpoint));
  const auto unknown = (*checkpoint)->map_all("layers.9.attn_q");
  BOOST_REQUIRE(!unknown);
  BOOST_TEST((unknown.error().code == ErrorCode::not_found));
  BOOST_TEST(unknown.error().message.find("layers.9.attn_q") != std::string::npos);
  for (const SliceRange units :
       {SliceRange{0, 4}, SliceRange{2, 1}, SliceRange{7, 7}, SliceRange{0xffffffff, 0xffffffff}}) {
    const auto outside = (*checkpoint)->map("layers.0.attn_q", units);
    BOOST_REQUIRE(!outside);
    BOOST_TEST((outside.error().code == ErrorCode::invalid_argument));
  }
}

BOOST_AUTO_TEST_CASE(a_model_without_a_tokenizer_has_an_empty_one) {
  const TemporaryFolder folder;
  const std::string path = folder.file("m.h5");
  auto writer = CheckpointWriter::create(path, header_of(smallest_shape(), DType::f32));
  BOOST_REQUIRE_MESSAGE(writer, message_of(writer));
  for (std::uint32_t tensor = 0; tensor < (*writer)->tensors().size(); ++tensor) {
    const TensorEntry& entry = (*writer)->tensors()[tensor];
    for (std::uint32_t unit = 0; unit < entry.unit_crc32c.size(); ++unit) {
      BOOST_REQUIRE((*writer)->write_unit(tensor, unit, unit_bytes(1, entry, tensor, unit)));
    }
  }
  BOOST_REQUIRE((*writer)->finish());
  const auto checkpoint = open_checkpoint(path);
  BOOST_REQUIRE_MESSAGE(checkpoint, message_of(checkpoint));
  const auto tokenizer = (*checkpoint)->read_tokenizer();
  BOOST_REQUIRE(tokenizer);
  BOOST_TEST(tokenizer->empty());
  BOOST_TEST(bool((*checkpoint)->verify({})));
}

BOOST_AUTO_TEST_CASE(verify_reports_progress_and_stops_when_told) {
  const TemporaryFolder folder;
  const std::string path = folder.file("m.h5");
  BOOST_REQUIRE(write_model(path, sliced_shape(), DType::q8));
  const auto checkpoint = open_checkpoint(path);
  BOOST_REQUIRE_MESSAGE(checkpoint, message_of(checkpoint));
  std::uint64_t last = 0;
  std::uint64_t total = 0;
  int calls = 0;
  BOOST_TEST(bool((*checkpoint)->verify([&](std::uint64_t done, std::uint64_t all) {
    BOOST_TEST(done > last);
    last = done;
    total = all;
    ++calls;
    return true;
  })));
  BOOST_TEST(last == total);
  BOOST_TEST(calls > 20);
  int before_stop = 0;
  const auto stopped = (*checkpoint)->verify([&](std::uint64_t, std::uint64_t) { return ++before_stop < 3; });
  BOOST_REQUIRE(!stopped);
  BOOST_TEST((stopped.error().code == ErrorCode::cancelled));
  BOOST_TEST(before_stop == 3);
}

BOOST_AUTO_TEST_SUITE_END()
