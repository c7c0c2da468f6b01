// A ModelSource for tests: every model says a text that the test chooses, a byte a token, as far as the test lets it.
#pragma once

#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "gateway/models.hpp"

namespace tessera::test {

/// The byte tokenizer: id 3 + byte, 1 before a text, 2 at its end.
std::shared_ptr<const Tokenizer> byte_tokenizer();
TokenId byte_token(char byte);

class FakeModels final : public gateway::ModelSource {
 public:
  /// "story" has a tokenizer and a chat template, "plain" a tokenizer, "bare" neither.
  FakeModels();

  Result<std::vector<gateway::ServedModel>> list() override;
  Result<gateway::ClusterLoad> load() override;
  Result<gateway::ModelWithText> find(const std::string& name) override;
  Result<std::unique_ptr<gateway::TokenStream>> start(const gateway::StreamSpec& spec,
                                                      std::function<void()> changed) override;
  std::uint64_t draw_seed() override { return 4711; }

  /// Every stream may say up to so many tokens; tells those that wait.
  void allow(std::size_t tokens);
  /// From now on streams fail where they may say no more.
  void fail_after_allowed(client::Error error);
  /// Waits until `count` streams run; false after some seconds.
  bool wait_running(std::size_t count);
  std::size_t running() const;

  // Set before the server starts, or under the lock of the methods above:
  std::string says = "Hello, world";
  std::size_t repeats = 1;  ///< of the byte of each token in the text
  std::optional<Error> list_fails;
  bool serves = true;
  std::vector<gateway::StreamSpec> started;
  std::function<void()> finding;  ///< called by find(), on its thread

 private:
  class Stream;
  friend class Stream;

  mutable std::mutex mutex_;
  mutable std::condition_variable changed_;
  std::size_t allowed_ = 1'000'000;
  std::optional<client::Error> failure_;
  std::vector<Stream*> streams_;
};

}  // namespace tessera::test
