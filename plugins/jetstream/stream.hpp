// SPDX-License-Identifier: Apache-2.0
// One stream of the server: the questions and orders that the adapter has for it, each a request or a few, with answers
// as values. Knows nothing of logs. Loop thread.
//
// What is read directly may come from a server that lags behind the stream's leader. Messages never change, so the only
// wrong answer is "not there": where there are replicas the leader is asked then.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "base/task.hpp"
#include "jetstream/client.hpp"
#include "jetstream/entry.hpp"
#include "jetstream/record_message.hpp"

namespace sluice::jetstream {

/// Without an answer for so long, a read asks whether the stream is there at all (the server does not answer direct
/// reads of a stream that does not exist), then goes on.
constexpr int64_t kDirectReadMs = 1'000;
/// After so long without an acknowledgement a write is UNKNOWN, though its call had more time: whoever waits for it is
/// better served by a fence. A leader's election takes 4 to 8 s on old servers.
constexpr int64_t kWriteMs = 5'000;

/// After so long without an answer what may be said twice is said again: a cluster loses some of what comes for one
/// stream while that is made or deleted (2.9).
constexpr int64_t kAttemptMs = 1'000;
/// A stream that was just made has a leader after so long, or its creation fails; asked for in such steps.
constexpr int64_t kElectionMs = 5'000;
constexpr int64_t kElectionPauseMs = 20;

struct Stored {
  uint64_t sequence = 0;
  std::string subject;
  std::optional<Entry> entry;  // nothing: not written by this adapter
  Bytes payload;
  std::shared_ptr<const void> owner;
  Message message;     // as it came, by a direct read
  std::string block;   // its headers as they came from the leader
  std::string stored;  // when it was, as the leader told
};

/// With its headers, but for those that the server adds to an answer. Views into `stored`.
void read_stored(const Stored& stored, StoredMessage& out);
/// ... as a consumer delivered it, to which the server adds no headers. Views into `message`.
void read_delivered(const Message& message, int64_t stored_ms, StoredMessage& out);

struct StreamInfo {
  uint64_t first = 0;
  uint64_t last = 0;
  uint64_t messages = 0;
  uint64_t bytes = 0;
  int32_t replicas = 1;
  bool file = true;
  bool direct = true;      // whether it answers direct reads
  int64_t created_ms = 0;  // 0: not told
  nlohmann::json config;
};

struct Publishing {
  std::string subject;
  std::string entry;  // the header; empty: none
  Pieces payload;
  std::optional<uint64_t> expected_last;  // of the stream; never 0, which old servers do not check
  std::optional<uint64_t> expected_last_of_subject;
};

class Stream {
 public:
  Stream(Client& client, const Settings& settings, std::string name)
      : client_(client), settings_(settings), name_(std::move(name)) {}

  const std::string& name() const { return name_; }
  /// Whether answers of followers are to be doubted; set from what info() says.
  void set_replicated(bool replicated) { replicated_ = replicated; }
  /// Whether it can be read directly; else all is asked of the leader, which is slower. From info() too.
  void set_direct(bool direct) { direct_ = direct; }

  /// NOT_FOUND: no such stream.
  Task<Result<StreamInfo>> info(int64_t deadline_ns);
  /// The same with other questions at once: what to ask, and what the reply tells.
  Outgoing info_question(int64_t deadline_ns) const;
  static Result<StreamInfo> info_answer(const Reply& reply);
  /// OK also when an equal one is there; EXISTS: another one is.
  Task<Result<StreamInfo>> create(const nlohmann::json& config, int64_t deadline_ns);
  /// OK also when it is not there.
  Task<Status> remove(int64_t deadline_ns);
  /// Drops messages of `subject` (empty: of all) below `below` (0: all but the newest `keep`).
  Task<Status> purge(std::string subject, uint64_t below, uint64_t keep, int64_t deadline_ns);

  /// The sequence. CONFLICT: the condition does not hold; UNKNOWN: may have landed, or may yet; UNAVAILABLE, NOT_FOUND
  /// and all else: has not and will not.
  Task<Result<uint64_t>> publish(const Publishing& publishing, int64_t deadline_ns);

  /// The message with this sequence; nothing: it is gone, or was never there.
  Task<Result<std::optional<Stored>>> at(uint64_t sequence, int64_t deadline_ns);
  /// The first message of `subject`, a pattern, at or behind `sequence`.
  Task<Result<std::optional<Stored>>> next(uint64_t sequence, const std::string& subject, int64_t deadline_ns);
  /// The newest message of `subject`; where there are replicas, by the leader.
  Task<Result<std::optional<Stored>>> last(const std::string& subject, int64_t deadline_ns);
  /// The same with other questions at once: what to ask, `query` staying until the reply, and what the reply tells.
  static std::string query_of_last(std::string_view subject);
  Outgoing question_of_last(const std::string& query, int64_t deadline_ns) const;
  Task<Result<std::optional<Stored>>> settle_last(Reply reply, std::string query, int64_t deadline_ns);
  /// ... in any case: slower for large ones, but also where the stream allows no direct reads.
  Task<Result<std::optional<Stored>>> last_by_leader(const std::string& subject, int64_t deadline_ns);
  /// at() for `count` sequences from `first` on, all at once.
  Task<Result<std::vector<std::optional<Stored>>>> range(uint64_t first, size_t count, int64_t deadline_ns);

  /// Makes a consumer that delivers what it is asked for, from `sequence` on, and acknowledges nothing; its name. The
  /// server removes it after `idle_ms` without a question. One attempt.
  Task<Result<std::string>> make_consumer(uint64_t sequence, int64_t idle_ms, int64_t deadline_ns);
  Task<Status> remove_consumer(std::string consumer, int64_t deadline_ns);
  /// The question for its next messages, those that are there: `query` stays until it is over.
  static std::string query_of_pull(size_t most, uint64_t most_bytes);
  Outgoing pull_question(const std::string& consumer, const std::string& query, int64_t deadline_ns) const;

  /// Ends what is under way with NOT_FOUND: the stream is gone, and no longer answers. `subjects`: what it held.
  void abandon(const std::string& subjects) {
    client_.abandon(direct_subject());
    client_.abandon(subjects);
  }

 private:
  std::string api(std::string_view what) const {
    return settings_.api() + ".STREAM." + std::string(what) + "." + name_;
  }
  std::string direct_subject() const { return settings_.api() + ".DIRECT.GET." + name_; }
  Task<Result<nlohmann::json>> ask(std::string subject, std::string body, int64_t deadline_ns);
  /// ... until it is answered.
  Task<Result<nlohmann::json>> insist(std::string subject, std::string body, int64_t deadline_ns);
  Task<Result<std::optional<Stored>>> direct(std::string query, int64_t deadline_ns);
  Task<Result<std::optional<Stored>>> leader(std::string query, int64_t deadline_ns);
  Outgoing question(bool direct, const std::string& query, int64_t deadline_ns) const;
  static Result<std::optional<Stored>> decode_direct(const Message& message);
  Task<Result<std::optional<Stored>>> settle(Reply reply, bool direct, std::string query, int64_t deadline_ns);

  Client& client_;
  const Settings& settings_;
  const std::string name_;
  bool replicated_ = false;
  bool direct_ = true;
};

}  // namespace sluice::jetstream
