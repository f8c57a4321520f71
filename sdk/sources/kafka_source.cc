// SPDX-License-Identifier: Apache-2.0
#include "sluice/kafka_source.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <future>
#include <utility>

#include "rdkafka/errors.hpp"
#include "sources/kafka_client.hpp"
#include "sources/kafka_partition.hpp"
#include "sources/settings.hpp"

namespace sluice {
namespace {

using sources::KafkaPartition;
using sources::KafkaReader;

Status wrong(std::string_view field, std::string_view why) {
  return Status(StatusCode::invalid, fmt::format("{}: {}", field, why));
}

class KafkaSource final : public Source {
 public:
  KafkaSource(std::string id, std::shared_ptr<KafkaPartition> partition)
      : id_(std::move(id)), partition_(std::move(partition)) {}
  ~KafkaSource() override { partition_->close(); }

  const std::string& id() const override { return id_; }
  // A callback may destroy this, and what it refers to goes on.
  void read(const PageRequest& request, PageCallback done) override {
    const auto keep = partition_;
    keep->read(request, std::move(done));
  }
  void bounds(BoundsCallback done) override { partition_->bounds(std::move(done)); }
  void locate(int64_t timestamp_ns, PositionCallback done) override {
    partition_->locate(timestamp_ns, std::move(done));
  }
  void wake() override {
    const auto keep = partition_;
    keep->wake();
  }

 private:
  const std::string id_;
  const std::shared_ptr<KafkaPartition> partition_;
};

}  // namespace

struct KafkaCluster::Impl {
  KafkaClusterSettings settings;
  std::shared_ptr<sources::KafkaThreads> threads = sources::KafkaThreads::make();
  std::mutex mutex;
  std::vector<std::shared_ptr<KafkaReader>> readers;      // guarded by mutex; one partition once in each
  std::vector<std::weak_ptr<KafkaPartition>> partitions;  // guarded by mutex

  Result<std::shared_ptr<KafkaReader>> reader_for(const std::string& topic, int32_t partition);
};

Result<std::shared_ptr<KafkaCluster>> KafkaCluster::make(KafkaClusterSettings settings) {
  if (Status bad = sources::check(settings); !bad.ok()) return fail(std::move(bad));
  auto reader = KafkaReader::make(settings);
  if (!reader) return fail(reader.error());
  auto impl = std::make_shared<Impl>();
  impl->settings = std::move(settings);
  impl->readers.push_back(std::move(*reader));
  return std::shared_ptr<KafkaCluster>(new KafkaCluster(std::move(impl)));
}

KafkaCluster::KafkaCluster(std::shared_ptr<Impl> impl) : impl_(std::move(impl)) {}

KafkaCluster::~KafkaCluster() {
  std::vector<std::weak_ptr<KafkaPartition>> partitions;
  {
    const std::lock_guard lock(impl_->mutex);
    partitions.swap(impl_->partitions);
  }
  for (const auto& each : partitions) {
    if (const auto partition = each.lock()) partition->close();
  }
}

/// With the mutex held. A client of librdkafka reads a partition at one place at a time.
Result<std::shared_ptr<KafkaReader>> KafkaCluster::Impl::reader_for(const std::string& topic, int32_t partition) {
  std::erase_if(partitions, [](const auto& each) {
    const auto alive = each.lock();
    return !alive || alive->closed();
  });
  for (const auto& reader : readers) {
    const bool taken = std::any_of(partitions.begin(), partitions.end(), [&](const auto& each) {
      const auto alive = each.lock();
      return alive && alive->reader() == reader.get() && alive->partition() == partition && alive->topic() == topic;
    });
    if (!taken) return reader;
  }
  if (readers.size() >= kMaxReadersOfOnePartition) {
    return fail(StatusCode::busy, fmt::format("{}/{} has {} readers", topic, partition, readers.size()));
  }
  auto reader = KafkaReader::make(settings);
  if (reader) readers.push_back(*reader);
  return reader;
}

Result<std::unique_ptr<Source>> KafkaCluster::source(const std::string& topic, int32_t partition) {
  if (Status bad = sources::check_topic(topic); !bad.ok()) return fail(std::move(bad));
  if (partition < 0) return fail(wrong("partition", "must be from 0 on"));
  const std::lock_guard lock(impl_->mutex);
  auto reader = impl_->reader_for(topic, partition);
  if (!reader) return fail(reader.error());
  auto made = std::make_shared<KafkaPartition>(impl_->threads, std::move(*reader), impl_->settings, topic, partition);
  impl_->partitions.push_back(made);
  return std::make_unique<KafkaSource>(fmt::format("{}:{}/{}", impl_->settings.name, topic, partition),
                                       std::move(made));
}

void KafkaCluster::count_partitions(const std::string& topic, CountCallback done) {
  if (Status bad = sources::check_topic(topic); !bad.ok()) return done(fail(std::move(bad)));
  std::shared_ptr<KafkaReader> reader;
  {
    const std::lock_guard lock(impl_->mutex);
    reader = impl_->readers.front();
  }
  impl_->threads->asking().post(
      [reader = std::move(reader), topic, timeout_ms = impl_->settings.request_timeout_ms,
       done = std::move(done)]() mutable { done(reader->count_partitions(topic, timeout_ms)); });
}

Result<std::vector<std::unique_ptr<Source>>> KafkaCluster::sources(const std::string& topic) {
  if (impl_->threads->is_current()) {
    return fail(StatusCode::invalid, "sources() waits, and must not be called inside a callback");
  }
  auto promise = std::make_shared<std::promise<Result<int32_t>>>();
  std::future<Result<int32_t>> future = promise->get_future();
  count_partitions(topic, [promise](Result<int32_t> count) { promise->set_value(std::move(count)); });
  const Result<int32_t> count = future.get();
  if (!count) return fail(count.error());
  std::vector<std::unique_ptr<Source>> all;
  for (int32_t i = 0; i < *count; ++i) {
    auto one = source(topic, i);
    if (!one) return fail(one.error());
    all.push_back(std::move(*one));
  }
  return all;
}

}  // namespace sluice
