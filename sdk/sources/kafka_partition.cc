// SPDX-License-Identifier: Apache-2.0
#include "sources/kafka_partition.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <span>
#include <utility>

#include "base/thread.hpp"
#include "rdkafka/errors.hpp"
#include "sources/chunk.hpp"
#include "sources/read_request.hpp"

namespace sluice::sources {
namespace {

constexpr size_t kTakenAtOnce = 512;
/// How often a read that waits without knowing whether there is anything looks at what the connections say.
constexpr int64_t kLookMs = 100;
/// How long librdkafka may say nothing until the cluster is asked why.
constexpr int64_t kAskWhyMs = 1'000;

/// Of the first record at or after a time, or at an end of the partition; below 0: there is none. By the only one of
/// librdkafka's questions that keeps its deadline while the leader is away.
Result<int64_t> ask_offset(const KafkaReader& reader, const std::string& topic, int32_t partition, int64_t time,
                           int64_t timeout_ms) {
  const kafka::PartitionsHandle list(rd_kafka_topic_partition_list_new(1));
  rd_kafka_topic_partition_t* asked = rd_kafka_topic_partition_list_add(list.get(), topic.c_str(), partition);
  asked->offset = time;
  rd_kafka_resp_err_t error = rd_kafka_offsets_for_times(reader.get(), list.get(), static_cast<int>(timeout_ms));
  if (error == RD_KAFKA_RESP_ERR_NO_ERROR) error = asked->err;
  if (error != RD_KAFKA_RESP_ERR_NO_ERROR) return fail(kafka::status_of(error));
  return asked->offset;
}

Result<SourceBounds> ask_marks(const KafkaReader& reader, const std::string& topic, int32_t partition,
                               int64_t timeout_ms) {
  const Result<int64_t> start = ask_offset(reader, topic, partition, RD_KAFKA_OFFSET_BEGINNING, timeout_ms);
  if (!start) return fail(start.error());
  const Result<int64_t> end = ask_offset(reader, topic, partition, RD_KAFKA_OFFSET_END, timeout_ms);
  if (!end) return fail(end.error());
  if (*start < 0 || *end < 0) return fail(StatusCode::unavailable, fmt::format("no offsets of {}", topic));
  return SourceBounds{*start, *end};
}

bool is_undecodable(const rd_kafka_message_t& message) {
  return kafka::code_of(message.err) == StatusCode::corrupt || message.err == RD_KAFKA_RESP_ERR_INVALID_MSG ||
         message.err == RD_KAFKA_RESP_ERR__NOT_IMPLEMENTED;
}

std::optional<Bytes> bytes_of(const void* data, size_t size) {
  if (data == nullptr) return std::nullopt;
  return Bytes(static_cast<const uint8_t*>(data), size);
}

/// What a page's records refer to.
struct PageMemory {
  explicit PageMemory(std::shared_ptr<KafkaReader> of) : reader(std::move(of)) {}
  PageMemory(const PageMemory&) = delete;
  PageMemory& operator=(const PageMemory&) = delete;
  ~PageMemory() {
    for (rd_kafka_message_t* message : messages) rd_kafka_message_destroy(message);
  }
  const std::shared_ptr<KafkaReader> reader;
  std::vector<rd_kafka_message_t*> messages;
  std::vector<Header> headers;
};

/// Headers of one record, as a stretch of PageMemory::headers.
struct HeaderRange {
  size_t record = 0;
  size_t first = 0;
  size_t count = 0;
};

/// False: they cannot be decoded.
bool take_headers(const rd_kafka_message_t& message, std::vector<Header>& headers) {
  rd_kafka_headers_t* list = nullptr;
  const rd_kafka_resp_err_t error = rd_kafka_message_headers(&message, &list);
  if (error == RD_KAFKA_RESP_ERR__NOENT) return true;
  if (error != RD_KAFKA_RESP_ERR_NO_ERROR) return false;
  const char* name = nullptr;
  const void* value = nullptr;
  size_t size = 0;
  for (size_t i = 0; rd_kafka_header_get_all(list, i, &name, &value, &size) == RD_KAFKA_RESP_ERR_NO_ERROR; ++i) {
    headers.push_back({name, bytes_of(value, size)});
  }
  return true;
}

}  // namespace

// ---- Threads

std::shared_ptr<KafkaThreads> KafkaThreads::make() {
  return {new KafkaThreads, [](KafkaThreads* threads) {
            if (threads->is_current()) {
              start_thread("sluice-release", [threads] { delete threads; }).detach();
            } else {
              delete threads;
            }
          }};
}

KafkaThreads::KafkaThreads() {
  for (auto& loop : asking_) loop = std::make_unique<ThreadLoop>("sluice-kafka-as");
}

bool KafkaThreads::is_current() const {
  return loop_.is_current() || probing_.is_current() ||
         std::any_of(asking_.begin(), asking_.end(), [](const auto& each) { return each->is_current(); });
}

// ---- Questions

KafkaPartition::KafkaPartition(std::shared_ptr<KafkaThreads> threads, std::shared_ptr<KafkaReader> reader,
                               const KafkaClusterSettings& settings, std::string topic, int32_t partition)
    : threads_(std::move(threads)),
      reader_(std::move(reader)),
      topic_(std::move(topic)),
      partition_(partition),
      request_timeout_ms_(settings.request_timeout_ms),
      queue_bytes_(settings.read_ahead_bytes),
      settled_(reader_->trouble().settled()) {}

KafkaPartition::~KafkaPartition() {
  stop_fetching();
  drop_stash();
}

void KafkaPartition::bounds(Source::BoundsCallback done) {
  threads_->asking().post([self = shared_from_this(), done = std::move(done)]() mutable {
    Result<SourceBounds> marks = ask_marks(*self->reader_, self->topic_, self->partition_, self->request_timeout_ms_);
    if (!marks) marks = fail(self->why_silent(marks.error()));
    done(std::move(marks));
  });
}

void KafkaPartition::locate(int64_t timestamp_ns, Source::PositionCallback done) {
  const int64_t timestamp_ms = std::max<int64_t>(ceil_ms(timestamp_ns), 0);
  threads_->asking().post([self = shared_from_this(), timestamp_ms, done = std::move(done)]() mutable {
    done(self->find_time(timestamp_ms));
  });
}

/// The end is asked first: what comes in between lies behind it.
Result<int64_t> KafkaPartition::find_time(int64_t timestamp_ms) {
  const Result<SourceBounds> marks = ask_marks(*reader_, topic_, partition_, request_timeout_ms_);
  if (!marks) return fail(why_silent(marks.error()));
  const Result<int64_t> found = ask_offset(*reader_, topic_, partition_, timestamp_ms, request_timeout_ms_);
  if (!found) return fail(why_silent(found.error()));
  return *found >= 0 ? *found : marks->end;
}

/// What the connections said is why nobody answered.
Status KafkaPartition::why_silent(Status status) const {
  reader_->listen();
  const Status trouble = reader_->trouble().last(settled_);
  if (status.code() != StatusCode::unavailable || trouble.ok()) return status;
  return trouble;
}

// ---- Reading

void KafkaPartition::read(const PageRequest& request, Source::PageCallback done) {
  if (Status bad = check(request); !bad.ok()) return done(fail(std::move(bad)));
  Lock lock(mutex_);
  if (pending_ || closed_) {
    const bool closed = closed_;
    lock.unlock();
    return done(fail(not_now(closed)));
  }
  const int64_t now = threads_->loop().now_ms();
  const int64_t deadline = wait_until(request, now);
  pending_.emplace(request, std::move(done), deadline, now + request_timeout_ms_, now + kAskWhyMs);
  serve(lock);
}

/// With the lock, which it gives back for the callback.
void KafkaPartition::answer(Lock& lock, Result<Page> page) {
  waiting_ = false;
  Pending pending = std::move(*pending_);
  pending_.reset();
  lock.unlock();
  pending.done(std::move(page));
  lock.lock();
}

void KafkaPartition::serve(Lock& lock) {
  while (pending_ && !asking_) {
    const int64_t from = pending_->request.from;
    if (!stands_at(from)) {
      if (!threads_->loop().is_current()) {
        // Ending a fetch waits for a moment.
        threads_->loop().post([self = shared_from_this()] { self->look(); });
        return;
      }
      if (Status started = fetch_from(from); !started.ok()) {
        answer(lock, fail(std::move(started)));
        continue;
      }
    }
    waiting_ = true;  // before looking, so that nothing comes unnoticed in between
    const uint64_t before = reader_->trouble().count();
    take();
    if (has_page()) {
      flowed_ = before;
      silent_ = Status();
      Page page = make_page(pending_->request);
      answer(lock, std::move(page));
      continue;
    }
    reader_->listen();
    if (Status mine = reader_->trouble().take(topic_, partition_); !mine.ok()) broken_ = std::move(mine);
    if (!broken_.ok()) {
      explain(lock, std::exchange(broken_, Status()));
      continue;
    }
    const int64_t now = threads_->loop().now_ms();
    const uint64_t heard = reader_->trouble().count();
    const Status trouble = reader_->trouble().last(settled_);
    if (trouble.code() == StatusCode::denied && reader_->trouble().claim_refusal(flowed_)) {
      settle(heard);  // the next read may find it mended
      answer(lock, fail(trouble));
      continue;
    }
    if (at_end_) {
      if (!silent_.ok()) {
        answer(lock, fail(std::exchange(silent_, Status())));
        continue;
      }
      if (!trouble.ok()) probe();
      if (pending_->deadline_ms > now) return look_later(pending_->deadline_ms);
      Page page;
      page.next = from;
      page.end = end_behind(from);
      answer(lock, std::move(page));
      continue;
    }
    if (pending_->patience_ms <= now) {
      answer(lock, fail(trouble.ok()
                            ? Status(StatusCode::unavailable, fmt::format("the cluster gave nothing of {}/{} in {} ms",
                                                                          topic_, partition_, request_timeout_ms_))
                            : Status(StatusCode::unavailable, trouble.text(), trouble.native_code())));
    } else {
      if (pending_->ask_why_ms <= now) ask_why();
      return look_later(std::min(pending_->patience_ms, now + kLookMs));
    }
  }
}

/// Whether what comes next is what is wanted; moves forward within what is there.
bool KafkaPartition::stands_at(int64_t from) {
  if (!fetching_ || from < position_) return false;
  if (from == position_) return true;
  if (stash_.empty() || stash_.back()->offset < from) return false;
  while (stash_.front()->offset < from) drop_first();
  position_ = from;
  return true;
}

void KafkaPartition::drop_first() {
  stash_bytes_ -= stash_.front()->len + stash_.front()->key_len;
  rd_kafka_message_destroy(stash_.front());
  stash_.pop_front();
}

/// Takes from the queue what the pending read can use.
void KafkaPartition::take() {
  rd_kafka_message_t* taken[kTakenAtOnce];
  const PageRequest& request = pending_->request;
  while (stash_.size() < request.max_records && stash_bytes_ < request.max_bytes) {
    const size_t most = std::min<size_t>(kTakenAtOnce, request.max_records - stash_.size());
    const ssize_t count = rd_kafka_consume_batch_queue(queue_.get(), 0, taken, most);
    for (ssize_t i = 0; i < count; ++i) sort_out(taken[i]);
    if (count >= static_cast<ssize_t>(most)) continue;
    if (backlog_bytes_ >= queue_bytes_ - queue_bytes_ / 8) spur();
    backlog_bytes_ = 0;
    break;
  }
}

void KafkaPartition::sort_out(rd_kafka_message_t* message) {
  if (message->err == RD_KAFKA_RESP_ERR_NO_ERROR || is_undecodable(*message)) {
    const uint64_t bytes = message->len + message->key_len;
    stash_bytes_ += bytes;
    backlog_bytes_ += bytes;
    at_end_ = false;
    fetched_ = message->offset + 1;
    stash_.push_back(message);
    return;
  }
  if (message->err == RD_KAFKA_RESP_ERR__PARTITION_EOF) {
    at_end_ = true;
    eof_ = message->offset;
  } else {
    Status status = kafka::status_of(message->err, rd_kafka_message_errstr(message));
    switch (status.code()) {
      case StatusCode::out_of_range:
      case StatusCode::not_found:
      case StatusCode::denied:
      case StatusCode::unsupported:
        broken_ = std::move(status);
        break;
      default:  // librdkafka tries again by itself
        reader_->trouble().heard(message->err, rd_kafka_message_errstr(message));
    }
  }
  rd_kafka_message_destroy(message);
}

/// The queue was full, and librdkafka may be asleep: it looks again at once.
void KafkaPartition::spur() {
  if (at_end_ || stash_.empty() || stash_.back()->err != RD_KAFKA_RESP_ERR_NO_ERROR) return;
  constexpr int kWithoutWaiting = 0;
  // A refusal leaves all as it is.
  static_cast<void>(rd_kafka_seek(handle_, partition_, fetched_, kWithoutWaiting));
}

Page KafkaPartition::make_page(const PageRequest& request) {
  Page page;
  auto memory = std::make_shared<PageMemory>(reader_);
  const size_t most = std::min<size_t>(stash_.size(), request.max_records);
  page.records.reserve(most);
  memory->messages.reserve(most);
  std::vector<HeaderRange> ranges;
  uint64_t bytes = 0;
  page.next = position_;
  while (!stash_.empty() && page.records.size() < request.max_records) {
    rd_kafka_message_t* message = stash_.front();
    if (message->err != RD_KAFKA_RESP_ERR_NO_ERROR) {
      // A batch that librdkafka cannot decode is reported at its base, and fetched again for ever: it is passed record
      // by record, since nobody knows where it ends.
      if (!page.records.empty()) break;
      page.next = std::max(message->offset, page.next) + 1;
      ++page.corrupt;
      fetching_ = false;
      break;
    }
    if (message->offset < page.next) {
      drop_first();
      continue;
    }
    const uint64_t size = message->len + message->key_len;
    const size_t first_header = memory->headers.size();
    if (!take_headers(*message, memory->headers)) {
      ++page.corrupt;
      page.next = message->offset + 1;
      drop_first();
      continue;
    }
    const uint64_t record_bytes = size + Headers(std::span(memory->headers).subspan(first_header)).bytes();
    if (!page.records.empty() && bytes + record_bytes > request.max_bytes) {
      memory->headers.resize(first_header);
      break;
    }
    if (memory->headers.size() > first_header) {
      ranges.push_back({page.records.size(), first_header, memory->headers.size() - first_header});
    }
    Record& record = page.records.emplace_back();
    record.position = message->offset;
    record.timestamp_ns = timestamp_ns_of(rd_kafka_message_timestamp(message, nullptr));
    record.partition = partition_;
    record.key = bytes_of(message->key, message->key_len);
    record.value = bytes_of(message->payload, message->len);
    bytes += record_bytes;
    stash_bytes_ -= size;
    page.next = message->offset + 1;
    memory->messages.push_back(message);
    stash_.pop_front();
  }
  // Now that they do not move any more.
  for (const HeaderRange& range : ranges) {
    page.records[range.record].headers = Headers({memory->headers.data() + range.first, range.count});
  }
  // Nothing but control records, and aborted ones, up to the end.
  if (stash_.empty() && at_end_ && fetching_) page.next = std::max(page.next, eof_);
  position_ = page.next;
  page.end = end_behind(page.next);
  page.lease = std::move(memory);
  return page;
}

/// The partition's end as a page up to `next` may tell it: a smaller one where there is more; -1: not known.
int64_t KafkaPartition::end_behind(int64_t next) const {
  if (!fetching_ || next != position_) return -1;
  if (!stash_.empty()) return fetched_;
  return at_end_ ? std::max(eof_, next) : -1;
}

// ---- Where librdkafka stands

/// On the loop. From now on librdkafka fetches from there; what it had is gone.
Status KafkaPartition::fetch_from(int64_t from) {
  stop_fetching();
  drop_stash();
  if (handle_ == nullptr) {
    const auto handle = reader_->topic(topic_);
    if (!handle) return handle.error();
    handle_ = *handle;
  }
  position_ = fetched_ = from;
  at_end_ = false;
  broken_ = Status();
  queue_.reset(rd_kafka_queue_new(reader_->get()));
  rd_kafka_queue_cb_event_enable(
      queue_.get(),
      +[](rd_kafka_t*, void* opaque) {
        auto* self = static_cast<KafkaPartition*>(opaque);
        if (!self->waiting_.exchange(false)) return;
        self->threads_->loop().post([weak = self->weak_from_this()] {
          if (const auto alive = weak.lock()) alive->look();
        });
      },
      this);
  if (rd_kafka_consume_start_queue(handle_, partition_, from, queue_.get()) != 0) {
    Status status = kafka::status_of(rd_kafka_last_error());
    stop_fetching();
    return status;
  }
  fetching_ = true;
  return {};
}

void KafkaPartition::stop_fetching() {
  fetching_ = false;
  if (!queue_) return;
  rd_kafka_queue_cb_event_enable(queue_.get(), nullptr, nullptr);
  rd_kafka_consume_stop(handle_, partition_);
  queue_.reset();
}

void KafkaPartition::drop_stash() {
  for (rd_kafka_message_t* message : stash_) rd_kafka_message_destroy(message);
  stash_.clear();
  stash_bytes_ = backlog_bytes_ = 0;
}

/// Fetching ended. What is out of range is told with what there is.
void KafkaPartition::explain(Lock& lock, Status status) {
  fetching_ = false;
  if (status.code() != StatusCode::out_of_range) return answer(lock, fail(std::move(status)));
  asking_ = true;
  threads_->asking().post([self = shared_from_this(), from = pending_->request.from] {
    const Result<SourceBounds> marks =
        ask_marks(*self->reader_, self->topic_, self->partition_, self->request_timeout_ms_);
    Lock again(self->mutex_);
    self->asking_ = false;
    if (!self->pending_) return;
    if (self->pending_->request.from != from) return self->serve(again);
    Status told;
    if (!marks) {
      told = self->why_silent(marks.error());
    } else if (from >= marks->start && from <= marks->end) {
      told = Status(StatusCode::unavailable,
                    fmt::format("{}/{} was out of reach at {} for a moment", self->topic_, self->partition_, from));
    } else {
      told = Status(StatusCode::out_of_range, fmt::format("position {} of {}/{}, which has {} to {}", from,
                                                          self->topic_, self->partition_, marks->start, marks->end));
    }
    self->answer(again, fail(std::move(told)));
    self->serve(again);
  });
}

/// Of a topic that it may not see librdkafka says nothing at all. With the lock.
void KafkaPartition::ask_why() {
  pending_->ask_why_ms = INT64_MAX;
  threads_->asking().post([self = shared_from_this()] {
    const auto count = self->reader_->count_partitions(self->topic_, self->request_timeout_ms_);
    if (count || count.error().code() != StatusCode::denied) return;
    Lock lock(self->mutex_);
    if (!self->pending_ || self->has_page()) return;
    self->broken_ = count.error();
    self->serve(lock);
  });
}

void KafkaPartition::settle(uint64_t heard) {
  settled_ = heard;
  reader_->trouble().settle(heard);
}

/// At the end nothing comes, whether or not the broker is there: after trouble it is asked. With the lock.
void KafkaPartition::probe() {
  if (std::exchange(probing_, true)) return;
  threads_->probing().post([self = shared_from_this()] {
    const uint64_t heard = self->reader_->trouble().count();
    const Result<SourceBounds> marks =
        ask_marks(*self->reader_, self->topic_, self->partition_, self->request_timeout_ms_);
    Status why = marks ? Status() : self->why_silent(marks.error());
    Lock lock(self->mutex_);
    self->probing_ = false;
    if (marks) self->settle(heard);
    if (!marks && self->at_end_) self->silent_ = std::move(why);
    self->serve(lock);
  });
}

// ---- Waiting

/// Sees to it that somebody looks by then.
void KafkaPartition::look_later(int64_t due_ms) {
  if (due_ms >= timer_due_ms_) return;
  timer_due_ms_ = due_ms;
  threads_->loop().post([weak = weak_from_this(), due_ms] {
    const auto self = weak.lock();
    if (!self) return;
    Loop& loop = self->threads_->loop();
    loop.call_after(std::max<int64_t>(due_ms - loop.now_ms(), 0), [weak, due_ms] {
      const auto alive = weak.lock();
      if (!alive) return;
      Lock lock(alive->mutex_);
      if (alive->timer_due_ms_ != due_ms) return;  // another one was set for earlier
      alive->timer_due_ms_ = INT64_MAX;
      alive->serve(lock);
    });
  });
}

void KafkaPartition::look() {
  Lock lock(mutex_);
  serve(lock);
}

void KafkaPartition::wake() {
  Lock lock(mutex_);
  if (!pending_) return;
  Page page;
  page.next = pending_->request.from;
  page.end = end_behind(page.next);
  answer(lock, std::move(page));
}

void KafkaPartition::close() {
  Lock lock(mutex_);
  if (closed_.exchange(true)) return;
  if (pending_) answer(lock, fail(StatusCode::fenced, "the source is closed"));
  threads_->loop().post([self = shared_from_this()] {
    const Lock alone(self->mutex_);
    self->stop_fetching();
    self->drop_stash();
  });
}

}  // namespace sluice::sources
