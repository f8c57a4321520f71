// SPDX-License-Identifier: Apache-2.0
#include "jetstream/message.hpp"

#include <algorithm>

namespace sluice::jetstream {

bool Message::headers(std::vector<std::pair<std::string, std::string>>& all) const {
  const char** names = nullptr;
  int name_count = 0;
  const natsStatus status = natsMsgHeader_Keys(message_.get(), &names, &name_count);
  if (status == NATS_NOT_FOUND) return true;
  if (status != NATS_OK) return false;
  bool good = true;
  for (int i = 0; i < name_count && good; ++i) {
    const char** values = nullptr;
    int count = 0;
    good = natsMsgHeader_Values(message_.get(), names[i], &values, &count) == NATS_OK;
    for (int k = 0; good && k < count; ++k) all.emplace_back(names[i], values[k] != nullptr ? values[k] : "");
    if (good) std::free(values);
  }
  std::free(names);
  std::stable_sort(all.begin(), all.end(), [](const auto& a, const auto& b) { return a.first < b.first; });
  return good;
}

}  // namespace sluice::jetstream
