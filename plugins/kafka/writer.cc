// SPDX-License-Identifier: Apache-2.0
#include "kafka/writer.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "rdkafka/errors.hpp"
#include "records/record.hpp"

namespace sluice::kafka {
namespace {

/// What librdkafka needs for a record beside its bytes, roughly.
constexpr uint64_t kRecordCostBytes = 256;

/// What a unit takes of the budget.
uint64_t cost_of(const native::UnpackedUnit& unit) {
  return unit.bytes + unit.records * kRecordCostBytes;
}

constexpr int64_t kBusyMs = 20;  // advice to whom is too fast
constexpr int64_t kMsToNs = 1'000'000;
constexpr int64_t kUnsettledMs = 100;  // advice to whom an append before is in the way
/// librdkafka takes 0 for "no time given" and puts the present one in: the nearest that it keeps.
constexpr int64_t kNearestToZeroMs = 1;

void* bytes_of(const records::OptionalBytes& bytes) {
  static uint8_t nothing = 0;  // what is empty and not null has an address
  if (!bytes) return nullptr;
  return bytes->empty() ? &nothing : const_cast<uint8_t*>(bytes->data());
}

size_t size_of(const records::OptionalBytes& bytes) {
  return bytes ? bytes->size() : 0;
}

HeadersHandle headers_of(const records::RecordView& record) {
  HeadersHandle headers;
  if (record.headers_count == 0) return headers;
  headers.reset(rd_kafka_headers_new(static_cast<size_t>(record.headers_count)));
  records::HeaderIterator each = record.headers();
  for (records::HeaderView header; each.next(header);) {
    rd_kafka_header_add(headers.get(), reinterpret_cast<const char*>(header.key.data()),
                        static_cast<ssize_t>(header.key.size()), bytes_of(header.value),
                        static_cast<ssize_t>(size_of(header.value)));
  }
  return headers;
}

rd_kafka_resp_err_t produce(rd_kafka_t* client, rd_kafka_topic_t* topic, int32_t partition,
                            const records::BatchView& batch, const records::RecordView& record, void* opaque) {
  const int64_t time = record.timestamp(batch);
  HeadersHandle headers = headers_of(record);
  const rd_kafka_resp_err_t error =
      rd_kafka_producev(client, RD_KAFKA_V_RKT(topic), RD_KAFKA_V_PARTITION(partition),
                        RD_KAFKA_V_VALUE(bytes_of(record.value), size_of(record.value)),
                        RD_KAFKA_V_KEY(bytes_of(record.key), size_of(record.key)),
                        RD_KAFKA_V_TIMESTAMP(time == 0 ? kNearestToZeroMs : time), RD_KAFKA_V_HEADERS(headers.get()),
                        RD_KAFKA_V_OPAQUE(opaque), RD_KAFKA_V_END);
  if (error == RD_KAFKA_RESP_ERR_NO_ERROR) static_cast<void>(headers.release());  // librdkafka's now
  return error;
}

}  // namespace

void Writer::start(uint64_t largest_message, std::function<void(const PartitionPtr&, int64_t)> appended) {
  largest_message_ = largest_message;
  appended_ = std::move(appended);
  stopping_ = false;
  ++session_;
  worker_.start([this] { return serve(); });
}

std::vector<std::shared_ptr<Client>> Writer::stop(int64_t deadline_ns) {
  // What is on its way is given up; the reports of that come at once.
  worker_.post([this, deadline_ns] {
    stopping_ = true;
    retire();
    constexpr int kStepMs = 20;
    for (auto& producer : retired_) {
      while (producer->has_units() && now_ns() < deadline_ns) {
        if (EventHandle event{rd_kafka_queue_poll(producer->client->events(), kStepMs)}) heard(*producer, *event);
      }
    }
  });
  worker_.join();
  std::vector<std::shared_ptr<Client>> clients;
  for (auto& producer : retired_) {
    rd_kafka_queue_cb_event_enable(producer->client->events(), nullptr, nullptr);
    producer->topics.clear();
    clients.emplace_back(producer, producer->client.get());  // with what its messages refer to
  }
  retired_.clear();
  introducing_.clear();
  in_flight_ = 0;
  return clients;
}

void Writer::append(Append append) {
  worker_.post([this, append = std::move(append)]() mutable { begin(std::move(append)); });
}

// ---- Producers

Status Writer::make_producer() {
  auto client = Client::make(settings_, Role::writes, largest_message_, say_);
  if (!client) return client.error();
  producer_ = std::make_shared<Producer>();
  producer_->client = std::move(*client);
  producer_->generation = ++generation_;
  rd_kafka_queue_cb_event_enable(
      producer_->client->events(), +[](rd_kafka_t*, void* self) { static_cast<Writer*>(self)->worker_.poke(); }, this);
  return {};
}

/// The producer writes no more; what it holds comes back.
void Writer::retire() {
  if (!producer_) return;
  rd_kafka_purge(producer_->client->get(),
                 RD_KAFKA_PURGE_F_QUEUE | RD_KAFKA_PURGE_F_INFLIGHT | RD_KAFKA_PURGE_F_NON_BLOCKING);
  retired_.push_back(std::move(producer_));
}

void Writer::discard_retired() {
  if (stopping_) return;
  for (auto it = retired_.begin(); it != retired_.end();) {
    if (!(*it)->is_idle()) {
      ++it;
      continue;
    }
    rd_kafka_queue_cb_event_enable((*it)->client->events(), nullptr, nullptr);
    (*it)->topics.clear();
    std::shared_ptr<Client> client = std::move((*it)->client);
    pool_.post([client]() mutable { client.reset(); });
    it = retired_.erase(it);
  }
}

rd_kafka_topic_t* Writer::topic(Producer& producer, const std::string& name) {
  if (const auto known = producer.topics.find(name); known != producer.topics.end()) return known->second.get();
  if (producer.topics.size() >= kMaxTopics) producer.topics.clear();
  TopicHandle made(rd_kafka_topic_new(producer.client->get(), name.c_str(), nullptr));
  return producer.topics.emplace(name, std::move(made)).first->second.get();
}

// ---- Units

void Writer::begin(Append append) {
  if (const auto waiting = introducing_.find(append.partition); waiting != introducing_.end()) {
    waiting->second.push_back(std::move(append));
    return;
  }
  if (stopping_) return refuse(append, Status(StatusCode::unavailable, "the storage stops"));
  if (append.chain->has_failed(append.run)) {
    return refuse(append, Status(StatusCode::unavailable, "not sent, because an append before it failed"));
  }
  if (producer_ && producer_->client->is_fatal()) retire();
  if (append.partition->given_up > 0) {
    Status unsettled(StatusCode::unavailable, "an append before it is not answered yet");
    unsettled.set_retry_after_ms(kUnsettledMs);
    return refuse(append, unsettled);
  }
  if (!producer_) {
    if (Status made = make_producer(); !made.ok()) return refuse(append, made);
  }
  if (append.partition->seen_by_producer != producer_->generation) return introduce(std::move(append));
  Status status(StatusCode::unknown, "answered already");
  bool pending = false;
  append.ticket->use([&] {
    auto unpacked = native::unpack(*append.request, largest_message_);
    status = unpacked ? send(append, std::move(*unpacked), pending) : unpacked.error();
  });
  if (pending) return;
  if (!status.ok()) return refuse(append, status);
  append.ticket->answer(status);
}

/// Nothing of it was sent.
void Writer::refuse(const Append& append, const Status& status) {
  append.chain->failed(append.run);
  append.ticket->answer(status);
}

/// A producer refuses partitions that its metadata does not name, and waits long for topics that are not there.
void Writer::introduce(Append append) {
  const PartitionPtr partition = append.partition;
  introducing_[partition];     // what comes meanwhile waits behind this
  ++producer_->introductions;  // so that it stays
  pool_.post([this, append = std::move(append), partition, session = session_, producer = producer_,
              client = producer_->client] {
    const int64_t left_ms = (append.ticket->deadline_ns() - now_ns()) / 1'000'000;
    const int wait_ms = static_cast<int>(std::clamp<int64_t>(left_ms, 1, settings_.request_timeout_ms));
    const rd_kafka_metadata_t* raw = nullptr;
    const TopicHandle handle(rd_kafka_topic_new(client->get(), partition->topic().c_str(), nullptr));
    Status status = handle ? status_of(rd_kafka_metadata(client->get(), 0, handle.get(), &raw, wait_ms))
                           : status_of(rd_kafka_last_error());
    const MetadataHandle metadata(raw);
    if (status.ok() && metadata->topic_cnt == 1) {
      const rd_kafka_metadata_topic_t& found = metadata->topics[0];
      status = status_of(found.err, partition->topic());
      if (status.ok() && partition->index() >= found.partition_cnt) {
        status = Status(StatusCode::not_found,
                        fmt::format("topic {} has {} partitions", partition->topic(), found.partition_cnt));
      }
    }
    worker_.post([this, append, partition, session, producer, status = std::move(status)] {
      --producer->introductions;
      if (session != session_) return;  // stop has answered it
      if (status.ok() && producer == producer_) partition->seen_by_producer = producer->generation;
      const std::vector<Append> behind = std::exchange(introducing_[partition], {});
      introducing_.erase(partition);
      if (status.ok()) {
        begin(append);
      } else {
        refuse(append, status);
      }
      for (const Append& each : behind) begin(each);
    });
  });
}

/// `pending`: the reports answer. Otherwise nothing of it was sent.
Status Writer::send(const Append& append, native::UnpackedUnit unpacked, bool& pending) {
  Partition& partition = *append.partition;
  if (in_flight_ > 0 && in_flight_ + cost_of(unpacked) > settings_.max_in_flight) {
    Status busy(StatusCode::busy, fmt::format("{} bytes are on their way to the cluster already", in_flight_));
    busy.set_retry_after_ms(kBusyMs);
    return busy;
  }
  auto unit = std::make_unique<Unit>();
  unit->call = append;
  unit->producer = producer_.get();
  unit->records = unpacked.records;
  unit->cost = cost_of(unpacked);
  unit->due_ns = now_ns() + settings_.delivery_timeout_ms * kMsToNs;
  unit->requests_before = producer_->client->requests_sent();
  unit->batches.resize(unpacked.batches.size());
  rd_kafka_topic_t* handle = topic(*producer_, partition.topic());
  if (handle == nullptr) return status_of(rd_kafka_last_error());
  rd_kafka_resp_err_t error = RD_KAFKA_RESP_ERR_NO_ERROR;
  for (size_t i = 0; i < unit->batches.size() && error == RD_KAFKA_RESP_ERR_NO_ERROR; ++i) {
    native::UnpackedBatch& batch = unpacked.batches[i];
    unit->batches[i].unit = unit.get();
    // One copy for all records: librdkafka may need them for longer than the request lasts.
    unit->sections.push_back(batch.scratch.empty() ? Buffer::copy_of(batch.section) : std::move(batch.scratch));
    records::RecordIterator records(unit->sections.back(), batch.batch);
    for (records::RecordView record; records.next(record);) {
      error = produce(producer_->client->get(), handle, partition.index(), batch.batch, record, &unit->batches[i]);
      if (error != RD_KAFKA_RESP_ERR_NO_ERROR) break;
      ++unit->batches[i].records;
      ++unit->outstanding;
    }
  }
  if (error != RD_KAFKA_RESP_ERR_NO_ERROR) {
    unit->failure = status_of(error);
    if (unit->failure.code() == StatusCode::not_found) partition.seen_by_producer = 0;
  }
  if (unit->outstanding == 0) {
    if (unit->failure.ok()) tell(*unit, partition.known().end);  // batches without a record
    return unit->failure;
  }
  in_flight_ += unit->cost;
  pending = true;
  Unit& placed = *unit;
  placed.place = producer_->units.insert(producer_->units.end(), std::move(unit));
  return {};
}

int64_t Writer::serve() {
  if (producer_) {
    while (EventHandle event{rd_kafka_queue_poll(producer_->client->events(), 0)}) heard(*producer_, *event);
    if (producer_->client->is_fatal()) retire();
  }
  for (auto& producer : retired_) {
    while (EventHandle event{rd_kafka_queue_poll(producer->client->events(), 0)}) heard(*producer, *event);
  }
  discard_retired();
  give_up_overdue();
  return producer_ && !producer_->units.empty() ? producer_->units.front()->due_ns : Worker::kNever;
}

/// Appends are due in the order in which they were sent: the front is the next. A producer that has sent nothing since
/// that one, and has nothing else that may be on its way, can take all of it back; see the head of writer.hpp.
void Writer::give_up_overdue() {
  if (!producer_ || stopping_) return;
  Units& units = producer_->units;
  const int64_t now = now_ns();
  if (units.empty() || units.front()->due_ns > now) return;
  if (producer_->given_up.empty() && units.front()->requests_before == producer_->client->requests_sent()) {
    return retire();
  }
  while (!units.empty() && units.front()->due_ns <= now) {
    Unit& unit = *units.front();
    producer_->given_up.splice(producer_->given_up.end(), units, units.begin());
    unit.given_up = true;
    ++unit.call.partition->given_up;
    unit.call.chain->failed(unit.call.run);
    const Status status(StatusCode::unknown, fmt::format("{} of {} records are known to be there: not answered in time",
                                                         unit.applied, unit.records));
    unit.call.ticket->answer_with([&]() -> const Status& {
      tell(unit);
      return status;
    });
  }
}

void Writer::heard(Producer& producer, const rd_kafka_event_t& event) {
  auto* raw = const_cast<rd_kafka_event_t*>(&event);
  if (rd_kafka_event_type(raw) != RD_KAFKA_EVENT_DR) return producer.client->heard(event);
  while (const rd_kafka_message_t* message = rd_kafka_event_message_next(raw)) delivered(*message);
}

void Writer::delivered(const rd_kafka_message_t& message) {
  auto& batch = *static_cast<BatchState*>(message._private);
  Unit& unit = *batch.unit;
  const Status status = status_of_delivery(message);
  if (status.ok()) {
    ++unit.applied;
    ++batch.applied;
    // A duplicate's place may have been forgotten by the other side: then it is not known.
    if (message.offset >= 0) {
      if (batch.first < 0 || message.offset < batch.first) batch.first = message.offset;
      batch.last = std::max(batch.last, message.offset);
    }
  } else {
    if (unit.failure.ok()) unit.failure = status;
    unit.open |= status.code() == StatusCode::unknown;
    if (code_of(message.err) == StatusCode::not_found) unit.call.partition->seen_by_producer = 0;
  }
  if (--unit.outstanding == 0) conclude(unit);
}

int64_t Writer::Unit::end() const {
  int64_t end = 0;
  for (const BatchState& batch : batches) end = std::max(end, batch.last + 1);
  return end;
}

/// What became of each batch; the ticket is in use. `end` where it has no records.
void Writer::tell(const Unit& unit, int64_t end) {
  plugin::set(*unit.call.result, &sluice_append_result::end, std::max(end, unit.end()));
  sluice_batch_result* results = plugin::get(*unit.call.result, &sluice_append_result::batches);
  if (results == nullptr) return;
  for (size_t i = 0; i < unit.batches.size(); ++i) {
    const BatchState& batch = unit.batches[i];
    results[i].first_offset = batch.first;
    results[i].last_offset = batch.last;
    results[i].applied = batch.applied;
  }
}

void Writer::conclude(Unit& concluded) {
  const std::unique_ptr<Unit> unit = std::move(*concluded.place);
  (unit->given_up ? unit->producer->given_up : unit->producer->units).erase(unit->place);
  if (unit->given_up) --unit->call.partition->given_up;
  in_flight_ -= unit->cost;
  if (const int64_t end = unit->end(); end > 0) {
    unit->call.partition->saw_end(end);
    appended_(unit->call.partition, end);
  }
  Status status = std::move(unit->failure);
  if (!status.ok() && (unit->open || unit->applied > 0)) {
    status =
        Status(StatusCode::unknown,
               fmt::format("{} of {} records are known to be there: {}", unit->applied, unit->records, status.text()),
               status.native_code());
  }
  if (!status.ok()) unit->call.chain->failed(unit->call.run);
  unit->call.ticket->answer_with([&]() -> const Status& {
    tell(*unit);
    return status;
  });
}

}  // namespace sluice::kafka
