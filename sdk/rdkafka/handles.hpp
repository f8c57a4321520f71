// SPDX-License-Identifier: Apache-2.0
// librdkafka's objects as owned values.
#pragma once

#include <librdkafka/rdkafka.h>

#include <memory>

namespace sluice::kafka {

template <auto kFree>
struct FreeWith {
  template <class Object>
  void operator()(Object* object) const {
    kFree(object);
  }
};
template <class Object, auto kFree>
using Owned = std::unique_ptr<Object, FreeWith<kFree>>;

using ClientHandle = Owned<rd_kafka_t, rd_kafka_destroy>;
using ConfHandle = Owned<rd_kafka_conf_t, rd_kafka_conf_destroy>;
using EventHandle = Owned<rd_kafka_event_t, rd_kafka_event_destroy>;
using HeadersHandle = Owned<rd_kafka_headers_t, rd_kafka_headers_destroy>;
using MessageHandle = Owned<rd_kafka_message_t, rd_kafka_message_destroy>;
using MetadataHandle = Owned<const rd_kafka_metadata_t, rd_kafka_metadata_destroy>;
using PartitionsHandle = Owned<rd_kafka_topic_partition_list_t, rd_kafka_topic_partition_list_destroy>;
using QueueHandle = Owned<rd_kafka_queue_t, rd_kafka_queue_destroy>;
using TopicHandle = Owned<rd_kafka_topic_t, rd_kafka_topic_destroy>;

}  // namespace sluice::kafka
