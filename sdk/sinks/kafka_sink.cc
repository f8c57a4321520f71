// SPDX-License-Identifier: Apache-2.0
// One producer of librdkafka. Payloads are not copied, since a batch lives until its `done`; every record has a Slot
// that its delivery report fills in, and the last report of a batch says what became of it. One thread (`reports`)
// serves librdkafka and so calls `done`; another (`loop`) does what waits: the topic, flush, close, a new producer
// after one failed for good.
#include "sluice/kafka_sink.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <future>
#include <memory>
#include <mutex>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include "base/thread_loop.hpp"
#include "rdkafka/errors.hpp"
#include "sinks/cold_start.hpp"
#include "sources/kafka_client.hpp"
#include "sources/names.hpp"

namespace sluice {
namespace {

using sinks::ColdStart;

constexpr uint64_t kLeastPendingBytes = 1 << 20;
constexpr uint64_t kMostPendingBytes = uint64_t{2} << 30;
constexpr uint64_t kRecordBytes = 128;  // what a record takes beside its bytes, about
constexpr int kPollMs = 50;
constexpr int64_t kBusyMs = 5;
constexpr int64_t kPurgeMs = 5'000;  // until librdkafka has reported what was given up
constexpr int64_t kMostWaitMs = 86'400'000;
constexpr size_t kMaxTopicBytes = 249;

Status wrong(std::string_view field, std::string_view why) {
  return Status(StatusCode::invalid, fmt::format("{}: {}", field, why));
}

Status check_settings(const KafkaSinkSettings& settings) {
  if (Status bad =
          sources::check_kafka(settings.name, settings.bootstrap, settings.properties, settings.request_timeout_ms);
      !bad.ok()) {
    return bad;
  }
  if (!sources::is_plain_name(settings.topic, kMaxTopicBytes)) {
    return wrong("topic", fmt::format("1 to {} letters, digits, dots, underscores, hyphens", kMaxTopicBytes));
  }
  if (settings.partition != KafkaSinkSettings::Partition::by_key &&
      settings.partition != KafkaSinkSettings::Partition::by_shard) {
    return wrong("partition", "by_key or by_shard");
  }
  if (settings.create_partitions < 0 || settings.create_partitions > 100'000) {
    return wrong("create_partitions", "must be from 0 to 100000");
  }
  if (settings.create_replication != -1 && (settings.create_replication < 1 || settings.create_replication > 32'767)) {
    return wrong("create_replication", "-1, or from 1 to 32767");
  }
  if (settings.max_pending_bytes < kLeastPendingBytes || settings.max_pending_bytes > kMostPendingBytes) {
    return wrong("max_pending_bytes", fmt::format("must be from {} to {}", kLeastPendingBytes, kMostPendingBytes));
  }
  if (settings.delivery_timeout_ms < 100 || settings.delivery_timeout_ms > 900'000) {
    return wrong("delivery_timeout_ms", "must be from 100 to 900000");
  }
  return {};
}

/// Never to be taken, however often it is sent.
bool is_refusal(const Status& status) {
  return status.code() == StatusCode::too_large || status.code() == StatusCode::invalid ||
         status.code() == StatusCode::corrupt;
}

}  // namespace

struct KafkaSink::Impl {
  struct Shipment;
  /// One record that is on its way.
  struct Slot {
    Shipment* shipment = nullptr;
    rd_kafka_resp_err_t error = RD_KAFKA_RESP_ERR_NO_ERROR;
    StatusCode code = StatusCode::ok;
  };
  /// A batch that is on its way.
  struct Shipment {
    EventBatch batch;
    Delivered done;
    std::vector<Slot> slots;
    std::atomic<size_t> left{0};
    uint64_t bytes = 0;
  };

  explicit Impl(KafkaSinkSettings given) : settings(std::move(given)) {}
  ~Impl();

  Status make_producer();
  void open(ColdStart::Waiter waiter, UniqueFunction<void()> when_full);
  Status find_topic();
  Status create_topic();
  void ship(std::unique_ptr<Shipment> shipment);
  void send(Shipment& shipment, size_t i);
  void report(Slot& slot, rd_kafka_resp_err_t error, StatusCode code);
  void finish(std::unique_ptr<Shipment> shipment);
  void refuse(std::unique_ptr<Shipment> shipment, Status status);
  void serve();
  void heard(rd_kafka_resp_err_t error, const char* text);
  void renew();
  bool wait_empty(int64_t timeout_ms);

