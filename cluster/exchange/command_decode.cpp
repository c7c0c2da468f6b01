#include <algorithm>
#include <capnp/message.h>
#include <capnp/serialize.h>
#include <cmath>
#include <cstring>
#include <kj/exception.h>
#include <string>
#include <utility>

#include "cluster/exchange/commands.hpp"
#include "cluster/exchange/mesh.hpp"
#include "runtime/base/ensure.hpp"
#include "runtime/batching/page_allocator.hpp"
#include "schemas/exchange.capnp.h"

namespace tessera {

namespace {

namespace schema = exchange_schema;

/// Every word of a message is read about once; many pointers to the same list are an attack.
constexpr std::uint64_t traversals_max = 2;
constexpr int nesting_max = 8;

Error wrong(const std::string& what) { return Error{ErrorCode::corrupt, "command: " + what}; }

/// Every list's size is checked before anything is allocated for it.
Result<void> check_size(const char* what, std::size_t size, std::size_t minimum, std::size_t maximum) {
  if (size >= minimum && size <= maximum) return {};
  return wrong(std::string(what) + " has " + std::to_string(size) + " entries; " + std::to_string(minimum) + " to " +
               std::to_string(maximum) + " are possible");
}

Result<void> check_below(const char* what, std::uint64_t value, std::uint64_t end) {
  if (value < end) return {};
  return wrong(std::string(what) + " is " + std::to_string(value) + ", and must be below " + std::to_string(end));
}

class Decoder {
 public:
  explicit Decoder(const CommandLimits& limits) : limits_(limits) {}

  Result<Command> command(schema::Command::Reader root) const {
    switch (root.which()) {
      case schema::Command::STEP:
        return wrap(step(root.getStep()));
      case schema::Command::BEGIN:
        return wrap(begin(root.getBegin()));
      case schema::Command::TRANSFER:
        return wrap(transfer(root.getTransfer()));
      case schema::Command::KV_PAGES:
        return wrap(kv_pages(root.getKvPages()));
      case schema::Command::ACK:
        return wrap(ack(root.getAck()));
      case schema::Command::LEASE:
        return wrap(lease(root.getLease()));
    }
    return wrong("its kind is unknown");
  }

 private:
  template <typename T>
  static Result<Command> wrap(Result<T> decoded) {
    if (!decoded) return decoded.error();
    return Command(std::move(*decoded));
  }

  Result<std::vector<TokenId>> tokens(const char* what, capnp::List<std::int32_t>::Reader list, std::size_t minimum,
                                      std::size_t maximum) const {
    TESSERA_CHECK(check_size(what, list.size(), minimum, maximum));
    std::vector<TokenId> tokens;
    tokens.reserve(list.size());
    for (const std::int32_t token : list) {
      if (token < 0) return wrong(std::string(what) + " holds the negative token " + std::to_string(token));
      TESSERA_CHECK(check_below(what, static_cast<std::uint32_t>(token), limits_.vocab_size));
      tokens.push_back(token);
    }
    return tokens;
  }

  Result<std::vector<PageId>> pages(const char* what, capnp::List<std::uint32_t>::Reader list,
                                    std::size_t maximum) const {
    TESSERA_CHECK(check_size(what, list.size(), 0, std::min<std::size_t>(maximum, limits_.kv_pages)));
    std::vector<PageId> pages;
    pages.reserve(list.size());
    for (const std::uint32_t page : list) {
      TESSERA_CHECK(check_below(what, page, limits_.kv_pages));
      pages.push_back({page});
    }
    return pages;
  }

  Result<StepCommand> step(schema::StepCommand::Reader in) const {
    StepCommand command;
    command.number = in.getNumber();
    const auto rows = in.getRows();
    const auto sequences = in.getSequences();
    TESSERA_CHECK(check_size("rows", rows.size(), 1, limits::sequence_rows_max));
    TESSERA_CHECK(check_size("sequences", sequences.size(), 1, rows.size()));
    command.sequences.reserve(sequences.size());
    for (const auto list : sequences) {
      TESSERA_TRY(auto one, pages("pages of a sequence", list, pages_for(limits_.context_length)));
      command.sequences.push_back(std::move(one));
    }
    command.rows.reserve(rows.size());
    for (const auto row : rows) {
      if (row.getToken() < 0) return wrong("a row has the negative token " + std::to_string(row.getToken()));
      TESSERA_CHECK(check_below("a row's token", static_cast<std::uint32_t>(row.getToken()), limits_.vocab_size));
      TESSERA_CHECK(check_below("a row's sequence", row.getSequence(), command.sequences.size()));
      TESSERA_CHECK(check_below("a row's position", row.getPosition(), limits_.context_length));
      TESSERA_CHECK(check_below("the page of a row's position", row.getPosition() / kv_page_positions,
                                command.sequences[row.getSequence()].size()));
      command.rows.push_back(
          {row.getToken(), row.getPosition(), row.getSequence(), row.getWantsLogits(), row.getWantsHidden()});
    }
    return command;
  }

