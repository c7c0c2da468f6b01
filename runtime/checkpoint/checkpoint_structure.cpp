#include "runtime/checkpoint/checkpoint_structure.hpp"

#include <algorithm>
#include <array>
#include <string_view>
#include <vector>

#include "runtime/checkpoint/checkpoint_layout.hpp"
#include "runtime/checkpoint/hdf5_object_header.hpp"
#include "runtime/checkpoint/manifest.hpp"

namespace tessera {

namespace {

using Messages = std::vector<Hdf5Message>;

// A shared message lies elsewhere in the file.
constexpr std::uint8_t shared_flag = 0x02;

constexpr std::array<std::uint8_t, 12> u8_type = {0x10, 0, 0, 0, 1, 0, 0, 0, 0, 0, 8, 0};
constexpr std::array<std::uint8_t, 12> u32_type = {0x10, 0, 0, 0, 4, 0, 0, 0, 0, 0, 32, 0};
// A text of 64 bytes, padded with zeros, ASCII.
constexpr std::array<std::uint8_t, 8> content_id_type = {0x13, 1, 0, 0, content_id_characters, 0, 0, 0};
// Version 2, no dimension, no flags, scalar.
constexpr std::array<std::uint8_t, 4> scalar_space = {2, 0, 0, 0};

template <typename Bytes>
bool same(std::span<const std::byte> bytes, const Bytes& expected) {
  return std::ranges::equal(bytes, std::as_bytes(std::span(expected)));
}

std::string text_of(std::span<const std::byte> bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

struct Attribute {
  std::string name;
  std::span<const std::byte> type, space, value;  // inside the message
};

// Attribute message, version 3. Its type is not interpreted.
std::optional<Attribute> parse_attribute(const Hdf5Message& message) {
  ByteReader fields(message.data);
  const std::uint64_t version = fields.number(1);
  const std::uint64_t flags = fields.number(1);  // not 0: type or space are shared
  const std::size_t name_bytes = fields.number(2);
  const std::size_t type_bytes = fields.number(2);
  const std::size_t space_bytes = fields.number(2);
  fields.number(1);  // character set of the name
  Attribute attribute;
  attribute.name = text_of(fields.bytes(name_bytes));
  attribute.type = fields.bytes(type_bytes);
  attribute.space = fields.bytes(space_bytes);
  attribute.value = fields.bytes(fields.left());
  if (fields.failed() || version != 3 || flags != 0 || (message.flags & shared_flag) != 0 ||
      !attribute.name.ends_with('\0')) {
    return std::nullopt;
  }
  attribute.name.pop_back();
  return attribute;
}

// The value of a scalar attribute if it has exactly the given type.
template <typename Type>
std::optional<std::span<const std::byte>> value_of(const Attribute& attribute, const Type& type, std::size_t bytes) {
  if (!same(attribute.type, type) || !same(attribute.space, scalar_space) || attribute.value.size() != bytes)
    return std::nullopt;
  return attribute.value;
}

struct Link {
  std::string name;
  std::uint64_t address = 0;
};

// Link message, version 1; only hard links.
std::optional<Link> parse_link(const Hdf5Message& message) {
  constexpr std::uint64_t name_size_mask = 0x03, order_flag = 0x04, type_flag = 0x08, character_set_flag = 0x10;
  ByteReader fields(message.data);
  const std::uint64_t version = fields.number(1);
  const std::uint64_t flags = fields.number(1);
  const std::uint64_t type = flags & type_flag ? fields.number(1) : 0;
  if (flags & order_flag) fields.number(8);
  if (flags & character_set_flag) fields.number(1);
  const std::uint64_t name_bytes = fields.number(std::size_t{1} << (flags & name_size_mask));
  Link link;
  link.name = text_of(fields.bytes(name_bytes));
  link.address = fields.number(8);
  if (!fields.complete() || version != 1 || type != 0 || (message.flags & shared_flag) != 0) return std::nullopt;
  return link;
}

// Link info and attribute info, version 0: true when nothing is stored outside the header.
bool is_compact(const Hdf5Message& message, std::size_t creation_index_bytes) {
  ByteReader fields(message.data);
  const std::uint64_t version = fields.number(1);
  const std::uint64_t flags = fields.number(1);
  if (flags & 1) fields.number(creation_index_bytes);
  const std::uint64_t heap = fields.number(8);
  return !fields.failed() && version == 0 && heap == hdf5_undefined_address;
}

bool is_compact(const Hdf5Message& message) {
  if (message.is(Hdf5MessageType::link_info)) return is_compact(message, 8);
  if (message.is(Hdf5MessageType::attribute_info)) return is_compact(message, 2);
  return true;
}

class StructureReader {
 public:
  explicit StructureReader(const CheckpointSource& source) : source_(source), metadata_(source) {}

  Result<CheckpointStructure> read() {
    TESSERA_TRY(const std::uint64_t root_address, metadata_.root_address());
    TESSERA_TRY(const Messages root, metadata_.object(root_address));
    TESSERA_CHECK(read_attributes(root));
    std::map<std::string, std::uint64_t> links;
    TESSERA_TRY(links, read_links(root, "its root group"));
    const auto weights = links.find(weights_group_name);
    if (weights == links.end()) return metadata_.damaged("it has no group of weights");
    TESSERA_TRY(const Messages group, metadata_.object(weights->second));
    std::map<std::string, std::uint64_t> tensors;
    TESSERA_TRY(tensors, read_links(group, "its group of weights"));
    for (const auto& [name, address] : tensors) {
      TESSERA_TRY(structure_.tensors[name], read_dataset(address));
    }
    links.erase(weights);
    const auto manifest = links.find(manifest_dataset_name);
    if (manifest == links.end()) return metadata_.damaged("it has no manifest");
    TESSERA_TRY(structure_.manifest, read_dataset(manifest->second));
    links.erase(manifest);
    if (const auto tokenizer = links.find(tokenizer_dataset_name); tokenizer != links.end()) {
      TESSERA_TRY(structure_.tokenizer, read_dataset(tokenizer->second));
      links.erase(tokenizer);
    }
    if (!links.empty()) return metadata_.damaged("it holds objects that a checkpoint does not have");
    return std::move(structure_);
  }

 private:
  // First of all whether it is a checkpoint, of which version, and complete; only then is anything else an error.
  Result<void> read_attributes(const Messages& root) {
    std::map<std::string, Attribute> attributes;
    bool odd = false;
    for (const Hdf5Message& message : root) {
      if (!message.is(Hdf5MessageType::attribute)) continue;
      const auto attribute = parse_attribute(message);
      odd = odd || !attribute || !attributes.emplace(attribute->name, *attribute).second;
    }
    const auto take = [&](const char* name, const auto& type,
                          std::size_t bytes) -> std::optional<std::span<const std::byte>> {
      const auto found = attributes.find(name);
      if (found == attributes.end()) return std::nullopt;
      const auto value = value_of(found->second, type, bytes);
      attributes.erase(found);
      return value;
    };
    if (!attributes.contains(version_attribute_name)) return metadata_.foreign("it has no format version");
    const auto version_bytes = take(version_attribute_name, u32_type, 4);
    if (!version_bytes) return metadata_.foreign("its format version is not one 32-bit number");
    const std::uint64_t version = ByteReader(*version_bytes).number(4);
    if (version != checkpoint_format_version) {
      return Error{ErrorCode::unsupported, source_.name() + ": has checkpoint format version " +
                                               std::to_string(version) + ", this build reads version " +
                                               std::to_string(checkpoint_format_version) +
                                               "; use a build that knows it, or import the model again"};
    }
    const auto complete = take(complete_attribute_name, u8_type, 1);
    if (!complete || ByteReader(*complete).number(1) != 1) {
      return Error{ErrorCode::corrupt,
                   source_.name() + ": is incomplete: its writer was interrupted; import the model again"};
    }
    const auto id = take(content_id_attribute_name, content_id_type, content_id_characters);
    if (!id) return metadata_.damaged("its content id is missing or not a text of 64 characters");
    structure_.content_id = text_of(*id);
    if (structure_.content_id.find_first_not_of("0123456789abcdef") != std::string::npos) {
      return metadata_.damaged("its content id is not hexadecimal");
    }
    if (odd || !attributes.empty()) return metadata_.damaged("it has attributes that a checkpoint does not have");
    return {};
  }

  Result<std::map<std::string, std::uint64_t>> read_links(const Messages& group, const std::string& what) {
    std::map<std::string, std::uint64_t> links;
    for (const Hdf5Message& message : group) {
      if (!is_compact(message)) return metadata_.damaged(what + " is not stored in the compact form");
      if (!message.is(Hdf5MessageType::link)) continue;
      const auto link = parse_link(message);
      if (!link || !links.emplace(link->name, link->address).second) {
        return metadata_.damaged(what + " has a link that is not a plain one");
      }
    }
    return links;
  }

  Result<DatasetPlace> read_dataset(std::uint64_t address) {
    TESSERA_TRY(const Messages messages, metadata_.object(address));
    std::optional<std::uint64_t> extent;
    std::optional<DatasetPlace> place;
    bool has_type = false;
    for (const Hdf5Message& message : messages) {
      const auto refused = [&] {
        return metadata_.damaged("a dataset is not stored as plain, contiguous bytes in this file");
      };
      if (message.flags & shared_flag) return refused();
      ByteReader fields(message.data);
      if (message.is(Hdf5MessageType::dataspace)) {
        // Version 2, one dimension, maximum given, simple; extent; the same as maximum.
        const bool simple = !extent && fields.number(4) == 0x01010102;
        extent = fields.number(8);
        if (!simple || fields.number(8) != *extent || !fields.complete()) return refused();
      } else if (message.is(Hdf5MessageType::datatype)) {
        if (has_type || !same(message.data, u8_type)) return refused();
        has_type = true;
      } else if (message.is(Hdf5MessageType::layout)) {
        // Version 4, contiguous.
        const bool contiguous = !place && fields.number(2) == 0x0104;
        place.emplace();
        place->offset = fields.number(8);
        place->extent = fields.number(8);
        if (!contiguous || !fields.complete()) return refused();
      } else if (!message.is(Hdf5MessageType::fill_value)) {
        return refused();  // filters, external files, attributes, and what later versions may bring
      }
    }
    if (!extent || !place || !has_type || place->extent != *extent) {
      return metadata_.damaged("a dataset lacks its type, extent or place");
    }
    if (place->offset % dataset_alignment != 0 || place->extent % 64 != 0 || place->extent < dataset_alignment) {
      return metadata_.damaged("a dataset is not aligned");
    }
    if (place->offset > source_.size() || place->extent > source_.size() - place->offset) {
      return metadata_.damaged("a dataset lies beyond its end");
    }
    return *place;
  }

  const CheckpointSource& source_;
  Hdf5MetadataReader metadata_;
  CheckpointStructure structure_;
};

}  // namespace

Result<CheckpointStructure> read_structure(const CheckpointSource& source) { return StructureReader(source).read(); }

}  // namespace tessera
