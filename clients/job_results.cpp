#include "clients/job_results.hpp"

#include <nlohmann/json.hpp>

namespace tessera::frontend {

namespace {

template <typename T>
bool read(const nlohmann::json& json, const char* key, T& value) {
  const auto field = json.find(key);
  if (field == json.end() || !field->is_number()) return false;
  value = field->get<T>();
  return true;
}

Error foreign(const char* kind) {
  return {ErrorCode::corrupt, std::string("the result of a ") + kind +
                                  " job cannot be read; was it written by another version of Tessera?"};
}

}  // namespace

std::string encode(const client::GenerateSummary& summary) {
  return nlohmann::json{
      {"tokens", summary.tokens}, {"reason", to_string(summary.reason)}, {"resumptions", summary.resumptions}}
      .dump();
}

std::string encode(const client::PerplexityReport& report) {
  return nlohmann::json{{"perplexity", report.perplexity},
                        {"mean_negative_log_probability", report.mean_negative_log_probability},
                        {"scored_tokens", report.scored_tokens},
                        {"windows", report.windows}}
      .dump();
}

Result<client::PerplexityReport> decode_perplexity_result(const std::string& text) {
  const nlohmann::json json = nlohmann::json::parse(text, nullptr, false);
  client::PerplexityReport report;
  if (!json.is_object() || !read(json, "perplexity", report.perplexity) ||
      !read(json, "mean_negative_log_probability", report.mean_negative_log_probability) ||
      !read(json, "scored_tokens", report.scored_tokens) || !read(json, "windows", report.windows)) {
    return foreign("perplexity");
  }
  return report;
}

Result<client::VerifyReport> decode_verify_result(const std::string& text) {
  const nlohmann::json json = nlohmann::json::parse(text, nullptr, false);
  client::VerifyReport report;
  if (!json.is_object() || !read(json, "bytes", report.bytes)) return foreign("verify");
  const auto content_id = json.find("content_id");
  if (content_id == json.end() || !content_id->is_string()) return foreign("verify");
  report.content_id = content_id->get<std::string>();
  return report;
}

}  // namespace tessera::frontend
