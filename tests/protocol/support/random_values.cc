// SPDX-License-Identifier: Apache-2.0
#include "random_values.hpp"

#include <memory>

#include "message_cases.hpp"

namespace sluice::protocol::cases {

std::string RandomValues::text() {
  std::string text(one_in(40) ? 4000 : bits() % (one_in(4) ? 300 : 12), '\0');
  for (char& c : text) c = static_cast<char>(bits());
  return text;
}

void fill(RandomValues& random, RecordsOut& out, bool nullable) {
  out = {};
  if (nullable && random.one_in(4)) {
    out.is_null = true;
    return;
  }
  auto kept = std::make_shared<std::vector<std::string>>();
  for (uint64_t count = random.bits() % 4; count != 0; --count) {
    kept->push_back(random.text());
    if (random.one_in(2)) kept->back().resize(1024 + random.bits() % 3000, 'r');
  }
  for (const std::string& slice : *kept) out.slices.push_back(Bytes(std::string_view(slice)));
  out.keep_alive = std::move(kept);
}

const MessageCase* find_message_case(std::string_view name) {
  for (const MessageCase& message : message_cases()) {
    if (message.name == name) return &message;
  }
  return nullptr;
}

}  // namespace sluice::protocol::cases
