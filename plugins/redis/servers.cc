// SPDX-License-Identifier: Apache-2.0
#include "redis/servers.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "redis/classify.hpp"
#include "redis/keys.hpp"
#include "redis/sentinel.hpp"

namespace sluice::redis {
namespace {

constexpr int kMaxSends = 5;           // of one call: scripts loaded, redirections followed
constexpr int64_t kStartPauseMs = 50;  // before a deadline at which start() gives up

class FixedAddresses final : public Finder {
 public:
  explicit FixedAddresses(std::vector<Address> addresses) : addresses_(std::move(addresses)) {}
  Task<Result<std::vector<Address>>> find(int64_t) override { co_return addresses_; }

 private:
  const std::vector<Address> addresses_;
};

struct Cure {
  Remedy remedy = Remedy::none;
  std::string_view error;
};

// The first error that has a remedy, also among what EXEC ran.
Cure cure_of(const Answer& answer) {
  for (const Reply& reply : answer.replies) {
    const ReplyView view(reply);
    for (size_t i = 0; i <= view.size(); ++i) {
      const ReplyView one = i == 0 ? view : view[i - 1];
      if (!one.is_error()) continue;
      const Remedy remedy = rule_for(one.text()).remedy;
      if (remedy != Remedy::none) return {remedy, one.text()};
    }
  }
  return {};
}

}  // namespace

Server::Server(Common& common, Address at, std::unique_ptr<Finder> found_by)
    : address(std::move(at)),
      finder(std::move(found_by)),
      writer(common, *finder, "write"),
      reader(common, *finder, "read") {}

// ---- Life

Task<Status> Servers::start(int64_t deadline_ns) {
  servers_.clear();
  nodes_.clear();
  slots_.clear();
  map_wanted_.clear();
  keeper_ended_.clear();
  stopping_ = false;
  if (is_cluster()) co_return co_await start_cluster(deadline_ns);
  std::unique_ptr<Finder> finder;
  if (common_.settings.mode == Mode::sentinel) {
    finder = std::make_unique<SentinelFinder>(common_);
  } else {
    finder = std::make_unique<FixedAddresses>(common_.settings.addresses);
  }
  Server& only = add(Address(), std::move(finder));
  co_return co_await start_one(only, deadline_ns);
}

Task<Status> Servers::start_cluster(int64_t deadline_ns) {
  slots_.assign(kSlots, nullptr);
  Status status;
  for (const Address& address : common_.settings.addresses) {
    status = co_await start_one(*node(address), deadline_ns);
    if (status.ok()) break;
  }
  if (status.ok()) status = co_await read_map(deadline_ns);
  if (!status.ok()) co_return status;
  for (Server* server : all()) {
    status = co_await start_one(*server, deadline_ns);
    if (!status.ok()) co_return status;
  }
  keeping_ = true;
  sluice::start(keep_map());
  co_return Status();
}

Task<Status> Servers::start_one(Server& server, int64_t deadline_ns) {
  Status status = co_await start_link(server.writer, deadline_ns);
  if (status.ok()) status = co_await start_link(server.reader, deadline_ns);
  co_return status;
}

Task<Status> Servers::start_link(Link& link, int64_t deadline_ns) {
  for (;;) {
    Status status = co_await link.attempt(deadline_ns);
    // A server that loads its files, or runs a long script, said when to ask again.
    const bool soon = status.retry_after_ms() > 0 && status_class(status.code()) == 300;
    if (status.ok() || !soon || now_ns() + kStartPauseMs * kNsPerMs >= deadline_ns) co_return status;
  }
}

Task<void> Servers::stop() {
  stopping_ = true;
  map_wanted_.fire();
  // Nobody adds servers any more once the keeper of the map has ended, for which its connection may have to be cut.
  for (size_t i = 0; i < servers_.size(); ++i) {
    co_await servers_[i]->writer.stop();
    co_await servers_[i]->reader.stop();
  }
  if (keeping_) co_await keeper_ended_.wait();
}

Server& Servers::add(Address address, std::unique_ptr<Finder> finder) {
  servers_.push_back(std::make_unique<Server>(common_, std::move(address), std::move(finder)));
  servers_.back()->writer.start();
  servers_.back()->reader.start();
  return *servers_.back();
}

// ---- The map of slots

Server* Servers::node(const Address& address) {
  const auto found = nodes_.find(address);
  if (found != nodes_.end()) return found->second;
  if (nodes_.size() >= kMaxNodes || stopping_) return nullptr;
  Server& added = add(address, std::make_unique<FixedAddresses>(std::vector<Address>{address}));
  nodes_.emplace(address, &added);
  return &added;
}

/// Asks the first node that answers.
Task<Status> Servers::read_map(int64_t deadline_ns) {
  Status why(StatusCode::unavailable, "no node of the cluster is connected");
  const Command question{"CLUSTER", "SLOTS"};
  for (size_t i = 0; i < servers_.size(); ++i) {
    Server& server = *servers_[i];
    if (!server.reader.up()) continue;
    const Answer answer = co_await server.reader.connection().call(question, deadline_ns);
    if (!answer.replied()) {
      why = answer.why;
    } else if (answer[0].is_error()) {
      why = status_of(answer[0].text());
    } else {
      co_return take_map(answer[0], server.address);
    }
  }
  co_return why;
}

Status Servers::take_map(ReplyView map, const Address& asked) {
  std::vector<Server*> slots(kSlots, nullptr);
  bool any = false;
  for (size_t i = 0; i < map.size(); ++i) {
    const int64_t from = map[i][0].integer();
    const int64_t to = map[i][1].integer();
    const ReplyView master = map[i][2];
    const int64_t port = master[1].integer();
    if (from < 0 || to < from || to >= kSlots || port < 1 || port > 65'535) continue;
    Address address;
    // A node that does not know its own name leaves it out.
    address.host = master[0].text().empty() || master[0].text() == "?" ? asked.host : std::string(master[0].text());
    address.port = static_cast<uint16_t>(port);
    Server* server = node(address);
    if (server == nullptr) return Status(StatusCode::internal, fmt::format("more than {} nodes", kMaxNodes));
    std::fill(slots.begin() + from, slots.begin() + to + 1, server);
    any = true;
  }
  if (!any) return Status(StatusCode::unavailable, "no node of the cluster holds slots");
  slots_ = std::move(slots);
  return {};
}

/// Reads the map again when it is wanted, and not too often.
Task<void> Servers::keep_map() {
  while (!stopping_) {
    co_await map_wanted_.wait();
    if (stopping_) break;
    const Status status = co_await read_map(now_ns() + common_.settings.connect_timeout_ms * kNsPerMs);
    if (stopping_) break;
    Event pause(*common_.reactor);
    common_.reactor->call_after(kMapPauseMs, [&pause] { pause.fire(); });
    co_await pause.wait();
    if (!status.ok()) map_wanted_.fire();
  }
  keeping_ = false;
  keeper_ended_.fire();
}

// ---- Calls

Link* Servers::link(uint16_t slot, Lane lane) {
  if (!is_cluster()) return servers_.empty() ? nullptr : &servers_.front()->link(lane);
  return slots_.empty() || slots_[slot] == nullptr ? nullptr : &slots_[slot]->link(lane);
}

uint64_t Servers::write_generation(uint16_t slot) {
  Link* found = link(slot, Lane::write);
  return found != nullptr && found->up() ? found->generation() : 0;
}

std::vector<Server*> Servers::all() const {
  std::vector<Server*> found;
  if (!is_cluster()) {
    for (const auto& server : servers_) found.push_back(server.get());
    return found;
  }
  for (Server* server : slots_) {
    if (server != nullptr) found.push_back(server);
  }
  std::sort(found.begin(), found.end());
  found.erase(std::unique(found.begin(), found.end()), found.end());
  return found;
}

/// Whether one link leads to a master and the other to another. One of the two is the wrong one: reads would not find
/// what was appended.
bool Servers::is_torn() const {
  if (!common_.settings.has_choice() || servers_.empty()) return false;
  const Server& server = *servers_.front();
  return server.writer.up() && server.reader.up() && server.writer.address() != server.reader.address();
}

void Servers::leave(Server& server, const Status& why) {
  for (const Lane lane : {Lane::write, Lane::read}) server.link(lane).cut(why);
}

/// The node that MOVED or ASK names; nullptr if it is not connected, for the call to be made again later.
Server* Servers::redirected(std::string_view error, uint16_t slot, Lane lane, bool for_good) {
  want_map();
  const Redirect redirect = parse_redirect(error);
  const auto address = parse_address(redirect.address.starts_with(':')
                                         ? fmt::format("{}{}", slots_[slot]->address.host, redirect.address)
                                         : std::string(redirect.address),
                                     kDefaultPort);
  Server* server = address ? node(*address) : nullptr;
  if (server == nullptr) return nullptr;
  if (for_good) slots_[redirect.slot] = server;
  return server->link(lane).up() ? server : nullptr;
}

Task<Answer> Servers::call(uint16_t slot, Lane lane, const Command& command, int64_t deadline_ns, Follow follow) {
  Answer answer;
  Link* asked = nullptr;  // while the slot moves
  if (is_torn()) {
    answer.fate = Answer::Fate::unsent;
    answer.why = Status(StatusCode::unavailable, "another server has become the master");
    leave(*servers_.front(), answer.why);
    co_return answer;
  }
  for (int sends = 0; sends < kMaxSends; ++sends) {
    Link* to = asked != nullptr ? asked : link(slot, lane);
    if (to == nullptr || !to->up()) {
      want_map();
      answer.fate = Answer::Fate::unsent;
      answer.why = to != nullptr ? to->why() : Status(StatusCode::unavailable, "no node is known for the log");
      co_return answer;
    }
    const uint64_t generation = to->generation();
    if (asked != nullptr) {
      const Command asking = command.asking();
      answer = co_await to->connection().call(asking, deadline_ns);
      if (answer.replied()) Command::drop_asking(answer.replies);
    } else {
      answer = co_await to->connection().call(command, deadline_ns);
    }
    answer.generation = generation;
    answer.sends = sends + 1;
    asked = nullptr;
    if (!answer.replied()) co_return answer;
    const Cure cure = cure_of(answer);
    Server* server = nullptr;
    Status loaded;
    switch (cure.remedy) {
      case Remedy::none:
        if (!answer.replies.empty() && answer[0].text().starts_with("CLUSTERDOWN")) want_map();
        co_return answer;
      case Remedy::reconnect:
        want_map();
        // What reads comes from there as well, though nothing of it was refused.
        if (is_cluster()) {
          to->cut(status_of(cure.error));
        } else {
          leave(*servers_.front(), status_of(cure.error));
        }
        co_return answer;
      case Remedy::load_scripts:
        if (follow == Follow::never) co_return answer;
        loaded = co_await to->load_scripts(deadline_ns);
        if (!loaded.ok()) co_return answer;
        break;
      case Remedy::follow_moved:
      case Remedy::follow_ask:
        if (!is_cluster()) co_return answer;
        server = redirected(cure.error, slot, lane, cure.remedy == Remedy::follow_moved);
        if (server == nullptr || follow != Follow::yes) co_return answer;
        if (cure.remedy == Remedy::follow_ask) asked = &server->link(lane);
        break;
    }
  }
  co_return answer;
}

}  // namespace sluice::redis
