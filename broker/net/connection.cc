// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include "net/request.hpp"

namespace sluice::net {

CloseId Connection::on_close(Job job) {
  const CloseId id = next_close_id_++;
  on_close_.emplace_back(id, std::move(job));
  if (closed()) {
    loop_.post([self = shared_from_this()] { self->run_close_jobs(); });
  }
  return id;
}

bool Connection::forget(CloseId id) {
  const auto at =
      std::find_if(on_close_.begin(), on_close_.end(), [&](const auto& entry) { return entry.first == id; });
  if (at == on_close_.end()) return false;
  const Job job = std::move(at->second);  // destroyed last: it may own whoever calls back
  on_close_.erase(at);
  return true;
}

void Connection::mark_closed() {
  if (closed_.exchange(true, std::memory_order_acq_rel)) return;
  run_close_jobs();
}

void Connection::run_close_jobs() {
  while (!on_close_.empty()) {
    Job job = std::move(on_close_.front().second);
    on_close_.erase(on_close_.begin());
    job();
  }
}

}  // namespace sluice::net
