// SPDX-License-Identifier: Apache-2.0
// The servers of a storage, and which of them a log lives on: one, the one that sentinels name, or the nodes of a
// cluster. Each has a link for what writes and one for what reads, so that large reads do not hold up appends. Thread:
// reactor.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string_view>
#include <vector>

#include "redis/link.hpp"

namespace sluice::redis {

enum class Lane { write, read };

struct Server {
  Server(Common& common, std::unique_ptr<Finder> found_by);
  Link& link(Lane lane) { return lane == Lane::write ? writer : reader; }

  std::unique_ptr<Finder> finder;
  Link writer;
  Link reader;
};

/// What may be done with a call that the server refused because it belongs elsewhere.
enum class Follow {
  yes,  // send it to where it belongs
  no,   // it may only go to the connection that it was meant for: an append
};

class Servers {
 public:
  explicit Servers(Common& common) : common_(common) {}

  /// Not while started. Connects; until the deadline if the server says that it will be there soon, else as long as one
  /// attempt takes.
  Task<Status> start(int64_t deadline_ns);
  /// Cuts all links. Calls are answered.
  Task<void> stop();

  /// Where keys of this slot are written or read now; nullptr while nobody knows.
  Link* link(uint16_t slot, Lane lane);
  /// Of the writer for this slot: 0 while it is not up.
  uint64_t write_generation(uint16_t slot);
  /// Sends to the server of the slot. Loads scripts that it has lost and sends again; follows redirections if it may.
  /// What comes back may hold errors.
  Task<Answer> call(uint16_t slot, Lane lane, const Command& command, int64_t deadline_ns, Follow follow = Follow::yes);
  /// The servers that hold slots.
  std::vector<Server*> all();

 private:
  Task<Status> start_one(Link& link, int64_t deadline_ns);

  Common& common_;
  std::vector<std::unique_ptr<Server>> servers_;
};

}  // namespace sluice::redis
