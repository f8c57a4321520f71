// SPDX-License-Identifier: Apache-2.0
// A sink that does what a test tells it, and remembers what it took.
#pragma once

#include <algorithm>
#include <atomic>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "sluice/dlq.hpp"

namespace sluice {

struct Taken {
  std::optional<std::string> key;
  std::optional<std::string> value;
  std::vector<std::pair<std::string, std::optional<std::string>>> headers;
  uint64_t sequence = 0;
  int64_t timestamp_ns = 0;
};

inline std::optional<std::string> text_of(const std::optional<Bytes>& bytes) {
  return bytes ? std::optional<std::string>(as_text(*bytes)) : std::nullopt;
}

class ScriptedSink final : public Sink {
 public:
  using Answer = std::function<Delivery(const EventBatch&)>;

  SinkTraits traits() const override { return traits_of; }
  void open(Done done) override {
    opens += 1;
    if (!forget_open) done(on_open());
  }
  void deliver(EventBatch batch, Delivered done) override {
    deliveries += 1;
    most_in_flight = std::max(most_in_flight, batch.size());
    if (hold) {
      const std::lock_guard lock(mutex);
      held.emplace_back(batch, std::move(done));
      return;
    }
    answer(batch, std::move(done));
  }
  void close(int64_t, Done done) override {
    closes += 1;
    if (!forget_close) done(Status());
  }

  // Takes what the script says is settled and not refused.
  void answer(const EventBatch& batch, Delivered done) {
    const Delivery delivery = on_deliver(batch);
    const size_t settled = delivery.status.ok() ? batch.size() : delivery.settled;
    for (size_t i = delivery.refused; i < settled; ++i) {
      const Record record = batch[i];
      Taken one;
      one.key = text_of(record.key);
      one.value = text_of(record.value);
      record.headers.each([&](const Header& header) {
        one.headers.emplace_back(header.name, text_of(header.value));
        return true;
      });
      one.sequence = batch.first_sequence() + i;
      one.timestamp_ns = record.timestamp_ns;
      taken.push_back(std::move(one));
    }
    done(delivery);
  }
  // What was held is answered, or destroyed unanswered.
  void release(bool answered) {
    std::deque<std::pair<EventBatch, Delivered>> now;
    {
      const std::lock_guard lock(mutex);
      now.swap(held);
    }
    for (auto& [batch, done] : now) {
      if (answered) answer(batch, std::move(done));
    }
  }
  size_t held_count() {
    const std::lock_guard lock(mutex);
    return held.size();
  }

  SinkTraits traits_of;
  std::function<Status()> on_open = [] { return Status(); };
  Answer on_deliver = [](const EventBatch&) { return Delivery(); };
  std::atomic<bool> hold{false};
  bool forget_open = false;
  bool forget_close = false;
  std::atomic<int> opens{0};
  std::atomic<int> deliveries{0};
  std::atomic<int> closes{0};
  size_t most_in_flight = 0;
  std::vector<Taken> taken;
  std::mutex mutex;
  std::deque<std::pair<EventBatch, Delivered>> held;
};

inline Delivery failing(StatusCode code, uint32_t settled = 0, uint32_t refused = 0) {
  Delivery delivery;
  delivery.status = Status(code, "as scripted");
  delivery.settled = settled;
  delivery.refused = refused;
  return delivery;
}

}  // namespace sluice
