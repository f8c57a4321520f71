// SPDX-License-Identifier: Apache-2.0
// Feeds arbitrary bytes to the reader of checkpoint files, as they are and with right checksums so that mutations get
// past them. What is read must be written and read again as the same.
#include <cstdint>
#include <cstdlib>

#include "base/crc32c.hpp"
#include "checkpoint/files.hpp"
#include "checkpoint/format.hpp"

namespace sluice::checkpoint {
namespace {

void require(bool promise) {
  if (!promise) std::abort();
}

void read(Bytes file) {
  const Result<Checkpoint> found = decode(file);
  if (!found) {
    const StatusCode code = found.error().code();
    require(code == StatusCode::corrupt || code == StatusCode::unsupported);
    return;
  }
  require(check(found->group, found->cursor, found->metadata).ok());
  require(as_text(encode(*found)) == as_text(file));
  require(group_of(directory_name(found->group)) == found->group);
}

void mend(Buffer& file) {
  if (file.size() < kHeaderBytes + kTrailerBytes) return;
  const size_t body_bytes = file.size() - kHeaderBytes - kTrailerBytes;
  std::memcpy(file.data(), kMagic.data(), kMagic.size());
  store_be(file.data() + kVersionAt, kVersion);
  store_be(file.data() + kBodySizeAt, static_cast<uint32_t>(body_bytes));
  store_be(file.data() + kHeaderCrcAt, crc32c(file.view().first(kHeaderCrcAt)));
  store_be(file.data() + kHeaderBytes + body_bytes, crc32c(file.view().subspan(kHeaderBytes, body_bytes)));
}

}  // namespace
}  // namespace sluice::checkpoint

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace sluice::checkpoint;
  const sluice::Bytes input(data, size);
  read(input);
  sluice::Buffer mended = sluice::Buffer::copy_of(input);
  mend(mended);
  read(mended);
  const std::string_view name = sluice::as_text(input);
  if (const auto id = id_of(name)) require(file_name(*id) == name);
  if (const auto group = group_of(name)) require(directory_name(*group) == name);
  return 0;
}
