// SPDX-License-Identifier: Apache-2.0
// sluice topic migrate: a topic's storage is a setting, and so is everything about its way there.
#include <fmt/format.h>

#include "cli/commands.hpp"
#include "cli/configs.hpp"
#include "cli/text.hpp"

namespace sluice::cli {
namespace {

constexpr const char* kStorage = "sluice.storage";
constexpr const char* kMigration = "sluice.migration";
constexpr const char* kPaused = "sluice.migration.paused";
constexpr const char* kRate = "sluice.migration.max.bytes.per.second";

struct State {
  std::string storage;
  Json migration;  // null: none
};

Result<State> look(const Client& client, const std::string& topic) {
  const auto configs = describe_configs(client, topic);
  if (!configs) return fail(configs.error());
  const auto storage = configs->find(kStorage);
  const auto migration = configs->find(kMigration);
  if (storage == configs->end() || migration == configs->end())
    return fail(StatusCode::unsupported, "this broker cannot migrate topics");
  State state{storage->second.value, nullptr};
  if (!migration->second.value.empty()) state.migration = Json::parse(migration->second.value, nullptr, false);
  if (state.migration.is_discarded()) return fail(StatusCode::corrupt, "the broker's answer cannot be understood");
  return state;
}

std::string duration(int64_t ms) {
  const int64_t seconds = (ms + 999) / 1000;
  if (seconds < 120) return fmt::format("{} s", seconds);
  if (seconds < 7'200) return fmt::format("{} min", (seconds + 59) / 60);
  return fmt::format("{:.1f} h", static_cast<double>(seconds) / 3600);
}

uint64_t number(const Json& object, const char* name) {
  const auto found = object.find(name);
  return found != object.end() && found->is_number_integer() && found->get<int64_t>() > 0 ? found->get<uint64_t>() : 0;
}

std::string text(const Json& object, const char* name) {
  const auto found = object.find(name);
  return found != object.end() && found->is_string() ? found->get<std::string>() : std::string();
}

void print_state(const std::string& topic, const State& state, const Common& common) {
  if (common.json) return print_json({{"topic", topic}, {"storage", state.storage}, {"migration", state.migration}});
  if (state.migration.is_null()) return fmt::print("{} is on {}\n", topic, state.storage);
  const Json& m = state.migration;
  fmt::print("{}: {} from {} to {}\n", topic, text(m, "state"), text(m, "from"), text(m, "to"));
  fmt::print("  partitions  {} switched, {} done, of {}\n", number(m, "switched"), number(m, "copied"),
             number(m, "partitions"));
  if (m.contains("bytes_total")) {
    fmt::print("  copied      {} of {}, {}/s\n", human_bytes(number(m, "bytes_copied")),
               human_bytes(number(m, "bytes_total")), human_bytes(number(m, "bytes_per_second")));
  }
  if (m.contains("remaining_ms") && m["remaining_ms"].is_number())
    fmt::print("  remaining   about {}\n", duration(m["remaining_ms"].get<int64_t>()));
  if (const std::string error = text(m, "error"); !error.empty()) fmt::print("  last error  {}\n", error);
}

}  // namespace

Status run(const TopicMigrate& command, const Common& common) {
  using Action = TopicMigrate::Action;
  auto client = Client::open(RD_KAFKA_CONSUMER, common);
  if (!client) return client.error();
  // Where it is not there, metadata says so most clearly.
  if (const auto metadata = client->metadata(command.name); !metadata) return metadata.error();
  auto state = look(*client, command.name);
  if (!state) return state.error();
  const bool under_way = !state->migration.is_null();
  if (command.action != Action::start && command.action != Action::status && !under_way)
    return Status(StatusCode::invalid, fmt::format("{} is on {}, and no migration is under way", command.name, state->storage));
  if (command.action == Action::start && !under_way && state->storage == command.to)
    return Status(StatusCode::invalid, fmt::format("{} is on {} already", command.name, command.to));

  std::map<std::string, std::optional<std::string>> changes;
  if (command.action == Action::start) {
    changes[kStorage] = command.to;
    changes[kPaused] = std::nullopt;
    changes[kRate] = std::nullopt;
  } else if (command.action == Action::pause) {
    changes[kPaused] = "true";
  } else if (command.action == Action::resume) {
    changes[kPaused] = std::nullopt;
  } else if (command.action == Action::cancel) {
    changes[kStorage] = text(state->migration, "from");
    changes[kPaused] = std::nullopt;
  }
  if (command.max_bytes_per_second) changes[kRate] = std::to_string(*command.max_bytes_per_second);
  if (!changes.empty()) {
    if (Status status = change_configs(*client, command.name, changes); !status.ok()) return status;
    state = look(*client, command.name);
    if (!state) return state.error();
  }
  print_state(command.name, *state, common);
  return {};
}

}  // namespace sluice::cli
