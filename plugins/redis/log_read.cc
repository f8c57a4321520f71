// SPDX-License-Identifier: Apache-2.0
// Reads, and the search for a timestamp. XRANGE counts entries and not bytes, so how many are asked for follows from
// how large they have been lately, and how large they can be at most.
#include <fmt/format.h>

#include <algorithm>

#include "redis/classify.hpp"
#include "redis/log.hpp"

namespace sluice::redis {
namespace {

using plugin::set;

constexpr int kMaxRetries = 4;         // of a read or a search, while the log is fenced or trimmed
constexpr int kMaxRanges = 16;         // XRANGEs of one read
constexpr size_t kMaxStretches = 512;  // asked for at once
/// Smaller entries are copied together: a slice each would cost more.
constexpr uint64_t kLentBytes = 8192;
/// ... and what is less than such a part of its reply, so that it does not keep all of that.
constexpr uint64_t kLentPart = 4;

// Gathers what a read lends: entries as they lie in replies, or copies of them.
class Gathered {
 public:
  explicit Gathered(uint64_t max_bytes) : max_bytes_(max_bytes) {}

  bool fits(uint64_t size) const { return bytes_ == 0 || (size <= max_bytes_ && bytes_ <= max_bytes_ - size); }
  bool enough() const { return bytes_ > 0 && (bytes_ >= max_bytes_ / 2 || bytes_ >= kMaxReadBytes); }
  bool empty() const { return bytes_ == 0; }
  uint64_t bytes() const { return bytes_; }

  void add(Bytes batch) {
    bytes_ += batch.size();
    taken_.push_back(batch);
  }

  /// The reply that what was added since the last time lies in.
  void keep(Reply reply) {
    if (taken_.empty()) return;
    uint64_t whole = 0;
    for (size_t i = 0; i < reply->elements; ++i) whole += unit_bytes(ReplyView(reply)[i]);
    if (taken_bytes() / taken_.size() < kLentBytes || taken_bytes() < whole / kLentPart) {
      auto copy = std::make_shared<Buffer>();
      copy->reserve(taken_bytes());
      for (const Bytes batch : taken_) copy->append(batch);
      lease_->add_memory(copy->view(), copy);
      lease_->add_pinned(copy->capacity());
    } else {
      const std::shared_ptr<redisReply> owner(std::move(reply));
      for (const Bytes batch : taken_) lease_->add_memory(batch, owner);
      lease_->add_pinned(whole);
    }
    taken_.clear();
  }

  std::unique_ptr<plugin::Lease> lease() { return std::move(lease_); }

 private:
  uint64_t taken_bytes() const {
    uint64_t sum = 0;
    for (const Bytes batch : taken_) sum += batch.size();
    return sum;
  }

