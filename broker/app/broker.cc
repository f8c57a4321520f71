// SPDX-License-Identifier: Apache-2.0
#include "app/broker.hpp"

#include <fmt/format.h>
#include <malloc.h>

#include <chrono>
#include <filesystem>
#include <random>
#include <thread>

#include "admin/server.hpp"
#include "app/background.hpp"
#include "app/dispatcher.hpp"
#include "app/metrics.hpp"
#include "app/run_on.hpp"
#include "app/storage_pages.hpp"
#include "base/thread_loop.hpp"
#include "cluster/cluster.hpp"
#include "group/coordinator.hpp"
#include "handlers/fetch_sessions.hpp"
#include "net/server.hpp"
#include "partition/migrator.hpp"
#include "partition/partitions.hpp"
#include "storage/monitor.hpp"
#include "storage/storages.hpp"

namespace sluice::app {
namespace {

constexpr int64_t kGroupTickMs = 50;
constexpr int64_t kMonitorStopMs = 500;
constexpr int64_t kMaintainMs = 5'000;
constexpr int64_t kMetadataMs = 120'000;  // for reading the broker's metadata at the start
constexpr int64_t kShardRetryMs = 1'000;
constexpr int64_t kStopMovingMs = 5'000;  // for copies under way, which are gone on with at the next start
constexpr int64_t kWaitingShare = 8;  // of the memory of requests: what waits for partitions to load may hold one part
constexpr int kKeptFreeBytes = 16 << 20;  // at the end of each arena
constexpr int kMappedBytes = 4 << 20;     // blocks that go back as soon as they are free
constexpr std::string_view kOffsetsTopic = "__consumer_offsets";

std::function<uint64_t()> random_source() {
  // One generator for each thread: ids are drawn on several loops.
  return [] {
    thread_local std::mt19937_64 generator = [] {
      std::random_device device;
      std::seed_seq seed{device(), device(), device(), device()};
      return std::mt19937_64(seed);
    }();
    return generator();
  };
}

}  // namespace

struct BrokerApp::Parts {
  std::unique_ptr<storage::Storages> storages;
  std::unique_ptr<net::LoopPool> loops;
  std::unique_ptr<cluster::Cluster> cluster;
  std::unique_ptr<group::GroupCoordinator> groups;
  std::unique_ptr<partition::PartitionContext> partition_context;
  std::unique_ptr<partition::Partitions> partitions;
  std::unique_ptr<handlers::FetchSessions> fetch_sessions;
  std::unique_ptr<handlers::Broker> broker;
  std::unique_ptr<net::Server> server;
  admin::Registry registry;
  std::unique_ptr<admin::AdminServer> admin;
  std::vector<std::shared_ptr<storage::ReplayedLog>> shard_logs;  // main loop
  std::atomic<size_t> shards_loaded{0};
  std::unique_ptr<Background> background;  // on the main loop
  std::unique_ptr<ThreadLoop> moving_loop;
  std::unique_ptr<Background> moving;  // on moving_loop
  std::unique_ptr<partition::Migrator> migrator;
  std::atomic<bool> stopping{false};
  std::atomic<bool> serving{false};
  std::unique_ptr<storage::StorageMonitor> monitor;

