// SPDX-License-Identifier: Apache-2.0
#include "partition/native_partition.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <limits>

#include "records/builder.hpp"
#include "records/lookup.hpp"

namespace sluice::partition {
namespace {

constexpr int64_t kLatest = -1;
constexpr int64_t kEarliest = -2;
constexpr int64_t kMaxTimestamp = -3;
constexpr int64_t kEarliestLocal = -4;
constexpr int64_t kLatestTiered = -5;
constexpr int64_t kEarliestPendingUpload = -6;

constexpr uint64_t kMaxNothingBytes = 1 << 20;

ProduceOutcome refusal(ErrorCode error, std::string text) {
  return ProduceOutcome{error, std::move(text), -1, -1, -1};
}

/// Batches without records from `from` to before `to`: what a reader is given where the engine holds no records, so
/// that he goes on behind it. Each passes 2^31 offsets, of which offsets made of times have that many in two seconds;
/// so many come at once, the first whatever its size.
Result<Buffer> nothing_between(int64_t from, int64_t to, uint64_t max_bytes) {
  constexpr int64_t kMostInBatch = int64_t{std::numeric_limits<int32_t>::max()} + 1;
  Buffer batches;
  do {
    records::BatchOptions options;
    options.base_offset = from;
    records::BatchBuilder builder(options);
    const int64_t offsets = std::min(to - from, kMostInBatch);
    builder.set_last_offset_delta(static_cast<int32_t>(offsets - 1));
    auto batch = builder.build();
    if (!batch) return batch;
    batches.append(*batch);
    from += offsets;
  } while (from < to && batches.size() + records::kBatchHeaderBytes <= max_bytes);
  return batches;
}

}  // namespace

NativePartition::NativePartition(PartitionContext& context, cluster::TopicPtr topic, int32_t index)
    : Partition(context, std::move(topic), index) {}

bool NativePartition::loaded() const {
  std::lock_guard lock(mutex_);
  return stage_ == Stage::ready;
}

void NativePartition::update(const cluster::TopicPtr& after) {
  std::lock_guard lock(mutex_);
  if (!after || after->deleting) {
    stage_ = Stage::closed;
    log_.reset();
  } else {
    leader_epoch_ = after->partitions[static_cast<size_t>(index_)].leader_epoch;
    take_settings(*after);
  }
  wake_locked(INT64_MAX);
}

// ---- Opening

Task<Result<std::shared_ptr<host::Log>>> NativePartition::opened(Loop& loop) {
  bool open_now = false;
  {
    std::lock_guard lock(mutex_);
    if (stage_ == Stage::ready) co_return log_;
    if (stage_ == Stage::closed) co_return fail(StatusCode::not_found, "the topic is gone");
    open_now = stage_ == Stage::idle;
    stage_ = Stage::opening;
  }
  Status status = co_await suspend_until<Status>(loop, [&](Resumer<Status> resume) {
    {
      std::lock_guard lock(mutex_);
      if (!open_now && stage_ != Stage::opening) {  // it has ended meanwhile, and told those who waited then
        resume(stage_ == Stage::ready    ? Status()
               : stage_ == Stage::closed ? Status(StatusCode::not_found, "the topic is gone")
                                         : Status(StatusCode::unavailable, "the log could not be opened"));
        return;
      }
      waiting_open_.emplace_back(&loop, [resume](Status s) { resume(std::move(s)); });
    }
    if (open_now) start(open(loop));
  });
  if (!status.ok()) co_return fail(std::move(status));
  std::lock_guard lock(mutex_);
  if (!log_) co_return fail(StatusCode::not_found, "the topic is gone");
  co_return log_;
}

Task<Result<std::shared_ptr<host::Log>>> NativePartition::open_log(Loop& loop) {
  const cluster::TopicPtr topic = context_.cluster.state().topic_in_any_state(topic_->id);
  if (!topic || topic->deleting) co_return fail(StatusCode::not_found, "the topic is gone");
  const cluster::PartitionInfo& info = topic->partitions[static_cast<size_t>(index_)];
  const cluster::Extent& extent = info.extents.back();
  const auto storage = context_.cluster.storages().find(extent.storage);
  if (!storage || !storage->started()) {
    co_return fail(StatusCode::unavailable, fmt::format("storage \"{}\" is not available", extent.storage));
  }
  auto log = storage->open(cluster::Cluster::describe_log(*topic, index_, extent));
  if (!log) co_return fail(log.error());
  const auto position = co_await (*log)->acquire(info.leader_epoch, loop);
  if (!position) co_return fail(position.error());
  const auto bounds = co_await (*log)->bounds(loop);
  if (!bounds) co_return fail(bounds.error());
  learn(bounds->start, bounds->end);
  co_return *log;
}

Task<void> NativePartition::open(Loop& loop) {
  const auto keep = shared_from_this();
  auto log = co_await open_log(loop);
  const Status status = log ? Status() : log.error();
  std::vector<Waiting> waiting;
  std::vector<std::pair<AppendRequest, ProduceOutcome>> answers;
  std::shared_ptr<host::Log> to_send;
  {
    std::lock_guard lock(mutex_);
    if (stage_ != Stage::closed) stage_ = status.ok() ? Stage::ready : Stage::idle;
    if (stage_ == Stage::ready) log_ = *log;
    waiting.swap(waiting_open_);
    std::deque<AppendRequest> appends;
    appends.swap(waiting_appends_);
    bool queued = false;
    for (AppendRequest& request : appends) {
      context_.waiting_bytes.fetch_sub(static_cast<int64_t>(request.batch.size()));
      std::optional<ProduceOutcome> answer;
      if (stage_ == Stage::ready) {
        answer = queue_locked(request, queued);
      } else {
        answer = stage_ == Stage::closed ? refusal(ErrorCode::kUnknownTopicOrPartition, "the topic is gone")
                                         : refusal(to_error_code(status), status.describe());
      }
      if (answer) answers.emplace_back(std::move(request), std::move(*answer));
    }
    if (queued) to_send = log_;
  }
  if (!status.ok()) note(SLUICE_LOG_WARNING, fmt::format("cannot be opened: {}", status.describe()));
  for (auto& [request, answer] : answers) request.done(std::move(answer));
  if (to_send) to_send->send();
  for (auto& [executor, done] : waiting) {
    executor->post([d = std::move(done), s = status]() mutable { d(std::move(s)); });
  }
}

// ---- Appending

void NativePartition::append(AppendRequest request, Loop& loop) {
  std::optional<ProduceOutcome> answer;
  bool open_now = false;
  bool queued = false;
  std::shared_ptr<host::Log> log;
  {
    std::lock_guard lock(mutex_);
    switch (stage_) {
      case Stage::ready:
        answer = queue_locked(request, queued);
        log = log_;
        break;
      case Stage::closed:
        answer = refusal(ErrorCode::kUnknownTopicOrPartition, "the topic is gone");
        break;
      case Stage::idle:
      case Stage::opening:
        if (waiting_appends_.size() >= kMaxWaitingForOpen || !context_.let_wait(request.batch.size())) {
          answer = refusal(ErrorCode::kNotLeaderOrFollower, "too many appends wait for the storage");
          break;
        }
        open_now = stage_ == Stage::idle;
        stage_ = Stage::opening;
        waiting_appends_.push_back(std::move(request));
        break;
    }
  }
  if (open_now) start(open(loop));
  if (answer) request.done(std::move(*answer));
  if (queued) log->send();
}

std::optional<ProduceOutcome> NativePartition::queue_locked(AppendRequest& request, bool& queued) {
  const records::BatchInfo& info = request.info;
  if (info.has_producer_id()) {
    const auto verdict = producers_.check(info);
    switch (verdict.kind) {
      case NativeProducers::Verdict::Kind::fenced:
        return refusal(ErrorCode::kInvalidProducerEpoch, "");
      case NativeProducers::Verdict::Kind::duplicate:
        context_.metrics.duplicates.fetch_add(1, std::memory_order_relaxed);
        return ProduceOutcome{ErrorCode::kNone, "", verdict.base_offset, -1, start_};
      case NativeProducers::Verdict::Kind::pending_duplicate:
        context_.metrics.duplicates.fetch_add(1, std::memory_order_relaxed);
        producers_.wait_for(info, std::move(request.done));
        return std::nullopt;
      case NativeProducers::Verdict::Kind::accept:
        break;
    }
  }
  const auto header = records::parse_batch_header(request.batch);
  if (!header) return refusal(ErrorCode::kCorruptMessage, "malformed batch");
  host::AppendEntry entry;
  entry.bytes = request.batch;
  entry.base_offset = info.base_offset;
  entry.last_offset = info.base_offset + info.last_offset_delta;
  entry.max_timestamp = header->max_timestamp;
  entry.record_count = static_cast<uint32_t>(info.records_count);
  entry.owner = request.keep_alive;
  struct Context {
    std::shared_ptr<NativePartition> self;
    records::BatchInfo info;
    std::shared_ptr<void> keep;
    ProduceDone done;
  };
  // enqueue may refuse, and then destroys the entry: the answer must survive it.
  auto self = std::static_pointer_cast<NativePartition>(shared_from_this());
  auto held = std::make_shared<Context>(Context{std::move(self), info, request.keep_alive, std::move(request.done)});
  entry.done = [held](host::AppendOutcome outcome) {
    held->self->finished(held->info, held->done, std::move(outcome));
  };
  // The engine gives the offsets, so that a failure between these two lines leaves no hole.
  const Status status = log_->enqueue(std::move(entry), log_->position().generation, *request.executor);
  if (!status.ok()) {
    request.done = std::move(held->done);
    context_.metrics.append_errors.fetch_add(1, std::memory_order_relaxed);
    return refusal(to_append_error(status), status.describe());
  }
  if (info.has_producer_id()) producers_.add(info, context_.clock.wall_ms());
  queued = true;
  return std::nullopt;
}

void NativePartition::finished(const records::BatchInfo& info, ProduceDone& done, host::AppendOutcome outcome) {
  ProduceOutcome answer;
  std::vector<ProduceDone> repeats;
  PartitionMetrics& metrics = context_.metrics;
  {
    std::lock_guard lock(mutex_);
    if (outcome.status.ok()) {
      answer.base_offset = outcome.first_offset;
      answer.log_start = start_;
      if (info.has_producer_id()) repeats = producers_.stored(info, outcome.first_offset);
      end_ = std::max(end_, outcome.last_offset + 1);
      wake_locked(static_cast<int64_t>(info.size));
      metrics.batches_appended.fetch_add(1, std::memory_order_relaxed);
      metrics.bytes_appended.fetch_add(info.size, std::memory_order_relaxed);
      metrics.records_appended.fetch_add(static_cast<uint64_t>(info.records_count), std::memory_order_relaxed);
    } else {
      answer.error = to_append_error(outcome.status);
      answer.message = outcome.status.describe();
      if (info.has_producer_id()) repeats = producers_.dropped(info);
      metrics.append_errors.fetch_add(1, std::memory_order_relaxed);
    }
  }
  tell_refusal(outcome.status);
  for (ProduceDone& repeat : repeats) repeat(ProduceOutcome(answer));
  done(std::move(answer));
}

// ---- Reading and waiting

Task<ReadOutcome> NativePartition::read(ReadRequest request, Loop& loop) {
  const auto keep = shared_from_this();
  ReadOutcome outcome;
  const auto log = co_await opened(loop);
  if (!log) {
    outcome.error =
        log.error().code() == StatusCode::not_found ? ErrorCode::kUnknownTopicOrPartition : to_error_code(log.error());
    co_return outcome;
  }
  outcome.error = check_epoch(request.current_leader_epoch);
  if (outcome.error != ErrorCode::kNone) co_return outcome;
  auto read = co_await (*log)->read(request.offset, INT64_MAX, std::max<uint64_t>(request.max_bytes, 1), loop);
  PartitionMetrics& metrics = context_.metrics;
  if (!read) {
    metrics.read_errors.fetch_add(1, std::memory_order_relaxed);
    outcome.error = to_error_code(read.error().status);
    co_return outcome;
  }
  learn(read->start, read->end);
  outcome.high_watermark = outcome.last_stable_offset = read->end;
  outcome.log_start = read->start;
  if (read->skipped > 0) metrics.entries_skipped.fetch_add(read->skipped, std::memory_order_relaxed);
  if (read->bytes == 0 && read->next > request.offset) {
    auto nothing = nothing_between(request.offset, read->next, std::min(request.max_bytes, kMaxNothingBytes));
    if (!nothing) {
      outcome.error = to_error_code(nothing.error());
      co_return outcome;
    }
    const auto bytes = std::make_shared<Buffer>(std::move(*nothing));
    const host::Slice slice{bytes->data(), bytes->size()};
    outcome.slices.push_back(slice);
    outcome.lease = host::Lease(bytes);
    outcome.bytes = bytes->size();
    co_return outcome;
  }
  outcome.slices = std::move(read->slices);
  outcome.lease = std::move(read->lease);
  outcome.bytes = read->bytes;
  metrics.bytes_read.fetch_add(read->bytes, std::memory_order_relaxed);
  co_return outcome;
}

void NativePartition::learn(int64_t start, int64_t end) {
  std::lock_guard lock(mutex_);
  start_ = start;
  if (end == end_) return;
  // Also backwards: what is foreign may have been emptied, or made anew.
  end_ = end;
  wake_locked(INT64_MAX);
}

void NativePartition::wake_locked(int64_t bytes) {
  std::erase_if(waiters_, [&](const auto& waiter) { return waiter->notify(bytes); });
}

bool NativePartition::add_waiter(const std::shared_ptr<FetchWaiter>& waiter, int64_t end_seen) {
  std::lock_guard lock(mutex_);
  if (stage_ != Stage::ready || end_ != end_seen) return false;
  waiters_.push_back(waiter);
  watch_locked(waiter->executor());
  return true;
}

void NativePartition::remove_waiter(const std::shared_ptr<FetchWaiter>& waiter) {
  std::lock_guard lock(mutex_);
  std::erase(waiters_, waiter);
}

void NativePartition::watch_locked(Executor& on) {
  if (watching_) return;
  watching_ = true;
  // Not here: a watch that is answered at once would come back to this lock.
  on.post([self = std::static_pointer_cast<NativePartition>(shared_from_this()), log = log_, end = end_, &on] {
    start(self->watch(log, end, on));
  });
}

/// Those who wait look again when the end has moved. After a failure nobody is woken: they wait for as long as they
/// wanted to, and who waits next tries anew.
Task<void> NativePartition::watch(std::shared_ptr<host::Log> log, int64_t end, Executor& on) {
  const auto keep = shared_from_this();
  const Status status = co_await log->watch(end, on);
  std::lock_guard lock(mutex_);
  watching_ = false;
  if (status.ok()) wake_locked(INT64_MAX);
}

// ---- Offsets

Task<Result<host::Bounds>> NativePartition::bounds(Loop& loop) {
  const auto log = co_await opened(loop);
  if (!log) co_return fail(log.error());
  auto found = co_await (*log)->bounds(loop);
  if (found) learn(found->start, found->end);
  co_return found;
}

Task<uint64_t> NativePartition::native_capabilities(Loop& loop) {
  const auto keep = shared_from_this();
  const auto found = co_await bounds(loop);
  co_return found ? found->capabilities : 0;
}

Task<OffsetAnswer> NativePartition::list_offset(int64_t timestamp, int32_t current_leader_epoch, Loop& loop) {
  const auto keep = shared_from_this();
  OffsetAnswer answer;
  answer.error = check_epoch(current_leader_epoch);
  if (answer.error != ErrorCode::kNone) co_return answer;
  const auto bounds = co_await this->bounds(loop);
  if (!bounds) co_return OffsetAnswer{to_error_code(bounds.error())};
  switch (timestamp) {
    case kLatest:
      answer.offset = bounds->end;
      answer.leader_epoch = leader_epoch();
      break;
    case kEarliest:
    case kEarliestLocal:
      answer.offset = bounds->start;
      answer.leader_epoch = leader_epoch();
      break;
    case kMaxTimestamp:
      if (bounds->start == bounds->end) break;
      if (!bounds->newest_timestamp) co_return OffsetAnswer{ErrorCode::kUnsupportedForMessageFormat};
      co_return co_await find_timestamp(*bounds->newest_timestamp, loop);
    case kLatestTiered:
    case kEarliestPendingUpload:
      break;  // nothing is tiered: -1
    default:
      if (timestamp >= 0) co_return co_await find_timestamp(timestamp, loop);
      answer.error = ErrorCode::kUnsupportedVersion;
  }
  co_return answer;
}

Task<OffsetAnswer> NativePartition::find_timestamp(int64_t timestamp, Loop& loop) {
  const auto log = co_await opened(loop);
  if (!log) co_return OffsetAnswer{to_error_code(log.error())};
  const auto located = co_await (*log)->locate(timestamp, loop);
  if (!located) co_return OffsetAnswer{to_error_code(located.error())};
  int64_t at = *located;
  // The engine's clock of an entry and the record's timestamp may differ: a few batches are looked into.
  for (int i = 0; i < kMaxBatchesLookedAt; ++i) {
    auto read = co_await (*log)->read(at, INT64_MAX, 1, loop);
    if (!read) co_return OffsetAnswer{to_error_code(read.error().status)};
    if (read->next <= at) break;
    auto bytes = host::gather(*read);
    if (!bytes) co_return OffsetAnswer{to_error_code(bytes.error())};
    Bytes rest = as_bytes(*bytes);
    while (!rest.empty()) {
      const auto batch = records::take_batch(rest);
      if (!batch) co_return OffsetAnswer{ErrorCode::kCorruptMessage};
      const auto record = records::find_timestamp(*batch, timestamp, kMaxDecompressedBytes, at);
      if (!record) co_return OffsetAnswer{ErrorCode::kCorruptMessage};
      if (record->has_value()) {
        co_return OffsetAnswer{ErrorCode::kNone, (*record)->offset, (*record)->timestamp, leader_epoch()};
      }
    }
    at = read->next;
  }
  co_return OffsetAnswer{};
}

Task<OffsetAnswer> NativePartition::end_of_epoch(int32_t epoch, int32_t current_leader_epoch, Loop& loop) {
  const auto keep = shared_from_this();
  OffsetAnswer answer;
  answer.error = check_epoch(current_leader_epoch);
  if (answer.error != ErrorCode::kNone || epoch > leader_epoch()) co_return answer;
  const auto bounds = co_await this->bounds(loop);
  if (!bounds) co_return OffsetAnswer{to_error_code(bounds.error())};
  answer.leader_epoch = epoch;
  answer.offset = bounds->end;
  co_return answer;
}

Task<OffsetAnswer> NativePartition::delete_records(int64_t offset, Loop& loop) {
  const auto keep = shared_from_this();
  const auto before = co_await bounds(loop);
  if (!before) co_return OffsetAnswer{to_error_code(before.error())};
  if (offset == -1) offset = before->end;
  if (offset < 0 || offset > before->end) co_return OffsetAnswer{ErrorCode::kOffsetOutOfRange};
  const auto log = co_await opened(loop);
  if (!log) co_return OffsetAnswer{to_error_code(log.error())};
  const Status status = co_await (*log)->trim(offset, loop);
  if (status.code() == StatusCode::unsupported || status.code() == StatusCode::denied) {
    note(SLUICE_LOG_WARNING, fmt::format("records cannot be deleted: {}", status.describe()));
    co_return OffsetAnswer{ErrorCode::kPolicyViolation};
  }
  if (!status.ok()) co_return OffsetAnswer{to_error_code(status)};
  const auto after = co_await bounds(loop);
  if (!after) co_return OffsetAnswer{to_error_code(after.error())};
  OffsetAnswer answer;
  // Trimming is a permission: what the engine still shows before the offset is whole entries, or pages of them.
  answer.offset = after->start;
  co_return answer;
}

// ---- Upkeep

Task<void> NativePartition::maintain(Loop&) {
  std::lock_guard lock(mutex_);
  producers_.expire(context_.clock.wall_ms() - context_.producer_expiration_ms);
  co_return;
}

Task<void> NativePartition::save_state(Loop&) {
  co_return;
}

}  // namespace sluice::partition
