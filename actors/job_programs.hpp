// What the jobs of a node compute, and what it reads from checkpoints for others. All of it blocks.
#pragma once

#include <string>

#include "actors/node_jobs.hpp"
#include "cluster/rpc/conductor_service.hpp"
#include "cluster/rpc/coordinator_client.hpp"
#include "runtime/base/result.hpp"
#include "runtime/checkpoint/checkpoint.hpp"

namespace tessera {

/// verify: every byte of the checkpoint against its checksums → {"content_id", "bytes"}.
/// perplexity: the text's tokens scored by the deployment → {"perplexity", "mean_negative_log_probability",
/// "scored_tokens", "windows"}; the same numbers as `tessera perplexity` on one node.
JobProgram make_job_program(DialOptions coordinator);

/// One piece of the tokenizer, or of the chat template, inside a checkpoint.
Result<TokenizerChunk> read_tokenizer_chunk(const Checkpoint& checkpoint, const TokenizerQuery& query);
/// The same of a file that must hold this content id.
Result<TokenizerChunk> read_tokenizer_chunk(const std::string& uri, const std::string& content_id,
                                            const TokenizerQuery& query);

/// What placement must know of a checkpoint; `storage` is where relative paths start from.
Result<ModelFacts> read_model_facts(const DeploySpec& spec, const std::string& storage);

}  // namespace tessera
