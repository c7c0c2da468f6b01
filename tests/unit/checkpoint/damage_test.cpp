// Files that are cut, flipped, foreign, odd or hostile: an error that names the file, or the same model; never a crash.
#include <cstring>
#include <functional>
#include <hdf5.h>
#include <utility>

#include <boost/test/unit_test.hpp>

#include "runtime/base/rng.hpp"
#include "runtime/checkpoint/hdf5_object_header.hpp"
#include "runtime/checkpoint/hdf5_objects.hpp"
#include "tests/support/paths.hpp"
#include "tests/unit/checkpoint/small_models.hpp"

using namespace tessera;
using namespace tessera::test;

BOOST_AUTO_TEST_SUITE(damage)

namespace {

using Bytes = std::vector<std::byte>;

struct Model {
  TemporaryFolder folder;
  std::string path = folder.file("m.h5");
  std::string id;
  Bytes bytes;
  std::string manifest;
  MemoryFile changed;  // where damaged versions go

  explicit Model(DType dtype = DType::q8) {
    const auto written = write_model(path, smallest_shape(), dtype);
    BOOST_REQUIRE_MESSAGE(written, message_of(written));
    id = *written;
    bytes = read_file(path);
    manifest = to_json((*open_checkpoint(path))->manifest());
  }
};

// A refusal names the file; what opens is the very model, and its bytes are either right or named by verify().
void check_same_or_refused(Model& model, const Bytes& changed) {
  model.changed.set(changed);
  const auto opened = open_checkpoint(model.changed.path());
  if (!opened) {
    BOOST_REQUIRE_MESSAGE(opened.error().message.starts_with(model.changed.path() + ": "), opened.error().message);
    return;
  }
  BOOST_REQUIRE_EQUAL((*opened)->content_id(), model.id);
  BOOST_REQUIRE_EQUAL(to_json((*opened)->manifest()), model.manifest);
  const auto verified = (*opened)->verify({});
  if (!verified) {
    const std::string& message = verified.error().message;
    BOOST_REQUIRE_MESSAGE(
        message.find("dataset ") != std::string::npos || message.find("tokenizer") != std::string::npos, message);
    return;
  }
  for (const TensorEntry& entry : (*opened)->manifest().tensors) {
    const auto tensor = static_cast<std::uint32_t>(&entry - (*opened)->manifest().tensors.data());
    const auto mapped = (*opened)->map_all(entry.spec.name);
    BOOST_REQUIRE(mapped);
    for (std::uint32_t unit = 0; unit < layout_units(entry.spec.layout); ++unit) {
      const auto expected = unit_bytes(1, entry, tensor, unit);
      BOOST_REQUIRE(std::memcmp(mapped->unit(unit), expected.data(), expected.size()) == 0);
    }
  }
}

// Checksummed runs of the file's metadata: [begin, begin + size), followed by the checksum.
struct Block {
  std::size_t begin, size;
};

std::vector<Block> metadata_blocks(const Bytes& bytes) {
  std::vector<Block> blocks = {{0, 44}};
  for (std::size_t i = 0; i + 4 < bytes.size(); ++i) {
    if (std::memcmp(bytes.data() + i, "OHDR", 4) != 0 && std::memcmp(bytes.data() + i, "OCHK", 4) != 0) continue;
    for (std::size_t size = 8; size < 2000 && i + size + 4 <= bytes.size(); ++size) {
      std::uint32_t stored = 0;
      std::memcpy(&stored, bytes.data() + i + size, 4);
      if (lookup3(std::span(bytes).subspan(i, size)) != stored) continue;
      blocks.push_back({i, size});
      break;
    }
  }
  return blocks;
}

void repair_checksums(Bytes& bytes, const std::vector<Block>& blocks) {
  for (const Block& block : blocks) {
    const std::uint32_t checksum = lookup3(std::span(bytes).subspan(block.begin, block.size));
    std::memcpy(bytes.data() + block.begin + block.size, &checksum, 4);
  }
}

std::uint64_t tensor_offset(const std::string& path, const std::string& dataset) {
  const Hdf5Id file(H5Fopen(path.c_str(), H5F_ACC_RDONLY, H5P_DEFAULT), H5Fclose);
  const Hdf5Id id(H5Dopen2(file.get(), dataset.c_str(), H5P_DEFAULT), H5Dclose);
  return H5Dget_offset(id.get());
}

}  // namespace

