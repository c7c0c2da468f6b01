#include "runtime/training/learning_curves.hpp"

#include <algorithm>
#include <cmath>
#include <cstdio>

#include <nlohmann/json.hpp>

namespace tessera {

namespace {

using nlohmann::json;

// The picture, in pixels.
constexpr double width = 860, height = 460, left = 62, right = 20, top = 44, bottom = 48;
constexpr int ticks = 5;

std::string format(const char* pattern, double value) {
  char text[64];
  std::snprintf(text, sizeof text, pattern, value);
  return text;
}

std::string escaped(const std::string& text) {
  std::string out;
  for (const char c : text) {
    out += c == '<' ? "&lt;" : c == '>' ? "&gt;" : c == '&' ? "&amp;" : std::string(1, c);
  }
  return out;
}

/// Maps steps and losses to pixels.
struct Axes {
  double steps, lowest, highest;

  double x(double step) const { return left + step / steps * (width - left - right); }
  double y(double loss) const {
    return height - bottom - (loss - lowest) / (highest - lowest) * (height - top - bottom);
  }
};

std::string text_at(double x, double y, const char* anchor, const std::string& text) {
  return "<text x=\"" + format("%.1f", x) + "\" y=\"" + format("%.1f", y) + "\" text-anchor=\"" + anchor + "\">" +
         escaped(text) + "</text>\n";
}

std::string grid(const Axes& axes) {
  std::string svg;
  for (int tick = 0; tick <= ticks; ++tick) {
    const double share = static_cast<double>(tick) / ticks;
    const double loss = axes.lowest + share * (axes.highest - axes.lowest), y = axes.y(loss);
    const double step = share * axes.steps, x = axes.x(step);
    svg += "<path class=\"grid\" d=\"M" + format("%.1f", left) + " " + format("%.1f", y) + "H" +
           format("%.1f", width - right) + "\"/>\n" + text_at(left - 8, y + 4, "end", format("%.2f", loss)) +
           text_at(x, height - bottom + 20, "middle", format("%.0f", step));
  }
  return svg + text_at((left + width - right) / 2, height - 10, "middle", "step") +
         text_at(14, top - 14, "start", "loss (nats per token)");
}

template <typename Points>
std::string line(const Axes& axes, const char* kind, const Points& points) {
  std::string path;
  for (const auto& point : points) {
    path += (path.empty() ? "M" : "L") + format("%.1f", axes.x(static_cast<double>(point.step))) + " " +
            format("%.1f", axes.y(std::clamp(point.loss, axes.lowest, axes.highest)));
  }
  return path.empty() ? path : std::string("<path class=\"") + kind + "\" d=\"" + path + "\"/>\n";
}

std::string legend(double x, const char* kind, const std::string& text) {
  return std::string("<path class=\"") + kind + "\" d=\"M" + format("%.1f", x) + " 26h24\"/>\n" +
         text_at(x + 30, 30, "start", text);
}

template <typename Points>
void widen(Axes& axes, const Points& points) {
  for (const auto& point : points) {
    if (!std::isfinite(point.loss)) continue;
    axes.lowest = std::min(axes.lowest, point.loss);
    axes.highest = std::max(axes.highest, point.loss);
  }
}

}  // namespace

LearningCurves::LearningCurves(std::uint64_t steps)
    : steps_(steps), interval_(std::max<std::uint64_t>(1, (steps + points_max - 1) / points_max)) {}

void LearningCurves::add(const TrainingStep& report) {
  loss_sum_ += report.loss;
  norm_sum_ += report.gradient_norm;
  ++summed_;
  if (report.step % interval_ != 0 && report.step != steps_) return;
  const auto count = static_cast<double>(summed_);
  points_.push_back({report.step, loss_sum_ / count, norm_sum_ / count, report.learning_rate});
  loss_sum_ = norm_sum_ = 0;
  summed_ = 0;
}

void LearningCurves::add_validation(std::uint64_t step, double loss) { validations_.push_back({step, loss}); }

json LearningCurves::to_json() const {
  json points = json::array(), validations = json::array();
  for (const Point& point : points_) {
    points.push_back({{"step", point.step},
                      {"loss", point.loss},
                      {"gradient_norm", point.gradient_norm},
                      {"learning_rate", point.learning_rate}});
  }
  for (const Validation& validation : validations_) {
    validations.push_back({{"step", validation.step}, {"loss", validation.loss}});
  }
  return {{"steps", steps_},
          {"train", points},
          {"validation", validations},
          {"pending", {{"loss", loss_sum_}, {"gradient_norm", norm_sum_}, {"steps", summed_}}}};
}

Result<LearningCurves> LearningCurves::from_json(const json& document, const std::string& where) {
  try {
    LearningCurves curves(document.at("steps").get<std::uint64_t>());
    for (const json& point : document.at("train")) {
      curves.points_.push_back({point.at("step").get<std::uint64_t>(), point.at("loss").get<double>(),
                                point.at("gradient_norm").get<double>(), point.at("learning_rate").get<double>()});
    }
    for (const json& point : document.at("validation")) {
      curves.validations_.push_back({point.at("step").get<std::uint64_t>(), point.at("loss").get<double>()});
    }
    const json& pending = document.at("pending");
    curves.loss_sum_ = pending.at("loss").get<double>();
    curves.norm_sum_ = pending.at("gradient_norm").get<double>();
    curves.summed_ = pending.at("steps").get<std::uint64_t>();
    return curves;
  } catch (const json::exception& error) {
    return Error{ErrorCode::corrupt, where + ": its learning curves cannot be read: " + error.what()};
  }
}

std::string LearningCurves::to_svg(const std::string& title) const {
  Axes axes{static_cast<double>(std::max<std::uint64_t>(1, steps_)), HUGE_VAL, -HUGE_VAL};
  widen(axes, points_);
  widen(axes, validations_);
  if (axes.lowest > axes.highest) axes.lowest = 0, axes.highest = 1;
  axes.lowest = std::floor(axes.lowest * 2) / 2;
  axes.highest = std::max(std::ceil(axes.highest * 2) / 2, axes.lowest + 0.5);
  std::string svg = "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 " + format("%.0f", width) + " " +
                    format("%.0f", height) + "\" font-family=\"sans-serif\" font-size=\"12\">\n";
  svg +=
      "<style>path{fill:none;stroke-width:1.5}.grid{stroke:#ddd;stroke-width:1}.train{stroke:#8ab}"
      ".validation{stroke:#c40;stroke-width:2}</style>\n<rect width=\"100%\" height=\"100%\" fill=\"#fff\"/>\n";
  svg += grid(axes) + line(axes, "train", points_) + line(axes, "validation", validations_);
  svg += text_at(width / 2 - 60, 30, "end", title) + legend(width / 2, "train", "training") +
         legend(width / 2 + 120, "validation", "validation");
  return svg + "</svg>\n";
}

}  // namespace tessera
