// SPDX-License-Identifier: Apache-2.0
// Records are gathered in the builder while batches are under way. A batch is sealed when it is full, or when fewer
// than kMaxUnderWay are with the host, and then is in one of three places, which together are in the order of append:
//
//   under_way   handed to the host, which answers in this order
//   returned    answered: not there, and worth another try; once nothing is under way they go before those that are
//   ready ready       sealed, to be handed over
//
// Verdicts are told by one thread at a time, in order and without the lock.
#include "sluice/log_writer.hpp"

#include <fmt/format.h>
#include <sys/random.h>

#include <algorithm>
#include <condition_variable>
#include <deque>
#include <filesystem>
#include <mutex>
#include <optional>
#include <thread>
#include <utility>
#include <vector>

#include "base/uuid.hpp"
#include "host/log.hpp"
#include "records/builder.hpp"
#include "records/codec.hpp"
#include "sources/host_core.hpp"
#include "sources/nonce_file.hpp"
#include "telemetry/attributes.hpp"

namespace sluice {
namespace {

constexpr size_t kMaxUnderWay = 2;  // one in the adapter, one behind it
constexpr int64_t kFirstRetryMs = 10;
constexpr int64_t kLongestRetryMs = 1'000;
constexpr int kMaxAcquireTries = 3;  // when the log's token was ahead of the nonce file
constexpr uint64_t kMostBatchBytes = 64 << 20;
constexpr uint32_t kMostBatchRecords = 1'000'000;
constexpr int64_t kNsPerMs = 1'000'000;
constexpr std::string_view kTelemetrySystem = "sluice.log";
constexpr std::string_view kOperation = "send";

Status wrong(std::string_view field, std::string_view why) {
  return Status(StatusCode::invalid, fmt::format("{}: {}", field, why));
}

Status check_settings(const LogWriterSettings& settings) {
  if (!sources::is_plain_name(settings.log, kMaxLogNameBytes)) {
    return wrong("log", fmt::format("1 to {} letters, digits, dots, underscores, hyphens", kMaxLogNameBytes));
  }
  if (settings.state_directory.empty() || settings.state_directory.front() != '/') {
    return wrong("state_directory", "must be absolute");
  }
  if (!records::codec_by_name(settings.compression)) {
    return wrong("compression", fmt::format("\"{}\" is none of none, gzip, snappy, lz4, zstd", settings.compression));
  }
  if (settings.max_batch_bytes < 1024 || settings.max_batch_bytes > kMostBatchBytes) {
    return wrong("max_batch_bytes", fmt::format("must be from 1024 to {}", kMostBatchBytes));
  }
  if (settings.max_batch_records < 1 || settings.max_batch_records > kMostBatchRecords) {
    return wrong("max_batch_records", fmt::format("must be from 1 to {}", kMostBatchRecords));
  }
  if (settings.max_pending_bytes < settings.max_batch_bytes || settings.max_pending_bytes > INT64_MAX) {
    return wrong("max_pending_bytes", "must be max_batch_bytes at least");
  }
  if (settings.delivery_timeout_ms < 100 || settings.delivery_timeout_ms > 3'600'000) {
    return wrong("delivery_timeout_ms", "must be from 100 to 3600000");
  }
  return {};
}

uint64_t random_word() {
  uint64_t word = 0;
  while (::getrandom(&word, sizeof word, 0) != static_cast<ssize_t>(sizeof word)) {
  }
  return word;
}

/// Down to the whole millisecond.
int64_t floor_ms(int64_t timestamp_ns) {
  if (timestamp_ns == kNoTimestamp) return records::kNoTimestamp;
  const int64_t ms = timestamp_ns / kNsPerMs;
  return timestamp_ns % kNsPerMs < 0 ? ms - 1 : ms;
}

uint64_t size_of(const Record& record) {
  uint64_t size = (record.key ? record.key->size() : 0) + (record.value ? record.value->size() : 0) + 32;
  record.headers.each([&](const Header& header) {
    size += header.name.size() + (header.value ? header.value->size() : 0) + 10;
    return true;
  });
  return size;
}

}  // namespace

struct LogWriter::Impl : std::enable_shared_from_this<LogWriter::Impl> {
  using Lock = std::unique_lock<std::mutex>;
  /// The records of one append, within a batch.
  struct Part {
    int64_t first_delta = 0;
    uint32_t records = 0;
    uint64_t bytes = 0;
    Done done;
  };
  struct Batch {
    std::shared_ptr<Buffer> bytes;
    std::vector<Part> parts;
    uint32_t records = 0;
    int64_t max_timestamp = 0;
    int64_t deadline_ms = 0;
    int64_t begun_ns = 0;  // by the meter's clock: its first record was appended
    bool was_sent = false;
    Status broken;  // could not be sealed
  };
  /// Whom to tell what, once the lock is free.
  struct Verdict {
    std::vector<Part> parts;
    Status status;
    int64_t base = 0;
  };

