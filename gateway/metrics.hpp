// Metrics: what a gateway measures, for Prometheus: counters and histograms that are told as things happen, and gauges
// of the cluster that are read when somebody asks. Base units, names that `promtool check metrics` accepts.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "gateway/models.hpp"

namespace tessera::gateway {

/// How a generation ended: the label `outcome`.
enum class GenerationEnd { stop, length, error, gone };
/// "stop" …
const char* to_label(GenerationEnd outcome);

/// What is not counted but looked at when somebody asks.
struct Moment {
  std::size_t streams = 0, connections = 0;
  std::uint64_t turned_away = 0;  ///< HttpCounters
  Result<ClusterLoad> load;       ///< of the cluster, or why it is not known
};

/// Any thread; prometheus-cpp has locks of its own. Owned by the gateway.
class Metrics {
 public:
  Metrics();
  ~Metrics();
  Metrics(const Metrics&) = delete;
  Metrics& operator=(const Metrics&) = delete;

  /// `route` is the router's pattern, so that there are only as many as routes.
  void answered(const std::string& route, int status, double seconds);
  /// From the request's arrival.
  void first_token(const std::string& model, double seconds);
  void next_token(const std::string& model, double seconds);
  /// Of one stream, however it ended, as its conductors measured it.
  void phases(const std::string& model, const client::StreamPhases& phases);
  void generated(const std::string& model, GenerationEnd outcome, std::uint64_t prompt_tokens, std::uint64_t tokens,
                 double seconds);

  /// Everything in Prometheus's text format.
  std::string text(const Moment& now) const;
  /// What has a name in compatible_metrics.hpp, by that name.
  std::string compatible_text(const Moment& now) const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace tessera::gateway
