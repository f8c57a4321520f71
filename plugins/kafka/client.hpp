// SPDX-License-Identifier: Apache-2.0
// One client of librdkafka: what it says goes to the operator, and the errors that concern all of it are kept. Any
// thread.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>

#include "base/log_limiter.hpp"
#include "base/status.hpp"
#include "kafka/settings.hpp"
#include "kafka/worker.hpp"
#include "rdkafka/handles.hpp"

namespace sluice::kafka {

class Client {
 public:
  /// INVALID where librdkafka refuses the configuration.
  static Result<std::unique_ptr<Client>> make(const Settings& settings, Role role, uint64_t largest_message, Say say);
  Client(const Client&) = delete;
  Client& operator=(const Client&) = delete;
  /// Blocks, as a rule for milliseconds: not on a thread that others wait for. All else that was made from it is gone.
  ~Client();

  rd_kafka_t* get() const { return client_; }
  rd_kafka_queue_t* events() const { return events_.get(); }

  /// Takes note of an error event of events().
  void heard(const rd_kafka_event_t& event);
  /// Takes note of what lies in events(); for clients whose events are nothing but errors.
  void drain();
  /// The last error of the connections: why nobody can be reached. OK: none yet.
  Status trouble() const;
  void forget_trouble();
  /// Nothing more can be written with it.
  bool is_fatal() const;
  /// Requests with records that were sent; of a client that writes.
  uint64_t requests_sent() const { return requests_sent_; }

 private:
  explicit Client(Say say) : say_(std::move(say)) {}
  static void log(const rd_kafka_t* client, int level, const char* facility, const char* text);

  const Say say_;
  std::atomic<uint64_t> requests_sent_{0};
  rd_kafka_t* client_ = nullptr;
  QueueHandle events_;
  LogLimiter limiter_;
  mutable std::mutex mutex_;
  Status trouble_;  // guarded by mutex_
};

}  // namespace sluice::kafka
