// SPDX-License-Identifier: Apache-2.0
// A message as it came from the server: views into the memory that it arrived in, which it keeps.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string_view>
#include <utility>
#include <vector>

#include "base/bytes.hpp"

namespace sluice::jetstream {

/// Names and values in their order, in somebody else's memory.
using HeaderViews = std::vector<std::pair<std::string_view, std::string_view>>;

/// Adds the lines of a block "NATS/1.0\r\nName: value\r\n...\r\n". What is no header is passed over.
void read_headers(std::string_view block, HeaderViews& headers);
/// The value of the first of that name; nothing: there is none.
std::optional<std::string_view> find_header(std::string_view block, std::string_view name);

class Message {
 public:
  struct Parts {
    std::string_view subject;  // the one that it was published to, or an answer's
    std::string_view reply;    // where an acknowledgement would go; empty: none is wanted
    std::string_view headers;  // the block of them; empty: there are none
    Bytes payload;
  };

  Message() = default;
  /// All parts lie in `whole`, which `owner` keeps. `shared`: with messages beside it, for as long as this thread has
  /// it.
  Message(std::shared_ptr<const uint8_t[]> owner, Bytes whole, Parts parts, bool shared)
      : owner_(std::move(owner)), whole_(whole), parts_(parts), shared_(shared) {}

  explicit operator bool() const { return owner_ != nullptr; }
  const Bytes& payload() const { return parts_.payload; }
  std::string_view subject() const { return parts_.subject; }
  std::string_view reply() const { return parts_.reply; }
  std::string_view headers() const { return parts_.headers; }
  /// The first one of that name; empty when absent.
  std::string_view header(std::string_view name) const { return find_header(parts_.headers, name).value_or(""); }
  /// The last one: where others may have written one too, what the server added to it.
  std::string_view last_header(std::string_view name) const;
  /// What a server says in place of a message, as "404 No Messages"; empty: it is a message.
  std::string_view status() const;
  /// Nobody listens on the subject that was published to: nothing was stored anywhere.
  bool no_responders() const { return parts_.payload.empty() && status().starts_with("503"); }

  /// The same in memory that nothing else lies in: for whoever keeps it, or takes it to another thread.
  Message alone() const;
  /// What keeps the payload alive.
  std::shared_ptr<const void> owner() const { return owner_; }

 private:
  std::shared_ptr<const uint8_t[]> owner_;
  Bytes whole_;
  Parts parts_;
  bool shared_ = false;
};

}  // namespace sluice::jetstream
