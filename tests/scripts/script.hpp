// A scenario in text, whatever it drives: every command line ("> ...") is followed by the complete trace of what came
// out, indented by two spaces; other lines are comments.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <vector>

namespace tessera::test {

/// One command line: words, of which some are key=value. std::exception for what is missing or no number.
class ScriptCommand {
 public:
  explicit ScriptCommand(const std::string& line);
  std::size_t words() const { return plain_.size(); }
  const std::string& word(std::size_t i) const;
  /// Empty when there is no such key.
  std::string text(const std::string& key) const;
  std::uint32_t number(const std::string& key, std::uint32_t otherwise = 0) const;

 private:
  std::vector<std::string> plain_;
  std::map<std::string, std::string> named_;
};

/// The script with its traces as `run` gives them now for each command.
std::string run_script(const std::string& script, const std::function<std::string(const std::string&)>& run);

}  // namespace tessera::test
