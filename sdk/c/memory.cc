// SPDX-License-Identifier: Apache-2.0
#include "c/memory.hpp"

#include "c/boundary.hpp"
#include "c/config.hpp"
#include "c/records.hpp"
#include "sluice/c/log.h"

namespace sluice::c {

namespace {

Result<std::unique_ptr<MemoryObject>> open_memory(std::string_view text) {
  ConfigReader config = ConfigReader::parse(text);
  const std::string id = config.required_text("id");
  if (id.size() > kMaxSourceIdBytes) config.refuse("id", "longer than " + std::to_string(kMaxSourceIdBytes));
  const uint64_t max_bytes = config.natural("max_bytes", MemorySource::kDefaultMaxBytes, uint64_t{1});
  const int64_t first = config.integer("first", 0, 0);
  config.finish();
  if (Status verdict = config.verdict(); !verdict.ok()) return fail(std::move(verdict));
  return std::make_unique<MemoryObject>(std::make_unique<MemorySource>(id, max_bytes, first));
}

}  // namespace
}  // namespace sluice::c

using namespace sluice;     // NOLINT: the functions below are of C
using namespace sluice::c;  // NOLINT

extern "C" {

sluice_status sluice_memory_open(const char* config, uint64_t config_size, sluice_handle* memory,
                                 sluice_failure* failure) {
  return open_by({config, config_size, "config"}, memory, "memory", failure, &open_memory);
}

sluice_status sluice_memory_append(sluice_handle memory, const sluice_record* records, uint64_t count,
                                   int64_t* position, sluice_failure* failure) {
  return on<MemoryObject>(memory, failure, [&](MemoryObject& object) -> Verdict {
    RecordList list;
    if (Verdict verdict = records_of(records, count, list); !verdict.status.ok()) return verdict;
    for (uint64_t i = 0; i < count; ++i) {
      const auto appended = object.source.append(list.records[i]);
      if (!appended) return {appended.error(), static_cast<int64_t>(i)};
      if (position != nullptr) *position = *appended;
    }
    return {};
  });
}

sluice_status sluice_memory_seal(sluice_handle memory, sluice_failure* failure) {
  return on<MemoryObject>(memory, failure, [](MemoryObject& object) -> Verdict {
    object.source.seal();
    return {};
  });
}

sluice_status sluice_memory_trim(sluice_handle memory, int64_t before, sluice_failure* failure) {
  return on<MemoryObject>(memory, failure, [&](MemoryObject& object) -> Verdict {
    object.source.trim(before);
    return {};
  });
}

}  // extern "C"
