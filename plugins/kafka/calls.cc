// SPDX-License-Identifier: Apache-2.0
#include "kafka/calls.hpp"

#include <chrono>
#include <vector>

#include "base/thread.hpp"
#include "kafka/worker.hpp"

namespace sluice::kafka {
namespace {

std::chrono::steady_clock::time_point at(int64_t monotonic_ns) {
  return std::chrono::steady_clock::time_point(std::chrono::nanoseconds(monotonic_ns));
}

}  // namespace

Ticket::Ticket(Calls& calls, plugin::Pending pending, CallKind kind)
    : calls_(calls), deadline_ns_(pending.deadline_ns()), kind_(kind), pending_(std::move(pending)) {}

void Ticket::ended() {
  calls_.remove(*this);
}

Calls::~Calls() {
  {
    const std::lock_guard lock(mutex_);
    ending_ = true;
    changed_.notify_all();
  }
  if (thread_.joinable()) thread_.join();
}

TicketPtr Calls::open(plugin::Call& call, CallKind kind) {
  const std::lock_guard lock(mutex_);
  if (!admitted_) return nullptr;
  if (!thread_.joinable()) thread_ = start_thread("kafka-deadlines", [this] { run(); });
  auto ticket = std::make_shared<Ticket>(*this, call.defer(), kind);
  ticket->place_ = open_.emplace(ticket->deadline_ns_, ticket);
  ticket->placed_ = true;
  if (ticket->place_ == open_.begin()) changed_.notify_all();
  return ticket;
}

void Calls::remove(Ticket& ticket) {
  TicketPtr held;  // the last reference may be the one in the map
  const std::lock_guard lock(mutex_);
  if (!std::exchange(ticket.placed_, false)) return;
  held = std::move(ticket.place_->second);
  open_.erase(ticket.place_);
  if (open_.empty()) none_.notify_all();
}

void Calls::admit(bool yes) {
  const std::lock_guard lock(mutex_);
  admitted_ = yes;
}

Status Calls::late(CallKind kind, const char* why) {
  return Status(kind == CallKind::question ? StatusCode::unavailable : StatusCode::unknown, why);
}

void Calls::end_all(bool appends) {
  std::vector<TicketPtr> all;
  {
    const std::lock_guard lock(mutex_);
    for (const auto& [deadline_ns, ticket] : open_) {
      if (appends || ticket->kind_ != CallKind::append) all.push_back(ticket);
    }
  }
  for (const TicketPtr& ticket : all) ticket->answer(late(ticket->kind_, "the storage stops"));
}

bool Calls::wait_for_none(int64_t deadline_ns) {
  std::unique_lock lock(mutex_);
  return none_.wait_until(lock, at(deadline_ns), [this] { return open_.empty(); });
}

size_t Calls::open_count() {
  const std::lock_guard lock(mutex_);
  return open_.size();
}

void Calls::run() {
  std::vector<TicketPtr> over;
  std::unique_lock lock(mutex_);
  while (!ending_) {
    if (open_.empty()) {
      changed_.wait(lock);
      continue;
    }
    const int64_t due_ns = open_.begin()->first;
    if (due_ns > now_ns()) {
      changed_.wait_until(lock, at(due_ns));
      continue;
    }
    for (auto it = open_.begin(); it != open_.end() && it->first <= due_ns; ++it) over.push_back(it->second);
    lock.unlock();
    for (const TicketPtr& ticket : over) ticket->answer(late(ticket->kind_, "the cluster did not answer in time"));
    over.clear();
    lock.lock();
  }
}

}  // namespace sluice::kafka
