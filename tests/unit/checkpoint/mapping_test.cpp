#include <cstring>
#include <fcntl.h>
#include <fstream>
#include <sys/mman.h>
#include <thread>
#include <unistd.h>

#include <boost/test/unit_test.hpp>

#include "tests/support/paths.hpp"
#include "tests/unit/checkpoint/small_models.hpp"

using namespace tessera;
using namespace tessera::test;

BOOST_AUTO_TEST_SUITE(mapping)

namespace {

const std::uintptr_t page_bytes = static_cast<std::uintptr_t>(::sysconf(_SC_PAGESIZE));

// What the kernel says about the mapping that holds an address.
struct MappingFacts {
  std::size_t size = 0;
  std::size_t resident = 0;
  std::size_t private_bytes = 0;
  bool huge_wanted = false;
};

MappingFacts facts_of(const void* address) {
  std::ifstream maps("/proc/self/smaps");
  const auto wanted = reinterpret_cast<std::uintptr_t>(address);
  MappingFacts facts;
  bool inside = false;
  for (std::string line; std::getline(maps, line);) {
    std::uintptr_t begin = 0, end = 0;
    std::size_t kilobytes = 0;
    if (std::sscanf(line.c_str(), "%lx-%lx ", &begin, &end) == 2) {
      if (inside) break;
      inside = begin <= wanted && wanted < end;
      if (inside) facts.size = end - begin;
    } else if (inside && std::sscanf(line.c_str(), "Rss: %zu kB", &kilobytes) == 1) {
      facts.resident = kilobytes * 1024;
    } else if (inside && (std::sscanf(line.c_str(), "Private_Dirty: %zu kB", &kilobytes) == 1 ||
                          std::sscanf(line.c_str(), "Anonymous: %zu kB", &kilobytes) == 1)) {
      facts.private_bytes += kilobytes * 1024;
    } else if (inside && line.starts_with("VmFlags:")) {
      facts.huge_wanted = line.find(" hg") != std::string::npos;
    }
  }
  return facts;
}

// Makes every page of a file's cache clean and drops it, so that mapping it again starts cold.
void drop_cache(const std::string& path) {
  const int file = ::open(path.c_str(), O_RDONLY);
  BOOST_REQUIRE(file >= 0);
  BOOST_REQUIRE(::fsync(file) == 0);
  BOOST_REQUIRE(::posix_fadvise(file, 0, 0, POSIX_FADV_DONTNEED) == 0);
  ::close(file);
}

std::size_t pages_resident(const std::byte* begin, std::size_t bytes) {
  const auto first = reinterpret_cast<std::uintptr_t>(begin) / page_bytes * page_bytes;
  const std::size_t length = reinterpret_cast<std::uintptr_t>(begin) + bytes - first;
  std::vector<unsigned char> resident((length + page_bytes - 1) / page_bytes);
  BOOST_REQUIRE(::mincore(reinterpret_cast<void*>(first), length, resident.data()) == 0);
  return static_cast<std::size_t>(
      std::count_if(resident.begin(), resident.end(), [](unsigned char page) { return page & 1; }));
}

// Slices of 1024 rows of 512 floats: 2 MB each, far apart for the kernel's read-ahead.
ModelShape wide_shape() {
  ModelShape shape = smallest_shape();
  shape.dim = 512;
  shape.vocab_size = 4096;
  shape.tied_head = true;
  return shape;
}

std::uint32_t sum_of(const std::byte* bytes, std::size_t count) {
  std::uint32_t sum = 0;
  for (std::size_t i = 0; i < count; ++i) sum += std::to_integer<std::uint32_t>(bytes[i]);
  return sum;
}

}  // namespace

BOOST_AUTO_TEST_CASE(opening_and_mapping_touch_no_page_and_map_only_the_units_asked_for) {
  const TemporaryFolder folder;
  const std::string path = folder.file("m.h5");
  BOOST_REQUIRE(write_model(path, wide_shape(), DType::f32));
  const auto checkpoint = open_checkpoint(path);
  BOOST_REQUIRE_MESSAGE(checkpoint, message_of(checkpoint));
  const auto slice = (*checkpoint)->map("embedding", {2, 3});
  BOOST_REQUIRE_MESSAGE(slice, message_of(slice));
  BOOST_TEST(slice->bytes() == 2u << 20);
  const MappingFacts before = facts_of(slice->unit(2));
  BOOST_TEST(before.size >= 2u << 20);
  BOOST_TEST(before.resident == 0u);
  BOOST_TEST(sum_of(slice->unit(2), slice->bytes()) > 0u);
  const MappingFacts after = facts_of(slice->unit(2));
  // A fault brings in what is in the page cache around it.
  BOOST_TEST(after.resident >= 2u << 20);
  BOOST_TEST(after.resident <= (2u << 20) + (128u << 10));
  BOOST_TEST(after.private_bytes == 0u);
}

