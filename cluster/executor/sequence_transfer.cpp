#include "cluster/executor/sequence_transfer.hpp"

#include <algorithm>
#include <set>
#include <utility>

namespace tessera {

SequenceKey key_of(const StreamId& id) { return {id.high, id.low}; }
StreamId stream_of(const SequenceKey& key) { return {key.high, key.low}; }

namespace {

HiddenStates hidden_of(const std::optional<VectorRequest>& vector) {
  if (!vector) return HiddenStates::none;
  switch (vector->pooling) {
    case Pooling::mean:
      return HiddenStates::all;
    case Pooling::cls:
      return HiddenStates::first;
    case Pooling::last:
      return HiddenStates::last;
  }
  return HiddenStates::none;
}

std::optional<VectorRequest> vector_of(const SequenceSpec& spec) {
  switch (spec.hidden) {
    case HiddenStates::none:
      return {};
    case HiddenStates::all:
      return VectorRequest{Pooling::mean, spec.normalised};
    case HiddenStates::first:
      return VectorRequest{Pooling::cls, spec.normalised};
    case HiddenStates::last:
      return VectorRequest{Pooling::last, spec.normalised};
  }
  return {};
}

}  // namespace

SequenceSpec spec_of(StreamRequest request) {
  SequenceSpec spec;
  spec.key = key_of(request.id);
  spec.prompt = std::move(request.prompt);
  spec.delivered = std::move(request.delivered);
  spec.tokens_max = request.tokens_max;
  spec.sampling = std::move(request.sampling);
  spec.end_tokens = std::move(request.end_tokens);
  spec.score_prompt = request.score_prompt;
  spec.alternatives = request.alternatives;
  spec.tenant_salt = std::move(request.tenant);
  spec.priority = request.priority;
  spec.hidden = hidden_of(request.vector);
  spec.normalised = request.vector && request.vector->normalised;
  return spec;
}

std::vector<TransferSequence> to_transfer(const std::vector<SequenceState>& states, const std::string& deployment,
                                          std::uint32_t kv_pages) {
  std::vector<TransferSequence> sequences;
  for (const SequenceState& state : states) {
    TransferSequence sequence;
    const SequenceSpec& spec = state.spec;
    sequence.request = {stream_of(spec.key), deployment,       spec.prompt,     spec.delivered,
                        spec.tokens_max,     spec.sampling,    spec.end_tokens, spec.score_prompt,
                        spec.alternatives,   spec.tenant_salt, spec.priority,   {},
                        vector_of(spec)};
    const bool inside =
        std::all_of(state.pages.begin(), state.pages.end(), [&](PageId page) { return page.value < kv_pages; });
    if (spec.score_prompt) {
      sequence.generated = spec.delivered;
    } else {
      sequence.generated = state.generated;
      if (inside) {
        sequence.pages = state.pages;
        sequence.computed = state.computed;
      }
    }
    sequences.push_back(std::move(sequence));
  }
  return sequences;
}

std::vector<PageId> pages_of(const std::vector<TransferSequence>& sequences) {
  std::set<PageId> pages;
  for (const TransferSequence& sequence : sequences) pages.insert(sequence.pages.begin(), sequence.pages.end());
  return {pages.begin(), pages.end()};
}

std::vector<PageId> pages_of(const std::vector<SequenceState>& states, std::uint32_t kv_pages) {
  std::set<PageId> pages;
  for (const SequenceState& state : states) {
    for (const PageId page : state.pages) {
      if (page.value < kv_pages) pages.insert(page);
    }
  }
  return {pages.begin(), pages.end()};
}

std::vector<SequenceState> from_transfer(std::vector<TransferSequence> sequences) {
  std::vector<SequenceState> states;
  for (TransferSequence& sequence : sequences) {
    SequenceState state;
    state.spec = spec_of(std::move(sequence.request));
    state.generated = std::move(sequence.generated);
    state.computed = sequence.computed;
    state.pages = std::move(sequence.pages);
    states.push_back(std::move(state));
  }
  return states;
}

}  // namespace tessera