  Impl(std::shared_ptr<StorageHost::Core> of, LogWriterSettings given, FileLock held)
      : core(std::move(of)), settings(std::move(given)), file_lock(std::move(held)), builder(batch_options()) {}

  records::BatchOptions batch_options() const {
    records::BatchOptions options;
    options.codec = *records::codec_by_name(settings.compression);
    return options;
  }

  Status open();
  void observe();
  Task<Result<host::WritePosition>> acquire(host::LogDescriptor descriptor);
  Status append(std::span<const Record> records, Done done);
  Status add(const Record& record);
  void seal();
  void push_on(Lock& lock);
  bool hand_over();
  bool set_aside(const Status& status);
  void ended(const host::AppendOutcome& outcome);
  void retry_later();
  void settle(Batch batch, const Status& status, int64_t base);
  void settle_all(std::deque<Batch>& batches, const Status& status);
  void tell(Lock& lock);
  Status wait_told(Lock& lock, int64_t deadline_ms);
  Status close(int64_t deadline_ms);

  const std::shared_ptr<StorageHost::Core> core;
  const LogWriterSettings settings;
  std::string id_text;
  host::LogId id{};
  int32_t epoch = 0;
  std::shared_ptr<host::Log> log;

  std::mutex mutex;  // guards all below
  std::condition_variable changed;
  std::optional<FileLock> file_lock;
  bool closed = false;
  Status fatal;        // FENCED: nothing is ever taken again
  Status first_error;  // since the last flush
  records::BatchBuilder builder;
  Batch gathered;  // what is in the builder
  std::deque<Batch> under_way;
  std::deque<Batch> returned;
  std::deque<Batch> ready;
  bool pausing = false;
  int64_t pause_ms = 0;
  std::deque<Verdict> verdicts;
  bool telling = false;
  std::thread::id teller;
  uint64_t told = 0;  // records
  std::vector<records::HeaderView> headers;
  LogWriterCounters counts;

