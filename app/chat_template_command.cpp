// chat-template: shows the prompt that a conversation becomes.
#include <filesystem>
#include <memory>
#include <optional>
#include <string>

#include <CLI/App.hpp>
#include <CLI/Config.hpp>
#include <CLI/Formatter.hpp>
#include <nlohmann/json.hpp>

#include "app/chat_options.hpp"
#include "app/commands.hpp"
#include "app/report.hpp"
#include "app/run_options.hpp"
#include "runtime/base/clock.hpp"

namespace tessera::app {

namespace {

struct TemplateOptions {
  std::string file, prompt;
  ChatOptions chat;
  bool no_generation_prompt = false, source = false, json = false;
};

/// A template, and the tokenizer beside it, if it comes from a checkpoint.
struct LoadedTemplate {
  std::string text;
  std::optional<OpenModel> model;
};

Result<LoadedTemplate> load(const std::string& path) {
  constexpr std::string_view hdf5_magic = "\x89HDF\r\n\x1a\n";
  LoadedTemplate loaded;
  TESSERA_TRY(const bool is_checkpoint, [&]() -> Result<bool> {
    if (path.ends_with(".h5")) return true;
    TESSERA_TRY(loaded.text, read_text_file(path));
    return loaded.text.starts_with(hdf5_magic);
  }());
  if (is_checkpoint) {
    TESSERA_TRY(OpenModel model, open_model(path, SystemClock()));
    loaded.text = model.checkpoint->manifest().chat_template;
    loaded.model = std::move(model);
  }
  return loaded;
}

Result<nlohmann::json> show(const TemplateOptions& options) {
  TESSERA_TRY(const LoadedTemplate loaded, load(options.file));
  TESSERA_TRY(const ChatTemplate chat, chat_template_of(loaded.text, options.file));
  if (options.source) return nlohmann::json{{"template", chat.source()}};
  const Tokenizer* const tokenizer = loaded.model && loaded.model->tokenizer ? &*loaded.model->tokenizer : nullptr;
  TESSERA_TRY(ChatInput input, start_conversation(options.chat, tokenizer));
  if (!options.prompt.empty()) input.messages.push_back({{"role", "user"}, {"content", options.prompt}});
  input.add_generation_prompt = !options.no_generation_prompt;
  TESSERA_TRY(const std::string prompt, chat.render(input));
  nlohmann::json result = {{"prompt", prompt}};
  if (tokenizer != nullptr) result["ids"] = tokenizer->encode(prompt, {.add_bos = false, .parse_special = true});
  return result;
}

int run(const TemplateOptions& options) {
  const auto result = show(options);
  if (!result) return fail(result.error());
  const bool printed = options.json ? print_json(*result)
                                    : print_text((*result)[options.source ? "template" : "prompt"].get<std::string>());
  return printed ? exit_ok : fail_closed_stdout();
}

}  // namespace

void add_chat_template_command(CLI::App& app, Action& action) {
  auto* const command =
      app.add_subcommand("chat-template", "Show the prompt that a conversation becomes, or the template itself");
  auto options = std::make_shared<TemplateOptions>();
  command->add_option("FILE", options->file, "Checkpoint (.h5), or a file with a chat template")->required();
  command->add_option("-p,--prompt", options->prompt, "Message of the user, behind all others");
  add_chat_options(*command, options->chat);
  command->add_flag("--no-generation-prompt", options->no_generation_prompt,
                    "Leave out the head of the model's answer at the end");
  command->add_flag("--source", options->source, "Show the template itself");
  command->add_flag("--json", options->json, "Print one JSON object; of a checkpoint with the prompt's token ids");
  command->callback([=, &action] { action = [options] { return run(*options); }; });
}

}  // namespace tessera::app
