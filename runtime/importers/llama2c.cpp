#include "runtime/importers/llama2c.hpp"

#include <array>
#include <cstring>
#include <map>
#include <span>
#include <utility>

#include "runtime/importers/tensor_values.hpp"

namespace tessera {

namespace {

constexpr std::uint32_t versioned_magic = 0x616b3432;
constexpr std::size_t field_count = 7;
constexpr std::size_t versioned_header_bytes = 256;
constexpr const char* field_names[field_count] = {"dim",      "FFN width",  "layers", "heads",
                                                  "KV heads", "vocabulary", "context"};

struct Header {
  ModelShape shape;
  bool versioned = false;
  std::uint64_t bytes = 0;  ///< the tensors begin here
};

Result<ModelShape> shape_of(const std::array<std::int32_t, field_count>& fields, bool tied, const std::string& where) {
  for (std::size_t i = 0; i < field_count; ++i) {
    if (fields[i] > 0) continue;
    return Error{ErrorCode::corrupt,
                 where + ": is no llama2.c model, or damaged: " + field_names[i] + " is " + std::to_string(fields[i])};
  }
  const auto field = [&](std::size_t i) { return static_cast<std::uint32_t>(fields[i]); };
  ModelShape shape;
  shape.dim = field(0);
  shape.ffn_dim = field(1);
  shape.layers = field(2);
  shape.heads = field(3);
  shape.kv_heads = field(4);
  shape.vocab_size = field(5);
  shape.context_length = field(6);
  shape.tied_head = tied;
  if (shape.dim % shape.heads != 0) {
    return Error{ErrorCode::corrupt, where + ": is no llama2.c model, or damaged: dim " + std::to_string(shape.dim) +
                                         " is no multiple of its " + std::to_string(shape.heads) + " heads"};
  }
  shape.head_dim = shape.dim / shape.heads;
  TESSERA_CHECK(validate(shape, where));
  return shape;
}

Result<Header> read_header(const ByteSource& file) {
  const std::string& where = file.name();
  std::array<std::byte, versioned_header_bytes> bytes{};
  const std::size_t present = file.size() < bytes.size() ? static_cast<std::size_t>(file.size()) : bytes.size();
  TESSERA_CHECK(file.read(0, std::span(bytes).first(present)));

  std::uint32_t magic;
  std::memcpy(&magic, bytes.data(), sizeof magic);
  const bool versioned = magic == versioned_magic;
  const std::size_t needed = versioned ? bytes.size() : field_count * sizeof(std::int32_t);
  if (present < needed) {
    return Error{ErrorCode::corrupt,
                 where + ": has " + std::to_string(file.size()) +
                     " bytes, less than the header of a llama2.c model; it was truncated: fetch it again"};
  }
  std::array<std::int32_t, field_count> fields;
  if (!versioned) {
    std::memcpy(fields.data(), bytes.data(), sizeof fields);
    const bool tied = fields[5] > 0;
    // The most negative number has no opposite; it stays negative and is refused as such.
    if (fields[5] < 0 && fields[5] != INT32_MIN) fields[5] = -fields[5];
    TESSERA_TRY(ModelShape shape, shape_of(fields, tied, where));
    return Header{std::move(shape), false, needed};
  }
  std::int32_t version;
  std::memcpy(&version, bytes.data() + 4, sizeof version);
  if (version != 1) {
    return Error{ErrorCode::unsupported,
                 where + ": is version " + std::to_string(version) +
                     " of llama2.c's format; versions 0 and 1 (float32) can be imported: export it as one of these"};
  }
  std::memcpy(fields.data(), bytes.data() + 8, sizeof fields);
  const auto tied = static_cast<std::uint8_t>(bytes[8 + sizeof fields]);
  if (tied > 1) {
    return Error{ErrorCode::corrupt, where + ": is damaged: its flag for a tied head is " + std::to_string(tied)};
  }
  TESSERA_TRY(ModelShape shape, shape_of(fields, tied == 1, where));
  return Header{std::move(shape), true, needed};
}

/// The tensors of all layers lie together; what is null stands for the RoPE tables.
constexpr const char* order_version_0[] = {embedding_name,  "attn_norm", "attn_q",   "attn_k",   "attn_v",
                                           "attn_out",      "ffn_norm",  "ffn_gate", "ffn_down", "ffn_up",
                                           final_norm_name, nullptr,     head_name};
constexpr const char* order_version_1[] = {"attn_norm", "ffn_norm", final_norm_name, embedding_name,
                                           "attn_q",    "attn_k",   "attn_v",        "attn_out",
                                           "ffn_gate",  "ffn_down", "ffn_up",        head_name};

struct Place {
  std::uint64_t offset = 0;
  MatrixSize size;
};

/// Where each tensor begins, and where the file must end.
struct Places {
  std::map<std::string, Place> tensors;
  std::uint64_t end = 0;
};

Places places_of(const Header& header) {
  std::map<std::string, MatrixSize> sizes;
  for (NamedMatrix& matrix : model_matrices(header.shape)) sizes.emplace(std::move(matrix.name), matrix.size);
  Places places;
  places.end = header.bytes;
  const auto append = [&](const std::string& name) {
    const auto found = sizes.find(name);
    if (found == sizes.end()) return false;
    places.tensors[name] = {places.end, found->second};
    places.end += found->second.count() * sizeof(float);
    return true;
  };
  const std::span<const char* const> order =
      header.versioned ? std::span<const char* const>(order_version_1) : order_version_0;
  for (const char* const name : order) {
    if (name == nullptr) {
      places.end += std::uint64_t{header.shape.context_length} * header.shape.head_dim * sizeof(float);
    } else if (!append(name)) {  // the tensor of every layer, or of none: the head of a tied model
      for (std::uint32_t layer = 0; layer < header.shape.layers; ++layer)
        append("layers." + std::to_string(layer) + "." + name);
    }
  }
  return places;
}

class Llama2cSource final : public WeightSource {
 public:
  Llama2cSource(std::unique_ptr<ByteSource> file, ModelShape shape, Places places)
      : file_(std::move(file)), shape_(std::move(shape)), places_(std::move(places)) {}

