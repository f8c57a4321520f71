// SPDX-License-Identifier: Apache-2.0
// Units of which a read wanted only the first batches: whoever reads on wants the rest of the same message, and would
// ask for the whole of it again. A few of the newest, of all logs. What a message holds does not change, but a server
// that comes back may have lost it, so nothing is kept beyond a connection. Whether an offset may still be read is
// asked elsewhere. One thread at a time.
#pragma once

#include <cstdint>
#include <deque>
#include <optional>

#include "base/uuid.hpp"
#include "jetstream/stream.hpp"

namespace sluice::jetstream {

class KeptUnits {
 public:
  static constexpr uint64_t kMostBytes = uint64_t{32} << 20;
  static constexpr size_t kMost = 128;

  /// `unit` is whole: its payload is that of all its messages. `epoch`: of the connection.
  void keep(uint64_t epoch, const Uuid& log, const Stored& unit);
  /// The unit that holds `offset`, which is kept no longer.
  std::optional<Stored> take(uint64_t epoch, const Uuid& log, int64_t offset);
  void forget(const Uuid& log);
  uint64_t bytes() const { return bytes_; }

 private:
  struct Kept {
    Uuid log;
    Stored unit;
  };
  void enter(uint64_t epoch);

  uint64_t epoch_ = 0;
  std::deque<Kept> kept_;  // oldest first
  uint64_t bytes_ = 0;
};

}  // namespace sluice::jetstream
