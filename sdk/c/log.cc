// SPDX-License-Identifier: Apache-2.0
#include "c/log.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <mutex>
#include <optional>

#include "c/boundary.hpp"
#include "c/callback.hpp"
#include "c/records.hpp"
#include "c/telemetry.hpp"
#include "sluice/c/log.h"

namespace sluice::c {
namespace {

// Of the first versions.
constexpr size_t kWrittenBytes = sizeof(sluice_written);
constexpr size_t kCountsBytes = sizeof(sluice_log_counts);
constexpr int64_t kMaxWriteMs = 24LL * 3600 * 1000;

/// What writes that wait and the end of their log share; it outlives both.
struct Waiting {
  std::mutex mutex;
  std::condition_variable changed;
  bool released = false;  // guarded by mutex, as are the answers of writes
};

struct LogObject final : Object {
  static constexpr Kind kKind = Kind::log;
  LogObject(std::shared_ptr<StorageHost> storage, std::unique_ptr<LogWriter> opened)
      : Object(kKind, Ends::not_in_callback), host(std::move(storage)), writer(std::move(opened)) {}
  void released() override {
    const std::scoped_lock lock(waiting->mutex);
    waiting->released = true;
    waiting->changed.notify_all();
  }
  const std::shared_ptr<Waiting> waiting = std::make_shared<Waiting>();
  const std::shared_ptr<StorageHost> host;  // stops when the last who has it lets it go
  const std::unique_ptr<LogWriter> writer;
};

/// How many answers of logs this thread is inside.
int& answers_under_way() {
  thread_local int value = 0;
  return value;
}

sluice_written written_of(const Written& from) {
  return {sizeof(sluice_written), from.epoch, from.first, from.last};
}

/// An answer to C.
class Told {
 public:
  Told(sluice_log_done done, void* context) : done_(done), context_(context) {}
  void operator()(const Result<Written>& result) const {
    if (done_ == nullptr) return;
    const InCallback inside;
    ++answers_under_way();
    if (result) {
      const sluice_written written = written_of(*result);
      done_(context_, &written, nullptr);
    } else {
      sluice_failure failure{};
      failure.size = sizeof failure;
      tell(&failure, result.error());
      done_(context_, nullptr, &failure);
    }
    --answers_under_way();
  }

 private:
  const sluice_log_done done_;
  void* const context_;
};

Status write(LogObject& object, const std::vector<Record>& records, int64_t timeout_ms, Written& written) {
  using Answer = std::optional<Result<Written>>;
  if (answers_under_way() > 0) {
    return Status(StatusCode::invalid, "a write waits, and must not be called inside an answer of a log");
  }
  if (timeout_ms < 0 || timeout_ms > kMaxWriteMs) {
    return Status(StatusCode::invalid, fmt::format("timeout_ms is {}, not from 0 to {}", timeout_ms, kMaxWriteMs));
  }
  const auto answer = std::make_shared<Answer>();
  const std::shared_ptr<Waiting>& waiting = object.waiting;
  const Status accepted = object.writer->append(records, [waiting, answer](Result<Written> result) {
    const std::scoped_lock lock(waiting->mutex);
    answer->emplace(std::move(result));
    waiting->changed.notify_all();
  });
  if (!accepted.ok()) return accepted;
  std::unique_lock lock(waiting->mutex);
  waiting->changed.wait_for(lock, std::chrono::milliseconds(timeout_ms),
                            [&] { return answer->has_value() || waiting->released; });
  if (!answer->has_value()) {
    return Status(StatusCode::unknown, waiting->released
                                           ? "the log was released before the storage answered"
                                           : fmt::format("the storage has not answered after {} ms", timeout_ms));
  }
  if (!**answer) return (*answer)->error();
  written = ***answer;
  return {};
}

Result<std::unique_ptr<LogObject>> open_log(std::string_view text) {
  ConfigReader config = ConfigReader::parse(text);
  const LogPlan plan = read_log(config);
  config.finish();
  if (Status verdict = config.verdict(); !verdict.ok()) return fail(std::move(verdict));
  if (Status bad = plan.storage.check(); !bad.ok()) return fail(std::move(bad));
  auto host = plan.storage.open();
  if (!host) return fail(host.error().in("storage"));
  auto opened = LogWriter::open(*host, plan.writer);
  if (!opened) return fail(std::move(opened.error()));
  return std::make_unique<LogObject>(std::move(*host), std::move(*opened));
}

}  // namespace

LogPlan read_log(ConfigReader& config) {
  LogPlan plan;
  ConfigReader storage = config.object("storage");
  plan.storage = read_storage(storage);
  LogWriterSettings& writer = plan.writer;
  writer.log = config.required_text("log");
  writer.state_directory = config.required_text("state_directory");
  writer.sync = config.boolean("sync", writer.sync);
  writer.compression = config.text("compression", writer.compression);
  writer.max_batch_bytes = config.natural("max_batch_bytes", writer.max_batch_bytes, uint64_t{1});
  writer.max_batch_records = config.natural("max_batch_records", writer.max_batch_records, 1U);
  writer.max_pending_bytes = config.natural("max_pending_bytes", writer.max_pending_bytes, uint64_t{1});
  writer.delivery_timeout_ms = config.integer("delivery_timeout_ms", writer.delivery_timeout_ms, 1);
  writer.telemetry = read_telemetry(config);
  config.judge(LogWriter::check(writer));
  return plan;
}

}  // namespace sluice::c

