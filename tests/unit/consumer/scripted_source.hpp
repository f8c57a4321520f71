// SPDX-License-Identifier: Apache-2.0
// A shard that a test writes and mistreats: entries that are records, gaps or undecodable; reads that fail, are held
// back or come late. Any thread. Ends the program where the rules of Source are broken by whoever reads.
#pragma once

#include <algorithm>
#include <cstdlib>
#include <deque>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "sluice/source.hpp"

namespace sluice::testing {

class ScriptedSource final : public Source {
 public:
  enum class Kind : uint8_t { record, corrupt, gap };

  explicit ScriptedSource(std::string id) : id_(std::move(id)) {}
  ~ScriptedSource() override {
    if (held_) held_->done(fail(StatusCode::unavailable, "gone"));
  }

  /// Appends an entry; the value is the decimal position unless given.
  void add(Kind kind, int64_t timestamp_ns = kNoTimestamp, std::optional<std::string> value = std::nullopt) {
    answer([&] {
      const auto position = start_ + static_cast<int64_t>(entries_.size());
      entries_.push_back({kind, timestamp_ns, value ? std::move(*value) : std::to_string(position)});
    });
  }
  void add_records(size_t count, int64_t first_ns = kNoTimestamp, int64_t step_ns = 0) {
    for (size_t i = 0; i < count; ++i) {
      add(Kind::record, first_ns == kNoTimestamp ? first_ns : first_ns + static_cast<int64_t>(i) * step_ns);
    }
  }
  void seal() {
    answer([&] { sealed_ = true; });
  }
  /// Entries below `before` are gone.
  void trim(int64_t before) {
    answer([&] { trimmed_ = std::max(trimmed_, before); });
  }
  /// The next reads fail so, one after the other.
  void fail_next(Status status, int times = 1) {
    const std::lock_guard lock(mutex_);
    for (int i = 0; i < times; ++i) failures_.push_back(status);
  }
  /// Reads are not answered until it is over.
  void hold(bool held) {
    answer([&] { holding_ = held; });
  }
  void limit_page(uint32_t records) {
    const std::lock_guard lock(mutex_);
    page_records_ = records;
  }
  void hide_end() {
    const std::lock_guard lock(mutex_);
    end_known_ = false;
  }
  /// Answers empty at once although it was asked to wait.
  void never_wait() {
    const std::lock_guard lock(mutex_);
    waits_ = false;
  }
  /// What records say their partition is.
  void claim_partition(int32_t partition) {
    const std::lock_guard lock(mutex_);
    partition_ = partition;
  }
  size_t reads() const {
    const std::lock_guard lock(mutex_);
    return reads_;
  }
  bool reading() const {
    const std::lock_guard lock(mutex_);
    return held_.has_value();
  }
  int64_t end() const {
    const std::lock_guard lock(mutex_);
    return end_locked();
  }

  const std::string& id() const override { return id_; }
  void read(const PageRequest& request, PageCallback done) override {
    answer([&] {
      if (held_ || request.max_records == 0) std::abort();
      ++reads_;
      held_ = Held{request, std::move(done), false};
    });
  }
  void bounds(BoundsCallback done) override {
    Result<SourceBounds> bounds;
    {
      const std::lock_guard lock(mutex_);
      if (failures_.empty()) {
        bounds = SourceBounds{std::max(start_, trimmed_), end_locked()};
      } else {
        bounds = fail(take_failure());
      }
    }
    done(std::move(bounds));
  }
  void locate(int64_t timestamp_ns, PositionCallback done) override {
    int64_t position = 0;
    {
      const std::lock_guard lock(mutex_);
      position = std::max(start_, trimmed_);
      while (position < end_locked() && at(position).timestamp_ns < timestamp_ns) ++position;
    }
    done(position);
  }
  void wake() override {
    answer([&] {
      if (held_) held_->woken = true;
    });
  }

 private:
  struct Entry {
    Kind kind;
    int64_t timestamp_ns;
    std::string value;
  };
  struct Held {
    PageRequest request;
    PageCallback done;
    bool woken;
  };

  int64_t end_locked() const { return start_ + static_cast<int64_t>(entries_.size()); }
  const Entry& at(int64_t position) const { return entries_[static_cast<size_t>(position - start_)]; }
  Status take_failure() {
    Status status = failures_.front();
    failures_.pop_front();
    return status;
  }

  // Changes something, and answers the read that is held if it can be answered now.
  template <class Change>
  void answer(Change&& change) {
    std::optional<Held> held;
    Result<Page> page;
    {
      const std::lock_guard lock(mutex_);
      change();
      if (!held_ || holding_) return;
      const int64_t from = held_->request.from;
      if (!failures_.empty()) {
        page = fail(take_failure());
      } else if (from < std::max(start_, trimmed_) || from > end_locked()) {
        page = fail(StatusCode::out_of_range, id_ + ": no such position");
      } else if (from == end_locked() && !sealed_ && waits_ && held_->request.wait_ms > 0 && !held_->woken) {
        return;
      } else {
        page = page_of(held_->request);
      }
      held = std::move(held_);
      held_.reset();
    }
    held->done(std::move(page));
  }

  Page page_of(const PageRequest& request) {
    Page page;
    page.next = request.from;
    page.end = end_known_ ? end_locked() : -1;
    const int64_t most = std::min(request.max_records, page_records_);  // entries, whatever they are
    uint64_t bytes = 0;
    for (; page.next < end_locked() && page.next - request.from < most; ++page.next) {
      const Entry& entry = at(page.next);
      if (entry.kind == Kind::corrupt) ++page.corrupt;
      if (entry.kind != Kind::record) continue;
      bytes += entry.value.size();
      if (!page.records.empty() && bytes > request.max_bytes) break;
      Record record;
      record.position = page.next;
      record.timestamp_ns = entry.timestamp_ns;
      record.partition = partition_;
      record.value = as_bytes(entry.value);
      page.records.push_back(record);
    }
    page.finished = sealed_ && page.next == end_locked();
    return page;
  }

  const std::string id_;
  mutable std::mutex mutex_;   // guards all below
  std::deque<Entry> entries_;  // a deque: values stay where they are
  int64_t start_ = 0;
  int64_t trimmed_ = 0;
  bool sealed_ = false;
  bool holding_ = false;
  bool waits_ = true;
  bool end_known_ = true;
  uint32_t page_records_ = UINT32_MAX;
  int32_t partition_ = 0;
  size_t reads_ = 0;
  std::deque<Status> failures_;
  std::optional<Held> held_;
};

}  // namespace sluice::testing