  const uint64_t max_bytes_;
  uint64_t bytes_ = 0;
  std::vector<Bytes> taken_;
  std::unique_ptr<plugin::Lease> lease_ = std::make_unique<plugin::Lease>();
};

}  // namespace

/// How many entries should be asked for to get `bytes` from the offset `from` on, and hardly more: what does not fit
/// was sent in vain. Small ones may be followed by the largest.
int64_t Log::entries_for(uint64_t bytes, uint64_t token, int64_t from) const {
  const bool counted = counted_.token == token && counted_.from <= from;
  const uint64_t largest = counted ? counted_.largest : largest_bytes_;
  const uint64_t wanted = std::max<uint64_t>(bytes / std::max<uint64_t>(usual_bytes_, 1), 1);
  const uint64_t safe = std::max<uint64_t>(kMaxReadBytes / std::max<uint64_t>(largest, 1), 1);
  return static_cast<int64_t>(std::min({wanted, safe, static_cast<uint64_t>(kMaxReadEntries)}));
}

void Log::saw(uint64_t bytes, size_t entries, uint64_t largest) {
  if (entries == 0) return;
  usual_bytes_ = std::max<uint64_t>((usual_bytes_ + bytes / entries) / 2, 1);
  largest_bytes_ = std::max({largest, largest_bytes_ / 2, kAssumedUnitBytes});
}

/// Entries from that which holds `from`, wholly below `limit`.
Task<Result<Reply>> Log::range(uint64_t token, int64_t from, int64_t limit, int64_t count, int64_t deadline_ns) {
  Command command;
  command.begin(6).add("XRANGE").add(keys_.stream(token)).add(from);
  command.add(limit == INT64_MAX ? std::string("+") : entry_id(limit - 1)).add("COUNT").add(count);
  Answer answer = co_await call(Lane::read, command, deadline_ns);
  if (!answer.replied()) co_return fail(answer.why);
  if (answer[0].is_error()) co_return fail(status_of(answer[0].text()));
  Reply reply = std::move(answer.replies[0]);
  uint64_t bytes = 0;
  uint64_t largest = 0;
  const ReplyView entries(reply);
  for (size_t i = 0; i < entries.size(); ++i) {
    const uint64_t size = unit_bytes(entries[i]);
    bytes += size;
    largest = std::max(largest, size);
  }
  saw(bytes, entries.size(), largest);
  co_return reply;
}

/// Gives nothing at or above the end that is known, though the stream may hold it: that is a unit of this process whose
/// reply is not here yet, and whoever read it would ask next at an offset that is above the end. Who asks above the end
/// all the same was told of it by somebody else, so the server is asked for the end, and not only whether the token is
/// the same.
Task<Status> Log::read(const sluice_read& request, sluice_read_result& result, int64_t deadline_ns) {
  bool known_now = false;  // what is known was asked for in this call
  for (int retry = 0; retry < kMaxRetries; ++retry) {
    if (!known_now && (!is_writer() || request.offset > known_->end)) {
      const Status status = co_await look(deadline_ns);
      const bool readable = status.ok() || (known_ && known_->foreign);
      // CORRUPT would say that there is something to read behind it.
      if (status.code() == StatusCode::corrupt && !readable) {
        co_return Status(StatusCode::internal, status.text());
      }
      if (!readable) co_return status;
      known_now = true;
    }
    const bool inside = request.offset >= known_->start && request.offset < known_->end;
    if ((!inside || request.limit <= request.offset) && !known_now) {
      const Result<bool> same = co_await confirm(deadline_ns);
      if (!same) co_return same.error();
      known_now = *same;
      continue;
    }
    const int64_t start = std::min(known_->start, known_->end);
    const uint64_t token = known_->token;
    set(result, &sluice_read_result::start, start);
    set(result, &sluice_read_result::end, known_->end);
    set(result, &sluice_read_result::next, request.offset);
    if (request.offset < start || request.offset > known_->end) {
      co_return Status(StatusCode::out_of_range, fmt::format("the log goes from {} to {}", start, known_->end));
    }
    if (request.offset == known_->end || request.limit <= request.offset) co_return Status();
    // Behind the last entry of a stream that somebody else wrote to nothing of ours comes.
    const int64_t end = known_->end;
    const int64_t limit = known_->foreign ? request.limit : std::min(request.limit, end);

    Gathered gathered(request.max_bytes);
    int64_t next = request.offset;
    Status damage;
    bool over = false;
    bool inside_unit = false;  // the limit is
    std::vector<BatchEntry> batches;
    for (int ranges = 0; ranges < kMaxRanges && !over && !gathered.enough(); ++ranges) {
      const uint64_t wanted = std::min(request.max_bytes, kMaxReadBytes) - gathered.bytes();  // not enough() yet
      const int64_t count = inside_unit ? 1 : entries_for(wanted, token, next);
      Result<Reply> reply = co_await range(token, next, inside_unit ? INT64_MAX : limit, count, deadline_ns);
      if (!reply && gathered.empty()) {
        const bool damaged = reply.error().code() == StatusCode::corrupt;  // as above
        co_return damaged ? Status(StatusCode::internal, reply.error().text()) : reply.error();
      }
      if (!reply) break;
      const ReplyView entries(*reply);
      over = inside_unit || entries.size() < static_cast<size_t>(count);
      if (entries.size() == 0 && gathered.empty() && !inside_unit && limit < end) {
        inside_unit = true;
        over = false;
        continue;
      }
      for (size_t i = 0; i < entries.size(); ++i) {
        const bool ours = parse_unit(entries[i], batches);
        const auto id = entry_id_of(entries[i]);
        if (!ours || batches.front().previous_end > next) {
          over = true;
          const int64_t to = ours ? batches.front().previous_end : id ? behind(*id) : next;
          if (!gathered.empty() || (inside_unit && to > limit)) break;
          damage = Status(StatusCode::corrupt,
                          ours ? fmt::format("{}: batches from {} to {} were removed", keys_.base, next, to)
                               : fmt::format("{}: the entry {} is not one of ours", keys_.base, entries[i][0].text()));
          next = to;
          break;
        }
        bool full = false;
        for (const BatchEntry& batch : batches) {
          if (batch.last < next) continue;  // the unit begins before what is asked for
          full = batch.last >= limit || !gathered.fits(batch.bytes.size());
          if (full) break;
          gathered.add(batch.bytes);
          next = batch.last + 1;
        }
        over = over || full;
        if (full) break;
      }
      gathered.keep(std::move(*reply));
    }
    if (gathered.empty()) {
      // Nothing there, or a hole: unless the log was fenced or trimmed meanwhile, that is so.
      const Result<bool> same = co_await confirm(deadline_ns);
      if (!same) co_return same.error();
      if (!*same || known_->token != token || known_->start > request.offset) {
        known_now = false;
        continue;
      }
      if (!damage.ok()) {
        set(result, &sluice_read_result::next, next);
        co_return damage;
      }
      // Not up to the end that is known by now: units may have come since.
      if (request.limit >= end && request.offset < end) {
        set(result, &sluice_read_result::next, end);
        co_return Status(StatusCode::corrupt,
                         fmt::format("{}: batches from {} to {} were removed", keys_.base, next, end));
      }
      co_return Status();
    }
    set(result, &sluice_read_result::next, next);
    set(result, &sluice_read_result::end, std::max(next, known_ ? known_->end : next));
    plugin::Lease::lend(gathered.lease(), result);
    co_return Status();
  }
  co_return Status(StatusCode::unavailable, "the log is fenced again and again");
}

/// The first batch in [from, to) whose greatest timestamp is at or above `timestamp`.
Task<Result<Log::Found>> Log::scan(uint64_t token, int64_t from, int64_t to, int64_t timestamp, int64_t deadline_ns) {
  std::vector<BatchEntry> batches;
  while (from < to) {
    const int64_t count = entries_for(kStretchBytes, token, from);
    const Result<Reply> reply = co_await range(token, from, to, count, deadline_ns);
    if (!reply) co_return fail(reply.error());
    const ReplyView entries(*reply);
    for (size_t i = 0; i < entries.size(); ++i) {
      const bool ours = parse_unit(entries[i], batches);
      const auto id = entry_id_of(entries[i]);
      for (const BatchEntry& batch : batches) {
        if (ours && batch.last >= from && batch.newest >= timestamp) co_return Found{true, batch.base};
      }
      if (id) from = behind(*id);
    }
    if (entries.size() < static_cast<size_t>(count)) break;
  }
  co_return Found{};
}

/// The first such batch of the whole log, which begins at `at` and ends at `end`: stretches in order, and what lies
/// between them. Without the sorted set, or with part of it, more is looked through.
Task<Result<Log::Found>> Log::search(uint64_t token, int64_t at, int64_t end, int64_t timestamp, int64_t deadline_ns) {
  for (bool more = true; more;) {
    Command command;
    command.begin(7).add("ZRANGEBYLEX").add(keys_.times()).add(fmt::format("[{:016x}", at)).add("+");
    command.add("LIMIT").add("0").add(static_cast<int64_t>(kMaxStretches));
    const Answer answer = co_await call(Lane::read, command, deadline_ns);
    if (!answer.replied()) co_return fail(answer.why);
    if (answer[0].is_error()) co_return fail(status_of(answer[0].text()));
    const int64_t before = at;
    for (size_t i = 0; i < answer[0].size(); ++i) {
      const auto stretch = Stretch::parse(answer[0][i].text());
      if (!stretch || stretch->last < at || stretch->last >= end) continue;
      const int64_t to = stretch->newest >= timestamp ? stretch->last + 1 : stretch->first;
      const Result<Found> scanned = co_await scan(token, at, to, timestamp, deadline_ns);
      if (!scanned || scanned->found) co_return scanned;
      at = stretch->last + 1;
    }
    more = answer[0].size() == kMaxStretches && at > before;
  }
  co_return co_await scan(token, at, end, timestamp, deadline_ns);
}

Task<Status> Log::locate(int64_t timestamp, sluice_locate_result& result, int64_t deadline_ns) {
  for (int retry = 0; retry < kMaxRetries; ++retry) {
    bool same_token = false;
    if (is_writer()) {
      const Result<bool> same = co_await confirm(deadline_ns);
      if (!same) co_return same.error();
      same_token = *same;
    }
    if (!same_token) {
      const Status status = co_await look(deadline_ns);
      if (!status.ok()) co_return status;
    }
    const uint64_t token = known_->token;
    const int64_t end = known_->end;
    const Result<Found> found = co_await search(token, std::min(known_->start, end), end, timestamp, deadline_ns);
    if (!found) co_return found.error();
    if (!found->found) {
      // Nothing there: unless the stream was renamed meanwhile, that is so.
      const Result<bool> same = co_await confirm(deadline_ns);
      if (!same) co_return same.error();
      if (!*same || known_->token != token) continue;
    }
    set(result, &sluice_locate_result::offset, found->found ? found->offset : end);
    set(result, &sluice_locate_result::end, end);
    co_return Status();
  }
  co_return Status(StatusCode::unavailable, "the log is fenced again and again");
}

}  // namespace sluice::redis
