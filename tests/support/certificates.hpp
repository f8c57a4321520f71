// SPDX-License-Identifier: Apache-2.0
// Certificates for servers and clients of tests, made by openssl on the spot.
#pragma once

#include <string>

#include "base/status.hpp"

namespace sluice::test {

/// Makes, where they are not there yet, the authorities `ca` and `other-ca`, and what the first of them signed:
/// `server` for 127.0.0.1 and nats.test, `elsewhere` for elsewhere.test alone, and `client`; and what the other signed:
/// `stranger`, a client. Each is NAME.pem with NAME.key. INTERNAL with what openssl said.
Status make_certificates(const std::string& directory);

}  // namespace sluice::test
