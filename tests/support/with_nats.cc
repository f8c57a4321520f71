// SPDX-License-Identifier: Apache-2.0
// with_nats [--servers N] [--max-payload BYTES] [--tls DIRECTORY] -- COMMAND [ARGUMENT...]
//
// Starts nats-server (or a cluster), which with --tls has a certificate by DIRECTORY/ca.pem that is made there, runs
// the command with @URL@ in its arguments replaced by the servers' URLs and with the (first) one's in NATS_URL, ends
// the servers, and ends as the command did.
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <memory>
#include <string>
#include <string_view>

#include "support/certificates.hpp"
#include "support/nats_server.hpp"
#include "support/server_process.hpp"

int main(int argc, char** argv) {
  using sluice::test::NatsCluster;
  using sluice::test::NatsServer;
  sluice::test::NatsSettings settings;
  size_t servers = 1;
  int at = 1;
  for (; at + 1 < argc && std::string_view(argv[at]) != "--"; at += 2) {
    const std::string option = argv[at];
    if (option == "--servers") {
      servers = std::strtoull(argv[at + 1], nullptr, 10);
    } else if (option == "--max-payload") {
      settings.max_payload = std::strtoll(argv[at + 1], nullptr, 10);
    } else if (option == "--tls") {
      settings.certificates = argv[at + 1];
      std::filesystem::create_directories(settings.certificates);
      if (const sluice::Status made = sluice::test::make_certificates(settings.certificates); !made) {
        std::fprintf(stderr, "%s\n", made.describe().c_str());
        return 2;
      }
    } else {
      break;
    }
  }
  if (at + 1 >= argc || std::string_view(argv[at]) != "--" || servers == 0) {
    std::fprintf(stderr, "with_nats [--servers N] [--max-payload BYTES] [--tls DIRECTORY] -- COMMAND [ARGUMENT...]\n");
    return 2;
  }
  std::unique_ptr<NatsServer> one;
  std::unique_ptr<NatsCluster> several;
  if (servers == 1) {
    one = std::make_unique<NatsServer>(settings);
  } else {
    several = std::make_unique<NatsCluster>(servers, settings);
  }
  const sluice::Status started = one ? one->start() : several->start();
  if (!started) {
    std::fprintf(stderr, "%s\n", started.describe().c_str());
    return 2;
  }
  setenv("NATS_URL", (one ? one->url() : several->server(0).url()).c_str(), 1);
  return sluice::test::run_command({argv + at + 1, argv + argc}, "@URL@", one ? one->url() : several->urls());
}
