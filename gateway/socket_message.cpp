#include "gateway/socket_message.hpp"

#include <utility>

#include "gateway/amp_request.hpp"

namespace tessera::gateway {

namespace {

Json event(const char* type, const std::optional<std::string>& id) {
  Json json{{"type", type}};
  if (id) json["id"] = *id;
  return json;
}

class SocketReply final : public GenerationReply {
 public:
  SocketReply(std::optional<std::string> id, std::uint64_t seed) : id_(std::move(id)), seed_(seed) {}

  Json whole(const std::vector<FinishedChoice>& choices, const Usage&) const override {
    return row_json(choices.front());
  }
  void tell(std::size_t, bool, const ChoicePiece& piece, std::vector<Json>& events) override {
    if (!piece.text.empty()) {
      events.push_back(event("text", id_));
      events.back()["text"] = piece.text;
    }
    if (piece.finished) reason_ = *piece.finished;
  }
  void tell_end(const Usage& usage, std::vector<Json>& events) override {
    Json end = event("end", id_);
    end["finish_reason"] = reason_text(reason_);
    end["usage"] = usage_json(usage);
    end["seed"] = seed_;
    events.push_back(std::move(end));
  }
  Json failure(const ApiError& error) const override { return socket_error_json(id_, error); }

 private:
  const std::optional<std::string> id_;
  const std::uint64_t seed_;
  client::FinishReason reason_ = client::FinishReason::length;
};

}  // namespace

Outcome<SocketRequest> parse_socket_request(std::string_view text, std::optional<std::string>& id) {
  TESSERA_TRY(const Json message, parse_json_text(text, "message"));
  if (!message.is_object())
    return bad_request("a message must be a JSON object such as {\"text\": \"…\"}, not " + kind_of(message));
  JsonFields fields(message);
  id = fields.text("id");
  const auto type = fields.text("type");
  if (type && *type != "generate")
    fields.fail(bad_request("'type' is '" + shortened(*type) + "'; it must be generate or cancel", "type"));
  SocketRequest request{id, read_said(fields)};
  if (auto error = fields.finish()) return *std::move(error);
  return request;
}

bool is_cancel(std::string_view text) {
  if (text.size() > cancel_bytes_max) return false;
  const auto message = parse_json_text(text, "message");
  if (!message || !message->is_object()) return false;
  const auto type = message->find("type");
  return type != message->end() && *type == "cancel";
}

std::unique_ptr<GenerationReply> make_socket_reply(const std::optional<std::string>& id, std::uint64_t seed) {
  return std::make_unique<SocketReply>(id, seed);
}

Json socket_error_json(const std::optional<std::string>& id, const ApiError& error) {
  Json json = event("error", id);
  json.update(to_json(error));
  return json;
}

Json socket_cancelled_json(const std::optional<std::string>& id) {
  Json json = event("end", id);
  json["finish_reason"] = "cancelled";
  return json;
}

}  // namespace tessera::gateway
