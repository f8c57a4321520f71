// SPDX-License-Identifier: Apache-2.0
// What the broker reads back from its own logs and from members of groups: metadata commands, records of the
// coordinator, snapshots of partitions, units, subscriptions. Storage can hand back anything, so nothing of it is
// believed. Besides memory errors it looks for broken promises: what was read can be written and reads the same, and a
// refused record changes nothing.
#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "base/crc32c.hpp"
#include "cluster/commands.hpp"
#include "cluster/state.hpp"
#include "group/durable_state.hpp"
#include "group/records.hpp"
#include "group/subscription.hpp"
#include "partition/state.hpp"
#include "records/batch.hpp"
#include "storage/unit.hpp"

namespace sluice {
namespace {

constexpr int32_t kMaxRecordBytes = 64 * 1024;

void require(bool promise) {
  if (!promise) std::abort();
}

/// Calls `visit` with each of the pieces that `input` is made of: two bytes of length and so many bytes.
template <class Visitor>
void each_piece(std::string_view input, Visitor&& visit) {
  while (input.size() >= 2) {
    const size_t wanted = static_cast<uint8_t>(input[0]) << 8 | static_cast<uint8_t>(input[1]);
    input.remove_prefix(2);
    visit(input.substr(0, wanted));
    input.remove_prefix(std::min(wanted, input.size()));
  }
}

void metadata(std::string_view input) {
  cluster::ClusterState state;
  int64_t offset = 0;
  each_piece(input, [&](std::string_view piece) {
    if (const auto command = cluster::decode(piece)) {
      const std::string written = cluster::encode(command->first, command->second);
      const auto again = cluster::decode(written);
      require(again && cluster::encode(again->first, again->second) == written);
    }
    static_cast<void>(state.apply(piece, offset++, 0));
  });
  // A snapshot makes the same state.
  cluster::ClusterState copy;
  for (const std::string& record : state.snapshot()) require(copy.apply(record, offset, 0).ok());
  require(copy.topics(true).size() == state.topics(true).size());
  require(copy.unfinished().size() == state.unfinished().size());
}

void coordinator(std::string_view input) {
  group::DurableState state;
  each_piece(input, [&](std::string_view piece) {
    const uint64_t before = state.offset_count();
    const auto record = group::decode(piece);
    if (record) {
      const std::string written = group::encode(*record);
      const auto again = group::decode(written);
      require(again && *again == *record);
    }
    const Status applied = state.apply(piece);
    require(applied.ok() == record.has_value());
    if (!applied) require(state.offset_count() == before);
  });
  group::DurableState copy;
  for (const std::string& record : state.snapshot(kMaxRecordBytes)) require(copy.apply(record).ok());
  require(copy.offset_count() == state.offset_count());
  require(copy.groups().size() == state.groups().size());
}

void snapshot_of_partition(std::string_view input) {
  // Behind the right checksum, too: as it comes, and with its last four bytes made right.
  const auto state = partition::decode_state(input);
  if (!state) return;
  const std::string written = partition::encode_state(*state);
  const auto again = partition::decode_state(written);
  require(again && partition::encode_state(*again) == written);
}

void unit(std::string_view input) {
  Buffer bytes = Buffer::copy_of(as_bytes(input));
  if (bytes.size() < records::kBatchHeaderBytes) return;
  namespace layout = records::layout;
  store_be(bytes.data() + layout::kBatchLength, static_cast<int32_t>(bytes.size() - records::kLengthPrefixBytes));
  store_be(bytes.data() + layout::kMagic, records::kMagic2);
  store_be(bytes.data() + layout::kCrc, crc32c(bytes.view().subspan(layout::kAttributes)));
  const auto batch = records::BatchView::parse(bytes);
  if (!batch) return;
  const auto read = storage::decode_unit(*batch);
  if (!read) return;
  for (const std::string_view record : read->records) {
    require(record.data() >= reinterpret_cast<const char*>(bytes.data()) &&
            record.data() + record.size() <= reinterpret_cast<const char*>(bytes.data()) + bytes.size());
  }
}

}  // namespace
}  // namespace sluice

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace sluice;
  if (size == 0) return 0;
  const std::string_view input(reinterpret_cast<const char*>(data) + 1, size - 1);
  switch (data[0] % 5) {
    case 0:
      metadata(input);
      break;
    case 1:
      coordinator(input);
      break;
    case 2:
      snapshot_of_partition(input);
      break;
    case 3:
      unit(input);
      break;
    default:
      static_cast<void>(group::subscribed_topics(input));
  }
  return 0;
}
