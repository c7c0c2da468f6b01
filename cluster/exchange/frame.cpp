#include "cluster/exchange/frame.hpp"

#include <array>
#include <capnp/message.h>
#include <capnp/serialize.h>
#include <cstring>
#include <kj/exception.h>

#include "runtime/base/ensure.hpp"
#include "runtime/tensor/collective.hpp"
#include "schemas/exchange.capnp.h"

namespace tessera {

namespace {

namespace schema = exchange_schema;

/// Segment table, root pointer, 7 words of data.
constexpr std::size_t header_words = frame_header_bytes / sizeof(capnp::word);
constexpr std::uint32_t segment_words = header_words - 1;

Error malformed(const std::string& what) { return Error{ErrorCode::corrupt, "frame: " + what}; }

const char* name_of_op(std::uint8_t op) {
  switch (static_cast<ExchangeOp>(op)) {
    case ExchangeOp::attention_out:
      return "attention_out";
    case ExchangeOp::ffn_down:
      return "ffn_down";
    case ExchangeOp::logits:
      return "logits";
    case ExchangeOp::attention_out_rows:
      return "attention_out_rows";
    case ExchangeOp::ffn_down_rows:
      return "ffn_down_rows";
    case ExchangeOp::stage_input:
      return "stage_input";
  }
  return "unknown";
}

const char* name_of_kind(FrameKind kind) {
  switch (kind) {
    case FrameKind::proof:
      return "proof";
    case FrameKind::exchange:
      return "exchange";
    case FrameKind::command:
      return "command";
  }
  return "unknown";
}

}  // namespace

std::string describe(const FrameHeader& header) {
  std::string text = std::string(name_of_kind(header.kind)) + " frame of replica " +
                     std::to_string(header.replica.value) + ", epoch " + std::to_string(header.epoch.value) +
                     ", incarnation " + std::to_string(header.incarnation.value) + ", step " +
                     std::to_string(header.step);
  if (header.kind == FrameKind::exchange)
    text += ", layer " + std::to_string(header.layer) + ", op " + name_of_op(header.op);
  return text + ", bytes " + std::to_string(header.offset) + " of " + std::to_string(header.total);
}

void encode_frame_header(const FrameHeader& header, FrameHeaderBytes out) {
  // Built in place: a builder's first segment is the memory that it is given, which must be zero.
  std::memset(out.data(), 0, out.size());
  auto* const words = reinterpret_cast<capnp::word*>(out.data());
  std::memcpy(out.data() + 4, &segment_words, sizeof segment_words);
  capnp::FlatMessageBuilder builder(kj::arrayPtr(words + 1, segment_words));
  auto root = builder.initRoot<schema::FrameHeader>();
  root.setKind(static_cast<std::uint8_t>(header.kind));
  root.setOp(header.op);
  root.setLayer(header.layer);
  root.setStep(header.step);
  root.setReplica(header.replica.value);
  root.setEpoch(header.epoch.value);
  root.setIncarnation(header.incarnation.value);
  root.setOffset(header.offset);
  root.setTotal(header.total);
  builder.requireFilled();
}

Result<FrameHeader> decode_frame_header(std::span<const std::byte, frame_header_bytes> bytes) {
  std::array<std::uint32_t, 2> table;
  std::memcpy(table.data(), bytes.data(), sizeof table);
  if (table[0] != 0 || table[1] != segment_words) return malformed("its header is not one segment of 64 bytes");
  try {
    capnp::ReaderOptions options;
    options.traversalLimitInWords = header_words;
    options.nestingLimit = 1;
    capnp::FlatArrayMessageReader reader(kj::arrayPtr(reinterpret_cast<const capnp::word*>(bytes.data()), header_words),
                                         options);
    const auto root = reader.getRoot<schema::FrameHeader>();
    FrameHeader header;
    if (root.getKind() > static_cast<std::uint8_t>(FrameKind::command)) return malformed("its kind is unknown");
    header.kind = static_cast<FrameKind>(root.getKind());
    header.op = root.getOp();
    header.layer = root.getLayer();
    header.step = root.getStep();
    header.replica = {root.getReplica()};
    header.epoch = {root.getEpoch()};
    header.incarnation = {root.getIncarnation()};
    header.offset = root.getOffset();
    header.total = root.getTotal();
    return header;
  } catch (const kj::Exception& exception) {
    return malformed(exception.getDescription().cStr());
  }
}

Result<FrameSize> decode_frame_prefix(std::span<const std::byte, frame_prefix_bytes> prefix, std::size_t tag_bytes) {
  std::uint32_t length = 0;
  std::memcpy(&length, prefix.data(), sizeof length);
  const std::size_t around = frame_header_bytes + tag_bytes;
  if (length < around || length - around > frame_payload_max)
    return malformed("it has the impossible length " + std::to_string(length));
  return FrameSize{frame_prefix_bytes + length, length - around};
}

void encode_frame_prefix(std::size_t payload, std::size_t tag_bytes, std::span<std::byte, frame_prefix_bytes> out) {
  TESSERA_ENSURE(payload <= frame_payload_max);
  const auto length = static_cast<std::uint32_t>(frame_header_bytes + payload + tag_bytes);
  std::memcpy(out.data(), &length, sizeof length);
}

}  // namespace tessera
