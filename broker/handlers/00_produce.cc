// SPDX-License-Identifier: Apache-2.0
// Produce, versions 3 to 13 (0 to 2, which carry older batch formats, are advertised and refused). No transactions: a
// transactional batch is INVALID_TXN_STATE. What a storage has not answered by the request's timeout is REQUEST_TIMED_OUT, and may
// be stored all the same. Every batch is queued on its log before the handler first waits, so that requests
// pipelined on one connection keep their order.
#include <fmt/format.h>

#include <algorithm>
#include <mutex>
#include <optional>

#include "handlers/handlers.hpp"
#include "handlers/topics.hpp"
#include "protocol/gen/produce.hpp"
#include "records/lookup.hpp"
#include "records/validate.hpp"

namespace sluice::handlers {
namespace {

using Request = protocol::ProduceRequest;
using Response = protocol::ProduceResponse;
using partition::ProduceOutcome;

constexpr int16_t kFirstZstdVersion = 7;
constexpr int32_t kProduceTimeoutMs = 30'000;  // where the request names none
constexpr int32_t kMinProduceTimeoutMs = 100;
constexpr int32_t kMaxProduceTimeoutMs = 300'000;

/// What Kafka answers. A batch that reaches beyond the request's end is, for it, no batch; a magic that never was is damage.
ErrorCode to_error_code(records::BatchError error, Bytes batch) {
  using records::BatchError;
  switch (error) {
    case BatchError::bad_magic:
      return batch[records::layout::kMagic] < records::kMagic2 ? ErrorCode::kInvalidRecord : ErrorCode::kCorruptMessage;
    case BatchError::bad_crc:
    case BatchError::bad_length: return ErrorCode::kCorruptMessage;
    case BatchError::too_large: return ErrorCode::kMessageTooLarge;
    case BatchError::codec_not_allowed: return ErrorCode::kUnsupportedCompressionType;
    case BatchError::bad_timestamp_type:
    case BatchError::bad_timestamp:
    case BatchError::timestamp_out_of_range: return ErrorCode::kInvalidTimestamp;
    default: return ErrorCode::kInvalidRecord;
  }
}

std::string_view explain(records::BatchError error) {
  using records::BatchError;
  switch (error) {
    case BatchError::bad_crc: return "The record batch fails its checksum.";
    case BatchError::too_large: return "The record batch is larger than max.message.bytes of the topic.";
    case BatchError::too_short:
    case BatchError::trailing_bytes: return "Produce requests must contain exactly one record batch per partition.";
    case BatchError::bad_magic: return "Only record batches of magic 2 are accepted.";
    case BatchError::timestamp_out_of_range: return "A timestamp is further from the broker's clock than the topic allows.";
    case BatchError::bad_record: return "The record batch does not hold the records that its header tells of.";
    case BatchError::control_batch_from_client: return "Clients may not write control batches.";
    default: return records::batch_error_name(error);
  }
}

/// What becomes of the partitions of one request; shared with the appends under way, which outlive it when its time is up. Any
/// thread.
class Collected {
 public:
  explicit Collected(size_t count) : outcomes_(count), left_(count) {}

  void set(size_t index, ProduceOutcome outcome) {
    const std::lock_guard lock(mutex_);
    if (over_) return;
    outcomes_[index] = std::move(outcome);
    if (--left_ == 0 && resume_) (*resume_)(true);
  }
  /// False: everything is there already.
  bool wait(Resumer<bool> resume) {
    const std::lock_guard lock(mutex_);
    if (left_ == 0) return false;
    resume_ = std::move(resume);
    return true;
  }
  /// Nothing counts from now on. What is not there has timed out.
  std::vector<ProduceOutcome> take() {
    const std::lock_guard lock(mutex_);
    over_ = true;
    std::vector<ProduceOutcome> all;
    all.reserve(outcomes_.size());
    for (auto& outcome : outcomes_) {
      all.push_back(outcome ? std::move(*outcome)
                            : ProduceOutcome{ErrorCode::kRequestTimedOut, "The storage did not answer in time; the records may be stored.", -1, -1, -1});
    }
    return all;
  }