  Loop& main_loop() { return loops->at(0); }
};

BrokerApp::BrokerApp(Options options, std::function<void(int, const std::string&)> log)
    : options_(std::move(options)), log_(std::move(log)) {}

BrokerApp::~BrokerApp() {
  stop();
}

Status BrokerApp::start() {
  // Two arenas are enough for a few threads, and memory that was used once goes back sooner. But not after every answer:
  // what one reader's batches lay in is wanted for the next, and touching it anew costs more than all that is done to it.
  mallopt(M_ARENA_MAX, 2);
  mallopt(M_TRIM_THRESHOLD, kKeptFreeBytes);
  mallopt(M_MMAP_THRESHOLD, kMappedBytes);
  parts_ = std::make_unique<Parts>();
  Parts& p = *parts_;

  std::error_code error;
  std::filesystem::create_directories(options_.data_directory, error);
  if (error)
    return Status(StatusCode::invalid, fmt::format("data directory {}: {}", options_.data_directory, error.message()),
                  error.value());
  const std::string data_directory = std::filesystem::absolute(options_.data_directory).lexically_normal().string();

  auto file = storage::find_plugins_config(options_.plugins_file, data_directory);
  if (!file) return file.error();
  auto config = storage::read_plugins_config(*file);
  if (!config) return config.error();
  storage::StoragesOptions storages_options;
  storages_options.data_directory = data_directory;
  storages_options.plugin_directory =
      options_.plugin_directory.empty() ? host::default_plugin_directory() : options_.plugin_directory;
  storages_options.checked = options_.checked_storages;
  storages_options.log = log_;
  storages_options.max_bytes_in_flight = static_cast<uint64_t>(options_.limits.max_request_memory_bytes);
  auto storages = storage::Storages::open(std::move(*config), std::move(storages_options));
  if (!storages) return storages.error();
  p.storages = std::move(*storages);
  if (Status status = p.storages->start(); !status.ok()) return status;

  p.loops = std::make_unique<net::LoopPool>(options_.loops);
  p.background = std::make_unique<Background>(p.main_loop());
  cluster::ClusterOptions cluster_options;
  cluster_options.broker_id = options_.broker_id;
  cluster_options.rack = options_.rack;
  cluster_options.broker_configs = options_.topic_defaults;
  cluster_options.default_partitions = options_.default_partitions;
  cluster_options.random = random_source();
  cluster_options.log = log_;
  p.cluster = std::make_unique<cluster::Cluster>(*p.storages, p.main_loop(), std::move(cluster_options));
  if (Status status = p.cluster->bind(); !status.ok()) return status;
  p.monitor = std::make_unique<storage::StorageMonitor>(
      *p.storages, [id = p.cluster->cluster_id()](host::Storage& each) { return cluster::bind_storage(each, id); },
      log_);

  p.partition_context.reset(new partition::PartitionContext{*p.cluster, system_clock(), {}});
  p.partition_context->producer_expiration_ms = options_.producer_expiration_ms;
  p.partition_context->max_waiting_bytes = options_.limits.max_request_memory_bytes / kWaitingShare;
  p.partitions = std::make_unique<partition::Partitions>(*p.partition_context);
  p.moving_loop = std::make_unique<ThreadLoop>("migration");
  p.moving = std::make_unique<Background>(*p.moving_loop);
  partition::MigratorOptions migrator_options;
  migrator_options.pause = [&p](int64_t ms) { return p.moving->pause(ms); };
  p.migrator = std::make_unique<partition::Migrator>(*p.cluster, *p.partitions, *p.moving_loop, migrator_options);
  p.groups = std::make_unique<group::GroupCoordinator>(options_.group, static_cast<size_t>(options_.offsets_partitions),
                                                       system_clock(), p.main_loop());
  p.fetch_sessions = std::make_unique<handlers::FetchSessions>(options_.handlers.max_fetch_sessions, random_source());
  p.broker.reset(new handlers::Broker{*p.cluster,
                                      *p.partitions,
                                      *p.groups,
                                      system_clock(),
                                      options_.handlers,
                                      *p.fetch_sessions,
                                      options_.settings,
                                      {},
                                      log_});
  p.broker->migration = [&p](const cluster::TopicInfo& topic) { return p.migrator->describe(topic); };

  p.cluster->on_change([&p](const cluster::TopicPtr& before, const cluster::TopicPtr& after) {
    p.partitions->changed(before, after);
    if (after && after->migration && !(before && before->migration)) p.migrator->look();
    if (before && !before->internal && !before->deleting && (!after || after->deleting)) {
      p.groups->topics_deleted({{before->name, before->id}});
    }
  });
  auto started = run_on<Status>(
      p.main_loop(), [&p] { return p.cluster->start(); }, kMetadataMs);
  if (!started) {
    return Status(StatusCode::unavailable, fmt::format("metadata: not read within {} ms; see storage \"{}\"", kMetadataMs,
                                                       p.storages->internal_storage()));
  }
  if (!started->ok()) return *started;

  net::ServerOptions server_options;
  server_options.listeners = options_.listeners;
  server_options.limits = options_.limits;
  server_options.log = [log = log_](net::LogLevel level, std::string_view text) {
    log(level == net::LogLevel::information ? SLUICE_LOG_INFO
        : level == net::LogLevel::warning   ? SLUICE_LOG_WARNING
                                            : SLUICE_LOG_ERROR,
        std::string(text));
  };
  p.server = std::make_unique<net::Server>(*p.loops, std::move(server_options), make_dispatch(*p.broker));
  show_metrics(p.registry, *p.storages, *p.monitor, *p.partition_context, *p.groups, *p.broker, *p.server);

  if (options_.admin_port >= 0) {
    admin::AdminOptions admin_options;
    admin_options.host = options_.admin_host;
    admin_options.port = static_cast<uint16_t>(options_.admin_port);
    admin_options.health = [&p, count = static_cast<size_t>(options_.offsets_partitions)] {
      return health_components(*p.storages, *p.monitor, *p.cluster, p.shards_loaded, count);
    };
    admin_options.ready = [&p, count = static_cast<size_t>(options_.offsets_partitions)] {
      admin::Readiness readiness;
      readiness.ready = p.serving && p.shards_loaded == count;
      if (!readiness.ready) readiness.reason = p.stopping ? "stopping" : "starting";
      return readiness;
    };
    admin_options.pages.push_back(storage_page(*p.storages, *p.monitor, *p.cluster, p.main_loop()));
    p.admin = std::make_unique<admin::AdminServer>(p.registry, std::move(admin_options));
    if (Status status = p.admin->start(); !status.ok()) return status;
    log_(SLUICE_LOG_INFO,
         fmt::format("admin on {}:{}: /health, /ready, /metrics, /storages", options_.admin_host, p.admin->port()));
    // With the port that was found, so that `sluice storage` finds it too.
    for (auto& setting : p.broker->settings) {
      if (setting.name == "sluice.admin.listen")
        setting.value = fmt::format("{}:{}", options_.admin_host, p.admin->port());
    }
  }
  if (Status status = p.server->start(); !status.ok()) return status;
  p.serving = true;
  for (const auto& listener : p.server->listeners()) {
    log_(SLUICE_LOG_INFO, fmt::format("listening on {}:{} ({}), advertised as {}:{}", listener.host, listener.port,
                                      listener.name, listener.advertised_host, listener.advertised_port));
    if (!is_loopback(listener.host)) {
      log_(SLUICE_LOG_WARNING,
           fmt::format(
               "{}:{} IS REACHABLE FROM OTHER MACHINES, and there is no authentication: whoever connects may read, "
               "write and delete everything",
               listener.host, listener.port));
    }
  }
  start_background();
  return Status();
}

void BrokerApp::start_background() {
  Parts& p = *parts_;
  Loop& loop = p.main_loop();
  p.shard_logs.resize(static_cast<size_t>(options_.offsets_partitions));
  loop.post([this, &p, &loop] {
    p.background->run(load_shards());
    p.background->repeat(kGroupTickMs, [&p]() -> Task<void> {
      p.groups->tick();
      co_return;
    });
    p.background->repeat(options_.retention_check_ms,
                         [&p, &loop]() -> Task<void> { return p.partitions->maintain(loop); });
    p.background->run(p.cluster->maintain());
    p.background->repeat(kMaintainMs, [&p]() -> Task<void> { return p.cluster->maintain(); });
  });
  p.moving_loop->post([&p] { p.moving->run(p.migrator->run()); });
  p.monitor->start();
}

Task<void> BrokerApp::load_shards() {
  Parts& p = *parts_;
  Loop& loop = p.main_loop();
  const auto count = static_cast<size_t>(options_.offsets_partitions);
  // The logs of groups are recorded in metadata like any topic; clients do not see them.
  while (!p.stopping) {
    cluster::TopicPtr topic = p.cluster->state().topic(kOffsetsTopic);
    if (topic && topic->ready_partitions == static_cast<int32_t>(count)) break;
    if (topic && topic->partitions.size() != count) {
      log_(SLUICE_LOG_ERROR,
           fmt::format(
               "offsets.topic.num.partitions is {}, but groups are spread over {} logs: set it back, groups cannot be "
               "served",
               count, topic->partitions.size()));
      for (size_t i = 0; i < count; ++i) p.groups->shard_unavailable(i);
      co_return;
    }
    cluster::NewTopic wanted;
    wanted.name = std::string(kOffsetsTopic);
    wanted.partitions = static_cast<int32_t>(count);
    wanted.internal = true;
    auto made = co_await p.cluster->create_topic(std::move(wanted), loop);
    if (!made && made.error().code != ErrorCode::kTopicAlreadyExists) {
      log_(SLUICE_LOG_WARNING, fmt::format("the logs of groups cannot be made yet: {}", made.error().text));
    }
    if (!made) co_await p.background->pause(kShardRetryMs);
  }
  for (size_t i = 0; i < count && !p.stopping; ++i) p.background->run(load_shard(i));
}

Task<void> BrokerApp::load_shard(size_t index) {
  Parts& p = *parts_;
  while (!p.stopping) {
    cluster::TopicPtr topic = p.cluster->state().topic(kOffsetsTopic);
    auto log = co_await p.cluster->open_state_log(topic, static_cast<int32_t>(index), p.groups->machine(index));
    if (p.stopping) co_return;
    if (log) {
      p.shard_logs[index] = *log;
      p.groups->shard_loaded(index, **log);
      ++p.shards_loaded;
      // A log that fails for good is opened and replayed anew.
      while (!p.stopping && (*log)->failure().ok()) co_await p.background->pause(kShardRetryMs);
      if (p.stopping) co_return;
      --p.shards_loaded;
      p.groups->shard_unavailable(index);
      log_(SLUICE_LOG_ERROR, fmt::format("groups of log {}: {}; loading again", index, (*log)->failure().describe()));
    } else {
      log_(SLUICE_LOG_WARNING, fmt::format("groups of log {} cannot be loaded: {}", index, log.error().describe()));
      p.groups->shard_unavailable(index);
    }
    co_await p.background->pause(kShardRetryMs);
  }
}

bool BrokerApp::stop() {
  if (!parts_) return true;
  Parts& p = *parts_;
  const auto began = std::chrono::steady_clock::now();
  auto left_ms = [&] {
    const auto spent =
        std::chrono::duration_cast<std::chrono::milliseconds>(std::chrono::steady_clock::now() - began).count();
    return std::max<int64_t>(options_.shutdown_timeout_ms - spent, 1);
  };
  p.stopping = true;
  p.serving = false;
  // Before the storages: one that is asked how it is cannot be stopped meanwhile.
  if (p.monitor) p.monitor->stop(kMonitorStopMs);
  if (p.background) p.background->stop();
  if (p.moving) p.moving->stop();
  bool clean = true;
  if (p.groups) p.groups->stop();  // members that wait for a rebalance are answered, and go to where the group will be
  if (p.server) clean = p.server->stop(left_ms()) && clean;
  if (p.moving) (void)p.moving->wait(std::min(left_ms(), kStopMovingMs));
  if (p.partitions && p.loops) {
    auto saved = run_on<bool>(
        p.main_loop(),
        [&p]() -> Task<bool> {
          co_await p.partitions->save_all(p.main_loop());
          co_return true;
        },
        left_ms());
    clean = clean && saved.has_value();
  }
  if (p.cluster && p.loops) p.main_loop().post([&p] { p.cluster->close(); });
  if (p.storages) {
    Status status = p.storages->stop(left_ms());
    if (!status.ok()) {
      log_(SLUICE_LOG_WARNING, "stopping storages: " + status.describe());
      clean = false;
    }
  }
  // Whatever waited for a storage has its answer now.
  if (p.background && !p.background->wait(left_ms())) clean = false;
  if (p.moving && !p.moving->wait(left_ms())) clean = false;
  if (p.admin) p.admin->stop();
  if (p.moving_loop) p.moving_loop->stop();
  if (p.loops) p.loops->stop();
  p.shard_logs.clear();
  p.server.reset();
  parts_.reset();
  return clean;
}

std::vector<net::ListenerOptions> BrokerApp::listeners() const {
  return parts_ && parts_->server ? parts_->server->listeners() : std::vector<net::ListenerOptions>();
}

uint16_t BrokerApp::admin_port() const {
  return parts_ && parts_->admin ? parts_->admin->port() : 0;
}

}  // namespace sluice::app
