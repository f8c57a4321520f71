// SPDX-License-Identifier: Apache-2.0
// A shard in memory: for what a program makes itself and wants merged with the rest, and for tests. Appended bytes are
// copied once and lent to readers without copying; memory is freed when it is trimmed and no page holds it any more.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "sluice/export.hpp"
#include "sluice/source.hpp"

namespace sluice {

/// Every function from any thread, but for the rules of Source. A reader that waits is answered by append, seal or
/// wake, on the thread that calls them; there is no timer, so that a wait may last longer than it was asked to.
class SLUICE_API MemorySource final : public Source {
 public:
  static constexpr uint64_t kDefaultMaxBytes = 1ull << 30;

  /// `max_bytes` of records kept, at least 1; `first`: position of the first record.
  explicit MemorySource(std::string id, uint64_t max_bytes = kDefaultMaxBytes, int64_t first = 0);
  ~MemorySource() override;

  /// Copies `record` to the end and gives its position; the one in the record is not looked at. `busy`: max_bytes are
  /// kept, trim first. `invalid`: sealed. `too_large`: a record of more than max_bytes.
  Result<int64_t> append(const Record& record);
  /// Nothing comes after this: readers learn that the shard ends.
  void seal();
  /// Gives up records below `before` (memory goes chunk by chunk); reading them is out_of_range from now on.
  void trim(int64_t before);

  const std::string& id() const override;
  void read(const PageRequest& request, PageCallback done) override;
  void bounds(BoundsCallback done) override;
  void locate(int64_t timestamp_ns, PositionCallback done) override;
  void wake() override;

 private:
  struct SLUICE_LOCAL Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace sluice
