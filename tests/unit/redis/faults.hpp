// SPDX-License-Identifier: Apache-2.0
// A broker on a server of a test's own, and what is looked at after something was done to that.
#pragma once

#include <gtest/gtest.h>

#include <cstdint>
#include <memory>
#include <string>
#include <utility>

#include "redis/keys.hpp"
#include "support/redis_server.hpp"
#include "support/storage_world.hpp"

namespace sluice::redis {

using test::Broker;
using test::Clock;
using test::eventually;
using test::RedisServer;
using test::RedisSettings;
using test::wait;
using test::Writer;

inline std::string base_key(uint8_t number = 1) {
  return LogKeys("sluice", Uuid::from_words(0, number)).base;
}

class RedisFaults : public ::testing::Test {
 protected:
  void start_server(RedisSettings settings = {}) {
    server = std::make_unique<RedisServer>(std::move(settings));
    const Status started = server->start();
    ASSERT_TRUE(started) << started.describe();
  }
  std::unique_ptr<Broker> broker(host::OptionInputs options = {}, int64_t call_timeout_ms = 10'000) {
    options.try_emplace("address", server->address());
    auto made = std::make_unique<Broker>("redis", std::move(options), call_timeout_ms);
    const auto started = made->storage->start();
    EXPECT_TRUE(started) << started.error().describe();
    return made;
  }
  static Result<host::Bounds> bounds_of(Broker& broker, host::Log& log) {
    return wait<Result<host::Bounds>>(broker.loop, [&] { return log.bounds(broker.loop); });
  }
  /// The name of the stream of log 1.
  std::string stream_key() { return base_key() + ":" + server->cli({"HGET", base_key(), "token"}); }

  std::unique_ptr<RedisServer> server;
};

using Read = tl::expected<host::ReadResult, host::ReadError>;

inline Read read_at(Broker& broker, host::Log& log, int64_t offset) {
  return wait<Read>(broker.loop, [&] { return log.read(offset, INT64_MAX, 1 << 20, broker.loop); });
}

/// Batches of one offset each, from 0 to `end`.
inline void expect_batches(Broker& broker, host::Log& log, int64_t end) {
  Result<host::Bounds> bounds = fail(StatusCode::unavailable, "not asked");
  ASSERT_TRUE(eventually([&] {  // appends and reads go by different connections
    bounds = wait<Result<host::Bounds>>(broker.loop, [&] { return log.bounds(broker.loop); });
    return bounds.has_value();
  })) << bounds.error().describe();
  EXPECT_EQ(bounds->start, 0);
  EXPECT_EQ(bounds->end, end);
  int64_t offset = 0;
  while (offset < bounds->end) {
    const Read read = read_at(broker, log, offset);
    ASSERT_TRUE(read) << read.error().status.describe();
    const std::string bytes = *host::gather(*read);
    for (Bytes rest = as_bytes(bytes); !rest.empty(); ++offset) {
      const auto batch = records::take_batch(rest);
      ASSERT_TRUE(batch);
      EXPECT_EQ(batch->base_offset(), offset);
    }
    ASSERT_EQ(read->next, offset);
  }
}

}  // namespace sluice::redis
