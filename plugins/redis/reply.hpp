// SPDX-License-Identifier: Apache-2.0
// A reply as hiredis parsed it, owned, and views into it. A view lives as long as its reply. Nothing here throws or
// trusts a type that was not asked for: what is missing or of another type reads as empty.
#pragma once

#include <hiredis/hiredis.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <string_view>

#include "base/bytes.hpp"

namespace sluice::redis {

struct FreeReply {
  void operator()(redisReply* reply) const { freeReplyObject(reply); }
};
using Reply = std::unique_ptr<redisReply, FreeReply>;

/// A reply or an element of one. Copied freely.
class ReplyView {
 public:
  ReplyView() = default;
  ReplyView(const redisReply* reply) : reply_(reply) {}   // NOLINT(google-explicit-constructor): a view of it
  ReplyView(const Reply& reply) : reply_(reply.get()) {}  // NOLINT(google-explicit-constructor)

  bool is_nil() const { return reply_ == nullptr || reply_->type == REDIS_REPLY_NIL; }
  bool is_error() const { return reply_ != nullptr && reply_->type == REDIS_REPLY_ERROR; }
  bool is_array() const { return reply_ != nullptr && reply_->type == REDIS_REPLY_ARRAY; }
  bool is_integer() const { return reply_ != nullptr && reply_->type == REDIS_REPLY_INTEGER; }
  /// Of a string or a status.
  bool is_text() const {
    return reply_ != nullptr && (reply_->type == REDIS_REPLY_STRING || reply_->type == REDIS_REPLY_STATUS);
  }

  /// Of a string, a status or an error; else empty.
  std::string_view text() const {
    return is_text() || is_error() ? std::string_view(reply_->str, reply_->len) : std::string_view();
  }
  Bytes bytes() const { return as_bytes(text()); }
  int64_t integer() const { return is_integer() ? reply_->integer : 0; }
  size_t size() const { return is_array() ? reply_->elements : 0; }
  ReplyView operator[](size_t index) const { return index < size() ? ReplyView(reply_->element[index]) : ReplyView(); }

 private:
  const redisReply* reply_ = nullptr;
};

}  // namespace sluice::redis
