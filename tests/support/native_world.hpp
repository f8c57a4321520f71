// SPDX-License-Identifier: Apache-2.0
// An adapter of kind NATIVE as the broker uses it, with records instead of bytes. One thread, but for what runs on the
// broker's loop.
#pragma once

#include <fmt/format.h>

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "records/builder.hpp"
#include "records/lookup.hpp"
#include "support/storage_world.hpp"

namespace sluice::test {

using ReadAnswer = tl::expected<host::ReadResult, host::ReadError>;

/// A partition of a topic; of one that is there before, under the name `adopts`, where that is given.
inline host::LogDescriptor descriptor(uint8_t id, const std::string& topic, const std::string& adopts = {},
                                      int32_t partition = 0) {
  host::LogDescriptor made;
  made.id[15] = id;
  made.topic = topic;
  made.partition = partition;
  if (!adopts.empty()) made.settings.emplace_back("sluice.native.name", adopts);
  return made;
}

inline constexpr int64_t kNativeTimeMs = 1'600'000'000'000;

/// Records of these values at kNativeTimeMs, all with that key or with none; of a producer where `sequence` is not -1.
inline std::string native_batch(const std::vector<std::string>& values, const char* key = nullptr,
                                int32_t sequence = -1) {
  records::BatchOptions options;
  if (sequence >= 0) {
    options.producer_id = 7;
    options.producer_epoch = 0;
    options.base_sequence = sequence;
  }
  records::BatchBuilder builder(options);
  for (const std::string& value : values) {
    records::NewRecord record;
    record.timestamp = kNativeTimeMs;
    if (key != nullptr) record.key = as_bytes(key);
    record.value = as_bytes(value);
    EXPECT_TRUE(builder.add(record).ok());
  }
  return std::string(as_text(builder.build()->view()));
}

/// A record that was read.
struct Seen {
  int64_t offset = 0;
  std::string key = {}, value = {};  // "null" where there is none
  std::string headers = {};          // "name=value;" each
  bool operator==(const Seen&) const = default;
};

/// Calls `see(record, batch)` with every record of a read.
template <class F>
void see_records(const host::ReadResult& result, F see) {
  constexpr size_t kMostBytes = size_t{1} << 30;  // of a batch, unpacked
  const std::string bytes = *host::gather(result);
  for (Bytes rest = as_bytes(bytes); !rest.empty();) {
    const auto batch = records::take_batch(rest);
    ASSERT_TRUE(batch);
    EXPECT_EQ(batch->crc(), batch->compute_crc());
    const auto visited = records::visit_records(*batch, kMostBytes, [&](const records::RecordView& record) {
      see(record, *batch);
      return true;
    });
    EXPECT_TRUE(visited.ok());
  }
}

class NativeBroker : public Broker {
 public:
  using Broker::Broker;

  Status make(const host::LogDescriptor& wanted) {
    return wait<Status>(loop, [&] { return storage->create_log(wanted, loop); });
  }
  Status remove(const host::LogDescriptor& wanted) {
    return wait<Status>(loop, [&] { return storage->delete_log(wanted, loop); });
  }
  /// Of one that is there.
  std::shared_ptr<host::Log> opened(const host::LogDescriptor& wanted) {
    auto log = *storage->open(wanted);
    EXPECT_TRUE(acquire(*log, 0));
    return log;
  }
  Result<std::vector<host::LogEntry>> list() {
    return wait<Result<std::vector<host::LogEntry>>>(loop, [&] { return storage->list_logs(loop); });
  }

  /// Sends one batch; what is told of it comes later.
  std::future<host::AppendOutcome> send(host::Log& log, std::string batch) {
    auto promise = std::make_shared<std::promise<host::AppendOutcome>>();
    auto bytes = std::make_shared<std::string>(std::move(batch));
    const auto header = records::parse_batch_header(as_bytes(*bytes));
    host::AppendEntry entry;
    entry.bytes = as_bytes(*bytes);
    entry.owner = bytes;
    entry.last_offset = header->last_offset_delta;
    entry.max_timestamp = header->max_timestamp;
    entry.record_count = static_cast<uint32_t>(header->records_count);
    entry.done = [promise](host::AppendOutcome outcome) { promise->set_value(std::move(outcome)); };
    const Status queued = log.enqueue(std::move(entry), log.position().generation, loop);
    if (queued.ok()) {
      log.send();
    } else {
      promise->set_value({queued});
    }
    return promise->get_future();
  }
  host::AppendOutcome append(host::Log& log, std::string batch) { return send(log, std::move(batch)).get(); }

  ReadAnswer read(host::Log& log, int64_t offset, uint64_t max_bytes = 1 << 20, int64_t limit = INT64_MAX) {
    return wait<ReadAnswer>(loop, [&] { return log.read(offset, limit, max_bytes, loop); });
  }
  /// Everything from `offset` on, in as many reads as it takes; `skipped` grows by what was passed.
  std::vector<Seen> read_all(host::Log& log, int64_t offset, uint64_t max_bytes = 1 << 20,
                             uint64_t* skipped = nullptr) {
    std::vector<Seen> all;
    const auto text = [](const records::OptionalBytes& bytes) { return bytes ? std::string(as_text(*bytes)) : "null"; };
    while (true) {
      const ReadAnswer got = read(log, offset, max_bytes);
      EXPECT_TRUE(got) << got.error().status.describe();
      if (!got || got->next == offset) return all;
      if (skipped != nullptr) *skipped += got->skipped;
      see_records(*got, [&](const records::RecordView& record, const records::BatchView& batch) {
        Seen seen{record.offset(batch), text(record.key), text(record.value)};
        records::HeaderIterator headers = record.headers();
        for (records::HeaderView header; headers.next(header);) {
          seen.headers += fmt::format("{}={};", as_text(header.key), as_text(header.value.value_or(Bytes())));
        }
        all.push_back(std::move(seen));
      });
      offset = got->next;
    }
  }
  Result<host::Bounds> try_bounds(host::Log& log) {
    return wait<Result<host::Bounds>>(loop, [&] { return log.bounds(loop); });
  }
  host::Bounds bounds(host::Log& log) {
    const auto found = try_bounds(log);
    EXPECT_TRUE(found) << found.error().describe();
    return found.value_or(host::Bounds{});
  }
  Status trim(host::Log& log, int64_t offset) {
    return wait<Status>(loop, [&] { return log.trim(offset, loop); });
  }
  Status watch(host::Log& log, int64_t offset) {
    return wait<Status>(loop, [&] { return log.watch(offset, loop); });
  }
};

}  // namespace sluice::test
