#include "tests/scripts/batching_script.hpp"

#include <map>
#include <optional>
#include <stdexcept>
#include <vector>

#include "tests/scripts/script.hpp"
#include "tests/unit/batching/hash_model.hpp"

namespace tessera::test {

namespace {

class Scenario {
 public:
  std::string run(const std::string& line) {
    trace_.clear();
    try {
      const ScriptCommand command(line);
      if (!streams(command) && !steps(command) && !pages(command)) trace_ += "  error: unknown command\n";
    } catch (const std::exception& error) {
      trace_ += std::string("  error: ") + error.what() + "\n";
    }
    return trace_;
  }

 private:
  bool streams(const ScriptCommand& command) {
    const std::string& verb = command.word(0);
    if (verb == "submit") {
      SequenceSpec spec = spec_of(command);
      names_[spec.key] = command.word(1);
      specs_[command.word(1)] = spec;
      submit(command.word(1), spec);
    } else if (verb == "return") {
      SequenceSpec spec = specs_.at(command.word(1));
      const HashModel::Reference reference = model_.reference(spec, core().limits().context_length);
      for (std::uint32_t i = 0; i < command.number("delivered"); ++i)
        spec.delivered.push_back(reference.tokens.at(i).token);
      submit(command.word(1), spec);
    } else if (verb == "cancel") {
      core().cancel(key(command.word(1)));
    } else if (verb == "detach") {
      core().detach(key(command.word(1)));
    } else {
      return false;
    }
    take();
    return true;
  }

  bool steps(const ScriptCommand& command) {
    const std::string& verb = command.word(0);
    if (verb == "step") {
      for (std::uint32_t i = command.number("count", 1); i > 0; --i) {
        if (begin()) end();
      }
    } else if (verb == "pass") {
      const std::string before = trace_;
      for (unsigned long i = std::stoul(command.word(1)); i > 0; --i) {
        if (begin()) end();
      }
      if (trace_.find(" WRONG") == std::string::npos) trace_ = before;
    } else if (verb == "begin") {
      begin();
    } else if (verb == "end") {
      if (!plan_) throw std::invalid_argument("no step is in flight");
      end();
    } else if (verb == "abandon") {
      core().step_abandoned();
      plan_.reset();
    } else {
      return false;
    }
    return true;
  }

  bool pages(const ScriptCommand& command) {
    const std::string& verb = command.word(0);
    if (verb == "core") {
      model_ = HashModel(command.number("vocabulary", 1000), command.number("copies") != 0);
      core_.emplace(limits_of(command));
    } else if (verb == "lose-pages") {
      core().invalidate_kv();
      model_.forget();
      plan_.reset();
    } else if (verb == "hand-over") {
      std::vector<SequenceState> states = core().export_sequences();
      for (const SequenceState& state : states)
        trace_ += "  " + names_.at(state.spec.key) + ": " + std::to_string(state.computed) + " computed in " +
                  text_of(state.pages) + "\n";
      ConductorLimits limits = core().limits();
      limits.pages = command.number("pages", limits.pages);
      core_.emplace(limits);
      if (const auto imported = core().import_sequences(std::move(states), true, true); !imported)
        throw std::invalid_argument(imported.error().message);
    } else if (verb == "load") {
      const ConductorLoad load = core().load();
      trace_ += "  " + std::to_string(load.running) + " running, " + std::to_string(load.waiting) + " waiting, " +
                std::to_string(load.detached) + " detached; pages: " + std::to_string(load.pages_used) + " used, " +
                std::to_string(load.pages_cached) + " cached of " + std::to_string(load.pages) +
                "; tokens: " + std::to_string(load.prefix.hit) + " hit of " + std::to_string(load.prefix.queried) +
                (load.preempted == 0 ? "" : "; preempted: " + std::to_string(load.preempted)) +
                (load.speculation.drafted == 0 ? ""
                                               : "; drafts: " + std::to_string(load.speculation.accepted) +
                                                     " right of " + std::to_string(load.speculation.drafted)) +
                "\n";
    } else {
      return false;
    }
    return true;
  }

  ConductorCore& core() {
    if (!core_) throw std::invalid_argument("there is no core yet");
    return *core_;
  }
  SequenceKey key(const std::string& name) const {
    const auto entry = specs_.find(name);
    if (entry == specs_.end()) throw std::invalid_argument("no stream has this name");
    return entry->second.key;
  }

