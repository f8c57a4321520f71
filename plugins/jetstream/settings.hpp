// SPDX-License-Identifier: Apache-2.0
// The adapter's options: the table that the host prints and checks, and what they become.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/status.hpp"
#include "plugin/options.hpp"
#include "sluice/storage_abi.h"

namespace sluice::jetstream {

enum class Media : uint8_t { file, memory };
enum class Layout : uint8_t { log, record };

struct Settings {
  std::vector<std::string> servers;  // nats:// or tls:// URLs
  std::string prefix;
  Layout layout = Layout::log;
  std::string domain;
  int32_t replicas = 1;
  Media media = Media::file;
  uint64_t max_bytes = 0;  // of units in one log; 0: no limit
  int64_t connect_timeout_ms = 0;
  // Who we are: at most one of these groups.
  std::string user;
  std::string password;
  std::string token;
  std::string credentials_file;
  std::string nkey;  // public
  std::string nkey_seed_file;
  // TLS.
  bool tls = false;
  std::string tls_ca_file;
  std::string tls_certificate_file;
  std::string tls_key_file;
  std::string tls_host;
  bool tls_insecure = false;

  std::string api() const { return domain.empty() ? "$JS.API" : "$JS." + domain + ".API"; }
  const char* media_name() const { return media == Media::file ? "file" : "memory"; }
};

inline constexpr sluice_option kOptions[] = {
    {"servers",
     "URLs of the servers, nats://HOST:PORT or tls://HOST:PORT, separated by commas; one is enough to begin.",
     "nats://127.0.0.1:4222", nullptr, SLUICE_OPTION_TEXT, 0, 0, 0},
    {"prefix", "What the names of streams and subjects begin with: letters, digits, '-' and '_'.", "sluice", nullptr,
     SLUICE_OPTION_TEXT, 0, 0, 0},
    {"layout",
     "log: Sluice's own logs; record: streams with one message for each record, which other programs read and write.",
     "log", "log|record", SLUICE_OPTION_CHOICE, 0, 0, 0},
    {"domain", "The JetStream domain, where it is not the server's own.", nullptr, nullptr, SLUICE_OPTION_TEXT, 0, 0,
     0},
    {"replicas", "Servers that hold each new stream; more than 1 needs a cluster, 3 survive the loss of one.", "1",
     nullptr, SLUICE_OPTION_INTEGER, 0, 1, 5},
    {"storage", "Where the servers keep new streams; what is in memory is gone when they stop.", "file", "file|memory",
     SLUICE_OPTION_CHOICE, 0, 0, 0},
    {"max_bytes", "The most that the units of one log may take; beyond, appends are refused. 0: no limit.", "0",
     nullptr, SLUICE_OPTION_SIZE, 0, 0, INT64_MAX / 2},
    {"connect_timeout", "How long connecting to one server may take.", "2s", nullptr, SLUICE_OPTION_DURATION, 0, 50,
     60'000},
    {"user", "User name.", nullptr, nullptr, SLUICE_OPTION_TEXT, 0, 0, 0},
    {"password", "Password of the user.", nullptr, nullptr, SLUICE_OPTION_TEXT, SLUICE_OPTION_SECRET, 0, 0},
    {"token", "Authentication token.", nullptr, nullptr, SLUICE_OPTION_TEXT, SLUICE_OPTION_SECRET, 0, 0},
    {"credentials", "File with a user's JWT and seed, as `nsc` writes it.", nullptr, nullptr, SLUICE_OPTION_PATH, 0, 0,
     0},
    {"nkey", "Public nkey of a user (U...).", nullptr, nullptr, SLUICE_OPTION_TEXT, 0, 0, 0},
    {"nkey_seed", "File with the seed of that nkey.", nullptr, nullptr, SLUICE_OPTION_PATH, 0, 0, 0},
    {"tls", "Refuse servers that do not offer TLS. Those that require it get it anyway.", "false", nullptr,
     SLUICE_OPTION_BOOLEAN, 0, 0, 0},
    {"tls_ca", "File with the certificates that are trusted (PEM); by default those of the system.", nullptr, nullptr,
     SLUICE_OPTION_PATH, 0, 0, 0},
    {"tls_certificate", "File with the certificate chain to show to the server (PEM).", nullptr, nullptr,
     SLUICE_OPTION_PATH, 0, 0, 0},
    {"tls_key", "File with the private key of the certificate (PEM).", nullptr, nullptr, SLUICE_OPTION_PATH, 0, 0, 0},
    {"tls_host", "The name that the servers' certificates must carry; by default the URL's.", nullptr, nullptr,
     SLUICE_OPTION_TEXT, 0, 0, 0},
    {"tls_insecure", "Accept any certificate. For tests.", "false", nullptr, SLUICE_OPTION_BOOLEAN, 0, 0, 0},
};

/// INVALID names the option that is wrong, or those that exclude each other. Opens nothing.
Result<Settings> parse_settings(const plugin::Options& options);

}  // namespace sluice::jetstream
