// SPDX-License-Identifier: Apache-2.0
#include "support/secured_kafka.hpp"

#include <fmt/format.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <initializer_list>
#include <string_view>

namespace sluice::test {
namespace {

constexpr std::string_view kPlain = "org.apache.kafka.common.security.plain.PlainLoginModule";
constexpr std::string_view kScram = "org.apache.kafka.common.security.scram.ScramLoginModule";

/// Authorities, and what one of them signed: the server's, for its address alone, and a client's, its key encrypted.
constexpr const char* kMakeCertificates = R"(
set -e
authority() {
  openssl req -x509 -newkey rsa:2048 -nodes -keyout "$1.key" -out "$1.pem" -days 2 -subj "/CN=$1" \
    -addext basicConstraints=critical,CA:TRUE
}
signed() {
  openssl req -newkey rsa:2048 -nodes -keyout "$1.plain" -out "$1.csr" -subj "/CN=$1"
  printf 'subjectAltName=IP:127.0.0.1\n' > "$1.ext"
  openssl x509 -req -in "$1.csr" -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -extfile "$1.ext" -out "$1.pem"
}
authority ca
authority other-ca
signed server
signed client
cat server.plain server.pem > server-store.pem
openssl pkcs8 -topk8 -in client.plain -out client.key -passout "pass:$KEY_PASSWORD"
)";

}  // namespace

std::string SecuredKafka::address_of(Listener listener) const {
  return fmt::format("127.0.0.1:{}", port_of(listener));
}

bool SecuredKafka::answers() const {
  for (size_t i = 0; i < kPorts; ++i) {
    if (!takes_connections(port(i))) return false;
  }
  return true;
}

void SecuredKafka::make_certificates() const {
  if (std::filesystem::exists(file("client.key"))) return;
  std::ofstream(file("make")) << kMakeCertificates;
  const std::string run = fmt::format("cd '{}' && KEY_PASSWORD='{}' sh make > made 2>&1", directory(), kKeyPassword);
  static_cast<void>(std::system(run.c_str()));  // the server says what it misses
}

std::string SecuredKafka::properties() const {
  std::string listeners = fmt::format("PLAINTEXT://{}", address_of(Listener::open));
  const std::initializer_list<std::pair<const char*, Listener>> more = {{"PASSWORDS", Listener::passwords},
                                                                        {"TLS", Listener::tls},
                                                                        {"BOTH", Listener::both},
                                                                        {"MUTUAL", Listener::mutual}};
  for (const auto& [name, listener] : more) listeners += fmt::format(",{}://{}", name, address_of(listener));
  listeners += fmt::format(",CONTROLLER://127.0.0.1:{}", port(1));
  std::string lines = fmt::format(
      "listeners={0}\nadvertised.listeners={0}\n"
      "listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT,PASSWORDS:SASL_PLAINTEXT,TLS:SSL,"
      "BOTH:SASL_SSL,MUTUAL:SSL\n"
      "sasl.enabled.mechanisms=PLAIN,SCRAM-SHA-256\n"
      "ssl.keystore.type=PEM\nssl.keystore.location={1}\nssl.truststore.type=PEM\nssl.truststore.location={2}\n"
      "listener.name.mutual.ssl.client.auth=required\n"
      "authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer\n"
      "super.users=User:ANONYMOUS;User:{3};User:CN=client\n",
      listeners, file("server-store.pem"), file("ca.pem"), kUser);
  for (const char* name : {"passwords", "both"}) {
    lines += fmt::format("listener.name.{}.plain.sasl.jaas.config={} required user_{}=\"{}\" user_{}=\"{}\";\n", name,
                         kPlain, kUser, kPassword, kStranger, kStrangersPassword);
    lines += fmt::format("listener.name.{}.scram-sha-256.sasl.jaas.config={} required;\n", name, kScram);
  }
  return lines;
}

LoopbackServer::Command SecuredKafka::command() {
  make_certificates();
  return {{script_, std::to_string(port()), std::to_string(port(1)), directory() + "/data"},
          {{"KAFKA_JARS", jars_},
           {"KAFKA_PROPERTIES", properties()},
           {"KAFKA_SCRAM", fmt::format("SCRAM-SHA-256=[name={},password={}]", kUser, kPassword)}}};
}

SecuredKafka::Properties SecuredKafka::with_password(const std::string& mechanism, const std::string& user,
                                                     const std::string& password) const {
  return {{"security.protocol", "sasl_plaintext"},
          {"sasl.mechanism", mechanism},
          {"sasl.username", user},
          {"sasl.password", password}};
}

SecuredKafka::Properties SecuredKafka::with_tls() const {
  return {{"security.protocol", "ssl"}, {"ssl.ca.location", file("ca.pem")}};
}

SecuredKafka::Properties SecuredKafka::with_both(const std::string& password) const {
  Properties made = with_password("PLAIN", kUser, password);
  made["security.protocol"] = "sasl_ssl";
  made["ssl.ca.location"] = file("ca.pem");
  return made;
}

SecuredKafka::Properties SecuredKafka::with_certificate() const {
  Properties made = with_tls();
  made["ssl.certificate.location"] = file("client.pem");
  made["ssl.key.location"] = file("client.key");
  made["ssl.key.password"] = kKeyPassword;
  return made;
}

}  // namespace sluice::test
