// SPDX-License-Identifier: Apache-2.0
// Reads, from the question to the answer; cursors and watches are in cursors.cc.
#include "kafka/reader.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "rdkafka/errors.hpp"
#include "plugin/lease.hpp"
#include "records/record.hpp"

namespace sluice::kafka {
namespace {

constexpr size_t kTakenAtOnce = 512;
constexpr int kMaxLooks = 8;

records::OptionalBytes bytes_of(const void* data, size_t size) {
  if (data == nullptr) return std::nullopt;
  return Bytes(static_cast<const uint8_t*>(data), size);
}

/// False: not decodable. `headers` holds what `record` refers to.
bool record_of(const rd_kafka_message_t& message, std::vector<records::HeaderView>& headers, records::NewRecord& record,
               records::TimestampType& type) {
  rd_kafka_timestamp_type_t kind = RD_KAFKA_TIMESTAMP_NOT_AVAILABLE;
  record.timestamp = rd_kafka_message_timestamp(&message, &kind);
  type = kind == RD_KAFKA_TIMESTAMP_LOG_APPEND_TIME ? records::TimestampType::log_append_time
                                                    : records::TimestampType::create_time;
  record.key = bytes_of(message.key, message.key_len);
  record.value = bytes_of(message.payload, message.len);
  headers.clear();
  rd_kafka_headers_t* list = nullptr;
  switch (rd_kafka_message_headers(&message, &list)) {
    case RD_KAFKA_RESP_ERR__NOENT:
      break;
    case RD_KAFKA_RESP_ERR_NO_ERROR: {
      const char* name = nullptr;
      const void* value = nullptr;
      size_t size = 0;
      for (size_t i = 0; rd_kafka_header_get_all(list, i, &name, &value, &size) == RD_KAFKA_RESP_ERR_NO_ERROR; ++i) {
        headers.push_back({as_bytes(name), bytes_of(value, size)});
      }
      break;
    }
    default:
      return false;
  }
  record.headers = headers;
  return true;
}

bool is_undecodable(const rd_kafka_message_t& message) {
  return code_of(message.err) == StatusCode::corrupt || message.err == RD_KAFKA_RESP_ERR_INVALID_MSG ||
         message.err == RD_KAFKA_RESP_ERR__NOT_IMPLEMENTED;
}

}  // namespace

void Reader::start(uint64_t largest_message, std::function<void()> drain) {
  largest_message_ = largest_message;
  drain_ = std::move(drain);
  tick_ns_ = 0;
  worker_.start([this] { return serve(); });
}

std::vector<std::unique_ptr<Client>> Reader::stop() {
  worker_.post([this] {
    while (!cursors_.empty()) stop_cursor(*cursors_.begin()->second);
  });
  worker_.join();
  std::vector<std::unique_ptr<Client>> clients;
  for (auto& lane : lanes_) {
    lane->topics.clear();
    clients.push_back(std::move(lane->client));
  }
  lanes_.clear();
  watched_.clear();
  ready_.clear();
  return clients;
}

void Reader::read(TicketPtr ticket, PartitionPtr partition, const sluice_read& request, sluice_read_result& result) {
  Reading reading;
  reading.ticket = std::move(ticket);
  reading.partition = std::move(partition);
  reading.offset = reading.from = request.offset;
  reading.limit = request.limit;
  reading.max_bytes = request.max_bytes;
  reading.result = &result;
  worker_.post([this, reading = std::move(reading)]() mutable { accept(std::move(reading)); });
}

void Reader::woken(uint64_t cursor) {
  {
    const std::lock_guard lock(ready_mutex_);
    ready_.insert(cursor);
  }
  worker_.poke();
}

int64_t Reader::serve() {
  std::unordered_set<uint64_t> ready;
  {
    const std::lock_guard lock(ready_mutex_);
    ready.swap(ready_);
  }
  for (const uint64_t id : ready) {
    if (const auto found = cursors_.find(id); found != cursors_.end()) pump(*found->second);
  }
  const int64_t now = now_ns();
  if (now >= tick_ns_) tick_ns_ = tick(now);
  return tick_ns_;
}

// ---- From the question to a cursor

void Reader::accept(Reading reading) {
  const Marks known = reading.partition->known();
  if (reading.offset < known.start) return look(std::move(reading));
  if (serve_recent(reading) || attach(reading)) return;
  if (reading.offset >= known.start && reading.offset < known.end && reading.limit > reading.offset) {
    return begin(std::move(reading));
  }
  look(std::move(reading));
}

/// Somebody read the same a moment ago.
bool Reader::serve_recent(Reading& reading) {
  for (const auto& [id, cursor] : cursors_) {
    if (cursor->partition != reading.partition) continue;
    for (const auto& chunk : cursor->recent) {
      if (reading.offset < chunk->front().base || reading.offset > chunk->back().last) continue;
      size_t first = 0;
      while ((*chunk)[first].last < reading.offset) ++first;
      size_t count = 0;
      uint64_t bytes = 0;
      for (size_t i = first; i < chunk->size() && (*chunk)[i].last < reading.limit; ++i, ++count) {
        bytes += (*chunk)[i].bytes.size();
        if (count > 0 && bytes > reading.max_bytes) break;
      }
      if (count == 0) return false;
      lend(reading, chunk, first, count, (*chunk)[first + count - 1].last + 1);
      return true;
    }
  }
  return false;
}

/// A cursor stands there, or just before, with what is wanted in its stash.
bool Reader::attach(Reading& reading) {
  for (auto& [id, cursor] : cursors_) {
    if (cursor->partition != reading.partition || reading.offset < cursor->position) continue;
    const int64_t reaches =
        cursor->stash.empty() ? (cursor->at_end ? cursor->end : cursor->position) : cursor->stash.back()->offset;
    if (reading.offset > reaches) continue;
    if (cursor->reading && cursor->reading->ticket->is_open()) continue;
    cursor->used_ns = now_ns();
    cursor->settle_ns = cursor->used_ns + (kSettleNs << reading.looks);
    cursor->reading = std::move(reading);
    pump(*cursor);
    return true;
  }
  return false;
}

void Reader::look(Reading reading) {
  const PartitionPtr partition = reading.partition;
  cluster_.ask_marks(partition, [this, reading = std::move(reading)](const Result<Marks>& marks) mutable {
    worker_.post([this, reading = std::move(reading), marks]() mutable { looked(std::move(reading), marks); });
  });
}

void Reader::looked(Reading reading, const Result<Marks>& marks) {
  if (!marks) {
    reading.ticket->answer(marks.error());
    return;
  }
  tell_watches(reading.partition);
  if (reading.offset < marks->start || reading.offset > marks->end) {
    if (reading.skipped > 0) return answer_nothing(reading, std::min(reading.offset, marks->end));
    reading.ticket->answer_with([&] {
      plugin::set(*reading.result, &sluice_read_result::start, marks->start);
      plugin::set(*reading.result, &sluice_read_result::end, marks->end);
      return Status(StatusCode::out_of_range,
                    fmt::format("offset {} of a log from {} to {}", reading.offset, marks->start, marks->end));
    });
    return;
  }
  if (reading.offset == marks->end || reading.limit <= reading.offset) return answer_nothing(reading, reading.offset);
  if (++reading.looks > kMaxLooks) {
    reading.ticket->answer(
        Status(StatusCode::unavailable, "the cluster gives none of the records that it says it has"));
    return;
  }
  if (serve_recent(reading) || attach(reading)) return;
  begin(std::move(reading));
}

void Reader::begin(Reading reading) {
  if (!reading.ticket->is_open()) return;
  const auto cursor = start_cursor(reading.partition, reading.offset);
  if (!cursor) {
    reading.ticket->answer(cursor.error());
    return;
  }
  (*cursor)->settle_ns = now_ns() + (kSettleNs << reading.looks);
  (*cursor)->reading = std::move(reading);
}

void Reader::answer_nothing(Reading& reading, int64_t next) {
  const Marks known = reading.partition->known();
  reading.ticket->answer_with([&] {
    plugin::set(*reading.result, &sluice_read_result::next, next);
    plugin::set(*reading.result, &sluice_read_result::start, known.start);
    plugin::set(*reading.result, &sluice_read_result::end, std::max(known.end, next));
    plugin::set(*reading.result, &sluice_read_result::skipped, reading.skipped);
    return Status();
  });
}

// ---- From a cursor to the answer

void Reader::pump(Cursor& cursor) {
  if (cursor.reading && cursor.reading->ticket->is_open()) return advance(cursor);
  cursor.reading.reset();
  const auto watched = watched_.find(cursor.partition);
  if (watched == watched_.end()) return;
  const PartitionPtr partition = cursor.partition;
  static_cast<void>(fill(cursor));  // the cursor may be gone
  tell_watches(partition);
}

uint64_t Reader::cost_of(const rd_kafka_message_t& message) {
  return message.err == RD_KAFKA_RESP_ERR_NO_ERROR ? message.len + message.key_len + kRecordCostBytes
                                                   : kRecordCostBytes;
}

void Reader::drop_first(Cursor& cursor) {
  cursor.stash_bytes -= cost_of(*cursor.stash.front());
  cursor.stash.pop_front();
}

/// Takes from the queue what is there, until the stash is full; how many it took, records and others. 0 too if the
/// cursor is gone.
size_t Reader::fill(Cursor& cursor) {
  rd_kafka_message_t* taken[kTakenAtOnce];
  size_t all = 0;
  for (;;) {
    if (cursor.stash_bytes >= settings_.queue_bytes()) {
      cursor.at_end = false;  // there may be more, unseen
      return all;
    }
    const ssize_t count = rd_kafka_consume_batch_queue(cursor.queue.get(), 0, taken, kTakenAtOnce);
    if (count <= 0) break;
    std::vector<MessageHandle> messages(taken, taken + count);
    int64_t end = 0;
    for (MessageHandle& message : messages) {
      if (message->err == RD_KAFKA_RESP_ERR__PARTITION_EOF) {
        cursor.at_end = true;
        cursor.end = message->offset;
        end = std::max(end, message->offset);
      } else if (message->err == RD_KAFKA_RESP_ERR_NO_ERROR || is_undecodable(*message)) {
        cursor.stash_bytes += cost_of(*message);
        cursor.backlog_bytes += cost_of(*message) - kRecordCostBytes;
        ++cursor.backlog;
        cursor.at_end = false;
        cursor.fetched = message->offset + 1;
        end = std::max(end, cursor.fetched);
        cursor.stash.push_back(std::move(message));
      } else if (!trouble(cursor, *message)) {
        return 0;
      }
    }
    cursor.partition->saw_end(end);
    all += static_cast<size_t>(count);
  }
  const uint64_t full = settings_.queue_bytes() - settings_.queue_bytes() / 8;  // it may count a little more
  if (cursor.backlog_bytes >= full || cursor.backlog >= settings_.queue_records()) spur(cursor);
  cursor.backlog_bytes = cursor.backlog = 0;
  return all;
}

/// The queue was full, and librdkafka may be waiting: it looks again at once.
void Reader::spur(Cursor& cursor) {
  if (cursor.at_end || cursor.stash.empty() || cursor.stash.back()->err != RD_KAFKA_RESP_ERR_NO_ERROR) return;
  constexpr int kWithoutWaiting = 0;
  // A refusal leaves all as it is.
  static_cast<void>(rd_kafka_seek(cursor.topic, cursor.partition->index(), cursor.fetched, kWithoutWaiting));
}

bool Reader::trouble(Cursor& cursor, const rd_kafka_message_t& message) {
  const Status status = status_of(message.err, rd_kafka_message_errstr(&message));
  std::optional<Reading> reading;
  switch (status.code()) {
    case StatusCode::out_of_range:
      reading = std::move(cursor.reading);
      stop_cursor(cursor);
      if (reading) look(std::move(*reading));
      return false;
    case StatusCode::not_found:
    case StatusCode::denied:
    case StatusCode::unsupported:
      reading = std::move(cursor.reading);
      stop_cursor(cursor);
      if (reading) reading->ticket->answer(status);
      return false;
    default:
      return true;  // librdkafka tries again by itself
  }
}

void Reader::advance(Cursor& cursor) {
  Reading& reading = *cursor.reading;
  native::Assembler assembler(reading.limit, reading.max_bytes);
  std::vector<records::HeaderView> headers;
  records::NewRecord record;
  auto type = records::TimestampType::create_time;
  int64_t next = reading.offset;
  bool ended = false;  // not for want of records
  const uint64_t id = cursor.id;
  static_cast<void>(fill(cursor));  // so that more is fetched meanwhile
  if (!cursors_.contains(id)) return;
  while (!ended) {
    if (cursor.stash.empty()) {
      if (fill(cursor) > 0) continue;
      if (!cursors_.contains(id)) return;
      break;
    }
    const rd_kafka_message_t& message = *cursor.stash.front();
    // A batch that librdkafka cannot decode is reported at its base, and fetched again for ever: it is passed record by
    // record, since nobody knows where it ends.
    const bool jammed = message.err != RD_KAFKA_RESP_ERR_NO_ERROR;
    const int64_t offset = jammed ? std::max(message.offset, next) : message.offset;
    if (offset < next) {
      drop_first(cursor);
      continue;
    }
    if (jammed || !record_of(message, headers, record, type)) {
      ended = !assembler.empty() || offset >= reading.limit || reading.skipped >= kMaxSkips;
      if (ended) break;
      ++reading.skipped;
      next = reading.offset = offset + 1;
      drop_first(cursor);
      ended = jammed && !fetch_from(cursor, next).ok();
      continue;
    }
    switch (assembler.add(message.offset, type, record)) {
      case native::Assembler::Answer::taken:
        next = message.offset + 1;
        drop_first(cursor);
        break;
      case native::Assembler::Answer::beyond_limit:
        next = std::max(next, std::min(reading.limit, message.offset));
        ended = true;
        break;
      case native::Assembler::Answer::full:
        ended = true;
        break;
    }
  }
  if (cursor.stash.empty() && cursor.at_end && !ended) {
    const int64_t gap_end = std::min(reading.limit, cursor.end);  // nothing but control records, and aborted ones
    const bool more_is_known = cursor.partition->known().end > cursor.end && reading.limit > cursor.end;
    if (!more_is_known || !assembler.empty()) {
      next = std::max(next, gap_end);
      ended = true;
    }
  }
  if (!assembler.empty() || ended || reading.skipped >= kMaxSkips) complete(cursor, assembler.finish(), next);
}

void Reader::complete(Cursor& cursor, Chunk chunk, int64_t next) {
  Reading reading = std::move(*cursor.reading);
  cursor.reading.reset();
  cursor.settle_ns = Worker::kNever;
  cursor.position = next;
  cursor.used_ns = now_ns();
  const PartitionPtr partition = cursor.partition;
  if (chunk.empty()) {
    answer_nothing(reading, next);
  } else {
    auto shared = std::make_shared<const Chunk>(std::move(chunk));
    uint64_t bytes = 0;
    for (const native::Built& built : *shared) bytes += built.bytes.size();
    cursor.recent.push_front(shared);
    cursor.recent_bytes += bytes;
    while (!cursor.recent.empty() && cursor.recent_bytes > kRecentBytes) {
      for (const native::Built& built : *cursor.recent.back()) cursor.recent_bytes -= built.bytes.size();
      cursor.recent.pop_back();
    }
    lend(reading, shared, 0, shared->size(), next);
  }
  tell_watches(partition);
}

void Reader::lend(Reading& reading, const std::shared_ptr<const Chunk>& chunk, size_t first, size_t count,
                  int64_t next) {
  auto lease = std::make_unique<plugin::Lease>();
  for (size_t i = first; i < first + count; ++i) {
    lease->add_memory((*chunk)[i].bytes, chunk);
    lease->add_pinned((*chunk)[i].bytes.size());
  }
  const Marks known = reading.partition->known();
  reading.ticket->answer_with([&] {
    plugin::set(*reading.result, &sluice_read_result::next, next);
    plugin::set(*reading.result, &sluice_read_result::start, std::min(known.start, reading.from));
    plugin::set(*reading.result, &sluice_read_result::end, std::max(known.end, next));
    plugin::set(*reading.result, &sluice_read_result::skipped, reading.skipped);
    plugin::Lease::lend(std::move(lease), *reading.result);
    return Status();
  });
}

}  // namespace sluice::kafka
