// SPDX-License-Identifier: Apache-2.0
#include "subscriber.hpp"

#include <chrono>
#include <utility>

namespace sluice::soak {
namespace {

constexpr int64_t kPollMs = 20;
constexpr auto kFinish = std::chrono::seconds(30);

}  // namespace

Subscriber::Subscriber(std::string who, Bus& bus, uint32_t number, bool in_order, std::shared_ptr<Arrivals> arrivals,
                       Verdict& verdict)
    : who_(std::move(who)),
      bus_(bus),
      number_(number),
      in_order_(in_order),
      arrivals_(std::move(arrivals)),
      verdict_(verdict) {
  ConsumerConfig config;
  config.pass_lost = true;
  config.read_wait_ms = 50;
  config.read_ahead_bytes = 4 << 20;
  auto made = MergingConsumer::create(config, {});
  if (!made) {
    verdict_.violated(who_, "no consumer: " + made.error().describe());
    return;
  }
  consumer_ = std::move(*made);
  thread_ = std::thread([this] { run(); });
}

Subscriber::~Subscriber() {
  detach();
  finish();
}

void Subscriber::detach() {
  detach_ = true;
  if (!thread_.joinable()) return;
  detached_.wait(false);
}

Subscriber::Got Subscriber::finish() {
  finish_ = true;
  if (thread_.joinable()) thread_.join();
  return got_;
}

void Subscriber::subscribe_to_new() {
  for (const uint64_t shard : arrivals_->take()) {
    auto source = bus_.subscribe(shard);
    if (!source) {
      missed_one_ = true;  // it came and went meanwhile
      if (source.error().code() != StatusCode::not_found) verdict_.violated(who_, source.error().describe());
      continue;
    }
    if (auto added = consumer_->add_shard(std::move(*source), Place::position(0)); !added) {
      verdict_.violated(who_, "add_shard: " + added.error().describe());
    }
  }
}

void Subscriber::look_at(const Response& response) {
  got_.records += response.records.size();
  got_.lost += response.lost;
  for (const MergedRecord& merged : response.records) {
    Shard& shard = shards_[merged.shard];
    const auto stamp = stamp_of(*merged);
    if (!stamp || stamp->bus != number_) {
      verdict_.violated(who_, fmt::format("a subscriber reads what nobody gave at {}", merged->position));
      continue;
    }
    if (merged->position < shard.next_position) {
      verdict_.violated(who_, fmt::format("a subscriber reads {} after {}", merged->position, shard.next_position - 1));
    }
    if (in_order_ && stamp->n < shard.next_n[stamp->producer]) {
      verdict_.violated(who_,
                        fmt::format("a subscriber reads event {} of producer {} too late", stamp->n, stamp->producer));
    }
    shard.next_position = merged->position + 1;
    shard.next_n[stamp->producer] = stamp->n + 1;
  }
}

void Subscriber::run() {
  Clock::time_point until = Clock::time_point::max();
  while (Clock::now() < until) {
    if (!detached_) {
      const bool last = detach_;
      subscribe_to_new();
      if (last) {
        detached_ = true;
        detached_.notify_all();
      }
    }
    if (finish_ && until == Clock::time_point::max()) until = Clock::now() + kFinish;
    PollRequest request;
    request.max_records = 8'192;
    request.wait_ms = kPollMs;
    auto response = consumer_->poll(request);
    if (!response) {
      if (response.error().code() != StatusCode::not_found)
        verdict_.violated(who_, "poll: " + response.error().describe());
      if (finish_) break;  // there never was a shard
      std::this_thread::sleep_for(std::chrono::milliseconds(kPollMs));
      continue;
    }
    look_at(*response);
    for (const ShardNote& note : response->notes) {
      if (note.condition == ShardCondition::failed) {
        verdict_.violated(who_, fmt::format("a subscriber's {} failed: {}", note.id, note.cause.describe()));
      }
    }
    if (response->done && finish_) {
      got_.complete = !missed_one_;
      break;
    }
  }
  if (!detached_) {
    detached_ = true;
    detached_.notify_all();
  }
  if (until != Clock::time_point::max() && Clock::now() >= until)
    verdict_.violated(who_, "a subscriber comes to no end");
  static_cast<void>(consumer_->close());
}

}  // namespace sluice::soak
