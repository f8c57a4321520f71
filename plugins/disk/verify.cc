// SPDX-License-Identifier: Apache-2.0
#include "disk/verify.hpp"

#include <fcntl.h>
#include <fmt/format.h>

#include <algorithm>
#include <set>

#include "disk/recovery.hpp"

namespace sluice::disk {

namespace {

constexpr uint64_t kLargestIndexBytes = uint64_t{256} << 20;
constexpr uint64_t kLargestFormatFile = 4096;

class Verifier {
 public:
  Verifier(Files& files, const std::string& directory)
      : engine_(Settings{.directory = directory}, files, [](LogLevel, const std::string&) {}) {}

  Result<VerifyReport> run() {
    const std::string format = engine_.settings.directory + "/format";
    const auto content = read_small_file(engine_.files, format, kLargestFormatFile);
    if (!content) return fail(content.error());
    const auto version = parse_format(*content);
    if (!version) return fail(StatusCode::corrupt, format + " does not name a format");
    if (*version > kFormatVersion)
      return fail(StatusCode::unsupported, fmt::format("{} names format {}", format, *version));
    const int result = engine_.files.list(engine_.logs_directory(), [&](std::string_view name) {
      const std::string path = fmt::format("{}/{}", engine_.logs_directory(), name);
      if (const auto parsed = parse_log_directory_name(name)) {
        verify_log(path, parsed->id);
      } else {
        problem(path, "is no log");
      }
    });
    if (result < 0) return fail(io_error(result, "list", engine_.logs_directory()));
    return std::move(report_);
  }

 private:
  void problem(std::string_view path, std::string_view what) {
    report_.problems.push_back(fmt::format("{} {}", path, what));
  }

  void verify_log(const std::string& directory, const Uuid& id) {
    report_.logs += 1;
    const auto log = read_log_file(engine_, directory);
    if (!log) return problem(directory, log.error().text());
    if (log->descriptor.id != id) problem(directory, "has the id of another log in its file \"log\"");
    std::set<int64_t> bases, indexes;
    engine_.files.list(directory, [&](std::string_view name) {
      if (const auto base = offset_of_name(name, kSegmentSuffix)) bases.insert(*base);
      if (const auto base = offset_of_name(name, kIndexSuffix)) indexes.insert(*base);
    });
    for (const int64_t base : indexes) {
      if (!bases.contains(base)) problem(directory + "/" + index_name(base), "has no segment");
    }
    bytes_expected_.reset();
    offset_expected_ = 0;
    for (const int64_t base : bases) verify_segment(directory, base, indexes.contains(base), base == *bases.rbegin());
  }

  void verify_segment(const std::string& directory, int64_t base, bool indexed, bool last) {
    report_.segments += 1;
    Segment segment(engine_, directory, base);
    const auto file = segment.file(true);
    if (!file) return problem(segment.path(), file.error().text());
    Buffer page(kSegmentHeaderBytes);
    const ssize_t got = read_fully(engine_.files, (*file)->fd(), page.mutable_view(), 0);
    page.resize(got < 0 ? 0 : static_cast<size_t>(got));
    const auto header = decode_segment_header(page);
    if (!header || header->base_offset != base) return problem(segment.path(), "has a damaged first page");
    if (bytes_expected_ && header->bytes_before != *bytes_expected_)
      problem(segment.path(), "does not follow the one before it");
    if (base < offset_expected_) problem(segment.path(), "overlaps the one before it");
    const Commits commits = decode_commits(page, header->nonce);
    if (!commits.newest) {
      if (!last) problem(segment.path(), "has no commit");
      return;
    }
    const Commit& commit = *commits.newest;
    SparseIndex built(engine_.settings.index_interval_bytes);
    const auto scan =
        scan_batches(engine_, *file, kSegmentHeaderBytes, commit.committed, base, commit.committed, built);
    if (!scan) return problem(segment.path(), scan.error().text());
    report_.bytes += scan->valid_to - kSegmentHeaderBytes;
    if (scan->valid_to != commit.committed) {
      problem(segment.path(),
              fmt::format("cannot be read from position {} on, of {}", scan->valid_to, commit.committed));
    } else if (scan->damaged > 0) {
      problem(segment.path(), fmt::format("has {} batches with a wrong checksum", scan->damaged));
    } else if (scan->end_offset != commit.end_offset) {
      problem(segment.path(),
              fmt::format("ends at offset {}, its commit says {}", scan->end_offset, commit.end_offset));
    }
    if (indexed) verify_index(segment, *header, commit);
    bytes_expected_ = header->bytes_before + commit.committed - kSegmentHeaderBytes;
    offset_expected_ = commit.end_offset;
  }

  /// Entries need not lie where ours would: the interval may have been another. Each must name a batch.
  void verify_index(Segment& segment, const SegmentHeader& header, const Commit& commit) {
    const auto content = read_small_file(engine_.files, segment.index_path(), kLargestIndexBytes);
    const auto index = content ? decode_index(*content) : std::nullopt;
    if (!index || index->nonce != header.nonce || index->covered > commit.committed) {
      return problem(segment.index_path(), "is damaged");
    }
    const auto file = segment.file(true);
    if (!file) return;
    for (const IndexEntry& entry : index->entries) {
      BatchWalker walker(*file, entry.position, commit.committed, false);
      if (walker.next() == BatchWalker::Outcome::batch && walker.batch().base_offset >= entry.offset) continue;
      return problem(segment.index_path(), fmt::format("names offset {} where no such batch is", entry.offset));
    }
  }

  Engine engine_;
  VerifyReport report_;
  std::optional<uint64_t> bytes_expected_;
  int64_t offset_expected_ = 0;
};

}  // namespace

Result<VerifyReport> verify_storage(Files& files, const std::string& directory) {
  return Verifier(files, directory).run();
}

}  // namespace sluice::disk
