// SPDX-License-Identifier: Apache-2.0
// One producer of librdkafka. Every record has a Slot that its delivery report fills in, and the last report of a batch
// says what became of it. One thread (`reports`) serves librdkafka and so calls `done`, and replaces a producer;
// another (`loop`) does what waits: the topic, flush, close.
//
// A request may lie in the buffers of a broker that is stopped or out of reach, and be carried out long after nobody
// waits for it. Only its own producer is safe from that: the numbers that it gave its records make the broker refuse
// what comes late. So a batch that is given up and may have been sent stays with its producer, which sends it until it
// is answered, and other batches of its shard are held until then. librdkafka's payloads are copies therefore. A
// producer gives way to another one when it failed for good, or when nothing that it holds was sent.
#include "sluice/kafka_sink.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <list>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string_view>
#include <thread>
#include <tuple>
#include <utility>
#include <vector>

#include "base/thread.hpp"
#include "base/thread_loop.hpp"
#include "rdkafka/errors.hpp"
#include "rdkafka/handles.hpp"
#include "rdkafka/requests.hpp"
#include "sinks/cold_start.hpp"
#include "sinks/settings.hpp"
#include "sources/kafka_client.hpp"
#include "sources/settings.hpp"

namespace sluice {
namespace {

using sinks::ColdStart;
using Clock = std::chrono::steady_clock;

constexpr uint64_t kLeastPendingBytes = 1 << 20;
constexpr uint64_t kMostPendingBytes = uint64_t{2} << 30;
constexpr uint64_t kRecordBytes = 128;  // what a record takes beside its bytes, about
constexpr int kPollMs = 50;
constexpr int64_t kFirstRenewMs = 100;  // between two producers of which neither wrote anything; then twice as long
constexpr int64_t kLongestRenewMs = 10'000;
constexpr int64_t kFirstAskMs = 200;  // of a cluster for the topic; then twice as long, until the time is up
constexpr int64_t kBusyMs = 5;
constexpr int64_t kPurgeMs = 5'000;  // until librdkafka has reported what was given up
constexpr int64_t kMostWaitMs = 86'400'000;

Status wrong(std::string_view field, std::string_view why) {
  return Status(StatusCode::invalid, fmt::format("{}: {}", field, why));
}

/// What a producer is told.
sources::KafkaPairs pairs_of(const KafkaSinkSettings& settings) {
  return {{"enable.idempotence", "true"},
          // Deadlines are kept here: where librdkafka gives up one record, it sends those behind it once more as if
          // they were new, also those that were written.
          {"message.timeout.ms", "0"},
          {"request.timeout.ms", std::to_string(std::min(settings.request_timeout_ms, settings.delivery_timeout_ms))},
          {"partitioner", "murmur2_random"},
          // The budget is counted here, so that a batch is refused whole.
          {"queue.buffering.max.messages", "10000000"},
          {"queue.buffering.max.kbytes", "2147483647"}};
}

/// Never to be taken, however often it is sent.
bool is_refusal(const Status& status) {
  return status.code() == StatusCode::too_large || status.code() == StatusCode::invalid ||
         status.code() == StatusCode::corrupt;
}

}  // namespace

Status sinks::check(const KafkaSinkSettings& settings) {
  if (Status bad =
          sources::check_kafka(settings.name, settings.bootstrap, settings.properties, settings.request_timeout_ms);
      !bad.ok()) {
    return bad;
  }
  if (Status bad = sources::check_topic(settings.topic); !bad.ok()) return bad;
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
  return sources::check_kafka_together(RD_KAFKA_PRODUCER, pairs_of(settings), settings.properties,
                                       settings.request_timeout_ms);
}

struct KafkaSink::Impl {
  struct Shipment;
  using Shipments = std::multimap<Clock::time_point, Shipment*>;
  using Shard = std::tuple<std::string, uint64_t, uint64_t>;  // bus, epoch, shard
  /// One record that is on its way; as long as nothing is reported it may be there or not.
  struct Slot {
    Shipment* shipment = nullptr;
    rd_kafka_resp_err_t error = RD_KAFKA_RESP_ERR__MSG_TIMED_OUT;
    StatusCode code = StatusCode::unknown;
  };
  /// A batch that is on its way, or held.
  struct Shipment {
    EventBatch batch;  // gone when `done` was called
    Delivered done;
    Shard shard;
    std::vector<Slot> slots;
    std::atomic<size_t> left{0};
    uint64_t bytes = 0;
    uint64_t requests_before = 0;  // that were sent when its first record was given to librdkafka
    Clock::time_point deadline;
    Shipments::iterator place;
    bool given_up = false;
  };