BOOST_AUTO_TEST_CASE(a_file_cut_at_any_length_is_refused_by_name) {
  Model model;
  for (std::size_t length = 0; length < model.bytes.size(); length += length < 6000 ? 7 : 1021) {
    model.changed.set(Bytes(model.bytes.begin(), model.bytes.begin() + static_cast<std::ptrdiff_t>(length)));
    const auto opened = open_checkpoint(model.changed.path(), model.id);
    BOOST_REQUIRE(!opened);
    BOOST_REQUIRE((opened.error().code == ErrorCode::corrupt));
    BOOST_REQUIRE_MESSAGE(opened.error().message.starts_with(model.changed.path() + ": "), opened.error().message);
  }
}

BOOST_AUTO_TEST_CASE(the_message_says_what_is_wrong_with_a_file_that_is_no_checkpoint) {
  const TemporaryFolder folder;
  const std::string path = folder.file("x.h5");
  const auto check = [&](const Bytes& bytes, ErrorCode code, const std::string& named) {
    write_file(path, bytes);
    const auto opened = open_checkpoint(path);
    BOOST_REQUIRE(!opened);
    BOOST_TEST((opened.error().code == code), opened.error().message);
    BOOST_TEST(opened.error().message.find(named) != std::string::npos, opened.error().message);
  };
  check({}, ErrorCode::corrupt, "is not a checkpoint: the file is empty");
  check(Bytes(3), ErrorCode::corrupt, "is not a checkpoint: it does not begin as an HDF5 file does");
  check(Bytes(100000, std::byte{0x47}), ErrorCode::corrupt,
        "is not a checkpoint: it does not begin as an HDF5 file does");
  Model model;
  check(Bytes(model.bytes.begin(), model.bytes.begin() + 20), ErrorCode::corrupt, "truncated to 20 bytes");
  check(Bytes(model.bytes.begin(), model.bytes.end() - 1), ErrorCode::corrupt, "it was truncated");
}

BOOST_AUTO_TEST_CASE(a_flipped_bit_anywhere_gives_the_same_model_or_an_error) {
  Model model;
  // Every byte of the structure and of the manifest; of weights, tokenizer and gaps some.
  std::vector<bool> important(model.bytes.size());
  for (const Block& block : metadata_blocks(model.bytes)) {
    std::fill_n(important.begin() + static_cast<std::ptrdiff_t>(block.begin), block.size + 4, true);
  }
  const std::uint64_t manifest = tensor_offset(model.path, "/manifest");
  std::fill_n(important.begin() + static_cast<std::ptrdiff_t>(manifest), model.manifest.size() + 1, true);
  for (std::size_t i = 0; i < model.bytes.size(); ++i) {
    if (!important[i] && i % 61 != 0) continue;
    Bytes changed = model.bytes;
    changed[i] ^= static_cast<std::byte>(1u << i % 8);
    check_same_or_refused(model, changed);
  }
}

