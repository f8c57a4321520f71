// SPDX-License-Identifier: Apache-2.0
// What streams and subjects are called. Each log has a stream of its own, PREFIX-HEX, that holds the subjects
// PREFIX.log.HEX.>; one stream more, PREFIX, ties the storage to a cluster. HEX is the log's id.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

#include "base/uuid.hpp"

namespace sluice::jetstream {

/// 1 to kLongestPrefix letters, digits, '-' and '_': legal in stream names and in subjects.
constexpr size_t kLongestPrefix = 64;
bool valid_prefix(std::string_view prefix);
/// A JetStream domain: one token of a subject.
bool valid_token(std::string_view token);

std::string root_stream(std::string_view prefix);
std::string root_subject(std::string_view prefix, std::string_view what);

std::string log_stream(std::string_view prefix, const Uuid& id);
/// The id in a stream's name, if it is a log of this prefix.
std::optional<Uuid> parse_log_stream(std::string_view prefix, std::string_view stream);
/// "PREFIX.log.HEX": all subjects of the log begin with it and a dot.
std::string log_subject(std::string_view prefix, const Uuid& id);

/// Any bytes as a token of a subject: two hexadecimal digits each.
std::string hex(std::string_view bytes);

/// The description of a log's stream, and back. For people, and for list_logs.
std::string describe_log(std::string_view topic, int32_t partition);
struct DescribedLog {
  std::string topic;
  int32_t partition = 0;
};
std::optional<DescribedLog> parse_description(std::string_view description);

}  // namespace sluice::jetstream
