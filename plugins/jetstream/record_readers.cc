// SPDX-License-Identifier: Apache-2.0
#include "jetstream/record_readers.hpp"

#include <algorithm>
#include <tuple>

#include "jetstream/reply.hpp"

namespace sluice::jetstream {

RecordReader* RecordReaders::enter(int64_t offset, bool& known) {
  RecordReader* found = nullptr;
  known = false;
  for (RecordReader& reader : readers_) {
    if (!reader.busy && reader.next == offset) found = &reader;
  }
  known = found != nullptr;
  const int64_t now_ns = monotonic_ns();
  // The one that is missed least: without a consumer, or with one that the server has removed, and longest ago.
  const auto worth = [&](const RecordReader& reader) {
    const bool lives = !reader.consumer.empty() && now_ns - reader.used_ns < kConsumerIdleMs * kNsPerMs;
    return std::tuple(lives, reader.used);
  };
  for (RecordReader& reader : readers_) {
    if (known || reader.busy) continue;
    if (found == nullptr || worth(reader) < worth(*found)) found = &reader;
  }
  if (found == nullptr) return nullptr;
  // A server does not answer for a consumer that it has removed: better not to come near that.
  const bool rested = now_ns - found->used_ns > kConsumerIdleMs / 2 * kNsPerMs;
  if (!known || rested || found->epoch != engine_.client.epoch()) retire(*found);
  found->busy = true;
  return found;
}

void RecordReaders::leave(RecordReader& reader, int64_t next) {
  reader.busy = false;
  reader.next = next;
  reader.used = ++uses_;
  reader.used_ns = monotonic_ns();
  if (closed_) retire(reader);
}

// A work queue, or a stream that keeps what somebody is interested in, would delete messages for our consumer's sake,
// or keep them. A mirror fills from elsewhere, maybe with holes for a while. Where consumers are counted, ours would
// take the place of somebody's.
bool RecordReaders::allowed(const nlohmann::json& config) {
  return text_at(config, "retention") == "limits" && !config.contains("mirror") &&
         number_at(config, "max_consumers", -1) <= 0;
}

Task<void> RecordReaders::equip(RecordReader& reader, bool known, uint64_t sequence, int64_t deadline_ns) {
  const int64_t now_ns = monotonic_ns();
  const uint64_t epoch = engine_.client.epoch();
  if (closed_ || epoch == 0 || epoch == denied_epoch_ || now_ns < not_before_ns_) co_return;
  if (!known && now_ns < not_for_new_before_ns_) co_return;
  if (!known) not_for_new_before_ns_ = now_ns + kNewReaderPauseMs * kNsPerMs;
  auto made = co_await stream_.make_consumer(sequence, kConsumerIdleMs, deadline_ns);
  if (!made) {
    // The server says so at once only the first time on a connection.
    if (made.error().code() == StatusCode::denied) denied_epoch_ = epoch;
    wait_after_failure();
    co_return;
  }
  reader.consumer = std::move(*made);
  reader.epoch = epoch;
  reader.position = sequence;
}

uint64_t RecordReaders::room_to_pull() const {
  const uint64_t left = kMostPulledBytesOfAll - std::min(kMostPulledBytesOfAll, engine_.pulled_bytes);
  if (left < kLeastPulledBytes) return 0;
  return std::clamp(left / kPulledShare, kLeastPulledBytes, kMostPulledBytes);
}

void RecordReaders::wait_after_failure() {
  not_before_ns_ = monotonic_ns() + pause_ms_ * kNsPerMs;
  pause_ms_ = std::min(2 * pause_ms_, kLongestConsumerPauseMs);
}

void RecordReaders::fail(RecordReader& reader, bool denied) {
  if (denied) denied_epoch_ = engine_.client.epoch();
  wait_after_failure();
  retire(reader);
}

// Nobody waits for it: what is not removed now goes by itself.
void RecordReaders::retire(RecordReader& reader) {
  if (reader.consumer.empty()) return;
  std::string consumer = std::exchange(reader.consumer, {});
  if (reader.epoch != engine_.client.epoch()) return;
  engine_.run_aside([&] { return remove(engine_, stream_.name(), std::move(consumer)); });
}

Task<void> RecordReaders::remove(Engine& engine, std::string stream, std::string consumer) {
  Stream of(engine.client, engine.settings, std::move(stream));
  static_cast<void>(co_await of.remove_consumer(std::move(consumer), monotonic_ns() + kAttemptMs * kNsPerMs));
}

void RecordReaders::close() {
  closed_ = true;
  for (RecordReader& reader : readers_) {
    if (!reader.busy) retire(reader);
  }
}

}  // namespace sluice::jetstream