  /// Lives until nobody uses it any more: who looks for the topic does so beside the thread that replaces it.
  struct Producer {
    kafka::ClientHandle client;
    kafka::TopicHandle topic;  // of it, so it goes first
  };

  explicit Impl(KafkaSinkSettings given) : settings(std::move(given)) {}
  ~Impl();

  Result<std::shared_ptr<Producer>> make_producer();
  std::shared_ptr<Producer> current();
  void open(ColdStart::Waiter waiter);
  Status find_topic(const Producer& on);
  Status create_topic(const Producer& on);
  void ship(std::unique_ptr<Shipment> shipment);
  void send_all(std::unique_ptr<Shipment> shipment);
  void send(Shipment& shipment, size_t i);
  void report(Slot& slot, rd_kafka_resp_err_t error, StatusCode code);
  void finish(std::unique_ptr<Shipment> shipment);
  Delivery outcome_of(const Shipment& shipment);
  void note(const Delivery& delivery);
  void refuse(std::unique_ptr<Shipment> shipment, Status status);
  void refuse_held(Clock::time_point overdue, const Status& status);
  void less_pending(uint64_t bytes);
  void serve();
  void heard(rd_kafka_resp_err_t error, const char* text);
  void give_up_overdue();
  void renew();
  bool is_overdue();
  bool wait_empty(int64_t timeout_ms);
  /// When a batch is given up that begins now.
  Clock::time_point due() const { return Clock::now() + std::chrono::milliseconds(settings.delivery_timeout_ms); }

