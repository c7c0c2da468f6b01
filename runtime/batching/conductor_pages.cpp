// The pages of sequences: reservations, and what is shared.
#include <algorithm>
#include <array>
#include <tuple>
#include <unordered_map>
#include <utility>

#include "runtime/base/ensure.hpp"
#include "runtime/batching/conductor_core.hpp"

namespace tessera {

namespace {

/// Pages that need not be computed if they are known.
std::uint32_t shareable_pages(const SequenceState& sequence) { return first_logits(sequence) / kv_page_positions; }

}  // namespace

/// Pages that the admitted sequences may still take. There are always as many available.
std::uint32_t ConductorCore::promised() const {
  std::uint32_t pages = 0;
  for (const auto& [key, sequence] : sequences_) {
    if (sequence.reserved > 0) pages += sequence.reserved - static_cast<std::uint32_t>(sequence.pages.size());
  }
  return pages;
}

/// Up to the next token, and one page more where it may need one: whoever is admitted should not be preempted soon.
std::uint32_t ConductorCore::pages_at_first(const Sequence& sequence) const {
  return std::min(pages_wanted(sequence.spec), pages_for(feed_end(sequence)) + 1);
}

/// To its pages: the least is the strongest.
std::int64_t ConductorCore::claim_of(const Sequence& sequence) const {
  return sequence.losses < limits_.losses_max ? sequence.spec.priority : INT64_MIN;
}

/// Who loses its pages next, of all that have some.
ConductorCore::Sequence& ConductorCore::next_victim() {
  const auto rank = [this](const Sequence& sequence) {
    const bool away = sequence.state == State::detached;
    return std::tuple(!away, away ? 0 : ~claim_of(sequence), away ? sequence.order : ~sequence.senior);
  };
  Sequence* victim = nullptr;
  for (auto& [key, sequence] : sequences_) {
    if (sequence.reserved > 0 && (victim == nullptr || rank(sequence) < rank(*victim))) victim = &sequence;
  }
  TESSERA_ENSURE(victim != nullptr);
  return *victim;
}

void ConductorCore::preempt(Sequence& sequence) {
  release(sequence);
  if (sequence.state == State::running) {
    sequence.state = State::waiting;
    ++sequence.losses;
  }
  ++preempted_;
}

/// Every running sequence has the pages up to its next token, or is preempted. The one with the strongest claim needs
/// nobody's but what the cache has, as no request is accepted that does not fit alone.
void ConductorCore::extend() {
  for (const auto it : admitted()) {
    Sequence& sequence = it->second;
    while (sequence.reserved > 0 && sequence.reserved < pages_for(feed_end(sequence))) {
      const std::uint32_t more = pages_for(feed_end(sequence)) - sequence.reserved;
      if (promised() + more <= pages_.available()) {
        sequence.reserved += more;
      } else {
        preempt(next_victim());
      }
    }
  }
}

/// Admits the sequence with the pages that are known already; false when what it needs at first does not fit. One that
/// kept its pages while its frontend was away may need another since; where there is none, it gives them back.
bool ConductorCore::reserve(Sequence& sequence) {
  if (sequence.reserved > 0) {
    const std::uint32_t needed = std::max(sequence.reserved, pages_for(feed_end(sequence)));
    if (promised() + needed - sequence.reserved <= pages_.available()) {
      sequence.reserved = needed;
      return true;
    }
    preempt(sequence);
  }
  const std::uint32_t shareable = shareable_pages(sequence);
  std::uint32_t known = 0, idle = 0;
  for (; known < shareable; ++known) {
    const std::optional<PageId> page = pages_.find(key_of(sequence, known));
    if (!page) break;
    if (pages_.is_idle(*page)) ++idle;
  }
  // Known pages that others use cost nothing; those that are idle are available no longer.
  const std::uint32_t wanted = pages_at_first(sequence);
  if (promised() + wanted - known + idle > pages_.available()) return false;
  sequence.reserved = wanted;
  prefix_.queried += first_logits(sequence);
  share(sequence);
  return true;
}

/// Takes the pages that the state of a handed-over sequence names, and gives the full ones their names; false when one
/// is somebody else's.
bool ConductorCore::claim(Sequence& sequence) {
  const std::uint32_t full = sequence.computed / kv_page_positions;
  for (std::uint32_t i = 0; i < sequence.pages.size(); ++i) {
    const PageKey* const key = i < full ? &key_of(sequence, i) : nullptr;
    const std::optional<PageId> claimed = pages_.claim(sequence.pages[i], key);
    if (!claimed) {
      sequence.pages.resize(i);
      pages_.release(sequence.pages);
      return false;
    }
    sequence.pages[i] = *claimed;
  }
  return true;
}

/// The reservation says that there are enough.
void ConductorCore::grow(Sequence& sequence, std::uint32_t positions) {
  while (sequence.pages.size() < pages_for(positions)) sequence.pages.push_back(pages_.take());
  TESSERA_ENSURE(sequence.pages.size() <= sequence.reserved);
}

/// The page is full of tokens that are known.
const PageKey& ConductorCore::key_of(Sequence& sequence, std::uint32_t page) {
  while (sequence.keys.size() <= page) {
    std::array<TokenId, kv_page_positions> tokens;
    const auto first = static_cast<std::uint32_t>(sequence.keys.size()) * kv_page_positions;
    for (std::uint32_t i = 0; i < kv_page_positions; ++i) tokens[i] = token_at(sequence, first + i);
    const PageKey before =
        sequence.keys.empty() ? root_page_key(limits_.kv_identity, sequence.spec.tenant_salt) : sequence.keys.back();
    sequence.keys.push_back(next_page_key(before, tokens));
  }
  return sequence.keys[page];
}

/// Takes over the known pages that go on behind what is computed. No step is in flight.
void ConductorCore::share(Sequence& sequence) {
  const std::uint32_t shareable = shareable_pages(sequence);
  for (std::uint32_t page = sequence.computed / kv_page_positions; page < shareable; ++page) {
    const std::optional<PageId> known = pages_.find(key_of(sequence, page));
    if (!known) return;
    pages_.use(*known);
    if (page < sequence.pages.size()) {  // of its own, which it began to fill
      std::vector<PageId> own = {std::exchange(sequence.pages[page], *known)};
      pages_.release(own);
    } else {
      sequence.pages.push_back(*known);
    }
    const std::uint32_t computed = (page + 1) * kv_page_positions;
    prefix_.hit += computed - sequence.computed;
    const auto prompt = static_cast<std::uint32_t>(sequence.spec.prompt.size());
    sequence.cached += std::min(computed, prompt) - std::min(sequence.computed, prompt);
    sequence.computed = computed;
    sequence.waited = 0;
  }
}

/// The pages from `from` on that are full now. Where another sequence filled the same one at the same time, its page
/// takes the place of this one's, which has the same bits.
void ConductorCore::name_pages(Sequence& sequence, std::uint32_t from) {
  const std::uint32_t full = sequence.computed / kv_page_positions;
  for (std::uint32_t i = from; i < full; ++i) sequence.pages[i] = pages_.name(sequence.pages[i], key_of(sequence, i));
}

/// Whoever is about to compute the same page as another that is further (or was admitted before) leaves it to that one,
/// and takes it over when it is full. Not for ever: it may be cancelled, and another one be further then.
void ConductorCore::leave_to_others(std::vector<Sequences::iterator>& prefills) {
  std::unordered_map<PageKey, const Sequence*, PageKeyHash> furthest;
  for (const auto it : prefills) {
    Sequence& sequence = it->second;
    const std::uint32_t page = sequence.computed / kv_page_positions;
    if ((page + 1) * kv_page_positions > sequence.spec.prompt.size() + sequence.generated.size()) continue;
    const Sequence*& first = furthest[key_of(sequence, page)];
    if (first == nullptr || first->computed < sequence.computed) first = &sequence;
  }
  std::erase_if(prefills, [&](Sequences::iterator it) {
    Sequence& sequence = it->second;
    const std::uint32_t page = sequence.computed / kv_page_positions;
    if (page >= shareable_pages(sequence) || sequence.waited >= kv_page_positions) return false;
    if (furthest.at(key_of(sequence, page)) == &sequence) return false;
    ++sequence.waited;
    return true;
  });
}

}  // namespace tessera
