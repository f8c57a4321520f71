// SPDX-License-Identifier: Apache-2.0
// librdkafka with owners for its objects and errors as values. A Client belongs to one thread; its callbacks run inside
// that thread's calls, but for log lines.
#pragma once

#include <librdkafka/rdkafka.h>

#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "base/status.hpp"
#include "cli/arguments.hpp"

namespace sluice::cli {

template <auto destroy>
struct Destroy {
  template <class T>
  void operator()(T* object) const {
    destroy(object);
  }
};

using EventPtr = std::unique_ptr<rd_kafka_event_t, Destroy<rd_kafka_event_destroy>>;
using ListPtr = std::unique_ptr<rd_kafka_topic_partition_list_t, Destroy<rd_kafka_topic_partition_list_destroy>>;
using MetadataPtr = std::unique_ptr<const rd_kafka_metadata_t, Destroy<rd_kafka_metadata_destroy>>;
using MessagePtr = std::unique_ptr<rd_kafka_message_t, Destroy<rd_kafka_message_destroy>>;

class Client {
 public:
  /// What callbacks find behind their opaque pointer.
  struct Shared {
    std::mutex mutex;
    std::string last_failure;  // guarded by mutex: why no connection came about
    bool debug = false;
    void* user = nullptr;  // belongs to the command
  };

  /// `settings`: librdkafka's names. `prepare` may set callbacks, `user` is theirs:
  /// static_cast<Client::Shared*>(opaque)->user.
  static Result<Client> open(rd_kafka_type_t type, const Common& common, const Pairs& settings = {},
                             void* user = nullptr, const std::function<void(rd_kafka_conf_t*)>& prepare = {});
  Client(Client&&) = default;
  ~Client();

  rd_kafka_t* get() const { return client_.get(); }
  int timeout_ms() const { return timeout_ms_; }

  /// All topics, or only `topic`, which is never made by asking for it. NOT_FOUND if it is not there.
  Result<MetadataPtr> metadata(const std::string& topic = {}) const;

  /// Runs one admin operation: `call` starts it. The result's own error is looked at, those of its parts are not.
  Result<EventPtr> admin(rd_kafka_admin_op_t operation,
                         const std::function<void(const rd_kafka_AdminOptions_t*, rd_kafka_queue_t*)>& call) const;

  /// Fills in the offset of each partition in `list`: the first (RD_KAFKA_OFFSET_BEGINNING) or the end
  /// (RD_KAFKA_OFFSET_END).
  Status offsets(rd_kafka_topic_partition_list_t& list, int64_t which) const;

  /// The error in words. Where nobody could be reached, with the reason the network gave.
  Status error(rd_kafka_resp_err_t code, const char* text = nullptr) const;

 private:
  Client(std::unique_ptr<Shared> shared, rd_kafka_t* client, std::string bootstrap, int64_t timeout_ms);
  struct Close {
    void operator()(rd_kafka_t* client) const { rd_kafka_destroy(client); }
  };

  std::unique_ptr<Shared> shared_;
  std::unique_ptr<rd_kafka_t, Close> client_;
  std::string bootstrap_;
  int timeout_ms_;
};

}  // namespace sluice::cli