BOOST_AUTO_TEST_CASE(hostile_metadata_with_right_checksums_gives_the_same_model_or_an_error) {
  Model model;
  const std::vector<Block> blocks = metadata_blocks(model.bytes);
  BOOST_REQUIRE(blocks.size() >= 17);
  for (std::uint32_t seed = 0; seed < 8000; ++seed) {
    Bytes changed = model.bytes;
    std::uint32_t draws = 0;
    const auto draw = [&] { return philox({seed, 77}, {draws++})[0]; };
    for (std::uint32_t change = 0; change <= seed % 4; ++change) {
      const Block& block = blocks[draw() % blocks.size()];
      const std::size_t place = block.begin + draw() % block.size;
      const std::size_t room = block.begin + block.size - place;
      switch (draw() % 4) {
        case 0:
          changed[place] ^= static_cast<std::byte>(1u << draw() % 8);
          break;
        case 1:
          changed[place] = static_cast<std::byte>(draw());
          break;
        case 2:
          std::memset(changed.data() + place, 0xff, std::min<std::size_t>(room, 1 + draw() % 8));
          break;
        case 3: {
          const Block& other = blocks[draw() % blocks.size()];
          const std::size_t from = other.begin + draw() % other.size;
          const std::size_t count = std::min({room, other.begin + other.size - from, std::size_t{1 + draw() % 40}});
          std::memcpy(changed.data() + place, model.bytes.data() + from, count);
          break;
        }
      }
    }
    repair_checksums(changed, blocks);
    check_same_or_refused(model, changed);
  }
}

BOOST_AUTO_TEST_CASE(headers_that_lead_in_circles_end_with_an_error) {
  Model model;
  const std::vector<Block> blocks = metadata_blocks(model.bytes);
  // A continuation chunk that continues in itself: OCHK, then one message of type 0x10 with its own address and size.
  Bytes chunk(28);
  const std::uint64_t address = model.bytes.size();
  const std::uint64_t size = chunk.size();
  std::memcpy(chunk.data(), "OCHK", 4);
  chunk[4] = std::byte{0x10};
  chunk[5] = std::byte{16};
  std::memcpy(chunk.data() + 8, &address, 8);
  std::memcpy(chunk.data() + 16, &size, 8);
  const std::uint32_t checksum = lookup3(std::span(chunk).first(24));
  std::memcpy(chunk.data() + 24, &checksum, 4);
  model.bytes.insert(model.bytes.end(), chunk.begin(), chunk.end());
  // The first continuation of the root group now leads there.
  bool redirected = false;
  for (std::size_t i = blocks[1].begin; i < blocks[1].begin + blocks[1].size - 20 && !redirected; ++i) {
    if (model.bytes[i] != std::byte{0x10} || model.bytes[i + 1] != std::byte{16} || model.bytes[i + 2] != std::byte{0})
      continue;
    std::memcpy(model.bytes.data() + i + 4, &address, 8);
    std::memcpy(model.bytes.data() + i + 12, &size, 8);
    redirected = true;
  }
  BOOST_REQUIRE(redirected);
  repair_checksums(model.bytes, blocks);
  write_file(model.path, model.bytes);
  const auto opened = open_checkpoint(model.path);
  BOOST_REQUIRE(!opened);
  BOOST_TEST(opened.error().message.find("its structure has more than") != std::string::npos, opened.error().message);
}

BOOST_AUTO_TEST_CASE(verify_names_dataset_and_slice_of_a_changed_byte) {
  const TemporaryFolder folder;
  const std::string path = folder.file("m.h5");
  BOOST_REQUIRE(write_model(path, sliced_shape(), DType::f32));
  const auto checkpoint = open_checkpoint(path);
  BOOST_REQUIRE_MESSAGE(checkpoint, message_of(checkpoint));
  const TensorEntry* const entry = (*checkpoint)->manifest().find("layers.1.ffn_down");
  BOOST_REQUIRE(entry != nullptr);
  Bytes bytes = read_file(path);
  const std::uint64_t offset =
      tensor_offset(path, "/weights/layers.1.ffn_down") + layout_unit_offset(entry->spec.layout, 2);
  bytes[offset + 5] ^= std::byte{0x40};
  write_file(path, bytes);
  const auto damaged = open_checkpoint(path);
  BOOST_REQUIRE_MESSAGE(damaged, message_of(damaged));
  const auto verified = (*damaged)->verify({});
  BOOST_REQUIRE(!verified);
  BOOST_TEST((verified.error().code == ErrorCode::corrupt));
  BOOST_TEST(verified.error().message.starts_with(path + ": dataset layers.1.ffn_down, slice 2: checksum 0x"),
             verified.error().message);
  BOOST_TEST(verified.error().message.find("restore it from a copy") != std::string::npos);
  for (std::uint32_t unit = 0; unit < 4; ++unit) {
    BOOST_TEST(bool((*damaged)->verify_unit(*(*damaged)->manifest().find("layers.1.ffn_down"), unit)) == (unit != 2));
  }
}

