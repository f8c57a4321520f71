// SPDX-License-Identifier: Apache-2.0
#include "redis/link.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "redis/classify.hpp"

namespace sluice::redis {
namespace {

/// Why neither of two servers will do. What an operator must mend goes before one that is down.
Status neither(const Status& one, const Status& other) {
  const Status& first = status_class(one.code()) == 300 ? other : one;
  Status both(first.code(), fmt::format("{}; {}", one.text(), other.text()), first.native_code());
  both.set_retry_after_ms(std::max(one.retry_after_ms(), other.retry_after_ms()));
  return both;
}

}  // namespace

// ---- Finding the way

struct Dialer::LookUp {
  explicit LookUp(Reactor& reactor) : done(reactor) {}
  Event done;
  Result<std::vector<SocketAddress>> found = fail(StatusCode::unavailable, "given up");
};

Task<Status> Dialer::dial(Connection& connection, const Address& address, int64_t deadline_ns) {
  const auto look_up = std::make_shared<LookUp>(reactor_);
  look_up_ = look_up;
  resolve(address, [keep = keep_, look_up](Result<std::vector<SocketAddress>> found) {
    keep->post([look_up, found = std::move(found)]() mutable {
      look_up->found = std::move(found);
      look_up->done.fire();
    });
  });
  const int64_t left_ms = std::max<int64_t>((deadline_ns - now_ns()) / kNsPerMs, 0);
  const TimerId timer = reactor_.call_after(left_ms, [look_up] { look_up->done.fire(); });
  co_await look_up->done.wait();
  reactor_.cancel(timer);
  look_up_.reset();
  const Result<std::vector<SocketAddress>> found = std::move(look_up->found);
  if (!found) co_return found.error();
  Status status(StatusCode::unavailable, fmt::format("{}: no address", address.text()));
  for (const SocketAddress& one : *found) {
    status = co_await connection.open(one, address.text(), deadline_ns);
    if (status.ok()) break;
  }
  co_return status;
}

void Dialer::give_up() {
  if (look_up_ != nullptr) look_up_->done.fire();
}

Task<Status> log_in(Connection& connection, const std::string& username, const std::string& password,
                    int64_t deadline_ns) {
  if (password.empty()) co_return Status();
  Command auth;
  auth.begin(username.empty() ? 2 : 3).add("AUTH");
  if (!username.empty()) auth.add(username);
  auth.add(password);
  const Answer answer = co_await connection.call(auth, deadline_ns);
  if (!answer.replied()) co_return answer.why;
  co_return answer[0].is_error() ? status_of(answer[0].text()) : Status();
}

// ---- The link

Link::Link(Common& common, Finder& finder, std::string purpose)
    : common_(common),
      finder_(finder),
      purpose_(std::move(purpose)),
      connection_(*common.reactor, common.settings.silence_ms,
                  [this](const Status& why) {
                    why_ = why;
                    changed_.fire();
                  }),
      dialer_(*common.reactor, common.reactor),
      changed_(*common.reactor),
      attempted_(*common.reactor),
      ended_(*common.reactor) {}

void Link::start() {
  running_ = true;
  stopping_ = false;
  sluice::start(keep_up());
}

Task<void> Link::stop() {
  if (!running_) co_return;
  stopping_ = true;
  finder_.give_up();
  dialer_.give_up();
  connection_.cut(Status(StatusCode::unavailable, "the storage is being stopped"));
  changed_.fire();
  co_await ended_.wait();
}

Task<Status> Link::attempt(int64_t deadline_ns) {
  if (up_) co_return Status();
  awaited_ = true;
  const int64_t left_ms = std::max<int64_t>(0, (deadline_ns - now_ns()) / kNsPerMs);
  const TimerId timer = common_.reactor->call_after(left_ms, [this] { attempted_.fire(); });
  co_await attempted_.wait();
  common_.reactor->cancel(timer);
  attempted_.clear();
  const bool late = std::exchange(awaited_, false);
  if (up_) co_return Status();
  co_return late ? Status(StatusCode::unavailable, "no connection was made by the deadline") : why_;
}

Task<void> Link::keep_up() {
  int64_t pause_ms = kFirstPauseMs;
  bool quiet = false;  // only the first of several failures is said
  while (!stopping_) {
    Status status = co_await establish();
    changed_.clear();
    if (status.ok() && !connection_.is_open()) status = why_;
    if (status.ok() && !stopping_) {
      up_ = true;
      generation_ = ++common_.generations;
      if (quiet) common_.say(SLUICE_LOG_INFO, fmt::format("connected again ({})", purpose_));
      quiet = false;
      pause_ms = kFirstPauseMs;
    } else if (connection_.is_open()) {
      connection_.cut(status);
      changed_.clear();
    }
    if (!status.ok()) why_ = status;
    if (std::exchange(awaited_, false)) attempted_.fire();
    if (up_) {
      co_await changed_.wait();
      up_ = false;
      status = why_;
    }
    if (stopping_) break;
    if (!std::exchange(quiet, true)) {
      common_.say(SLUICE_LOG_WARNING, fmt::format("no connection ({}): {}", purpose_, status.describe()));
    }
    const bool refused = status_class(status.code()) == 100 || status_class(status.code()) == 500;
    co_await pause(refused ? kRefusedPauseMs : pause_ms);
    pause_ms = std::min(2 * pause_ms, kLongestPauseMs);
  }
  why_ = Status(StatusCode::unavailable, "the storage is stopped");
  if (std::exchange(awaited_, false)) attempted_.fire();
  running_ = false;
  ended_.fire();
}

Task<void> Link::pause(int64_t ms) {
  std::uniform_int_distribution<int64_t> around(ms - ms / 4, ms + ms / 4);
  changed_.clear();
  const TimerId timer = common_.reactor->call_after(around(common_.random), [this] { changed_.fire(); });
  if (!stopping_) co_await changed_.wait();
  common_.reactor->cancel(timer);
  changed_.clear();
}

Task<Status> Link::establish() {
  const int64_t deadline_ns = now_ns() + common_.settings.connect_timeout_ms * kNsPerMs;
  const Result<std::vector<Address>> addresses = co_await finder_.find(deadline_ns);
  if (!addresses) co_return addresses.error();
  Status why;
  for (const Address& address : *addresses) {
    if (stopping_) break;
    Status status = co_await dialer_.dial(connection_, address, deadline_ns);
    if (status.ok()) {
      status = co_await greet(address, deadline_ns);
      if (status.ok()) {
        address_ = address;
        co_return status;
      }
      connection_.cut(status);
    }
    why = why.ok() ? status : neither(why, status);
  }
  co_return why;
}

Task<Status> Link::greet(const Address& address, int64_t deadline_ns) {
  const Settings& settings = common_.settings;
  Status status = co_await log_in(connection_, settings.username, settings.password, deadline_ns);
  if (!status.ok()) co_return status;
  if (settings.database != 0) {
    const Command select{"SELECT", std::to_string(settings.database)};
    const Answer answer = co_await connection_.call(select, deadline_ns);
    if (!answer.replied()) co_return answer.why;
    if (answer[0].is_error()) co_return status_of(answer[0].text());
  }
  // For CLIENT LIST; a server or a user that does not allow it does without.
  const Command name{"CLIENT", "SETNAME", fmt::format("sluice-{}", purpose_)};
  const Answer named = co_await connection_.call(name, deadline_ns);
  if (!named.replied()) co_return named.why;
  // Asked first, because a server that loads its files answers scripts with less clear words.
  const Command ping{"PING"};
  const Answer pong = co_await connection_.call(ping, deadline_ns);
  if (!pong.replied()) co_return pong.why;
  if (pong[0].is_error()) co_return status_of(pong[0].text());
  if (settings.has_choice()) {
    const Command role{"ROLE"};
    const Answer answer = co_await connection_.call(role, deadline_ns);
    if (!answer.replied()) co_return answer.why;
    if (answer[0].is_error()) co_return status_of(answer[0].text());
    if (answer[0][0].text() != "master") {
      co_return Status(StatusCode::unavailable, fmt::format("{} is no master now", address.text()));
    }
  }
  co_return co_await load_scripts(deadline_ns);
}

Task<Status> Link::load_scripts(int64_t deadline_ns) {
  Command load;
  for (size_t i = 0; i < kScripts; ++i) {
    load.begin(3).add("SCRIPT").add("LOAD").add(script_text(static_cast<Script>(i)));
  }
  const Answer answer = co_await connection_.call(load, deadline_ns);
  if (!answer.replied()) co_return answer.why;
  for (size_t i = 0; i < kScripts; ++i) {
    if (answer[i].is_error()) co_return status_of(answer[i].text());
    common_.scripts[i] = answer[i].text();
  }
  co_return Status();
}

}  // namespace sluice::redis
