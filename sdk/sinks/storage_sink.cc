// SPDX-License-Identifier: Apache-2.0
// A batch of the bus becomes appends of a LogWriter, one after the other where it needs several, so that what is
// settled is always the batch's beginning. What waits runs on a thread of the sink's own.
#include "sluice/storage_sink.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <mutex>
#include <utility>
#include <vector>

#include "base/thread_loop.hpp"
#include "sinks/cold_start.hpp"

namespace sluice {
namespace {

using sinks::ColdStart;

/// What a writer counts for a record and a header beside their bytes, at most.
constexpr uint64_t kRecordBytes = 64;

uint64_t size_of(const Record& record) {
  uint64_t size = kRecordBytes + (record.key ? record.key->size() : 0) + (record.value ? record.value->size() : 0);
  record.headers.each([&](const Header& header) {
    size += 16 + header.name.size() + (header.value ? header.value->size() : 0);
    return true;
  });
  return size;
}

}  // namespace

struct StorageSink::Impl : std::enable_shared_from_this<StorageSink::Impl> {
  /// A batch on its way.
  struct Delivering {
    EventBatch batch;  // what is left of it
    Delivered done;
    Delivery delivery;
  };

  Impl(std::shared_ptr<StorageHost> on, LogWriterSettings given) : host(std::move(on)), settings(std::move(given)) {}

  void open(ColdStart::Waiter waiter);
  void go_on(std::unique_ptr<Delivering> at);
  void end(std::unique_ptr<Delivering> at, Status status);

  const std::shared_ptr<StorageHost> host;
  const LogWriterSettings settings;
  ColdStart start{kMaxWaitingBatches};
  std::shared_ptr<LogWriter> writer;  // set by the opening, before anybody is told
  std::atomic<bool> closed{false};
  std::atomic<uint64_t> opened{0}, delivered{0}, refused{0}, failed{0};
  mutable std::mutex mutex;
  std::string log_id;  // guarded by mutex
  // The last member: its thread uses the others.
  ThreadLoop loop{"sluice-sink"};
};

Result<std::unique_ptr<StorageSink>> StorageSink::make(std::shared_ptr<StorageHost> host, LogWriterSettings settings) {
  if (!host) return fail(StatusCode::invalid, "host: none given");
  if (Status bad = LogWriter::check(settings); !bad.ok()) return fail(std::move(bad));
  return std::unique_ptr<StorageSink>(new StorageSink(std::make_shared<Impl>(std::move(host), std::move(settings))));
}

StorageSink::StorageSink(std::shared_ptr<Impl> impl) : impl_(std::move(impl)) {}

StorageSink::~StorageSink() {
  if (!impl_->closed) sinks::close_and_wait(*this, LogWriter::kCloseMs);
  impl_->loop.stop();
}

SinkTraits StorageSink::traits() const {
  SinkTraits traits;
  // A batch that fails while the one behind it does not would be tried again behind it: one at a time.
  traits.ordered = false;
  traits.max_batch_events = impl_->settings.max_batch_records;
  traits.max_batch_bytes = impl_->settings.max_batch_bytes;
  return traits;
}

void StorageSink::Impl::open(ColdStart::Waiter waiter) {
  start.when_open(std::move(waiter), [this] {
    loop.post([this] {
      if (closed) return start.ended(Status(StatusCode::fenced, "the sink is closed"));
      auto made = LogWriter::open(host, settings);
      ++opened;
      if (made) {
        writer = std::move(*made);
        const std::lock_guard lock(mutex);
        log_id = writer->log_id();
      }
      start.ended(made ? Status() : made.error());
    });
  });
}

void StorageSink::open(Done done) {
  impl_->open([done = std::move(done)](const Status& status) mutable { done(status); });
}

void StorageSink::deliver(EventBatch batch, Delivered done) {
  auto at = std::make_unique<Impl::Delivering>();
  at->batch = batch;
  at->done = std::move(done);
  impl_->open([impl = impl_.get(), at = std::move(at)](const Status& status) mutable {
    status.ok() ? impl->go_on(std::move(at)) : impl->end(std::move(at), status);
  });
}

/// Appends what fits into one batch of the log, and goes on when that is settled.
void StorageSink::Impl::go_on(std::unique_ptr<Delivering> at) {
  thread_local std::vector<Record> records;
  while (at->batch.size() > 0) {
    if (closed) return end(std::move(at), Status(StatusCode::fenced, "the sink is closed"));
    records.clear();
    uint64_t bytes = 0;
    for (size_t i = 0; i < at->batch.size() && records.size() < settings.max_batch_records; ++i) {
      const Record record = at->batch[i];
      const uint64_t size = size_of(record);
      if (!records.empty() && bytes + size > settings.max_batch_bytes) break;
      bytes += size;
      records.push_back(record);
    }
    const auto count = static_cast<uint32_t>(records.size());
    // The callback owns the delivery once the writer has accepted; until then it is here.
    auto held = std::make_shared<std::unique_ptr<Delivering>>(std::move(at));
    const Status accepted = writer->append(records, [this, held, count](const Result<Written>& written) {
      std::unique_ptr<Delivering> mine = std::move(*held);
      if (!written) return end(std::move(mine), written.error());
      delivered += count;
      mine->delivery.settled += count;
      mine->batch = mine->batch.after(count);
      go_on(std::move(mine));
    });
    if (accepted.ok()) return;
    at = std::move(*held);
    if (accepted.code() != StatusCode::too_large || count != 1) return end(std::move(at), accepted);
    // One event that no batch of the log holds.
    ++refused;
    if (at->delivery.refused++ == 0) at->delivery.refusal = accepted;
    ++at->delivery.settled;
    at->batch = at->batch.after(1);
  }
  end(std::move(at), Status());
}

void StorageSink::Impl::end(std::unique_ptr<Delivering> at, Status status) {
  failed += at->batch.size();
  at->delivery.status = std::move(status);
  at->done(std::move(at->delivery));
}

void StorageSink::flush(int64_t timeout_ms, Done done) {
  if (!impl_->start.is_open()) return done(Status());
  impl_->loop.post(
      [writer = impl_->writer, timeout_ms, done = std::move(done)]() mutable { done(writer->flush(timeout_ms)); });
}

void StorageSink::close(int64_t timeout_ms, Done done) {
  impl_->loop.post([impl = impl_.get(), timeout_ms, done = std::move(done)]() mutable {
    impl->closed = true;
    done(impl->writer ? impl->writer->close(timeout_ms) : Status());
  });
}

StorageSinkCounters StorageSink::counters() const {
  return {impl_->opened, impl_->delivered, impl_->refused, impl_->failed};
}

std::string StorageSink::log_id() const {
  const std::lock_guard lock(impl_->mutex);
  return impl_->log_id;
}

}  // namespace sluice