 private:
  std::mutex mutex_;  // guards all below
  std::vector<std::optional<ProduceOutcome>> outcomes_;
  size_t left_;
  bool over_ = false;
  std::optional<Resumer<bool>> resume_;
};

ProduceOutcome refuse(ErrorCode error, std::string text = {}) { return {error, std::move(text), -1, -1, -1}; }

/// Looks at every record of a valid batch, which topics with sluice.validate.records want: what to answer where one is wrong.
std::optional<ProduceOutcome> look_into(Bytes batch, const records::BatchRules& rules, int64_t now_ms) {
  const auto view = records::BatchView::parse(batch);
  if (!view) return refuse(ErrorCode::kInvalidRecord, std::string(explain(view.error())));
  records::RecordRules wanted;
  wanted.max_timestamp_before_ms = rules.max_timestamp_before_ms;
  wanted.max_timestamp_after_ms = rules.max_timestamp_after_ms;
  const auto fault = records::check_records(*view, wanted, now_ms, partition::Partition::kMaxDecompressedBytes);
  if (!fault) return refuse(ErrorCode::kInvalidRecord, fmt::format("The records of the batch cannot be read: {}.", fault.error().text()));
  if (!*fault) return std::nullopt;
  return refuse(ErrorCode::kInvalidTimestamp, fmt::format("The timestamp of record {} of the batch is further from the broker's clock than the topic allows.", (*fault)->index));
}

/// Checks one partition's batch and queues it; the outcome comes to `collected`, now or later.
void produce_one(const RequestContext& context, const Request& request, const cluster::TopicPtr& topic, ErrorCode topic_error,
                 const Request::Partition& wanted, const std::shared_ptr<Collected>& collected, size_t index) {
  Broker& broker = *context.broker;
  if (topic_error != ErrorCode::kNone) return collected->set(index, refuse(topic_error));
  if (request.acks < -1 || request.acks > 1) return collected->set(index, refuse(ErrorCode::kInvalidRequiredAcks));
  auto partition = broker.partitions.find(topic, wanted.index);
  if (!partition) return collected->set(index, refuse(ErrorCode::kUnknownTopicOrPartition));
  if (!wanted.records || wanted.records->empty()) {
    return collected->set(index, refuse(ErrorCode::kInvalidRecord, "Produce requests must contain exactly one record batch per partition."));
  }
  const auto writable = protocol::mutable_view(context.bytes, *wanted.records);
  const MutableBytes batch(reinterpret_cast<uint8_t*>(writable.data()), writable.size());

  const cluster::TopicSettings settings = partition->settings();
  records::BatchRules rules;
  rules.max_batch_bytes = static_cast<size_t>(settings.max_message_bytes);
  rules.count_records = true;
  rules.allow_zstd = context.version() >= kFirstZstdVersion;
  if (!settings.log_append_time) {
    rules.max_timestamp_before_ms = settings.timestamp_before_max_ms;
    rules.max_timestamp_after_ms = settings.timestamp_after_max_ms;
  }
  auto info = records::validate_batch(batch, rules, broker.clock.wall_ms());
  if (!info) {
    broker.metrics.refused_batches.fetch_add(1, std::memory_order_relaxed);
    return collected->set(index, refuse(to_error_code(info.error(), batch), std::string(explain(info.error()))));
  }
  if (settings.validate_records) {
    if (auto wrong = look_into(batch, rules, broker.clock.wall_ms())) {
      broker.metrics.refused_batches.fetch_add(1, std::memory_order_relaxed);
      return collected->set(index, std::move(*wrong));
    }
  }
  if (info->is_transactional) return collected->set(index, refuse(ErrorCode::kInvalidTxnState, "Transactions are not offered."));

  partition::AppendRequest append;
  append.batch = batch;
  append.keep_alive = context.frame;
  append.info = *info;
  append.executor = context.loop;
  append.done = [collected, index](ProduceOutcome outcome) { collected->set(index, std::move(outcome)); };
  partition->append(std::move(append), *context.loop);
}

Response encode_outcomes(const RequestContext& context, const Request& request, std::vector<ProduceOutcome>& outcomes) {
  Response response;
  size_t index = 0;
  for (const auto& topic : request.topics) {
    Response::Topic& out = response.topics.emplace_back();
    out.name = std::string(topic.name);
    out.topic_id = topic.topic_id;
    for (const auto& partition : topic.partitions) {
      ProduceOutcome& outcome = outcomes[index++];
      Response::Partition& p = out.partitions.emplace_back();
      p.index = partition.index;
      p.error_code = outcome.error;
      p.base_offset = outcome.error == ErrorCode::kNone ? outcome.base_offset : -1;
      p.log_append_time_ms = outcome.log_append_time_ms;
      p.log_start_offset = outcome.error == ErrorCode::kNone ? outcome.log_start : -1;
      if (!outcome.message.empty()) p.error_message = std::move(outcome.message);
      if (outcome.error == ErrorCode::kNotLeaderOrFollower && context.version() >= 10) {
        p.current_leader.leader_id = context.broker->cluster.broker_id();
      }
    }
  }
  return response;
}

}  // namespace

Task<Reply> produce(RequestContext context) {
  auto request = protocol::decode_front<Request>(context.request.body, context.version());
  if (!request) co_return malformed(context, request.error());
  size_t count = 0;
  for (const auto& topic : request->topics) count += topic.partitions.size();
  auto collected = std::make_shared<Collected>(count);
  size_t index = 0;
  for (const auto& topic : request->topics) {
    const bool by_id = context.version() >= 13;
    const auto found = find_topic(*context.broker, by_id ? topic.topic_id : Uuid{}, topic.name);
    ErrorCode error = ErrorCode::kNone;
    if (!found) {
      error = by_id ? ErrorCode::kUnknownTopicId : ErrorCode::kUnknownTopicOrPartition;
      if (!by_id && !cluster::check_topic_name(topic.name).ok()) error = ErrorCode::kInvalidTopicException;
    }
    for (const auto& partition : topic.partitions) produce_one(context, *request, found, error, partition, collected, index++);
  }
  TimerId timer = 0;
  const int64_t timeout_ms =
      request->timeout_ms > 0 ? std::clamp(request->timeout_ms, kMinProduceTimeoutMs, kMaxProduceTimeoutMs) : kProduceTimeoutMs;
  co_await suspend_until<bool>(*context.loop, [&](Resumer<bool> resume) {
    if (!collected->wait(resume)) return resume(true);
    timer = context.loop->call_after(timeout_ms, [resume] { resume(false); });
  });
  if (timer != 0) context.loop->cancel(timer);
  std::vector<ProduceOutcome> outcomes = collected->take();

  if (request->acks == 0) {
    // Nobody waits for an answer: an error is told by closing.
    Reply reply;
    for (const auto& outcome : outcomes) {
      if (outcome.error == ErrorCode::kNone) continue;
      if (!reply.close_connection) say(context, fmt::format("closed: an append with acks=0 failed: {}", error_name(outcome.error)));
      reply.close_connection = true;
      count_error(context, outcome.error);
    }
    co_return reply;
  }
  co_return encode(context, encode_outcomes(context, *request, outcomes));
}

}  // namespace sluice::handlers