BOOST_AUTO_TEST_CASE(a_changed_tokenizer_is_refused_when_it_is_read) {
  const Model model;
  Bytes bytes = model.bytes;
  bytes[tensor_offset(model.path, "/tokenizer") + 100] ^= std::byte{1};
  write_file(model.path, bytes);
  const auto opened = open_checkpoint(model.path);
  BOOST_REQUIRE_MESSAGE(opened, message_of(opened));
  const auto tokenizer = (*opened)->read_tokenizer();
  BOOST_REQUIRE(!tokenizer);
  BOOST_TEST(tokenizer.error().message.starts_with(model.path + ": the tokenizer: checksum 0x"),
             tokenizer.error().message);
}

BOOST_AUTO_TEST_CASE(two_datasets_in_the_same_bytes_are_refused) {
  Model model;
  const std::vector<Block> blocks = metadata_blocks(model.bytes);
  // Point attn_k at the place of attn_v; both have the same extent.
  const std::uint64_t from = tensor_offset(model.path, "/weights/layers.0.attn_k");
  const std::uint64_t to = tensor_offset(model.path, "/weights/layers.0.attn_v");
  int changes = 0;
  for (const Block& block : blocks) {
    for (std::size_t i = block.begin; i + 8 <= block.begin + block.size; ++i) {
      if (std::memcmp(model.bytes.data() + i, &from, 8) != 0) continue;
      std::memcpy(model.bytes.data() + i, &to, 8);
      ++changes;
    }
  }
  BOOST_REQUIRE(changes == 1);
  repair_checksums(model.bytes, blocks);
  write_file(model.path, model.bytes);
  const auto opened = open_checkpoint(model.path);
  BOOST_REQUIRE(!opened);
  BOOST_TEST(opened.error().message.find("overlap") != std::string::npos, opened.error().message);
}

BOOST_AUTO_TEST_CASE(a_replaced_file_keeps_its_old_bytes_and_is_refused_under_the_old_content_id) {
  const Model model;
  const auto old_source = open_source(model.path);
  BOOST_REQUIRE(old_source);
  const auto opened = open_checkpoint(model.path, model.id);
  BOOST_REQUIRE_MESSAGE(opened, message_of(opened));
  const auto new_id = write_model(model.path, smallest_shape(), DType::q8, 2);
  BOOST_REQUIRE(new_id);

  const auto mapped = (*opened)->map_all("embedding");
  BOOST_REQUIRE_MESSAGE(mapped, message_of(mapped));
  const auto expected = unit_bytes(1, (*opened)->manifest().tensors[0], 0, 0);
  BOOST_TEST(std::memcmp(mapped->unit(0), expected.data(), expected.size()) == 0);
  BOOST_TEST(bool((*opened)->verify({})));
  // A source that was opened before still sees the old file.
  BOOST_TEST(bool(Checkpoint::open(*old_source, model.id)));

  const auto refused = open_checkpoint(model.path, model.id);
  BOOST_REQUIRE(!refused);
  BOOST_TEST((refused.error().code == ErrorCode::corrupt));
  BOOST_TEST(refused.error().message.find(model.id) != std::string::npos, refused.error().message);
  BOOST_TEST(refused.error().message.find(*new_id) != std::string::npos, refused.error().message);
}

BOOST_AUTO_TEST_SUITE_END()
