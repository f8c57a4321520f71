// SPDX-License-Identifier: Apache-2.0
// Three more ways to have a consumer's responses than to call poll(): pushed to a callback, awaited by a coroutine,
// iterated record by record. Each polls the consumer, which takes one poll at a time: use one of them at a time. The
// consumer must outlive them.
#pragma once

#include <coroutine>
#include <cstddef>
#include <iterator>
#include <memory>
#include <optional>
#include <utility>

#include "sluice/consumer.hpp"
#include "sluice/export.hpp"

namespace sluice {

/// Responses pushed to a handler, on a thread of the subscription's own, one after the other and without any lock: the
/// handler may call everything, stop() and the consumer too. What is not taken waits: a slow handler slows the reading.
class SLUICE_API Subscription {
 public:
  /// Gets every response that has records, another place than the last one (also with nothing else: store it), or
  /// something to say; false ends the subscription. An error, and a response that is `done`, come last.
  using Handler = UniqueFunction<bool(Result<Response>)>;

  Subscription(MergingConsumer& consumer, const PollRequest& request, Handler handler);
  /// stop(), without a deadline. Not from within the handler.
  ~Subscription();

  /// No response comes after pause() returned, but for the one that the handler may have at that moment. Reading ahead
  /// goes on within its budget.
  void pause();
  void resume();
  bool running() const;
  /// Ends it; a response that was polled by then still comes. `unavailable`: the handler has not returned after
  /// `deadline_ms`; call again. From within the handler: at once, and nothing comes after this one.
  Status stop(int64_t deadline_ms = 5'000);

 private:
  struct SLUICE_LOCAL Impl;
  std::shared_ptr<Impl> impl_;
};

/// `co_await poller.poll(request)` is a Result<Response>. One at a time: another gets `busy`. Needs no executor:
/// coroutines go on on the poller's thread, or where `resume` takes them.
class SLUICE_API AsyncPoller {
 public:
  using Resume = UniqueFunction<void(std::coroutine_handle<>)>;

  explicit AsyncPoller(MergingConsumer& consumer, Resume resume = {});
  /// A coroutine that waits gets `fenced` (closed). Not from a coroutine that runs on the poller's thread.
  ~AsyncPoller();

  class SLUICE_API Awaiter {
   public:
    bool await_ready() const noexcept { return false; }
    bool await_suspend(std::coroutine_handle<> waiter);
    Result<Response> await_resume() { return std::move(*result_); }

   private:
    friend class AsyncPoller;
    Awaiter(AsyncPoller& poller, const PollRequest& request) : poller_(poller), request_(request) {}
    AsyncPoller& poller_;
    PollRequest request_;
    std::optional<Result<Response>> result_;
  };
  Awaiter poll(const PollRequest& request = {}) { return {*this, request}; }

 private:
  struct SLUICE_LOCAL Impl;
  std::unique_ptr<Impl> impl_;
};

/// Records one by one: `for (const MergedRecord& each : MergedRecords(consumer))`. Waits for more until the consumer is
/// done, closed or woken, or fails: status() says why. begin() goes on where it ended. One thread at a time.
class MergedRecords {
 public:
  explicit MergedRecords(MergingConsumer& consumer, const PollRequest& request = {})
      : consumer_(consumer), request_(request), cursor_(consumer.cursor()) {}

  /// A record is valid until the iterator moves.
  class Iterator {
   public:
    using iterator_concept = std::input_iterator_tag;
    using value_type = MergedRecord;
    using difference_type = std::ptrdiff_t;
    Iterator() = default;
    explicit Iterator(MergedRecords* range) : range_(range) {}
    const MergedRecord& operator*() const { return range_->response_.records[range_->index_]; }
    const MergedRecord* operator->() const { return &**this; }
    Iterator& operator++() { return range_->advance(), *this; }
    void operator++(int) { range_->advance(); }
    bool operator==(std::default_sentinel_t) const { return range_->index_ == range_->response_.records.size(); }

   private:
    MergedRecords* range_ = nullptr;
  };

  Iterator begin() {
    if (index_ == response_.records.size()) fetch();
    return Iterator(this);
  }
  std::default_sentinel_t end() const { return {}; }

  /// Covers the records that were iterated over, up to the response before the present one; with the last record of a
  /// response left behind, all of that.
  const Cursor& cursor() const { return cursor_; }
  /// Why it ended; ok: every shard is at its end, or the consumer was woken (response().woken).
  const Status& status() const { return status_; }
  /// What was said with the present record: by its response, and by those without records that came before it, whose
  /// counts and finished shards are in it too. At the end: by those that came last.
  const Response& response() const { return response_; }

 private:
  void advance() {
    if (++index_ < response_.records.size()) return;
    cursor_ = response_.cursor;
    if (!response_.woken) fetch();
  }
  void fetch() {
    bool over = response_.done;
    response_ = {};
    index_ = 0;
    while (!over && response_.records.empty()) {
      auto polled = consumer_.poll(request_);
      if (!polled) {
        status_ = std::move(polled.error());
        return;
      }
      follow(std::move(*polled));
      over = response_.done || response_.woken;
      if (response_.records.empty()) cursor_ = response_.cursor;
    }
  }
  // What is said once must not go with a response that has no records to show it beside.
  void follow(Response next) {
    next.rejected += response_.rejected;
    next.corrupt += response_.corrupt;
    next.lost += response_.lost;
    for (ShardNote& note : response_.notes) {
      if (note.condition == ShardCondition::finished) next.notes.push_back(std::move(note));
    }
    response_ = std::move(next);
  }

  MergingConsumer& consumer_;
  PollRequest request_;
  Response response_;
  size_t index_ = 0;
  Cursor cursor_;
  Status status_;
};

}  // namespace sluice
