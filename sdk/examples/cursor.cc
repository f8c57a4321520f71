// SPDX-License-Identifier: Apache-2.0
// A place in many shards as a text: made, read, compared, merged, and refused when it is damaged.
#include "sluice/cursor.hpp"

#include <cstdio>
#include <string>

int main() {
  sluice::Cursor first;
  if (!first.set("orders/0", 41) || !first.set("orders/1", 7)) return 1;
  sluice::Cursor second = first;
  if (!second.advance("orders/1", 9) || !second.set("payments/0", 3)) return 1;
  if (second.advance("orders/1", 8)) return 1;  // never back

  const std::string text = second.encode();
  std::printf("%s\n", text.c_str());
  const auto back = sluice::Cursor::decode(text);
  if (!back || !(*back == second)) return 1;
  for (size_t i = 0; i < back->size(); ++i) {
    const auto entry = back->at(i);
    std::printf("%.*s goes on at %lld\n", static_cast<int>(entry.id.size()), entry.id.data(),
                static_cast<long long>(entry.next));
  }
  if (sluice::Cursor::compare(first, second) != sluice::CursorOrder::before) return 1;
  if (!(sluice::Cursor::greatest(first, second) == second)) return 1;

  std::string damaged = text;
  damaged[8] ^= 1;
  const auto refused = sluice::Cursor::decode(damaged);
  std::printf("damaged: %s\n", refused ? "accepted?" : refused.error().describe().c_str());
  return refused ? 1 : 0;
}
