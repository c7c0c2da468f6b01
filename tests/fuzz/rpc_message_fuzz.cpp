// Messages of the control plane. Input: a byte that says which struct, then a flat Cap'n Proto message (segment table,
// segments). Whatever a peer or a damaged store may hold is read as the servers read it.
#include <capnp/message.h>
#include <capnp/serialize.h>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <kj/array.h>
#include <kj/exception.h>
#include <string>
#include <string_view>

#include "cluster/rpc/encoding.hpp"
#include "cluster/rpc/wire.hpp"
#include "runtime/base/ensure.hpp"

namespace {

using namespace tessera;

/// Bytes of a message here; the allocations that a reader may be led to are in proportion to it.
constexpr std::size_t message_bytes_max = 1u << 20;

std::string flat(capnp::MessageBuilder& message) {
  const kj::Array<capnp::word> words = capnp::messageToFlatArray(message);
  return {words.asChars().begin(), words.asChars().end()};
}

/// What was read is written and read again, and gives the same bytes: nothing is lost or invented.
template <typename Schema>
void round_trip(capnp::MessageReader& input) {
  const auto value = wire::read(input.getRoot<Schema>());
  capnp::MallocMessageBuilder first;
  wire::write(first.initRoot<Schema>(), value);
  const auto again = wire::read(first.getRoot<Schema>().asReader());
  capnp::MallocMessageBuilder second;
  wire::write(second.initRoot<Schema>(), again);
  TESSERA_ENSURE(flat(first) == flat(second));
}

void read_call(std::uint8_t kind, std::string_view bytes) {
  auto words = kj::heapArray<capnp::word>(bytes.size() / sizeof(capnp::word));
  if (words.size() > 0) std::memcpy(words.begin(), bytes.data(), words.size() * sizeof(capnp::word));
  capnp::FlatArrayMessageReader message(words, wire::reader_options(message_bytes_max));
  switch (kind) {
    case 1:
      return round_trip<schema::StreamRequest>(message);
    case 2:
      return round_trip<schema::StreamUpdate>(message);
    case 3:
      return round_trip<schema::NodeInfo>(message);
    case 4:
      return round_trip<schema::NodeLoad>(message);
    case 5:
      return round_trip<schema::ClusterStatus>(message);
    case 6:
      return round_trip<schema::DeploySpec>(message);
    case 7:
      return round_trip<schema::LogQuery>(message);
    case 8:
      (void)wire::read(message.getRoot<schema::Failure>());
      return;
    case 9: {
      const auto params = message.getRoot<schema::Node::PrepareParams>();
      (void)wire::read(params.getPlan());
      (void)wire::read_keys(params.getPairKeys());
      return;
    }
    default:
      (void)wire::read_list(message.getRoot<schema::Registry::RegisterParams>().getHeld());
  }
}

void read_stored(std::string_view bytes) {
  if (const auto record = decode_record(bytes, "the record")) {
    const std::string written = encode_record(*record);
    const auto again = decode_record(written, "the record");
    TESSERA_ENSURE(again && encode_record(*again) == written);
  }
  if (const auto plan = decode_plan(bytes, "the plan")) {
    TESSERA_ENSURE(decode_plan(encode_plan(*plan), "the plan"));
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0 || size > message_bytes_max) return 0;
  const std::string_view bytes(reinterpret_cast<const char*>(data) + 1, size - 1);
  if (data[0] == 0) {
    read_stored(bytes);
    return 0;
  }
  try {
    read_call(data[0], bytes);
  } catch (const kj::Exception&) {
    // What a caller of a damaged request gets.
  }
  return 0;
}
