// Certificates made on demand, in a folder of their own: an authority and the certificates that it signs.
#pragma once

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <memory>
#include <string>

namespace nuncio::test {

template <auto Free>
struct openssl_delete {
  template <class T>
  void operator()(T* x) const {
    Free(x);
  }
};

using key_ptr = std::unique_ptr<EVP_PKEY, openssl_delete<EVP_PKEY_free>>;
using x509_ptr = std::unique_ptr<X509, openssl_delete<X509_free>>;
using tls_context = std::unique_ptr<SSL_CTX, openssl_delete<SSL_CTX_free>>;

struct certificate {
  key_ptr key{EVP_EC_gen("P-256")};
  x509_ptr x509{X509_new()};
};

/// @param names  subjectAltName, as openssl writes it ("DNS:localhost,IP:127.0.0.1"); empty for an authority
/// @param issuer null: signed by itself
/// @param from, to  seconds from now
inline certificate make_certificate(
    const std::string& common_name,
    const std::string& names,
    const certificate* issuer = nullptr,
    long from = -3600,
    long to = 3600) {
  certificate out;
  auto* x = out.x509.get();
  static long serial = 1;
  X509_set_version(x, 2);
  ASN1_INTEGER_set(X509_get_serialNumber(x), ++serial);
  X509_gmtime_adj(X509_getm_notBefore(x), from);
  X509_gmtime_adj(X509_getm_notAfter(x), to);
  X509_set_pubkey(x, out.key.get());
  auto* name = X509_get_subject_name(x);
  X509_NAME_add_entry_by_txt(
      name,
      "CN",
      MBSTRING_ASC,
      reinterpret_cast<const unsigned char*>(common_name.c_str()),
      -1,
      -1,
      0);
  const auto& by = issuer != nullptr ? *issuer : out;
  X509_set_issuer_name(x, X509_get_subject_name(by.x509.get()));
  const auto extend = [&](int id, const std::string& value) {
    X509V3_CTX context;
    X509V3_set_ctx_nodb(&context);
    X509V3_set_ctx(&context, by.x509.get(), x, nullptr, nullptr, 0);
    auto* extension = X509V3_EXT_conf_nid(nullptr, &context, id, value.c_str());
    X509_add_ext(x, extension, -1);
    X509_EXTENSION_free(extension);
  };
  extend(NID_basic_constraints, names.empty() ? "critical,CA:TRUE" : "critical,CA:FALSE");
  if (!names.empty()) extend(NID_subject_alt_name, names);
  X509_sign(x, by.key.get(), EVP_sha256());
  return out;
}

/// PEM files that live as long as this.
class pem_folder {
public:
  pem_folder() {
    auto pattern = (std::filesystem::temp_directory_path() / "nuncio-pem-XXXXXX").string();
    if (::mkdtemp(pattern.data()) == nullptr) std::abort();
    path_ = pattern;
  }

  ~pem_folder() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }

  pem_folder(const pem_folder&) = delete;
  pem_folder& operator=(const pem_folder&) = delete;

  std::string write(const std::string& name, const X509& x) {
    return put(name, [&](std::FILE* f) { PEM_write_X509(f, const_cast<X509*>(&x)); });
  }

  std::string write(const std::string& name, EVP_PKEY& x) {
    return put(name, [&](std::FILE* f) {
      PEM_write_PrivateKey(f, &x, nullptr, nullptr, 0, nullptr, nullptr);
    });
  }

private:
  template <class F>
  std::string put(const std::string& name, F write) {
    auto path = (path_ / name).string();
    auto* file = std::fopen(path.c_str(), "w");
    if (file == nullptr) std::abort();
    write(file);
    std::fclose(file);
    return path;
  }

  std::filesystem::path path_;
};

/// @param clients  authority of the certificates that clients must show; null: none is asked for
inline tls_context make_tls_context(const certificate& own, const certificate* clients = nullptr) {
  tls_context out{SSL_CTX_new(TLS_server_method())};
  SSL_CTX_use_certificate(out.get(), own.x509.get());
  SSL_CTX_use_PrivateKey(out.get(), own.key.get());
  if (clients != nullptr) {
    X509_STORE_add_cert(SSL_CTX_get_cert_store(out.get()), clients->x509.get());
    SSL_CTX_set_verify(out.get(), SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, nullptr);
  }
  return out;
}

}  // namespace nuncio::test
