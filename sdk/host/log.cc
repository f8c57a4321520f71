// SPDX-License-Identifier: Apache-2.0
// What everybody may do with a log: read, look at its bounds, locate, load, watch, and appends to logs that several
// write.
#include "host/log.hpp"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "base/bytes.hpp"
#include "host/batch_walk.hpp"
#include "host/log_impl.hpp"
#include "records/batch.hpp"

namespace sluice::host {
namespace {

constexpr const char* kOverran = "wrote behind the end of its result struct";

struct ReadCall final : AwaitedCall {
  static constexpr CallKind kKind = CallKind::read;
  ReadCall() : AwaitedCall(kKind) {}
  sluice_read request{};
  Guarded<sluice_read_result> result;
  int64_t end_before = INT64_MIN;  // checked mode

  void reset() override {
    request = sluice_read{};
    request.size = sizeof request;
    result.prepare();
  }
  void discard(sluice_status status) override {
    if (status == SLUICE_OK && result.value.release != nullptr) result.value.release(result.value.owner);
  }
  std::string fault(sluice_status status) override {
    if (!result.intact()) return kOverran;
    return read_fault(request, status, result.value, storage().is_native(), end_before);
  }
};

struct BoundsCall final : AwaitedCall {
  static constexpr CallKind kKind = CallKind::bounds;
  BoundsCall() : AwaitedCall(kKind) {}
  Guarded<sluice_bounds> result;
  int64_t end_before = INT64_MIN;

  void reset() override { result.prepare(); }
  std::string fault(sluice_status status) override {
    if (!result.intact()) return kOverran;
    if (status != SLUICE_OK) return {};
    if (result.value.start > result.value.end)
      return fmt::format("start {} above end {}", result.value.start, result.value.end);
    if (result.value.end < end_before)
      return fmt::format("the end {} is below {}, which was shown before", result.value.end, end_before);
    return {};
  }
};

struct LocateCall final : AwaitedCall {
  static constexpr CallKind kKind = CallKind::locate;
  LocateCall() : AwaitedCall(kKind) {}
  Guarded<sluice_locate_result> result;

  void reset() override { result.prepare(); }
  std::string fault(sluice_status status) override {
    if (!result.intact()) return kOverran;
    if (status == SLUICE_OK && result.value.offset > result.value.end) return "located an offset behind the end";
    return {};
  }
};

struct TrimCall final : AwaitedCall {
  static constexpr CallKind kKind = CallKind::trim;
  TrimCall() : AwaitedCall(kKind) {}
};

struct SaveCall final : AwaitedCall {
  static constexpr CallKind kKind = CallKind::save;
  SaveCall() : AwaitedCall(kKind) {}
  std::string name;
  std::string value;
  sluice_save request{};
  void release() override { value = {}; }
};

struct LoadCall final : AwaitedCall {
  static constexpr CallKind kKind = CallKind::load;
  LoadCall() : AwaitedCall(kKind) {}
  std::string name;
  sluice_load request{};
  Guarded<sluice_load_result> result;

