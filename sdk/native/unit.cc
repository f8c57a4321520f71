// SPDX-License-Identifier: Apache-2.0
#include "native/unit.hpp"

#include <fmt/format.h>

#include <utility>

#include "records/codec.hpp"
#include "records/record.hpp"

namespace sluice::native {
namespace {

Status invalid(uint32_t index, std::string_view why) {
  return Status(StatusCode::invalid, fmt::format("batch {} of the unit: {}", index, why));
}

uint64_t size_of(const records::RecordView& record) {
  return (record.key ? record.key->size() : 0) + (record.value ? record.value->size() : 0) +
         record.headers_section.size();
}

}  // namespace

Result<UnpackedUnit> unpack(const sluice_append& request, uint64_t largest_message) {
  UnpackedUnit unit;
  unit.batches.reserve(request.batch_count);
  for (uint32_t i = 0; i < request.batch_count; ++i) {
    const auto batch = records::single_batch({request.batches[i].data, request.batches[i].size});
    if (!batch) return fail(invalid(i, records::batch_error_name(batch.error())));
    if (batch->is_control()) return fail(invalid(i, "control records belong to the other side"));
    if (batch->is_transactional()) return fail(invalid(i, "there are no transactions into a native topic"));
    UnpackedBatch unpacked{*batch, {}, {}};
    auto section = records::uncompressed_records(*batch, kMaxUnpackedBytes - unit.bytes, unpacked.scratch);
    if (!section) {
      if (section.error().code() == StatusCode::too_large) return fail(section.error());
      return fail(invalid(i, section.error().text()));
    }
    unpacked.section = *section;
    if (unpacked.section.size() > kMaxUnpackedBytes - unit.bytes) {
      return fail(StatusCode::too_large, fmt::format("above {} bytes, unpacked", kMaxUnpackedBytes));
    }
    records::RecordIterator records(unpacked.section, *batch);
    for (records::RecordView record; records.next(record);) {
      ++unit.records;
      if (size_of(record) + records::kBatchHeaderBytes > largest_message) {
        return fail(StatusCode::too_large, fmt::format("a record of {} bytes; the cluster takes batches of {}",
                                                       size_of(record), largest_message));
      }
    }
    if (records.damaged()) return fail(invalid(i, "its records are damaged"));
    unit.bytes += unpacked.section.size();
    unit.batches.push_back(std::move(unpacked));
  }
  return unit;
}

}  // namespace sluice::native
