// Results of jobs (JobRecord::result): one JSON object each.
//
//   generate    {"tokens":200,"reason":"length","resumptions":1}
//   perplexity  {"perplexity":5.25,"mean_negative_log_probability":1.658,"scored_tokens":511,"windows":1}
//   verify      {"content_id":"07e8…","bytes":1160000}
#pragma once

#include <string>

#include <tessera/client.hpp>

#include "runtime/base/result.hpp"

namespace tessera::frontend {

std::string encode(const client::GenerateSummary& summary);
/// Doubles read back as the same bits.
std::string encode(const client::PerplexityReport& report);
Result<client::PerplexityReport> decode_perplexity_result(const std::string& text);
Result<client::VerifyReport> decode_verify_result(const std::string& text);

}  // namespace tessera::frontend
