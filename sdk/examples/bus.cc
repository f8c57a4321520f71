// SPDX-License-Identifier: Apache-2.0
// An event bus with a sink that counts words of what it gets, a subscriber that reads the same events, and a shutdown
// that loses nothing.
#include "sluice/bus.hpp"

#include <cstdio>
#include <future>
#include <map>
#include <memory>
#include <mutex>
#include <string>

namespace {

/// Counts events by key. A sink answers each delivery through `done`, here at once.
class CountBy final : public sluice::Sink {
 public:
  void deliver(sluice::EventBatch batch, Delivered done) override {
    {
      const std::lock_guard lock(mutex_);
      batch.each([&](const sluice::Record& record) { ++counts_[std::string(sluice::as_text(*record.key))]; });
    }
    done(sluice::Delivery());
  }
  std::map<std::string, int> counts() const {
    const std::lock_guard lock(mutex_);
    return counts_;
  }

 private:
  mutable std::mutex mutex_;
  std::map<std::string, int> counts_;
};

int complain(const sluice::Status& status) {
  std::fprintf(stderr, "%s\n", status.describe().c_str());
  return 1;
}

}  // namespace

int main() {
  const auto sink = std::make_shared<CountBy>();
  sluice::BusOptions options;
  options.name = "visits";
  options.shards = 2;
  options.sink = sink;
  options.retain_events = 1'000;  // for subscribers
  auto created = sluice::Bus::create(std::move(options));
  if (!created) return complain(created.error());
  sluice::Bus& bus = **created;

  const char* users[] = {"ann", "bob", "cleo"};
  for (int i = 0; i < 300; ++i) {
    const std::string visit = R"({"page":)" + std::to_string(i) + "}";
    const sluice::Outcome outcome =
        bus.ingest({.key = sluice::as_bytes(users[i % 3]), .value = sluice::as_bytes(visit)});
    if (outcome != sluice::Outcome::queued) return complain(sluice::describe(outcome));
  }
  if (sluice::Status status = bus.flush(10'000); !status) return complain(status);
  for (const auto& [user, count] : sink->counts()) std::printf("%s: %d\n", user.c_str(), count);

  size_t read = 0;
  for (const uint64_t shard : bus.subscribable()) {
    auto source = bus.subscribe(shard);
    if (!source) return complain(source.error());
    std::promise<sluice::Result<sluice::Page>> page;
    (*source)->read({.from = 0}, [&](sluice::Result<sluice::Page> p) { page.set_value(std::move(p)); });
    const auto got = page.get_future().get();
    if (!got) return complain(got.error());
    read += got->records.size();
  }
  std::printf("subscribers read %zu\n", read);

  if (sluice::Status status = bus.shutdown(10'000); !status) return complain(status);
  const sluice::BusStats stats = bus.stats();
  std::printf("accepted %llu, delivered %llu, dropped %llu\n", static_cast<unsigned long long>(stats.accepted),
              static_cast<unsigned long long>(stats.delivered), static_cast<unsigned long long>(stats.dropped.all()));
  return read == 300 && stats.delivered == 300 && sink->counts().size() == 3 ? 0 : 1;
}
