// SPDX-License-Identifier: Apache-2.0
// An adapter as the broker uses it: its shared object, through the checked host, on a real server. What a writer was
// told of each batch is remembered, and the log is judged by it. For programs that link sluice_host and sluice_support.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstdlib>
#include <functional>
#include <future>
#include <memory>
#include <mutex>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "base/crc32c.hpp"
#include "base/thread_loop.hpp"
#include "host/library.hpp"
#include "host/log.hpp"
#include "host/storage.hpp"
#include "records/batch.hpp"
#include "support/loopback_server.hpp"

namespace sluice::test {

using Clock = std::chrono::steady_clock;

/// Waits on the test's thread for what runs on `loop`.
template <class T>
T wait(Executor& loop, std::function<Task<T>()> make) {
  auto promise = std::make_shared<std::promise<T>>();
  auto future = promise->get_future();
  loop.post([make = std::move(make), promise] {
    start(make(), [promise](T value) { promise->set_value(std::move(value)); });
  });
  return future.get();
}

/// A batch of one offset whose content is its number, so that it is known wherever it turns up.
inline std::shared_ptr<std::string> make_batch(int64_t base, uint64_t number, size_t size) {
  auto bytes = std::make_shared<std::string>(std::max<size_t>(size, records::kBatchHeaderBytes + 8), '\0');
  auto* at = reinterpret_cast<uint8_t*>(bytes->data());
  store_be<int64_t>(at, base);
  store_be<int32_t>(at + records::layout::kBatchLength,
                    static_cast<int32_t>(bytes->size() - records::kLengthPrefixBytes));
  at[records::layout::kMagic] = 2;
  store_be<int64_t>(at + records::layout::kMaxTimestamp, base);
  store_be<int32_t>(at + records::layout::kRecordsCount, 1);
  store_be<uint64_t>(at + records::kBatchHeaderBytes, number);
  store_be<uint32_t>(at + records::layout::kCrc,
                     crc32c({at + records::layout::kAttributes, bytes->size() - records::layout::kAttributes}));
  return bytes;
}

class Broker {
 public:
  /// `adapter` is the library's name without "lib" and ".so".
  Broker(const std::string& adapter, host::OptionInputs inputs, int64_t call_timeout_ms = 10'000) : loop("test") {
    const char* directory = std::getenv("SLUICE_PLUGIN_DIRECTORY");
    auto loaded = host::Library::load(std::string(directory != nullptr ? directory : ".") + "/lib" + adapter + ".so");
    if (!loaded) throw std::runtime_error(loaded.error().describe());
    library = std::move(*loaded);
    host::StorageOptions options;
    options.name = adapter;
    options.data_directory = "/tmp";
    options.inputs = std::move(inputs);
    options.checked = true;
    options.call_timeout_ms = call_timeout_ms;
    options.log = [this](int, const std::string& text) {
      const std::lock_guard lock(mutex);
      lines.push_back(text);
    };
    options.on_breach = [](const host::Breach& breach) {
      if (!breach.warning) ADD_FAILURE() << breach.call << ": " << breach.text;
    };
    auto made = host::Storage::create(library, std::move(options));
    if (!made) throw std::runtime_error(made.error().option + ": " + made.error().text);
    storage = std::move(*made);
  }
  ~Broker() {
    static_cast<void>(storage->stop(10'000));
    storage = nullptr;
  }

  std::shared_ptr<host::Log> open(uint8_t number = 1, uint32_t flags = 0) {
    return *storage->open(descriptor(number, flags));
  }
  std::shared_ptr<host::Log> create(uint8_t number = 1, uint32_t flags = 0) {
    Status status;
    const bool made = eventually([&] {
      status = wait<Status>(loop, [&] { return storage->create_log(descriptor(number, flags), loop); });
      return status.ok();
    });
    EXPECT_TRUE(made) << status.describe();
    return open(number, flags);
  }
  static host::LogDescriptor descriptor(uint8_t number, uint32_t flags = 0) {
    host::LogDescriptor made;
    made.id[15] = number;
    made.topic = "orders";
    made.flags = flags;
    return made;
  }
  Result<host::WritePosition> acquire(host::Log& log, int32_t epoch) {
    return wait<Result<host::WritePosition>>(loop, [&] { return log.acquire(epoch, loop); });
  }
  bool said(const std::string& part) {
    const std::lock_guard lock(mutex);
    return std::any_of(lines.begin(), lines.end(),
                       [&](const std::string& line) { return line.find(part) != std::string::npos; });
  }

  std::shared_ptr<const host::Library> library;
  ThreadLoop loop;
  std::mutex mutex;
  std::vector<std::string> lines;  // guarded by mutex
  std::shared_ptr<host::Storage> storage;
};

/// Writes one log, a batch after the other or several at once, and remembers what it was told.
class Writer {
 public:
  Writer(Broker& broker, std::shared_ptr<host::Log> log, int32_t epoch)
      : broker_(broker), log_(std::move(log)), epoch_(epoch) {}

  struct Told {
    int64_t offset;
    Status status;
  };

  /// Appends `count` batches at once and waits until all are answered. How many were acknowledged.
  size_t append(size_t count, size_t size = 200) {
    send(count, size);
    EXPECT_TRUE(eventually([&] { return answered() == told_size(); }, 60'000)) << "appends are not answered";
    return acknowledged();
  }

  /// ... and does not wait.
  void send(size_t count, size_t size = 200) {
    if (!acquired_ && !acquire()) return;
    for (size_t i = 0; i < count; ++i) {
      const host::WritePosition position = log_->position();
      uint64_t number = 0;
      {
        const std::lock_guard lock(mutex_);
        number = told_.size();
        told_.push_back({position.end, Status(StatusCode::pending)});
      }
      auto bytes = make_batch(position.end, number, size);
      host::AppendEntry entry;
      entry.bytes = {reinterpret_cast<const uint8_t*>(bytes->data()), bytes->size()};
      entry.owner = bytes;
      entry.base_offset = entry.last_offset = position.end;
      entry.max_timestamp = position.end;
      entry.record_count = 1;
      entry.done = [this, number](host::AppendOutcome outcome) { answer(number, outcome.status); };
      const Status queued = log_->enqueue(std::move(entry), position.generation, broker_.loop);
      if (!queued) {
        answer(number, queued);
        acquired_ = false;
      }
    }
    log_->send();
  }

  bool acquire() {
    const auto position = broker_.acquire(*log_, epoch_);
    acquired_ = position.has_value();
    last_ = acquired_ ? Status() : position.error();
    return acquired_;
  }
  const Status& last() const { return last_; }

  size_t told_size() {
    const std::lock_guard lock(mutex_);
    return told_.size();
  }
  size_t answered() {
    const std::lock_guard lock(mutex_);
    return answered_;
  }
  size_t acknowledged() {
    const std::lock_guard lock(mutex_);
    return acknowledged_;
  }
  size_t count(StatusCode code) {
    const std::lock_guard lock(mutex_);
    return static_cast<size_t>(
        std::count_if(told_.begin(), told_.end(), [code](const Told& told) { return told.status.code() == code; }));
  }

  /// Nothing lost, doubled, out of order or invented, and nothing that was refused. Waits for a server that is not back
  /// yet: appends and reads may go by different connections.
  void verify(host::Log& log) {
    std::vector<std::pair<int64_t, uint64_t>> found;
    Result<host::Bounds> bounds = fail(StatusCode::unavailable, "not asked");
    ASSERT_TRUE(eventually([&] {
      bounds = wait<Result<host::Bounds>>(broker_.loop, [&] { return log.bounds(broker_.loop); });
      return bounds || bounds.error().code() != StatusCode::unavailable;
    })) << bounds.error().describe();
    ASSERT_TRUE(bounds) << bounds.error().describe();
    for (int64_t offset = bounds->start; offset < bounds->end;) {
      const auto read = wait<tl::expected<host::ReadResult, host::ReadError>>(
          broker_.loop, [&] { return log.read(offset, INT64_MAX, 1 << 20, broker_.loop); });
      ASSERT_TRUE(read) << read.error().status.describe();
      ASSERT_GT(read->next, offset);
      const std::string bytes = *host::gather(*read);
      Bytes rest = as_bytes(bytes);
      while (!rest.empty()) {
        const auto batch = records::take_batch(rest);
        ASSERT_TRUE(batch);
        ASSERT_EQ(batch->crc(), batch->compute_crc());
        found.emplace_back(batch->base_offset(), load_be<uint64_t>(batch->bytes().data() + records::kBatchHeaderBytes));
      }
      offset = read->next;
    }
    const std::lock_guard lock(mutex_);
    std::vector<int> seen(told_.size());
    for (size_t i = 0; i < found.size(); ++i) {
      const auto [offset, number] = found[i];
      ASSERT_LT(number, told_.size()) << "invented";
      ASSERT_EQ(++seen[number], 1) << "batch " << number << " is there twice";
      ASSERT_EQ(told_[number].offset, offset) << "batch " << number;
      const StatusCode code = told_[number].status.code();
      ASSERT_TRUE(code == StatusCode::ok || code == StatusCode::unknown)
          << "batch " << number << " is there and was refused: " << told_[number].status.describe();
      if (i > 0) {
        ASSERT_LT(found[i - 1].first, offset);
      }
    }
    for (size_t number = 0; number < told_.size(); ++number) {
      if (told_[number].status.ok()) {
        ASSERT_EQ(seen[number], 1) << "batch " << number << " is lost";
      }
    }
  }

 private:
  void answer(uint64_t number, const Status& status) {
    const std::lock_guard lock(mutex_);
    told_[number].status = status;
    ++answered_;
    if (status.ok()) ++acknowledged_;
  }

  Broker& broker_;
  const std::shared_ptr<host::Log> log_;
  const int32_t epoch_;
  bool acquired_ = false;
  Status last_;
  std::mutex mutex_;
  std::vector<Told> told_;   // guarded by mutex_
  size_t answered_ = 0;      // guarded by mutex_
  size_t acknowledged_ = 0;  // guarded by mutex_
};

}  // namespace sluice::test