using namespace sluice;     // NOLINT: the functions below are of C
using namespace sluice::c;  // NOLINT

extern "C" {

sluice_status sluice_log_open(const char* config, uint64_t config_size, sluice_handle* log, sluice_failure* failure) {
  return open_by({config, config_size, "config"}, log, "log", failure, &open_log);
}

sluice_status sluice_log_append(sluice_handle log, const sluice_record* records, uint64_t count, sluice_log_done done,
                                void* context, sluice_failure* failure) {
  return on<LogObject>(log, failure, [&](LogObject& object) -> Verdict {
    RecordList list;
    if (Verdict verdict = records_of(records, count, list); !verdict.status.ok()) return verdict;
    return object.writer->append(list.records, Told(done, context));
  });
}

sluice_status sluice_log_write(sluice_handle log, const sluice_record* records, uint64_t count, int64_t timeout_ms,
                               sluice_written* written, sluice_failure* failure) {
  return on<LogObject>(log, failure, [&](LogObject& object) -> Verdict {
    if (written != nullptr) {
      if (Status status = check_struct(written, kWrittenBytes, "written"); !status.ok()) return status;
    }
    RecordList list;
    if (Verdict verdict = records_of(records, count, list); !verdict.status.ok()) return verdict;
    Written landed;
    if (Status status = write(object, list.records, timeout_ms, landed); !status.ok()) return status;
    if (written != nullptr) {
      written->epoch = landed.epoch;
      written->first = landed.first;
      written->last = landed.last;
    }
    return {};
  });
}

sluice_status sluice_log_flush(sluice_handle log, int64_t deadline_ms, sluice_failure* failure) {
  return on<LogObject>(log, failure, [&](LogObject& object) -> Verdict { return object.writer->flush(deadline_ms); });
}

sluice_status sluice_log_close(sluice_handle log, int64_t deadline_ms, sluice_failure* failure) {
  return on<LogObject>(log, failure, [&](LogObject& object) -> Verdict { return object.writer->close(deadline_ms); });
}

sluice_status sluice_log_trim(sluice_handle log, int64_t position, sluice_failure* failure) {
  return on<LogObject>(log, failure, [&](LogObject& object) -> Verdict { return object.writer->trim(position); });
}

sluice_status sluice_log_stats(sluice_handle log, sluice_log_counts* counts, sluice_failure* failure) {
  return on<LogObject>(log, failure, [&](LogObject& object) -> Verdict {
    if (Status status = check_struct(counts, kCountsBytes, "counts"); !status.ok()) return status;
    const LogWriterCounters counters = object.writer->counters();
    counts->epoch = object.writer->epoch();
    counts->appended = counters.appended;
    counts->written = counters.written;
    counts->failed = counters.failed;
    counts->pending = counters.pending;
    counts->refused = counters.refused;
    counts->retries = counters.retries;
    counts->pending_bytes = counters.pending_bytes;
    return {};
  });
}

sluice_status sluice_log_id(sluice_handle log, char* buffer, uint64_t capacity, uint64_t* needed,
                            sluice_failure* failure) {
  return on<LogObject>(log, failure, [&](LogObject& object) -> Verdict {
    return write_text(object.writer->log_id(), buffer, capacity, needed);
  });
}

}  // extern "C"
