// SPDX-License-Identifier: Apache-2.0
// What several handlers say about topics.
#pragma once

#include <cstdint>
#include <string_view>

#include "handlers/context.hpp"

namespace sluice::handlers {

/// KIP-430's bit fields with every operation that applies, as Kafka gives them without an authoriser.
constexpr int32_t kAllTopicOperations = 0x0df8;    // READ WRITE CREATE DELETE ALTER DESCRIBE DESCRIBE_CONFIGS ALTER_CONFIGS
constexpr int32_t kAllClusterOperations = 0x1fa0;  // CREATE ALTER DESCRIBE CLUSTER_ACTION DESCRIBE_CONFIGS ALTER_CONFIGS IDEMPOTENT_WRITE
constexpr int32_t kAllGroupOperations = 0x0148;    // READ DELETE DESCRIBE

/// Names that belong to the broker's own logs: clients can neither see nor make them.
inline bool is_internal_name(std::string_view name) {
  return name == "__consumer_offsets" || name == "__cluster_metadata" || name == "__transaction_state";
}

/// The topic that a request names, by id where it gives one, else by name; internal ones are not there for clients.
inline cluster::TopicPtr find_topic(const Broker& broker, const Uuid& id, std::string_view name) {
  auto topic = id.is_zero() ? broker.cluster.state().topic(name) : broker.cluster.state().topic(id);
  return topic && !topic->internal ? topic : nullptr;
}

}  // namespace sluice::handlers
