#include "cluster/auth/openssl_handles.hpp"

#include <openssl/err.h>
#include <openssl/pem.h>

namespace tessera::openssl {

namespace {

Bio reader_of(const std::string& text) { return Bio(BIO_new_mem_buf(text.data(), static_cast<int>(text.size()))); }

// A key with a passphrase would otherwise ask on the terminal.
int no_passphrase(char*, int, int, void*) { return -1; }

template <typename Owner>
Owner checked(Owner object) {
  ERR_clear_error();
  return object;
}

}  // namespace

std::string take_error() {
  const unsigned long code = ERR_peek_last_error();
  ERR_clear_error();
  if (code == 0) return "";
  if (ERR_SYSTEM_ERROR(code)) return "the operating system's error " + std::to_string(ERR_GET_REASON(code));
  const char* reason = ERR_reason_error_string(code);
  return reason ? reason : "error " + std::to_string(code);
}

Certificate parse_certificate(const std::string& pem) {
  const Bio bio = reader_of(pem);
  return checked(Certificate(PEM_read_bio_X509(bio.get(), nullptr, no_passphrase, nullptr)));
}

Key parse_key(const std::string& pem) {
  const Bio bio = reader_of(pem);
  return checked(Key(PEM_read_bio_PrivateKey(bio.get(), nullptr, no_passphrase, nullptr)));
}

Request parse_request(const std::string& pem) {
  const Bio bio = reader_of(pem);
  return checked(Request(PEM_read_bio_X509_REQ(bio.get(), nullptr, no_passphrase, nullptr)));
}

std::string to_pem(X509* certificate) {
  const Bio bio(BIO_new(BIO_s_mem()));
  if (!bio || PEM_write_bio_X509(bio.get(), certificate) != 1) return "";
  char* data = nullptr;
  const long size = BIO_get_mem_data(bio.get(), &data);
  return std::string(data, static_cast<std::size_t>(size));
}

std::string common_name_of(X509* certificate) {
  X509_NAME* name = X509_get_subject_name(certificate);
  const int at = X509_NAME_get_index_by_NID(name, NID_commonName, -1);
  if (at < 0 || X509_NAME_get_index_by_NID(name, NID_commonName, at) >= 0) return "";
  unsigned char* text = nullptr;
  const int size = ASN1_STRING_to_UTF8(&text, X509_NAME_ENTRY_get_data(X509_NAME_get_entry(name, at)));
  if (size < 0) return checked(std::string());
  std::string result(reinterpret_cast<const char*>(text), static_cast<std::size_t>(size));
  OPENSSL_free(text);
  for (const char c : result) {
    if (c < ' ' || c > '~') return "";
  }
  return result;
}

}  // namespace tessera::openssl
