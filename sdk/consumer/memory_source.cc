// SPDX-License-Identifier: Apache-2.0
// Records lie in chunks whose bytes never move: a page copies the records' views and holds their chunk. Everything is
// guarded by one mutex; callbacks run without it.
#include "sluice/memory_source.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <deque>
#include <mutex>
#include <new>
#include <optional>

namespace sluice {
namespace {

constexpr size_t kChunkBytes = 256 << 10;

struct Chunk {
  explicit Chunk(size_t size) : bytes(std::make_unique_for_overwrite<uint8_t[]>(size)), capacity(size) {}

  uint8_t* take(size_t size, size_t alignment) {
    used = (used + alignment - 1) / alignment * alignment;
    uint8_t* at = bytes.get() + used;
    used += size;
    return at;
  }
  Bytes copy(Bytes from) {
    uint8_t* at = take(from.size(), 1);
    if (!from.empty()) std::memcpy(at, from.data(), from.size());
    return {at, from.size()};
  }

  std::unique_ptr<uint8_t[]> bytes;
  size_t capacity;
  size_t used = 0;
  std::vector<Record> records;
  int64_t newest_ns = kNoTimestamp;
};

size_t space_of(const Record& record) {
  return record.bytes() + static_cast<size_t>(record.headers.count()) * sizeof(Header) + alignof(Header);
}

}  // namespace

struct MemorySource::Impl {
  struct Waiting {
    PageRequest request;
    PageCallback done;
  };

  Impl(std::string name, uint64_t limit, int64_t first)
      : id(std::move(name)), max_bytes(limit), start(first), end(first) {}

  const std::string id;
  const uint64_t max_bytes;

  std::mutex mutex;  // guards all below
  std::deque<std::shared_ptr<Chunk>> chunks;
  uint64_t kept_bytes = 0;
  int64_t start;
  int64_t end;
  bool sealed = false;
  std::optional<Waiting> waiting;

  Page page_of(const PageRequest& request) {
    Page page;
    page.next = request.from;
    page.end = end;
    // The last chunk that begins at or below `from`.
    auto it = std::partition_point(chunks.begin(), chunks.end(), [&](const std::shared_ptr<Chunk>& chunk) {
      return chunk->records.front().position <= request.from;
    });
    if (it != chunks.begin() && request.from < end) {
      const std::shared_ptr<Chunk>& chunk = *--it;
      const auto skipped = static_cast<size_t>(request.from - chunk->records.front().position);
      const size_t most = std::min<size_t>(request.max_records, chunk->records.size() - skipped);
      const Record* from = chunk->records.data() + skipped;
      uint64_t bytes = 0;
      size_t count = 0;
      for (; count < most; ++count) {
        bytes += from[count].bytes();
        if (count > 0 && bytes > request.max_bytes) break;
      }
      page.records.assign(from, from + count);
      page.next += static_cast<int64_t>(count);
      page.lease = chunk;
    }
    page.finished = sealed && page.next == end;
    return page;
  }