BOOST_AUTO_TEST_CASE(reading_one_slice_brings_only_its_pages_into_memory) {
  const TemporaryFolder folder;
  const std::string path = folder.file("m.h5");
  BOOST_REQUIRE(write_model(path, wide_shape(), DType::f32));
  const auto checkpoint = open_checkpoint(path), observer = open_checkpoint(path);
  BOOST_REQUIRE_MESSAGE(checkpoint && observer, message_of(checkpoint) + message_of(observer));
  const auto all = (*observer)->map_all("embedding");
  const auto slice = (*checkpoint)->map("embedding", {1, 2});
  BOOST_REQUIRE(all && slice);
  drop_cache(path);
  const std::size_t unit_bytes = 2u << 20;
  if (pages_resident(all->unit(0), all->bytes()) != 0) {
    BOOST_TEST_MESSAGE("the file system keeps its pages (a memory file system); nothing to measure");
    return;
  }
  // Read-ahead is the kernel's own; without it the effect of the reads alone can be seen.
  BOOST_REQUIRE(::madvise(const_cast<std::byte*>(slice->unit(1)), unit_bytes, MADV_RANDOM) == 0);
  BOOST_TEST(sum_of(slice->unit(1), unit_bytes) > 0u);
  BOOST_TEST(pages_resident(all->unit(0), unit_bytes) == 0u);
  BOOST_TEST(pages_resident(all->unit(1), unit_bytes) == unit_bytes / page_bytes);
  BOOST_TEST(pages_resident(all->unit(2), 2 * unit_bytes) == 0u);
}

BOOST_AUTO_TEST_CASE(a_truncated_file_fails_its_range_and_no_other) {
  const TemporaryFolder folder;
  const std::string path = folder.file("m.h5");
  const std::string other_path = folder.file("other.h5");
  BOOST_REQUIRE(write_model(path, wide_shape(), DType::f32));
  BOOST_REQUIRE(write_model(other_path, smallest_shape(), DType::f32));
  const auto checkpoint = open_checkpoint(path);
  const auto other = open_checkpoint(other_path);
  BOOST_REQUIRE(checkpoint && other);
  const auto tensor = (*checkpoint)->map_all("embedding");
  const auto tensor_of_other = (*other)->map_all("embedding");
  BOOST_REQUIRE(tensor && tensor_of_other);
  const std::uint32_t before = sum_of(tensor->unit(3), 4096);
  BOOST_TEST(before > 0u);
  BOOST_TEST(!tensor->failed());

  BOOST_REQUIRE(::truncate(path.c_str(), 8192) == 0);
  BOOST_TEST(sum_of(tensor->unit(0), tensor->bytes()) == 0u);
  BOOST_TEST(tensor->failed());
  BOOST_TEST(!tensor_of_other->failed());
  BOOST_TEST(sum_of(tensor_of_other->unit(0), tensor_of_other->bytes()) > 0u);
  BOOST_TEST(!tensor_of_other->failed());
  // A later mapping is refused with the reason.
  const auto again = (*checkpoint)->map_all("embedding");
  BOOST_REQUIRE(!again);
  BOOST_TEST(again.error().message.find("truncated") != std::string::npos, again.error().message);
  const auto verified = (*checkpoint)->verify({});
  BOOST_REQUIRE(!verified);
  BOOST_TEST(verified.error().message.find(path) != std::string::npos, verified.error().message);
}

// Loses the file right after it was mapped, before anybody reads.
class LosingSource final : public CheckpointSource {
 public:
  LosingSource(std::shared_ptr<const CheckpointSource> inner, std::string path)
      : inner_(std::move(inner)), path_(std::move(path)) {}
  const std::string& uri() const override { return inner_->uri(); }
  const std::string& name() const override { return inner_->name(); }
  std::uint64_t size() const override { return inner_->size(); }
  Result<SourceStamp> stamp() const override { return inner_->stamp(); }
  Result<void> read(std::uint64_t offset, std::span<std::byte> out) const override { return inner_->read(offset, out); }
  Result<MappedRange> map(std::uint64_t offset, std::size_t length) const override {
    auto range = inner_->map(offset, length);
    BOOST_REQUIRE(::truncate(path_.c_str(), 0) == 0);
    return range;
  }

