// SPDX-License-Identifier: Apache-2.0
// A message of cnats with an owner. Reading headers parses them in place once: one thread at a time until then.
#pragma once

#include <nats/nats.h>

#include <cstdlib>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/bytes.hpp"

namespace sluice::jetstream {

class Message {
 public:
  Message() = default;
  explicit Message(natsMsg* message) : message_(message, &natsMsg_Destroy) {}

  explicit operator bool() const { return message_ != nullptr; }
  Bytes payload() const {
    return {reinterpret_cast<const uint8_t*>(natsMsg_GetData(message_.get())),
            static_cast<size_t>(natsMsg_GetDataLength(message_.get()))};
  }
  /// The one that it was published to, or an answer's.
  std::string_view subject() const { return natsMsg_GetSubject(message_.get()); }
  /// Empty when absent.
  std::string_view header(const char* name) const {
    const char* value = nullptr;
    return natsMsgHeader_Get(message_.get(), name, &value) == NATS_OK && value != nullptr ? value : std::string_view();
  }
  /// The last one of that name: where others may have written one too, what the server added to it.
  std::string_view last_header(const char* name) const {
    const char** values = nullptr;
    int count = 0;
    if (natsMsgHeader_Values(message_.get(), name, &values, &count) != NATS_OK) return {};
    const std::string_view last = count > 0 && values[count - 1] != nullptr ? values[count - 1] : "";
    std::free(values);
    return last;
  }
  /// All of them, sorted by name; several of one name in their order. False: they cannot be read.
  bool headers(std::vector<std::pair<std::string, std::string>>& all) const;
  /// Nobody listens on the subject that was published to: nothing was stored anywhere.
  bool no_responders() const { return natsMsg_IsNoResponders(message_.get()); }
  /// What keeps the payload alive.
  std::shared_ptr<const void> owner() const { return message_; }

 private:
  std::shared_ptr<natsMsg> message_;
};

}  // namespace sluice::jetstream