  std::optional<OperationMeter> meter;
  Observing observing;  // last, so that it ends first
};

// ---- Opening

Status LogWriter::check(const LogWriterSettings& settings) {
  return check_settings(settings);
}

Result<std::unique_ptr<LogWriter>> LogWriter::open(const std::shared_ptr<StorageHost>& host,
                                                   LogWriterSettings settings) {
  if (!host) return fail(wrong("host", "none given"));
  if (Status bad = check_settings(settings); !bad.ok()) return fail(std::move(bad));
  StorageHost::Core& core = *host->core();
  if (Status bad = core.may_block("LogWriter::open"); !bad.ok()) return fail(std::move(bad));
  if (!core.storage->started()) {
    return fail(StatusCode::unavailable, fmt::format("storage {} is not started", core.name));
  }
  if (core.storage->condition().kind != SLUICE_KIND_LOG) {
    return fail(StatusCode::invalid, fmt::format("host: storage {} has the engine's own topics, no logs", core.name));
  }
  std::error_code error;
  std::filesystem::create_directories(settings.state_directory, error);
  if (error) return fail(wrong("state_directory", error.message()));
  auto lock = sources::take_lock(sources::lock_path(settings.state_directory, settings.log));
  if (!lock) return fail(lock.error());
  auto impl = std::make_shared<Impl>(host->core(), std::move(settings), std::move(*lock));
  if (Status opened = impl->open(); !opened.ok()) return fail(std::move(opened));
  impl->observe();
  return std::unique_ptr<LogWriter>(new LogWriter(std::move(impl)));
}

void LogWriter::Impl::observe() {
  if (!settings.telemetry) return;
  meter = settings.telemetry->meter(kOperation, kTelemetrySystem, settings.log);
  observing = settings.telemetry->observe([this](Observations& to) {
    const LogWriterCounters now = [&] {
      const std::lock_guard lock(mutex);
      return counts;
    }();
    const Attributes of = telemetry::named(kTelemetrySystem, semconv::kDestinationName, settings.log);
    to.counter(semconv::kSentMessages, now.written, telemetry::with(of, semconv::kOperationName, kOperation));
    to.counter("sluice.log.appended", now.appended, of);
    to.counter("sluice.log.failed", now.failed, of);
    to.counter("sluice.log.refused", now.refused, of);
    to.counter("sluice.log.retries", now.retries, of, "{retry}");
    to.gauge("sluice.log.pending", static_cast<int64_t>(now.pending), of, "{message}");
    to.gauge("sluice.log.held", static_cast<int64_t>(now.pending_bytes), of, "By");
  });
}

Status LogWriter::Impl::open() {
  const auto known = sources::read_nonce(settings.state_directory, settings.log);
  if (!known) return known.error();
  sources::Nonce nonce;
  nonce.log = settings.log;
  nonce.id = *known ? (*known)->id : random_uuid(random_word);
  nonce.epoch = *known ? (*known)->epoch : 0;
  host::LogDescriptor descriptor;
  descriptor.id = nonce.id.bytes;
  descriptor.topic = settings.log;
  for (int i = 0; i < kMaxAcquireTries; ++i) {
    if (nonce.epoch == INT32_MAX) return Status(StatusCode::internal, "the epochs of this log are spent");
    // On disk before it is used: an epoch that a crash leaves behind is one that nobody uses again.
    ++nonce.epoch;
    if (Status saved = sources::write_nonce(settings.state_directory, nonce); !saved.ok()) return saved;
    epoch = nonce.epoch;
    const auto position = core->wait_for<Result<host::WritePosition>>(
        "LogWriter::open", [this, descriptor] { return acquire(descriptor); });
    if (position) {
      id = descriptor.id;
      id_text = nonce.id.to_string();
      return {};
    }
    if (position.error().code() != StatusCode::fenced) return position.error();
    // The nonce file is older than the log: it was restored, perhaps. The log knows better.
    const auto bounds =
        core->wait_for<Result<host::Bounds>>("LogWriter::open", [this] { return log->bounds(core->loop); });
    if (!bounds) return bounds.error();
    nonce.epoch = std::max(nonce.epoch, static_cast<int32_t>(bounds->token >> 32));
  }
  return Status(StatusCode::fenced, fmt::format("somebody else keeps taking the log {}", settings.log));
}

Task<Result<host::WritePosition>> LogWriter::Impl::acquire(host::LogDescriptor descriptor) {
  const Status made = co_await core->storage->create_log(descriptor, core->loop);
  if (!made.ok()) co_return fail(made);
  Result<std::shared_ptr<host::Log>> opened = core->storage->open(std::move(descriptor));
  if (!opened) co_return fail(opened.error());
  log = std::move(*opened);
  co_return co_await log->acquire(epoch, core->loop);
}

// ---- Appending

Status LogWriter::Impl::append(std::span<const Record> records, Done done) {
  if (records.empty()) return Status(StatusCode::invalid, "an append needs a record");
  if (!done) return Status(StatusCode::invalid, "an append needs somebody to be told");
  uint64_t bytes = 0;
  for (const Record& record : records) bytes += size_of(record);
  Lock lock(mutex);
  Status refusal;
  if (!fatal.ok()) {
    refusal = fatal;
  } else if (closed) {
    refusal = Status(StatusCode::fenced, "the writer is closed");
  } else if (bytes > settings.max_batch_bytes || records.size() > settings.max_batch_records) {
    refusal =
        Status(StatusCode::too_large, fmt::format("{} records with {} bytes; one batch takes {} and {}", records.size(),
                                                  bytes, settings.max_batch_records, settings.max_batch_bytes));
  } else if (counts.pending_bytes + bytes > settings.max_pending_bytes) {
    refusal = Status(StatusCode::busy, fmt::format("{} bytes are pending already", counts.pending_bytes));
    refusal.set_retry_after_ms(1);
  } else if (gathered.records + records.size() > settings.max_batch_records ||
             (gathered.records > 0 && builder.uncompressed_size() + bytes > settings.max_batch_bytes)) {
    seal();
  }
  if (!refusal.ok()) {
    counts.refused += records.size();
    return refusal;
  }
  const int64_t first = gathered.records;
  for (const Record& record : records) {
    if (Status added = add(record); !added.ok()) return added;  // 2 GiB in a batch of 64 MiB: cannot be
  }
  const auto count = static_cast<uint32_t>(records.size());
  if (gathered.parts.empty()) {
    gathered.deadline_ms = core->loop.now_ms() + settings.delivery_timeout_ms;
    if (meter) gathered.begun_ns = meter->start();
  }
  gathered.records += count;
  gathered.parts.push_back({first, count, bytes, std::move(done)});
  counts.appended += count;
  counts.pending += count;
  counts.pending_bytes += bytes;
  push_on(lock);
  return {};
}

Status LogWriter::Impl::add(const Record& record) {
  headers.clear();
  record.headers.each([this](const Header& header) {
    headers.push_back({as_bytes(header.name), header.value});
    return true;
  });
  records::NewRecord fresh;
  fresh.timestamp = floor_ms(record.timestamp_ns);
  fresh.key = record.key;
  fresh.value = record.value;
  fresh.headers = headers;
  return builder.add(fresh);
}

/// What was gathered becomes a batch that is ready.
void LogWriter::Impl::seal() {
  Batch batch = std::exchange(gathered, Batch{});
  Result<Buffer> built = builder.build();
  if (built) {
    const auto view = records::BatchView::parse(*built);
    batch.max_timestamp = view ? view->max_timestamp() : records::kNoTimestamp;
    batch.bytes = std::make_shared<Buffer>(std::move(*built));
  } else {
    batch.broken = built.error();
  }
  ready.push_back(std::move(batch));
}

/// Hands over what may be handed over, and tells what is to be told. Gives the lock back meanwhile.
void LogWriter::Impl::push_on(Lock& lock) {
  if (under_way.empty() && !returned.empty()) {
    ready.insert(ready.begin(), std::make_move_iterator(returned.begin()), std::make_move_iterator(returned.end()));
    returned.clear();
    if (fatal.ok() && !pausing) retry_later();
  }
  bool handed = false;
  while (fatal.ok() && returned.empty() && !pausing) {
    if (ready.empty()) {
      if (gathered.parts.empty() || under_way.size() >= kMaxUnderWay) break;
      seal();
    }
    const size_t before = under_way.size();
    if (!hand_over()) break;
    handed |= under_way.size() > before;
  }
  if (!fatal.ok() && under_way.empty()) {
    settle_all(returned, fatal);
    settle_all(ready, fatal);
    if (!gathered.parts.empty()) settle(std::exchange(gathered, Batch{}), fatal, 0);
  }
  if (handed) {
    lock.unlock();
    log->send();
    lock.lock();
  }
  tell(lock);
}

/// The first that is ready, to the host, or back to its callers. False: not now; what has to happen first is under way.
bool LogWriter::Impl::hand_over() {
  Batch& batch = ready.front();
  if (!batch.broken.ok()) return set_aside(batch.broken);
  const host::WritePosition at = log->position();
  // A buffer that was sent before may still be read by an adapter that is overdue.
  if (batch.was_sent) batch.bytes = std::make_shared<Buffer>(Buffer::copy_of(batch.bytes->view()));
  records::stamp_base_offset(batch.bytes->mutable_view(), at.end);
  records::stamp_leader_epoch(batch.bytes->mutable_view(), epoch);
  host::AppendEntry entry;
  entry.bytes = batch.bytes->view();
  entry.owner = batch.bytes;
  entry.base_offset = at.end;
  entry.last_offset = at.end + batch.records - 1;
  entry.max_timestamp = batch.max_timestamp;
  entry.record_count = batch.records;
  entry.sync = settings.sync;
  entry.done = [self = shared_from_this()](const host::AppendOutcome& outcome) { self->ended(outcome); };
  const Status queued = log->enqueue(std::move(entry), at.generation, core->loop);
  if (!queued.ok()) return set_aside(queued);
  counts.retries += batch.was_sent ? 1 : 0;
  batch.was_sent = true;
  under_way.push_back(std::move(batch));
  ready.pop_front();
  return true;
}

/// The host refused the first that is ready. Nothing is decided before those that are under way are answered. True: it
/// is settled, and the next one's turn has come, which nothing else might bring about.
bool LogWriter::Impl::set_aside(const Status& status) {
  if (status.code() == StatusCode::fenced) {
    fatal = status;
  } else if (under_way.empty()) {
    const bool again = status_class(status.code()) == 300 || status.code() == StatusCode::conflict;
    if (again && core->loop.now_ms() < ready.front().deadline_ms) {
      retry_later();
    } else {
      Batch batch = std::move(ready.front());
      ready.pop_front();
      settle(std::move(batch), status, 0);
      return true;
    }
  }
  return false;
}

/// The host answers the first that is under way.
void LogWriter::Impl::ended(const host::AppendOutcome& outcome) {
  Lock lock(mutex);
  if (under_way.empty()) return;  // given up by close()
  const Status& status = outcome.status;
  Batch batch = std::move(under_way.front());
  under_way.pop_front();
  if (status.ok()) {
    pause_ms = 0;
    settle(std::move(batch), Status(), outcome.first_offset);
    lock.unlock();
    core->tell_growth(id);
    lock.lock();
  } else if (status_class(status.code()) == 300 && core->loop.now_ms() < batch.deadline_ms) {
    returned.push_back(std::move(batch));
  } else {
    if (status.code() == StatusCode::fenced) fatal = status;
    settle(std::move(batch), status, 0);
  }
  push_on(lock);
}

void LogWriter::Impl::retry_later() {
  pausing = true;
  pause_ms = std::clamp(2 * pause_ms, kFirstRetryMs, kLongestRetryMs);
  core->loop.post([self = shared_from_this(), ms = pause_ms] {
    self->core->loop.call_after(ms, [self] {
      Lock lock(self->mutex);
      self->pausing = false;
      self->push_on(lock);
    });
  });
}

// ---- Who is told what

void LogWriter::Impl::settle(Batch batch, const Status& status, int64_t base) {
  if (meter) status ? meter->succeed(batch.begun_ns) : meter->fail(batch.begun_ns, status);
  (status.ok() ? counts.written : counts.failed) += batch.records;
  counts.pending -= batch.records;
  for (const Part& part : batch.parts) counts.pending_bytes -= part.bytes;
  if (!status.ok() && first_error.ok()) first_error = status;
  verdicts.push_back({std::move(batch.parts), status, base});
}

void LogWriter::Impl::settle_all(std::deque<Batch>& batches, const Status& status) {
  for (Batch& batch : batches) settle(std::move(batch), status, 0);
  batches.clear();
}

void LogWriter::Impl::tell(Lock& lock) {
  if (telling) return;
  telling = true;
  teller = std::this_thread::get_id();
  while (!verdicts.empty()) {
    Verdict verdict = std::move(verdicts.front());
    verdicts.pop_front();
    lock.unlock();
    uint64_t records = 0;
    for (Part& part : verdict.parts) {
      records += part.records;
      if (verdict.status.ok()) {
        const int64_t first = verdict.base + part.first_delta;
        part.done(Written{first, first + part.records - 1, epoch});
      } else {
        part.done(fail(verdict.status));
      }
    }
    verdict.parts.clear();
    lock.lock();
    told += records;
    changed.notify_all();
  }
  telling = false;
  teller = {};
  changed.notify_all();
}

/// Until everybody has been told whose append was accepted by now.
Status LogWriter::Impl::wait_told(Lock& lock, int64_t deadline_ms) {
  if (teller == std::this_thread::get_id() || !core->may_block("a flush").ok()) {
    return Status(StatusCode::invalid, "a flush waits, and must not be called inside a callback");
  }
  const uint64_t wanted = counts.appended;
  const auto until = std::chrono::steady_clock::now() +
                     std::chrono::milliseconds(std::clamp<int64_t>(deadline_ms, 0, int64_t{1} << 40));
  if (changed.wait_until(lock, until, [&] { return told >= wanted; })) return std::exchange(first_error, Status());
  return Status(StatusCode::unavailable, fmt::format("{} records of the log {} are not settled after {} ms",
                                                     wanted - told, settings.log, deadline_ms));
}

Status LogWriter::Impl::close(int64_t deadline_ms) {
  Lock lock(mutex);
  if (!file_lock) return {};
  closed = true;
  Status status = wait_told(lock, deadline_ms);
  if (status.code() == StatusCode::invalid) return status;
  const Status unwritten =
      fatal.ok() ? Status(StatusCode::unavailable, "the writer was closed before it was sent") : fatal;
  settle_all(under_way, Status(StatusCode::unknown, "the writer was closed before the storage answered"));
  settle_all(returned, unwritten);
  settle_all(ready, unwritten);
  if (!gathered.parts.empty()) settle(std::exchange(gathered, Batch{}), unwritten, 0);
  if (fatal.ok()) fatal = Status(StatusCode::fenced, "the writer is closed");
  tell(lock);
  file_lock.reset();
  return status;
}

// ---- LogWriter

LogWriter::LogWriter(std::shared_ptr<Impl> impl) : impl_(std::move(impl)) {}

LogWriter::~LogWriter() {
  static_cast<void>(impl_->close(kCloseMs));
}

Status LogWriter::append(std::span<const Record> records, Done done) {
  return impl_->append(records, std::move(done));
}

Status LogWriter::flush(int64_t deadline_ms) {
  Impl::Lock lock(impl_->mutex);
  return impl_->wait_told(lock, deadline_ms);
}

Status LogWriter::close(int64_t deadline_ms) {
  return impl_->close(deadline_ms);
}

Status LogWriter::trim(int64_t position) {
  const auto& log = impl_->log;
  return impl_->core->wait_for<Status>("trim",
                                       [log, position, core = impl_->core] { return log->trim(position, core->loop); });
}

LogWriterCounters LogWriter::counters() const {
  const std::lock_guard lock(impl_->mutex);
  return impl_->counts;
}

const std::string& LogWriter::log() const {
  return impl_->settings.log;
}
const std::string& LogWriter::log_id() const {
  return impl_->id_text;
}
int32_t LogWriter::epoch() const {
  return impl_->epoch;
}

}  // namespace sluice
