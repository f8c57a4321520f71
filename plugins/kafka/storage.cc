// SPDX-License-Identifier: Apache-2.0
#include "kafka/storage.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <vector>

#include "plugin/lease.hpp"

namespace sluice::kafka {
namespace {

constexpr uint64_t kDefaultLargestMessage = 1'048'588;  // of a cluster that does not say: Kafka's default
constexpr uint64_t kPreferredUnitBytes = 2 << 20;       // several of librdkafka's requests, so that they overlap
constexpr uint32_t kAppendsInFlight = 4;                // so that librdkafka need not run dry in between
constexpr int64_t kPurgeNs = 1'000'000'000;             // of stop's time, for what is given up to come back

Status stopped() {
  return Status(StatusCode::unavailable, "the storage is not started");
}

/// The topic of the cluster that a log is; `adopted`: it was there before.
std::string native_name(const sluice_log_descriptor& descriptor, bool& adopted) {
  adopted = false;
  for (uint32_t i = 0; i < descriptor.setting_count; ++i) {
    if (std::string_view(descriptor.settings[i].name) != kNativeName) continue;
    adopted = true;
    return descriptor.settings[i].value;
  }
  return descriptor.topic;
}

}  // namespace

// ---- A handle

class Storage::Handle final : public plugin::LogAdapter {
 public:
  Handle(Storage& storage, PartitionPtr partition) : storage_(storage), partition_(std::move(partition)) {}
  ~Handle() override {
    for (const std::weak_ptr<Ticket>& watch : watches_) {
      if (const TicketPtr ticket = watch.lock()) ticket->answer(Status(StatusCode::unavailable, "the log was closed"));
    }
  }

  Status append(plugin::Call& call, const sluice_append& request, sluice_append_result& result) override {
    Append append;
    append.run = plugin::get(request, &sluice_append::run);
    const uint64_t largest = storage_.largest_message_;
    for (uint32_t i = 0; i < request.batch_count; ++i) {
      if (request.batches[i].size <= largest) continue;
      chain_->failed(append.run);
      return Status(StatusCode::too_large,
                    fmt::format("a batch of {} bytes; the cluster takes {}", request.batches[i].size, largest));
    }
    append.ticket = storage_.calls_.open(call, CallKind::append);
    if (!append.ticket) {
      chain_->failed(append.run);
      return stopped();
    }
    append.partition = partition_;
    append.chain = chain_;
    append.request = &request;
    append.result = &result;
    storage_.writer_.append(std::move(append));
    return plugin::pending();
  }
  Status read(plugin::Call& call, const sluice_read& request, sluice_read_result& result) override {
    TicketPtr ticket = storage_.calls_.open(call, CallKind::question);
    if (!ticket) return stopped();
    storage_.reader_.read(std::move(ticket), partition_, request, result);
    return plugin::pending();
  }
  Status bounds(plugin::Call& call, sluice_bounds& result) override {
    TicketPtr ticket = storage_.calls_.open(call, CallKind::question);
    if (!ticket) return stopped();
    storage_.cluster_.ask_marks(partition_, [&storage = storage_, partition = partition_, ticket = std::move(ticket),
                                             &result](const Result<Marks>& marks) {
      if (!marks) {
        ticket->answer(marks.error());
        return;
      }
      const bool no_rollback = storage.cluster_.no_rollback(*partition, ticket->deadline_ns());
      const uint64_t held = storage.capabilities_.load() & ~SLUICE_CAP_NO_ROLLBACK;
      ticket->answer_with([&] {
        plugin::set(result, &sluice_bounds::start, marks->start);
        plugin::set(result, &sluice_bounds::end, marks->end);
        plugin::set(result, &sluice_bounds::bytes, SLUICE_UNKNOWN_NUMBER);
        plugin::set(result, &sluice_bounds::newest_timestamp, SLUICE_UNKNOWN_NUMBER);
        plugin::set(result, &sluice_bounds::largest_unit, storage.largest_message_.load());
        plugin::set(result, &sluice_bounds::capabilities, no_rollback ? held | SLUICE_CAP_NO_ROLLBACK : held);
        return Status();
      });
      storage.reader_.moved(partition);
    });
    return plugin::pending();
  }
  Status locate(plugin::Call& call, int64_t timestamp, sluice_locate_result& result) override {
    TicketPtr ticket = storage_.calls_.open(call, CallKind::question);
    if (!ticket) return stopped();
    storage_.pool_->post([&storage = storage_, partition = partition_, ticket = std::move(ticket), timestamp, &result] {
      if (!ticket->is_open()) return;
      Marks marks;
      const auto found = storage.cluster_.locate(*partition, timestamp, marks, ticket->deadline_ns());
      ticket->answer_with([&] {
        if (!found) return found.error();
        plugin::set(result, &sluice_locate_result::offset, *found);
        plugin::set(result, &sluice_locate_result::end, marks.end);
        return Status();
      });
    });
    return plugin::pending();
  }
  Status trim(plugin::Call& call, uint64_t, int64_t offset) override {
    TicketPtr ticket = storage_.calls_.open(call, CallKind::change);
    if (!ticket) return stopped();
    storage_.pool_->post([&storage = storage_, partition = partition_, ticket = std::move(ticket), offset] {
      if (ticket->is_open()) ticket->answer(storage.cluster_.trim(*partition, offset, ticket->deadline_ns()));
    });
    return plugin::pending();
  }
  Status watch(plugin::Call& call, int64_t offset) override {
    TicketPtr ticket = storage_.calls_.open(call, CallKind::question);
    if (!ticket) return stopped();
    {
      const std::lock_guard lock(mutex_);
      std::erase_if(watches_, [](const std::weak_ptr<Ticket>& watch) { return watch.expired(); });
      watches_.push_back(ticket);
    }
    storage_.reader_.watch(std::move(ticket), partition_, offset);
    return plugin::pending();
  }

