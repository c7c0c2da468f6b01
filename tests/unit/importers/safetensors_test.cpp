#include "runtime/importers/safetensors.hpp"

#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>
#include <string>

#include <boost/test/unit_test.hpp>
#include <nlohmann/json.hpp>

#include "runtime/tensor/half.hpp"
#include "tests/unit/importers/foreign_models.hpp"

using namespace tessera;
using namespace tessera::test;
using nlohmann::json;

namespace {

Result<SafetensorsFile> open(std::string_view bytes) {
  return SafetensorsFile::open(memory_byte_source(bytes_of(bytes), "m.safetensors"));
}

/// Two tensors: "a" of 2 × 3 in F32, "b" of 4 in F16.
std::vector<SafetensorsTensor> two_tensors() {
  return {{"a", "F32", {2, 3}, encode_values({1, 2, 3, 4, 5, 6}, "F32")},
          {"b", "F16", {4}, encode_values({0.5f, -2, 0, 1}, "F16")}};
}

/// A file of the two tensors whose header was changed.
std::string changed(const std::function<void(json&)>& change) {
  auto [header, data] = safetensors_parts(two_tensors());
  change(header);
  return safetensors_bytes(header.dump(), data);
}

std::string with_header(const std::string& header) {
  return safetensors_bytes(header, safetensors_parts(two_tensors()).second);
}

}  // namespace

BOOST_AUTO_TEST_SUITE(safetensors)

BOOST_AUTO_TEST_CASE(tensors_are_found_and_widened_exactly) {
  const std::string bytes = safetensors_bytes(two_tensors());
  const auto file = open(bytes);
  BOOST_REQUIRE_MESSAGE(file, message_of(file));
  BOOST_REQUIRE(file->tensors().size() == 2u);
  std::vector<float> a(6), b(4);
  BOOST_REQUIRE(file->read(file->tensors().at("a"), a));
  BOOST_REQUIRE(file->read(file->tensors().at("b"), b));
  BOOST_TEST(same_bits(a, {1, 2, 3, 4, 5, 6}));
  BOOST_TEST(same_bits(b, {0.5f, -2, 0, 1}));
}

BOOST_AUTO_TEST_CASE(every_f16_and_every_bf16_is_widened_exactly) {
  std::vector<std::uint16_t> bits(65536);
  for (std::size_t i = 0; i < bits.size(); ++i) bits[i] = static_cast<std::uint16_t>(i);
  const std::string data(reinterpret_cast<const char*>(bits.data()), bits.size() * 2);
  // Many times over, so that more than one chunk is read.
  std::string many;
  for (int i = 0; i < 9; ++i) many += data;
  const std::string bytes = safetensors_bytes({{"b", "BF16", {9, 65536}, many}, {"h", "F16", {65536}, data}});
  const auto file = open(bytes);
  BOOST_REQUIRE_MESSAGE(file, message_of(file));
  std::vector<float> halves(65536), brains(9 * 65536);
  BOOST_REQUIRE(file->read(file->tensors().at("h"), halves));
  BOOST_REQUIRE(file->read(file->tensors().at("b"), brains));
  std::vector<float> expected_halves, expected_brains;
  for (const std::uint16_t value : bits) expected_halves.push_back(f16_to_f32(value));
  for (std::size_t i = 0; i < brains.size(); ++i) expected_brains.push_back(bf16_to_f32(bits[i % bits.size()]));
  BOOST_TEST(same_bits(halves, expected_halves));
  BOOST_TEST(same_bits(brains, expected_brains));
}

BOOST_AUTO_TEST_CASE(an_empty_tensor_is_allowed) {
  auto tensors = two_tensors();
  tensors.push_back({"empty", "F32", {0, 7}, ""});
  const std::string bytes = safetensors_bytes(tensors);
  const auto file = open(bytes);
  BOOST_REQUIRE_MESSAGE(file, message_of(file));
  BOOST_TEST(file->tensors().at("empty").count() == 0u);
}