 private:
  std::shared_ptr<const CheckpointSource> inner_;
  std::string path_;
};

BOOST_AUTO_TEST_CASE(verify_names_the_slice_whose_pages_were_lost_while_it_was_read) {
  const TemporaryFolder folder;
  const std::string path = folder.file("m.h5");
  BOOST_REQUIRE(write_model(path, sliced_shape(), DType::f32));
  auto inner = open_source(path);
  BOOST_REQUIRE(inner);
  const auto opened = Checkpoint::open(std::make_shared<LosingSource>(std::move(*inner), path));
  BOOST_REQUIRE_MESSAGE(opened, message_of(opened));
  const Checkpoint& checkpoint = **opened;
  const auto verified = checkpoint.verify_unit(*checkpoint.manifest().find("layers.1.attn_out"), 2);
  BOOST_REQUIRE(!verified);
  BOOST_TEST((verified.error().code == ErrorCode::io));
  BOOST_TEST(verified.error().message.starts_with(path + ": dataset layers.1.attn_out, slice 2: cannot be read"),
             verified.error().message);
}

BOOST_AUTO_TEST_CASE(threads_that_read_a_lost_range_together_all_go_on) {
  const TemporaryFolder folder;
  const std::string path = folder.file("m.bin");
  constexpr std::size_t size = 4u << 20;
  for (int round = 0; round < 20; ++round) {
    write_file(path, std::vector<std::byte>(size, std::byte{1}));
    const auto source = open_source(path);
    BOOST_REQUIRE(source);
    auto first = (*source)->map(0, size / 2);
    auto second = (*source)->map(size / 2, size / 2);
    BOOST_REQUIRE(first && second);
    BOOST_REQUIRE(::truncate(path.c_str(), 0) == 0);
    std::vector<std::uint32_t> sums(4, 1);
    std::vector<std::thread> threads;
    for (std::size_t i = 0; i < sums.size(); ++i) {
      threads.emplace_back([&, i] {
        const MappedRange& range = i % 2 == 0 ? *first : *second;
        sums[i] = sum_of(range.data(), range.size());
      });
    }
    for (std::thread& thread : threads) thread.join();
    for (const std::uint32_t sum : sums) BOOST_TEST(sum == 0u);
    BOOST_TEST(first->failed());
    BOOST_TEST(second->failed());
  }
}

BOOST_AUTO_TEST_CASE(a_slot_that_is_used_again_does_not_remember_an_old_failure) {
  const TemporaryFolder folder;
  const std::string path = folder.file("m.bin");
  for (int round = 0; round < 3; ++round) {
    write_file(path, std::vector<std::byte>(8192, std::byte{1}));
    const auto source = open_source(path);
    BOOST_REQUIRE(source);
    const auto range = (*source)->map(0, 8192);
    BOOST_REQUIRE(range);
    BOOST_TEST(!range->failed());
    BOOST_REQUIRE(::truncate(path.c_str(), 0) == 0);
    BOOST_TEST(sum_of(range->data(), range->size()) == 0u);
    BOOST_TEST(range->failed());
  }
}

BOOST_AUTO_TEST_CASE(a_moved_range_is_unmapped_once_and_keeps_its_mark) {
  const TemporaryFolder folder;
  const std::string path = folder.file("m.bin");
  write_file(path, std::vector<std::byte>(10000, std::byte{1}));
  const auto source = open_source(path);
  BOOST_REQUIRE(source);
  auto mapped = (*source)->map(5000, 5000);
  BOOST_REQUIRE(mapped);
  MappedRange first = std::move(*mapped);
  MappedRange second;
  second = std::move(first);
  BOOST_TEST(first.data() == nullptr);
  BOOST_TEST(first.size() == 0u);
  BOOST_TEST(!first.failed());
  BOOST_TEST(sum_of(second.data(), second.size()) == 5000u);
  BOOST_REQUIRE(::truncate(path.c_str(), 0) == 0);
  BOOST_TEST(sum_of(second.data(), second.size()) == 0u);
  first = std::move(second);
  BOOST_TEST(first.failed());
  const auto fresh = [&] {
    write_file(path, std::vector<std::byte>(10000, std::byte{2}));
    return (*source)->map(0, 100);
  }();
  BOOST_REQUIRE(fresh);
  BOOST_TEST(sum_of(fresh->data(), fresh->size()) == 200u);
  BOOST_TEST(!fresh->failed());
}

