// SPDX-License-Identifier: Apache-2.0
// Logs written by LogWriter and read by a source, on the adapters that need no server.
#include "host/log.hpp"

#include <fmt/format.h>

#include <atomic>
#include <thread>

#include "../support/metrics.hpp"
#include "base/crc32c.hpp"
#include "base/task.hpp"
#include "base/uuid.hpp"
#include "records/batch.hpp"
#include "records/builder.hpp"
#include "sources/host_core.hpp"
#include "world.hpp"

namespace sluice::test {
namespace {

LogWriterSettings writer_settings(const Folder& folder, const std::string& log = "orders") {
  LogWriterSettings settings;
  settings.log = log;
  settings.state_directory = folder.path() + "/state";
  return settings;
}

std::unique_ptr<LogWriter> open_writer(const std::shared_ptr<StorageHost>& host, const LogWriterSettings& settings) {
  auto writer = LogWriter::open(host, settings);
  EXPECT_TRUE(writer) << writer.error().describe();
  return writer ? std::move(*writer) : nullptr;
}

std::unique_ptr<Source> open_source(const std::shared_ptr<StorageHost>& host, const Folder& folder,
                                    StorageReadSettings read = {}) {
  LogSourceSettings settings;
  settings.log = "orders";
  settings.state_directory = folder.path() + "/state";
  settings.read = std::move(read);
  auto source = make_log_source(host, std::move(settings));
  EXPECT_TRUE(source) << source.error().describe();
  return source ? std::move(*source) : nullptr;
}

std::vector<std::string> numbered(int from, int to) {
  std::vector<std::string> values;
  for (int i = from; i < to; ++i) values.push_back(fmt::format("value {}", i));
  return values;
}

class LogSource : public ::testing::TestWithParam<const char*> {
 protected:
  Folder folder_;
  std::shared_ptr<StorageHost> host_ = open_storage(GetParam(), folder_.path() + "/data");
};
INSTANTIATE_TEST_SUITE_P(Adapters, LogSource, ::testing::Values("memory", "disk"),
                         [](const auto& each) { return std::string(each.param); });

TEST_P(LogSource, S02_B34_headers_nulls_times_and_every_byte_come_back) {
  const auto writer = open_writer(host_, writer_settings(folder_));
  std::string every;
  for (int byte = 0; byte < 256; ++byte) every += static_cast<char>(byte);
  const Header headers[] = {{"traceparent", as_bytes("00-1-2-01")},
                            {"tenant", as_bytes("a")},
                            {"tenant", as_bytes("b")},
                            {"null", std::nullopt},
                            {"empty", Bytes(as_bytes("").data(), size_t{0})},
                            {"", as_bytes(every)},
                            {"tenant", as_bytes("a")}};
  std::vector<Record> records(5);
  records[0].key = as_bytes(every);
  records[0].value = as_bytes(every);
  records[0].headers = Headers(headers);
  records[0].timestamp_ns = 1'700'000'000'123'000'000;
  records[1].value = as_bytes("null");
  records[2].value = Bytes(as_bytes("x").data(), size_t{0});
  records[2].key = Bytes(as_bytes("x").data(), size_t{0});
  records[3].value = as_bytes("\xff\xfe\x80");
  records[3].timestamp_ns = 1'999'999;
  ASSERT_TRUE(writer->append(records, [](Result<Written> written) { EXPECT_TRUE(written); }).ok());
  ASSERT_TRUE(writer->flush(60'000).ok());

  const auto source = open_source(host_, folder_);
  const Drained drained = drain(*source);
  ASSERT_EQ(drained.records.size(), 5u);
  const Kept& first = drained.records[0];
  EXPECT_EQ(first.key, every);
  EXPECT_EQ(first.value, every);
  EXPECT_EQ(first.timestamp_ns, 1'700'000'000'123'000'000);
  const decltype(first.headers) expected = {{"traceparent", "00-1-2-01"},
                                            {"tenant", "a"},
                                            {"tenant", "b"},
                                            {"null", std::nullopt},
                                            {"empty", ""},
                                            {"", every},
                                            {"tenant", "a"}};
  EXPECT_EQ(first.headers, expected);
  EXPECT_EQ(drained.records[1].value, "null");
  EXPECT_EQ(drained.records[1].key, std::nullopt);
  EXPECT_EQ(drained.records[1].timestamp_ns, kNoTimestamp);
  EXPECT_EQ(drained.records[2].value, "");
  EXPECT_EQ(drained.records[2].key, "");
  EXPECT_EQ(drained.records[3].value, "\xff\xfe\x80");
  EXPECT_EQ(drained.records[3].timestamp_ns, 1'000'000) << "down to the millisecond";
  EXPECT_EQ(drained.records[4].value, std::nullopt);
  // What a source read can be written again as it is.
  const auto page = read(*source, 0);
  auto copied = writer_settings(folder_, "copy");
  const auto copier = open_writer(host_, copied);
  ASSERT_TRUE(copier->append(page->records, [](Result<Written> written) { EXPECT_TRUE(written); }).ok());
  ASSERT_TRUE(copier->flush(60'000).ok());
  LogSourceSettings of_copy;
  of_copy.log = "copy";
  of_copy.log_id = copier->log_id();
  const auto again = make_log_source(host_, of_copy);
  EXPECT_EQ(drain(**again).records[0].headers, expected);
}

TEST_P(LogSource, pages_obey_their_limits_and_leave_nothing_out) {
  for (const char* compression : {"none", "zstd", "lz4"}) {
    Folder folder;
    const auto host = open_storage(GetParam(), folder.path() + "/data");
    auto settings = writer_settings(folder);
    settings.compression = compression;
    settings.max_batch_records = 37;
    const auto writer = open_writer(host, settings);
    const auto values = numbered(0, 1'000);
    const auto written = write_values(*writer, values);
    ASSERT_EQ(written.size(), 1'000u);
    StorageReadSettings reading;
    reading.read_bytes = 4'096;
    const auto source = open_source(host, folder, reading);
    for (const uint32_t limit : {1u, 7u, 64u, 5'000u}) {
      const Drained drained = drain(*source, 0, limit, limit == 64 ? 100 : 1 << 20);
      ASSERT_EQ(drained.records.size(), 1'000u) << compression << " " << limit;
      for (size_t i = 0; i < 1'000; ++i) {
        ASSERT_EQ(drained.records[i].value, values[i]);
        ASSERT_EQ(drained.records[i].position, static_cast<int64_t>(i));
        ASSERT_EQ(written[i].first, static_cast<int64_t>(i));
      }
      EXPECT_EQ(drained.corrupt, 0u);
    }
    // From anywhere, backwards too.
    for (const int64_t from : {500, 3, 999, 998, 40, 41, 0}) {
      const auto page = read(*source, from, 2);
      ASSERT_TRUE(page);
      ASSERT_FALSE(page->records.empty());
      EXPECT_EQ(page->records.front().position, from);
    }
    const auto found = bounds(*source);
    ASSERT_TRUE(found);
    EXPECT_EQ(found->start, 0);
    EXPECT_EQ(found->end, 1'000);
    EXPECT_EQ(read(*source, 1'001).error().code(), StatusCode::out_of_range);
    EXPECT_EQ(read(*source, -1).error().code(), StatusCode::invalid);
    EXPECT_EQ(read(*source, 0, 0).error().code(), StatusCode::invalid);
  }
}

TEST_P(LogSource, bytes_of_a_page_outlive_source_writer_and_host) {
  auto writer = open_writer(host_, writer_settings(folder_));
  write_values(*writer, numbered(0, 50));
  auto source = open_source(host_, folder_);
  const auto page = read(*source, 0);
  ASSERT_TRUE(page);
  source.reset();
  writer.reset();
  host_.reset();
  for (size_t i = 0; i < 50; ++i) EXPECT_EQ(as_text(*page->records[i].value), fmt::format("value {}", i));
}

TEST_P(LogSource, a_read_waits_for_what_is_appended_next) {
  const auto writer = open_writer(host_, writer_settings(folder_));
  const auto source = open_source(host_, folder_);
  PageRequest request;
  request.wait_ms = 60'000;
  for (int64_t i = 0; i < 20; ++i) {
    request.from = i;
    auto waiting = begin_read(*source, request);
    write_values(*writer, {fmt::format("{}", i)});
    const auto page = value_of(waiting);
    ASSERT_TRUE(page) << page.error().describe();
    ASSERT_EQ(page->records.size(), 1u);
    EXPECT_EQ(as_text(*page->records[0].value), fmt::format("{}", i));
  }
  // At the end there is nothing, at once or after a while, and no error.
  const auto nothing = read(*source, 20, 10, 30);
  ASSERT_TRUE(nothing);
  EXPECT_TRUE(nothing->records.empty());
  EXPECT_EQ(nothing->next, 20);
  EXPECT_EQ(nothing->end, 20);
  // One that waits can be woken, and then reads on.
  request.from = 20;
  auto woken = begin_read(*source, request);
  source->wake();
  ASSERT_TRUE(value_of(woken));
  write_values(*writer, {"20"});
  EXPECT_EQ(read(*source, 20, 10, 60'000)->records.size(), 1u);
}

TEST_P(LogSource, a_position_is_found_by_time) {
  const auto writer = open_writer(host_, writer_settings(folder_));
  std::vector<Record> records(100);
  for (size_t i = 0; i < 100; ++i) {
    records[i].value = as_bytes("v");
    records[i].timestamp_ns = static_cast<int64_t>(1'000 + 10 * i) * 1'000'000;
  }
  for (size_t i = 0; i < 100; i += 20) {
    ASSERT_TRUE(writer->append({&records[i], 20}, [](const Result<Written>&) {}).ok());
    ASSERT_TRUE(writer->flush(60'000).ok());
  }
  const auto source = open_source(host_, folder_);
  EXPECT_EQ(*locate(*source, 0), 0);
  EXPECT_EQ(*locate(*source, 1'000'000'000), 0);
  EXPECT_EQ(*locate(*source, 1'000'000'001), 1);
  EXPECT_EQ(*locate(*source, 1'555'000'000), 56);
  EXPECT_EQ(*locate(*source, 1'990'000'000), 99);
  EXPECT_EQ(*locate(*source, 1'990'000'001), 100);
}

/// Appends raw bytes to a log as a writer of another kind would.
void append_raw(StorageHost& host, const std::string& log_id, int32_t epoch, const std::vector<Buffer>& batches) {
  StorageHost::Core& core = *host.core();
  host::LogDescriptor descriptor;
  descriptor.id = Uuid::parse(log_id)->bytes;
  descriptor.topic = "orders";
  const auto log = *core.storage->open(descriptor);
  const auto position = core.wait_for<Result<host::WritePosition>>("", [&] { return log->acquire(epoch, core.loop); });
  ASSERT_TRUE(position) << position.error().describe();
  std::atomic<size_t> left{batches.size()};
  for (const Buffer& batch : batches) {
    const auto view = records::BatchView::parse(batch.view());
    host::AppendEntry entry;
    entry.bytes = batch.view();
    entry.base_offset = view->base_offset();
    entry.last_offset = view->last_offset();
    entry.max_timestamp = view->max_timestamp();
    entry.record_count = static_cast<uint32_t>(view->records_count());
    entry.done = [&left](const host::AppendOutcome& outcome) {
      EXPECT_TRUE(outcome.status.ok()) << outcome.status.describe();
      --left;
    };
    ASSERT_TRUE(log->enqueue(std::move(entry), log->position().generation, core.loop).ok());
  }
  log->send();
  ASSERT_TRUE(comes_true([&] { return left == 0; }));
}

Buffer batch_of_one(const records::BatchOptions& options, const std::string& value) {
  records::BatchBuilder builder(options);
  records::NewRecord record;
  record.value = as_bytes(value);
  EXPECT_TRUE(builder.add(record).ok());
  return std::move(*builder.build());
}

// The memory adapter keeps bytes as they are (the host's checks are off, for they would tell); the disk adapter would
// find the damage itself.
TEST(LogSourceDamage, B04_undecodable_records_are_passed_and_counted) {
  for (const bool compressed : {false, true}) {
    Folder folder;
    const auto host = open_storage("memory", folder.path() + "/data", {}, false);
    auto writer = open_writer(host, writer_settings(folder));
    const std::string id = writer->log_id();
    const int32_t epoch = writer->epoch();
    writer.reset();
    std::vector<Buffer> batches;
    for (int64_t i = 0; i < 100; ++i) {
      records::BatchOptions options;
      options.base_offset = i;
      options.leader_epoch = epoch;
      if (compressed) options.codec = records::Codec::zstd;
      Buffer batch = batch_of_one(options, fmt::format("value {}", i));
      if (i >= 10 && i < 40) batch.mutable_view()[batch.size() - 1] ^= 0x55;
      batches.push_back(std::move(batch));
    }
    append_raw(*host, id, epoch + 1, batches);
    for (const bool verify : {true, false}) {
      if (!verify && !compressed) continue;  // damage that nothing but the checksum shows
      StorageReadSettings reading;
      reading.read_bytes = 4'096;
      reading.verify_checksums = verify;
      const auto source = open_source(host, folder, reading);
      const Drained drained = drain(*source, 0, 10);
      EXPECT_EQ(drained.records.size(), 70u);
      EXPECT_EQ(drained.corrupt, 30u);
      EXPECT_EQ(drained.next, 100);
      EXPECT_EQ(drained.records[10].position, 40);
    }
  }
}

TEST(LogSourceDamage, a_damaged_header_hides_nothing_that_follows) {
  Folder folder;
  const auto host = open_storage("memory", folder.path() + "/data", {}, false);
  auto writer = open_writer(host, writer_settings(folder));
  const std::string id = writer->log_id();
  const int32_t epoch = writer->epoch();
  writer.reset();
  std::vector<Buffer> batches;
  for (int64_t i = 0; i < 3; ++i) {
    records::BatchOptions options;
    options.base_offset = i;
    batches.push_back(batch_of_one(options, "v"));
  }
  // It is kept as one record at offset 1, and then claims a thousand.
  auto bytes = batches[1].mutable_view();
  Buffer honest = Buffer::copy_of(batches[1].view());
  append_raw(*host, id, epoch + 1, [&] {
    std::vector<Buffer> first;
    first.push_back(std::move(batches[0]));
    return first;
  }());
  store_be<int32_t>(bytes.data() + records::layout::kRecordsCount, 1'000);
  std::vector<Buffer> rest;
  rest.push_back(std::move(batches[1]));
  rest.push_back(std::move(batches[2]));
  append_raw(*host, id, epoch + 2, rest);
  const auto source = open_source(host, folder);
  const Drained drained = drain(*source);
  ASSERT_EQ(drained.records.size(), 2u);
  EXPECT_EQ(drained.records[1].position, 2);
  EXPECT_EQ(drained.corrupt, 1u) << "as many as there is room for";
}

TEST_P(LogSource, B26_no_identity_is_used_again_after_a_restart) {
  const auto settings = writer_settings(folder_);
  std::set<std::pair<int32_t, int64_t>> identities;
  std::string log_id;
  int32_t last_epoch = 0;
  for (int run = 0; run < 3; ++run) {
    const auto writer = open_writer(host_, settings);
    ASSERT_NE(writer, nullptr);
    if (run == 0) log_id = writer->log_id();
    EXPECT_EQ(writer->log_id(), log_id);
    EXPECT_GT(writer->epoch(), last_epoch);
    last_epoch = writer->epoch();
    for (const Written& written : write_values(*writer, numbered(10 * run, 10 * run + 10))) {
      EXPECT_EQ(written.epoch, writer->epoch());
      EXPECT_TRUE(identities.emplace(written.epoch, written.first).second);
    }
  }
  EXPECT_EQ(identities.size(), 30u);
  const auto source = open_source(host_, folder_);
  const Drained drained = drain(*source);
  ASSERT_EQ(drained.records.size(), 30u) << "none discarded";
  for (size_t i = 0; i < 30; ++i) EXPECT_EQ(drained.records[i].value, fmt::format("value {}", i));
}

TEST_P(LogSource, B26_an_older_nonce_file_does_not_bring_an_old_epoch_back) {
  const auto settings = writer_settings(folder_);
  const std::string nonce = settings.state_directory + "/orders.nonce";
  int32_t epoch = 0;
  for (int run = 0; run < 3; ++run) {
    const auto writer = open_writer(host_, settings);
    if (run == 0) std::filesystem::copy_file(nonce, nonce + ".kept");
    epoch = writer->epoch();
  }
  std::filesystem::rename(nonce + ".kept", nonce);
  const auto writer = open_writer(host_, settings);
  ASSERT_NE(writer, nullptr);
  EXPECT_GT(writer->epoch(), epoch);
  EXPECT_EQ(write_values(*writer, {"a"}).size(), 1u);
}

TEST_P(LogSource, B26_a_damaged_nonce_file_is_an_error_and_not_a_new_log) {
  const auto settings = writer_settings(folder_);
  open_writer(host_, settings).reset();
  const std::string nonce = settings.state_directory + "/orders.nonce";
  const auto size = std::filesystem::file_size(nonce);
  std::string whole(size, '\0');
  ASSERT_EQ(std::fread(whole.data(), 1, size,
                       std::unique_ptr<FILE, int (*)(FILE*)>(std::fopen(nonce.c_str(), "r"), &std::fclose).get()),
            size);
  for (size_t at = 0; at < size; ++at) {
    std::string damaged = whole;
    damaged[at] = static_cast<char>(damaged[at] ^ 1);
    std::unique_ptr<FILE, int (*)(FILE*)> file(std::fopen(nonce.c_str(), "w"), &std::fclose);
    ASSERT_EQ(std::fwrite(damaged.data(), 1, size, file.get()), size);
    file.reset();
    const auto writer = LogWriter::open(host_, settings);
    ASSERT_FALSE(writer) << at;
    ASSERT_EQ(writer.error().code(), StatusCode::corrupt) << writer.error().describe();
  }
}

TEST_P(LogSource, one_writer_at_a_time) {
  auto writer = open_writer(host_, writer_settings(folder_));
  const auto second = LogWriter::open(host_, writer_settings(folder_));
  ASSERT_FALSE(second);
  EXPECT_EQ(second.error().code(), StatusCode::conflict);
  EXPECT_NE(second.error().text().find(std::to_string(::getpid())), std::string::npos) << second.error().text();
  // Elsewhere the lock does not reach, and the fence does.
  Folder elsewhere;
  auto settings = writer_settings(elsewhere);
  std::filesystem::create_directories(settings.state_directory);
  std::filesystem::copy_file(writer_settings(folder_).state_directory + "/orders.nonce",
                             settings.state_directory + "/orders.nonce");
  const auto taken = open_writer(host_, settings);
  ASSERT_NE(taken, nullptr);
  Record record;
  record.value = as_bytes("late");
  Status told;
  ASSERT_TRUE(writer
                  ->append({&record, 1},
                           [&](const Result<Written>& written) {
                             if (!written) told = written.error();
                           })
                  .ok());
  EXPECT_EQ(writer->flush(60'000).code(), StatusCode::fenced);
  EXPECT_EQ(told.code(), StatusCode::fenced);
  EXPECT_EQ(writer->append({&record, 1}, [](const Result<Written>&) {}).code(), StatusCode::fenced);
  EXPECT_EQ(write_values(*taken, {"mine"}).size(), 1u);
}

TEST_P(LogSource, S03_everything_accepted_is_settled_and_counted) {
  const std::shared_ptr<Telemetry> telemetry = std::move(Telemetry::make().value());
  auto settings = writer_settings(folder_);
  settings.max_pending_bytes = settings.max_batch_bytes = 64 << 10;
  settings.telemetry = telemetry;
  auto writer = open_writer(host_, settings);
  std::atomic<uint64_t> delivered{0}, failed{0}, accepted{0};
  std::vector<std::thread> threads;
  for (int thread = 0; thread < 4; ++thread) {
    threads.emplace_back([&] {
      const std::string value(200, 'x');
      Record record;
      record.value = as_bytes(value);
      for (int i = 0; i < 1'000; ++i) {
        const Status status =
            writer->append({&record, 1}, [&](const Result<Written>& written) { ++(written ? delivered : failed); });
        if (status.ok()) ++accepted;
        if (status.code() == StatusCode::busy) std::this_thread::yield();
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  const Status closed = writer->close(60'000);
  EXPECT_TRUE(closed.ok()) << closed.describe();
  EXPECT_EQ(delivered + failed, accepted);
  EXPECT_EQ(failed, 0u);
  const LogWriterCounters counts = writer->counters();
  EXPECT_EQ(counts.appended, accepted);
  EXPECT_EQ(counts.written, delivered);
  EXPECT_EQ(counts.appended + counts.refused, 4'000u);
  EXPECT_EQ(counts.pending, 0u);
  EXPECT_EQ(counts.pending_bytes, 0u);
  const TelemetrySnapshot snapshot = telemetry->snapshot();
  const auto told = [&](std::string_view name) {
    const Attributes mine = {{"messaging.system", "sluice.log"}, {"messaging.destination.name", "orders"}};
    return static_cast<uint64_t>(sluice::testing::sum(snapshot, name, mine));
  };
  EXPECT_EQ(told(semconv::kSentMessages), counts.written);
  EXPECT_EQ(told("sluice.log.appended"), counts.appended);
  EXPECT_EQ(told("sluice.log.refused"), counts.refused);
  EXPECT_EQ(told("sluice.log.failed"), 0u);
  EXPECT_EQ(told("sluice.log.pending"), 0u);
  EXPECT_GT(sluice::testing::sum(snapshot, semconv::kOperationDuration, {{"messaging.operation.name", "send"}}), 0);
  Record record;
  EXPECT_EQ(writer->append({&record, 1}, [](const Result<Written>&) {}).code(), StatusCode::fenced);
  const auto source = open_source(host_, folder_);
  EXPECT_EQ(drain(*source).records.size(), accepted);
}

TEST_P(LogSource, calls_that_wait_are_refused_inside_callbacks) {
  const auto writer = open_writer(host_, writer_settings(folder_));
  Record record;
  record.value = as_bytes("v");
  StatusCode flushed = StatusCode::ok;
  ASSERT_TRUE(
      writer->append({&record, 1}, [&](const Result<Written>&) { flushed = writer->flush(1'000).code(); }).ok());
  ASSERT_TRUE(writer->flush(60'000).ok());
  EXPECT_EQ(flushed, StatusCode::invalid);
}

TEST_P(LogSource, trim_moves_the_start) {
  auto settings = writer_settings(folder_);
  const auto writer = open_writer(host_, settings);
  for (int i = 0; i < 10; ++i) write_values(*writer, {fmt::format("{}", i)});
  ASSERT_TRUE(writer->trim(5).ok());
  const auto source = open_source(host_, folder_);
  ASSERT_TRUE(comes_true([&] { return bounds(*source)->start == 5; }));
  const auto page = read(*source, 2);
  ASSERT_FALSE(page);
  EXPECT_EQ(page.error().code(), StatusCode::out_of_range);
  EXPECT_NE(page.error().text().find("5 to 10"), std::string::npos) << page.error().text();
}

TEST(LogWriterFailures, a_full_storage_is_an_error_and_the_order_is_kept) {
  Folder folder;
  const auto host = open_storage("memory", folder.path() + "/data", {{"max_bytes", std::string("1MiB")}});
  const std::shared_ptr<Telemetry> telemetry = std::move(Telemetry::make().value());
  auto settings = writer_settings(folder);
  settings.telemetry = telemetry;
  auto writer = open_writer(host, settings);
  const std::string value(100'000, 'x');
  Record record;
  record.value = as_bytes(value);
  std::vector<bool> told;
  for (int i = 0; i < 30; ++i) {
    ASSERT_TRUE(
        writer->append({&record, 1}, [&](const Result<Written>& written) { told.push_back(written.has_value()); })
            .ok());
  }
  const Status flushed = writer->flush(60'000);
  EXPECT_EQ(flushed.code(), StatusCode::no_space) << flushed.describe();
  EXPECT_EQ(told.size(), 30u);
  const auto counts = writer->counters();
  EXPECT_GT(counts.written, 0u);
  EXPECT_GT(counts.failed, 0u);
  EXPECT_EQ(counts.written + counts.failed, 30u);
  const auto source = open_source(host, folder);
  EXPECT_EQ(drain(*source).records.size(), counts.written);
  EXPECT_TRUE(writer->flush(1'000).ok()) << "told once";
  writer.reset();
  const TelemetrySnapshot snapshot = telemetry->snapshot();
  EXPECT_EQ(sluice::testing::sum(snapshot, "sluice.log.failed"), static_cast<int64_t>(counts.failed)) << "it stays";
  EXPECT_GT(sluice::testing::sum(snapshot, "sluice.failures", {{"error.type", "no_space"}}), 0);
  for (const FailureEvent& failure : snapshot.failures) EXPECT_LT(failure.elapsed_ns, 60'000'000'000);
}

TEST(LogWriterFailures, a_storage_that_stops_fails_what_is_pending_in_time) {
  Folder folder;
  const auto host = open_storage("memory", folder.path() + "/data");
  auto settings = writer_settings(folder);
  settings.delivery_timeout_ms = 300;
  auto writer = open_writer(host, settings);
  ASSERT_TRUE(host->stop(10'000).ok());
  std::atomic<int> failed{0};
  Record record;
  record.value = as_bytes("v");
  ASSERT_TRUE(writer
                  ->append({&record, 1},
                           [&](const Result<Written>& written) {
                             EXPECT_EQ(written.error().code(), StatusCode::unavailable);
                             ++failed;
                           })
                  .ok());
  EXPECT_EQ(writer->flush(60'000).code(), StatusCode::unavailable);
  EXPECT_EQ(failed, 1);
  // It comes back, and so does the writer's right to write.
  ASSERT_TRUE(host->start());
  ASSERT_TRUE(writer->append({&record, 1}, [&](const Result<Written>& written) { EXPECT_TRUE(written); }).ok());
  EXPECT_TRUE(writer->flush(60'000).ok());
  // Given up at close: told all the same.
  ASSERT_TRUE(host->stop(10'000).ok());
  ASSERT_TRUE(writer
                  ->append({&record, 1},
                           [&](const Result<Written>& written) {
                             EXPECT_FALSE(written);
                             ++failed;
                           })
                  .ok());
  EXPECT_EQ(writer->close(0).code(), StatusCode::unavailable);
  EXPECT_EQ(failed, 2);
}

// The first whose time is over makes way for those behind it, whose time is over too: nothing else would come to tell.
TEST(LogWriterFailures, a_storage_that_stops_fails_every_batch_that_is_pending) {
  Folder folder;
  const auto host = open_storage("memory", folder.path() + "/data");
  auto settings = writer_settings(folder);
  settings.delivery_timeout_ms = 300;
  settings.max_batch_records = 1;
  auto writer = open_writer(host, settings);
  ASSERT_TRUE(host->stop(10'000).ok());
  std::atomic<int> failed{0};
  Record record;
  record.value = as_bytes("v");
  constexpr int kBatches = 5;
  for (int i = 0; i < kBatches; ++i) {
    ASSERT_TRUE(writer->append({&record, 1}, [&](const Result<Written>& written) { failed += written ? 0 : 1; }).ok());
  }
  EXPECT_EQ(writer->flush(10'000).code(), StatusCode::unavailable);
  EXPECT_EQ(failed, kBatches);
  ASSERT_TRUE(host->start());
  ASSERT_TRUE(writer->append({&record, 1}, [&](const Result<Written>& written) { EXPECT_TRUE(written); }).ok());
  EXPECT_TRUE(writer->flush(60'000).ok());
}

}  // namespace
}  // namespace sluice::test
