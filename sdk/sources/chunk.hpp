// SPDX-License-Identifier: Apache-2.0
// What one read of a log gave, as records: batches are walked where they lie, and unpacked one at a time when a page
// gets to them. Whatever cannot be decoded is passed, counted, and never more than what lies up to the next batch. One
// thread at a time.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "base/bytes.hpp"
#include "host/log.hpp"
#include "records/batch.hpp"
#include "records/record.hpp"
#include "sluice/source.hpp"
#include "sources/spare_buffers.hpp"

namespace sluice::sources {

struct ChunkRules {
  int32_t partition = 0;
  uint64_t max_batch_bytes = 128ull << 20;
  bool verify_checksums = true;
  std::shared_ptr<SpareBuffers> spare;  // for what is read; there has to be one
};

/// Milliseconds of a batch as nanoseconds; -1: none. Saturates.
int64_t timestamp_ns_of(int64_t timestamp_ms);
/// The least whole millisecond that is not before `timestamp_ns`.
int64_t ceil_ms(int64_t timestamp_ns);

class Chunk {
 public:
  /// `read` asked for `from`. Reads file ranges, and joins batches that span slices. INTERNAL, CORRUPT: a range cannot
  /// be read.
  static Result<std::unique_ptr<Chunk>> make(host::ReadResult read, int64_t from, const ChunkRules& rules);

  /// Whether fill() gets on at `position`: it was looked at by this read.
  bool covers(int64_t position) const { return position >= first_ && position < next_; }
  /// Behind what the read looked at, and the log's end then.
  int64_t next() const { return next_; }
  int64_t end() const { return end_; }

  /// Fills an empty page with records from `request.from` on, which it covers.
  void fill(const PageRequest& request, Page& page);
  /// Position of the first record from `from` on with a timestamp of at least `timestamp_ms`; nullopt: none here.
  std::optional<int64_t> find(int64_t from, int64_t timestamp_ms);

 private:
  /// What a page's records refer to.
  struct Memory {
    explicit Memory(std::shared_ptr<SpareBuffers> for_spare) : spare(std::move(for_spare)) {}
    ~Memory() { spare->give_back(std::move(read)); }

    const std::shared_ptr<SpareBuffers> spare;
    host::Lease lease;
    Buffer read;  // from files
    std::vector<Buffer> joined;
  };

  void rewind(int64_t position);
  bool open_batch(uint64_t& corrupt);
  bool next_record(records::RecordView& record, uint64_t& corrupt);
  void join();
  int64_t behind_damage() const;
  uint64_t claimed_records() const;
  size_t expected_records() const;

  ChunkRules rules_;
  int64_t first_ = 0;
  int64_t next_ = 0;
  int64_t end_ = 0;
  uint64_t skipped_ = 0;  // by the adapter, not told yet
  std::shared_ptr<Memory> memory_;
  std::vector<Bytes> segments_;

  size_t segment_ = 0;  // the one that rest_ is of
  Bytes rest_;
  int64_t position_ = 0;  // nothing before it is wanted
  std::optional<records::BatchView> batch_;
  std::optional<records::RecordIterator> records_;
  std::optional<records::RecordView> held_;  // taken, and not in a page yet
  uint64_t seen_ = 0;                        // records of batch_
  std::shared_ptr<Buffer> unpacked_;         // batch_'s, where it was compressed
};

}  // namespace sluice::sources
