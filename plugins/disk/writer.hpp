// SPDX-License-Identifier: Apache-2.0
// The write path: how a unit gets from memory to where it survives. A Log decides whether a unit may land and where,
// and publishes it; this decides what is written, in which order, and what makes it durable. Nothing else knows, so
// that another way of writing (a journal that all logs share) replaces this and the part of recovery that reads it.
//
// Here: the batches go behind the end of the log's last segment in one gathered write, then a commit slot into the
// segment's page. A kill between the two leaves bytes that no slot vouches for. One thread at a time per segment;
// functions touch files.
#pragma once

#include <span>

#include "disk/segment.hpp"
#include "sluice/storage_abi.h"

namespace sluice::disk {

struct Unit {
  std::span<const sluice_batch> batches;
  uint64_t bytes = 0;
};

class Writer {
 public:
  explicit Writer(Engine& engine) : engine_(engine) {}

  /// Writes the unit behind what is committed in `segment`, and its commit, which it returns and leaves unpublished. A
  /// kill of the process loses it no more. After an error the unit is not there and will not be; UNKNOWN when that is
  /// not sure.
  Result<Commit> write(Segment& segment, const Unit& unit);

  /// Commits `boundary` anew: what was written behind it is not there any more.
  Status take_back(Segment& segment, const Commit& boundary);

  /// Makes a segment's bytes and its name as durable as the machine can.
  Status sync(Segment& segment, bool name_too);

 private:
  int make_room(Segment& segment, int fd, uint64_t from, uint64_t bytes);
  int write_commit(Segment& segment, int fd, const Commit& commit);

  Engine& engine_;
};

}  // namespace sluice::disk
