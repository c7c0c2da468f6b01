// TokenizerCache: the tokenizers of deployments, by content id, so that a client fetches each once.
#pragma once

#include <cstddef>
#include <deque>
#include <memory>
#include <mutex>
#include <string>
#include <utility>

#include "runtime/text/tokenizer.hpp"

namespace tessera::frontend {

/// The oldest goes first.
inline constexpr std::size_t tokenizers_max = 8;

/// Any thread.
class TokenizerCache {
 public:
  /// Nothing is cached for a model without a tokenizer.
  std::shared_ptr<const Tokenizer> find(const std::string& content_id) const {
    const std::lock_guard lock(mutex_);
    for (const auto& [id, tokenizer] : entries_) {
      if (id == content_id) return tokenizer;
    }
    return {};
  }
  void add(const std::string& content_id, std::shared_ptr<const Tokenizer> tokenizer) {
    const std::lock_guard lock(mutex_);
    if (entries_.size() >= tokenizers_max) entries_.pop_front();
    entries_.emplace_back(content_id, std::move(tokenizer));
  }

 private:
  mutable std::mutex mutex_;
  std::deque<std::pair<std::string, std::shared_ptr<const Tokenizer>>> entries_;
};

}  // namespace tessera::frontend
