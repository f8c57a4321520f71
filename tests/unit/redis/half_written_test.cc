// SPDX-License-Identifier: Apache-2.0
// The adapter on a server that was killed while it wrote to its append-only file.
#include <filesystem>

#include "append_only_file.hpp"
#include "faults.hpp"

namespace sluice::redis {
namespace {

// A server that is killed while it writes to its append-only file leaves a part of an append there. It passes over it
// when it starts, and must not come upon it again when it starts once more.
TEST_F(RedisFaults, B04_AnAppendThatWasHalfWrittenStaysAway) {
  start_server();
  {
    const auto one = broker();
    const auto log = one->create();
    Writer lost(*one, log, 1);
    ASSERT_EQ(lost.append(20, 5'000), 20u);
  }
  server->kill();
  const std::filesystem::path newest = append_only_file(*server);
  ASSERT_GT(std::filesystem::file_size(newest), 50'000u);
  std::filesystem::resize_file(newest, std::filesystem::file_size(newest) - 42'000);
  ASSERT_TRUE(server->start());
  const auto two = broker();
  const auto log = two->open();
  Writer writer(*two, log, 2);
  ASSERT_EQ(writer.append(3), 3u);
  EXPECT_EQ(log->position().end, 3) << "nothing of the other is there";
  server->kill();
  ASSERT_TRUE(server->start());
  ASSERT_TRUE(eventually([&] { return writer.append(1) > 3; }));
  writer.verify(*log);
}

// What was written whole of a fence's transaction is carried out at the start after the next, before what was written
// meanwhile.
TEST_F(RedisFaults, AFenceThatWasHalfWrittenHarmsNothing) {
  for (size_t round = 0;; ++round) {
    const size_t writes = 1 + round / 2;
    const bool in_use = round % 2 == 0;  // between the two starts
    start_server();
    std::string stream;
    {
      const auto one = broker();
      one->create(2);
      const auto log = one->create();
      Writer writer(*one, log, 1);
      ASSERT_EQ(writer.append(5), 5u);
      ASSERT_TRUE(one->acquire(*log, 2));
      stream = stream_key();
      ASSERT_TRUE(one->acquire(*log, 3));
    }
    server->kill();
    if (!cut_last_transaction(*server, writes)) {
      EXPECT_GT(writes, 1u);
      break;
    }
    ASSERT_TRUE(server->start());
    EXPECT_EQ(stream_key(), stream);
    const auto two = broker();
    const auto log = two->open();
    Writer writer(*two, log, 4);
    if (in_use) {
      ASSERT_EQ(writer.append(3), 3u);
    } else {
      ASSERT_TRUE(two->acquire(*two->open(2), 1)) << "which ends the transaction in the file";
    }
    server->kill();
    ASSERT_TRUE(server->start());
    ASSERT_TRUE(eventually([&] { return writer.append(1) > (in_use ? 3 : 0); })) << "cut behind " << writes;
    expect_batches(*two, *log, in_use ? 9 : 6);
  }
}

// Nothing fences the log of the broker's metadata. What is appended to it behind such a transaction stays all the same.
TEST_F(RedisFaults, AnAppendBehindAHalfWrittenTransactionStays) {
  start_server();
  const auto append_at = [](Broker& broker, host::Log& log, int64_t at) {
    return wait<host::AppendOutcome>(broker.loop, [&] {
      std::vector<std::string> unit{*test::make_batch(at, 0, 200)};
      return log.append_at(at, std::move(unit), broker.loop);
    });
  };
  const auto one = broker();
  const auto shared = one->create(2, SLUICE_LOG_SEVERAL_WRITERS);
  ASSERT_TRUE(append_at(*one, *shared, 0).status);
  const auto log = one->create();
  ASSERT_TRUE(one->acquire(*log, 1));
  server->kill();
  ASSERT_TRUE(cut_last_transaction(*server, 1));
  ASSERT_TRUE(server->start());
  // On the connection that is made anew, and on another.
  host::AppendOutcome appended;
  ASSERT_TRUE(eventually([&] {
    appended = append_at(*one, *shared, 1);
    return appended.status.ok();
  })) << appended.status.describe();
  const auto two = broker();
  const auto there = two->open(2, SLUICE_LOG_SEVERAL_WRITERS);
  ASSERT_TRUE(append_at(*two, *there, 2).status);
  server->kill();
  ASSERT_TRUE(server->start());
  const auto three = broker();
  expect_batches(*three, *three->open(2, SLUICE_LOG_SEVERAL_WRITERS), 3);
}

// A save whose transaction was half written is not there when the server has started once, nor when it has twice.
TEST_F(RedisFaults, ASaveThatWasHalfWrittenStaysAway) {
  const auto save = [](Broker& broker, host::Log& log, std::string value) {
    return wait<Status>(broker.loop, [&] { return log.save("name", std::move(value), broker.loop); });
  };
  const auto loaded = [](Broker& broker, host::Log& log) {
    const auto value =
        wait<Result<std::optional<std::string>>>(broker.loop, [&] { return log.load("name", broker.loop); });
    return value ? value->value_or("absent") : value.error().describe();
  };
  for (const char* late : {"late", ""}) {
    start_server();
    {
      const auto one = broker();
      const auto log = one->create();
      ASSERT_TRUE(one->acquire(*log, 1));
      ASSERT_TRUE(save(*one, *log, "first"));
      ASSERT_TRUE(save(*one, *log, late));
    }
    server->kill();
    ASSERT_TRUE(cut_last_transaction(*server, 1));
    ASSERT_TRUE(server->start());
    const auto two = broker();
    const auto log = two->open();
    EXPECT_EQ(loaded(*two, *log), "first");
    ASSERT_TRUE(two->acquire(*log, 2));
    server->kill();
    ASSERT_TRUE(server->start());
    const auto three = broker();
    const auto again = three->open();
    EXPECT_EQ(loaded(*three, *again), "first");
    ASSERT_TRUE(three->acquire(*again, 3));
    ASSERT_TRUE(save(*three, *again, "second"));
    EXPECT_EQ(loaded(*three, *again), "second");
  }
}

// ... and a log that was half made can be made.
TEST_F(RedisFaults, ALogThatWasHalfMadeIsMadeAgain) {
  start_server();
  {
    const auto one = broker();
    one->create();
  }
  server->kill();
  ASSERT_TRUE(cut_last_transaction(*server, 1));
  ASSERT_TRUE(server->start());
  {
    const auto two = broker();
    ASSERT_TRUE(two->acquire(*two->create(2), 1));  // the end of a transaction
  }
  server->kill();
  ASSERT_TRUE(server->start());
  const auto three = broker();
  const auto log = three->create();
  Writer writer(*three, log, 1);
  EXPECT_EQ(writer.append(3), 3u);
  writer.verify(*log);
}

}  // namespace
}  // namespace sluice::redis
