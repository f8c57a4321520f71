// SPDX-License-Identifier: Apache-2.0
#include "limiter/redis_link.hpp"

#include <fmt/format.h>
#include <hiredis/hiredis.h>
#include <poll.h>

#include <algorithm>
#include <cerrno>
#include <chrono>

namespace sluice::limiter {
namespace {

constexpr int64_t kNanosPerMs = 1'000'000;
constexpr int64_t kNanosPerMicro = 1'000;

timeval left_until(int64_t deadline_ns) {
  const int64_t micros = std::max<int64_t>(1, (deadline_ns - steady_now_ns()) / kNanosPerMicro);
  timeval left{};
  left.tv_sec = micros / 1'000'000;
  left.tv_usec = micros % 1'000'000;
  return left;
}

}  // namespace

int64_t steady_now_ns() {
  const auto now = std::chrono::steady_clock::now().time_since_epoch();
  return std::chrono::duration_cast<std::chrono::nanoseconds>(now).count();
}

void FreeContext::operator()(redisContext* context) const {
  redisFree(context);
}
void FreeReply::operator()(redisReply* reply) const {
  freeReplyObject(reply);
}

Status RedisLink::lost(std::string_view what) {
  const std::string why = context_ != nullptr && context_->err != 0 ? context_->errstr : "no answer in time";
  context_.reset();
  return Status(StatusCode::unavailable, fmt::format("{} {}:{}: {}", what, host_, port_, why));
}

bool RedisLink::stale() const {
  pollfd ready{context_->fd, POLLIN, 0};
  return ::poll(&ready, 1, 0) != 0;
}

Status RedisLink::connect(int64_t deadline_ns) {
  context_.reset(redisConnectWithTimeout(host_.c_str(), port_, left_until(deadline_ns)));
  if (context_ == nullptr || context_->err != 0) return lost("cannot connect to");
  return {};
}

Status RedisLink::wait(short events, int64_t deadline_ns) {
  for (;;) {
    const int64_t left_ns = deadline_ns - steady_now_ns();
    if (left_ns <= 0) return lost("waited for");
    pollfd ready{context_->fd, events, 0};
    const int count = ::poll(&ready, 1, static_cast<int>((left_ns + kNanosPerMs - 1) / kNanosPerMs));
    if (count > 0) return {};
    if (count < 0 && errno != EINTR) return lost("cannot wait for");
  }
}

Result<Reply> RedisLink::call(const std::vector<std::string_view>& words, int64_t deadline_ns) {
  std::vector<const char*> texts;
  std::vector<size_t> sizes;
  for (const std::string_view word : words) {
    texts.push_back(word.data());
    sizes.push_back(word.size());
  }
  const int count = static_cast<int>(words.size());
  if (redisAppendCommandArgv(context_.get(), count, texts.data(), sizes.data()) != REDIS_OK)
    return fail(lost("cannot call"));
  // The socket blocks: no write longer than what is left.
  if (redisSetTimeout(context_.get(), left_until(deadline_ns)) != REDIS_OK) return fail(lost("cannot call"));
  for (int done = 0; done == 0;) {
    if (Status status = wait(POLLOUT, deadline_ns); !status) return fail(std::move(status));
    if (redisBufferWrite(context_.get(), &done) != REDIS_OK) return fail(lost("cannot write to"));
  }
  for (;;) {
    void* reply = nullptr;
    if (redisGetReplyFromReader(context_.get(), &reply) != REDIS_OK) return fail(lost("cannot read from"));
    if (reply != nullptr) return Reply(static_cast<redisReply*>(reply));
    if (Status status = wait(POLLIN, deadline_ns); !status) return fail(std::move(status));
    if (redisBufferRead(context_.get()) != REDIS_OK) return fail(lost("cannot read from"));
  }
}

}  // namespace sluice::limiter
