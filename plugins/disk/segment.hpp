// SPDX-License-Identifier: Apache-2.0
// One segment file. What it holds is known in steps, each only when needed: its name tells the base offset; examine()
// reads its page; load_index() its index. Fields are guarded by the mutex of the segment's log, except where said;
// functions that touch the file say so and are called without it.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "disk/engine.hpp"
#include "disk/layout.hpp"
#include "records/batch.hpp"

namespace sluice::disk {

/// A batch where it lies.
struct BatchAt {
  uint64_t position = 0;
  uint64_t size = 0;
  int64_t base_offset = 0;
  int64_t last_offset = 0;
  int64_t max_timestamp = kNoTimestamp;

  uint64_t end() const { return position + size; }
};

class Segment {
 public:
  Segment(Engine& engine, std::string directory, int64_t base_offset);

  int64_t base_offset() const { return base_offset_; }
  const std::string& directory() const { return directory_; }
  std::string path() const { return directory_ + "/" + segment_name(base_offset_); }
  std::string index_path() const { return directory_ + "/" + index_name(base_offset_); }
  int64_t end_offset() const { return commit.end_offset; }
  uint64_t batch_bytes() const { return commit.committed - kSegmentHeaderBytes; }

  /// The descriptor, opened if it is not. With `may_open` false: nullptr instead of opening. Any thread, no lock
  /// needed.
  Result<SharedFile> file(bool may_open);
  /// The same, of a descriptor that can be written to: one that was opened while the file system was read-only is
  /// opened anew.
  Result<SharedFile> file_for_writing();
  /// Keeps a descriptor that was opened when the segment was made.
  void set_file(SharedFile file) { file_slot_.put(std::move(file), 1); }

  /// The index if it is at hand. Under the log's mutex, as every look into the index of a segment that grows.
  std::shared_ptr<SparseIndex> index_at_hand() { return active_index ? active_index : index_slot_.get(); }

  /// The index of a segment that is examined and does not grow, read from its file; a damaged or missing one is made
  /// anew by a scan. Touches files.
  Result<std::shared_ptr<SparseIndex>> load_index();

  /// Reads the page of a segment that was only known by name. Touches files; sets the fields, so it is for who owns the
  /// segment, or under the log's mutex from a copy: see adopt().
  struct Page {
    SegmentHeader header;
    Commit commit;
  };
  Result<Page> read_page();
  void adopt(const Page& page);

  /// Writes the index of all that is committed. The caller has synced that. An index that is not
  /// `durable` may be damaged by a loss of power, and is then made anew. Touches files.
  Status write_index(const Commit& covered, const SparseIndex& index, bool durable);

  /// From when the segment stops growing, its index may be dropped from memory.
  void release_active_index();

  // Guarded by the log's mutex:
  bool examined = false;
  SegmentHeader header;
  Commit commit;                           // the newest one that is published
  uint64_t sequence = 0;                   // of the newest one that was written
  uint64_t written = kSegmentHeaderBytes;  // position up to which a commit was written, published or not
  std::atomic<uint64_t> synced{0};         // position up to which that was synced; read by the writer without the mutex
  uint64_t indexed_to = 0;                 // position up to which the index file covers it
  uint64_t allocated = 0;                  // position up to which space is taken
  bool named = true;                       // its name in the directory is synced
  uint64_t trusted_from = kSegmentHeaderBytes;  // batches from here on were written or checked by this process
  uint64_t checked_from = 0, checked_to = 0;    // another stretch that was
  std::shared_ptr<SparseIndex> active_index;    // while it grows

  bool is_synced() const { return synced >= written && named; }
  bool is_trusted(uint64_t from, uint64_t to) const {
    return from >= trusted_from || (from >= checked_from && to <= checked_to);
  }
  void trust(uint64_t from, uint64_t to);

 private:
  Result<std::shared_ptr<SparseIndex>> build_index();

  Engine& engine_;
  const std::string directory_;
  const int64_t base_offset_;
  std::atomic<bool> opened_read_only_{false};
  LruCache<File>::Slot file_slot_;
  LruCache<SparseIndex>::Slot index_slot_;
};
using SharedSegment = std::shared_ptr<Segment>;

/// Makes a segment file with its page. NO_SPACE and others leave none behind. Touches files.
Result<SharedSegment> make_segment(Engine& engine, const std::string& directory, const SegmentHeader& header,
                                   uint64_t first_unit_bytes);

/// Walks from batch to batch by their headers. One thread.
class BatchWalker {
 public:
  enum class Outcome { batch, end, not_cached, damaged, failed };

  /// Over [position, limit) of `file`. With `only_cached` it answers not_cached rather than wait for the device.
  BatchWalker(SharedFile file, uint64_t position, uint64_t limit, bool only_cached)
      : file_(std::move(file)), position_(position), limit_(limit), only_cached_(only_cached) {}

  /// The next batch. After anything but `batch` the walk is over.
  Outcome next();
  const BatchAt& batch() const { return batch_; }
  /// Where the next batch begins.
  uint64_t position() const { return position_; }
  int error() const { return error_; }

 private:
  static constexpr size_t kWindowBytes = 8192;

  SharedFile file_;
  uint64_t position_;
  const uint64_t limit_;
  const bool only_cached_;
  BatchAt batch_;
  int error_ = 0;
  uint64_t window_position_ = 0;
  size_t window_size_ = 0;
  uint8_t window_[kWindowBytes];
};

/// Reads batches from `from` to `to` and checks lengths, offsets and checksums.
struct Scan {
  uint64_t valid_to = 0;   // position behind the last batch that counts
  int64_t end_offset = 0;  // behind that batch
  int64_t max_timestamp = kNoTimestamp;
  uint64_t damaged = 0;  // batches below `tolerated_below` with a wrong checksum, or stretches that cannot be walked
};
/// Stops at the first bad batch at or above `tolerated_below`; below, a bad one is counted and kept if its length can
/// be walked. Adds what it passes to `index`. Errors are those of reading.
Result<Scan> scan_batches(Engine& engine, const SharedFile& file, uint64_t from, uint64_t to, int64_t expected_offset,
                          uint64_t tolerated_below, SparseIndex& index);

/// A header's fields as a place, if they can be: nothing when they make no sense at `position` within `limit`.
std::optional<BatchAt> batch_at(Bytes header, uint64_t position, uint64_t limit);

}  // namespace sluice::disk
