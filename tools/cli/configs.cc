// SPDX-License-Identifier: Apache-2.0
#include "cli/configs.hpp"

#include <memory>

namespace sluice::cli {
namespace {

using ResourcePtr = std::unique_ptr<rd_kafka_ConfigResource_t, Destroy<rd_kafka_ConfigResource_destroy>>;

}  // namespace

Result<Configs> describe_configs(const Client& client, const std::string& topic) {
  ResourcePtr resource(rd_kafka_ConfigResource_new(RD_KAFKA_RESOURCE_TOPIC, topic.c_str()));
  rd_kafka_ConfigResource_t* wanted = resource.get();
  auto event = client.admin(RD_KAFKA_ADMIN_OP_DESCRIBECONFIGS, [&](auto* options, auto* queue) {
    rd_kafka_DescribeConfigs(client.get(), &wanted, 1, options, queue);
  });
  if (!event) return fail(event.error());
  size_t count = 0;
  const auto** resources =
      rd_kafka_DescribeConfigs_result_resources(rd_kafka_event_DescribeConfigs_result(event->get()), &count);
  if (count != 1) return Configs();
  const auto code = rd_kafka_ConfigResource_error(resources[0]);
  if (code != RD_KAFKA_RESP_ERR_NO_ERROR) {
    return fail(client.error(code, rd_kafka_ConfigResource_error_string(resources[0])).in(topic));
  }
  Configs configs;
  const auto** entries = rd_kafka_ConfigResource_configs(resources[0], &count);
  for (size_t i = 0; i < count; ++i) {
    const char* value = rd_kafka_ConfigEntry_value(entries[i]);
    const bool own = rd_kafka_ConfigEntry_source(entries[i]) == RD_KAFKA_CONFIG_SOURCE_DYNAMIC_TOPIC_CONFIG;
    const bool read_only = rd_kafka_ConfigEntry_is_read_only(entries[i]) == 1;
    configs[rd_kafka_ConfigEntry_name(entries[i])] = {value == nullptr ? "" : value, !own, read_only};
  }
  return configs;
}

Status change_configs(const Client& client, const std::string& topic,
                      const std::map<std::string, std::optional<std::string>>& changes) {
  const auto present = describe_configs(client, topic);
  if (!present) return present.error();
  ResourcePtr resource(rd_kafka_ConfigResource_new(RD_KAFKA_RESOURCE_TOPIC, topic.c_str()));
  for (const auto& [name, config] : *present) {
    if (config.is_default || config.is_read_only || changes.contains(name)) continue;
    rd_kafka_ConfigResource_set_config(resource.get(), name.c_str(), config.value.c_str());
  }
  for (const auto& [name, value] : changes) {
    if (value) rd_kafka_ConfigResource_set_config(resource.get(), name.c_str(), value->c_str());
  }
  rd_kafka_ConfigResource_t* wanted = resource.get();
  auto event = client.admin(RD_KAFKA_ADMIN_OP_ALTERCONFIGS, [&](auto* options, auto* queue) {
    rd_kafka_AlterConfigs(client.get(), &wanted, 1, options, queue);
  });
  if (!event) return event.error();
  size_t count = 0;
  const auto** resources =
      rd_kafka_AlterConfigs_result_resources(rd_kafka_event_AlterConfigs_result(event->get()), &count);
  if (count != 1) return Status(StatusCode::internal, "the broker answered for another topic");
  const auto code = rd_kafka_ConfigResource_error(resources[0]);
  if (code == RD_KAFKA_RESP_ERR_NO_ERROR) return {};
  return client.error(code, rd_kafka_ConfigResource_error_string(resources[0])).in(topic);
}

}  // namespace sluice::cli
