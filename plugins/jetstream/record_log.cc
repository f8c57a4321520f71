// SPDX-License-Identifier: Apache-2.0
#include "jetstream/record_log.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "jetstream/reply.hpp"

namespace sluice::jetstream {
namespace {

using plugin::set;

/// What a stream still takes before it refuses more, as far as its own limits go.
struct Room {
  uint64_t bytes = UINT64_MAX;
  uint64_t messages = UINT64_MAX;
};

Room room_in(const StreamInfo& info) {
  Room room;
  if (text_at(info.config, "discard") != "new") return room;  // the oldest go
  const auto left = [&](const char* limit, uint64_t used) {
    const int64_t most = number_at(info.config, limit, -1);
    if (most <= 0) return UINT64_MAX;
    return static_cast<uint64_t>(most) - std::min(static_cast<uint64_t>(most), used);
  };
  room.bytes = left("max_bytes", info.bytes);
  room.messages = left("max_msgs", info.messages);
  // How many there are of our subject is not told.
  if (flag_at(info.config, "discard_new_per_subject")) room.messages = 0;
  return room;
}

uint64_t bytes_in_stream(const Outgoing& message) {
  return message.subject.size() + header_bytes(message.headers) + message.payload.size() + kMessageFrameInStreamBytes;
}

Status gone(const std::string& stream) {
  return Status(StatusCode::not_found, fmt::format("nothing stands for the stream {}", stream), kStreamNotFound);
}

}  // namespace

RecordLog::RecordLog(Engine& engine, std::string stream, const Uuid& id)
    : engine_(engine),
      id_(id),
      stream_(engine.client, engine.settings, std::move(stream)),
      markers_(engine.client, engine.settings, marker_stream(engine.settings.prefix)),
      marker_query_(Stream::query_of_last(marker_subject(engine.settings.prefix, stream_.name()))),
      readers_(engine, stream_) {
  markers_.set_replicated(engine.settings.replicas > 1);
}

// As long as nothing was ever taken out a stream begins at 0, also an empty one: so that a reader who waits there is
// not told that what comes first is out of his range.
Result<RecordLog::Shape> RecordLog::shape_of(StreamInfo info) {
  stream_.set_replicated(info.replicas > 1);
  stream_.set_direct(info.direct);
  Shape shape;
  shape.end = static_cast<int64_t>(info.last);
  shape.start = std::min(info.first > 0 ? static_cast<int64_t>(info.first) - 1 : 0, shape.end);
  shape.subject = own_subject(info.config);
  shape.info = std::move(info);
  return shape;
}

// Both questions at once.
Task<Result<RecordLog::Shape>> RecordLog::look(int64_t deadline_ns) {
  std::vector<Outgoing> questions;
  questions.push_back(markers_.question_of_last(marker_query_, deadline_ns));
  questions.push_back(stream_.info_question(deadline_ns));
  std::vector<Reply> replies = co_await engine_.client.requests(questions);
  const auto stored = co_await markers_.settle_last(std::move(replies[0]), marker_query_, deadline_ns);
  if (!stored) co_return fail(stored.error());
  const auto marker = *stored ? parse_marker((*stored)->payload) : std::nullopt;
  if (!marker || marker->id != id_) co_return fail(gone(stream_.name()));
  Result<StreamInfo> info = Stream::info_answer(replies[1]);
  if (!info) co_return fail(info.error());
  co_return shape_of(std::move(*info));
}

// ---- Append

Status RecordLog::may_write(const Shape& shape) const {
  const std::string& name = stream_.name();
  // What a stream will never take is UNSUPPORTED, so that producers do not try again.
  if (shape.subject.empty()) {
    return Status(StatusCode::unsupported,
                  fmt::format("the stream {} has no subject to publish to: it {}", name, origin_of(shape.info.config)));
  }
  if (flag_at(shape.info.config, "no_ack")) {
    return Status(StatusCode::unsupported, fmt::format("the stream {} acknowledges nothing (no_ack)", name));
  }
  if (flag_at(shape.info.config, "sealed")) {
    return Status(StatusCode::unsupported, fmt::format("the stream {} is sealed", name));
  }
  return {};
}

Result<Outgoing> RecordLog::message_of(const native::UnpackedBatch& batch, const records::RecordView& record,
                                       int32_t index, const std::string& subject) const {
  Outgoing message;
  message.subject = subject;
  message.headers = record_headers(record, record.timestamp(batch.batch));
  // Or it would land elsewhere where a subject has moved to another stream.
  message.headers.emplace_back("Nats-Expected-Stream", stream_.name());
  if (batch.batch.producer_id() >= 0 && batch.batch.base_sequence() >= 0) {
    // A retry, also by way of another broker, is known by this for as long as the stream's duplicate_window.
    const auto sequence =
        (static_cast<uint32_t>(batch.batch.base_sequence()) + static_cast<uint32_t>(index)) & INT32_MAX;
    message.headers.emplace_back("Nats-Msg-Id", fmt::format("{}-{}-{}-{}", id_.to_string(), batch.batch.producer_id(),
                                                            batch.batch.producer_epoch(), sequence));
  }
  if (record.value) message.payload = *record.value;
  return message;
}

// Whether every record fits into a message: nothing is sent if one does not.
Status RecordLog::fits(const native::UnpackedUnit& unit, const Shape& shape) const {
  constexpr uint64_t kAddedBytes = 512;  // Nats-Expected-Stream and Nats-Msg-Id
  const int64_t configured = number_at(shape.info.config, "max_msg_size", -1);
  uint64_t largest = engine_.client.max_payload();
  if (configured >= 0) largest = std::min(largest, static_cast<uint64_t>(configured));
  for (const native::UnpackedBatch& batch : unit.batches) {
    records::RecordIterator records(batch.section, batch.batch);
    int32_t index = 0;
    for (records::RecordView record; records.next(record); ++index) {
      const uint64_t value = record.value ? record.value->size() : 0;
      if (most_header_bytes(record) + kAddedBytes <= kMostHeaderBytes &&
          value + most_header_bytes(record) + kAddedBytes <= largest)
        continue;
      const auto message = message_of(batch, record, index, shape.subject);
      const uint64_t headers = header_bytes(message->headers);
      if (headers > kMostHeaderBytes) {
        return Status(StatusCode::too_large, fmt::format("key and headers of a record take {} bytes of a message's "
                                                         "headers, which are {} at most",
                                                         headers, kMostHeaderBytes));
      }
      if (value + headers > largest) {
        return Status(StatusCode::too_large,
                      fmt::format("a record takes a message of {} bytes; {} takes {} at most", value + headers,
                                  configured >= 0 ? "the stream" : "the server", largest));
      }
    }
  }
  return {};
}

// How much goes at once where there may be no room for all: half of what there is, since others write too. After a
// refusal that was not the stream's own limit, one message, then two, and so on.
Task<Status> RecordLog::limit(Burst& burst, size_t landed, int64_t deadline_ns) {
  const Result<StreamInfo> info = co_await stream_.info(deadline_ns);
  if (!info) co_return info.error();
  const Room room = room_in(*info);
  const uint64_t messages = std::min<uint64_t>(room.messages / 2, kMostUnacknowledged);
  burst.most_messages = std::max<size_t>(was_full_ ? std::min<size_t>(messages, landed) : messages, 1);
  burst.most_bytes = std::min(room.bytes / 2, kMostUnacknowledgedBytes);
  co_return Status();
}

// One after the other in the stream, since they go over one connection. Nothing more is sent after one that did not
// land.
Task<void> RecordLog::send(Burst& burst, Sending& sending, int64_t deadline_ns) {
  const int64_t until_ns = std::min(deadline_ns, monotonic_ns() + kWriteMs * kNsPerMs);
  for (Outgoing& message : burst.messages) message.deadline_ns = until_ns;
  const std::vector<Reply> replies = co_await engine_.client.requests(burst.messages);
  burst.messages.clear();
  burst.bytes = 0;
  for (const Reply& reply : replies) {
    Status status;
    if (!reply.answered()) {
      status = unanswered_write(reply);
    } else if (reply.message.no_responders()) {
      status = Status(StatusCode::unavailable, "nobody takes the subject of the stream at the moment", 503);
    } else {
      const Result<uint64_t> landed = parse_publish_ack(reply.message.payload());
      if (landed) sending.offsets.push_back(static_cast<int64_t>(*landed) - 1);
      if (!landed) status = landed.error();
    }
    if (status.code() == StatusCode::unknown) ++sending.unsure;
    if (!status.ok() && sending.refusal.ok()) sending.refusal = std::move(status);
  }
}

Task<Status> RecordLog::append(const sluice_append& request, sluice_append_result& result, int64_t deadline_ns) {
  if (request.bytes > kLargestRecordUnit) {
    co_return Status(StatusCode::too_large,
                     fmt::format("{} bytes; at most {} go at once", request.bytes, kLargestRecordUnit));
  }
  const Result<native::UnpackedUnit> unit = native::unpack(request, engine_.client.max_payload());
  if (!unit) co_return unit.error();
  const Result<Shape> shape = co_await look(deadline_ns);
  if (!shape) co_return shape.error();
  if (Status status = may_write(*shape); !status.ok()) co_return status;
  if (Status status = fits(*unit, *shape); !status.ok()) co_return status;

  constexpr uint64_t kMostAddedBytes = 512;  // to a record, by headers and the stream
  const Room room = room_in(shape->info);
  const bool tight =
      was_full_ || room.bytes / 2 < unit->bytes + unit->records * kMostAddedBytes || room.messages / 2 < unit->records;
  Sending sending;
  Burst burst;
  for (const native::UnpackedBatch& batch : unit->batches) {
    records::RecordIterator records(batch.section, batch.batch);
    int32_t index = 0;
    for (records::RecordView record; sending.refusal.ok() && records.next(record); ++index) {
      Result<Outgoing> message = message_of(batch, record, index, shape->subject);
      const uint64_t bytes = bytes_in_stream(*message);
      if (!burst.messages.empty() && !burst.has_room(bytes)) co_await send(burst, sending, deadline_ns);
      if (!sending.refusal.ok()) break;
      if (tight && burst.messages.empty()) {
        sending.refusal = co_await limit(burst, sending.offsets.size(), deadline_ns);
        if (!sending.refusal.ok()) break;
      }
      burst.bytes += bytes;
      burst.messages.push_back(std::move(*message));
    }
  }
  if (sending.refusal.ok()) co_await send(burst, sending, deadline_ns);
  was_full_ = sending.refusal.code() == StatusCode::no_space;
  if (!sending.refusal.ok()) {
    const Status& why = sending.refusal;
    if (sending.offsets.empty() && sending.unsure == 0) co_return why;
    co_return Status(
        StatusCode::unknown,
        fmt::format("{} of {} records are stored; then: {}", sending.offsets.size(), unit->records, why.describe()),
        why.native_code());
  }
  size_t at = 0;
  int64_t end = shape->end;
  for (size_t i = 0; i < unit->batches.size(); ++i) {
    const auto count = static_cast<size_t>(unit->batches[i].batch.records_count());
    sluice_batch_result& batch = result.batches[i];
    if (count == 0) continue;
    // They rise, but where a retry found some of its records stored and others not.
    const auto first = sending.offsets.begin() + static_cast<ptrdiff_t>(at);
    const auto [lowest, highest] = std::minmax_element(first, first + static_cast<ptrdiff_t>(count));
    batch.first_offset = *lowest;
    batch.last_offset = *highest;
    batch.applied = static_cast<uint32_t>(count);
    end = std::max(end, batch.last_offset + 1);
    at += count;
  }
  set(result, &sluice_append_result::end, end);
  co_return Status();
}

// ---- Read

uint64_t RecordLog::records_in(uint64_t bytes) const {
  return bytes / std::max<uint64_t>(usual_bytes_, 1);
}

size_t RecordLog::messages_for(uint64_t bytes) const {
  return static_cast<size_t>(std::min<uint64_t>(records_in(bytes) + 1, kMostRecordsAtOnce));
}

void RecordLog::tell_skipped(uint64_t sequence) {
  const auto line = skipped_.pass(
      fmt::format("message {} of stream {} is not readable and was passed: its header {} does not fit the others",
                  sequence, stream_.name(), kEntryHeader),
      engine_.loop.now_ms());
  if (line) engine_.host.log(SLUICE_LOG_WARNING, *line);
}

/// The sequence of the first message at or behind this one; 0: there is none.
Task<Result<uint64_t>> RecordLog::next_message(uint64_t sequence, int64_t deadline_ns) {
  const auto found = co_await stream_.next(sequence, ">", deadline_ns);
  if (!found) co_return fail(found.error());
  co_return *found ? (*found)->sequence : 0;
}

// What the message at `next` is, which was read into `decoding.message`.
void RecordLog::settle(Reading& reading, uint64_t sequence) {
  const uint64_t before = reading.assembler.bytes();
  if (!decode_record(reading.decoding.message, reading.shape.subject, reading.decoding.decoded)) {
    ++reading.skipped;
    tell_skipped(sequence);
  } else if (reading.assembler.add(reading.next, records::TimestampType::create_time,
                                   reading.decoding.decoded.record) != native::Assembler::Answer::taken) {
    reading.full = true;
    return;
  } else {
    usual_bytes_ = (3 * usual_bytes_ + std::max(reading.assembler.bytes(), before + 1) - before + 1) / 4;
  }
  ++reading.next;
}

// Each message by a question of its own: right always, and for all streams.
Task<void> RecordLog::read_each(Reading& reading, int64_t deadline_ns) {
  size_t count = std::min<size_t>(messages_for(reading.left()), static_cast<size_t>(reading.stop - reading.next));
  const uint64_t ahead = reading.reader != nullptr ? reading.reader->is_ahead_by(reading.sequence()) : 0;
  if (ahead > 0) count = std::min<size_t>(count, ahead);
  const bool first = reading.looked_at == 0 && !reading.known && reading.reader != nullptr;
  if (first && may_be_worth_pulling(reading)) count = std::min(count, kFirstLook);
  const auto found = co_await stream_.range(reading.sequence(), count, deadline_ns);
  if (!found) {
    reading.full = true;
    reading.error = found.error();
    co_return;
  }
  reading.looked_at += count;
  bool met = false;
  for (const std::optional<Stored>& stored : *found) {
    if (!stored) {
      ++reading.next;
      continue;
    }
    met = true;
    read_stored(*stored, reading.decoding.message);
    settle(reading, stored->sequence);
    if (reading.full) co_return;
  }
  if (met || reading.next >= reading.stop) co_return;
  // Messages that were deleted: the server finds the next one faster.
  const auto sequence = co_await next_message(reading.sequence(), deadline_ns);
  if (!sequence) {
    reading.full = true;
    co_return;
  }
  reading.next = *sequence == 0 ? reading.stop : std::min(reading.stop, static_cast<int64_t>(*sequence) - 1);
}

// Whether there is enough for a consumer.
bool RecordLog::may_be_worth_pulling(const Reading& reading) const {
  return records_in(reading.left()) >= kLeastPulled && reading.stop - reading.next >= kLeastBacklog &&
         RecordReaders::allowed(reading.shape.info.config);
}

// Whether a consumer goes on where this read is, made now where it is worth it.
Task<bool> RecordLog::may_pull(Reading& reading, int64_t deadline_ns) {
  RecordReader* reader = reading.reader;
  if (reader == nullptr || reader->is_ahead_by(reading.sequence()) > 0) co_return false;
  if (!reader->consumer.empty() && !reader->stands_at(reading.sequence())) readers_.retire(*reader);
  if (readers_.room_to_pull() == 0 || usual_bytes_ > kLargestPulled) co_return false;
  if (reader->consumer.empty()) {
    const bool reads_on = reading.known || reading.looked_at > 0;
    if (!reads_on || !may_be_worth_pulling(reading)) co_return false;
    co_await readers_.equip(*reader, reading.known, reading.sequence(), deadline_ns);
  }
  co_return reader->stands_at(reading.sequence());
}

// A consumer that passed messages over: whether they are gone is asked of the stream itself.
Task<bool> RecordLog::pass_hole(Reading& reading, uint64_t sequence, int64_t deadline_ns) {
  const auto found = co_await next_message(reading.sequence(), deadline_ns);
  if (!found || *found != sequence) co_return false;
  reading.next = std::min(reading.stop, static_cast<int64_t>(sequence) - 1);
  co_return true;
}

// One answer of the reader's consumer. Messages are taken as they come, while the server sends those behind them.
// False: the next ones are to be asked for by themselves.
Task<bool> RecordLog::pull(Reading& reading, int64_t deadline_ns) {
  RecordReader& reader = *reading.reader;
  const uint64_t fit = std::clamp<uint64_t>(records_in(reading.left()), 1, kMostPulled);
  const auto count = static_cast<size_t>(std::min(fit, static_cast<uint64_t>(reading.stop - reading.next)));
  const uint64_t bytes = std::min(count * (usual_bytes_ + kPulledFrameBytes) + kLargestPulled, readers_.room_to_pull());
  const std::string query = Stream::query_of_pull(count, bytes);
  const Outgoing question = stream_.pull_question(reader.consumer, query, deadline_ns);
  engine_.pulled_bytes += bytes;
  Client::Pull pulled(engine_.client, question, reader.consumer, count);
  bool sound = true;
  size_t holes = 0;
  size_t got = 0;
  while (auto one = co_await pulled.next()) {
    ++got;
    reader.position = std::max(reader.position, one->sequence + 1);
    if (!sound || reading.full || reading.next >= reading.stop) continue;
    if (one->sequence != reading.sequence()) {
      sound = one->sequence > reading.sequence() && ++holes <= kMostHoles &&
              co_await pass_hole(reading, one->sequence, deadline_ns);
      if (!sound || reading.next >= reading.stop) continue;
    }
    read_delivered(one->message, one->stored_ms, reading.decoding.message);
    settle(reading, one->sequence);
  }
  engine_.pulled_bytes -= bytes;
  reading.looked_at += got;
  const Reply& reply = pulled.reply();
  if (sound && got > 0 && reply.answered()) {
    readers_.succeeded();
    co_return true;
  }
  readers_.fail(reader, reply.kind == Reply::Kind::denied);
  co_return false;
}

Task<Status> RecordLog::read(const sluice_read& request, sluice_read_result& result, int64_t deadline_ns) {
  const Result<Shape> shape = co_await look(deadline_ns);
  if (!shape) co_return shape.error();
  set(result, &sluice_read_result::start, shape->start);
  set(result, &sluice_read_result::end, shape->end);
  set(result, &sluice_read_result::next, request.offset);
  if (request.offset < shape->start || request.offset > shape->end) {
    co_return Status(StatusCode::out_of_range, fmt::format("the stream goes from {} to {}", shape->start, shape->end));
  }
  const uint64_t budget = std::min(request.max_bytes, kMostReadBytes);
  Reading reading{.shape = *shape,
                  .next = request.offset,
                  .stop = std::min(shape->end, request.limit),
                  .budget = budget,
                  .assembler = native::Assembler(request.limit, budget)};
  reading.reader = readers_.enter(request.offset, reading.known);
  if (reading.reader != nullptr && shape->end - request.offset < kCaughtUp) readers_.retire(*reading.reader);
  while (!reading.over() && (reading.left() > 0 || reading.assembler.empty())) {
    if (co_await may_pull(reading, deadline_ns)) {
      const bool went_well = co_await pull(reading, deadline_ns);
      // What comes one too many is asked for again by the next read.
      if (went_well && !reading.assembler.empty() && records_in(reading.left()) == 0) break;
      if (went_well) continue;
    }
    if (!reading.over()) co_await read_each(reading, deadline_ns);
  }
  if (reading.reader != nullptr) readers_.leave(*reading.reader, reading.next);
  // What is there already is good.
  if (!reading.error.ok() && reading.next == request.offset) co_return reading.error;
  auto lease = std::make_unique<plugin::Lease>();
  for (native::Built& built : reading.assembler.finish()) {
    const auto owner = std::make_shared<Buffer>(std::move(built.bytes));
    lease->add_memory(owner->view(), owner);
    lease->add_pinned(owner->capacity());
  }
  plugin::Lease::lend(std::move(lease), result);
  set(result, &sluice_read_result::next, reading.next);
  set(result, &sluice_read_result::skipped, reading.skipped);
  co_return Status();
}

Task<Status> RecordLog::bounds(sluice_bounds& result, int64_t deadline_ns) {
  const Result<Shape> shape = co_await look(deadline_ns);
  if (!shape) co_return shape.error();
  set(result, &sluice_bounds::start, shape->start);
  set(result, &sluice_bounds::end, shape->end);
  set(result, &sluice_bounds::bytes, shape->end == 0 ? SLUICE_UNKNOWN_NUMBER : static_cast<int64_t>(shape->info.bytes));
  set(result, &sluice_bounds::newest_timestamp, SLUICE_UNKNOWN_NUMBER);
  set(result, &sluice_bounds::largest_unit, kLargestRecordUnit);
  const uint64_t kept = shape->info.file ? SLUICE_CAP_DURABLE | SLUICE_CAP_NO_ROLLBACK : 0;
  set(result, &sluice_bounds::capabilities, SLUICE_CAP_SHARED | kept);
  co_return Status();
}

/// A record is stored after it was made, so what was stored before that time is passed over by a search, and the rest
/// looked through.
Task<Status> RecordLog::locate(int64_t timestamp, sluice_locate_result& result, int64_t deadline_ns) {
  const Result<Shape> shape = co_await look(deadline_ns);
  if (!shape) co_return shape.error();
  set(result, &sluice_locate_result::end, shape->end);
  set(result, &sluice_locate_result::offset, shape->end);
  auto low = static_cast<uint64_t>(shape->start) + 1;  // nothing before it is wanted
  auto high = static_cast<uint64_t>(shape->end) + 1;   // what is wanted first lies below it, or is this
  const int64_t stored_from = timestamp < INT64_MIN + kClockSlackMs ? timestamp : timestamp - kClockSlackMs;
  while (low < high) {
    const uint64_t middle = low + (high - low) / 2;
    const auto found = co_await stream_.next(middle, ">", deadline_ns);
    if (!found) co_return found.error();
    StoredMessage message;
    if (*found) read_stored(**found, message);
    if (*found && (*found)->sequence < high && message.stored_ms < stored_from) {
      low = (*found)->sequence + 1;
    } else {
      high = middle;
    }
  }
  Decoding decoding;
  const auto end = static_cast<uint64_t>(shape->end) + 1;
  while (low < end) {
    const size_t count = static_cast<size_t>(std::min<uint64_t>(messages_for(kMostUnacknowledgedBytes), end - low));
    const auto found = co_await stream_.range(low, count, deadline_ns);
    if (!found) co_return found.error();
    bool met = false;
    for (const std::optional<Stored>& stored : *found) {
      if (!stored) continue;
      met = true;
      read_stored(*stored, decoding.message);
      const bool good = decode_record(decoding.message, shape->subject, decoding.decoded);
      if (!good || decoding.decoded.record.timestamp < timestamp) continue;
      set(result, &sluice_locate_result::offset, static_cast<int64_t>(stored->sequence) - 1);
      co_return Status();
    }
    low += count;
    if (met || low >= end) continue;
    const auto sequence = co_await next_message(low, deadline_ns);
    if (!sequence) co_return sequence.error();
    low = *sequence == 0 ? end : *sequence;
  }
  co_return Status();
}

Task<Status> RecordLog::trim(int64_t offset, int64_t deadline_ns) {
  const Result<Shape> shape = co_await look(deadline_ns);
  if (!shape) co_return shape.error();
  if (offset <= shape->start) co_return Status();
  for (const char* forbidden : {"deny_purge", "sealed"}) {
    if (flag_at(shape->info.config, forbidden)) {
      co_return Status(StatusCode::denied, fmt::format("the stream {} has {}", stream_.name(), forbidden));
    }
  }
  const auto below = static_cast<uint64_t>(std::min(offset, shape->end)) + 1;
  co_return co_await stream_.purge({}, below, 0, deadline_ns);
}

// ---- Watch

Task<Status> RecordLog::watch(int64_t offset, std::shared_ptr<const std::atomic<bool>> closed, int64_t deadline_ns) {
  const auto unavailable = [](const char* why) { return Status(StatusCode::unavailable, why); };
  int64_t pause_ms = kFirstRecordWatchMs;
  for (int looks = 0;; ++looks) {
    if (looks > 0) {
      co_await sleep_for(engine_.loop, pause_ms);
      pause_ms = std::min(2 * pause_ms, kLongestRecordWatchMs);
    }
    if (*closed) co_return unavailable("the log was closed");
    if (!engine_.taking()) co_return unavailable("the storage is being stopped");
    const int64_t now_ns = monotonic_ns();
    if (now_ns >= deadline_ns) co_return unavailable("the deadline came before the end moved");
    const int64_t until_ns = std::min(deadline_ns, now_ns + kWriteMs * kNsPerMs);
    int64_t end = 0;
    Status status;
    if (looks % kLooksToOwnership == 0) {
      const Result<Shape> shape = co_await look(until_ns);
      if (shape) end = shape->end;
      if (!shape) status = shape.error();
    } else {
      const Result<StreamInfo> info = co_await stream_.info(until_ns);
      if (info) end = static_cast<int64_t>(info->last);
      if (!info) status = info.error();
    }
    if (status.code() == StatusCode::not_found) co_return looks == 0 ? status : unavailable("the log was deleted");
    if (status.ok() && end > offset) co_return status;
    // A server that is away comes back.
  }
}

}  // namespace sluice::jetstream
