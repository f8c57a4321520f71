// SPDX-License-Identifier: Apache-2.0
// Feeds arbitrary bytes to everything that reads a record batch, with a right checksum so that mutations get past it,
// and to the decompressors alone. Besides memory errors it looks for broken promises: limits, checksums after stamping,
// and that what was read can be written and read again.
#include <cstdint>
#include <cstdlib>
#include <vector>

#include "base/crc32c.hpp"
#include "records/builder.hpp"
#include "records/control.hpp"
#include "records/lookup.hpp"
#include "records/validate.hpp"

namespace sluice::records {
namespace {

constexpr size_t kLimitBytes = 256 * 1024;
constexpr int64_t kNow = 1'700'000'000'000;

void require(bool promise) {
  if (!promise) std::abort();
}

void decompress_alone(Codec codec, Bytes bytes) {
  const Result<Buffer> out = decompress(codec, bytes, kLimitBytes);
  if (!out) return;
  require(out->size() <= kLimitBytes);
  if (out->size() > 0) require(!decompress(codec, bytes, out->size() - 1));
  const Result<Buffer> exact = decompress(codec, bytes, out->size());
  require(exact && as_text(*exact) == as_text(*out));
}

// Writes the records of `batch` anew, without compression, and expects to read the same.
void rewrite(const BatchView& batch) {
  BatchBuilder builder({.base_offset = batch.base_offset()});
  const Status status = visit_records(batch, kLimitBytes, [&](const RecordView& record) {
    std::vector<HeaderView> headers;
    HeaderIterator iterator = record.headers();
    for (HeaderView header; iterator.next(header);) headers.push_back(header);
    require(!iterator.damaged() && static_cast<int32_t>(headers.size()) == record.headers_count);
    return builder.add_at(record.offset_delta, {record.timestamp(batch), record.key, record.value, headers}).ok();
  });
  if (!status) return;
  const Buffer written = *builder.build();
  const auto again = BatchView::parse(written);
  require(again.has_value());
  require(visit_records(*again, written.size(), [](const RecordView&) { return true; }).ok());
}

void read_batch(Bytes input) {
  Buffer bytes = Buffer::copy_of(input);
  if (bytes.size() >= kBatchHeaderBytes) {
    store_be(bytes.data() + layout::kBatchLength, static_cast<int32_t>(bytes.size() - kLengthPrefixBytes));
    store_be(bytes.data() + layout::kMagic, kMagic2);
    store_be(bytes.data() + layout::kCrc, crc32c(bytes.view().subspan(layout::kAttributes)));
  }
  static_cast<void>(parse_batch_header(bytes));
  const auto client = validate_batch(bytes, {.parse_records = true}, kNow);
  const auto broker = validate_batch(bytes, {.origin = BatchOrigin::broker, .parse_records = true}, kNow);
  require(!client || broker);
  const auto batch = BatchView::parse(bytes);
  if (!batch) return;
  static_cast<void>(batch->next_offset());
  static_cast<void>(parse_marker(*batch));
  if (!broker) return;

  const auto newest = find_max_timestamp(*batch, kLimitBytes);
  if (newest && newest->has_value()) {
    const auto found = find_timestamp(*batch, (*newest)->timestamp, kLimitBytes);
    if (found) require(*found == *newest);
  }
  static_cast<void>(check_records(*batch, {.require_key = true, .max_timestamp_after_ms = 0}, kNow, kLimitBytes));
  rewrite(*batch);
  stamp_base_offset(bytes.mutable_view(), 5);
  stamp_leader_epoch(bytes.mutable_view(), 6);
  stamp_log_append_time(bytes.mutable_view(), kNow);
  require(batch->crc() == batch->compute_crc());
}

}  // namespace
}  // namespace sluice::records

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace sluice::records;
  if (size == 0) return 0;
  const sluice::Bytes input(data + 1, size - 1);
  if (data[0] <= kMaxCodec) {
    decompress_alone(static_cast<Codec>(data[0]), input);
  } else {
    read_batch(input);
  }
  return 0;
}