  Result<BeginCommand> begin(schema::BeginCommand::Reader in) const {
    return BeginCommand{{in.getIncarnation()}, in.getNextStep()};
  }

  Result<SamplingParameters> sampling(schema::TransferCommand::Sampling::Reader in) const {
    SamplingParameters sampling;
    sampling.temperature = in.getTemperature();
    sampling.top_k = in.getTopK();
    sampling.top_p = in.getTopP();
    sampling.min_p = in.getMinP();
    sampling.repeat_penalty = in.getRepeatPenalty();
    sampling.presence_penalty = in.getPresencePenalty();
    sampling.frequency_penalty = in.getFrequencyPenalty();
    sampling.seed = in.getSeed();
    sampling.choice = in.getChoice();
    for (const float value : {sampling.temperature, sampling.top_p, sampling.min_p, sampling.repeat_penalty,
                              sampling.presence_penalty, sampling.frequency_penalty}) {
      if (!std::isfinite(value)) return wrong("a sampling parameter is not finite");
    }
    TESSERA_TRY(const auto biased, tokens("biased tokens", in.getBiasTokens(), 0, logit_biases_max));
    const auto values = in.getBiasValues();
    TESSERA_CHECK(check_size("biases", values.size(), biased.size(), biased.size()));
    sampling.logit_bias.reserve(biased.size());
    for (unsigned i = 0; i < values.size(); ++i) sampling.logit_bias.emplace_back(biased[i], values[i]);
    return sampling;
  }

  Result<TransferSequence> sequence(schema::TransferCommand::Sequence::Reader in) const {
    TransferSequence sequence;
    StreamRequest& request = sequence.request;
    request.id = {in.getIdHigh(), in.getIdLow()};
    const capnp::Text::Reader deployment = in.getDeployment();
    TESSERA_CHECK(check_size("a deployment's name", deployment.size(), 0, deployment_name_bytes_max));
    request.deployment.assign(deployment.begin(), deployment.size());
    const std::size_t context = limits_.context_length;
    TESSERA_TRY(request.prompt, tokens("a prompt", in.getPrompt(), 1, context));
    TESSERA_TRY(request.delivered, tokens("delivered tokens", in.getDelivered(), 0, context));
    TESSERA_TRY(sequence.generated, tokens("generated tokens", in.getGenerated(), 0, context));
    TESSERA_TRY(request.end_tokens, tokens("end tokens", in.getEndTokens(), 0, end_tokens_max));
    TESSERA_TRY(request.sampling, sampling(in.getSampling()));
    TESSERA_TRY(sequence.pages, pages("pages of a sequence", in.getPages(), pages_for(limits_.context_length)));
    request.tokens_max = in.getTokensMax();
    request.score_prompt = in.getScorePrompt();
    request.alternatives = in.getAlternatives();
    const capnp::Text::Reader tenant = in.getTenant();
    TESSERA_CHECK(check_size("a tenant's name", tenant.size(), 0, tenant_bytes_max));
    request.tenant.assign(tenant.begin(), tenant.size());
    request.priority = in.getPriority();
    if (request.priority < priority_min || request.priority > priority_max)
      return wrong("a sequence's priority is out of bounds");
    if (in.hasVector()) {
      const auto vector = in.getVector();
      TESSERA_CHECK(check_below("a sequence's pooling", vector.getPooling(), pooling_count));
      request.vector = VectorRequest{static_cast<Pooling>(vector.getPooling()), vector.getNormalised()};
    }
    sequence.computed = in.getComputed();
    sequence.scored = in.getScored();
    const std::size_t known = request.prompt.size() + sequence.generated.size();
    TESSERA_CHECK(check_below("a sequence's computed positions", sequence.computed, known + 1));
    TESSERA_CHECK(check_below("a sequence's prompt scores", sequence.scored, request.prompt.size()));
    TESSERA_CHECK(check_below("alternatives of a token", request.alternatives, limits::alternatives_max + 1));
    if (pages_for(sequence.computed) > sequence.pages.size())
      return wrong("a sequence's pages do not cover its computed positions");
    if (request.delivered.size() > sequence.generated.size() ||
        !std::equal(request.delivered.begin(), request.delivered.end(), sequence.generated.begin()))
      return wrong("a sequence's generated tokens do not begin with the delivered ones");
    return sequence;
  }

