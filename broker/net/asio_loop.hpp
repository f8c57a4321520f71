// SPDX-License-Identifier: Apache-2.0
// A sluice::Loop on one thread of Asio. For sources of this folder alone: it brings Asio with it.
#pragma once

#include <atomic>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <cstdint>
#include <limits>
#include <string>
#include <thread>

#include "base/loop.hpp"
#include "net/timer_queue.hpp"

namespace sluice::net {

class AsioLoop final : public Loop {
 public:
  /// Starts the thread.
  explicit AsioLoop(const std::string& thread_name);
  ~AsioLoop() override;

  void post(Job job) override;
  TimerId call_after(int64_t delay_ms, Job job) override;
  bool cancel(TimerId id) override;
  bool is_current() const override;
  int64_t now_ms() const override;

  /// Ends the thread. Not from the loop itself.
  void stop();

  boost::asio::io_context& context() { return context_; }

 private:
  void run();
  void arm();
  void run_due();

  boost::asio::io_context context_{1};
  boost::asio::executor_work_guard<boost::asio::io_context::executor_type> work_{context_.get_executor()};
  std::atomic<bool> stopped_{false};
  // The loop's thread only:
  TimerQueue timers_;
  boost::asio::steady_timer alarm_{context_};
  int64_t alarm_ms_ = std::numeric_limits<int64_t>::max();  // when alarm_ goes off
  std::thread thread_;
};

}  // namespace sluice::net
