// SPDX-License-Identifier: Apache-2.0
// DescribeConfigs, versions 1 to 4, of topics and of this broker. Other resources have no settings here and are refused.
#include <algorithm>
#include <charconv>
#include <set>

#include "handlers/configs.hpp"
#include "handlers/handlers.hpp"
#include "handlers/topics.hpp"
#include "protocol/gen/describe_configs.hpp"

namespace sluice::handlers {
namespace {

using Request = protocol::DescribeConfigsRequest;
using Response = protocol::DescribeConfigsResponse;

constexpr int8_t kTopic = 2;
constexpr int8_t kBroker = 4;

bool wanted(const Request::Resource& resource, std::string_view name) {
  return !resource.configuration_keys ||
         std::find(resource.configuration_keys->begin(), resource.configuration_keys->end(), name) != resource.configuration_keys->end();
}

void describe_topic(const RequestContext& context, const Request& request, const Request::Resource& resource, const NativeCapabilities& native,
                    Response::ResourceResult& result) {
  const Broker& broker = *context.broker;
  if (Status name = cluster::check_topic_name(resource.resource_name); !name.ok()) {
    result.error_code = ErrorCode::kInvalidTopicException;
    result.error_message = name.text();
    return;
  }
  const auto topic = find_topic(broker, {}, resource.resource_name);
  if (!topic) {
    result.error_code = ErrorCode::kUnknownTopicOrPartition;
    return;
  }
  for (auto& shown : shown_settings(broker, *topic, native)) {
    if (!wanted(resource, shown.setting->name)) continue;
    auto& config = result.configs.emplace_back();
    config.name = std::string(shown.setting->name);
    config.config_source = static_cast<int8_t>(shown.source);
    config.read_only = shown.read_only;
    config.config_type = static_cast<int8_t>(shown.setting->type);
    if (request.include_documentation) config.documentation = std::string(shown.setting->help);
    if (request.include_synonyms) {
      // From the strongest to the weakest place that says something.
      auto add = [&](std::string_view name, std::string value, cluster::ConfigSource source) {
        auto& synonym = config.synonyms.emplace_back();
        synonym.name = std::string(name);
        synonym.value = std::move(value);
        synonym.source = static_cast<int8_t>(source);
      };
      const auto& s = *shown.setting;
      if (shown.source == cluster::ConfigSource::topic) add(s.name, shown.value, cluster::ConfigSource::topic);
      if (!s.broker_name.empty()) {
        const auto& broker_configs = broker.cluster.broker_configs();
        if (auto found = broker_configs.find(s.broker_name); found != broker_configs.end()) {
          add(s.broker_name, found->second, cluster::ConfigSource::static_broker);
        }
        add(s.broker_name, std::string(s.default_value), cluster::ConfigSource::defaults);
      }
    }
    config.value = std::move(shown.value);
  }
}

void describe_broker(const RequestContext& context, const Request& request, const Request::Resource& resource,
                     Response::ResourceResult& result) {
  const Broker& broker = *context.broker;
  int32_t id = -1;
  const auto name = resource.resource_name;
  const auto [end, error] = std::from_chars(name.data(), name.data() + name.size(), id);
  if (!name.empty() && (error != std::errc() || end != name.data() + name.size())) {
    result.error_code = ErrorCode::kInvalidRequest;
    result.error_message = "Broker id must be an integer, but it is: " + std::string(name);
    return;
  }
  if (!name.empty() && id != broker.cluster.broker_id()) {
    result.error_code = ErrorCode::kInvalidRequest;
    result.error_message = "Unexpected broker id, expected " + std::to_string(broker.cluster.broker_id()) + ", but received " + std::string(name);
    return;
  }
  if (name.empty()) return;  // defaults of all brokers: none are set dynamically
  for (const auto& setting : broker.settings) {
    if (!wanted(resource, setting.name)) continue;
    auto& config = result.configs.emplace_back();
    config.name = setting.name;
    config.value = setting.value;
    config.read_only = true;
    config.config_source = static_cast<int8_t>(setting.source);
    config.config_type = static_cast<int8_t>(setting.type);
    if (request.include_documentation) config.documentation = setting.help;
    if (request.include_synonyms) {
      auto& synonym = config.synonyms.emplace_back();
      synonym.name = setting.name;
      synonym.value = setting.value;
      synonym.source = static_cast<int8_t>(setting.source);
    }
  }
}

Task<Response> answer(RequestContext context, Request request) {
  std::vector<cluster::TopicPtr> topics;
  for (const auto& resource : request.resources) {
    if (resource.resource_type != kTopic || !wanted(resource, cluster::kCapabilitiesSetting)) continue;
    if (auto topic = find_topic(*context.broker, {}, resource.resource_name)) topics.push_back(std::move(topic));
  }
  const NativeCapabilities native = co_await native_capabilities(context, std::move(topics));
  Response response;
  std::set<std::pair<int8_t, std::string_view>> seen;
  for (const auto& resource : request.resources) {
    // Whoever names a resource twice is told of it once: the answer is hundreds of times larger than the question.
    if (!seen.emplace(resource.resource_type, resource.resource_name).second) continue;
    auto& result = response.results.emplace_back();
    result.resource_type = resource.resource_type;
    result.resource_name = std::string(resource.resource_name);
    switch (resource.resource_type) {
      case kTopic: describe_topic(context, request, resource, native, result); break;
      case kBroker: describe_broker(context, request, resource, result); break;
      default:
        result.error_code = ErrorCode::kInvalidRequest;
        result.error_message = "Only topics and brokers have settings here.";
    }
  }
  co_return response;
}

}  // namespace

Task<Reply> describe_configs(RequestContext context) { return serve<Request, answer>(std::move(context)); }

}  // namespace sluice::handlers
