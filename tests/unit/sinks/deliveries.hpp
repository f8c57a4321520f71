// SPDX-License-Identifier: Apache-2.0
// Calls of a Sink as if they waited, and batches for it.
#pragma once

#include <atomic>
#include <future>
#include <memory>
#include <string>
#include <vector>

#include "../sources/world.hpp"
#include "bus/batch_builder.hpp"
#include "sluice/sink.hpp"

namespace sluice::test {

template <class T>
T wait_for(std::future<T>& future, T otherwise) {
  return future.wait_for(kPatience) == std::future_status::ready ? future.get() : otherwise;
}

inline std::future<Delivery> begin_delivery(Sink& sink, const EventBatch& batch) {
  auto promise = std::make_shared<std::promise<Delivery>>();
  auto future = promise->get_future();
  sink.deliver(batch, [promise](Delivery delivery) { promise->set_value(std::move(delivery)); });
  return future;
}
inline Delivery never() {
  Delivery delivery;
  delivery.status = Status(StatusCode::internal, "never answered");
  return delivery;
}
inline Delivery deliver(Sink& sink, const EventBatch& batch) {
  auto future = begin_delivery(sink, batch);
  return wait_for(future, never());
}
inline Status flush(Sink& sink, int64_t timeout_ms = 60'000) {
  auto promise = std::make_shared<std::promise<Status>>();
  auto future = promise->get_future();
  sink.flush(timeout_ms, [promise](Status status) { promise->set_value(std::move(status)); });
  return wait_for(future, Status(StatusCode::internal, "never answered"));
}
inline Status close(Sink& sink, int64_t timeout_ms = 60'000) {
  auto promise = std::make_shared<std::promise<Status>>();
  auto future = promise->get_future();
  sink.close(timeout_ms, [promise](Status status) { promise->set_value(std::move(status)); });
  return wait_for(future, Status(StatusCode::internal, "never answered"));
}
inline Status open(Sink& sink) {
  auto promise = std::make_shared<std::promise<Status>>();
  auto future = promise->get_future();
  sink.open([promise](Status status) { promise->set_value(std::move(status)); });
  return wait_for(future, Status(StatusCode::internal, "never answered"));
}

/// Events with these values, of a shard.
class Batch {
 public:
  explicit Batch(const std::vector<std::string>& values, uint64_t shard = 0) : builder_("test", 1, shard) {
    for (const std::string& value : values) {
      Event event;
      event.value = as_bytes(value);
      builder_.add(event, 1'700'000'000'000'000'000);
    }
  }
  operator EventBatch() const { return builder_.batch(); }  // NOLINT(google-explicit-constructor)

 private:
  bus::BatchBuilder builder_;
};

}  // namespace sluice::test
