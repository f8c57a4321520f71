// SPDX-License-Identifier: Apache-2.0
// A case is a world of shards whose every entry is known, and a consumer that lives in it through random events: shards
// that grow, fail, hang, come, go, are emptied from below; filters that throw; seeks, pauses, and restarts from the
// text of a cursor that was stored a while ago. After each response the oracle walks the entries between the places
// before and after it, shard by shard.
#include "consumer/model.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <optional>
#include <random>
#include <stdexcept>
#include <tuple>
#include <vector>

#include "base/clock.hpp"
#include "consumer/core.hpp"
#include "consumer/scripted_source.hpp"

namespace sluice::testing {
namespace {

constexpr int64_t kForeverMs = kMaxConsumerWaitMs;
constexpr size_t kMaxDrainPolls = 5'000;

class Model {
 public:
  Model(uint64_t seed, bool trace) : random_(seed), trace_(trace) {}

  CaseReport run() {
    make_world();
    start(Cursor(), true);
    const size_t steps = 5 + pick(50);
    for (size_t i = 0; i < steps && report_.fault.empty(); ++i) step();
    drain();
    if (core_ != nullptr) stop();
    return report_;
  }

 private:
  using Kind = ScriptedSource::Kind;

  struct Shard {
    std::shared_ptr<ScriptedSource> source;
    std::vector<Kind> kinds;
    std::vector<int64_t> times;
    int64_t clock_ns = 0;
    bool sealed = false;
    bool held = false;
    bool paused = false;
    bool present = false;
    bool removed = false;    // and to be read to its end
    int64_t removed_at = 0;  // the end that it had then
    bool finished = false;   // said so
    int64_t trimmed = 0;
    std::optional<int64_t> place;   // as the last response said
    std::optional<int64_t> sought;  // where the next record comes from, once the consumer knows
    uint32_t number = 0;
  };

  template <class Text>
  void trace(Text&& text) const {
    if (trace_) fmt::print(stderr, "{}\n", text());
  }
  size_t pick(size_t below) { return static_cast<size_t>(random_() % below); }
  bool chance(size_t percent) { return pick(100) < percent; }
  Shard& any() { return shards_[pick(shards_.size())]; }
  void fault(std::string text) {
    if (report_.fault.empty()) report_.fault = std::move(text);
  }
  bool matches(int64_t position) const {
    if (modulus_ == 0) return true;
    return (static_cast<uint64_t>(position) * 0x9e3779b97f4a7c15 >> 32) % modulus_ == 0;
  }

