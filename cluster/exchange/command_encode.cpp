#include <capnp/message.h>
#include <cstring>
#include <string>
#include <type_traits>
#include <variant>

#include "cluster/exchange/commands.hpp"
#include "runtime/base/ensure.hpp"
#include "schemas/exchange.capnp.h"

namespace tessera {

namespace {

namespace schema = exchange_schema;

constexpr std::size_t scratch_words = 8192;

template <typename Builder>
void set_pages(Builder builder, const std::vector<PageId>& pages) {
  for (std::size_t i = 0; i < pages.size(); ++i) builder.set(static_cast<unsigned>(i), pages[i].value);
}

template <typename Builder>
void set_tokens(Builder builder, const std::vector<TokenId>& tokens) {
  for (std::size_t i = 0; i < tokens.size(); ++i) builder.set(static_cast<unsigned>(i), tokens[i]);
}

unsigned size_of(const auto& list) { return static_cast<unsigned>(list.size()); }

void write(schema::StepCommand::Builder out, const StepCommand& command) {
  out.setNumber(command.number);
  auto rows = out.initRows(size_of(command.rows));
  for (unsigned i = 0; i < rows.size(); ++i) {
    const StepCommand::Row& row = command.rows[i];
    rows[i].setToken(row.token);
    rows[i].setPosition(row.position);
    rows[i].setSequence(row.sequence);
    rows[i].setWantsLogits(row.wants_logits);
    rows[i].setWantsHidden(row.wants_hidden);
  }
  auto sequences = out.initSequences(size_of(command.sequences));
  for (unsigned i = 0; i < sequences.size(); ++i)
    set_pages(sequences.init(i, size_of(command.sequences[i])), command.sequences[i]);
}

void write(schema::BeginCommand::Builder out, const BeginCommand& command) {
  out.setIncarnation(command.incarnation.value);
  out.setNextStep(command.next_step);
}

void write(schema::TransferCommand::Sampling::Builder out, const SamplingParameters& sampling) {
  out.setTemperature(sampling.temperature);
  out.setTopK(sampling.top_k);
  out.setTopP(sampling.top_p);
  out.setMinP(sampling.min_p);
  out.setRepeatPenalty(sampling.repeat_penalty);
  out.setPresencePenalty(sampling.presence_penalty);
  out.setFrequencyPenalty(sampling.frequency_penalty);
  out.setSeed(sampling.seed);
  out.setChoice(sampling.choice);
  auto tokens = out.initBiasTokens(size_of(sampling.logit_bias));
  auto values = out.initBiasValues(size_of(sampling.logit_bias));
  for (unsigned i = 0; i < tokens.size(); ++i) {
    tokens.set(i, sampling.logit_bias[i].first);
    values.set(i, sampling.logit_bias[i].second);
  }
}

void write(schema::TransferCommand::Sequence::Builder out, const TransferSequence& sequence) {
  const StreamRequest& request = sequence.request;
  out.setIdHigh(request.id.high);
  out.setIdLow(request.id.low);
  out.setDeployment({request.deployment.data(), request.deployment.size()});
  set_tokens(out.initPrompt(size_of(request.prompt)), request.prompt);
  set_tokens(out.initDelivered(size_of(request.delivered)), request.delivered);
  set_tokens(out.initGenerated(size_of(sequence.generated)), sequence.generated);
  out.setTokensMax(request.tokens_max);
  write(out.initSampling(), request.sampling);
  set_tokens(out.initEndTokens(size_of(request.end_tokens)), request.end_tokens);
  out.setScorePrompt(request.score_prompt);
  out.setAlternatives(request.alternatives);
  out.setTenant({request.tenant.data(), request.tenant.size()});
  out.setPriority(request.priority);
  if (request.vector) {
    auto vector = out.initVector();
    vector.setPooling(static_cast<std::uint8_t>(request.vector->pooling));
    vector.setNormalised(request.vector->normalised);
  }
  set_pages(out.initPages(size_of(sequence.pages)), sequence.pages);
  out.setComputed(sequence.computed);
  out.setScored(sequence.scored);
}

void write(schema::TransferCommand::Builder out, const TransferCommand& command) {
  out.setFromEpoch(command.from.value);
  out.setIncarnation(command.incarnation.value);
  out.setNextStep(command.next_step);
  set_pages(out.initPages(size_of(command.pages)), command.pages);
  auto sequences = out.initSequences(size_of(command.sequences));
  for (unsigned i = 0; i < sequences.size(); ++i) write(sequences[i], command.sequences[i]);
}

void write(schema::KvPagesCommand::Builder out, const KvPagesCommand& command,
           std::span<const std::span<const std::byte>> pieces) {
  out.setLayersBegin(command.layers.begin);
  out.setLayersEnd(command.layers.end);
  out.setHeadsBegin(command.kv_heads.begin);
  out.setHeadsEnd(command.kv_heads.end);
  out.setPageBytes(command.page_bytes);
  set_pages(out.initPages(size_of(command.pages)), command.pages);
  auto payload = out.initPayload(static_cast<unsigned>(command.payload_bytes()));
  std::size_t at = 0;
  for (const std::span<const std::byte> piece : pieces) {
    TESSERA_ENSURE(piece.size() <= payload.size() - at);
    if (!piece.empty()) std::memcpy(payload.begin() + at, piece.data(), piece.size());
    at += piece.size();
  }
  TESSERA_ENSURE(at == payload.size());
}

void write(schema::AckCommand::Builder out, const AckCommand& command) {
  out.setOf(static_cast<schema::AckCommand::Of>(command.of));
  out.setStep(command.step);
  out.setOk(static_cast<bool>(command.result));
  if (command.result) return;
  out.setCode(static_cast<std::uint8_t>(command.result.error().code));
  const std::string& text = command.result.error().message;
  out.setText(text.substr(0, error_text_bytes_max));
}

void write(schema::LeaseCommand::Builder out, const LeaseCommand& command) {
  out.setAction(static_cast<schema::LeaseCommand::Action>(command.action));
  out.setTicket(command.ticket);
}

}  // namespace

const char* name_of(const Command& command) {
  constexpr const char* names[] = {"step", "begin", "transfer", "kv pages", "ack", "lease"};
  static_assert(std::size(names) == std::variant_size_v<Command>);
  return names[command.index()];
}

struct CommandEncoder::State {
  std::vector<std::uint64_t> scratch = std::vector<std::uint64_t>(scratch_words);  ///< zero between two messages
  std::vector<std::uint64_t> bytes;

