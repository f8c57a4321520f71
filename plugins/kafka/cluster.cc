// SPDX-License-Identifier: Apache-2.0
#include "kafka/cluster.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdlib>
#include <string_view>
#include <thread>

#include "rdkafka/errors.hpp"

namespace sluice::kafka {
namespace {

constexpr int64_t kConnectStepMs = 200;  // between looks at what the connections say
constexpr int64_t kSettlePauseMs = 20;   // between looks at a topic that is being made
constexpr int64_t kShownWaitMs = 5'000;  // for a cluster to show what it said that it has done
constexpr int64_t kMsToNs = 1'000'000;

/// What Kafka keeps for itself. Its clients cannot ask which topics are internal.
constexpr std::string_view kInternalTopics[] = {"__consumer_offsets", "__transaction_state", "__share_group_state",
                                                "__cluster_metadata", "__remote_log_metadata"};

using AdminOptions = Owned<rd_kafka_AdminOptions_t, rd_kafka_AdminOptions_destroy>;

bool worth_another_look(StatusCode code) {
  return code == StatusCode::unavailable || code == StatusCode::not_found;
}

// The results of CreateTopics, DeleteTopics and CreatePartitions: one topic was asked for.
Status result_of(const rd_kafka_topic_result_t* const* results, size_t count) {
  if (count != 1) return Status(StatusCode::unknown, "the cluster did not say what became of the topic");
  const char* text = rd_kafka_topic_result_error_string(results[0]);
  return status_of_change(rd_kafka_topic_result_error(results[0]), text != nullptr ? text : "");
}

Keeping keeping_of(const std::map<std::string, std::string, std::less<>>& configs) {
  Keeping keeping;
  if (const auto found = configs.find("min.insync.replicas"); found != configs.end()) {
    keeping.min_insync_replicas = std::strtoll(found->second.c_str(), nullptr, 10);
  }
  if (const auto found = configs.find("unclean.leader.election.enable"); found != configs.end()) {
    keeping.unclean_election = found->second != "false";
  }
  return keeping;
}

}  // namespace

int Cluster::wait_ms(int64_t deadline_ns) const {
  const int64_t left_ms = (deadline_ns - now_ns()) / kMsToNs;
  return static_cast<int>(std::clamp<int64_t>(left_ms, 1, settings_.request_timeout_ms));
}

// ---- Connections

Result<Cluster::ClientPtr> Cluster::client() const {
  const std::lock_guard lock(mutex_);
  if (!client_) return fail(StatusCode::unavailable, "the storage is not started");
  return client_;
}

Status Cluster::connect(int64_t deadline_ns) {
  auto made = Client::make(settings_, Role::asks, 0, say_);
  if (!made) return made.error();
  const ClientPtr client = std::move(*made);
  const int64_t until_ns = std::min(deadline_ns, now_ns() + settings_.request_timeout_ms * kMsToNs);
  for (;;) {
    const rd_kafka_metadata_t* raw = nullptr;
    const auto wait = std::clamp<int64_t>((until_ns - now_ns()) / kMsToNs, 1, kConnectStepMs);
    const rd_kafka_resp_err_t error = rd_kafka_metadata(client->get(), 0, nullptr, &raw, static_cast<int>(wait));
    const MetadataHandle metadata(raw);
    if (error == RD_KAFKA_RESP_ERR_NO_ERROR) break;
    client->drain();
    const Status trouble = client->trouble();
    if (trouble.code() == StatusCode::denied) return trouble;
    if (now_ns() >= until_ns) return unreachable(*client, status_of(error));
  }
  const std::lock_guard lock(mutex_);
  client_ = client;
  return {};
}

std::shared_ptr<Client> Cluster::disconnect() {
  const std::lock_guard lock(mutex_);
  return std::exchange(client_, nullptr);
}

void Cluster::drain() {
  if (const auto client = this->client()) (*client)->drain();
}

/// `status`, and why nobody can be reached.
Status Cluster::unreachable(Client& client, const Status& status) {
  client.drain();
  const Status trouble = client.trouble();
  if (trouble.ok() || status.code() != StatusCode::unavailable) return status;
  return Status(trouble.code() == StatusCode::denied ? StatusCode::denied : StatusCode::unavailable,
                fmt::format("{}: {}", status.text(), trouble.text()), trouble.native_code());
}

Result<ClusterInfo> Cluster::inspect(int64_t deadline_ns) {
  const auto client = this->client();
  if (!client) return fail(client.error());
  (*client)->drain();
  (*client)->forget_trouble();
  const rd_kafka_metadata_t* raw = nullptr;
  const rd_kafka_resp_err_t error = rd_kafka_metadata((*client)->get(), 0, nullptr, &raw, wait_ms(deadline_ns));
  const MetadataHandle metadata(raw);
  if (error != RD_KAFKA_RESP_ERR_NO_ERROR) return fail(unreachable(**client, status_of(error)));
  ClusterInfo info;
  info.brokers = metadata->broker_cnt;
  if (char* id = rd_kafka_clusterid((*client)->get(), wait_ms(deadline_ns)); id != nullptr) {
    info.id = id;
    rd_kafka_mem_free((*client)->get(), id);
  }
  if (metadata->broker_cnt > 0) {
    const std::string broker = std::to_string(metadata->brokers[0].id);
    const auto configs = configs_of(**client, RD_KAFKA_RESOURCE_BROKER, broker, deadline_ns);
    info.keeping = keeping_of(configs);
    if (const auto found = configs.find("message.max.bytes"); found != configs.end()) {
      info.largest_message = std::strtoull(found->second.c_str(), nullptr, 10);
    }
  }
  return info;
}

bool Cluster::no_rollback(Partition& partition, int64_t deadline_ns) {
  const int64_t now = now_ns();
  const int64_t asked = partition.keeping_asked_ns;
  if (asked != 0 && now - asked < kKeepingAsksNs) return partition.no_rollback;
  const auto client = this->client();
  if (!client) return false;
  const int64_t until = std::min(deadline_ns, now + kKeepingNs);
  partition.no_rollback =
      keeping_of(configs_of(**client, RD_KAFKA_RESOURCE_TOPIC, partition.topic(), until)).no_rollback();
  partition.keeping_asked_ns = now;
  return partition.no_rollback;
}

std::map<std::string, std::string, std::less<>> Cluster::configs_of(Client& client, rd_kafka_ResourceType_t type,
                                                                    const std::string& name, int64_t deadline_ns) {
  std::map<std::string, std::string, std::less<>> configs;
  rd_kafka_ConfigResource_t* resource = rd_kafka_ConfigResource_new(type, name.c_str());
  if (resource == nullptr) return configs;
  auto answer = admin(client, RD_KAFKA_ADMIN_OP_DESCRIBECONFIGS, deadline_ns, [&](const auto* options, auto* queue) {
    rd_kafka_DescribeConfigs(client.get(), &resource, 1, options, queue);
  });
  rd_kafka_ConfigResource_destroy(resource);
  if (!answer) return configs;
  const rd_kafka_DescribeConfigs_result_t* result = rd_kafka_event_DescribeConfigs_result(answer->get());
  size_t count = 0;
  const rd_kafka_ConfigResource_t** resources =
      result != nullptr ? rd_kafka_DescribeConfigs_result_resources(result, &count) : nullptr;
  if (count != 1 || rd_kafka_ConfigResource_error(resources[0]) != RD_KAFKA_RESP_ERR_NO_ERROR) return configs;
  const rd_kafka_ConfigEntry_t** entries = rd_kafka_ConfigResource_configs(resources[0], &count);
  for (size_t i = 0; i < count; ++i) {
    const char* value = rd_kafka_ConfigEntry_value(entries[i]);
    if (value != nullptr) configs.emplace(rd_kafka_ConfigEntry_name(entries[i]), value);
  }
  return configs;
}

// ---- Topics

Result<EventHandle> Cluster::admin(Client& client, rd_kafka_admin_op_t operation, int64_t deadline_ns,
                                   UniqueFunction<void(const rd_kafka_AdminOptions_t*, rd_kafka_queue_t*)> send) {
  const AdminOptions options(rd_kafka_AdminOptions_new(client.get(), operation));
  std::array<char, 256> text{};
  const int wait = wait_ms(deadline_ns);
  rd_kafka_AdminOptions_set_request_timeout(options.get(), wait, text.data(), text.size());
  const QueueHandle queue(rd_kafka_queue_new(client.get()));
  send(options.get(), queue.get());
  EventHandle event(rd_kafka_queue_poll(queue.get(), wait + 1'000));  // it ends by itself within `wait`
  if (!event) return fail(StatusCode::unknown, "the cluster did not answer in time");
  if (const rd_kafka_resp_err_t error = rd_kafka_event_error(event.get()); error != RD_KAFKA_RESP_ERR_NO_ERROR) {
    const char* words = rd_kafka_event_error_string(event.get());
    return fail(status_of_change(error, words != nullptr ? words : ""));
  }
  return event;
}

/// How many partitions; `served`: whether the one asked for has a leader.
Result<int32_t> Cluster::look_up(Client& client, const std::string& topic, int32_t partition, bool& served,
                                 int64_t deadline_ns) {
  const TopicHandle handle(rd_kafka_topic_new(client.get(), topic.c_str(), nullptr));
  if (!handle) return fail(status_of(rd_kafka_last_error()));
  const rd_kafka_metadata_t* raw = nullptr;
  const rd_kafka_resp_err_t error = rd_kafka_metadata(client.get(), 0, handle.get(), &raw, wait_ms(deadline_ns));
  const MetadataHandle metadata(raw);
  if (error != RD_KAFKA_RESP_ERR_NO_ERROR) return fail(unreachable(client, status_of(error)));
  if (metadata->topic_cnt != 1) return fail(StatusCode::internal, "metadata of another topic came");
  const rd_kafka_metadata_topic_t& found = metadata->topics[0];
  if (found.err != RD_KAFKA_RESP_ERR_NO_ERROR) {
    Status status = status_of(found.err, fmt::format("topic {} of the cluster", topic));
    return fail(std::move(status));
  }
  served = false;
  for (int i = 0; i < found.partition_cnt; ++i) {
    const rd_kafka_metadata_partition_t& each = found.partitions[i];
    if (each.id == partition) served = each.leader >= 0 && each.err == RD_KAFKA_RESP_ERR_NO_ERROR;
  }
  return found.partition_cnt;
}

Result<int32_t> Cluster::partitions(const std::string& topic, int64_t deadline_ns) {
  const auto client = this->client();
  if (!client) return fail(client.error());
  bool served = false;
  return look_up(**client, topic, 0, served, deadline_ns);
}

Result<std::vector<NativeTopic>> Cluster::topics(int64_t deadline_ns) {
  const auto client = this->client();
  if (!client) return fail(client.error());
  const rd_kafka_metadata_t* raw = nullptr;
  const rd_kafka_resp_err_t error = rd_kafka_metadata((*client)->get(), 1, nullptr, &raw, wait_ms(deadline_ns));
  const MetadataHandle metadata(raw);
  if (error != RD_KAFKA_RESP_ERR_NO_ERROR) return fail(unreachable(**client, status_of(error)));
  std::vector<NativeTopic> topics;
  for (int i = 0; i < metadata->topic_cnt; ++i) {
    const rd_kafka_metadata_topic_t& topic = metadata->topics[i];
    const std::string_view name = topic.topic;
    if (std::find(std::begin(kInternalTopics), std::end(kInternalTopics), name) != std::end(kInternalTopics)) continue;
    topics.push_back({topic.topic, topic.partition_cnt});
  }
  return topics;
}

Status Cluster::create(Client& client, const std::string& topic, int32_t count, int64_t deadline_ns) {
  std::array<char, 256> text{};
  using NewTopic = Owned<rd_kafka_NewTopic_t, rd_kafka_NewTopic_destroy>;
  const NewTopic wanted(
      rd_kafka_NewTopic_new(topic.c_str(), count, settings_.replication_factor, text.data(), text.size()));
  if (!wanted) return Status(StatusCode::invalid, text.data());
  for (const auto& [name, value] : settings_.topic_configs) {
    rd_kafka_NewTopic_set_config(wanted.get(), name.c_str(), value.c_str());
  }
  rd_kafka_NewTopic_t* list = wanted.get();
  const auto answer = admin(client, RD_KAFKA_ADMIN_OP_CREATETOPICS, deadline_ns, [&](const auto* options, auto* queue) {
    rd_kafka_CreateTopics(client.get(), &list, 1, options, queue);
  });
  if (!answer) return answer.error();
  size_t results = 0;
  const rd_kafka_CreateTopics_result_t* result = rd_kafka_event_CreateTopics_result(answer->get());
  const rd_kafka_topic_result_t* const* topics = rd_kafka_CreateTopics_result_topics(result, &results);
  return result_of(topics, results);
}

Status Cluster::grow(Client& client, const std::string& topic, int32_t count, int64_t deadline_ns) {
  std::array<char, 256> text{};
  using NewPartitions = Owned<rd_kafka_NewPartitions_t, rd_kafka_NewPartitions_destroy>;
  const NewPartitions wanted(
      rd_kafka_NewPartitions_new(topic.c_str(), static_cast<size_t>(count), text.data(), text.size()));
  if (!wanted) return Status(StatusCode::invalid, text.data());
  rd_kafka_NewPartitions_t* list = wanted.get();
  const auto answer = admin(
      client, RD_KAFKA_ADMIN_OP_CREATEPARTITIONS, deadline_ns,
      [&](const auto* options, auto* queue) { rd_kafka_CreatePartitions(client.get(), &list, 1, options, queue); });
  if (!answer) return answer.error();
  size_t results = 0;
  const rd_kafka_CreatePartitions_result_t* result = rd_kafka_event_CreatePartitions_result(answer->get());
  const rd_kafka_topic_result_t* const* topics = rd_kafka_CreatePartitions_result_topics(result, &results);
  return result_of(topics, results);
}

Status Cluster::ensure(const std::string& topic, int32_t partition, int32_t count, int64_t deadline_ns) {
  const auto held = client();
  if (!held) return held.error();
  Client& client = **held;
  count = std::max(count, partition + 1);
  bool changed = false;
  for (;;) {
    bool served = false;
    const auto there = look_up(client, topic, partition, served, deadline_ns);
    Status status = there ? Status() : there.error();
    if (there && *there >= count) {
      if (served) return {};
      status = Status(StatusCode::unavailable, fmt::format("partition {} of {} has no leader yet", partition, topic));
    } else if (!changed && (there || status.code() == StatusCode::not_found)) {
      status = there ? grow(client, topic, count, deadline_ns) : create(client, topic, count, deadline_ns);
      // Somebody else may be making the same: the next look tells.
      const bool race = status.code() == StatusCode::exists || (there && status.code() == StatusCode::invalid);
      if (!status.ok() && !race) return status;
      if (race && there) {
        const int64_t until = std::min(deadline_ns, now_ns() + kShownWaitMs * kMsToNs);
        auto after = partitions(topic, deadline_ns);
        while (after && *after < count && now_ns() < until) {
          std::this_thread::sleep_for(std::chrono::milliseconds(kSettlePauseMs));
          after = partitions(topic, deadline_ns);
        }
        if (after && *after < count) return status;
      }
      changed = status.ok();
      if (status.ok()) status = Status(StatusCode::unavailable, fmt::format("topic {} is being made", topic));
    } else if (!worth_another_look(status.code()) && !status.ok()) {
      return status;
    }
    if (now_ns() >= deadline_ns) {
      return Status(changed ? StatusCode::unknown : StatusCode::unavailable, status.text(), status.native_code());
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(kSettlePauseMs));
  }
}

Status Cluster::remove(const std::string& topic, int64_t deadline_ns) {
  const auto held = client();
  if (!held) return held.error();
  Client& client = **held;
  using DeleteTopic = Owned<rd_kafka_DeleteTopic_t, rd_kafka_DeleteTopic_destroy>;
  const DeleteTopic unwanted(rd_kafka_DeleteTopic_new(topic.c_str()));
  rd_kafka_DeleteTopic_t* list = unwanted.get();
  const auto answer = admin(client, RD_KAFKA_ADMIN_OP_DELETETOPICS, deadline_ns, [&](const auto* options, auto* queue) {
    rd_kafka_DeleteTopics(client.get(), &list, 1, options, queue);
  });
  if (!answer) return answer.error();
  size_t results = 0;
  const rd_kafka_DeleteTopics_result_t* result = rd_kafka_event_DeleteTopics_result(answer->get());
  const rd_kafka_topic_result_t* const* topics = rd_kafka_DeleteTopics_result_topics(result, &results);
  const Status status = result_of(topics, results);
  if (status.code() == StatusCode::not_found) return {};
  // Brokers show it for a moment longer, and who makes it anew would take it for somebody else's. Where it stays,
  // somebody was faster.
  const int64_t until = std::min(deadline_ns, now_ns() + kShownWaitMs * kMsToNs);
  while (status.ok() && now_ns() < until) {
    if (const auto there = partitions(topic, until); !there && there.error().code() == StatusCode::not_found) break;
    std::this_thread::sleep_for(std::chrono::milliseconds(kSettlePauseMs));
  }
  return status;
}

// ---- Partitions

Result<Marks> Cluster::marks(Partition& partition, int64_t deadline_ns) {
  const auto held = client();
  if (!held) return fail(held.error());
  Client& client = **held;
  // What is not there is asked for until the time is over: so that it is there is made sure first.
  if (!partition.seen) {
    const auto count = partitions(partition.topic(), deadline_ns);
    if (!count) return fail(count.error());
    if (partition.index() >= *count) {
      return fail(StatusCode::not_found, fmt::format("topic {} has {} partitions", partition.topic(), *count));
    }
    partition.seen = true;
  }
  const uint64_t asked = partition.asked();
  const auto start = offset_of(client, partition, RD_KAFKA_OFFSET_BEGINNING, deadline_ns);
  const auto end = start ? offset_of(client, partition, RD_KAFKA_OFFSET_END, deadline_ns) : start;
  if (end) return partition.answered(asked, {*start, *end});
  partition.seen = false;
  return fail(end.error());
}

/// Of the first record at or after a time, or at one of the log's ends; below 0: there is none. By the only one of
/// librdkafka's questions that keeps its deadline while the leader is away.
Result<int64_t> Cluster::offset_of(Client& client, const Partition& partition, int64_t time, int64_t deadline_ns) {
  const PartitionsHandle list(rd_kafka_topic_partition_list_new(1));
  rd_kafka_topic_partition_t* asked =
      rd_kafka_topic_partition_list_add(list.get(), partition.topic().c_str(), partition.index());
  asked->offset = time;
  rd_kafka_resp_err_t error = rd_kafka_offsets_for_times(client.get(), list.get(), wait_ms(deadline_ns));
  if (error == RD_KAFKA_RESP_ERR_NO_ERROR) error = asked->err;
  if (error == RD_KAFKA_RESP_ERR_NO_ERROR) return asked->offset;
  return fail(unreachable(client, status_of(error, fmt::format("{}-{}", partition.topic(), partition.index()))));
}

void Cluster::ask_marks(const PartitionPtr& partition, UniqueFunction<void(const Result<Marks>&)> done) {
  {
    const std::lock_guard lock(mutex_);
    auto [place, first] = waiting_.try_emplace(partition);
    place->second.push_back(std::move(done));
    if (!first) return;
  }
  pool_.post([this, partition] { answer_marks(partition); });
}

void Cluster::answer_marks(const PartitionPtr& partition) {
  for (;;) {
    Waiting waiting;
    {
      const std::lock_guard lock(mutex_);
      const auto place = waiting_.find(partition);
      if (place->second.empty()) {
        waiting_.erase(place);
        return;
      }
      waiting.swap(place->second);
    }
    const Result<Marks> found = marks(*partition, now_ns() + settings_.request_timeout_ms * kMsToNs);
    for (auto& done : waiting) done(found);
  }
}

Result<int64_t> Cluster::locate(Partition& partition, int64_t timestamp, Marks& marks, int64_t deadline_ns) {
  const auto held = client();
  if (!held) return fail(held.error());
  Client& client = **held;
  auto found = this->marks(partition, deadline_ns);
  if (!found) return fail(found.error());
  marks = *found;
  if (timestamp < 0) return marks.start;  // the protocol means other things by these
  const auto first = offset_of(client, partition, timestamp, deadline_ns);
  if (!first) return fail(first.error());
  if (*first < 0) return marks.end;
  marks.end = std::max(marks.end, *first);
  return *first;
}

Status Cluster::trim(Partition& partition, int64_t offset, int64_t deadline_ns) {
  const auto held = client();
  if (!held) return held.error();
  Client& client = **held;
  const auto before = marks(partition, deadline_ns);
  if (!before) return before.error();
  const int64_t wanted = std::min(offset, before->end);
  if (wanted <= before->start) return {};
  const PartitionsHandle list(rd_kafka_topic_partition_list_new(1));
  rd_kafka_topic_partition_list_add(list.get(), partition.topic().c_str(), partition.index())->offset = wanted;
  using DeleteRecords = Owned<rd_kafka_DeleteRecords_t, rd_kafka_DeleteRecords_destroy>;
  const DeleteRecords request(rd_kafka_DeleteRecords_new(list.get()));
  rd_kafka_DeleteRecords_t* requests = request.get();
  const auto answer = admin(
      client, RD_KAFKA_ADMIN_OP_DELETERECORDS, deadline_ns,
      [&](const auto* options, auto* queue) { rd_kafka_DeleteRecords(client.get(), &requests, 1, options, queue); });
  if (!answer) return answer.error();
  const rd_kafka_topic_partition_list_t* results =
      rd_kafka_DeleteRecords_result_offsets(rd_kafka_event_DeleteRecords_result(answer->get()));
  if (results == nullptr || results->cnt != 1)
    return Status(StatusCode::unknown, "the cluster did not say what it did");
  if (results->elems[0].err == RD_KAFKA_RESP_ERR_POLICY_VIOLATION) {
    return Status(StatusCode::unsupported,
                  fmt::format("topic {} is compacted: the cluster drops no records on request", partition.topic()),
                  results->elems[0].err);
  }
  if (results->elems[0].err == RD_KAFKA_RESP_ERR_OFFSET_OUT_OF_RANGE)
    return {};  // somebody trimmed it further meanwhile
  if (Status status = status_of_change(results->elems[0].err); !status.ok()) return status;
  static_cast<void>(marks(partition, deadline_ns));  // what is known then says so
  return {};
}

}  // namespace sluice::kafka
