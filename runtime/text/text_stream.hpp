// TextStream: turns decoded pieces into text that can be shown at once.
//
// It never releases half a UTF-8 character, replaces bytes that can never become one by U+FFFD (one for each maximal
// subpart, as the Unicode standard recommends), and holds text back only while it is the beginning of a stop string.
// Where the pushes are cut does not matter: the concatenated output is the same. Pure; one per stream.
//
//   TextStream stream({"\nUser:"});
//   for (each token) { print(stream.push(piece)); if (stream.stopped()) break; }
//   print(stream.finish());
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace tessera {

class TextStream {
 public:
  /// Empty stop strings are ignored; invalid UTF-8 in one is replaced as in the text.
  explicit TextStream(std::vector<std::string> stop_strings = {});

  /// Text that became certain; after a stop string matched, everything before it and then nothing more. The earliest
  /// match wins: the one that is complete first, and of those that end together the longest.
  std::string push(std::string_view bytes);
  /// The rest: held-back text, and U+FFFD for an unfinished character. Nothing after a stop.
  std::string finish();
  bool stopped() const { return stopped_; }

 private:
  struct StopString {
    std::string text;
    std::vector<std::size_t> borders;  // borders[n]: the longest proper prefix of text[0, n) that is also its suffix
    std::size_t matched = 0;           // the longest prefix of text that the stream so far ends with
  };

  std::string take_certain(bool at_end);
  void append(std::string_view character);

  std::vector<StopString> stop_strings_;
  std::string bytes_;  // the beginning of a character, at most 3 bytes between calls
  std::string held_;   // valid UTF-8 that is not released yet
  bool stopped_ = false;
};

}  // namespace tessera
