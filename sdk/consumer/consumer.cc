// SPDX-License-Identifier: Apache-2.0
#include "sluice/consumer.hpp"

#include <fmt/format.h>

#include <random>

#include "consumer/core.hpp"

namespace sluice {
namespace {

constexpr int64_t kDestructionMs = 1'000;

template <class T>
Status check(std::string_view field, T value, T least, T most) {
  if (value >= least && value <= most) return {};
  return Status(StatusCode::invalid, fmt::format("{}: {} is not {} to {}", field, value, least, most));
}

}  // namespace

namespace consumer {

Status validate(const ConsumerConfig& config) {
  const auto order = static_cast<int>(config.order);
  if (auto bad = check("consumer.order", order, 0, static_cast<int>(MergeOrder::by_position)); !bad) return bad;
  const struct {
    const char* field;
    int64_t value;
    int64_t least;
  } times[] = {{"consumer.lateness_ms", config.lateness_ms, 0},
               {"consumer.idle_hold_ms", config.idle_hold_ms, 0},
               {"consumer.stall_hold_ms", config.stall_hold_ms, 0},
               {"consumer.read_deadline_ms", config.read_deadline_ms, 1},
               {"consumer.read_wait_ms", config.read_wait_ms, 0}};
  for (const auto& time : times) {
    if (auto bad = check(time.field, time.value, time.least, kMaxConsumerWaitMs); !bad) return bad;
  }
  if (auto bad = check("consumer.read_ahead_bytes", config.read_ahead_bytes, kMinReadAheadBytes, kMaxReadAheadBytes);
      !bad)
    return bad;
  if (auto bad = check("consumer.page_bytes", config.page_bytes, kMinPageBytes, config.read_ahead_bytes); !bad)
    return bad;
  if (auto bad = check("consumer.page_records", config.page_records, 1u, kMaxPageRecords); !bad) return bad;
  if (auto bad = sluice::validate(config.retry, "consumer.retry"); !bad) return bad;
  if (auto bad = check("consumer.name", config.name.size(), size_t{1}, kMaxConsumerNameBytes); !bad) return bad;
  const auto kind = static_cast<int>(config.start.kind);
  if (auto bad = check("consumer.start.kind", kind, 0, static_cast<int>(Place::Kind::position)); !bad) return bad;
  if (config.start.kind != Place::Kind::position) return {};
  return check("consumer.start.value", config.start.value, int64_t{0}, INT64_MAX);
}

Status validate(const PollRequest& request) {
  if (auto bad = check<uint64_t>("poll.max_records", request.max_records, 1, SIZE_MAX); !bad) return bad;
  if (auto bad = check<uint64_t>("poll.min_records", request.min_records, 1, SIZE_MAX); !bad) return bad;
  if (auto bad = check<uint64_t>("poll.max_bytes", request.max_bytes, 1, UINT64_MAX); !bad) return bad;
  return check<int64_t>("poll.wait_ms", request.wait_ms, 0, kMaxConsumerWaitMs);
}

}  // namespace consumer

struct MergingConsumer::Impl {
  std::shared_ptr<consumer::Core> core;
  Observing observing;  // of the core
};

std::string_view condition_name(ShardCondition condition) {
  switch (condition) {
    case ShardCondition::failed:
      return "failed";
    case ShardCondition::retrying:
      return "retrying";
    case ShardCondition::stalled:
      return "stalled";
    case ShardCondition::passed_over:
      return "passed_over";
    case ShardCondition::holding:
      return "holding";
    case ShardCondition::capped:
      return "capped";
    case ShardCondition::finished:
      return "finished";
  }
  return "unknown";
}

MergingConsumer::MergingConsumer(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}

Result<std::unique_ptr<MergingConsumer>> MergingConsumer::create(const ConsumerConfig& config,
                                                                 std::vector<std::shared_ptr<Source>> sources,
                                                                 const Cursor& from, RecordPredicate filter) {
  if (Status status = consumer::validate(config); !status) return fail(std::move(status));
  std::random_device random;
  const uint64_t seed = uint64_t{random()} << 32 | random();
  auto impl = std::make_unique<Impl>();
  impl->core = std::make_shared<consumer::Core>(config, from, std::move(filter), system_clock(), seed);
  for (auto& source : sources) {
    if (auto added = impl->core->add_shard(std::move(source), config.start); !added) return fail(added.error());
  }
  if (config.telemetry) {
    impl->observing = config.telemetry->observe([core = impl->core.get()](Observations& to) { core->report(to); });
  }
  return std::unique_ptr<MergingConsumer>(new MergingConsumer(std::move(impl)));
}

MergingConsumer::~MergingConsumer() {
  std::ignore = impl_->core->close(kDestructionMs);
}

Result<Response> MergingConsumer::poll(const PollRequest& request) {
  return impl_->core->poll(request);
}
void MergingConsumer::wake() {
  impl_->core->wake();
}
Cursor MergingConsumer::cursor() const {
  return impl_->core->cursor();
}
Result<uint32_t> MergingConsumer::add_shard(std::shared_ptr<Source> source, Place place) {
  return impl_->core->add_shard(std::move(source), place);
}
Status MergingConsumer::remove_shard(std::string_view id) {
  return impl_->core->remove_shard(id);
}
Status MergingConsumer::drop_shard(std::string_view id) {
  return impl_->core->drop_shard(id);
}
Status MergingConsumer::forget(std::string_view id) {
  return impl_->core->forget(id);
}
Status MergingConsumer::seek(const Cursor& cursor) {
  return impl_->core->seek(cursor);
}
Status MergingConsumer::seek(Place place) {
  return impl_->core->seek(place);
}
Status MergingConsumer::seek(std::string_view id, Place place) {
  return impl_->core->seek(id, place);
}
Status MergingConsumer::pause(std::string_view id) {
  return impl_->core->pause(id, true);
}
Status MergingConsumer::resume(std::string_view id) {
  return impl_->core->pause(id, false);
}
void MergingConsumer::pause() {
  impl_->core->pause_all(true);
}
void MergingConsumer::resume() {
  impl_->core->pause_all(false);
}
uint64_t MergingConsumer::buffered_bytes() const {
  return impl_->core->buffered_bytes();
}
Status MergingConsumer::close(int64_t deadline_ms) {
  return impl_->core->close(deadline_ms);
}
bool MergingConsumer::closed() const {
  return impl_->core->closed();
}

}  // namespace sluice
