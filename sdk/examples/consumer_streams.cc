// SPDX-License-Identifier: Apache-2.0
// The same records three ways: pushed to a callback, awaited by a coroutine, iterated over.
#include <cstdio>
#include <exception>
#include <future>
#include <memory>

#include "sluice/consumer_stream.hpp"
#include "sluice/memory_source.hpp"

namespace {

// The least coroutine there is; any library's task will do.
struct Detached {
  struct promise_type {
    Detached get_return_object() { return {}; }
    std::suspend_never initial_suspend() noexcept { return {}; }
    std::suspend_never final_suspend() noexcept { return {}; }
    void return_void() {}
    void unhandled_exception() { std::terminate(); }
  };
};

Detached count(sluice::AsyncPoller& poller, std::promise<int>& counted) {
  int records = 0;
  for (bool done = false; !done;) {
    auto response = co_await poller.poll();
    if (!response) break;
    records += static_cast<int>(response->records.size());
    done = response->done;
  }
  counted.set_value(records);
}

}  // namespace

int main() {
  auto shard = std::make_shared<sluice::MemorySource>("shard");
  for (int i = 0; i < 100; ++i) {
    if (!shard->append(sluice::Record())) return 1;
  }
  shard->seal();
  auto consumer = sluice::MergingConsumer::create({}, {shard});
  if (!consumer) return 1;

  int iterated = 0;
  sluice::MergedRecords records(**consumer);
  for (const sluice::MergedRecord& each : records) iterated += each->position >= 0 ? 1 : 0;
  if (!records.status()) return 1;

  int pushed = 0;
  if (!(*consumer)->seek(sluice::Place::start())) return 1;
  std::promise<void> over;
  {
    sluice::Subscription subscription(**consumer, {}, [&](sluice::Result<sluice::Response> response) {
      if (response) pushed += static_cast<int>(response->records.size());
      if (!response || response->done) over.set_value();
      return true;
    });
    over.get_future().wait();
  }

  if (!(*consumer)->seek(sluice::Place::start())) return 1;
  std::promise<int> counted;
  sluice::AsyncPoller poller(**consumer);
  count(poller, counted);
  const int awaited = counted.get_future().get();

  std::printf("%d iterated, %d pushed, %d awaited\n", iterated, pushed, awaited);
  return iterated == 100 && pushed == 100 && awaited == 100 ? 0 : 1;
}
