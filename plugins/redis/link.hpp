// SPDX-License-Identifier: Apache-2.0
// A connection that is kept up: found, made, logged in, its scripts loaded, and made again with growing pauses after it
// broke. Each time it is up is a generation, a number that no other connection of the storage ever has: what was sent
// in an earlier one may still arrive at the server. Thread: reactor.
#pragma once

#include <cstdint>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "base/task.hpp"
#include "redis/connection.hpp"
#include "redis/scripts.hpp"
#include "redis/settings.hpp"

namespace sluice::redis {

/// Pauses between attempts; the last is kept. They vary by a quarter, so that brokers do not come in step.
inline constexpr int64_t kFirstPauseMs = 20;
inline constexpr int64_t kLongestPauseMs = 500;
/// ... when the server refused the login: only an operator helps, and it may count failures.
inline constexpr int64_t kRefusedPauseMs = 5'000;

/// What the links of a storage share. Outlives them.
struct Common {
  const std::shared_ptr<Reactor> reactor = std::make_shared<Reactor>();
  Settings settings;
  Say say;
  ScriptNames scripts;
  uint64_t generations = 0;
  std::minstd_rand random{std::random_device{}()};
};

/// Finds out where to connect to, anew for each attempt.
class Finder {
 public:
  virtual ~Finder() = default;
  virtual Task<Result<std::vector<Address>>> find(int64_t deadline_ns) = 0;
  /// Makes a find() that is under way end.
  virtual void give_up() {}
};

/// Connects to the first of what a name stands for that answers; a wait that can be ended.
class Dialer {
 public:
  Dialer(Reactor& reactor, std::shared_ptr<Reactor> keep) : reactor_(reactor), keep_(std::move(keep)) {}
  Task<Status> dial(Connection& connection, const Address& address, int64_t deadline_ns);
  void give_up();

 private:
  struct LookUp;
  Reactor& reactor_;
  const std::shared_ptr<Reactor> keep_;
  std::shared_ptr<LookUp> look_up_;
};

/// AUTH as the settings say; OK where they say nothing.
Task<Status> log_in(Connection& connection, const std::string& username, const std::string& password,
                    int64_t deadline_ns);

class Link {
 public:
  Link(Common& common, Finder& finder, std::string purpose);
  Link(const Link&) = delete;
  Link& operator=(const Link&) = delete;
  /// Only after stop() has ended, or without start().
  ~Link() = default;

  /// Begins to keep it up.
  void start();
  /// Cuts it and ends when nothing runs any more.
  Task<void> stop();
  /// Ends with OK when it is up, else with why the first attempt from now on failed, at the deadline at the latest.
  Task<Status> attempt(int64_t deadline_ns);

  bool up() const { return up_; }
  /// 0 before it is up for the first time.
  uint64_t generation() const { return generation_; }
  /// Where it leads, or led when it was up last.
  const Address& address() const { return address_; }
  /// While it is not up: what a call is answered with.
  Status why() const { return why_; }
  Connection& connection() { return connection_; }
  /// Breaks it, so that the server is looked for anew.
  void cut(Status why) { connection_.cut(std::move(why)); }
  /// Loads the scripts again.
  Task<Status> load_scripts(int64_t deadline_ns);

 private:
  Task<void> keep_up();
  Task<Status> establish();
  Task<Status> greet(const Address& address, int64_t deadline_ns);
  Task<void> pause(int64_t ms);

  Common& common_;
  Finder& finder_;
  const std::string purpose_;  // "write", for messages
  Connection connection_;
  Dialer dialer_;
  Event changed_;  // the connection broke, the pause is over, or stop() was called
  Event attempted_;
  Event ended_;
  bool running_ = false;
  bool stopping_ = false;
  bool awaited_ = false;
  bool up_ = false;
  uint64_t generation_ = 0;
  Address address_;
  Status why_{StatusCode::unavailable, "not connected yet"};
};

}  // namespace sluice::redis
