// SPDX-License-Identifier: Apache-2.0
#include "support/certificates.hpp"

#include <fmt/format.h>

#include <filesystem>
#include <fstream>

#include "support/server_process.hpp"

namespace sluice::test {
namespace {

constexpr const char* kMake = R"(
set -e
curve="-pkeyopt ec_paramgen_curve:prime256v1"
authority() {
  openssl req -x509 -newkey ec $curve -nodes -keyout "$1.key" -out "$1.pem" -days 2 -subj "/CN=$1" \
    -addext basicConstraints=critical,CA:TRUE
}
signed() {
  openssl req -newkey ec $curve -nodes -keyout "$1.key" -out "$1.csr" -subj "/CN=$1"
  printf 'subjectAltName=%s\n' "$3" > "$1.ext"
  openssl x509 -req -in "$1.csr" -CA "$2.pem" -CAkey "$2.key" -CAcreateserial -days 2 -extfile "$1.ext" -out "$1.pem"
}
authority ca
authority other-ca
signed server ca IP:127.0.0.1,DNS:nats.test
signed elsewhere ca DNS:elsewhere.test
signed client ca DNS:client.test
signed stranger other-ca DNS:stranger.test
touch made
)";

}  // namespace

Status make_certificates(const std::string& directory) {
  const std::filesystem::path at(directory);
  const auto age = [&] { return std::filesystem::file_time_type::clock::now() - last_write_time(at / "made"); };
  // They hold for two days.
  if (exists(at / "made") && age() < std::chrono::hours(24)) return {};
  std::ofstream(at / "make") << kMake;
  const std::string said = output_of({"sh", "-c", fmt::format("cd '{}' && sh make 2>&1 && rm make", directory)});
  if (exists(at / "made") && age() < std::chrono::hours(24)) return {};
  return Status(StatusCode::internal, fmt::format("no certificates: {}", said));
}

}  // namespace sluice::test
