// SPDX-License-Identifier: Apache-2.0
#include "redis/servers.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "redis/classify.hpp"

namespace sluice::redis {
namespace {

constexpr int kMaxSends = 4;           // of one call: scripts loaded, redirections followed
constexpr int64_t kStartPauseMs = 50;  // between attempts of start()

class FixedAddresses final : public Finder {
 public:
  explicit FixedAddresses(std::vector<Address> addresses) : addresses_(std::move(addresses)) {}
  Task<Result<std::vector<Address>>> find(int64_t) override { co_return addresses_; }

 private:
  const std::vector<Address> addresses_;
};

// The remedy of the first error that has one.
std::pair<Remedy, std::string_view> remedy_of(const Answer& answer) {
  for (const Reply& reply : answer.replies) {
    const ReplyView view(reply);
    if (view.is_error()) {
      const Remedy remedy = rule_for(view.text()).remedy;
      if (remedy != Remedy::none) return {remedy, view.text()};
    }
    // What EXEC ran.
    for (size_t i = 0; i < view.size(); ++i) {
      if (!view[i].is_error()) continue;
      const Remedy remedy = rule_for(view[i].text()).remedy;
      if (remedy != Remedy::none) return {remedy, view[i].text()};
    }
  }
  return {Remedy::none, {}};
}

}  // namespace

Server::Server(Common& common, std::unique_ptr<Finder> found_by)
    : finder(std::move(found_by)), writer(common, *finder, "write"), reader(common, *finder, "read") {}

Task<Status> Servers::start(int64_t deadline_ns) {
  servers_.clear();
  servers_.push_back(std::make_unique<Server>(common_, std::make_unique<FixedAddresses>(common_.settings.addresses)));
  for (const auto& server : servers_) {
    server->writer.start();
    server->reader.start();
  }
  for (const auto& server : servers_) {
    Status status = co_await start_one(server->writer, deadline_ns);
    if (status.ok()) status = co_await start_one(server->reader, deadline_ns);
    if (!status.ok()) co_return status;
  }
  co_return Status();
}

Task<Status> Servers::start_one(Link& link, int64_t deadline_ns) {
  for (;;) {
    Status status = co_await link.attempt();
    // A server that loads its files, or runs a long script, said when to ask again.
    const bool soon = status.retry_after_ms() > 0 && status_class(status.code()) == 300;
    if (status.ok() || !soon || now_ns() + kStartPauseMs * kNsPerMs >= deadline_ns) co_return status;
  }
}

Task<void> Servers::stop() {
  for (const auto& server : servers_) {
    co_await server->writer.stop();
    co_await server->reader.stop();
  }
}

Link* Servers::link(uint16_t, Lane lane) {
  return servers_.empty() ? nullptr : &servers_.front()->link(lane);
}

uint64_t Servers::write_generation(uint16_t slot) {
  Link* found = link(slot, Lane::write);
  return found != nullptr && found->up() ? found->generation() : 0;
}

std::vector<Server*> Servers::all() {
  std::vector<Server*> found;
  for (const auto& server : servers_) found.push_back(server.get());
  return found;
}

Task<Answer> Servers::call(uint16_t slot, Lane lane, const Command& command, int64_t deadline_ns, Follow) {
  Answer answer;
  for (int sends = 0; sends < kMaxSends; ++sends) {
    Link* to = link(slot, lane);
    if (to == nullptr || !to->up()) {
      answer.fate = Answer::Fate::unsent;
      answer.why = to != nullptr ? to->why() : Status(StatusCode::unavailable, "the storage is stopped");
      co_return answer;
    }
    const uint64_t generation = to->generation();
    answer = co_await to->connection().call(command, deadline_ns);
    answer.generation = generation;
    if (!answer.replied()) co_return answer;
    const auto [remedy, error] = remedy_of(answer);
    if (remedy == Remedy::none) co_return answer;
    if (remedy == Remedy::reconnect) {
      to->cut(status_of(error));
      co_return answer;
    }
    if (remedy != Remedy::load_scripts) co_return answer;
    const Status loaded = co_await to->load_scripts(deadline_ns);
    if (!loaded.ok()) co_return answer;
  }
  co_return answer;
}

}  // namespace sluice::redis