BOOST_AUTO_TEST_CASE(a_file_of_any_other_length_is_refused) {
  const std::string bytes = safetensors_bytes(two_tensors());
  for (std::size_t size = 0; size < bytes.size(); ++size)
    BOOST_TEST(!open(std::string_view(bytes).substr(0, size)), "at " << size);
  BOOST_TEST(fails_with(open(bytes + "x"), ErrorCode::corrupt, "33 bytes of data, but its tensors take 32"));
}

BOOST_AUTO_TEST_CASE(no_flipped_bit_of_the_header_goes_through_unseen) {
  const std::string bytes = safetensors_bytes(two_tensors());
  const std::size_t header_end = bytes.size() - 32;
  const auto good = open(bytes);
  BOOST_REQUIRE(good);
  for (std::size_t bit = 0; bit < header_end * 8; ++bit) {
    std::string flipped = bytes;
    flipped[bit / 8] = static_cast<char>(flipped[bit / 8] ^ (1 << bit % 8));
    const auto file = open(flipped);
    if (!file) continue;
    // What is still accepted describes bytes inside the file, of the right count. A name or the metadata may have
    // changed.
    for (const auto& [name, entry] : file->tensors()) {
      BOOST_TEST(entry.end <= bytes.size());
      if (SafetensorsFile::is_float(entry)) {
        std::vector<float> values(entry.count());
        BOOST_TEST(bool(file->read(entry, values)));
      }
    }
  }
}

BOOST_AUTO_TEST_CASE(a_header_length_beyond_the_file_or_the_limit_is_refused) {
  std::string bytes = safetensors_bytes(two_tensors());
  for (const std::uint64_t length :
       {std::uint64_t{bytes.size() - 7}, std::uint64_t{1} << 27, std::uint64_t{1} << 63, ~std::uint64_t{0}}) {
    std::memcpy(bytes.data(), &length, sizeof length);
    BOOST_TEST(
        fails_with(open(bytes), ErrorCode::corrupt, "its header should have " + std::to_string(length) + " bytes"));
  }
  const std::uint64_t zero = 0;
  std::memcpy(bytes.data(), &zero, sizeof zero);
  BOOST_TEST(fails_with(open(bytes), ErrorCode::corrupt, "no JSON object"));
}

BOOST_AUTO_TEST_CASE(overlaps_and_gaps_are_refused_by_tensor) {
  BOOST_TEST(fails_with(open(changed([](json& h) {
                          h["b"]["data_offsets"] = {23, 31};
                        })),
                        ErrorCode::corrupt, "tensor b overlaps"));
  BOOST_TEST(fails_with(open(changed([](json& h) {
                          h["b"]["data_offsets"] = {0, 8};
                        })),
                        ErrorCode::corrupt, "overlaps"));
  BOOST_TEST(fails_with(open(changed([](json& h) {
                          h["a"]["data_offsets"] = {1, 25}, h.erase("b");
                        })),
                        ErrorCode::corrupt, "tensor a leaves a gap"));
  BOOST_TEST(fails_with(open(changed([](json& h) { h.erase("b"); })), ErrorCode::corrupt,
                        "32 bytes of data, but its tensors take 24"));
  BOOST_TEST(fails_with(open(changed([](json& h) { h.erase("a"); })), ErrorCode::corrupt, "tensor b leaves a gap"));
}