  template <typename Fill>
  std::span<const std::byte> build(std::size_t expected_bytes, Fill fill) {
    std::size_t words = 0;
    {
      // One segment, so that the receiver reads it where it lies: small ones in the scratch memory, which the builder
      // leaves zero behind itself; larger ones in memory of their own.
      const bool small = expected_bytes <= scratch.size() * sizeof(std::uint64_t);
      const std::size_t first = expected_bytes / sizeof(capnp::word) + 1;
      std::vector<std::uint64_t> large(small ? 0 : first);
      std::vector<std::uint64_t>& memory = small ? scratch : large;
      capnp::MallocMessageBuilder builder(kj::arrayPtr(reinterpret_cast<capnp::word*>(memory.data()), memory.size()));
      fill(builder.initRoot<schema::Command>());
      const auto segments = builder.getSegmentsForOutput();
      TESSERA_ENSURE(segments.size() == 1);
      words = segments[0].size() + 1;
      if (bytes.size() < words) bytes.resize(words);
      const std::uint32_t table[2] = {0, static_cast<std::uint32_t>(segments[0].size())};
      std::memcpy(bytes.data(), table, sizeof table);
      std::memcpy(bytes.data() + 1, segments[0].begin(), segments[0].size() * sizeof(capnp::word));
    }
    return std::as_bytes(std::span(bytes)).first(words * sizeof(std::uint64_t));
  }
};

namespace {

/// Upper bounds of what a command takes in one segment.
constexpr std::size_t fixed_bytes = 512;
/// A list's tag, its pointer, and padding.
constexpr std::size_t list_bytes = 24;

std::size_t bytes_of(const StepCommand& command) {
  std::size_t bytes = fixed_bytes + command.rows.size() * 16 + 2 * list_bytes;
  for (const auto& pages : command.sequences) bytes += list_bytes + pages.size() * sizeof(PageId);
  return bytes;
}

std::size_t bytes_of(const TransferCommand& command) {
  std::size_t bytes = fixed_bytes + command.pages.size() * sizeof(PageId);
  for (const TransferSequence& sequence : command.sequences) {
    const StreamRequest& request = sequence.request;
    const std::size_t numbers = request.prompt.size() + request.delivered.size() + sequence.generated.size() +
                                request.end_tokens.size() + sequence.pages.size() +
                                2 * request.sampling.logit_bias.size();
    bytes += fixed_bytes + 10 * list_bytes + request.deployment.size() + numbers * 4;
  }
  return bytes;
}

std::size_t bytes_of(const KvPagesCommand& command) {
  return fixed_bytes + command.payload_bytes() + command.pages.size() * sizeof(PageId);
}

std::size_t bytes_of(const AckCommand&) { return fixed_bytes + error_text_bytes_max; }
std::size_t bytes_of(const BeginCommand&) { return fixed_bytes; }
std::size_t bytes_of(const LeaseCommand&) { return fixed_bytes; }

}  // namespace

CommandEncoder::CommandEncoder() : state_(std::make_unique<State>()) {}
CommandEncoder::~CommandEncoder() = default;

std::span<const std::byte> CommandEncoder::encode(const KvPagesCommand& command,
                                                  std::span<const std::span<const std::byte>> payload) {
  return state_->build(bytes_of(command),
                       [&](schema::Command::Builder root) { write(root.initKvPages(), command, payload); });
}

std::span<const std::byte> CommandEncoder::encode(const Command& command) {
  if (const auto* pages = std::get_if<KvPagesCommand>(&command)) {
    const std::span<const std::byte> pieces[] = {pages->payload};
    return encode(*pages, pieces);
  }
  const std::size_t bytes = std::visit([](const auto& one) { return bytes_of(one); }, command);
  return state_->build(bytes, [&](schema::Command::Builder root) {
    if (const auto* step = std::get_if<StepCommand>(&command)) write(root.initStep(), *step);
    if (const auto* begin = std::get_if<BeginCommand>(&command)) write(root.initBegin(), *begin);
    if (const auto* transfer = std::get_if<TransferCommand>(&command)) write(root.initTransfer(), *transfer);
    if (const auto* ack = std::get_if<AckCommand>(&command)) write(root.initAck(), *ack);
    if (const auto* lease = std::get_if<LeaseCommand>(&command)) write(root.initLease(), *lease);
  });
}

}  // namespace tessera
