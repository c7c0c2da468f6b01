#include <algorithm>
#include <chrono>
#include <optional>
#include <vector>

#include "cluster/rpc/wire.hpp"
#include "runtime/base/limits.hpp"

namespace tessera::wire {
namespace {

using End = schema::StreamUpdate::End;

void write_ids(capnp::List<std::int32_t>::Builder out, const std::vector<TokenId>& values) {
  for (unsigned i = 0; i < out.size(); ++i) out.set(i, values[i]);
}

std::vector<TokenId> read_ids(capnp::List<std::int32_t>::Reader in) {
  check_length(in.size());
  std::vector<TokenId> values;
  values.reserve(in.size());
  for (const TokenId value : in) values.push_back(value);
  return values;
}

End end_of(const StreamUpdate& update) {
  if (update.failed) return End::FAILED;
  if (update.moved) return End::MOVED;
  if (!update.finished) return End::NONE;
  switch (*update.finished) {
    case FinishReason::end_token:
      return End::END_TOKEN;
    case FinishReason::length:
      return End::LENGTH;
    case FinishReason::stopped:
      return End::STOPPED;
  }
  return End::NONE;
}

void read_end(schema::StreamUpdate::Reader in, StreamUpdate& update) {
  switch (in.getEnd()) {
    case End::NONE:
      return;
    case End::END_TOKEN:
      update.finished = FinishReason::end_token;
      return;
    case End::LENGTH:
      update.finished = FinishReason::length;
      return;
    case End::STOPPED:
      update.finished = FinishReason::stopped;
      return;
    case End::FAILED:
      update.failed = read(in.getError());
      return;
    case End::MOVED:
      update.moved = true;
      return;
  }
  malformed("a stream ends in a way that is not known here");
}

void write_sampling(schema::StreamRequest::Sampling::Builder out, const SamplingParameters& value) {
  out.setTemperature(value.temperature);
  out.setTopK(value.top_k);
  out.setTopP(value.top_p);
  out.setMinP(value.min_p);
  out.setRepeatPenalty(value.repeat_penalty);
  out.setPresencePenalty(value.presence_penalty);
  out.setFrequencyPenalty(value.frequency_penalty);
  auto bias = out.initLogitBias(length(value.logit_bias.size()));
  for (unsigned i = 0; i < bias.size(); ++i) {
    bias[i].setToken(value.logit_bias[i].first);
    bias[i].setBias(value.logit_bias[i].second);
  }
  out.setSeed(value.seed);
  out.setChoice(value.choice);
}

SamplingParameters read_sampling(schema::StreamRequest::Sampling::Reader in) {
  SamplingParameters sampling;
  sampling.temperature = in.getTemperature();
  sampling.top_k = in.getTopK();
  sampling.top_p = in.getTopP();
  sampling.min_p = in.getMinP();
  sampling.repeat_penalty = in.getRepeatPenalty();
  sampling.presence_penalty = in.getPresencePenalty();
  sampling.frequency_penalty = in.getFrequencyPenalty();
  check_length(in.getLogitBias().size());
  for (const auto bias : in.getLogitBias()) sampling.logit_bias.emplace_back(bias.getToken(), bias.getBias());
  sampling.seed = in.getSeed();
  sampling.choice = in.getChoice();
  return sampling;
}

void write_alternatives(capnp::List<schema::StreamUpdate::Alternative>::Builder out, const TokenAlternatives& values) {
  for (unsigned i = 0; i < out.size(); ++i) {
    out[i].setToken(values[i].token);
    out[i].setLogProbability(values[i].log_probability);
  }
}

TokenAlternatives read_alternatives(capnp::List<schema::StreamUpdate::Alternative>::Reader in) {
  if (in.size() > limits::alternatives_max) malformed("a token has more alternatives than anybody can ask for");
  TokenAlternatives values;
  values.reserve(in.size());
  for (const auto each : in) values.push_back({each.getToken(), each.getLogProbability()});
  return values;
}

void write_phases(schema::StreamUpdate::Phases::Builder out, const StreamPhases& value) {
  out.setQueueSeconds(value.queue_seconds);
  out.setPrefillSeconds(value.prefill_seconds);
  out.setDecodeSeconds(value.decode_seconds);
  out.setSteps(value.steps);
}

StreamPhases read_phases(schema::StreamUpdate::Phases::Reader in) {
  return {finite(in.getQueueSeconds(), "a stream's time in the queue"),
          finite(in.getPrefillSeconds(), "a stream's time of prefill"),
          finite(in.getDecodeSeconds(), "a stream's time of decoding"), in.getSteps()};
}

std::chrono::milliseconds read_timeout(std::uint64_t ms) {
  constexpr std::uint64_t longest = std::chrono::milliseconds(std::chrono::hours(24 * 365)).count();
  return std::chrono::milliseconds(std::min(ms, longest));
}

}  // namespace

void write(schema::StreamRequest::Builder out, const StreamRequest& value) {
  out.setHigh(value.id.high);
  out.setLow(value.id.low);
  out.setDeployment(text(value.deployment));
  write_ids(out.initPrompt(length(value.prompt.size())), value.prompt);
  write_ids(out.initDelivered(length(value.delivered.size())), value.delivered);
  out.setTokensMax(value.tokens_max);
  write_sampling(out.initSampling(), value.sampling);
  write_ids(out.initEndTokens(length(value.end_tokens.size())), value.end_tokens);
  out.setScorePrompt(value.score_prompt);
  out.setAlternatives(value.alternatives);
  out.setTenant(text(value.tenant));
  out.setPriority(value.priority);
  out.setTimeoutMs(static_cast<std::uint64_t>(value.timeout.count()));
  if (value.vector) {
    auto vector = out.initVector();
    vector.setPooling(to_string(value.vector->pooling));
    vector.setNormalised(value.vector->normalised);
  }
  out.setReplica(value.replica.value);
}

StreamRequest read(schema::StreamRequest::Reader in) {
  StreamRequest request;
  request.id = {in.getHigh(), in.getLow()};
  request.deployment = read(in.getDeployment());
  request.prompt = read_ids(in.getPrompt());
  request.delivered = read_ids(in.getDelivered());
  request.tokens_max = in.getTokensMax();
  request.sampling = read_sampling(in.getSampling());
  request.end_tokens = read_ids(in.getEndTokens());
  request.score_prompt = in.getScorePrompt();
  request.alternatives = in.getAlternatives();
  request.tenant = read(in.getTenant());
  request.priority = in.getPriority();
  request.timeout = read_timeout(in.getTimeoutMs());
  if (in.hasVector()) {
    const std::optional<Pooling> pooling = parse_pooling(read(in.getVector().getPooling()));
    if (!pooling) malformed("a stream wants a vector that is pooled in a way that is not known here");
    request.vector = VectorRequest{*pooling, in.getVector().getNormalised()};
  }
  request.replica = {in.getReplica()};
  if (request.prompt.empty()) malformed("a stream's prompt has no tokens");
  if (request.tenant.size() > tenant_bytes_max) malformed("a stream's tenant has too long a name");
  if (request.priority < priority_min || request.priority > priority_max)
    malformed("a stream has a priority out of bounds");
  if (request.delivered.size() > request.tokens_max) malformed("a stream has more tokens than it asks for");
  return request;
}

void write(schema::StreamUpdate::Builder out, const StreamUpdate& value) {
  out.setHigh(value.id.high);
  out.setLow(value.id.low);
  out.setIncarnation(value.incarnation.value);
  auto tokens = out.initTokens(length(value.tokens.size()));
  for (unsigned i = 0; i < tokens.size(); ++i) {
    tokens[i].setIndex(value.tokens[i].index);
    tokens[i].setToken(value.tokens[i].token);
    tokens[i].setLogProbability(value.tokens[i].log_probability);
    const TokenAlternatives& alternatives = value.tokens[i].alternatives;
    if (!alternatives.empty())
      write_alternatives(tokens[i].initAlternatives(length(alternatives.size())), alternatives);
  }
  auto scores = out.initScores(length(value.scores.size()));
  for (unsigned i = 0; i < scores.size(); ++i) {
    scores[i].setIndex(value.scores[i].index);
    scores[i].setLogProbability(value.scores[i].log_probability);
    const TokenAlternatives& alternatives = value.scores[i].alternatives;
    if (!alternatives.empty())
      write_alternatives(scores[i].initAlternatives(length(alternatives.size())), alternatives);
  }
  out.setEnd(end_of(value));
  out.setCachedTokens(value.cached_tokens);
  if (value.phases) write_phases(out.initPhases(), *value.phases);
  if (!value.vector.empty()) {
    auto vector = out.initVector(length(value.vector.size()));
    for (unsigned i = 0; i < vector.size(); ++i) vector.set(i, value.vector[i]);
  }
  if (value.failed) write(out.initError(), *value.failed);
}

StreamUpdate read(schema::StreamUpdate::Reader in) {
  StreamUpdate update;
  update.id = {in.getHigh(), in.getLow()};
  update.incarnation = {in.getIncarnation()};
  check_length(in.getTokens().size());
  update.tokens.reserve(in.getTokens().size());
  for (const auto token : in.getTokens()) {
    update.tokens.push_back(
        {token.getIndex(), token.getToken(), token.getLogProbability(), read_alternatives(token.getAlternatives())});
  }
  check_length(in.getScores().size());
  update.scores.reserve(in.getScores().size());
  for (const auto score : in.getScores()) {
    update.scores.push_back({score.getIndex(), score.getLogProbability(), read_alternatives(score.getAlternatives())});
  }
  read_end(in, update);
  update.cached_tokens = in.getCachedTokens();
  if (in.hasPhases()) update.phases = read_phases(in.getPhases());
  if (in.getVector().size() > limits::model_dim_max) malformed("a vector has more elements than any model gives");
  update.vector.reserve(in.getVector().size());
  for (const float value : in.getVector()) update.vector.push_back(value);
  return update;
}

}  // namespace tessera::wire