BOOST_AUTO_TEST_CASE(hostile_offsets_and_shapes_are_refused) {
  static constexpr std::uint64_t huge = std::numeric_limits<std::uint64_t>::max();
  const std::pair<std::function<void(json&)>, const char*> cases[] = {
      {[](json& h) {
         h["a"]["data_offsets"] = {24, 0};
       },
       "lies at bytes 24 to 0"},
      {[](json& h) {
         h["a"]["data_offsets"] = {0, 33};
       },
       "lies at bytes 0 to 33 of the data, which has 32"},
      {[](json& h) {
         h["a"]["data_offsets"] = {huge - 23, huge};
       },
       "lies at bytes"},
      {[](json& h) {
         h["a"]["data_offsets"] = {-24, 0};
       },
       "not two counts"},
      {[](json& h) {
         h["a"]["data_offsets"] = {0.0, 24.0};
       },
       "not two counts"},
      {[](json& h) {
         h["a"]["data_offsets"] = {0, 24, 24};
       },
       "not two counts"},
      {[](json& h) { h["a"]["data_offsets"] = "0"; }, "not two counts"},
      {[](json& h) {
         h["a"]["shape"] = {2, 4};
       },
       "has a shape of 32 bytes, but 24 bytes of data"},
      {[](json& h) {
         h["a"]["shape"] = {huge, huge};
       },
       "more than 2^64"},
      {[](json& h) {
         h["a"]["shape"] = {std::uint64_t{1} << 63, 2, 6};
       },
       "more than 2^64"},
      {[](json& h) { h["a"]["shape"] = {std::uint64_t{1} << 62}; }, "more than 2^64"},
      {[](json& h) {
         h["a"]["shape"] = {-2, -3};
       },
       "no count"},
      {[](json& h) { h["a"]["shape"] = {1, 1, 1, 1, 1, 1, 1, 2, 3}; }, "no array of up to 8"},
      {[](json& h) { h["a"]["shape"] = 6; }, "no array"},
      {[](json& h) { h["a"]["dtype"] = 32; }, "no text"},
      {[](json& h) { h["a"].erase("dtype"); }, "must have dtype"},
      {[](json& h) { h["a"]["extra"] = 1; }, "nothing else"},
      {[](json& h) { h["a"] = json::array(); }, "not described by an object"},
      {[](json& h) {
         h["__metadata__"] = {{"n", 1}};
       },
       "metadata"},
      {[](json& h) { h["__metadata__"] = "pt"; }, "metadata"},
  };
  for (const auto& [change, part] : cases) {
    const auto file = open(changed(change));
    BOOST_TEST(fails_with(file, ErrorCode::corrupt, part), message_of(file) << " lacks: " << part);
    BOOST_TEST(fails_with(file, ErrorCode::corrupt, "m.safetensors: "));
  }
}

BOOST_AUTO_TEST_CASE(an_unknown_dtype_is_refused_by_name) {
  BOOST_TEST(fails_with(open(changed([](json& h) { h["a"]["dtype"] = "F8_E9M9"; })), ErrorCode::unsupported,
                        "tensor a has the dtype 'F8_E9M9'"));
}

BOOST_AUTO_TEST_CASE(a_key_that_occurs_twice_is_refused) {
  const std::string header =
      R"({"a":{"dtype":"F32","shape":[8],"data_offsets":[0,32]},"a":{"dtype":"F16","shape":[16],"data_offsets":[0,32]}})";
  BOOST_TEST(fails_with(open(with_header(header)), ErrorCode::corrupt, "the key 'a' occurs twice"));
  const std::string inner = R"({"a":{"dtype":"F32","dtype":"I32","shape":[8],"data_offsets":[0,32]}})";
  BOOST_TEST(fails_with(open(with_header(inner)), ErrorCode::corrupt, "the key 'dtype' occurs twice"));
}

BOOST_AUTO_TEST_CASE(deep_and_endless_json_is_refused) {
  std::string deep = "{\"a\":", flat = "{\"a\":[";
  for (int i = 0; i < 5'000'000; ++i) deep += '[';
  BOOST_TEST(fails_with(open(with_header(deep)), ErrorCode::corrupt, "nested deeper than 16"));
  for (int i = 0; i < 2'000'000; ++i) flat += "0,";
  BOOST_TEST(fails_with(open(with_header(flat + "0]}")), ErrorCode::corrupt, "more than 262144 values"));
}

BOOST_AUTO_TEST_CASE(a_header_that_is_no_json_is_refused_with_the_place) {
  for (const char* const header : {"{", "{]", "{\"a\"}", "{} {}", "{\"a\":1e999}", "{\"\xff\":1}", "{\"a\":nan}"}) {
    BOOST_TEST(fails_with(open(with_header(header)), ErrorCode::corrupt, "no valid JSON at byte"), header);
  }
  for (const char* const header : {"[]", "12", "\"\"", " {}", "null"}) {
    BOOST_TEST(fails_with(open(with_header(header)), ErrorCode::corrupt, "no JSON object"), header);
  }
}

BOOST_AUTO_TEST_SUITE_END()
