// SPDX-License-Identifier: Apache-2.0
#include "host/batch_walk.hpp"

#include <fmt/format.h>

#include <string_view>

#include "base/bytes.hpp"
#include "base/crc32c.hpp"
#include "host/log.hpp"
#include "records/batch.hpp"

namespace sluice::host {
namespace {

namespace layout = records::layout;

struct Header {
  int64_t base_offset = 0;
  int64_t last_offset = 0;
  uint64_t size = 0;
};

/// The header at the front of `bytes`, or what is wrong there.
tl::expected<Header, std::string> parse(std::span<const uint8_t> bytes) {
  if (bytes.size() < records::kBatchHeaderBytes) return tl::make_unexpected("part of a batch's header");
  const uint8_t* at = bytes.data();
  const auto length = load_be<int32_t>(at + layout::kBatchLength);
  const auto delta = load_be<int32_t>(at + layout::kLastOffsetDelta);
  if (static_cast<int8_t>(at[layout::kMagic]) != records::kMagic2)
    return tl::make_unexpected("a batch whose magic is not 2");
  if (length < static_cast<int32_t>(records::kBatchHeaderBytes - records::kLengthPrefixBytes)) {
    return tl::make_unexpected("a batch with an impossible length");
  }
  Header header;
  header.base_offset = load_be<int64_t>(at + layout::kBaseOffset);
  header.size = static_cast<uint64_t>(length) + records::kLengthPrefixBytes;
  if (header.base_offset < 0 || delta < 0 ||
      __builtin_add_overflow(header.base_offset, int64_t{delta}, &header.last_offset)) {
    return tl::make_unexpected("a batch with impossible offsets");
  }
  if (header.size > bytes.size()) return tl::make_unexpected("part of a batch");
  return header;
}

/// Walks the batches that a read lent.
std::string walk(const sluice_read& request, const sluice_read_result& result, std::string_view text) {
  const std::span<const uint8_t> all(reinterpret_cast<const uint8_t*>(text.data()), text.size());
  int64_t last = -1;
  uint64_t place = 0;
  size_t count = 0;
  while (place < all.size()) {
    const auto header = parse(all.subspan(place));
    if (!header) return fmt::format("lent {} at byte {}", header.error(), place);
    const auto crc = load_be<uint32_t>(all.data() + place + layout::kCrc);
    if (crc32c(all.subspan(place + layout::kAttributes, header->size - layout::kAttributes)) != crc) {
      return fmt::format("lent a batch at offset {} whose CRC is wrong", header->base_offset);
    }
    if (count == 0 && header->last_offset < request.offset) {
      return fmt::format("read from {} began with a batch that ends at {}", request.offset, header->last_offset);
    }
    if (count > 0 && header->base_offset <= last)
      return fmt::format("lent a batch at {} behind one that ends at {}", header->base_offset, last);
    if (header->last_offset >= request.limit) {
      return fmt::format("lent a batch that ends at {}, which is not below the limit {}", header->last_offset,
                         request.limit);
    }
    last = header->last_offset;
    place += header->size;
    ++count;
  }
  if (count > 1 && all.size() > request.max_bytes) {
    return fmt::format("lent {} batches of {} bytes, {} were asked for", count, all.size(), request.max_bytes);
  }
  if (result.next <= last)
    return fmt::format("says to read on at {}, which was lent already (to {})", result.next, last);
  if (last >= result.end)
    return fmt::format("lent a batch that ends at {} and says that the log ends at {}", last, result.end);
  return {};
}

}  // namespace

Result<sluice_batch> batch_element(std::span<const uint8_t> bytes) {
  const auto header = parse(bytes);
  if (!header) return fail(StatusCode::invalid, fmt::format("not a record batch: {}", header.error()));
  if (header->size != bytes.size()) return fail(StatusCode::invalid, "more bytes than one record batch");
  sluice_batch element{};
  element.data = bytes.data();
  element.size = bytes.size();
  element.base_offset = header->base_offset;
  element.last_offset = header->last_offset;
  element.max_timestamp = load_be<int64_t>(bytes.data() + layout::kMaxTimestamp);
  element.record_count = load_be<uint32_t>(bytes.data() + layout::kRecordsCount);
  return element;
}

std::string read_fault(const sluice_read& request, sluice_status status, const sluice_read_result& result, bool native,
                       int64_t end_before) {
  if (status != SLUICE_OK && result.release != nullptr) return "failed and left a lease behind";
  if (status == SLUICE_OUT_OF_RANGE && request.offset >= result.start && request.offset <= result.end) {
    return fmt::format("OUT_OF_RANGE for {}, though the log is from {} to {}", request.offset, result.start,
                       result.end);
  }
  if (status == SLUICE_CORRUPT && !native && result.next <= request.offset)
    return "CORRUPT without an offset to read on at";
  if (status != SLUICE_OK) return {};
  if (result.start > result.end) return fmt::format("start {} above end {}", result.start, result.end);
  if (result.end < end_before)
    return fmt::format("the end {} is below {}, which was shown before", result.end, end_before);
  if (result.next < request.offset || result.next > result.end) {
    return fmt::format("read from {} says to read on at {}, the log ends at {}", request.offset, result.next,
                       result.end);
  }
  if (result.slice_count == 0) {
    if (!native && result.next != request.offset)
      return fmt::format("lent nothing and moved from {} to {}", request.offset, result.next);
    return {};
  }
  if (result.slices == nullptr) return "counted slices and gave none";
  ReadResult lent;
  for (uint32_t i = 0; i < result.slice_count; ++i) {
    const sluice_slice& slice = result.slices[i];
    if (slice.data == nullptr && slice.fd < 0) return fmt::format("slice {} is neither memory nor a file's range", i);
    if (slice.length == 0) return fmt::format("slice {} is empty", i);
    lent.slices.push_back({slice.data, slice.length, slice.position, slice.fd});
    lent.bytes += slice.length;
  }
  const Result<std::string> bytes = gather(lent);
  if (!bytes) return bytes.error().text();
  return walk(request, result, *bytes);
}

}  // namespace sluice::host
