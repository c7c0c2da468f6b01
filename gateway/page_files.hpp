// The pages that the binary holds: the files of web, put into a source by tools/embed_pages.py.
#pragma once

#include <span>
#include <string_view>

namespace tessera::gateway {

struct PageFile {
  std::string_view path;  ///< "/", "/chat.js"
  std::string_view content_type;
  std::string_view text;
};

std::span<const PageFile> page_files();

}  // namespace tessera::gateway
