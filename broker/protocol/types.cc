// SPDX-License-Identifier: Apache-2.0
#include "protocol/types.hpp"

#include <algorithm>
#include <cstring>
#include <functional>

namespace sluice::protocol {

bool operator==(const RecordsOut& a, const RecordsOut& b) {
  if (!a.files.empty() || !b.files.empty()) return &a == &b;
  if (a.is_null != b.is_null || a.size_bytes() != b.size_bytes()) return false;
  size_t slice = 0;
  size_t used = 0;
  for (auto rest : a.slices) {
    while (!rest.empty()) {
      while (used == b.slices[slice].size()) {
        ++slice;
        used = 0;
      }
      const size_t count = std::min(rest.size(), b.slices[slice].size() - used);
      if (std::memcmp(rest.data(), b.slices[slice].data() + used, count) != 0) return false;
      rest = rest.subspan(count);
      used += count;
    }
  }
  return true;
}

std::span<std::byte> mutable_view(std::span<std::byte> frame, std::span<const std::byte> view) {
  const std::less_equal<const std::byte*> not_after;
  const std::byte* begin = frame.data();
  if (!not_after(begin, view.data()) || !not_after(view.data() + view.size(), begin + frame.size())) return {};
  return frame.subspan(static_cast<size_t>(view.data() - begin), view.size());
}

}  // namespace sluice::protocol
