// SPDX-License-Identifier: Apache-2.0
#include "jetstream/connect.hpp"

#include <gtest/gtest.h>

namespace sluice::jetstream {
namespace {

TEST(JetstreamConnect, Versions) {
  EXPECT_TRUE(at_least("2.9.10", 2, 9));
  EXPECT_TRUE(at_least("2.10.0", 2, 9));
  EXPECT_TRUE(at_least("3.0.0-beta", 2, 9));
  EXPECT_FALSE(at_least("2.8.4", 2, 9));
  EXPECT_FALSE(at_least("1.4.1", 2, 9));
  EXPECT_TRUE(at_least("", 2, 9)) << "unknown counts as new enough; its answers show what it can";
}

TEST(JetstreamConnect, FailuresByClass) {
  const TlsChannel::Catch plain;
  const auto connect_status = [&](natsStatus status) { return jetstream::connect_status(status, plain); };
  EXPECT_EQ(connect_status(NATS_CONNECTION_AUTH_FAILED).code(), StatusCode::denied);
  EXPECT_EQ(connect_status(NATS_SECURE_CONNECTION_REQUIRED).code(), StatusCode::invalid);
  EXPECT_EQ(connect_status(NATS_SSL_ERROR).code(), StatusCode::invalid);
  EXPECT_EQ(connect_status(NATS_NO_SERVER).code(), StatusCode::unavailable);
  EXPECT_EQ(connect_status(NATS_TIMEOUT).code(), StatusCode::unavailable);
  EXPECT_EQ(connect_status(NATS_NO_SERVER).native_code(), NATS_NO_SERVER);
}

TEST(JetstreamConnect, AFileThatCannotBeReadIsNamed) {
  Settings settings;
  settings.connect_timeout_ms = 100;
  settings.credentials_file = "/nonexistent/file.creds";
  const auto options = make_options(settings, "nats://127.0.0.1:1");
  ASSERT_FALSE(options);
  EXPECT_EQ(options.error().code(), StatusCode::invalid);
  EXPECT_NE(options.error().text().find("/nonexistent/file.creds"), std::string::npos);
}

TEST(JetstreamConnect, WhoseCertificateAServerShows) {
  Settings settings;
  settings.servers = {"tls://[::1]:1", "tls://nats.test:2", "nats://other.test"};
  EXPECT_EQ(certified_name(settings, "tls://[::1]:1"), "::1");
  EXPECT_EQ(certified_name(settings, "nats://other.test"), "other.test");
  EXPECT_EQ(certified_name(settings, "nats://10.0.0.2:4222"), "nats.test") << "told of by another server";
  EXPECT_EQ(certified_name(settings, "nats://third.test:4222"), "third.test");
  settings.servers = {"tls://10.0.0.1:1"};
  EXPECT_EQ(certified_name(settings, "nats://10.0.0.2:4222"), "10.0.0.2");
  settings.tls_host = "wanted.test";
  EXPECT_EQ(certified_name(settings, "nats://10.0.0.2:4222"), "wanted.test");
}

}  // namespace
}  // namespace sluice::jetstream
