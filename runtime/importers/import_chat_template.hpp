// The chat template that a model comes with, or that the user gives for it.
//
// A Hugging Face folder has it in chat_template.jinja, in chat_template.json, or in tokenizer_config.json, there as a
// text or as a list of named ones; further ones may lie in additional_chat_templates/NAME.jinja.
#pragma once

#include <optional>
#include <string>

#include "runtime/base/result.hpp"
#include "runtime/importers/import_model.hpp"

namespace tessera {

struct ImportedChatTemplate {
  std::string text;    ///< parses (ChatTemplate::parse), perhaps to several; empty: none
  std::string notice;  ///< why a template that the model comes with was left out; empty: it was not
};

/// `path`: the user's file; an error if it cannot be read or parsed. Empty: what the source itself says, or the files
/// of the Hugging Face folder that `source_path` is or lies in; what cannot be used there is left out, with a notice.
Result<ImportedChatTemplate> import_chat_template(const std::string& path, const std::string& source_path,
                                                  const WeightSource& source);

/// The template or templates (join_chat_templates) of a tokenizer_config.json or chat_template.json; none if it has
/// none. Errors: corrupt.
Result<std::optional<std::string>> parse_chat_template_json(std::string_view json, const std::string& where);

}  // namespace tessera