  void make_world() {
    config_.order = static_cast<MergeOrder>(pick(3));
    config_.lateness_ms = static_cast<int64_t>(pick(3) * 5);
    calm_ = chance(50);
    config_.idle_hold_ms = calm_ ? kForeverMs : static_cast<int64_t>(pick(50));
    config_.stall_hold_ms = calm_ ? kForeverMs : static_cast<int64_t>(pick(200));
    config_.read_deadline_ms = 50;
    config_.read_wait_ms = static_cast<int64_t>(pick(3) * 20);
    config_.read_ahead_bytes = chance(30) ? 200 + pick(4'000) : 100'000;
    config_.page_bytes = 1 + pick(static_cast<size_t>(config_.read_ahead_bytes));
    config_.page_records = 1 + static_cast<uint32_t>(pick(chance(50) ? 4 : 100));
    config_.retry.first_delay_ms = 1;
    config_.retry.max_delay_ms = 20;
    config_.retry.max_retries = static_cast<uint32_t>(pick(4));
    config_.pass_lost = true;
    throwing_ = !calm_ && chance(30);
    modulus_ = chance(40) ? 0 : chance(20) ? 1'000'000 : 1 + pick(5);
    shards_.resize(1 + pick(chance(10) ? 20 : 5));
    for (size_t i = 0; i < shards_.size(); ++i) {
      Shard& shard = shards_[i];
      shard.source = std::make_shared<ScriptedSource>("s/" + std::to_string(i));
      if (chance(30)) shard.source->hide_end();
      if (chance(20)) shard.source->never_wait();
      if (chance(50)) shard.source->limit_page(1 + static_cast<uint32_t>(pick(10)));
      shard.source->claim_partition(static_cast<int32_t>(pick(3)));
      shard.clock_ns = static_cast<int64_t>(pick(20)) * 1'000'000;
      grow(shard, pick(60));
      if (!calm_ && chance(20)) trim(shard);
    }
  }

  void grow(Shard& shard, size_t entries) {
    if (shard.sealed) return;
    for (size_t i = 0; i < entries; ++i) {
      Kind kind = chance(8) ? Kind::corrupt : chance(8) ? Kind::gap : Kind::record;
      const size_t run = kind == Kind::record ? 1 : 1 + pick(12);
      for (size_t j = 0; j < run; ++j) {
        shard.clock_ns += static_cast<int64_t>(pick(5)) * 1'000'000;
        // Out of order by what the configuration allows; in wild cases by more.
        const int64_t most = config_.lateness_ms + (calm_ ? 0 : 10);
        int64_t time = shard.clock_ns - static_cast<int64_t>(pick(static_cast<size_t>(most) + 1)) * 1'000'000;
        if (chance(3)) time = kNoTimestamp;
        shard.kinds.push_back(kind);
        shard.times.push_back(time);
        shard.source->add(kind, time);
      }
    }
  }
  void trim(Shard& shard) {
    if (shard.sought) return;
    shard.trimmed = std::max(shard.trimmed, static_cast<int64_t>(pick(shard.kinds.size() + 1)));
    shard.source->trim(shard.trimmed);
  }
  void hold(Shard& shard, bool held) {
    shard.held = held;
    shard.source->hold(held);
  }

  void start(const Cursor& from, bool first) {
    RecordPredicate filter;
    if (modulus_ > 0) {
      filter = [this](const Record& record) {
        // Whatever a filter calls while records are inspected must not hang or harm.
        if ((random_() & 127) == 0) std::ignore = core_->cursor();
        if (throwing_ && (random_() & 127) == 0) throw std::runtime_error("scripted");
        return matches(record.position);
      };
    }
    core_ = std::make_shared<consumer::Core>(config_, from, std::move(filter), clock_, random_());
    newest_.reset();
    cursor_ = from;
    for (Shard& shard : shards_) {
      shard.paused = shard.finished = shard.removed = shard.present = false;
      shard.sought.reset();
      shard.place = from.next(shard.source->id());
      if (first || chance(80)) add(shard);
    }
    if (std::none_of(shards_.begin(), shards_.end(), [](const Shard& shard) { return shard.present; })) add(shards_[0]);
  }
  void stop() {
    for (Shard& shard : shards_) hold(shard, false);
    if (const Status closed = core_->close(0); !closed) fault("close: " + closed.describe());
    core_ = nullptr;
  }
  void add(Shard& shard) {
    const auto number = core_->add_shard(shard.source, Place::start());
    if (!number) return fault("add: " + number.error().describe());
    shard.number = *number;
    shard.present = true;
    shard.removed = shard.finished = shard.paused = false;
    if (!shard.place) shard.sought = 0;
  }

  void step() {
    Shard& shard = any();
    const std::string& id = shard.source->id();
    const size_t event = pick(20);
    trace([&] { return fmt::format("event {} of {}, place {}", event, id, shard.place.value_or(-1)); });
    switch (event) {
      case 0:
        grow(shard, pick(20));
        break;
      case 1:
        if (!shard.sealed && chance(30)) {
          shard.sealed = true;
          shard.source->seal();
        }
        break;
      case 2:
        shard.source->fail_next(Status(chance(70) ? StatusCode::unavailable : StatusCode::internal, "scripted"),
                                1 + static_cast<int>(pick(3)));
        break;
      case 3:
        hold(shard, chance(50));
        break;
      case 4:
        clock_.advance_ms(static_cast<int64_t>(pick(100)));
        break;
      case 5:
        if (!shard.present || shard.removed) break;
        if (calm_ && !shard.paused) break;  // who is paused is not waited for
        shard.paused = !shard.paused;
        std::ignore = core_->pause(id, shard.paused);
        break;
      case 6:
        if (shard.present && !calm_) seek(shard);
        break;
      case 7:
        if (!calm_) trim(shard);
        break;
      case 8:
        if (!shard.present || shard.removed || calm_) break;
        if (const Status status = core_->remove_shard(id); !status) fault("remove: " + status.describe());
        shard.removed = true;
        shard.removed_at = static_cast<int64_t>(shard.kinds.size());
        if (shard.finished) shard.present = false;
        break;
      case 9:
        if (!shard.present) {
          if (!calm_) add(shard);
        } else if (!calm_ && shards_.size() > 1 && chance(30)) {
          hold(shard, false);
          if (const Status status = core_->drop_shard(id); !status) fault("drop: " + status.describe());
          shard.present = false;
          shard.sought.reset();
        }
        break;
      case 10:
        stored_ = core_->cursor().encode();
        break;
      case 11: {
        if (chance(50)) break;
        ++report_.restarts;
        const auto cursor = Cursor::decode(chance(50) ? stored_ : core_->cursor().encode());
        if (!cursor) return fault("a cursor does not come back: " + cursor.error().describe());
        stop();
        start(*cursor, calm_);
        break;
      }
      default:
        poll();
    }
  }

  // Whether the way from `from` to where the shard stands shows in responses.
  bool shows(const Shard& shard, int64_t from) const {
    if (!shard.place || from > *shard.place) return true;
    for (int64_t position = std::max(from, shard.trimmed); position < *shard.place; ++position) {
      if (shard.kinds[static_cast<size_t>(position)] == Kind::record && matches(position)) return true;
    }
    return false;
  }

  // Only to places that can be told now.
  void seek(Shard& shard) {
    const std::string& id = shard.source->id();
    const auto end = static_cast<int64_t>(shard.kinds.size());
    if (chance(60)) {
      const auto position = static_cast<int64_t>(pick(shard.kinds.size() + 1));
      std::ignore = core_->seek(id, Place::position(position));
      shard.place = position;
      shard.sought.reset();
    } else if (chance(50)) {
      if (!shows(shard, 0)) return;
      std::ignore = core_->seek(id, Place::start());
      shard.sought = 0;
    } else {
      int64_t found = shard.trimmed;
      const int64_t time = shard.clock_ns / 2;
      while (found < end && shard.times[static_cast<size_t>(found)] < time) ++found;
      if (found == end || !shows(shard, found)) return;
      std::ignore = core_->seek(id, Place::time(time));
      shard.sought = found;
    }
    shard.finished = false;
    newest_.reset();
    trace([&] {
      return fmt::format("sought {}: place {}, sought {}", id, shard.place.value_or(-1), shard.sought.value_or(-1));
    });
  }

  void poll() {
    PollRequest request;
    request.wait_ms = 0;
    request.max_records = chance(10) ? SIZE_MAX : 1 + pick(chance(50) ? 5 : 60);
    request.max_bytes = chance(80) ? UINT64_MAX : 1 + pick(50);
    clock_.advance_ms(static_cast<int64_t>(pick(30)));
    auto response = core_->poll(request);
    if (!response) {
      if (response.error().code() != StatusCode::not_found) fault("poll: " + response.error().describe());
      return;
    }
    ++report_.responses;
    report_.records += response->records.size();
    if (response->records.size() > request.max_records) fault("more records than the limit");
    const uint64_t budget = config_.read_ahead_bytes + 2 * shards_.size() * (sizeof(Record) + 32);
    if (core_->buffered_bytes() > budget)
      fault(fmt::format("{} bytes buffered, {} allowed", core_->buffered_bytes(), budget));
    trace([&] {
      std::string text = fmt::format("poll {}: {} records;", request.max_records, response->records.size());
      for (size_t i = 0; i < response->cursor.size(); ++i) {
        text += fmt::format(" {} {}", response->cursor.at(i).id, response->cursor.at(i).next);
      }
      for (const ShardNote& note : response->notes) {
        text += fmt::format("; {} {} at {}", note.id, condition_name(note.condition), note.position);
      }
      return text;
    });
    check(*response);
    cursor_ = response->cursor;
    done_ = response->done;
  }

  // The heart of it.
  void check(const Response& response) {
    std::map<uint32_t, std::vector<int64_t>> delivered;
    for (const MergedRecord& each : response.records) {
      delivered[each.shard].push_back(each->position);
      if (as_text(*each->value) != std::to_string(each->position)) fault("a record has another's bytes");
    }
    check_order(response);
    bool moved = !response.records.empty();
    uint64_t rejected = 0;
    uint64_t lost = 0;
    size_t known = 0;
    for (Shard& shard : shards_) {
      const std::string& id = shard.source->id();
      const auto next = response.cursor.next(id);
      std::vector<int64_t> got;
      if (const auto found = delivered.find(shard.number); found != delivered.end() && shard.present) {
        got = found->second;
        known += got.size();
      }
      if (!next) {
        if (shard.place) fault(id + ": its place is gone");
        if (!got.empty()) fault(id + ": delivered without a place");
        continue;
      }
      if (shard.sought && got.empty() && shard.place && *next == *shard.place) continue;  // still on its way there
      std::optional<int64_t> before = shard.sought ? shard.sought : shard.place;
      if (shard.sought && *shard.sought < shard.trimmed && *next >= shard.trimmed) before = shard.trimmed;  // the start
      if (!before) {
        fault(id + ": a place from nowhere");
        continue;
      }
      if (*next < *before) fault(fmt::format("{}: from {} back to {}", id, *before, *next));
      moved |= !shard.place || *next != *shard.place;
      std::vector<int64_t> due;
      for (int64_t position = *before; position < *next; ++position) {
        if (position >= static_cast<int64_t>(shard.kinds.size())) {
          fault(id + ": beyond the end");
          break;
        }
        const Kind kind = shard.kinds[static_cast<size_t>(position)];
        const bool was_got = std::find(got.begin(), got.end(), position) != got.end();
        if (position < shard.trimmed && !was_got) {
          ++lost;
          continue;
        }
        if (kind == Kind::record && matches(position)) due.push_back(position);
        if (kind == Kind::record && !matches(position)) ++rejected;
      }
      if (got != due) {
        fault(fmt::format("{}: between {} and {} due {}, got {}", id, *before, *next, due.size(), got.size()));
      }
      shard.place = *next;
      shard.sought.reset();
    }
    if (known != response.records.size()) fault("records of a shard that is not there");
    if (response.has_more && !moved) fault("has_more without progress");
    // What retention took meanwhile may have been read before, or not.
    if (response.rejected < rejected || response.rejected + response.lost > rejected + lost) {
      fault(
          fmt::format("{} rejected and {} lost; counted {} and {}", rejected, lost, response.rejected, response.lost));
    }
    for (const ShardNote& note : response.notes) take_note(note);
  }

  void take_note(const ShardNote& note) {
    if (note.elapsed_ns <= 0 || note.id.empty()) fault("a note without time or shard");
    const auto shard =
        std::find_if(shards_.begin(), shards_.end(), [&](const Shard& each) { return each.source->id() == note.id; });
    if (note.condition == ShardCondition::failed || note.condition == ShardCondition::retrying) {
      if (note.cause.ok() || note.attempts == 0) fault("a failure without cause");
    }
    if (note.condition == ShardCondition::passed_over && calm_) fault("passed over although it may hold for ever");
    if (note.condition != ShardCondition::finished) return;
    if (!shard->sealed && !shard->removed) fault(note.id + ": finished, but neither sealed nor removed");
    if (shard->place.value_or(-1) < (shard->removed ? shard->removed_at : static_cast<int64_t>(shard->kinds.size()))) {
      fault(note.id + ": finished before its end");
    }
    shard->finished = true;
    if (shard->removed) shard->present = false;
  }

  void check_order(const Response& response) {
    if (config_.order == MergeOrder::unordered) return;
    const bool by_time = config_.order == MergeOrder::by_time;
    uint64_t late = 0;
    for (const MergedRecord& each : response.records) {
      const int64_t key = by_time ? each->timestamp_ns : each->position;
      late += each.late ? 1 : 0;
      if (key == kNoTimestamp) {
        if (each.late) fault("late without a time");
        continue;
      }
      const bool behind = newest_ && key < *newest_ - (by_time ? config_.lateness_ms * 1'000'000 : 0);
      if (behind != each.late) fault(fmt::format("key {} after {}: late is {}", key, *newest_, each.late));
      // Where shards keep the order themselves and may hold the others, nothing is late, restarts or not.
      if (behind && calm_ && !ever_failed_) fault("out of order");
      newest_ = std::max(newest_.value_or(key), key);
    }
    if (late != response.late) fault("late records are miscounted");
    for (const ShardNote& note : response.notes) ever_failed_ |= note.condition == ShardCondition::failed;
  }

  // All obstacles are gone: everything must come.
  void drain() {
    throwing_ = false;
    for (Shard& shard : shards_) {
      hold(shard, false);
      shard.sealed = true;
      shard.source->seal();
    }
    if (core_ == nullptr) return;
    for (Shard& shard : shards_) {
      if (!shard.present && report_.fault.empty()) add(shard);
      shard.paused = false;
    }
    done_ = false;
    for (size_t i = 0; i < kMaxDrainPolls && report_.fault.empty(); ++i) {
      core_->pause_all(false);  // and tries again what has failed
      poll();
      clock_.advance_ms(30);
      if (done_ && std::all_of(shards_.begin(), shards_.end(),
                               [](const Shard& shard) { return shard.finished || !shard.present; })) {
        break;
      }
    }
    if (!report_.fault.empty()) return;
    for (const Shard& shard : shards_) {
      const auto end = static_cast<int64_t>(shard.kinds.size());
      if (shard.place.value_or(-1) != end && !shard.removed) {
        fault(fmt::format("{}: stopped at {} of {}", shard.source->id(), shard.place.value_or(-1), end));
      }
    }
  }

  std::mt19937_64 random_;
  const bool trace_;
  ManualClock clock_;
  ConsumerConfig config_;
  bool calm_ = false;
  bool ever_failed_ = false;
  bool throwing_ = false;  // the filter, at times
  uint64_t modulus_ = 0;
  std::vector<Shard> shards_;
  std::shared_ptr<consumer::Core> core_;
  Cursor cursor_;
  std::string stored_ = Cursor().encode();
  std::optional<int64_t> newest_;
  bool done_ = false;
  CaseReport report_;
};

}  // namespace

CaseReport run_model_case(uint64_t seed, bool trace) {
  return Model(seed, trace).run();
}

}  // namespace sluice::testing
