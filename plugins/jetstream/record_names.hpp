// SPDX-License-Identifier: Apache-2.0
// The layout `record`: what the streams and subjects of a topic are called. Pure functions.
//
//   topic events.clicks, partition 0   stream events_clicks     subject events.clicks
//                        partition 1   stream events_clicks-1   subject events.clicks.1
//
// An adopted topic is a stream as it was found, and has one partition. What stands for which stream is told by the
// messages PREFIX.native.HEX of the stream PREFIX-native; HEX is the stream's name.
#pragma once

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <string_view>

#include "base/bytes.hpp"
#include "base/uuid.hpp"

namespace sluice::jetstream {

/// The stream and the subject of a partition of a topic that Sluice makes.
std::string topic_stream(std::string_view topic, int32_t partition);
std::string topic_subject(std::string_view topic, int32_t partition);
/// No subject may begin or end with a dot, or have two of them in a row.
bool can_be_subject(std::string_view topic);

/// Where records of Kafka producers go in a stream with this configuration: its first subject, "kafka" in place of each
/// wildcard. Empty: nobody publishes to it (a mirror).
std::string own_subject(const nlohmann::json& config);
/// Where the messages of a stream come from that nobody publishes to: "mirrors ORDERS".
std::string origin_of(const nlohmann::json& config);

/// Which log stands for a stream.
struct Marker {
  std::string stream;
  std::string native;  // the topic's name, or that of what was adopted
  Uuid id;
  int32_t partition = 0;
  bool adopted = false;
  bool operator==(const Marker&) const = default;
};
std::string marker_stream(std::string_view prefix);
std::string marker_subjects(std::string_view prefix);
std::string marker_subject(std::string_view prefix, std::string_view stream);
std::string encode_marker(const Marker& marker);
/// Nothing for what no version of this adapter wrote.
std::optional<Marker> parse_marker(Bytes payload);

}  // namespace sluice::jetstream
