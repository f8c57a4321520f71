// SPDX-License-Identifier: Apache-2.0
#include "net/cold_reads.hpp"

#include <unistd.h>

#include <cerrno>
#include <utility>

#include "base/thread.hpp"

namespace sluice::net {

namespace {

ColdRead read_whole(int fd, uint64_t position, size_t length) {
  ColdRead result{Buffer(length)};
  size_t have = 0;
  while (have < length) {
    const ssize_t n = ::pread(fd, result.bytes.data() + have, length - have, static_cast<off_t>(position + have));
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return {.bytes = {}, .error = errno};
    if (n == 0) break;
    have += static_cast<size_t>(n);
  }
  result.bytes.resize(have);
  return result;
}

}  // namespace

void ColdReads::read(int fd, uint64_t position, size_t length, Executor& executor,
                     UniqueFunction<void(ColdRead)> done) {
  const std::lock_guard lock(mutex_);
  if (stopped_) return;
  orders_.push_back({fd, position, length, &executor, std::move(done)});
  if (idle_ < orders_.size() && threads_.size() < kMaxThreads) threads_.push_back(start_thread("cold-read", [this] { run(); }));
  changed_.notify_one();
}

void ColdReads::stop() {
  std::deque<Order> dropped;
  std::vector<std::thread> threads;
  {
    const std::lock_guard lock(mutex_);
    stopped_ = true;
    dropped.swap(orders_);
    threads.swap(threads_);
  }
  changed_.notify_all();
  for (auto& thread : threads) thread.join();
}

void ColdReads::run() {
  std::unique_lock lock(mutex_);
  for (;;) {
    ++idle_;
    changed_.wait(lock, [&] { return stopped_ || !orders_.empty(); });
    --idle_;
    if (orders_.empty()) return;
    Order order = std::move(orders_.front());
    orders_.pop_front();
    lock.unlock();
    ColdRead result = read_whole(order.fd, order.position, order.length);
    order.executor->post([done = std::move(order.done), r = std::move(result)]() mutable { done(std::move(r)); });
    lock.lock();
  }
}

}  // namespace sluice::net
