// Owners of OpenSSL's objects, and its last error as text. Only for the sources of this folder.
#pragma once

#include <memory>
#include <openssl/bio.h>
#include <openssl/evp.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>
#include <string>

#include "runtime/base/result.hpp"

namespace tessera::openssl {

template <auto free_function>
struct Free {
  template <typename T>
  void operator()(T* object) const {
    free_function(object);
  }
};

using Bio = std::unique_ptr<BIO, Free<BIO_free_all>>;
using Key = std::unique_ptr<EVP_PKEY, Free<EVP_PKEY_free>>;
using Certificate = std::unique_ptr<X509, Free<X509_free>>;
using Request = std::unique_ptr<X509_REQ, Free<X509_REQ_free>>;
using Extension = std::unique_ptr<X509_EXTENSION, Free<X509_EXTENSION_free>>;
using Number = std::unique_ptr<BIGNUM, Free<BN_free>>;
using Trust = std::unique_ptr<X509_STORE, Free<X509_STORE_free>>;
using Verification = std::unique_ptr<X509_STORE_CTX, Free<X509_STORE_CTX_free>>;
using TlsContext = std::unique_ptr<SSL_CTX, Free<SSL_CTX_free>>;
using Tls = std::unique_ptr<SSL, Free<SSL_free>>;

/// The newest error of this thread in words, "" if there is none; forgets all.
std::string take_error();

/// PEM texts; nullptr, and no error left behind, for anything else. An encrypted key is refused without asking.
Certificate parse_certificate(const std::string& pem);
Key parse_key(const std::string& pem);
Request parse_request(const std::string& pem);
/// Empty where the library fails.
std::string to_pem(X509* certificate);

/// The one common name of a certificate; empty if it has none, several, or one with strange characters.
std::string common_name_of(X509* certificate);

}  // namespace tessera::openssl
