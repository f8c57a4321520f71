// SPDX-License-Identifier: Apache-2.0
#include "jetstream/stream_config.hpp"

#include <fmt/format.h>

#include "jetstream/names.hpp"
#include "jetstream/record_names.hpp"

namespace sluice::jetstream {
namespace {

using nlohmann::json;

json base_config(const Settings& settings, std::string name, std::string subjects, std::string description) {
  return {{"name", std::move(name)},
          {"description", std::move(description)},
          {"subjects", json::array({std::move(subjects)})},
          {"retention", "limits"},
          {"discard", "new"},
          {"max_age", 0},
          {"max_msgs", -1},
          {"max_msgs_per_subject", -1},
          {"max_msg_size", -1},
          {"max_bytes", -1},
          {"max_consumers", -1},
          {"storage", settings.media_name()},
          {"num_replicas", settings.replicas},
          {"allow_direct", true},
          {"sealed", false},
          {"deny_purge", false}};
}

}  // namespace

json root_config(const Settings& settings) {
  return base_config(settings, root_stream(settings.prefix), root_subject(settings.prefix, ">"),
                     "Sluice storage: which cluster the logs belong to");
}

json log_config(const Settings& settings, const Uuid& id, const std::string& topic, int32_t partition) {
  json config = base_config(settings, log_stream(settings.prefix, id), log_subject(settings.prefix, id) + ".>",
                            describe_log(topic, partition));
  if (settings.max_bytes > 0) config["max_bytes"] = settings.max_bytes + kReserveBytes;
  return config;
}

json markers_config(const Settings& settings) {
  json config = base_config(settings, marker_stream(settings.prefix), marker_subjects(settings.prefix),
                            "Sluice storage: which topics stand for which streams");
  config["max_msgs_per_subject"] = 1;
  return config;
}

json topic_config(const Settings& settings, const std::string& topic, int32_t partition) {
  json config = base_config(settings, topic_stream(topic, partition), topic_subject(topic, partition),
                            fmt::format("Sluice topic: partition {} of {}", partition, topic));
  if (settings.max_bytes > 0) config["max_bytes"] = settings.max_bytes;
  return config;
}

std::string config_difference(const json& wanted, const json& actual) {
  std::string difference;
  for (const auto& [key, value] : wanted.items()) {
    if (key == "description") continue;
    const auto found = actual.find(key);
    const json there = found != actual.end() ? *found : json();
    if (there == value) continue;
    if (there.is_null() && (value == false || value == 0)) continue;  // servers leave out what is not set
    difference += fmt::format("{}{} is {}, wanted {}", difference.empty() ? "" : "; ", key,
                              there.is_null() ? "absent" : there.dump(), value.dump());
  }
  // Messages of others would come in by these.
  for (const char* key : {"mirror", "sources", "subject_transform"}) {
    const auto found = actual.find(key);
    if (wanted.contains(key) || found == actual.end() || found->is_null() || found->empty()) continue;
    difference += fmt::format("{}{} is {}, wanted none", difference.empty() ? "" : "; ", key, found->dump());
  }
  return difference;
}

json needed_shape(json wanted) {
  for (const char* key : {"description", "max_bytes", "max_consumers", "storage", "num_replicas"}) wanted.erase(key);
  return wanted;
}

}  // namespace sluice::jetstream