  // What a waiting reader gets, to be called without the mutex.
  std::optional<Waiting> take_waiting() { return std::exchange(waiting, std::nullopt); }
};

MemorySource::MemorySource(std::string id, uint64_t max_bytes, int64_t first)
    : impl_(std::make_unique<Impl>(std::move(id), max_bytes, first)) {}

MemorySource::~MemorySource() {
  if (auto reader = impl_->take_waiting())
    reader->done(fail(StatusCode::unavailable, impl_->id + ": the shard is gone"));
}

const std::string& MemorySource::id() const {
  return impl_->id;
}

Result<int64_t> MemorySource::append(const Record& record) {
  const size_t space = space_of(record);
  std::optional<Impl::Waiting> reader;
  Page page;
  int64_t position = 0;
  {
    std::lock_guard lock(impl_->mutex);
    if (impl_->sealed) return fail(StatusCode::invalid, impl_->id + ": sealed");
    if (space > impl_->max_bytes) {
      return fail(StatusCode::too_large, fmt::format("{}: a record of {} bytes", impl_->id, space));
    }
    if (impl_->chunks.empty() || impl_->chunks.back()->capacity - impl_->chunks.back()->used < space) {
      const size_t capacity = std::max(std::min<size_t>(kChunkBytes, impl_->max_bytes), space);
      if (impl_->kept_bytes + capacity > impl_->max_bytes && !impl_->chunks.empty()) {
        return fail(StatusCode::busy, fmt::format("{}: {} bytes are kept", impl_->id, impl_->kept_bytes));
      }
      impl_->chunks.push_back(std::make_shared<Chunk>(capacity));
      impl_->kept_bytes += capacity;
    }
    Chunk& chunk = *impl_->chunks.back();
    Record copy = record;
    copy.position = position = impl_->end++;
    if (record.headers.count() > 0) {
      const auto count = static_cast<size_t>(record.headers.count());
      auto* array = reinterpret_cast<Header*>(chunk.take(count * sizeof(Header), alignof(Header)));
      size_t decoded = 0;
      record.headers.each([&](const Header& header) {
        auto* own = ::new (array + decoded++) Header;
        own->name = as_text(chunk.copy(as_bytes(header.name)));
        if (header.value) own->value = chunk.copy(*header.value);
        return true;
      });
      copy.headers = Headers(std::span<const Header>(array, decoded));
    }
    if (record.key) copy.key = chunk.copy(*record.key);
    if (record.value) copy.value = chunk.copy(*record.value);
    chunk.newest_ns = std::max(chunk.newest_ns, copy.timestamp_ns);
    chunk.records.push_back(copy);
    if ((reader = impl_->take_waiting())) page = impl_->page_of(reader->request);
  }
  if (reader) reader->done(std::move(page));
  return position;
}

void MemorySource::seal() {
  std::optional<Impl::Waiting> reader;
  Page page;
  {
    std::lock_guard lock(impl_->mutex);
    impl_->sealed = true;
    if ((reader = impl_->take_waiting())) page = impl_->page_of(reader->request);
  }
  if (reader) reader->done(std::move(page));
}

void MemorySource::wake() {
  std::optional<Impl::Waiting> reader;
  Page page;
  {
    std::lock_guard lock(impl_->mutex);
    if ((reader = impl_->take_waiting())) page = impl_->page_of(reader->request);
  }
  if (reader) reader->done(std::move(page));
}

void MemorySource::trim(int64_t before) {
  std::lock_guard lock(impl_->mutex);
  impl_->start = std::clamp(before, impl_->start, impl_->end);
  while (!impl_->chunks.empty() && impl_->chunks.front()->records.back().position < impl_->start) {
    impl_->kept_bytes -= impl_->chunks.front()->capacity;
    impl_->chunks.pop_front();
  }
}

void MemorySource::read(const PageRequest& request, PageCallback done) {
  Page page;
  {
    std::lock_guard lock(impl_->mutex);
    if (request.from < impl_->start || request.from > impl_->end) {
      page.next = -1;
    } else if (request.from == impl_->end && !impl_->sealed && request.wait_ms > 0) {
      impl_->waiting.emplace();
      impl_->waiting->request = request;
      impl_->waiting->done = std::move(done);
      return;
    } else {
      page = impl_->page_of(request);
    }
  }
  if (page.next < 0) {
    done(fail(StatusCode::out_of_range, fmt::format("{}: {} is not within the shard", impl_->id, request.from)));
  } else {
    done(std::move(page));
  }
}

void MemorySource::bounds(BoundsCallback done) {
  SourceBounds bounds;
  {
    std::lock_guard lock(impl_->mutex);
    bounds = {impl_->start, impl_->end};
  }
  done(bounds);
}

void MemorySource::locate(int64_t timestamp_ns, PositionCallback done) {
  int64_t found = -1;
  {
    std::lock_guard lock(impl_->mutex);
    for (const auto& chunk : impl_->chunks) {
      if (chunk->newest_ns < timestamp_ns) continue;
      for (const Record& record : chunk->records) {
        if (record.position < impl_->start || record.timestamp_ns < timestamp_ns) continue;
        found = record.position;
        break;
      }
      if (found >= 0) break;
    }
    if (found < 0) found = impl_->end;
  }
  done(found);
}

}  // namespace sluice