BOOST_AUTO_TEST_CASE(more_mappings_than_the_named_maximum_are_refused_and_room_comes_back) {
  const TemporaryFolder folder;
  const std::string path = folder.file("m.bin");
  write_file(path, std::vector<std::byte>(4096, std::byte{1}));
  const int file = ::open(path.c_str(), O_RDONLY);
  BOOST_REQUIRE(file >= 0);
  std::vector<MappedRange> ranges;
  std::string message;
  for (int i = 0; i < 70000 && message.empty(); ++i) {
    auto range = MappedRange::map_file(file, 0, 10, path);
    if (range) {
      ranges.push_back(std::move(*range));
    } else {
      BOOST_TEST((range.error().code == ErrorCode::exhausted));
      message = range.error().message;
    }
  }
  BOOST_TEST(message.starts_with(path + ": more than 4096 files are mapped"), message);
  BOOST_TEST(ranges.size() == 4096u);
  ranges.clear();
  BOOST_TEST(bool(MappedRange::map_file(file, 0, 10, path)));
  ::close(file);
}

BOOST_AUTO_TEST_CASE(ranges_of_a_file_share_one_mapping_and_are_apart_from_those_after_a_failure) {
  const TemporaryFolder folder;
  const std::string path = folder.file("m.bin");
  write_file(path, std::vector<std::byte>(10000, std::byte{1}));
  const auto source = open_source(path);
  BOOST_REQUIRE(source);
  auto first = (*source)->map(100, 50), second = (*source)->map(5000, 5000);
  BOOST_REQUIRE(first && second);
  BOOST_TEST(second->data() - first->data() == 4900);
  BOOST_REQUIRE(::truncate(path.c_str(), 4096) == 0);
  BOOST_TEST(sum_of(second->data(), second->size()) == 0u);
  BOOST_TEST(second->failed());
  BOOST_TEST(first->failed());  // what others read of the file is not trusted either
  // The file is whole again: who maps it now has nothing to do with that failure.
  write_file(path, std::vector<std::byte>(20000, std::byte{3}));
  const auto third = (*source)->map(5000, 10000);
  BOOST_REQUIRE_MESSAGE(third, message_of(third));
  BOOST_TEST(sum_of(third->data(), third->size()) == 30000u);
  BOOST_TEST(!third->failed());
  BOOST_TEST(first->failed());
}

BOOST_AUTO_TEST_CASE(a_file_that_has_grown_is_mapped_anew) {
  const TemporaryFolder folder;
  const std::string path = folder.file("m.bin");
  write_file(path, std::vector<std::byte>(5000, std::byte{1}));
  const auto source = open_source(path);
  BOOST_REQUIRE(source);
  const auto first = (*source)->map(0, 5000);
  write_file(path, std::vector<std::byte>(50000, std::byte{2}));
  const auto second = (*source)->map(40000, 10000);
  BOOST_REQUIRE(first && second);
  BOOST_TEST(sum_of(second->data(), second->size()) == 20000u);
  BOOST_TEST(sum_of(first->data(), first->size()) == 10000u);
}

BOOST_AUTO_TEST_CASE(huge_pages_are_asked_for_where_ranges_that_touch_hold_whole_ones) {
  const TemporaryFolder folder;
  const std::string path = folder.file("m.bin");
  write_file(path, std::vector<std::byte>(16u << 20, std::byte{1}));
  const auto source = open_source(path);
  BOOST_REQUIRE(source);
  constexpr std::uint64_t mega = 1u << 20;
  // Neither holds a whole huge page: 1 to 3.5 and 3.5 to 5 megabytes; together they hold the one from 2 to 4.
  const auto left = (*source)->map(mega, 5 * mega / 2);
  BOOST_REQUIRE(left);
  const std::byte* const base = left->data() - mega;
  BOOST_TEST(reinterpret_cast<std::uintptr_t>(base) % huge_page_bytes == 0u);
  const auto advised = [&](std::uint64_t offset) { return facts_of(base + offset).huge_wanted; };
  BOOST_TEST(!advised(2 * mega));
  const auto right = (*source)->map(7 * mega / 2, 3 * mega / 2);
  BOOST_REQUIRE(right);
  if (!advised(2 * mega)) {
    BOOST_TEST_MESSAGE("this kernel takes no advice on huge pages; nothing to measure");
    return;
  }
  BOOST_TEST(!advised(mega));
  BOOST_TEST(!advised(4 * mega));
  BOOST_TEST(!advised(10 * mega));
}

BOOST_AUTO_TEST_SUITE_END()