 private:
  Storage& storage_;
  const PartitionPtr partition_;
  const ChainPtr chain_ = std::make_shared<Chain>();
  std::mutex mutex_;
  std::vector<std::weak_ptr<Ticket>> watches_;  // guarded by mutex_
};

// ---- Life

Storage::Storage(plugin::Host host, Settings settings)
    : StorageAdapter(std::move(host)),
      settings_(std::move(settings)),
      say_([this](int32_t level, const std::string& text) { this->host().log(level, text); }),
      pool_(std::make_unique<Pool>("kafka-asks", say_)),
      cluster_(settings_, *pool_, say_),
      reader_(settings_, cluster_, say_),
      writer_(settings_, *pool_, say_) {}

Storage::~Storage() {
  if (running_) static_cast<void>(stop(now_ns()));
  pool_.reset();  // its jobs use what follows
}

Status Storage::start(int64_t deadline_ns, plugin::Condition& condition) {
  if (running_) return Status(StatusCode::invalid, "started already");
  Status status = cluster_.connect(deadline_ns);
  if (status.ok()) status = examine(deadline_ns, condition);
  if (!status.ok()) {
    let_go(cluster_.disconnect());
    return status;
  }
  reader_.start(largest_message_, [this] { cluster_.drain(); });
  writer_.start(largest_message_, [this](const PartitionPtr& partition, int64_t) { reader_.moved(partition); });
  calls_.admit(true);
  running_ = true;
  report(condition);
  return {};
}

Status Storage::stop(int64_t deadline_ns) {
  calls_.admit(false);
  if (running_) {
    // Questions are ended; appends may finish, in what time there is.
    calls_.end_all(false);
    calls_.wait_for_none(deadline_ns - std::min(kPurgeNs, std::max<int64_t>(deadline_ns - now_ns(), 0) / 2));
    for (auto& client : reader_.stop()) let_go(std::move(client));
    for (auto& client : writer_.stop(deadline_ns)) let_go(std::move(client));
    calls_.end_all(true);
    let_go(cluster_.disconnect());
    running_ = false;
  }
  calls_.wait_for_none(std::max(deadline_ns, now_ns() + kPurgeNs));  // whoever answers one is about to be done
  if (pool_->wait_idle(deadline_ns)) return {};
  return Status(StatusCode::unavailable, "connections are still being closed");
}

/// Destroying a client may take a moment.
void Storage::let_go(std::shared_ptr<Client> client) {
  if (client) pool_->post([client = std::move(client)]() mutable { client.reset(); });
}

Status Storage::health(int64_t deadline_ns, plugin::Condition& condition) {
  if (!running_) return stopped();
  Status status = examine(deadline_ns, condition);
  if (status.ok()) report(condition);
  return status;
}

Status Storage::examine(int64_t deadline_ns, plugin::Condition& condition) {
  const auto info = cluster_.inspect(deadline_ns);
  if (!info) return info.error();
  Keeping keeping = info->keeping;
  for (const auto& [name, value] : settings_.topic_configs) {
    if (name == "min.insync.replicas") keeping.min_insync_replicas = std::strtoll(value.c_str(), nullptr, 10);
    if (name == "unclean.leader.election.enable") keeping.unclean_election = value != "false";
  }
  condition.kind = SLUICE_KIND_NATIVE;
  condition.capabilities = SLUICE_CAP_DURABLE | SLUICE_CAP_SHARED;
  if (keeping.no_rollback()) {
    condition.capabilities |= SLUICE_CAP_NO_ROLLBACK;
  } else if (keeping.min_insync_replicas > 0) {
    condition.advice =
        fmt::format("min.insync.replicas=2 (is {}){} on the cluster gives no_rollback", keeping.min_insync_replicas,
                    keeping.unclean_election ? " and unclean.leader.election.enable=false" : "");
  } else {
    condition.advice = "the cluster does not let its settings be seen: no_rollback is not known";
  }
  // What a producer was made with stays until it is made anew.
  const uint64_t largest = info->largest_message > 0 ? info->largest_message : kDefaultLargestMessage;
  if (!running_) largest_message_ = largest;
  capabilities_ = condition.capabilities;
  condition.largest_unit = largest_message_;
  condition.preferred_unit = kPreferredUnitBytes;
  condition.appends_in_flight = kAppendsInFlight;
  condition.server = fmt::format("kafka cluster {}, {} broker{}", info->id.empty() ? "of no name" : info->id,
                                 info->brokers, info->brokers == 1 ? "" : "s");
  return {};
}

void Storage::report(const plugin::Condition& condition) {
  const std::string now = fmt::format("{}; {}", condition.server, condition.advice);
  if (now == reported_) return;
  reported_ = now;
  say_(SLUICE_LOG_INFO, now);
}

// ---- Logs

PartitionPtr Storage::partition(const std::string& topic, int32_t index) {
  const std::lock_guard lock(mutex_);
  std::weak_ptr<Partition>& known = partitions_[{topic, index}];
  if (PartitionPtr partition = known.lock()) return partition;
  auto made = std::make_shared<Partition>(topic, index);
  known = made;
  if (partitions_.size() >= partitions_before_sweep_) {
    std::erase_if(partitions_, [](const auto& entry) { return entry.second.expired(); });
    partitions_before_sweep_ = std::max<size_t>(1024, 2 * partitions_.size());
  }
  return made;
}

Status Storage::create_log(plugin::Call& call, const sluice_log_descriptor& descriptor) {
  if ((descriptor.flags & SLUICE_LOG_SEVERAL_WRITERS) != 0) {
    return Status(StatusCode::unsupported, "a native topic has no positions that several writers could agree on");
  }
  if (descriptor.partition < 0) return Status(StatusCode::invalid, "the partition is negative");
  bool adopted = false;
  std::string topic = native_name(descriptor, adopted);
  if (!adopted && descriptor.start_offset != 0) {
    return Status(StatusCode::unsupported, "a topic that is made begins at offset 0");
  }
  TicketPtr ticket = calls_.open(call, CallKind::change);
  if (!ticket) return stopped();
  pool_->post([this, ticket = std::move(ticket), topic = std::move(topic), adopted, index = descriptor.partition,
               count = descriptor.partition_count] {
    if (!ticket->is_open()) return;
    Status status;
    if (adopted) {
      const auto there = cluster_.partitions(topic, ticket->deadline_ns());
      if (!there) {
        status = there.error();
      } else if (index >= *there) {
        status = Status(StatusCode::not_found, fmt::format("topic {} of the cluster has {} partitions", topic, *there));
      }
    } else {
      status = cluster_.ensure(topic, index, count, ticket->deadline_ns());
    }
    ticket->answer(status);
  });
  return plugin::pending();
}

Status Storage::delete_log(plugin::Call& call, const sluice_log_descriptor& descriptor) {
  bool adopted = false;
  std::string topic = native_name(descriptor, adopted);
  TicketPtr ticket = calls_.open(call, CallKind::change);
  if (!ticket) return stopped();
  pool_->post([this, ticket = std::move(ticket), topic = std::move(topic), adopted, index = descriptor.partition] {
    if (!ticket->is_open()) return;
    const PartitionPtr gone = partition(topic, index);
    const Status status = adopted ? Status() : cluster_.remove(topic, ticket->deadline_ns());
    if (status.ok() && !adopted) gone->forget();
    reader_.forget(gone);
    ticket->answer(status);
  });
  return plugin::pending();
}

Status Storage::list_logs(plugin::Call& call, sluice_log_list& list) {
  TicketPtr ticket = calls_.open(call, CallKind::question);
  if (!ticket) return stopped();
  pool_->post([this, ticket = std::move(ticket), &list] {
    if (!ticket->is_open()) return;
    const auto topics = cluster_.topics(ticket->deadline_ns());
    ticket->answer_with([&] {
      if (!topics) return topics.error();
      auto lent = std::make_unique<plugin::LogList>();
      for (const NativeTopic& topic : *topics) {
        for (int32_t i = 0; i < topic.partitions; ++i) lent->add(Uuid{}, topic.name, i, SLUICE_ENTRY_FOREIGN);
      }
      plugin::LogList::lend(std::move(lent), list);
      return Status();
    });
  });
  return plugin::pending();
}

Result<std::unique_ptr<plugin::LogAdapter>> Storage::open(const sluice_log_descriptor& descriptor) {
  bool adopted = false;
  return std::make_unique<Handle>(*this, partition(native_name(descriptor, adopted), descriptor.partition));
}

}  // namespace sluice::kafka
