// Sequences as conductors keep them, and as they travel from the old conductor to the new one.
#pragma once

#include <string>
#include <vector>

#include "cluster/exchange/commands.hpp"
#include "runtime/batching/sequence.hpp"

namespace tessera {

SequenceKey key_of(const StreamId& id);
StreamId stream_of(const SequenceKey& key);
SequenceSpec spec_of(StreamRequest request);

/// What the new epoch, with a cache of `kv_pages` pages, can use: a sequence that has pages beyond is sent without any,
/// and one whose prompt is scored too (its scores do not travel): both are computed again.
std::vector<TransferSequence> to_transfer(const std::vector<SequenceState>& states, const std::string& deployment,
                                          std::uint32_t kv_pages);
/// The pages of all of them, ascending, each once, however many share it.
std::vector<PageId> pages_of(const std::vector<TransferSequence>& sequences);
/// Those below `kv_pages`.
std::vector<PageId> pages_of(const std::vector<SequenceState>& states, std::uint32_t kv_pages);
std::vector<SequenceState> from_transfer(std::vector<TransferSequence> sequences);

}  // namespace tessera
