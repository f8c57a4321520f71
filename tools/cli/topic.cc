// SPDX-License-Identifier: Apache-2.0
// sluice topic create | list | describe | delete | adopt
#include <fmt/format.h>

#include <algorithm>

#include "cli/commands.hpp"
#include "cli/configs.hpp"
#include "cli/kafka.hpp"
#include "cli/text.hpp"

namespace sluice::cli {
namespace {

constexpr size_t kErrorTextBytes = 512;

/// Each topic's own outcome, after a call on several. The errors of all, in one text.
Status outcomes(const Client& client, const rd_kafka_topic_result_t** results, size_t count) {
  Status status;
  std::string texts;
  for (size_t i = 0; i < count; ++i) {
    const auto code = rd_kafka_topic_result_error(results[i]);
    if (code == RD_KAFKA_RESP_ERR_NO_ERROR) continue;
    status = client.error(code, rd_kafka_topic_result_error_string(results[i]));
    texts += fmt::format("{}{}: {}", texts.empty() ? "" : "; ", rd_kafka_topic_result_name(results[i]), status.text());
  }
  return status.ok() ? status : Status(status.code(), texts);
}

bool is_internal(const rd_kafka_metadata_topic_t& topic) {
  return std::string_view(topic.topic).starts_with("__");
}

std::string joined(const int32_t* ids, int count) {
  return fmt::format("{}", fmt::join(ids, ids + count, ","));
}

struct Offsets {
  ListPtr starts, ends;
};

/// Offsets of all partitions of one topic; absent where a partition has no leader to ask.
Result<Offsets> topic_offsets(const Client& client, const rd_kafka_metadata_topic_t& topic) {
  Offsets result{ListPtr(rd_kafka_topic_partition_list_new(topic.partition_cnt)), nullptr};
  for (int i = 0; i < topic.partition_cnt; ++i) {
    const auto& partition = topic.partitions[i];
    if (partition.leader >= 0) rd_kafka_topic_partition_list_add(result.starts.get(), topic.topic, partition.id);
  }
  result.ends.reset(rd_kafka_topic_partition_list_copy(result.starts.get()));
  Status status = client.offsets(*result.starts, RD_KAFKA_OFFSET_BEGINNING);
  if (status.ok()) status = client.offsets(*result.ends, RD_KAFKA_OFFSET_END);
  if (!status.ok()) return fail(status);
  return result;
}

int64_t offset_in(const rd_kafka_topic_partition_list_t& list, const char* topic, int32_t partition) {
  const auto* found = rd_kafka_topic_partition_list_find(&list, topic, partition);
  return found == nullptr ? -1 : found->offset;
}

std::string cell(int64_t number) {
  return number < 0 ? "-" : std::to_string(number);
}

}  // namespace

namespace {

/// Makes one topic; `partitions` -1: the broker's choice.
Status create(const std::string& name, int32_t partitions, const Pairs& configs, const Common& common) {
  auto client = Client::open(RD_KAFKA_CONSUMER, common);
  if (!client) return client.error();
  char text[kErrorTextBytes];
  std::unique_ptr<rd_kafka_NewTopic_t, Destroy<rd_kafka_NewTopic_destroy>> topic(
      rd_kafka_NewTopic_new(name.c_str(), partitions, -1, text, sizeof text));
  if (topic == nullptr) return Status(StatusCode::invalid, text);
  for (const auto& [setting, value] : configs) {
    const auto code = rd_kafka_NewTopic_set_config(topic.get(), setting.c_str(), value.c_str());
    if (code != RD_KAFKA_RESP_ERR_NO_ERROR) return client->error(code).in(setting);
  }
  rd_kafka_NewTopic_t* wanted = topic.get();
  auto event = client->admin(RD_KAFKA_ADMIN_OP_CREATETOPICS, [&](auto* options, auto* queue) {
    rd_kafka_CreateTopics(client->get(), &wanted, 1, options, queue);
  });
  if (!event) return event.error();
  size_t count = 0;
  const auto** results = rd_kafka_CreateTopics_result_topics(rd_kafka_event_CreateTopics_result(event->get()), &count);
  return outcomes(*client, results, count);
}

}  // namespace

Status run(const TopicCreate& command, const Common& common) {
  if (Status status = create(command.name, command.partitions, command.configs, common); !status.ok()) return status;
  if (common.json) {
    print_json({{"created", command.name}});
  } else {
    fmt::print("created {}\n", command.name);
  }
  return {};
}

Status run(const TopicAdopt& command, const Common& common) {
  const std::string name = command.name.empty() ? command.native : command.name;
  const Pairs configs = {{"sluice.storage", command.storage}, {"sluice.native.name", command.native}};
  if (Status status = create(name, -1, configs, common); !status.ok()) return status;
  if (common.json) {
    print_json({{"adopted", name}, {"storage", command.storage}, {"native", command.native}});
  } else {
    fmt::print("adopted {} of storage {} as {}\n", command.native, command.storage, name);
  }
  return {};
}

Status run(const TopicList& command, const Common& common) {
  auto client = Client::open(RD_KAFKA_CONSUMER, common);
  if (!client) return client.error();
  const auto metadata = client->metadata();
  if (!metadata) return metadata.error();
  std::vector<const rd_kafka_metadata_topic_t*> topics;
  for (int i = 0; i < (*metadata)->topic_cnt; ++i) {
    const auto& topic = (*metadata)->topics[i];
    if (command.internal || !is_internal(topic)) topics.push_back(&topic);
  }
  std::sort(topics.begin(), topics.end(), [](auto* a, auto* b) { return std::string_view(a->topic) < b->topic; });
  Json list = Json::array();
  Table table({"TOPIC", "PARTITIONS", "REPLICAS"});
  for (const auto* topic : topics) {
    const int replicas = topic->partition_cnt > 0 ? topic->partitions[0].replica_cnt : 0;
    list.push_back({{"name", topic->topic}, {"partitions", topic->partition_cnt}, {"replicas", replicas}});
    table.add({topic->topic, std::to_string(topic->partition_cnt), std::to_string(replicas)});
  }
  if (common.json) {
    print_json({{"topics", list}});
  } else if (!table.empty()) {
    fmt::print("{}", table.text());
  }
  return {};
}

Status run(const TopicDescribe& command, const Common& common) {
  auto client = Client::open(RD_KAFKA_CONSUMER, common);
  if (!client) return client.error();
  const auto metadata = client->metadata(command.name);
  if (!metadata) return metadata.error();
  const auto configs = describe_configs(*client, command.name);
  if (!configs) return configs.error();
  const rd_kafka_metadata_topic_t& topic = (*metadata)->topics[0];
  const auto offsets = topic_offsets(*client, topic);
  if (!offsets) return offsets.error();

  std::vector<const rd_kafka_metadata_partition_t*> sorted;
  for (int i = 0; i < topic.partition_cnt; ++i) sorted.push_back(&topic.partitions[i]);
  std::sort(sorted.begin(), sorted.end(), [](auto* a, auto* b) { return a->id < b->id; });
  Json partitions = Json::array();
  Table table({"PARTITION", "LEADER", "REPLICAS", "IN SYNC", "START", "END", "RECORDS"});
  for (const auto* each : sorted) {
    const int64_t begin = offset_in(*offsets->starts, topic.topic, each->id);
    const int64_t end = offset_in(*offsets->ends, topic.topic, each->id);
    partitions.push_back({{"partition", each->id},
                          {"leader", each->leader < 0 ? Json(nullptr) : Json(each->leader)},
                          {"replicas", std::vector<int32_t>(each->replicas, each->replicas + each->replica_cnt)},
                          {"in_sync", std::vector<int32_t>(each->isrs, each->isrs + each->isr_cnt)},
                          {"start", begin < 0 ? Json(nullptr) : Json(begin)},
                          {"end", end < 0 ? Json(nullptr) : Json(end)}});
    table.add({std::to_string(each->id), cell(each->leader), joined(each->replicas, each->replica_cnt),
               joined(each->isrs, each->isr_cnt), cell(begin), cell(end),
               begin < 0 || end < 0 ? "-" : cell(end - begin)});
  }
  if (common.json) {
    Json settings = Json::object();
    for (const auto& [name, config] : *configs)
      settings[name] = {{"value", config.value}, {"default", config.is_default}};
    print_json({{"name", topic.topic}, {"partitions", partitions}, {"configs", settings}});
    return {};
  }
  fmt::print("topic {}: {} partition{}\n", topic.topic, topic.partition_cnt, topic.partition_cnt == 1 ? "" : "s");
  for (const auto& [name, config] : *configs) {
    if (!config.is_default) fmt::print("  {}={}\n", name, config.value);
  }
  fmt::print("\n{}", table.text());
  return {};
}

Status run(const TopicDelete& command, const Common& common) {
  auto client = Client::open(RD_KAFKA_CONSUMER, common);
  if (!client) return client.error();
  std::vector<std::unique_ptr<rd_kafka_DeleteTopic_t, Destroy<rd_kafka_DeleteTopic_destroy>>> topics;
  std::vector<rd_kafka_DeleteTopic_t*> wanted;
  for (const std::string& name : command.names) {
    topics.emplace_back(rd_kafka_DeleteTopic_new(name.c_str()));
    wanted.push_back(topics.back().get());
  }
  auto event = client->admin(RD_KAFKA_ADMIN_OP_DELETETOPICS, [&](auto* options, auto* queue) {
    rd_kafka_DeleteTopics(client->get(), wanted.data(), wanted.size(), options, queue);
  });
  if (!event) return event.error();
  size_t count = 0;
  const auto** results = rd_kafka_DeleteTopics_result_topics(rd_kafka_event_DeleteTopics_result(event->get()), &count);
  std::vector<std::string> deleted;
  for (size_t i = 0; i < count; ++i) {
    if (rd_kafka_topic_result_error(results[i]) == RD_KAFKA_RESP_ERR_NO_ERROR) {
      deleted.emplace_back(rd_kafka_topic_result_name(results[i]));
    }
  }
  if (common.json) {
    print_json({{"deleted", deleted}});
  } else {
    for (const std::string& name : deleted) fmt::print("deleted {}\n", name);
  }
  return outcomes(*client, results, count);
}

}  // namespace sluice::cli