  const KafkaSinkSettings settings;
  ColdStart start{kMaxWaitingBatches};
  sources::KafkaTrouble trouble;
  std::mutex producing;  // held while records are given to the producer, and while it is replaced
  std::shared_ptr<Producer> producer;
  // Of the reports' thread: when a producer may be replaced, and by how much later each time that nothing was written.
  Clock::time_point renew_at{};
  int64_t renew_pause_ms = 0;
  uint64_t delivered_before = 0;
  std::atomic<int32_t> partitions{0};
  std::atomic<bool> renewing{false}, closed{false}, stopping{false};
  std::atomic<uint64_t> opened{0}, sent{0}, delivered{0}, failed{0}, pending_bytes{0};
  std::atomic<uint64_t> requests{0};  // as count_produce_requests says
  std::mutex mutex;                   // may be taken while `producing` is held
  std::condition_variable emptied;
  Status first_error;                         // since the last flush; guarded by mutex, as what follows
  Shipments under_way;                        // with librdkafka and not given up
  std::map<Shard, size_t> unsettled;          // shipments that were given up and are with librdkafka still
  std::list<std::unique_ptr<Shipment>> held;  // of those shards, in the order in which they came
  bool holds_no_more = false;
  std::thread reports;
  ThreadLoop loop{"sluice-sink"};
};

// ---- The producer

Result<std::unique_ptr<KafkaSink>> KafkaSink::make(KafkaSinkSettings settings) {
  if (Status bad = sinks::check(settings); !bad.ok()) return fail(std::move(bad));
  auto impl = std::make_shared<Impl>(std::move(settings));
  auto producer = impl->make_producer();
  if (!producer) return fail(producer.error());
  impl->producer = std::move(*producer);
  impl->reports = start_thread("sluice-sink", [raw = impl.get()] { raw->serve(); });
  return std::unique_ptr<KafkaSink>(new KafkaSink(std::move(impl)));
}

KafkaSink::KafkaSink(std::shared_ptr<Impl> impl) : impl_(std::move(impl)) {}

KafkaSink::~KafkaSink() {
  if (!impl_->closed) sinks::close_and_wait(*this, kCloseMs);
}

KafkaSink::Impl::~Impl() {
  loop.stop();
  stopping = true;
  if (reports.joinable()) reports.join();
  producer.reset();  // whose callbacks use what is here
}

std::shared_ptr<KafkaSink::Impl::Producer> KafkaSink::Impl::current() {
  const std::lock_guard lock(producing);
  return producer;
}

Result<std::shared_ptr<KafkaSink::Impl::Producer>> KafkaSink::Impl::make_producer() {
  auto conf = sources::make_kafka_conf(settings.bootstrap, settings.request_timeout_ms, pairs_of(settings),
                                       settings.properties);
  if (!conf) return fail(conf.error());
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
  kafka::count_produce_requests(*conf->get(), requests);
  std::array<char, 512> text{};
  auto made = std::make_shared<Producer>();
  made->client.reset(rd_kafka_new(RD_KAFKA_PRODUCER, conf->get(), text.data(), text.size()));
  if (!made->client) return fail(wrong("properties", text.data()));
  static_cast<void>(conf->release());  // librdkafka's now
  made->topic.reset(rd_kafka_topic_new(made->client.get(), settings.topic.c_str(), nullptr));
  if (!made->topic) return fail(kafka::status_of(rd_kafka_last_error()));
  return made;
}

/// The reports' thread, which alone replaces the producer.
void KafkaSink::Impl::serve() {
  while (!stopping) {
    rd_kafka_poll(producer->client.get(), kPollMs);
    if (is_overdue()) give_up_overdue();
    if (renewing) renew();
  }
}

void KafkaSink::Impl::heard(rd_kafka_resp_err_t error, const char* text) {
  trouble.heard(error, text);
  if (error == RD_KAFKA_RESP_ERR__FATAL) renewing = true;
  if (kafka::status_of(error, text != nullptr ? text : "").code() != StatusCode::denied) return;
  // It will not be let in: nothing that waits for it can be written.
  rd_kafka_purge(producer->client.get(),
                 RD_KAFKA_PURGE_F_QUEUE | RD_KAFKA_PURGE_F_INFLIGHT | RD_KAFKA_PURGE_F_NON_BLOCKING);
}

/// Something waits for longer than it may.
bool KafkaSink::Impl::is_overdue() {
  const std::lock_guard lock(mutex);
  const auto now = Clock::now();
  return (!under_way.empty() && under_way.begin()->first <= now) || (!held.empty() && held.front()->deadline <= now);
}

/// Where nothing was sent of all that the producer holds, another one may have it. Else the producer keeps what is
/// overdue, and those who gave it are told what is known. On the reports' thread.
void KafkaSink::Impl::give_up_overdue() {
  const auto now = Clock::now();
  refuse_held(now, Status(StatusCode::unavailable, "what was sent before in its shard is not answered"));
  std::vector<std::pair<Delivered, Delivery>> told;
  {
    const std::lock_guard order(producing);  // so that all that librdkafka has is listed
    const std::lock_guard lock(mutex);
    const bool sent_nothing =
        unsettled.empty() && std::all_of(under_way.begin(), under_way.end(),
                                         [this](const auto& each) { return each.second->requests_before == requests; });
    if (sent_nothing && !under_way.empty()) renewing = true;
    while (!renewing && !under_way.empty() && under_way.begin()->first <= now) {
      Shipment& shipment = *under_way.begin()->second;
      under_way.erase(under_way.begin());
      shipment.given_up = true;
      ++unsettled[shipment.shard];
      told.emplace_back(std::move(shipment.done), outcome_of(shipment));
      shipment.batch = EventBatch();
      note(told.back().second);
    }
  }
  for (auto& [done, delivery] : told) done(std::move(delivery));
}

/// A producer that failed for good says so of every record, and what is overdue is given up. One that could send
/// nothing gives back what it has; what it sends in that very moment is waited for. Then comes another one, later and
/// later where they fail and write nothing. On the reports' thread.
void KafkaSink::Impl::renew() {
  rd_kafka_t* old = producer->client.get();
  const bool fatal = rd_kafka_fatal_error(old, nullptr, 0) != RD_KAFKA_RESP_ERR_NO_ERROR;
  const int given_back = RD_KAFKA_PURGE_F_QUEUE | (fatal ? RD_KAFKA_PURGE_F_INFLIGHT : 0);
  bool gives_up = !fatal;
  while (pending_bytes > 0 && !stopping) {
    gives_up = gives_up || is_overdue();
    if (gives_up) rd_kafka_purge(old, given_back | RD_KAFKA_PURGE_F_NON_BLOCKING);
    rd_kafka_poll(old, kPollMs);
  }
  if (fatal) {  // the others come at the pace of the delivery timeout
    if (Clock::now() < renew_at) return;
    const bool wrote = delivered != delivered_before;
    renew_pause_ms = wrote || renew_pause_ms == 0 ? kFirstRenewMs : std::min(2 * renew_pause_ms, kLongestRenewMs);
    renew_at = Clock::now() + std::chrono::milliseconds(renew_pause_ms);
    delivered_before = delivered;
  }
  std::shared_ptr<Producer> replaced;  // ends without the lock
  {
    const std::lock_guard lock(producing);
    if (pending_bytes > 0) return;
    auto made = make_producer();
    if (!made) return;
    replaced = std::exchange(producer, std::move(*made));
    renewing = false;
  }
}

// ---- The topic

void KafkaSink::Impl::open(ColdStart::Waiter waiter) {
  start.when_open(std::move(waiter), [this] {
    loop.post([this] {
      ++opened;
      const std::shared_ptr<Producer> on = current();
      Status status = closed ? Status(StatusCode::fenced, "the sink is closed") : find_topic(*on);
      if (status.code() == StatusCode::not_found && settings.create_partitions > 0) {
        status = create_topic(*on);
        if (status.ok() || status.code() == StatusCode::exists) status = find_topic(*on);
      }
      // What the connections said is why nobody answered.
      if (status.code() == StatusCode::unavailable && !trouble.last().ok()) status = trouble.last();
      trouble.forget();
      start.ended(status);
    });
  });
}

/// Asks, in rising steps, since librdkafka goes on waiting where it was refused.
Status KafkaSink::Impl::find_topic(const Producer& on) {
  const rd_kafka_metadata_t* raw = nullptr;
  rd_kafka_resp_err_t error = RD_KAFKA_RESP_ERR__TIMED_OUT;
  for (int64_t left = settings.request_timeout_ms, step = kFirstAskMs; left > 0; left -= step, step *= 2) {
    error = rd_kafka_metadata(on.client.get(), 0, on.topic.get(), &raw, static_cast<int>(std::min(left, step)));
    if (error != RD_KAFKA_RESP_ERR__TIMED_OUT && error != RD_KAFKA_RESP_ERR__TRANSPORT) break;
    if (trouble.last().code() == StatusCode::denied) break;
  }
  const kafka::MetadataHandle metadata(raw);
  if (error != RD_KAFKA_RESP_ERR_NO_ERROR) return kafka::status_of(error);
  if (metadata->topic_cnt != 1) return Status(StatusCode::not_found, settings.topic);
  const rd_kafka_metadata_topic_t& found = metadata->topics[0];
  if (found.err != RD_KAFKA_RESP_ERR_NO_ERROR) return kafka::status_of(found.err, settings.topic);
  if (found.partition_cnt == 0) return Status(StatusCode::unavailable, "the topic has no partition yet");
  partitions = found.partition_cnt;
  return {};
}

Status KafkaSink::Impl::create_topic(const Producer& on) {
  std::array<char, 512> text{};
  rd_kafka_NewTopic_t* wanted = rd_kafka_NewTopic_new(settings.topic.c_str(), settings.create_partitions,
                                                      settings.create_replication, text.data(), text.size());
  if (wanted == nullptr) return wrong("create_partitions", text.data());
  const kafka::QueueHandle queue(rd_kafka_queue_new(on.client.get()));
  rd_kafka_CreateTopics(on.client.get(), &wanted, 1, nullptr, queue.get());
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
  impl_->open([done = std::move(done)](const Status& status) mutable { done(status); });
}

void KafkaSink::deliver(EventBatch batch, Delivered done) {
  auto shipment = std::make_unique<Impl::Shipment>();
  shipment->batch = batch;
  shipment->done = std::move(done);
  impl_->open([impl = impl_.get(), shipment = std::move(shipment)](const Status& status) mutable {
    status.ok() ? impl->ship(std::move(shipment)) : impl->refuse(std::move(shipment), status);
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

/// Those whose time is up at `overdue`.
void KafkaSink::Impl::refuse_held(Clock::time_point overdue, const Status& status) {
  std::list<std::unique_ptr<Shipment>> over;
  {
    const std::lock_guard lock(mutex);
    while (!held.empty() && held.front()->deadline <= overdue) over.splice(over.end(), held, held.begin());
  }
  for (auto& shipment : over) {
    const uint64_t bytes = shipment->bytes;
    refuse(std::move(shipment), status);
    less_pending(bytes);
  }
}

void KafkaSink::Impl::less_pending(uint64_t bytes) {
  {
    const std::lock_guard lock(mutex);
    pending_bytes -= bytes;
  }
  emptied.notify_all();
}

void KafkaSink::Impl::ship(std::unique_ptr<Shipment> shipment) {
  const size_t count = shipment->batch.size();
  shipment->bytes = shipment->batch.payload_bytes() + count * kRecordBytes;
  if (closed) return refuse(std::move(shipment), Status(StatusCode::fenced, "the sink is closed"));
  if (renewing) return refuse(std::move(shipment), Status(StatusCode::unavailable, "the producer is being replaced"));
  const uint64_t before = pending_bytes.fetch_add(shipment->bytes);
  if (before > 0 && before + shipment->bytes > settings.max_pending_bytes) {
    less_pending(shipment->bytes);
    Status busy(StatusCode::busy, fmt::format("{} bytes are on their way already", before));
    busy.set_retry_after_ms(kBusyMs);
    return refuse(std::move(shipment), std::move(busy));
  }
  shipment->slots.resize(count);
  const BatchOrigin& origin = shipment->batch.origin();
  shipment->shard = Shard(origin.bus, origin.epoch, origin.shard);
  {
    const std::lock_guard lock(mutex);
    shipment->deadline = due();
    if (!holds_no_more && unsettled.contains(shipment->shard)) {
      held.push_back(std::move(shipment));
      return;
    }
  }
  send_all(std::move(shipment));
}

void KafkaSink::Impl::send_all(std::unique_ptr<Shipment> shipment) {
  const size_t count = shipment->slots.size();
  shipment->left = count + 1;  // one of them is this call's
  Shipment* sending = shipment.release();
  {
    const std::lock_guard order(producing);
    sending->requests_before = requests;
    for (size_t i = 0; i < count; ++i) send(*sending, i);
    const std::lock_guard lock(mutex);
    sending->place = under_way.emplace(sending->deadline, sending);
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
      rd_kafka_producev(producer->client.get(), RD_KAFKA_V_RKT(producer->topic.get()), RD_KAFKA_V_PARTITION(partition),
                        RD_KAFKA_V_MSGFLAGS(RD_KAFKA_MSG_F_COPY),
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

/// What is known of a batch. What failed before something that was written is refused: it cannot be sent again in its
/// place.
Delivery KafkaSink::Impl::outcome_of(const Shipment& shipment) {
  const std::vector<Slot>& slots = shipment.slots;
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
  return delivery;
}

/// What the next flush tells. With `mutex`.
void KafkaSink::Impl::note(const Delivery& delivery) {
  if (first_error.ok() && delivery.refused > 0) first_error = delivery.refusal;
  if (first_error.ok() && !delivery.status.ok()) first_error = delivery.status;
}

/// All of a batch is reported. If it was the last that its shard's others are held for, they follow.
void KafkaSink::Impl::finish(std::unique_ptr<Shipment> shipment) {
  std::optional<Delivery> delivery;
  std::list<std::unique_ptr<Shipment>> follow;
  {
    const std::lock_guard lock(mutex);
    if (!shipment->given_up) {
      under_way.erase(shipment->place);
      delivery = outcome_of(*shipment);
      note(*delivery);
    } else if (const auto found = unsettled.find(shipment->shard); --found->second == 0) {
      unsettled.erase(found);
      for (auto it = held.begin(); it != held.end();) {
        const auto next = std::next(it);
        if ((*it)->shard == shipment->shard) {
          (*it)->deadline = due();  // its time begins now
          follow.splice(follow.end(), held, it);
        }
        it = next;
      }
    }
  }
  const uint64_t bytes = shipment->bytes;
  if (delivery) shipment->done(std::move(*delivery));
  shipment.reset();
  less_pending(bytes);
  for (auto& each : follow) send_all(std::move(each));
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
      {
        const std::lock_guard lock(impl->mutex);
        impl->holds_no_more = true;
      }
      impl->refuse_held(Clock::time_point::max(), Status(StatusCode::unavailable, "the sink is closed"));
      // Given up: the reports say so, one by one.
      const std::lock_guard lock(impl->producing);
      rd_kafka_purge(impl->producer->client.get(), RD_KAFKA_PURGE_F_QUEUE | RD_KAFKA_PURGE_F_INFLIGHT);
    }
    static_cast<void>(impl->wait_empty(kPurgeMs));
    (*shared)(std::move(status));
  });
}

KafkaSinkCounters KafkaSink::counters() const {
  return {impl_->opened, impl_->sent, impl_->delivered, impl_->failed, impl_->pending_bytes};
}

}  // namespace sluice