  const ModelShape& shape() const override { return shape_; }
  const char* format() const override { return "llama2.c"; }
  Result<std::string> identity() const override { return file_->identity(); }
  std::string describe(const std::string& name) const override { return file_->name() + ": tensor " + name; }

  Result<void> read_tensor(const std::string& name, std::vector<float>& out) override {
    const auto found = places_.tensors.find(name);
    if (found == places_.tensors.end()) return Error{ErrorCode::not_found, describe(name) + " does not exist"};
    const Place& place = found->second;
    TESSERA_CHECK(resize_values(out, place.size.count(), describe(name)));
    if (name.ends_with(".attn_q") || name.ends_with(".attn_k")) return read_heads(place, out);
    return file_->read(place.offset, std::as_writable_bytes(std::span(out)));
  }

 private:
  /// Interleaved pairs of rows to rotate-half order, a head at a time.
  Result<void> read_heads(const Place& place, std::vector<float>& out) {
    const std::size_t columns = place.size.columns, half = shape_.head_dim / 2;
    std::vector<float> head(shape_.head_dim * columns);
    for (std::size_t begin = 0; begin < out.size(); begin += head.size()) {
      TESSERA_CHECK(file_->read(place.offset + begin * sizeof(float), std::as_writable_bytes(std::span(head))));
      for (std::size_t row = 0; row < shape_.head_dim; ++row) {
        const std::size_t canonical = row / 2 + row % 2 * half;
        std::memcpy(out.data() + begin + canonical * columns, head.data() + row * columns, columns * sizeof(float));
      }
    }
    return {};
  }

  std::unique_ptr<ByteSource> file_;
  ModelShape shape_;
  Places places_;
};

}  // namespace

Result<std::unique_ptr<WeightSource>> open_llama2c(std::unique_ptr<ByteSource> file) {
  TESSERA_TRY(Header header, read_header(*file));
  Places places = places_of(header);
  if (places.end != file->size()) {
    const ModelShape& shape = header.shape;
    return Error{ErrorCode::corrupt,
                 file->name() + ": has " + std::to_string(file->size()) + " bytes, but a llama2.c model with dim " +
                     std::to_string(shape.dim) + ", " + std::to_string(shape.layers) + " layers, FFN " +
                     std::to_string(shape.ffn_dim) + " and a vocabulary of " + std::to_string(shape.vocab_size) +
                     " has " + std::to_string(places.end) + "; it is damaged or no llama2.c model: fetch it again"};
  }
  return std::unique_ptr<WeightSource>(
      std::make_unique<Llama2cSource>(std::move(file), std::move(header.shape), std::move(places)));
}

}  // namespace tessera
