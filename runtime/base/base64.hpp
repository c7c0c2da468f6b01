// Base64 (RFC 4648, section 4), as files of tokenizers and bytes within JSON use it.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace tessera {

/// The bytes; nothing where `text` is not padded base64 without any other character.
std::optional<std::string> decode_base64(std::string_view text);

/// With padding.
std::string encode_base64(std::string_view bytes);

}  // namespace tessera
