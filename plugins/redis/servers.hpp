// SPDX-License-Identifier: Apache-2.0
// The servers of a storage, and which of them a log lives on: one, the one that sentinels name, or the nodes of a
// cluster. Each has a link for what writes and one for what reads, so that large reads do not hold up appends. Thread:
// reactor.
//
// In a cluster the map of slots is asked for at start, and again whenever a call shows that it is out of date: a node
// that does not answer, or one that names another.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string_view>
#include <vector>

#include "redis/link.hpp"

namespace sluice::redis {

/// Nodes of one cluster.
inline constexpr size_t kMaxNodes = 1'000;
/// Least time between two looks at the map of slots.
inline constexpr int64_t kMapPauseMs = 100;

enum class Lane { write, read };

struct Server {
  Server(Common& common, Address at, std::unique_ptr<Finder> found_by);
  Link& link(Lane lane) { return lane == Lane::write ? writer : reader; }

  const Address address;  // in a cluster
  const std::unique_ptr<Finder> finder;
  Link writer;
  Link reader;
};

/// What may be done with a call that the server refused because it belongs elsewhere.
enum class Follow {
  yes,    // send it to where it belongs
  no,     // it may only go to the connection that it was meant for: an append
  never,  // nor may it go there again with its script: others may have been sent behind it
};

class Servers {
 public:
  explicit Servers(Common& common) : common_(common), map_wanted_(*common.reactor), keeper_ended_(*common.reactor) {}

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
  std::vector<Server*> all() const;
  /// Cuts both connections to a server, so that they are made anew, to the one that is the master then.
  static void leave(Server& server, const Status& why);

 private:
  bool is_cluster() const { return common_.settings.mode == Mode::cluster; }
  Task<Status> start_cluster(int64_t deadline_ns);
  Task<Status> start_one(Server& server, int64_t deadline_ns);
  Task<Status> start_link(Link& link, int64_t deadline_ns);
  Server& add(Address address, std::unique_ptr<Finder> finder);
  /// The node at this address, made if it is new; nullptr if there are too many.
  Server* node(const Address& address);
  Task<Status> read_map(int64_t deadline_ns);
  Status take_map(ReplyView map, const Address& asked);
  Task<void> keep_map();
  void want_map() {
    if (is_cluster()) map_wanted_.fire();
  }
  bool is_torn() const;
  Server* redirected(std::string_view error, uint16_t slot, Lane lane, bool for_good);

  Common& common_;
  std::vector<std::unique_ptr<Server>> servers_;
  std::map<Address, Server*> nodes_;  // in a cluster
  std::vector<Server*> slots_;        // in a cluster: by slot; nullptr where no node is known
  Event map_wanted_;
  Event keeper_ended_;
  bool keeping_ = false;
  bool stopping_ = false;
};

}  // namespace sluice::redis
