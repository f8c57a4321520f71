// SPDX-License-Identifier: Apache-2.0
#include "jetstream/record_names.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "jetstream/names.hpp"
#include "jetstream/reply.hpp"

namespace sluice::jetstream {
namespace {

constexpr std::string_view kForWildcard = "kafka";

}  // namespace

std::string topic_stream(std::string_view topic, int32_t partition) {
  std::string name(topic);
  std::replace(name.begin(), name.end(), '.', '_');
  return partition == 0 ? name : fmt::format("{}-{}", name, partition);
}

std::string topic_subject(std::string_view topic, int32_t partition) {
  return partition == 0 ? std::string(topic) : fmt::format("{}.{}", topic, partition);
}

bool can_be_subject(std::string_view topic) {
  return !topic.empty() && topic.front() != '.' && topic.back() != '.' && topic.find("..") == std::string_view::npos;
}

std::string own_subject(const nlohmann::json& config) {
  const auto subjects = config.find("subjects");
  if (subjects == config.end() || !subjects->is_array() || subjects->empty() || !subjects->front().is_string())
    return {};
  const std::string first = subjects->front().get<std::string>();
  std::string subject;
  for (std::string_view rest = first;;) {
    const size_t size = std::min(rest.find('.'), rest.size());
    const std::string_view token = rest.substr(0, size);
    subject += token == "*" || token == ">" ? kForWildcard : token;
    if (size == rest.size()) return subject;
    subject += '.';
    rest.remove_prefix(size + 1);
  }
}

std::string origin_of(const nlohmann::json& config) {
  const auto name_in = [](const nlohmann::json& of) {
    return of.is_object() && of.contains("name") && of["name"].is_string() ? of["name"].get<std::string>() : "another";
  };
  if (const auto mirror = config.find("mirror"); mirror != config.end() && mirror->is_object()) {
    return "mirrors " + name_in(*mirror);
  }
  std::string names;
  if (const auto sources = config.find("sources"); sources != config.end() && sources->is_array()) {
    for (const auto& source : *sources) names += (names.empty() ? "" : ", ") + name_in(source);
  }
  return names.empty() ? "is filled by nobody" : "gathers from " + names;
}

std::string marker_stream(std::string_view prefix) {
  return fmt::format("{}-native", prefix);
}

std::string marker_subjects(std::string_view prefix) {
  return fmt::format("{}.native.>", prefix);
}

std::string marker_subject(std::string_view prefix, std::string_view stream) {
  return fmt::format("{}.native.{}", prefix, hex(stream));
}

std::string encode_marker(const Marker& marker) {
  const nlohmann::json text = {{"format", 1},
                               {"stream", marker.stream},
                               {"native", marker.native},
                               {"id", marker.id.to_string()},
                               {"partition", marker.partition},
                               {"adopted", marker.adopted}};
  return text.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

std::optional<Marker> parse_marker(Bytes payload) {
  const auto text = nlohmann::json::parse(payload.begin(), payload.end(), nullptr, false);
  if (!text.is_object()) return std::nullopt;
  const auto id = Uuid::parse(text_at(text, "id"));
  Marker marker;
  marker.stream = text_at(text, "stream");
  marker.native = text_at(text, "native");
  marker.partition = static_cast<int32_t>(number_at(text, "partition", -1));
  marker.adopted = flag_at(text, "adopted");
  if (!id || marker.stream.empty() || marker.partition < 0 || number_at(text, "format") != 1) return std::nullopt;
  marker.id = *id;
  return marker;
}

}  // namespace sluice::jetstream
