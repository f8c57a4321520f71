// SPDX-License-Identifier: Apache-2.0
// The reader's cursors: where its consumers stand, which of them goes when there are too many, and who is told that the
// end moved.
#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "rdkafka/errors.hpp"
#include "kafka/reader.hpp"

namespace sluice::kafka {
namespace {

constexpr int64_t kBusyMs = 20;  // advice when all cursors are taken

}  // namespace

// ---- Cursors

/// A lane on which the partition is not read yet; else nullptr.
Result<Reader::Lane*> Reader::lane_for(const Partition& partition) {
  for (auto& lane : lanes_) {
    const bool taken = std::any_of(cursors_.begin(), cursors_.end(), [&](const auto& each) {
      return each.second->lane == lane.get() && each.second->partition.get() == &partition;
    });
    if (!taken) return lane.get();
  }
  if (lanes_.size() >= kMaxLanes) return nullptr;
  auto client = Client::make(settings_, Role::reads, largest_message_, say_);
  if (!client) return fail(client.error());
  auto lane = std::make_unique<Lane>();
  lane->client = std::move(*client);
  lanes_.push_back(std::move(lane));
  return lanes_.back().get();
}

/// False: every cursor is in use.
bool Reader::make_room() {
  if (cursors_.size() < kMaxCursors) return true;
  Cursor* idle = nullptr;
  bool idle_is_watched = true;
  for (auto& [id, cursor] : cursors_) {
    if (cursor->reading && cursor->reading->ticket->is_open()) continue;
    const bool watched = watched_.contains(cursor->partition);
    const bool better = idle == nullptr || (idle_is_watched && !watched) ||
                        (idle_is_watched == watched && cursor->used_ns < idle->used_ns);
    if (!better) continue;
    idle = cursor.get();
    idle_is_watched = watched;
  }
  if (idle == nullptr) return false;
  stop_cursor(*idle);
  return true;
}

Result<Reader::Cursor*> Reader::start_cursor(const PartitionPtr& partition, int64_t offset) {
  auto lane = lane_for(*partition);
  if (!lane) return fail(lane.error());
  Status busy(StatusCode::busy, "too many places are being read at once");
  busy.set_retry_after_ms(kBusyMs);
  if (*lane == nullptr) {
    // In place of the one of this partition that was used least recently.
    Cursor* oldest = nullptr;
    for (auto& [id, cursor] : cursors_) {
      if (cursor->partition != partition || (cursor->reading && cursor->reading->ticket->is_open())) continue;
      if (oldest == nullptr || cursor->used_ns < oldest->used_ns) oldest = cursor.get();
    }
    if (oldest == nullptr) return fail(std::move(busy));
    lane = oldest->lane;
    stop_cursor(*oldest);
  } else if (!make_room()) {
    return fail(std::move(busy));
  }
  Topic& topic = (*lane)->topics[partition->topic()];
  if (!topic.handle) {
    topic.handle.reset(rd_kafka_topic_new((*lane)->client->get(), partition->topic().c_str(), nullptr));
    if (!topic.handle) {
      (*lane)->topics.erase(partition->topic());
      return fail(status_of(rd_kafka_last_error()));
    }
  }
  ++topic.cursors;
  auto cursor = std::make_unique<Cursor>();
  cursor->id = ++last_cursor_;
  cursor->reader = this;
  cursor->lane = *lane;
  cursor->partition = partition;
  cursor->topic = topic.handle.get();
  cursor->used_ns = now_ns();
  Cursor* placed = cursors_.emplace(cursor->id, std::move(cursor)).first->second.get();
  if (Status started = fetch_from(*placed, offset); !started.ok()) {
    stop_cursor(*placed);
    return fail(std::move(started));
  }
  return placed;
}

/// From now on the cursor fetches from there; what it had is gone.
Status Reader::fetch_from(Cursor& cursor, int64_t offset) {
  stop_fetching(cursor);
  cursor.position = offset;
  cursor.stash.clear();
  cursor.stash_bytes = cursor.backlog_bytes = cursor.backlog = 0;
  cursor.at_end = false;
  cursor.queue.reset(rd_kafka_queue_new(cursor.lane->client->get()));
  rd_kafka_queue_cb_event_enable(
      cursor.queue.get(),
      +[](rd_kafka_t*, void* opaque) {
        auto* woken = static_cast<Cursor*>(opaque);
        woken->reader->woken(woken->id);
      },
      &cursor);
  if (rd_kafka_consume_start_queue(cursor.topic, cursor.partition->index(), offset, cursor.queue.get()) != 0) {
    Status status = status_of(rd_kafka_last_error());
    rd_kafka_queue_cb_event_enable(cursor.queue.get(), nullptr, nullptr);
    cursor.queue.reset();
    return status;
  }
  return {};
}

void Reader::stop_fetching(Cursor& cursor) {
  if (!cursor.queue) return;
  rd_kafka_queue_cb_event_enable(cursor.queue.get(), nullptr, nullptr);
  rd_kafka_consume_stop(cursor.topic, cursor.partition->index());
  cursor.queue.reset();
}

void Reader::stop_cursor(Cursor& cursor) {
  stop_fetching(cursor);
  cursor.stash.clear();  // before the topic that the messages refer to
  const auto topic = cursor.lane->topics.find(cursor.partition->topic());
  if (--topic->second.cursors == 0) cursor.lane->topics.erase(topic);
  cursors_.erase(cursor.id);
}

// ---- Time

int64_t Reader::tick(int64_t now) {
  constexpr int64_t kTickNs = 100'000'000;
  drain_();
  for (auto& lane : lanes_) lane->client->drain();
  std::vector<uint64_t> due;
  for (auto& [id, cursor] : cursors_) {
    const bool reading = cursor->reading && cursor->reading->ticket->is_open();
    if (reading ? cursor->settle_ns <= now : now - cursor->used_ns > kIdleNs && !watched_.contains(cursor->partition)) {
      due.push_back(id);
    }
  }
  for (const uint64_t id : due) {
    Cursor& cursor = *cursors_.at(id);
    if (cursor.reading && cursor.reading->ticket->is_open()) {
      // It waits in vain: is there anything at all?
      Reading reading = std::move(*cursor.reading);
      cursor.reading.reset();
      cursor.settle_ns = Worker::kNever;
      look(std::move(reading));
    } else {
      stop_cursor(cursor);
    }
  }
  std::vector<PartitionPtr> unwatched;
  for (auto& [partition, watched] : watched_) {
    std::erase_if(watched.watches, [](const Watch& watch) { return !watch.ticket->is_open(); });
    if (watched.watches.empty() && !watched.asking) unwatched.push_back(partition);
    if (watched.watches.empty() || watched.asking || watched.ask_ns > now || has_tail(*partition)) continue;
    ask_for_watches(partition);
  }
  for (const PartitionPtr& partition : unwatched) watched_.erase(partition);
  return cursors_.empty() && watched_.empty() ? now + 10 * kTickNs : now + kTickNs;
}

// ---- Watches

void Reader::watch(TicketPtr ticket, PartitionPtr partition, int64_t offset) {
  worker_.post([this, ticket = std::move(ticket), partition = std::move(partition), offset] {
    if (partition->known().end > offset) {
      ticket->answer({});
      return;
    }
    Watched& watched = watched_[partition];
    watched.watches.push_back({ticket, offset});
    if (!watched.asking && !has_tail(*partition)) ask_for_watches(partition);
    tick_ns_ = std::min(tick_ns_, now_ns());
  });
}

void Reader::moved(PartitionPtr partition) {
  worker_.post([this, partition = std::move(partition)] { tell_watches(partition); });
}

void Reader::forget(PartitionPtr partition) {
  worker_.post([this, partition = std::move(partition)] {
    end_watches(partition);
    std::vector<Cursor*> all;
    for (auto& [id, cursor] : cursors_) {
      if (cursor->partition == partition) all.push_back(cursor.get());
    }
    for (Cursor* cursor : all) {
      if (cursor->reading) look(std::move(*cursor->reading));
      stop_cursor(*cursor);
    }
  });
}

void Reader::tell_watches(const PartitionPtr& partition) {
  const auto found = watched_.find(partition);
  if (found == watched_.end()) return;
  const int64_t end = partition->known().end;
  std::erase_if(found->second.watches, [&](const Watch& watch) {
    if (watch.offset >= end) return !watch.ticket->is_open();
    watch.ticket->answer({});
    return true;
  });
  if (found->second.watches.empty() && !found->second.asking) watched_.erase(found);
}

void Reader::end_watches(const PartitionPtr& partition) {
  const auto found = watched_.find(partition);
  if (found == watched_.end()) return;
  for (const Watch& watch : found->second.watches) {
    watch.ticket->answer(Status(StatusCode::unavailable, "the log is being deleted"));
  }
  found->second.watches.clear();
}

/// A cursor stands at the end: it hears of whatever comes.
bool Reader::has_tail(const Partition& partition) const {
  return std::any_of(cursors_.begin(), cursors_.end(), [&](const auto& each) {
    return each.second->partition.get() == &partition && each.second->at_end;
  });
}

void Reader::ask_for_watches(const PartitionPtr& partition) {
  watched_[partition].asking = true;
  cluster_.ask_marks(partition, [this, partition](const Result<Marks>& marks) {
    worker_.post([this, partition, marks] {
      Watched& watched = watched_[partition];
      watched.asking = false;
      watched.ask_ns = now_ns() + kWatchNs;
      if (!marks && marks.error().code() == StatusCode::not_found) {
        for (const Watch& watch : watched.watches) watch.ticket->answer(marks.error());
      }
      tell_watches(partition);
      if (!marks || !watched_.contains(partition) || watched_[partition].watches.empty()) return;
      // Whoever watches will read from there, unless somebody does already.
      const bool read_already = std::any_of(cursors_.begin(), cursors_.end(), [&](const auto& each) {
        return each.second->partition == partition && each.second->position >= marks->end;
      });
      if (!read_already) static_cast<void>(start_cursor(partition, marks->end));
    });
  });
}

}  // namespace sluice::kafka
