// SPDX-License-Identifier: Apache-2.0
// sluice group list | describe
#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <set>
#include <tuple>

#include "cli/commands.hpp"
#include "cli/kafka.hpp"
#include "cli/text.hpp"

namespace sluice::cli {
namespace {

struct Member {
  std::string id, client, host, instance;
  std::vector<std::pair<std::string, int32_t>> assignment;
};

struct GroupInfo {
  std::string state, protocol;
  int32_t coordinator = -1;
  std::vector<Member> members;
};

std::string text_of(const char* text) {
  return text == nullptr ? "" : text;
}

Result<GroupInfo> describe(const Client& client, const std::string& group) {
  const char* wanted = group.c_str();
  auto event = client.admin(RD_KAFKA_ADMIN_OP_DESCRIBECONSUMERGROUPS, [&](auto* options, auto* queue) {
    rd_kafka_DescribeConsumerGroups(client.get(), &wanted, 1, options, queue);
  });
  if (!event) return fail(event.error());
  size_t count = 0;
  const auto** groups =
      rd_kafka_DescribeConsumerGroups_result_groups(rd_kafka_event_DescribeConsumerGroups_result(event->get()), &count);
  if (count != 1) return fail(StatusCode::internal, "the broker described another number of groups");
  if (const rd_kafka_error_t* error = rd_kafka_ConsumerGroupDescription_error(groups[0]); error != nullptr) {
    if (rd_kafka_error_code(error) == RD_KAFKA_RESP_ERR_GROUP_ID_NOT_FOUND) {
      return fail(StatusCode::not_found, fmt::format("there is no group {}", group));
    }
    return fail(client.error(rd_kafka_error_code(error), rd_kafka_error_string(error)).in(group));
  }
  GroupInfo info;
  const auto state = rd_kafka_ConsumerGroupDescription_state(groups[0]);
  if (state == RD_KAFKA_CONSUMER_GROUP_STATE_DEAD) {
    return fail(StatusCode::not_found, fmt::format("there is no group {}", group));
  }
  info.state = rd_kafka_consumer_group_state_name(state);
  info.protocol = text_of(rd_kafka_ConsumerGroupDescription_partition_assignor(groups[0]));
  if (const auto* node = rd_kafka_ConsumerGroupDescription_coordinator(groups[0]); node != nullptr) {
    info.coordinator = rd_kafka_Node_id(node);
  }
  for (size_t i = 0; i < rd_kafka_ConsumerGroupDescription_member_count(groups[0]); ++i) {
    const auto* from = rd_kafka_ConsumerGroupDescription_member(groups[0], i);
    Member& member = info.members.emplace_back();
    member.id = text_of(rd_kafka_MemberDescription_consumer_id(from));
    member.client = text_of(rd_kafka_MemberDescription_client_id(from));
    member.host = text_of(rd_kafka_MemberDescription_host(from));
    member.instance = text_of(rd_kafka_MemberDescription_group_instance_id(from));
    const auto* assignment = rd_kafka_MemberDescription_assignment(from);
    const auto* partitions = assignment == nullptr ? nullptr : rd_kafka_MemberAssignment_partitions(assignment);
    for (int j = 0; partitions != nullptr && j < partitions->cnt; ++j) {
      member.assignment.emplace_back(partitions->elems[j].topic, partitions->elems[j].partition);
    }
    std::sort(member.assignment.begin(), member.assignment.end());
  }
  std::sort(info.members.begin(), info.members.end(), [](const Member& a, const Member& b) { return a.id < b.id; });
  return info;
}

using PartitionKey = std::pair<std::string, int32_t>;

/// What the group committed, for every partition there is.
Result<std::map<PartitionKey, int64_t>> committed_offsets(const Client& client, const std::string& group) {
  const auto metadata = client.metadata();
  if (!metadata) return fail(metadata.error());
  ListPtr all(rd_kafka_topic_partition_list_new(16));
  for (int i = 0; i < (*metadata)->topic_cnt; ++i) {
    const auto& topic = (*metadata)->topics[i];
    for (int j = 0; j < topic.partition_cnt; ++j) {
      rd_kafka_topic_partition_list_add(all.get(), topic.topic, topic.partitions[j].id);
    }
  }
  std::map<PartitionKey, int64_t> committed;
  if (all->cnt == 0) return committed;
  std::unique_ptr<rd_kafka_ListConsumerGroupOffsets_t, Destroy<rd_kafka_ListConsumerGroupOffsets_destroy>> request(
      rd_kafka_ListConsumerGroupOffsets_new(group.c_str(), all.get()));
  rd_kafka_ListConsumerGroupOffsets_t* wanted = request.get();
  auto event = client.admin(RD_KAFKA_ADMIN_OP_LISTCONSUMERGROUPOFFSETS, [&](auto* options, auto* queue) {
    rd_kafka_ListConsumerGroupOffsets(client.get(), &wanted, 1, options, queue);
  });
  if (!event) return fail(event.error());
  size_t count = 0;
  const auto** results = rd_kafka_ListConsumerGroupOffsets_result_groups(
      rd_kafka_event_ListConsumerGroupOffsets_result(event->get()), &count);
  for (size_t i = 0; i < count; ++i) {
    if (const rd_kafka_error_t* error = rd_kafka_group_result_error(results[i]); error != nullptr) {
      return fail(client.error(rd_kafka_error_code(error), rd_kafka_error_string(error)).in(group));
    }
    const auto* partitions = rd_kafka_group_result_partitions(results[i]);
    for (int j = 0; partitions != nullptr && j < partitions->cnt; ++j) {
      const auto& each = partitions->elems[j];
      if (each.offset >= 0) committed[{each.topic, each.partition}] = each.offset;
    }
  }
  return committed;
}

struct Row {
  PartitionKey partition;
  int64_t committed = -1, end = -1;
  const Member* member = nullptr;
  int64_t lag() const { return committed < 0 || end < 0 ? -1 : std::max<int64_t>(0, end - committed); }
};

Result<std::vector<Row>> partition_rows(const Client& client, const std::string& group, const GroupInfo& info) {
  const auto committed = committed_offsets(client, group);
  if (!committed) return fail(committed.error());
  std::map<PartitionKey, Row> rows;
  for (const auto& [partition, offset] : *committed) rows[partition].committed = offset;
  for (const Member& member : info.members) {
    for (const PartitionKey& partition : member.assignment) rows[partition].member = &member;
  }
  ListPtr ends(rd_kafka_topic_partition_list_new(static_cast<int>(rows.size())));
  for (const auto& [partition, row] : rows) {
    rd_kafka_topic_partition_list_add(ends.get(), partition.first.c_str(), partition.second);
  }
  if (Status status = client.offsets(*ends, RD_KAFKA_OFFSET_END); !status.ok()) return fail(status);
  std::vector<Row> result;
  for (auto& [partition, row] : rows) {
    row.partition = partition;
    const auto* end = rd_kafka_topic_partition_list_find(ends.get(), partition.first.c_str(), partition.second);
    if (end != nullptr) row.end = end->offset;
    result.push_back(row);
  }
  return result;
}

Json or_null(int64_t number) {
  return number < 0 ? Json(nullptr) : Json(number);
}
std::string cell(int64_t number) {
  return number < 0 ? "-" : std::to_string(number);
}
std::string cell(const std::string& text) {
  return text.empty() ? "-" : text;
}

}  // namespace

Status run(const GroupList&, const Common& common) {
  auto client = Client::open(RD_KAFKA_CONSUMER, common);
  if (!client) return client.error();
  auto event = client->admin(RD_KAFKA_ADMIN_OP_LISTCONSUMERGROUPS, [&](auto* options, auto* queue) {
    rd_kafka_ListConsumerGroups(client->get(), options, queue);
  });
  if (!event) return event.error();
  const auto* result = rd_kafka_event_ListConsumerGroups_result(event->get());
  size_t count = 0;
  const auto** errors = rd_kafka_ListConsumerGroups_result_errors(result, &count);
  if (count > 0) return client->error(rd_kafka_error_code(errors[0]), rd_kafka_error_string(errors[0]));
  const auto** groups = rd_kafka_ListConsumerGroups_result_valid(result, &count);
  std::set<std::tuple<std::string, std::string, bool>> sorted;
  for (size_t i = 0; i < count; ++i) {
    sorted.emplace(rd_kafka_ConsumerGroupListing_group_id(groups[i]),
                   rd_kafka_consumer_group_state_name(rd_kafka_ConsumerGroupListing_state(groups[i])),
                   rd_kafka_ConsumerGroupListing_is_simple_consumer_group(groups[i]) != 0);
  }
  Json list = Json::array();
  Table table({"GROUP", "STATE", "KIND"});
  for (const auto& [name, state, simple] : sorted) {
    const char* kind = simple ? "offsets only" : "consumer";
    list.push_back({{"group", name}, {"state", state}, {"kind", kind}});
    table.add({name, state, kind});
  }
  if (common.json) {
    print_json({{"groups", list}});
  } else if (!table.empty()) {
    fmt::print("{}", table.text());
  }
  return {};
}

Status run(const GroupDescribe& command, const Common& common) {
  auto client = Client::open(RD_KAFKA_CONSUMER, common);
  if (!client) return client.error();
  const auto info = describe(*client, command.group);
  if (!info) return info.error();
  const auto rows = partition_rows(*client, command.group, *info);
  if (!rows) return rows.error();
  if (common.json) {
    Json members = Json::array(), partitions = Json::array();
    for (const Member& member : info->members) {
      Json assignment = Json::array();
      for (const auto& [topic, partition] : member.assignment)
        assignment.push_back({{"topic", topic}, {"partition", partition}});
      members.push_back({{"id", member.id},
                         {"client", member.client},
                         {"host", member.host},
                         {"instance", member.instance.empty() ? Json(nullptr) : Json(member.instance)},
                         {"assignment", assignment}});
    }
    for (const Row& row : *rows) {
      partitions.push_back({{"topic", row.partition.first},
                            {"partition", row.partition.second},
                            {"committed", or_null(row.committed)},
                            {"end", or_null(row.end)},
                            {"lag", or_null(row.lag())},
                            {"member", row.member == nullptr ? Json(nullptr) : Json(row.member->id)}});
    }
    print_json({{"group", command.group},
                {"state", info->state},
                {"protocol", info->protocol},
                {"coordinator", or_null(info->coordinator)},
                {"members", members},
                {"partitions", partitions}});
    return {};
  }
  fmt::print("group {}: {}, protocol {}, coordinator {}, {} member{}\n", command.group, info->state,
             cell(info->protocol), cell(info->coordinator), info->members.size(), info->members.size() == 1 ? "" : "s");
  if (!info->members.empty()) {
    Table table({"MEMBER", "CLIENT", "HOST", "INSTANCE", "PARTITIONS"});
    for (const Member& member : info->members) {
      table.add({member.id, cell(member.client), cell(member.host), cell(member.instance),
                 std::to_string(member.assignment.size())});
    }
    fmt::print("\n{}", table.text());
  }
  if (!rows->empty()) {
    Table table({"TOPIC", "PARTITION", "COMMITTED", "END", "LAG", "MEMBER"});
    for (const Row& row : *rows) {
      table.add({row.partition.first, std::to_string(row.partition.second), cell(row.committed), cell(row.end),
                 cell(row.lag()), row.member == nullptr ? "-" : row.member->id});
    }
    fmt::print("\n{}", table.text());
  }
  return {};
}

}  // namespace sluice::cli
