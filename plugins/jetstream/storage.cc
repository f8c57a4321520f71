// SPDX-License-Identifier: Apache-2.0
#include "jetstream/storage.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "jetstream/connect.hpp"
#include "jetstream/names.hpp"
#include "jetstream/reply.hpp"
#include "jetstream/stream_config.hpp"

namespace sluice::jetstream {
namespace {

constexpr int64_t kLongestDrainMs = 2'000;
constexpr int kMostBindAttempts = 8;
// Lifecycle calls come back before their deadline, however the server behaves.
constexpr int64_t kLifecycleMarginMs = 100;
constexpr int64_t kLongestInspectionMs = 20'000;
constexpr int64_t kLongestQuestionMs = 5'000;

std::string bytes_text(const Uuid& id) {
  return {reinterpret_cast<const char*>(id.bytes.data()), id.bytes.size()};
}

}  // namespace

Storage::Storage(plugin::Host host, Settings settings)
    : StorageAdapter(host), engine_(std::make_unique<Engine>(std::move(host), std::move(settings))) {}

Storage::~Storage() = default;

std::shared_ptr<Log> Storage::log(const Uuid& id) {
  const std::lock_guard lock(mutex_);
  std::weak_ptr<Log>& kept = logs_[id];
  if (auto found = kept.lock()) return found;
  auto made = std::make_shared<Log>(*engine_, id);
  kept = made;
  if (logs_.size() >= prune_at_) {
    std::erase_if(logs_, [](const auto& entry) { return entry.second.expired(); });
    prune_at_ = std::max<size_t>(64, 2 * logs_.size());
  }
  return made;
}

// ---- Lifecycle

Task<Result<nlohmann::json>> Storage::ask(std::string what, std::string body, int64_t deadline_ns) {
  Outgoing outgoing;
  outgoing.subject = engine_->settings.api() + "." + what;
  outgoing.payload = as_bytes(body);
  outgoing.deadline_ns = deadline_ns;
  const Reply reply = co_await engine_->client.request(outgoing);
  if (!reply.answered()) co_return fail(unanswered_read(reply));
  if (reply.message.no_responders()) co_return fail(StatusCode::unavailable, "no server answers for JetStream", 503);
  co_return parse_api_reply(reply.message.payload());
}

nlohmann::json Storage::own_stream() const {
  return root_config(engine_->settings);
}

void Storage::describe(const StreamInfo& root, plugin::Condition& condition) const {
  const ServerInfo server = engine_->client.server();
  condition.kind = SLUICE_KIND_LOG;
  condition.capabilities = SLUICE_CAP_SHARED;
  if (root.file) condition.capabilities |= SLUICE_CAP_DURABLE | SLUICE_CAP_NO_ROLLBACK;
  condition.largest_unit = engine_->largest_unit();
  condition.preferred_unit = engine_->preferred_unit();
  condition.server =
      fmt::format("nats-server {}, {}, {} replica{}", server.version.empty() ? "of unknown version" : server.version,
                  root.file ? "file" : "memory", root.replicas, root.replicas == 1 ? "" : "s");
  if (!root.file) {
    condition.advice = "\"storage\": \"file\" would survive a stop of the servers (DURABLE, NO_ROLLBACK)";
  } else if (root.replicas < 3) {
    condition.advice =
        "\"replicas\": 3 in a cluster would survive the loss of a server; POWER_SAFE is not claimed: servers sync "
        "every "
        "sync_interval (2 min)";
  } else {
    condition.advice = "POWER_SAFE is not claimed: servers sync every sync_interval (2 min)";
  }
}

// CORRUPT where there are logs from before that time. A new stream of the storage's own, or one that no longer says
// whose they are, would give them to whoever comes first.
Task<Status> Storage::check_ownerless(int64_t before_ms, int64_t deadline_ns) {
  const Settings& settings = engine_->settings;
  // What is in memory goes with the servers, and is tied again.
  if (settings.media == Media::memory) co_return Status();
  const auto logs = co_await listed(deadline_ns);
  if (!logs) co_return logs.error();
  const auto count =
      std::count_if(logs->begin(), logs->end(), [&](const Listed& log) { return log.created_ms < before_ms; });
  if (count == 0) co_return Status();
  co_return Status(
      StatusCode::corrupt,
      fmt::format("stream {0} does not say which cluster the logs belong to, and there are {1} of them, the "
                  "streams {0}-*: bring it back (`nats stream restore`), or give them up and remove them",
                  root_stream(settings.prefix), count));
}

// A stream that never said so may be tied, but not over logs that were there before it.
Task<Status> Storage::check_untied(int64_t deadline_ns) {
  Stream root(engine_->client, engine_->settings, root_stream(engine_->settings.prefix));
  const auto info = co_await root.info(deadline_ns);
  if (!info) co_return info.error();
  co_return co_await check_ownerless(info->last > 0 ? INT64_MAX : info->created_ms, deadline_ns);
}

Task<Result<StreamInfo>> Storage::make_own(int64_t deadline_ns) {
  const nlohmann::json wanted = own_stream();
  Stream own(engine_->client, engine_->settings, text_at(wanted, "name"));
  Result<StreamInfo> made = co_await own.create(wanted, deadline_ns);
  if (!made && made.error().code() == StatusCode::exists) made = co_await own.info(deadline_ns);
  if (made || made.error().code() != StatusCode::unknown) co_return made;
  co_return fail(StatusCode::unavailable, made.error().text());
}

Task<Result<StreamInfo>> Storage::find_own(bool starting, int64_t deadline_ns) {
  const nlohmann::json wanted = own_stream();
  Stream own(engine_->client, engine_->settings, text_at(wanted, "name"));
  Result<StreamInfo> found = co_await own.info(deadline_ns);
  const bool missing = !found && found.error().code() == StatusCode::not_found;
  if (!found && !missing) co_return found;
  if (starting) {
    // Native streams belong to no cluster, and logs of the same prefix have a stream of their own.
    if (missing && own.name() == root_stream(engine_->settings.prefix)) {
      const Status nobodys = co_await check_ownerless(INT64_MAX, deadline_ns);
      // Another broker may just have made it, and the first logs.
      if (!nobodys && !co_await own.info(deadline_ns)) co_return fail(nobodys);
    }
    // Also where it is there: whether this may be done at all is better known now than at the first topic.
    co_return co_await make_own(deadline_ns);
  }
  if (!missing) co_return found;
  if (engine_->settings.media != Media::memory) {
    co_return fail(StatusCode::corrupt,
                   fmt::format("stream {} is gone ({}): bring it back (`nats stream restore`)", own.name(),
                               text_at(wanted, "description")),
                   found.error().native_code());
  }
  // The servers were started again, and forgot all they had.
  Result<StreamInfo> made = co_await make_own(deadline_ns);
  if (!made || !cluster_) co_return made;
  Uuid cluster = *cluster_;
  const Status tied = co_await bind_on_loop(false, cluster, deadline_ns);
  if (!tied) co_return fail(tied);
  co_return made;
}

// Everything that can be found wrong before the first log: JetStream itself, its version, rights, and the storage's own
// stream.
Task<Status> Storage::inspect(bool starting, int64_t deadline_ns, plugin::Condition& condition) {
  const Settings& settings = engine_->settings;
  const ServerInfo server = engine_->client.server();
  if (!at_least(server.version, kLowestMajor, kLowestMinor)) {
    co_return Status(StatusCode::invalid, fmt::format("nats-server {} is too old: {}.{} or newer is needed",
                                                      server.version, kLowestMajor, kLowestMinor));
  }
  // Some servers without JetStream refuse the question, others never answer it.
  deadline_ns = std::min(deadline_ns - kLifecycleMarginMs * kNsPerMs, monotonic_ns() + kLongestInspectionMs * kNsPerMs);
  const auto account = co_await ask("INFO", {}, std::min(deadline_ns, monotonic_ns() + kLongestQuestionMs * kNsPerMs));
  if (!account) {
    const int64_t number = account.error().native_code();
    const bool none = number == 503 || number == kNotEnabled || number == kNotEnabledForAccount;
    const bool silent =
        account.error().code() == StatusCode::unavailable && !server.version.empty() && !server.jetstream;
    if (!none && !silent) co_return account.error();
    co_return Status(
        StatusCode::invalid,
        fmt::format("{}: enable JetStream in the server (`jetstream {{ store_dir: ... }}`) and for the account{}",
                    account.error().text(), settings.domain.empty() ? "" : ", and check the option domain"),
        number);
  }
  const nlohmann::json wanted = own_stream();
  const Result<StreamInfo> own = co_await find_own(starting, deadline_ns);
  if (!own) co_return own.error();
  if (!own->config.contains("allow_direct")) {
    co_return Status(StatusCode::invalid, "the server knows no direct reads: 2.9 or newer is needed");
  }
  const std::string wrong = config_difference(wanted, own->config);
  if (!wrong.empty()) {
    co_return Status(StatusCode::invalid,
                     fmt::format("stream {} is there with another configuration: {}; edit it with `nats "
                                 "stream edit`, or choose another prefix",
                                 text_at(wanted, "name"), wrong));
  }
  describe(*own, condition);
  co_return Status();
}

Status Storage::start(int64_t deadline_ns, plugin::Condition& condition) {
  if (!engine_->client.close(deadline_ns)) return Status(StatusCode::unavailable, "the last stop is not over");
  Status status = engine_->client.open(deadline_ns);
  if (!status) return status;
  status = engine_->run_and_wait([&] { return inspect(true, deadline_ns, condition); });
  if (!status) {
    static_cast<void>(engine_->client.close(kNoDeadlineNs));
    return status;
  }
  engine_->begin();
  host().log(SLUICE_LOG_INFO,
             fmt::format("{}; largest unit {} bytes; {}", condition.server, condition.largest_unit, condition.advice));
  return status;
}

Status Storage::stop(int64_t deadline_ns) {
  engine_->end();
  std::vector<std::shared_ptr<Log>> logs;
  {
    const std::lock_guard lock(mutex_);
    for (const auto& [id, kept] : logs_) {
      if (auto log = kept.lock()) logs.push_back(std::move(log));
    }
  }
  for (const auto& log : logs) log->end_watches(nullptr, Status(StatusCode::unavailable, "the storage is stopped"));
  const int64_t now_ns = monotonic_ns();
  engine_->idle_by(now_ns + std::clamp((deadline_ns - now_ns) / 2, int64_t{0}, kLongestDrainMs * kNsPerMs));
  // What is still under way is told that the connection is lost.
  const bool closed = engine_->client.close(deadline_ns - kLifecycleMarginMs * kNsPerMs);
  if (!closed) return Status(StatusCode::unavailable, "a server is still being connected to");
  if (engine_->idle_by(deadline_ns)) return {};
  return Status(StatusCode::unavailable, fmt::format("{} calls are still under way", engine_->under_way()));
}

Status Storage::health(int64_t deadline_ns, plugin::Condition& condition) {
  return engine_->run_and_wait([&] { return inspect(false, deadline_ns, condition); });
}

// The cluster's id is the newest message of a subject, published on the condition that it is the next one there.
Task<Status> Storage::bind_on_loop(bool replace, Uuid& cluster_id, int64_t deadline_ns) {
  const Settings& settings = engine_->settings;
  Stream root(engine_->client, settings, root_stream(settings.prefix));
  const std::string subject = root_subject(settings.prefix, "cluster");
  if (replace) {
    const auto logs = co_await listed(deadline_ns);
    if (!logs) co_return logs.error();
    if (!logs->empty()) co_return Status(StatusCode::exists, "the storage holds logs");
  }
  for (int i = 0; i < kMostBindAttempts; ++i) {
    const auto found = co_await root.last_by_leader(subject, deadline_ns);
    if (!found) co_return found.error();
    if (*found && !replace) {
      if ((*found)->payload.size() != cluster_id.bytes.size()) {
        co_return Status(StatusCode::corrupt,
                         fmt::format("message {} of stream {} is no cluster id", (*found)->sequence, root.name()));
      }
      std::copy((*found)->payload.begin(), (*found)->payload.end(), cluster_id.bytes.begin());
      cluster_ = cluster_id;
      co_return Status();
    }
    if (!*found && !replace) {
      const Status nobodys = co_await check_untied(deadline_ns);
      if (!nobodys) {
        // Another broker may just have tied it, and made the first logs.
        const auto again = co_await root.last_by_leader(subject, deadline_ns);
        if (!again) co_return again.error();
        if (!*again) co_return nobodys;
        continue;
      }
    }
    const std::string text = bytes_text(cluster_id);
    Publishing publishing;
    publishing.subject = subject;
    publishing.payload = as_bytes(text);
    publishing.expected_last_of_subject = *found ? (*found)->sequence : 0;
    const Result<uint64_t> landed = co_await root.publish(publishing, deadline_ns);
    if (landed) {
      cluster_ = cluster_id;
      co_return Status();
    }
    if (landed.error().code() != StatusCode::conflict) co_return landed.error();
  }
  co_return Status(StatusCode::unavailable, "others tie the storage at the same time");
}

Status Storage::bind(int64_t deadline_ns, bool replace, Uuid& cluster_id) {
  return engine_->run_and_wait([&] { return bind_on_loop(replace, cluster_id, deadline_ns); });
}

// ---- Logs

Status Storage::create_log(plugin::Call& call, const sluice_log_descriptor& descriptor) {
  auto wanted = plugin::LogDescriptor::copy_of(descriptor);
  auto kept = log(wanted.id);
  const int64_t deadline_ns = answer_by(call);
  return engine_->run(call, [kept = std::move(kept), wanted = std::move(wanted), deadline_ns]() mutable {
    return kept->create(std::move(wanted), deadline_ns);
  });
}

Status Storage::delete_log(plugin::Call& call, const sluice_log_descriptor& descriptor) {
  const int64_t deadline_ns = answer_by(call);
  return engine_->run(call,
                      [kept = log(plugin::log_id(descriptor)), deadline_ns] { return kept->remove(deadline_ns); });
}

Task<Result<std::vector<Storage::Listed>>> Storage::listed(int64_t deadline_ns) {
  const std::string& prefix = engine_->settings.prefix;
  std::vector<Listed> logs;
  for (int64_t offset = 0;;) {
    const nlohmann::json query = {{"offset", offset}, {"subject", prefix + ".log.>"}};
    const auto reply = co_await ask("STREAM.LIST", query.dump(), deadline_ns);
    if (!reply) co_return fail(reply.error());
    const auto streams = reply->find("streams");
    if (streams == reply->end() || !streams->is_array() || streams->empty()) co_return logs;
    for (const auto& stream : *streams) {
      const auto id = parse_log_stream(prefix, text_at(stream, "config.name"));
      // Until its first message is there a log is not whole.
      if (!id || number_at(stream, "state.last_seq") == 0) continue;
      auto described = parse_description(text_at(stream, "config.description"));
      if (!described) described.emplace();
      logs.push_back(
          {*id, std::move(described->topic), described->partition, parse_time(text_at(stream, "created")).value_or(0)});
    }
    offset += static_cast<int64_t>(streams->size());
    if (offset >= number_at(*reply, "total")) co_return logs;
  }
}

Task<Status> Storage::list_on_loop(sluice_log_list& list, int64_t deadline_ns) {
  auto logs = co_await listed(deadline_ns);
  if (!logs) co_return logs.error();
  auto made = std::make_unique<plugin::LogList>();
  for (Listed& log : *logs) made->add(log.id, std::move(log.topic), log.partition);
  plugin::LogList::lend(std::move(made), list);
  co_return Status();
}

Status Storage::list_logs(plugin::Call& call, sluice_log_list& list) {
  const int64_t deadline_ns = answer_by(call);
  return engine_->run(call, [this, &list, deadline_ns] { return list_on_loop(list, deadline_ns); });
}

Result<std::unique_ptr<plugin::LogAdapter>> Storage::open(const sluice_log_descriptor& descriptor) {
  const bool several = (descriptor.flags & SLUICE_LOG_SEVERAL_WRITERS) != 0;
  return std::make_unique<Handle>(*engine_, log(plugin::log_id(descriptor)), several);
}

// ---- Handles

Handle::~Handle() {
  log_->end_watches(this, Status(StatusCode::unavailable, "the log is closed"));
}

Status Handle::append(plugin::Call& call, const sluice_append& request, sluice_append_result& result) {
  const int64_t deadline_ns = answer_by(call);
  return engine_.run(call, [log = log_, several = several_writers_, &request, &result, deadline_ns] {
    return log->append(several, request, result, deadline_ns);
  });
}

Status Handle::read(plugin::Call& call, const sluice_read& request, sluice_read_result& result) {
  const int64_t deadline_ns = answer_by(call);
  return engine_.run(call,
                     [log = log_, &request, &result, deadline_ns] { return log->read(request, result, deadline_ns); });
}

Status Handle::bounds(plugin::Call& call, sluice_bounds& result) {
  const int64_t deadline_ns = answer_by(call);
  return engine_.run(call, [log = log_, &result, deadline_ns] { return log->bounds(result, deadline_ns); });
}

Status Handle::locate(plugin::Call& call, int64_t timestamp, sluice_locate_result& result) {
  const int64_t deadline_ns = answer_by(call);
  return engine_.run(
      call, [log = log_, timestamp, &result, deadline_ns] { return log->locate(timestamp, result, deadline_ns); });
}

Status Handle::trim(plugin::Call& call, uint64_t token, int64_t offset) {
  const int64_t deadline_ns = answer_by(call);
  return engine_.run(call, [log = log_, several = several_writers_, token, offset, deadline_ns] {
    return log->trim(several, token, offset, deadline_ns);
  });
}

Status Handle::fence(plugin::Call& call, uint64_t token, sluice_fence_result& result) {
  if (several_writers_) return Status(StatusCode::invalid, "a log of several writers has no fence");
  const int64_t deadline_ns = answer_by(call);
  return engine_.run(call,
                     [log = log_, token, &result, deadline_ns] { return log->fence(token, result, deadline_ns); });
}

Status Handle::save(plugin::Call& call, const sluice_save& request) {
  if (several_writers_) return Status(StatusCode::invalid, "a log of several writers saves nothing");
  const int64_t deadline_ns = answer_by(call);
  return engine_.run(call, [log = log_, &request, deadline_ns] { return log->save(request, deadline_ns); });
}

Status Handle::load(plugin::Call& call, const sluice_load& request, sluice_load_result& result) {
  const int64_t deadline_ns = answer_by(call);
  return engine_.run(call,
                     [log = log_, &request, &result, deadline_ns] { return log->load(request, result, deadline_ns); });
}

Status Handle::watch(plugin::Call& call, int64_t offset) {
  if (!engine_.taking()) return Status(StatusCode::unavailable, "the storage is not started");
  log_->watch(this, offset, call.defer());
  // A stop that came between looked before this watch was there.
  if (!engine_.taking()) log_->end_watches(this, Status(StatusCode::unavailable, "the storage is stopped"));
  return plugin::pending();
}

}  // namespace sluice::jetstream
