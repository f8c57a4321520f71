// SPDX-License-Identifier: Apache-2.0
// An Apache Kafka that asks who one is: listeners with passwords, with certificates and with both, which are made when
// it starts, and rights that only some have. One thread at a time.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <utility>

#include "support/loopback_server.hpp"

namespace sluice::test {

class SecuredKafka : public LoopbackServer {
 public:
  enum class Listener : size_t {
    open = 0,       // for anybody
    passwords = 2,  // SASL_PLAINTEXT, with PLAIN and SCRAM-SHA-256
    tls = 3,        // SSL
    both = 4,       // SASL_SSL
    mutual = 5,     // SSL, of which the client shows a certificate too
  };
  /// May do everything, as may a holder of client.pem. kStranger has a password, and may do nothing.
  static constexpr const char* kUser = "someone";
  static constexpr const char* kPassword = "right-word";
  static constexpr const char* kStranger = "stranger";
  static constexpr const char* kStrangersPassword = "other-word";
  /// What client.key is encrypted with.
  static constexpr const char* kKeyPassword = "key-word";

  /// `start_script` is tests/interop/kafka/start, `jars` the folder that its `fetch` filled.
  SecuredKafka(std::string start_script, std::string jars)
      : LoopbackServer("secured-kafka", kStartMs, kPorts), script_(std::move(start_script)), jars_(std::move(jars)) {}

  std::string address_of(Listener listener) const;
  uint16_t port_of(Listener listener) const { return port(static_cast<size_t>(listener)); }
  /// A file in PEM: "ca.pem" (who signed all of them), "other-ca.pem" (who signed none), "client.pem", "client.key".
  std::string file(const std::string& name) const { return directory() + "/" + name; }

  /// What a client of this listener sets, by librdkafka's names, which are the adapter's too.
  using Properties = std::map<std::string, std::string>;
  Properties with_password(const std::string& mechanism, const std::string& user, const std::string& password) const;
  Properties with_tls() const;
  Properties with_both(const std::string& password) const;
  Properties with_certificate() const;

 private:
  static constexpr int64_t kStartMs = 120'000;  // two Java programs, one after the other
  static constexpr size_t kPorts = 6;           // index 1 is the controller's

  Command command() override;
  bool answers() const override;
  void make_certificates() const;
  std::string properties() const;

  const std::string script_;
  const std::string jars_;
};

}  // namespace sluice::test
