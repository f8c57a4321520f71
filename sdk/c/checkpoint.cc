// SPDX-License-Identifier: Apache-2.0
#include "sluice/c/checkpoint.h"

#include <nlohmann/json.hpp>

#include "c/boundary.hpp"
#include "c/config.hpp"
#include "c/records.hpp"
#include "c/telemetry.hpp"
#include "sluice/checkpoint.hpp"

namespace sluice::c {
namespace {

using nlohmann::json;

constexpr size_t kCheckpointBytes = sizeof(sluice_checkpoint);  // of the first version

struct Checkpoints final : Object {
  static constexpr Kind kKind = Kind::checkpoints;
  explicit Checkpoints(std::unique_ptr<CheckpointStore> made) : Object(kKind), store(std::move(made)) {}
  const std::unique_ptr<CheckpointStore> store;
};

Result<std::unique_ptr<Checkpoints>> open_store(std::string_view text) {
  ConfigReader config = ConfigReader::parse(text);
  CheckpointSettings settings;
  settings.directory = config.required_text("directory");
  settings.keep = config.natural("keep", settings.keep, 1U, kMaxKeptCheckpoints);
  settings.lock_timeout_ms = config.integer("lock_timeout_ms", settings.lock_timeout_ms, 1, 600'000);
  settings.name = config.text("name", settings.name);
  settings.telemetry = read_telemetry(config);
  config.finish();
  if (Status verdict = config.verdict(); !verdict.ok()) return fail(std::move(verdict));
  auto opened = CheckpointStore::open(std::move(settings));
  if (!opened) return fail(at_path(opened.error(), "", "checkpoint."));
  return std::make_unique<Checkpoints>(std::move(*opened));
}

}  // namespace
}  // namespace sluice::c

using namespace sluice;     // NOLINT: the functions below are of C
using namespace sluice::c;  // NOLINT
using nlohmann::json;

extern "C" {

sluice_status sluice_checkpoints_open(const char* config, uint64_t config_size, sluice_handle* store,
                                      sluice_failure* failure) {
  return open_by({config, config_size, "config"}, store, "store", failure, &open_store);
}

sluice_status sluice_checkpoints_commit(sluice_handle store, const char* group, uint64_t group_size, uint64_t after,
                                        const char* cursor, uint64_t cursor_size, const sluice_field* metadata,
                                        uint64_t metadata_count, uint64_t* id, sluice_failure* failure) {
  return on<Checkpoints>(store, failure, [&](Checkpoints& object) -> Verdict {
    const auto name = text_of(group, group_size, "group");
    if (!name) return name.error();
    const auto place = text_of(cursor, cursor_size, "cursor");
    if (!place) return place.error();
    CheckpointMetadata entries;
    if (Verdict verdict = pairs_of(metadata, metadata_count, "metadata", entries); !verdict.status.ok()) {
      return verdict;
    }
    const auto committed = object.store->commit(*name, after, *place, entries);
    if (!committed) return committed.error();
    if (id != nullptr) *id = *committed;
    return {};
  });
}

sluice_status sluice_checkpoints_newest(sluice_handle store, const char* group, uint64_t group_size,
                                        sluice_checkpoint* about, char* cursor, uint64_t capacity, uint64_t* needed,
                                        sluice_failure* failure) {
  return on<Checkpoints>(store, failure, [&](Checkpoints& object) -> Verdict {
    if (about != nullptr) {
      if (Status status = check_struct(about, kCheckpointBytes, "about"); !status.ok()) return status;
    }
    const auto name = text_of(group, group_size, "group");
    if (!name) return name.error();
    const auto newest = object.store->newest(*name);
    if (!newest) return newest.error();
    if (about != nullptr) {
      about->damaged_newer = newest->damaged_newer;
      about->id = newest->id;
      about->created_ns = newest->created_ns;
    }
    return write_text(newest->cursor, cursor, capacity, needed);
  });
}

sluice_status sluice_checkpoints_list(sluice_handle store, const char* group, uint64_t group_size, char* buffer,
                                      uint64_t capacity, uint64_t* needed, sluice_failure* failure) {
  return on<Checkpoints>(store, failure, [&](Checkpoints& object) -> Verdict {
    const auto name = text_of(group, group_size, "group");
    if (!name) return name.error();
    const auto list = object.store->list(*name);
    if (!list) return list.error();
    json checkpoints = json::array();
    for (const Checkpoint& one : list->checkpoints) {
      checkpoints.push_back(
          {{"id", one.id}, {"created_ns", one.created_ns}, {"cursor", one.cursor}, {"metadata", json::array()}});
      for (const auto& [key, value] : one.metadata) checkpoints.back()["metadata"].push_back(json::array({key, value}));
    }
    json damaged = json::array();
    for (const DamagedCheckpoint& one : list->damaged) {
      damaged.push_back({{"path", one.path}, {"status", status_name(one.why.code())}, {"text", one.why.text()}});
    }
    return write_json({{"checkpoints", std::move(checkpoints)}, {"damaged", std::move(damaged)}}, buffer, capacity,
                      needed);
  });
}

sluice_status sluice_checkpoints_groups(sluice_handle store, char* buffer, uint64_t capacity, uint64_t* needed,
                                        sluice_failure* failure) {
  return on<Checkpoints>(store, failure, [&](Checkpoints& object) -> Verdict {
    const auto groups = object.store->groups();
    if (!groups) return groups.error();
    return write_json(json(*groups), buffer, capacity, needed);
  });
}

}  // extern "C"