  void reset() override { result.prepare(); }
  void discard(sluice_status status) override {
    if (status == SLUICE_OK && result.value.release != nullptr) result.value.release(result.value.owner);
  }
  std::string fault(sluice_status status) override {
    if (!result.intact()) return kOverran;
    if (status == SLUICE_OK && result.value.present != 0 && result.value.value_size > 0 &&
        result.value.value == nullptr) {
      return "said that the value is present and gave none";
    }
    return {};
  }
};

struct WatchCall final : AwaitedCall {
  static constexpr CallKind kKind = CallKind::watch;
  WatchCall() : AwaitedCall(kKind) {}
};

/// An append to a log that several write. A kind of its own in the pool would gain nothing: these are rare and not
/// pooled.
struct AppendAtCall final : AwaitedCall {
  static constexpr CallKind kKind = CallKind::append;
  AppendAtCall() : AwaitedCall(kKind) {}
  std::vector<std::string> bytes;
  std::vector<sluice_batch> batches;
  sluice_append request{};
  Guarded<sluice_append_result> result;
  void release() override { storage().return_bytes(request.bytes); }
  std::string fault(sluice_status status) override {
    if (!result.intact()) return kOverran;
    if (status == SLUICE_OK && result.value.end != batches.back().last_offset + 1)
      return "OK with an end that is not the unit's";
    if (status == SLUICE_CONFLICT && result.value.end == request.at) return "CONFLICT though the end is as asked for";
    return {};
  }
};

/// What a read lent; given back when the last copy of the Lease goes.
struct LeaseOwner {
  LeaseOwner(std::shared_ptr<StorageImpl> s, const sluice_read_result& result, uint64_t b)
      : storage(std::move(s)), owner(result.owner), release(result.release), bytes(static_cast<int64_t>(b)) {
    storage->metrics().bytes_leased.fetch_add(bytes);
  }
  LeaseOwner(const LeaseOwner&) = delete;
  LeaseOwner& operator=(const LeaseOwner&) = delete;
  ~LeaseOwner() {
    if (release != nullptr) release(owner);
    storage->metrics().bytes_leased.fetch_sub(bytes);
  }
  const std::shared_ptr<StorageImpl> storage;  // an adapter is not destroyed while a lease is out
  void* const owner;
  void (*const release)(void*);
  const int64_t bytes;
};

}  // namespace

LogImpl::LogImpl(std::shared_ptr<StorageImpl> storage, LogDescriptor descriptor) : storage_(std::move(storage)) {
  descriptor_.fill(std::move(descriptor));
}

LogImpl::~LogImpl() {
  // Queued, but never sent.
  for (size_t i = queue_head_; i < queue_.size(); ++i) {
    storage_->return_bytes(queue_[i].entry.bytes.size());
    queue_[i].tell({Status(StatusCode::unavailable, "the log was let go of before the batch was sent")});
  }
  if (handle_ != nullptr) storage_->api().close(handle_);
}

void LogImpl::saw_end(int64_t end) {
  if (storage_->checker() == nullptr) return;
  int64_t now = seen_end_.load();
  while (now < end && !seen_end_.compare_exchange_weak(now, end)) {
  }
}

Status LogImpl::open() {
  char text[256] = {};
  sluice_error error{};
  error.size = sizeof error;
  error.text_capacity = sizeof text;
  error.text = text;
  sluice_status status = SLUICE_INTERNAL;
  try {
    status = storage_->api().open(storage_->adapter(), &descriptor_.abi, &handle_, &error);
  } catch (...) {
    return Status(StatusCode::internal,
                  fmt::format("storage {}: the adapter threw an exception out of open", storage_->name()));
  }
  if (status == SLUICE_OK && handle_ != nullptr) return {};
  handle_ = nullptr;
  text[sizeof text - 1] = '\0';
  if (status < 100 || status > 599) status = SLUICE_INTERNAL;
  return Status(static_cast<StatusCode>(status),
                fmt::format("storage {}: log {} cannot be opened: {}", storage_->name(), descriptor_.source.topic,
                            text[0] != '\0' ? text : "no reason given"));
}

Task<tl::expected<ReadResult, ReadError>> LogImpl::read(int64_t offset, int64_t limit, uint64_t max_bytes,
                                                        Executor& on) {
  StorageMetrics& metrics = storage_->metrics();
  if (metrics.bytes_leased.load() >=
      static_cast<int64_t>(std::min<uint64_t>(storage_->options().max_bytes_leased, INT64_MAX))) {
    metrics.refused_busy.fetch_add(1);
    co_return tl::make_unexpected(ReadError{
        Status(StatusCode::busy, fmt::format("the bytes that storage {} may lend are spent", storage_->name()))});
  }
  const std::shared_ptr<StorageImpl> storage = storage_;
  CallRef<ReadCall> call = storage->calls().take<ReadCall>(shared_from_this());
  ReadCall* c = call.get();
  c->request.offset = offset;
  c->request.limit = limit;
  c->request.max_bytes = max_bytes;
  c->end_before = seen_end_.load();
  co_await issue_call(*c, on, storage->call_deadline_ns(),
                      [this, c] { return storage_->api().read(handle_, c->ticket(), &c->request, &c->result.value); });
  Status status = c->conclude();
  if (!status.ok()) {
    metrics.read_errors.fetch_add(1);
    ReadError error{std::move(status)};
    if (!c->abandoned() && error.status.code() == StatusCode::out_of_range) {
      error.start = c->result.value.start;
      error.end = c->result.value.end;
    }
    if (!c->abandoned() && error.status.code() == StatusCode::corrupt) error.next = c->result.value.next;
    co_return tl::make_unexpected(std::move(error));
  }
  const sluice_read_result& from = c->result.value;
  ReadResult result;
  result.next = from.next;
  result.start = from.start;
  result.end = from.end;
  result.skipped = from.skipped;
  result.slices.reserve(from.slice_count);
  for (uint32_t i = 0; i < from.slice_count; ++i) {
    const sluice_slice& slice = from.slices[i];
    result.slices.push_back({slice.data, slice.length, slice.position, slice.fd});
    result.bytes += slice.length;
  }
  if (from.slice_count > 0 || from.release != nullptr) {
    result.lease = Lease(std::make_shared<LeaseOwner>(storage, from, std::max(from.pinned_bytes, result.bytes)));
  }
  metrics.reads.fetch_add(1);
  metrics.read_bytes.fetch_add(result.bytes);
  saw_end(result.end);
  co_return result;
}

Task<Result<Bounds>> LogImpl::bounds(Executor& on) {
  const std::shared_ptr<StorageImpl> storage = storage_;
  CallRef<BoundsCall> call = storage->calls().take<BoundsCall>(shared_from_this());
  BoundsCall* c = call.get();
  c->end_before = seen_end_.load();
  co_await issue_call(*c, on, storage->call_deadline_ns(),
                      [this, c] { return storage_->api().bounds(handle_, c->ticket(), &c->result.value); });
  Status status = c->conclude();
  if (!status.ok()) co_return fail(std::move(status));
  const sluice_bounds& from = c->result.value;
  Bounds result;
  result.start = from.start;
  result.end = from.end;
  result.token = from.token;
  if (from.bytes != SLUICE_UNKNOWN_NUMBER) result.bytes = from.bytes;
  if (from.newest_timestamp != SLUICE_UNKNOWN_NUMBER) result.newest_timestamp = from.newest_timestamp;
  result.largest_unit = from.largest_unit;
  result.capabilities = from.capabilities;
  saw_end(result.end);
  co_return result;
}

Task<Result<int64_t>> LogImpl::locate(int64_t timestamp, Executor& on) {
  CallRef<LocateCall> call = storage_->calls().take<LocateCall>(shared_from_this());
  LocateCall* c = call.get();
  co_await issue_call(*c, on, storage_->call_deadline_ns(), [this, c, timestamp] {
    return storage_->api().locate(handle_, c->ticket(), timestamp, &c->result.value);
  });
  Status status = c->conclude();
  if (!status.ok()) co_return fail(std::move(status));
  co_return c->result.value.offset;
}

Task<Status> LogImpl::watch(int64_t offset, Executor& on) {
  CallRef<WatchCall> call = storage_->calls().take<WatchCall>(shared_from_this());
  WatchCall* c = call.get();
  co_await issue_call(*c, on, storage_->call_deadline_ns(),
                      [this, c, offset] { return storage_->api().watch(handle_, c->ticket(), offset); });
  co_return c->conclude();
}

Task<Status> LogImpl::trim_with(uint64_t token, int64_t offset, Executor& on) {
  CallRef<TrimCall> call = storage_->calls().take<TrimCall>(shared_from_this());
  TrimCall* c = call.get();
  co_await issue_call(*c, on, storage_->call_deadline_ns(),
                      [this, c, token, offset] { return storage_->api().trim(handle_, c->ticket(), token, offset); });
  co_return c->conclude();
}

Task<Status> LogImpl::trim_shared(int64_t offset, Executor& on) {
  return trim_with(0, offset, on);
}

Task<Status> LogImpl::save_with(uint64_t token, const std::string& name, const std::string& value, Executor& on) {
  if (name.empty() || name.size() > SLUICE_LONGEST_NAME) {
    co_return Status(StatusCode::invalid,
                     fmt::format("the name of a saved value has 1 to {} bytes", SLUICE_LONGEST_NAME));
  }
  if (value.size() > SLUICE_LARGEST_VALUE) {
    co_return Status(StatusCode::too_large, fmt::format("a saved value has {} bytes at most, {} were given",
                                                        SLUICE_LARGEST_VALUE, value.size()));
  }
  CallRef<SaveCall> call = storage_->calls().take<SaveCall>(shared_from_this());
  SaveCall* c = call.get();
  c->name = name;
  c->value = value;
  c->request = sluice_save{};
  c->request.size = sizeof c->request;
  c->request.token = token;
  c->request.name = c->name.data();
  c->request.name_size = static_cast<uint32_t>(c->name.size());
  c->request.value = reinterpret_cast<const uint8_t*>(c->value.data());
  c->request.value_size = c->value.size();
  co_await issue_call(*c, on, storage_->call_deadline_ns(),
                      [this, c] { return storage_->api().save(handle_, c->ticket(), &c->request); });
  co_return c->conclude();
}

Task<Result<std::optional<std::string>>> LogImpl::load(std::string name, Executor& on) {
  if (name.empty() || name.size() > SLUICE_LONGEST_NAME) {
    co_return fail(StatusCode::invalid,
                   fmt::format("the name of a saved value has 1 to {} bytes", SLUICE_LONGEST_NAME));
  }
  CallRef<LoadCall> call = storage_->calls().take<LoadCall>(shared_from_this());
  LoadCall* c = call.get();
  c->name = std::move(name);
  c->request = sluice_load{};
  c->request.size = sizeof c->request;
  c->request.name = c->name.data();
  c->request.name_size = static_cast<uint32_t>(c->name.size());
  co_await issue_call(*c, on, storage_->call_deadline_ns(),
                      [this, c] { return storage_->api().load(handle_, c->ticket(), &c->request, &c->result.value); });
  Status status = c->conclude();
  if (!status.ok()) co_return fail(std::move(status));
  const sluice_load_result& from = c->result.value;
  std::optional<std::string> value;
  if (from.present != 0)
    value.emplace(reinterpret_cast<const char*>(from.value), from.value == nullptr ? 0 : from.value_size);
  if (from.release != nullptr) from.release(from.owner);
  co_return value;
}

Task<AppendOutcome> LogImpl::append_at(int64_t at, std::vector<std::string> batches, Executor& on) {
  AppendOutcome outcome;
  if ((descriptor_.source.flags & SLUICE_LOG_SEVERAL_WRITERS) == 0 || batches.empty()) {
    outcome.status =
        Status(StatusCode::invalid, "append_at is for units of at least one batch on logs that several write");
    co_return outcome;
  }
  std::vector<sluice_batch> elements;
  uint64_t bytes = 0;
  for (const std::string& batch : batches) {
    const Result<sluice_batch> element = batch_element({reinterpret_cast<const uint8_t*>(batch.data()), batch.size()});
    if (!element) {
      outcome.status = element.error();
      co_return outcome;
    }
    elements.push_back(*element);
    bytes += batch.size();
  }
  if (bytes > storage_->largest_unit()) {
    outcome.status = Status(StatusCode::too_large, fmt::format("a unit of {} bytes; storage {} takes {} at most", bytes,
                                                               storage_->name(), storage_->largest_unit()));
    co_return outcome;
  }
  if (!storage_->reserve_bytes(bytes)) {
    outcome.status = Status(StatusCode::busy,
                            fmt::format("the bytes that storage {} may have in flight are spent", storage_->name()));
    co_return outcome;
  }
  const std::shared_ptr<StorageImpl> storage = storage_;
  CallRef<AppendAtCall> call = storage->calls().take_unpooled<AppendAtCall>(shared_from_this());
  AppendAtCall* c = call.get();
  c->bytes = std::move(batches);  // strings that are moved together with their vector stay where they are
  c->batches = std::move(elements);
  c->request.size = sizeof c->request;
  c->request.at = at;
  c->request.batches = c->batches.data();
  c->request.batch_count = static_cast<uint32_t>(c->batches.size());
  c->request.bytes = bytes;
  c->result.prepare();
  co_await issue_call(*c, on, storage->call_deadline_ns(), [this, c] {
    return storage_->api().append(handle_, c->ticket(), &c->request, &c->result.value);
  });
  outcome.status = c->conclude();
  if (outcome.status.ok()) {
    outcome.first_offset = c->batches.front().base_offset;
    outcome.last_offset = c->batches.back().last_offset;
    outcome.log_end = outcome.last_offset + 1;
    storage->metrics().appends.fetch_add(1);
    storage->metrics().append_bytes.fetch_add(bytes);
  } else {
    storage->metrics().append_errors.fetch_add(1);
    if (!c->abandoned() && outcome.status.code() == StatusCode::conflict) outcome.log_end = c->result.value.end;
  }
  co_return outcome;
}

Result<std::string> gather(const ReadResult& result) {
  std::string bytes;
  bytes.reserve(result.bytes);
  for (const Slice& slice : result.slices) {
    if (slice.data != nullptr) {
      bytes.append(reinterpret_cast<const char*>(slice.data), slice.length);
      continue;
    }
    const size_t place = bytes.size();
    bytes.resize(place + slice.length);
    uint64_t done = 0;
    while (done < slice.length) {
      const ssize_t got = ::pread(slice.fd, bytes.data() + place + done, slice.length - done,
                                  static_cast<off_t>(slice.position + done));
      if (got < 0 && errno == EINTR) continue;
      if (got < 0)
        return fail(StatusCode::internal, fmt::format("reading a lent range of a file: {}", std::strerror(errno)),
                    errno);
      if (got == 0) return fail(StatusCode::corrupt, "a lent range of a file goes beyond the file's end");
      done += static_cast<uint64_t>(got);
    }
  }
  return bytes;
}

}  // namespace sluice::host
