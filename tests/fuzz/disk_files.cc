// SPDX-License-Identifier: Apache-2.0
// Every kind of file that the disk adapter reads back, from bytes that anything may have written. Besides memory errors
// it looks for broken promises: what was read can be written and reads the same, and indexes rise.
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "disk/layout.hpp"

namespace sluice::disk {
namespace {

void require(bool promise) {
  if (!promise) std::abort();
}

void segment(Bytes input) {
  const auto header = decode_segment_header(input);
  const Commits commits = decode_commits(input, header ? header->nonce : 0);
  require(commits.newest.has_value() == !commits.boundaries.empty());
  for (size_t i = 1; i < commits.boundaries.size(); ++i) {
    require(commits.boundaries[i - 1].committed <= commits.boundaries[i].committed);
  }
}

void index(Bytes input) {
  const auto read = decode_index(input);
  if (!read) return;
  const Buffer written = encode_index(*read);
  const auto again = decode_index(written);
  require(again && again->entries == read->entries && again->covered == read->covered);
}

void log_file(Bytes input) {
  if (const auto descriptor = decode_descriptor(input)) {
    const auto written = encode_descriptor(*descriptor);
    require(decode_descriptor(Bytes(written.data(), written.size())).has_value());
  }
  static_cast<void>(decode_state(input));
}

}  // namespace
}  // namespace sluice::disk

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace sluice::disk;
  if (size == 0) return 0;
  const sluice::Bytes input(data + 1, size - 1);
  const std::string_view text(reinterpret_cast<const char*>(data) + 1, size - 1);
  switch (data[0] % 5) {
    case 0:
      segment(input);
      break;
    case 1:
      index(input);
      break;
    case 2:
      log_file(input);
      break;
    case 3:
      static_cast<void>(decode_value(input));
      static_cast<void>(parse_format(input));
      break;
    default:
      static_cast<void>(parse_log_directory_name(text));
      static_cast<void>(offset_of_name(text, kSegmentSuffix));
      static_cast<void>(unhex(text));
  }
  return 0;
}
