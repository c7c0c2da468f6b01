#include "runtime/text/utf8.hpp"

#include "runtime/base/ensure.hpp"

namespace tessera {
namespace {

/// What may follow a first byte: how many bytes in all, and the range of the second; the others are 80..BF.
struct LeadByte {
  std::size_t length;  // 0: no character begins so
  unsigned char second_min;
  unsigned char second_max;
};

/// Table 3-7 of the Unicode standard, "Well-Formed UTF-8 Byte Sequences".
LeadByte lead_byte(unsigned char byte) {
  if (byte < 0x80) return {1, 0, 0};
  if (byte < 0xC2) return {0, 0, 0};
  if (byte < 0xE0) return {2, 0x80, 0xBF};
  if (byte == 0xE0) return {3, 0xA0, 0xBF};
  if (byte == 0xED) return {3, 0x80, 0x9F};
  if (byte < 0xF0) return {3, 0x80, 0xBF};
  if (byte == 0xF0) return {4, 0x90, 0xBF};
  if (byte < 0xF4) return {4, 0x80, 0xBF};
  if (byte == 0xF4) return {4, 0x80, 0x8F};
  return {0, 0, 0};
}

}  // namespace

Utf8Scan scan_utf8(std::string_view bytes) {
  TESSERA_ENSURE(!bytes.empty());
  const LeadByte lead = lead_byte(static_cast<unsigned char>(bytes[0]));
  if (lead.length == 0) return {1, Utf8Verdict::ill_formed};
  for (std::size_t i = 1; i < lead.length; ++i) {
    if (i == bytes.size()) return {i, Utf8Verdict::unfinished};
    const auto byte = static_cast<unsigned char>(bytes[i]);
    const unsigned char low = i == 1 ? lead.second_min : 0x80, high = i == 1 ? lead.second_max : 0xBF;
    if (byte < low || byte > high) return {i, Utf8Verdict::ill_formed};
  }
  return {lead.length, Utf8Verdict::complete};
}

CodePoint first_code_point(std::string_view bytes) {
  const auto byte = [&](std::size_t at) { return static_cast<char32_t>(static_cast<unsigned char>(bytes[at])); };
  if (!bytes.empty() && byte(0) < 0x80) return {byte(0), 1, true};
  const Utf8Scan scan = scan_utf8(bytes);
  if (scan.verdict != Utf8Verdict::complete) return {0xFFFD, scan.length, false};
  char32_t value = byte(0) & (0x7Fu >> scan.length);
  for (std::size_t at = 1; at < scan.length; ++at) value = value << 6 | (byte(at) & 0x3F);
  return {value, scan.length, true};
}

void append_utf8(std::string& text, char32_t value) {
  const auto tail = [&](int shift) { text += static_cast<char>(0x80 | ((value >> shift) & 0x3F)); };
  if (value < 0x80) {
    text += static_cast<char>(value);
  } else if (value < 0x800) {
    text += static_cast<char>(0xC0 | value >> 6);
    tail(0);
  } else if (value < 0x10000) {
    text += static_cast<char>(0xE0 | value >> 12);
    tail(6);
    tail(0);
  } else {
    text += static_cast<char>(0xF0 | value >> 18);
    tail(12);
    tail(6);
    tail(0);
  }
}

std::size_t valid_utf8_bytes(std::string_view bytes) {
  std::size_t at = 0;
  while (at < bytes.size()) {
    if (static_cast<unsigned char>(bytes[at]) < 0x80) {
      ++at;
      continue;
    }
    const Utf8Scan scan = scan_utf8(bytes.substr(at));
    if (scan.verdict != Utf8Verdict::complete) break;
    at += scan.length;
  }
  return at;
}

std::string to_valid_utf8(std::string_view bytes) {
  std::string text;
  text.reserve(bytes.size());
  while (!bytes.empty()) {
    const Utf8Scan scan = scan_utf8(bytes);
    text += scan.verdict == Utf8Verdict::complete ? bytes.substr(0, scan.length) : replacement_character;
    bytes.remove_prefix(scan.length);
  }
  return text;
}

}  // namespace tessera