  const KafkaSinkSettings settings;
  ColdStart start{kMaxWaitingBatches};
  sources::KafkaTrouble trouble;
  std::mutex producing;  // held while records are given to the producer, and while it is replaced
  rd_kafka_t* producer = nullptr;
  rd_kafka_topic_t* topic = nullptr;
  std::atomic<int32_t> partitions{0};
  std::atomic<bool> renewing{false}, closed{false}, stopping{false};
  std::atomic<uint64_t> opened{0}, sent{0}, delivered{0}, failed{0}, pending_bytes{0};
  std::mutex mutex;
  std::condition_variable emptied;
  Status first_error;  // since the last flush; guarded by mutex
  std::thread reports;
  ThreadLoop loop{"sluice-sink"};
};

// ---- The producer

Result<std::unique_ptr<KafkaSink>> KafkaSink::make(KafkaSinkSettings settings) {
  if (Status bad = check_settings(settings); !bad.ok()) return fail(std::move(bad));
  auto impl = std::make_shared<Impl>(std::move(settings));
  if (Status made = impl->make_producer(); !made.ok()) return fail(std::move(made));
  impl->reports = std::thread([raw = impl.get()] { raw->serve(); });
  return std::unique_ptr<KafkaSink>(new KafkaSink(std::move(impl)));
}

KafkaSink::KafkaSink(std::shared_ptr<Impl> impl) : impl_(std::move(impl)) {}

KafkaSink::~KafkaSink() {
  if (!impl_->closed) {
    auto promise = std::make_shared<std::promise<void>>();
    std::future<void> future = promise->get_future();
    close(kCloseMs, [promise](const Status&) { promise->set_value(); });
    future.wait();
  }
}

KafkaSink::Impl::~Impl() {
  loop.stop();
  stopping = true;
  if (reports.joinable()) reports.join();
  if (topic != nullptr) rd_kafka_topic_destroy(topic);
  if (producer != nullptr) rd_kafka_destroy(producer);
}

Status KafkaSink::Impl::make_producer() {
  const sources::KafkaPairs more = {
      {"enable.idempotence", "true"},
      {"message.timeout.ms", std::to_string(settings.delivery_timeout_ms)},
      {"request.timeout.ms", std::to_string(std::min(settings.request_timeout_ms, settings.delivery_timeout_ms))},
      {"partitioner", "murmur2_random"},
      // The budget is counted here, so that a batch is refused whole.
      {"queue.buffering.max.messages", "10000000"},
      {"queue.buffering.max.kbytes", "2147483647"}};
  auto conf = sources::make_kafka_conf(settings.bootstrap, settings.request_timeout_ms, more, settings.properties);
  if (!conf) return conf.error();
  rd_kafka_conf_set_opaque(conf->get(), this);
  rd_kafka_conf_set_log_cb(
      conf->get(), +[](const rd_kafka_t*, int, const char*, const char*) {});
  rd_kafka_conf_set_error_cb(
      conf->get(), +[](rd_kafka_t*, int error, const char* text, void* opaque) {
        static_cast<Impl*>(opaque)->heard(static_cast<rd_kafka_resp_err_t>(error), text);
      });
  rd_kafka_conf_set_dr_msg_cb(
      conf->get(), +[](rd_kafka_t*, const rd_kafka_message_t* message, void* opaque) {
        static_cast<Impl*>(opaque)->report(*static_cast<Slot*>(message->_private), message->err,
                                           kafka::status_of_delivery(*message).code());
      });
  std::array<char, 512> text{};
  producer = rd_kafka_new(RD_KAFKA_PRODUCER, conf->get(), text.data(), text.size());
  if (producer == nullptr) return wrong("properties", text.data());
  static_cast<void>(conf->release());  // librdkafka's now
  topic = rd_kafka_topic_new(producer, settings.topic.c_str(), nullptr);
  if (topic == nullptr) return kafka::status_of(rd_kafka_last_error());
  return {};
}

/// The reports' thread, which alone replaces the producer.
void KafkaSink::Impl::serve() {
  while (!stopping) {
    rd_kafka_poll(producer, kPollMs);
    if (renewing) renew();
  }
}

void KafkaSink::Impl::heard(rd_kafka_resp_err_t error, const char* text) {
  trouble.heard(error, text);
  if (error == RD_KAFKA_RESP_ERR__FATAL) renewing = true;
  if (kafka::code_of(error) != StatusCode::denied) return;
  // It will not be let in: nothing that waits for it can be written.
  rd_kafka_purge(producer, RD_KAFKA_PURGE_F_QUEUE | RD_KAFKA_PURGE_F_INFLIGHT | RD_KAFKA_PURGE_F_NON_BLOCKING);
}

/// A producer that failed for good says so of every record, and is then replaced. On the reports' thread.
void KafkaSink::Impl::renew() {
  rd_kafka_t* old = producer;
  while (pending_bytes > 0 && !stopping) rd_kafka_poll(old, kPollMs);
  rd_kafka_topic_t* old_topic = topic;
  {
    const std::lock_guard lock(producing);
    if (pending_bytes > 0) return;
    if (!make_producer().ok()) {
      producer = old;
      topic = old_topic;
      return;
    }
    renewing = false;
  }
  rd_kafka_topic_destroy(old_topic);
  rd_kafka_destroy(old);
}

// ---- The topic

void KafkaSink::Impl::open(ColdStart::Waiter waiter, UniqueFunction<void()> when_full) {
  switch (start.enter(waiter)) {
    case ColdStart::Answer::open:
      return waiter(Status());
    case ColdStart::Answer::full:
      return when_full();
    case ColdStart::Answer::waiting:
      return;
    case ColdStart::Answer::begin:
      break;
  }
  loop.post([this] {
    ++opened;
    Status status = closed ? Status(StatusCode::internal, "the sink is closed") : find_topic();
    if (status.code() == StatusCode::not_found && settings.create_partitions > 0) {
      status = create_topic();
      if (status.ok() || status.code() == StatusCode::exists) status = find_topic();
    }
    // What the connections said is why nobody answered.
    if (status.code() == StatusCode::unavailable && !trouble.last().ok()) status = trouble.last();
    trouble.forget();
    start.ended(status);
  });
}

Status KafkaSink::Impl::find_topic() {
  const rd_kafka_metadata_t* raw = nullptr;
  const rd_kafka_resp_err_t error =
      rd_kafka_metadata(producer, 0, topic, &raw, static_cast<int>(settings.request_timeout_ms));
  const kafka::MetadataHandle metadata(raw);
  if (error != RD_KAFKA_RESP_ERR_NO_ERROR) return kafka::status_of(error);
  if (metadata->topic_cnt != 1) return Status(StatusCode::not_found, settings.topic);
  const rd_kafka_metadata_topic_t& found = metadata->topics[0];
  if (found.err != RD_KAFKA_RESP_ERR_NO_ERROR) return kafka::status_of(found.err, settings.topic);
  if (found.partition_cnt == 0) return Status(StatusCode::unavailable, "the topic has no partition yet");
  partitions = found.partition_cnt;
  return {};
}

Status KafkaSink::Impl::create_topic() {
  std::array<char, 512> text{};
  rd_kafka_NewTopic_t* wanted = rd_kafka_NewTopic_new(settings.topic.c_str(), settings.create_partitions,
                                                      settings.create_replication, text.data(), text.size());
  if (wanted == nullptr) return wrong("create_partitions", text.data());
  const kafka::QueueHandle queue(rd_kafka_queue_new(producer));
  rd_kafka_CreateTopics(producer, &wanted, 1, nullptr, queue.get());
  rd_kafka_NewTopic_destroy(wanted);
  const kafka::EventHandle event(rd_kafka_queue_poll(queue.get(), static_cast<int>(settings.request_timeout_ms)));
  if (!event) return Status(StatusCode::unavailable, "the cluster did not answer whether it made the topic");
  if (const auto error = rd_kafka_event_error(event.get()); error != RD_KAFKA_RESP_ERR_NO_ERROR) {
    return kafka::status_of(error, rd_kafka_event_error_string(event.get()));
  }
  size_t count = 0;
  const rd_kafka_CreateTopics_result_t* result = rd_kafka_event_CreateTopics_result(event.get());
  const rd_kafka_topic_result_t** topics = rd_kafka_CreateTopics_result_topics(result, &count);
  if (count != 1) return Status(StatusCode::internal, "the cluster answered for another topic");
  const char* why = rd_kafka_topic_result_error_string(topics[0]);
  return kafka::status_of(rd_kafka_topic_result_error(topics[0]), why != nullptr ? why : "");
}

// ---- Delivering

SinkTraits KafkaSink::traits() const {
  SinkTraits traits;
  traits.ordered = false;
  traits.max_batch_bytes = impl_->settings.max_pending_bytes / 4;
  traits.max_batch_events = static_cast<uint32_t>(impl_->settings.max_pending_bytes / 4 / kRecordBytes);
  return traits;
}

void KafkaSink::open(Done done) {
  auto shared = std::make_shared<Done>(std::move(done));
  impl_->open([shared](const Status& status) { (*shared)(status); },
              [shared] { (*shared)(Status(StatusCode::busy, "too many wait for the sink to open")); });
}

void KafkaSink::deliver(EventBatch batch, Delivered done) {
  auto shipment = std::make_unique<Impl::Shipment>();
  shipment->batch = batch;
  shipment->done = std::move(done);
  if (impl_->start.is_open()) return impl_->ship(std::move(shipment));
  auto shared = std::make_shared<std::unique_ptr<Impl::Shipment>>(std::move(shipment));
  impl_->open(
      [impl = impl_.get(), shared](const Status& status) {
        status.ok() ? impl->ship(std::move(*shared)) : impl->refuse(std::move(*shared), status);
      },
      [impl = impl_.get(), shared] {
        impl->refuse(std::move(*shared), Status(StatusCode::busy, "too many batches wait for the sink to open"));
      });
}

/// Nothing of it was sent.
void KafkaSink::Impl::refuse(std::unique_ptr<Shipment> shipment, Status status) {
  if (status_class(status.code()) != 300) {
    const std::lock_guard lock(mutex);
    if (first_error.ok()) first_error = status;
  }
  Delivery delivery;
  delivery.status = std::move(status);
  shipment->done(std::move(delivery));
}

void KafkaSink::Impl::ship(std::unique_ptr<Shipment> shipment) {
  const size_t count = shipment->batch.size();
  shipment->bytes = shipment->batch.payload_bytes() + count * kRecordBytes;
  if (closed) return refuse(std::move(shipment), Status(StatusCode::internal, "the sink is closed"));
  if (renewing) return refuse(std::move(shipment), Status(StatusCode::unavailable, "the producer is being replaced"));
  const uint64_t before = pending_bytes.fetch_add(shipment->bytes);
  if (before > 0 && before + shipment->bytes > settings.max_pending_bytes) {
    pending_bytes -= shipment->bytes;
    Status busy(StatusCode::busy, fmt::format("{} bytes are on their way already", before));
    busy.set_retry_after_ms(kBusyMs);
    return refuse(std::move(shipment), std::move(busy));
  }
  shipment->slots.resize(count);
  shipment->left = count + 1;  // one of them is this call's
  Shipment* sending = shipment.release();
  {
    const std::lock_guard lock(producing);
    for (size_t i = 0; i < count; ++i) send(*sending, i);
  }
  if (--sending->left == 0) finish(std::unique_ptr<Shipment>(sending));
}

void KafkaSink::Impl::send(Shipment& shipment, size_t i) {
  const Record record = shipment.batch[i];
  Slot& slot = shipment.slots[i];
  slot.shipment = &shipment;
  rd_kafka_headers_t* headers = nullptr;
  if (!record.headers.empty()) {
    headers = rd_kafka_headers_new(static_cast<size_t>(record.headers.count()));
    record.headers.each([&](const Header& header) {
      rd_kafka_header_add(headers, header.name.data(), static_cast<ssize_t>(header.name.size()),
                          header.value ? header.value->data() : nullptr,
                          header.value ? static_cast<ssize_t>(header.value->size()) : 0);
      return true;
    });
  }
  // An empty value is not null: librdkafka tells them apart by the pointer.
  static uint8_t nothing = 0;
  const auto pointer = [](const std::optional<Bytes>& bytes) -> void* {
    if (!bytes) return nullptr;
    return bytes->empty() ? &nothing : const_cast<uint8_t*>(bytes->data());
  };
  const int32_t partition =
      settings.partition == KafkaSinkSettings::Partition::by_shard
          ? static_cast<int32_t>(shipment.batch.origin().shard % static_cast<uint64_t>(partitions.load()))
          : RD_KAFKA_PARTITION_UA;
  ++sent;
  const rd_kafka_resp_err_t error =
      rd_kafka_producev(producer, RD_KAFKA_V_RKT(topic), RD_KAFKA_V_PARTITION(partition), RD_KAFKA_V_MSGFLAGS(0),
                        RD_KAFKA_V_VALUE(pointer(record.value), (record.value ? record.value->size() : 0)),
                        RD_KAFKA_V_KEY(pointer(record.key), (record.key ? record.key->size() : 0)),
                        RD_KAFKA_V_TIMESTAMP(record.timestamp_ns == kNoTimestamp ? 0 : record.timestamp_ns / 1'000'000),
                        RD_KAFKA_V_HEADERS(headers), RD_KAFKA_V_OPAQUE(&slot), RD_KAFKA_V_END);
  if (error == RD_KAFKA_RESP_ERR_NO_ERROR) return;
  if (headers != nullptr) rd_kafka_headers_destroy(headers);
  report(slot, error, kafka::code_of(error));
}

/// What became of one record.
void KafkaSink::Impl::report(Slot& slot, rd_kafka_resp_err_t error, StatusCode code) {
  slot.error = error;
  slot.code = code;
  (code == StatusCode::ok ? delivered : failed) += 1;
  Shipment* shipment = slot.shipment;
  if (--shipment->left == 0) finish(std::unique_ptr<Shipment>(shipment));
}

/// All of a batch is reported. What failed before something that was written is refused: it cannot be sent again in its
/// place.
void KafkaSink::Impl::finish(std::unique_ptr<Shipment> shipment) {
  const std::vector<Slot>& slots = shipment->slots;
  const Status why = trouble.last();  // nobody was reached because of it, where nobody was
  const auto status_of = [&](const Slot& slot) {
    const bool purged = slot.error == RD_KAFKA_RESP_ERR__PURGE_QUEUE || slot.error == RD_KAFKA_RESP_ERR__PURGE_INFLIGHT;
    if (purged && why.code() == StatusCode::denied) return why;
    // Only what was sent and not answered is open; what never left may be tried again.
    return Status(slot.code, rd_kafka_err2str(slot.error), slot.error);
  };
  size_t behind_written = slots.size();
  while (behind_written > 0 && slots[behind_written - 1].code != StatusCode::ok) --behind_written;
  if (behind_written > 0) trouble.forget();
  Delivery delivery;
  for (size_t i = 0; i < slots.size(); ++i) {
    if (slots[i].code == StatusCode::ok) {
      ++delivery.settled;
      continue;
    }
    Status status = status_of(slots[i]);
    if (i < behind_written || is_refusal(status)) {
      ++delivery.settled;
      if (delivery.refused++ == 0) delivery.refusal = std::move(status);
      continue;
    }
    delivery.status = std::move(status);
    break;
  }
  {
    const std::lock_guard lock(mutex);
    if (first_error.ok() && delivery.refused > 0) first_error = delivery.refusal;
    if (first_error.ok() && !delivery.status.ok()) first_error = delivery.status;
  }
  const uint64_t bytes = shipment->bytes;
  shipment->done(std::move(delivery));
  shipment.reset();
  {
    const std::lock_guard lock(mutex);
    pending_bytes -= bytes;
  }
  emptied.notify_all();
}

// ---- Flush and close

/// False: something is on its way still. The reports' thread sees to it; here is only waited.
bool KafkaSink::Impl::wait_empty(int64_t timeout_ms) {
  std::unique_lock lock(mutex);
  return emptied.wait_for(lock, std::chrono::milliseconds(std::clamp<int64_t>(timeout_ms, 0, kMostWaitMs)),
                          [this] { return pending_bytes == 0; });
}

void KafkaSink::flush(int64_t timeout_ms, Done done) {
  impl_->loop.post([impl = impl_.get(), timeout_ms, done = std::move(done)]() mutable {
    if (!impl->wait_empty(timeout_ms)) {
      return done(Status(StatusCode::unavailable,
                         fmt::format("{} bytes are on their way after {} ms", impl->pending_bytes.load(), timeout_ms)));
    }
    Status first;
    {
      const std::lock_guard lock(impl->mutex);
      first = std::exchange(impl->first_error, Status());
    }
    done(std::move(first));
  });
}

void KafkaSink::close(int64_t timeout_ms, Done done) {
  impl_->closed = true;
  auto shared = std::make_shared<Done>(std::move(done));
  flush(timeout_ms, [impl = impl_.get(), shared](Status status) {
    if (impl->pending_bytes > 0) {
      // Given up: the reports say so, one by one.
      const std::lock_guard lock(impl->producing);
      rd_kafka_purge(impl->producer, RD_KAFKA_PURGE_F_QUEUE | RD_KAFKA_PURGE_F_INFLIGHT);
    }
    static_cast<void>(impl->wait_empty(kPurgeMs));
    (*shared)(std::move(status));
  });
}

KafkaSinkCounters KafkaSink::counters() const {
  return {impl_->opened, impl_->sent, impl_->delivered, impl_->failed, impl_->pending_bytes};
}

}  // namespace sluice