  static ConductorLimits limits_of(const ScriptCommand& command) {
    ConductorLimits limits;
    limits.context_length = command.number("context", 512);
    limits.vocab_size = command.number("vocabulary", 1000);
    limits.drafts_max = command.number("drafts");
    limits.pages = command.number("pages", 16);
    limits.rows_max = command.number("rows", 64);
    limits.running_max = command.number("running", 4);
    limits.logits_rows_max = command.number("logits", 8);
    limits.waiting_max = command.number("waiting", 16);
    return limits;
  }

  /// prompt=a40b3: forty tokens of text a, then three of text b.
  SequenceSpec spec_of(const ScriptCommand& command) {
    const std::uint32_t vocab_size = core().limits().vocab_size;
    SequenceSpec spec;
    spec.key = {0, ++last_id_};
    const std::string prompt = command.text("prompt");
    for (std::size_t at = 0; at < prompt.size();) {
      const auto text = static_cast<std::uint32_t>(prompt[at++]);
      std::size_t digits = 0;
      const unsigned long count = std::stoul(prompt.substr(at), &digits);
      at += digits;
      for (std::uint32_t i = 0; i < count; ++i)
        spec.prompt.push_back(static_cast<TokenId>((text * 37 + i * 11) % vocab_size));
    }
    spec.tokens_max = command.number("tokens", 4);
    spec.score_prompt = command.number("score") != 0;
    spec.tenant_salt = command.text("tenant");
    return spec;
  }

  void submit(const std::string& name, const SequenceSpec& spec) {
    if (const auto submitted = core().submit(spec); !submitted)
      trace_ += "  " + name + ": " + to_string(submitted.error().code) + ": " + submitted.error().message + "\n";
  }

  bool begin() {
    plan_ = core().plan_step();
    if (!plan_) {
      trace_ += "  nothing to compute\n";
      take();
      return false;
    }
    for (std::uint32_t i = 0; i < plan_->sequences.size(); ++i) describe(i);
    return true;
  }
  void describe(std::uint32_t sequence) {
    std::optional<std::uint32_t> first, last;
    for (const PlannedRow& row : plan_->rows) {
      if (row.sequence != sequence) continue;
      if (!first) first = row.position;
      last = row.position;
    }
    std::size_t logits = 0, drafts = 0;
    for (const PlannedLogits& wanted : plan_->logits) {
      logits += wanted.sequence == sequence ? 1 : 0;
      drafts += wanted.sequence == sequence && wanted.draft ? 1 : 0;
    }
    const PlannedSequence& planned = plan_->sequences[sequence];
    trace_ += "  compute " + names_.at(planned.key) + " " + std::to_string(*first) +
              (first == last ? "" : "-" + std::to_string(*last)) + " in " + text_of(planned.pages) +
              (logits == 0 ? "" : ", logits " + std::to_string(logits)) +
              (drafts == 0 ? "" : ", drafts " + std::to_string(drafts)) + "\n";
  }
  void end() {
    core().step_done(model_.compute(*plan_));
    plan_.reset();
    take();
  }

  static std::string text_of(const std::vector<PageId>& pages) {
    std::string text = "[";
    for (const PageId page : pages) text += (text.size() > 1 ? " " : "") + std::to_string(page.value);
    return text + "]";
  }

  /// Every token is compared with what the stream has alone.
  void take() {
    for (const SequenceUpdate& update : core().take_updates()) {
      const std::string& name = names_.at(update.key);
      const HashModel::Reference reference = model_.reference(specs_.at(name), core().limits().context_length);
      std::string line = "  " + name + ":";
      for (const SequenceScore& score : update.scores) {
        if (reference.scores.at(score.index - 1) != score.log_probability) line += " WRONG";
      }
      if (!update.scores.empty()) {
        line +=
            " scores " + std::to_string(update.scores.front().index) + "-" + std::to_string(update.scores.back().index);
      }
      for (const SequenceToken& token : update.tokens) {
        line += " token " + std::to_string(token.index);
        const LogitsResult& expected = reference.tokens.at(token.index);
        if (expected.token != token.token || expected.log_probability != token.log_probability) line += " WRONG";
      }
      if (update.finished) line += std::string(" ends: ") + to_string(*update.finished);
      if (update.failed) line += " fails: " + update.failed->message;
      trace_ += line + "\n";
    }
  }

  HashModel model_{1000};
  std::optional<ConductorCore> core_;
  std::optional<StepPlan> plan_;
  std::map<SequenceKey, std::string> names_;
  std::map<std::string, SequenceSpec> specs_;
  std::uint64_t last_id_ = 0;
  std::string trace_;
};

}  // namespace

std::string run_batching_script(const std::string& script) {
  Scenario scenario;
  return run_script(script, [&](const std::string& line) { return scenario.run(line); });
}

}  // namespace tessera::test
