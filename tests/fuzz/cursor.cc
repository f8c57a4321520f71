// SPDX-License-Identifier: Apache-2.0
// Arbitrary text, and arbitrary bytes made into a text with a right checksum, into the cursor's decoder. What it takes
// must come back as the very same text, and obey the limits.
#include "sluice/cursor.hpp"

#include <cstdint>
#include <cstdlib>
#include <string>
#include <vector>

#include "base/bytes.hpp"
#include "base/crc32c.hpp"
#include "consumer/base64url.hpp"
#include "sluice/source.hpp"

namespace sluice {
namespace {

void require(bool promise) {
  if (!promise) std::abort();
}

void decode(const std::string& text) {
  const auto cursor = Cursor::decode(text);
  if (!cursor) {
    require(cursor.error().native_code() >= 0 && static_cast<size_t>(cursor.error().native_code()) <= text.size());
    require(!cursor.error().text().empty());
    return;
  }
  require(cursor->size() <= kMaxCursorShards);
  require(cursor->encode() == text);
  for (size_t i = 0; i < cursor->size(); ++i) {
    const Cursor::Entry entry = cursor->at(i);
    require(entry.next >= 0 && !entry.id.empty() && entry.id.size() <= kMaxSourceIdBytes);
    require(i == 0 || cursor->at(i - 1).id < entry.id);
    require(cursor->next(entry.id) == entry.next);
  }
  // The same entries, set one by one in the other direction, are the same cursor.
  Cursor again;
  for (size_t i = cursor->size(); i-- > 0;) require(again.set(cursor->at(i).id, cursor->at(i).next).ok());
  require(again == *cursor && again.encode() == text);
}

}  // namespace
}  // namespace sluice

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace sluice;
  decode(std::string(reinterpret_cast<const char*>(data), size));
  std::string text = "slc1.";
  std::vector<uint8_t> bytes(data, data + size);
  const uint32_t checksum = crc32c_extend(crc32c(as_bytes(text)), bytes);
  for (int i = 0; i < 4; ++i) bytes.push_back(static_cast<uint8_t>(checksum >> (8 * i)));
  consumer::base64url_append(bytes, text);
  decode(text);
  return 0;
}
