#include "cluster/exchange/hello.hpp"

#include <algorithm>
#include <capnp/message.h>
#include <capnp/serialize.h>
#include <cstring>
#include <kj/exception.h>

#include "runtime/base/ensure.hpp"
#include "schemas/exchange.capnp.h"

namespace tessera {

namespace {

namespace schema = exchange_schema;

constexpr std::array<char, 4> magic = {'T', 'S', 'R', 'X'};

bool is_printable(char c) { return c >= ' ' && c <= '~'; }

Error malformed(const std::string& what) { return Error{ErrorCode::corrupt, "hello: " + what}; }

void write(schema::Hello::Builder builder, const Hello& hello) {
  builder.setProtocolVersion(hello.version);
  builder.setCluster(hello.cluster);
  builder.setReplica(hello.replica.value);
  builder.setEpoch(hello.epoch.value);
  builder.setFrom(hello.from.value);
  builder.setTo(hello.to.value);
  builder.setEncrypted(hello.encrypted);
  builder.setNonce(kj::arrayPtr(hello.nonce.data(), hello.nonce.size()));
}

Result<HelloMessage> read(schema::Hello::Reader reader) {
  Hello hello;
  hello.version = reader.getProtocolVersion();
  const capnp::Text::Reader cluster = reader.getCluster();
  if (cluster.size() > cluster_name_bytes_max) return malformed("the cluster's name is too long");
  hello.cluster.assign(cluster.begin(), cluster.size());
  if (!std::all_of(hello.cluster.begin(), hello.cluster.end(), is_printable))
    return malformed("the cluster's name is not printable text");
  hello.replica = {reader.getReplica()};
  hello.epoch = {reader.getEpoch()};
  hello.from = {reader.getFrom()};
  hello.to = {reader.getTo()};
  hello.encrypted = reader.getEncrypted();
  const capnp::Data::Reader nonce = reader.getNonce();
  if (nonce.size() != hello.nonce.size()) return malformed("the nonce has not 32 bytes");
  std::copy(nonce.begin(), nonce.end(), hello.nonce.begin());
  return HelloMessage{hello};
}

Result<HelloMessage> read(schema::Refusal::Reader reader) {
  Refusal refusal;
  refusal.reason = static_cast<RefusalReason>(std::min<std::uint16_t>(static_cast<std::uint16_t>(reader.getReason()),
                                                                      static_cast<std::uint16_t>(RefusalReason::busy)));
  // Read once: every access counts against the traversal limit.
  const capnp::Text::Reader text = reader.getText();
  const std::size_t size = std::min<std::size_t>(text.size(), refusal_text_bytes_max);
  // It comes from a stranger and goes to a log.
  for (std::size_t i = 0; i < size; ++i) {
    const char c = text.begin()[i];
    refusal.text += is_printable(c) ? c : '?';
  }
  return HelloMessage{refusal};
}

std::uint32_t segment_words(std::span<const std::byte> message) {
  std::uint32_t table[2];
  std::memcpy(table, message.data(), sizeof table);
  return table[0] == 0 ? table[1] : UINT32_MAX;
}

}  // namespace

std::vector<std::byte> encode_hello(const HelloMessage& message) {
  capnp::MallocMessageBuilder builder(hello_bytes_max / sizeof(capnp::word));
  auto root = builder.initRoot<schema::HelloMessage>();
  if (const Hello* hello = std::get_if<Hello>(&message)) {
    TESSERA_ENSURE(hello->cluster.size() <= cluster_name_bytes_max);
    write(root.initHello(), *hello);
  } else {
    const Refusal& refusal = *std::get_if<Refusal>(&message);
    auto out = root.initRefusal();
    out.setReason(static_cast<schema::Refusal::Reason>(refusal.reason));
    out.setText(refusal.text.substr(0, refusal_text_bytes_max));
  }
  const kj::Array<capnp::word> words = capnp::messageToFlatArray(builder);
  const auto length = static_cast<std::uint32_t>(words.asBytes().size());
  TESSERA_ENSURE(length <= hello_bytes_max);
  std::vector<std::byte> bytes(hello_prefix_bytes + length);
  std::memcpy(bytes.data(), magic.data(), magic.size());
  std::memcpy(bytes.data() + magic.size(), &length, sizeof length);
  std::memcpy(bytes.data() + hello_prefix_bytes, words.asBytes().begin(), length);
  return bytes;
}

Result<std::size_t> hello_length(std::span<const std::byte, hello_prefix_bytes> prefix) {
  if (std::memcmp(prefix.data(), magic.data(), magic.size()) != 0)
    return malformed("it does not begin as Tessera's data plane does");
  std::uint32_t length = 0;
  std::memcpy(&length, prefix.data() + magic.size(), sizeof length);
  if (length == 0 || length > hello_bytes_max || length % sizeof(capnp::word) != 0)
    return malformed("it has the impossible length " + std::to_string(length));
  return length;
}

Result<HelloMessage> decode_hello(std::span<const std::byte> bytes) {
  if (bytes.size() < hello_prefix_bytes) return malformed("it is too short");
  TESSERA_TRY(const std::size_t length, hello_length(bytes.first<hello_prefix_bytes>()));
  if (length != bytes.size() - hello_prefix_bytes) return malformed("its length is not what it says");
  std::array<capnp::word, hello_bytes_max / sizeof(capnp::word)> words;
  std::memcpy(words.data(), bytes.data() + hello_prefix_bytes, length);
  if (segment_words(bytes.subspan(hello_prefix_bytes)) != length / sizeof(capnp::word) - 1)
    return malformed("it is not one segment");
  try {
    capnp::ReaderOptions options;
    options.traversalLimitInWords = words.size();
    options.nestingLimit = 4;
    capnp::FlatArrayMessageReader reader(kj::arrayPtr(words.data(), length / sizeof(capnp::word)), options);
    const auto root = reader.getRoot<schema::HelloMessage>();
    if (root.isHello()) return read(root.getHello());
    if (root.isRefusal()) return read(root.getRefusal());
    return malformed("it is of an unknown kind");
  } catch (const kj::Exception& exception) {
    return malformed(exception.getDescription().cStr());
  }
}

std::optional<Refusal> check_hello(const Hello& hello, const ExchangeOptions& options) {
  if (hello.version != data_protocol_version) {
    return Refusal{RefusalReason::version, "it speaks version " + std::to_string(data_protocol_version) +
                                               " of the data protocol, the caller version " +
                                               std::to_string(hello.version)};
  }
  // The own name stays unsaid: strangers listen.
  if (hello.cluster != options.cluster) return Refusal{RefusalReason::cluster, "it belongs to another cluster"};
  if (hello.encrypted != options.encrypted) {
    return Refusal{RefusalReason::mode, options.encrypted ? "it encrypts its data plane, the caller does not"
                                                          : "its data plane is plain, the caller's is encrypted"};
  }
  return std::nullopt;
}

}  // namespace tessera
