// SPDX-License-Identifier: Apache-2.0
// One or more commands as the server reads them, sent together. Small arguments are copied into one text, large ones
// are lent: their bytes must stay until the commands are sent. One thread at a time.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/bytes.hpp"
#include "redis/reply.hpp"

namespace sluice::redis {

class Command {
 public:
  /// Payloads up to this size are copied; beyond, a piece of its own is cheaper.
  static constexpr size_t kCopiedBytes = 2048;

  Command() = default;
  /// One command of texts.
  Command(std::initializer_list<std::string_view> arguments);

  /// Begins the next command, of `arguments` arguments, its name included: as many add() or lend() follow.
  Command& begin(size_t arguments);
  Command& add(std::string_view argument);
  Command& add(int64_t number);
  Command& lend(Bytes argument);

  /// The same with ASKING before each command: for a node that a slot is moving to.
  Command asking() const;
  /// Takes the replies to ASKING out of those to asking().
  static void drop_asking(std::vector<Reply>& replies);

  /// How many replies come.
  uint32_t count() const { return count_; }
  bool empty() const { return count_ == 0; }
  uint64_t bytes() const { return bytes_; }

  /// What is to be sent, piece by piece.
  size_t pieces() const { return 2 * lent_.size() + 1; }
  Bytes piece(size_t index) const;

 private:
  size_t skip_command(size_t at, size_t& lent) const;

  struct Lent {
    size_t at;  // in text_: what of it goes before
    Bytes bytes;
  };
  std::string text_;
  std::vector<Lent> lent_;
  uint64_t bytes_ = 0;
  uint32_t count_ = 0;
};

}  // namespace sluice::redis
