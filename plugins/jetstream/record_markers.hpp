// SPDX-License-Identifier: Apache-2.0
// Which log stands for which stream: one message for each stream, in a stream of the storage's own, the newest of its
// subject. A message is only ever put behind the one that its writer saw, so two that want one stream do not both get
// it; an empty one says that nothing stands for the stream any more. Loop thread.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "base/task.hpp"
#include "jetstream/engine.hpp"
#include "jetstream/record_names.hpp"
#include "jetstream/stream.hpp"

namespace sluice::jetstream {

class Markers {
 public:
  explicit Markers(Engine& engine);

  Task<Result<std::optional<Marker>>> of(std::string stream, int64_t deadline_ns);
  /// OK: it stands, also if it did before. EXISTS: another log stands for the stream, or this one otherwise.
  Task<Status> put(Marker marker, int64_t deadline_ns);
  /// OK also where this log does not stand for the stream.
  Task<Status> remove(std::string stream, Uuid id, int64_t deadline_ns);
  Task<Result<std::vector<Marker>>> all(int64_t deadline_ns);

 private:
  static constexpr int kMostAttempts = 8;  // against others that write at the same time
  static constexpr size_t kAtOnce = 256;   // messages that all() asks for

  struct Found {
    uint64_t sequence = 0;  // 0: none
    std::optional<Marker> marker;
  };
  Task<Result<Found>> find(std::string stream, int64_t deadline_ns);
  Task<Result<uint64_t>> write(std::string stream, std::string text, uint64_t behind, int64_t deadline_ns);

  Engine& engine_;
  Stream stream_;
};

}  // namespace sluice::jetstream
