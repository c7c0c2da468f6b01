#include "tests/scripts/script.hpp"

#include <sstream>
#include <stdexcept>

namespace tessera::test {

ScriptCommand::ScriptCommand(const std::string& line) {
  std::istringstream words(line);
  for (std::string word; words >> word;) {
    const std::size_t equals = word.find('=');
    if (equals == std::string::npos) {
      plain_.push_back(word);
    } else {
      named_[word.substr(0, equals)] = word.substr(equals + 1);
    }
  }
}

const std::string& ScriptCommand::word(std::size_t i) const {
  if (i >= plain_.size()) throw std::invalid_argument("a word is missing");
  return plain_[i];
}

std::string ScriptCommand::text(const std::string& key) const {
  const auto entry = named_.find(key);
  return entry == named_.end() ? "" : entry->second;
}

std::uint32_t ScriptCommand::number(const std::string& key, std::uint32_t otherwise) const {
  const auto entry = named_.find(key);
  return entry == named_.end() ? otherwise : static_cast<std::uint32_t>(std::stoul(entry->second));
}

std::string run_script(const std::string& script, const std::function<std::string(const std::string&)>& run) {
  std::string out;
  std::istringstream lines(script);
  for (std::string line; std::getline(lines, line);) {
    if (line.starts_with("  ")) continue;  // an old trace
    out += line + "\n";
    if (line.starts_with("> ")) out += run(line.substr(2));
  }
  return out;
}

}  // namespace tessera::test