  Result<TransferCommand> transfer(schema::TransferCommand::Reader in) const {
    TransferCommand command;
    command.from = {in.getFromEpoch()};
    command.incarnation = {in.getIncarnation()};
    command.next_step = in.getNextStep();
    TESSERA_TRY(command.pages, pages("pages in use", in.getPages(), SIZE_MAX));
    for (std::size_t i = 1; i < command.pages.size(); ++i) {
      if (command.pages[i - 1] >= command.pages[i]) return wrong("pages in use do not ascend");
    }
    const auto sequences = in.getSequences();
    TESSERA_CHECK(check_size("sequences", sequences.size(), 0, transfer_sequences_max));
    command.sequences.reserve(sequences.size());
    for (const auto entry : sequences) {
      TESSERA_TRY(auto one, sequence(entry));
      for (const PageId page : one.pages) {
        if (!std::binary_search(command.pages.begin(), command.pages.end(), page))
          return wrong("a sequence has page " + std::to_string(page.value) + ", which is not among those in use");
      }
      command.sequences.push_back(std::move(one));
    }
    return command;
  }

  Result<SliceRange> range(const char* what, std::uint32_t begin, std::uint32_t end, std::uint32_t maximum) const {
    if (begin < end && end <= maximum) return SliceRange{begin, end};
    return wrong(std::string(what) + " " + std::to_string(begin) + " to " + std::to_string(end) +
                 " are not a run inside of " + std::to_string(maximum));
  }

  Result<KvPagesCommand> kv_pages(schema::KvPagesCommand::Reader in) const {
    KvPagesCommand command;
    TESSERA_TRY(command.layers, range("layers", in.getLayersBegin(), in.getLayersEnd(), limits_.layers));
    TESSERA_TRY(command.kv_heads, range("KV heads", in.getHeadsBegin(), in.getHeadsEnd(), limits_.kv_heads));
    command.page_bytes = in.getPageBytes();
    TESSERA_TRY(command.pages, pages("pages", in.getPages(), SIZE_MAX));
    TESSERA_CHECK(check_below("bytes of a page", command.page_bytes, command_bytes_max));
    // With all four below their limits the product cannot overflow 64 bits only if it is taken step by step.
    const auto payload = in.getPayload();
    const std::uint64_t runs = std::uint64_t{2} * command.layers.count() * command.kv_heads.count();
    const std::uint64_t run_bytes = command.pages.size() * std::uint64_t{command.page_bytes};
    if (run_bytes > payload.size() || runs * run_bytes != payload.size()) {
      return wrong("KV pages come with " + std::to_string(payload.size()) + " bytes, which is not " +
                   std::to_string(runs) + " times " + std::to_string(run_bytes));
    }
    command.payload = std::as_bytes(std::span(payload.begin(), payload.size()));
    return command;
  }

  Result<AckCommand> ack(schema::AckCommand::Reader in) const {
    AckCommand command;
    TESSERA_CHECK(check_below("what an ack answers", static_cast<std::uint16_t>(in.getOf()),
                              static_cast<std::uint16_t>(AckCommand::Of::step) + std::uint64_t{1}));
    command.of = static_cast<AckCommand::Of>(in.getOf());
    command.step = in.getStep();
    if (in.getOk()) return command;
    TESSERA_CHECK(check_below("an error's code", in.getCode(), static_cast<std::uint64_t>(ErrorCode::conflict) + 1));
    const capnp::Text::Reader text = in.getText();
    TESSERA_CHECK(check_size("an error's text", text.size(), 0, error_text_bytes_max));
    command.result = Error{static_cast<ErrorCode>(in.getCode()), std::string(text.begin(), text.size())};
    return command;
  }

  Result<LeaseCommand> lease(schema::LeaseCommand::Reader in) const {
    TESSERA_CHECK(check_below("a lease's action", static_cast<std::uint16_t>(in.getAction()),
                              static_cast<std::uint16_t>(LeaseCommand::Action::release) + std::uint64_t{1}));
    return LeaseCommand{static_cast<LeaseCommand::Action>(in.getAction()), in.getTicket()};
  }

  const CommandLimits& limits_;
};

}  // namespace

Result<Command> decode_command(std::span<const std::byte> bytes, const CommandLimits& limits) {
  TESSERA_ENSURE(reinterpret_cast<std::uintptr_t>(bytes.data()) % sizeof(capnp::word) == 0);
  const std::size_t words = bytes.size() / sizeof(capnp::word);
  if (words < 2 || bytes.size() % sizeof(capnp::word) != 0 || bytes.size() > command_bytes_max)
    return wrong("it has the impossible size " + std::to_string(bytes.size()));
  std::uint32_t table[2];
  std::memcpy(table, bytes.data(), sizeof table);
  if (table[0] != 0 || table[1] != words - 1) return wrong("it is not one segment");
  try {
    capnp::ReaderOptions options;
    options.traversalLimitInWords = traversals_max * words;
    options.nestingLimit = nesting_max;
    capnp::FlatArrayMessageReader reader(kj::arrayPtr(reinterpret_cast<const capnp::word*>(bytes.data()), words),
                                         options);
    return Decoder(limits).command(reader.getRoot<schema::Command>());
  } catch (const kj::Exception& exception) {
    return wrong(exception.getDescription().cStr());
  }
}

}  // namespace tessera
