// SPDX-License-Identifier: Apache-2.0
#include "redis/storage.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <utility>

#include "redis/classify.hpp"

namespace sluice::redis {
namespace {

constexpr size_t kMaxListedAtOnce = 512;       // hashes that are read together
constexpr int64_t kAnswersNs = 2'000'000'000;  // for answers to come when connections were cut
constexpr std::string_view kFormat = "1";      // of what lies in Redis

}  // namespace

// ---- Calls

void Calls::ended() {
  if (--count_ > 0 || !closed_) return;
  const std::lock_guard lock(mutex_);
  none_.notify_all();
}

bool Calls::wait_for_none(int64_t deadline_ns) {
  const auto until = std::chrono::steady_clock::time_point(std::chrono::nanoseconds(deadline_ns));
  std::unique_lock lock(mutex_);
  return none_.wait_until(lock, until, [&] { return count_ == 0; });
}

// ---- A handle

class Storage::Handle final : public plugin::LogAdapter {
 public:
  Handle(std::shared_ptr<Calls> calls, std::shared_ptr<Log> log) : calls_(std::move(calls)), log_(std::move(log)) {}
  ~Handle() override {
    if (closed_ != nullptr) *closed_ = true;
  }

  Status append(plugin::Call& call, const sluice_append& request, sluice_append_result& result) override {
    return calls_->run(call, [log = log_, &request, &result, deadline_ns = call.deadline_ns()] {
      return log->append(request, result, deadline_ns);
    });
  }
  Status read(plugin::Call& call, const sluice_read& request, sluice_read_result& result) override {
    return calls_->run(call, [log = log_, &request, &result, deadline_ns = call.deadline_ns()] {
      return log->read(request, result, deadline_ns);
    });
  }
  Status bounds(plugin::Call& call, sluice_bounds& result) override {
    return calls_->run(
        call, [log = log_, &result, deadline_ns = call.deadline_ns()] { return log->bounds(result, deadline_ns); });
  }
  Status locate(plugin::Call& call, int64_t timestamp, sluice_locate_result& result) override {
    return calls_->run(call, [log = log_, timestamp, &result, deadline_ns = call.deadline_ns()] {
      return log->locate(timestamp, result, deadline_ns);
    });
  }
  Status trim(plugin::Call& call, uint64_t token, int64_t offset) override {
    return calls_->run(call, [log = log_, token, offset, deadline_ns = call.deadline_ns()] {
      return log->trim(token, offset, deadline_ns);
    });
  }
  Status fence(plugin::Call& call, uint64_t token, sluice_fence_result& result) override {
    return calls_->run(call, [log = log_, token, &result, deadline_ns = call.deadline_ns()] {
      return log->fence(token, result, deadline_ns);
    });
  }
  Status save(plugin::Call& call, const sluice_save& request) override {
    return calls_->run(
        call, [log = log_, &request, deadline_ns = call.deadline_ns()] { return log->save(request, deadline_ns); });
  }
  Status load(plugin::Call& call, const sluice_load& request, sluice_load_result& result) override {
    return calls_->run(call, [log = log_, &request, &result, deadline_ns = call.deadline_ns()] {
      return log->load(request, result, deadline_ns);
    });
  }
  Status watch(plugin::Call& call, int64_t offset) override {
    std::shared_ptr<std::atomic<bool>> closed;
    {
      static std::mutex first_watch;
      const std::lock_guard lock(first_watch);
      if (closed_ == nullptr) closed_ = std::make_shared<std::atomic<bool>>(false);
      closed = closed_;
    }
    return calls_->run(call, [log = log_, offset, closed, deadline_ns = call.deadline_ns()] {
      return log->watch(offset, closed, deadline_ns);
    });
  }

 private:
  const std::shared_ptr<Calls> calls_;
  const std::shared_ptr<Log> log_;
  std::shared_ptr<std::atomic<bool>> closed_;  // made by the first watch
};

// ---- Life

Storage::Storage(plugin::Host host, Settings settings)
    : StorageAdapter(std::move(host)),
      engine_(std::make_shared<Engine>()),
      calls_(std::make_shared<Calls>(engine_->common.reactor)) {
  engine_->prefix = settings.prefix;
  engine_->common.settings = std::move(settings);
  engine_->common.say = [this](int32_t level, const std::string& text) { this->host().log(level, text); };
}

Storage::~Storage() {
  if (running_) static_cast<void>(stop(now_ns()));
}

/// Runs a task on the I/O thread and waits for what it gives. The task keeps to its deadline by itself.
template <class Make>
Status Storage::blocking(Make make) {
  struct State {
    std::mutex mutex;
    std::condition_variable changed;
    std::optional<Status> status;
  };
  const auto state = std::make_shared<State>();
  engine_->common.reactor->post([state, make = std::move(make)]() mutable {
    sluice::start(make(), [state](Status status) {
      const std::lock_guard lock(state->mutex);
      state->status = std::move(status);
      state->changed.notify_all();
    });
  });
  std::unique_lock lock(state->mutex);
  state->changed.wait(lock, [&] { return state->status.has_value(); });
  return *state->status;
}

Status Storage::start(int64_t deadline_ns, plugin::Condition& condition) {
  if (running_) return Status(StatusCode::invalid, "the storage is started already");
  if (Status status = engine_->common.reactor->start("redis " + host().storage_name()); !status.ok()) return status;
  running_ = true;
  engine_->stopping = false;
  Status status = blocking([this, deadline_ns] { return engine_->servers.start(deadline_ns); });
  if (status.ok()) {
    status = blocking([this, deadline_ns, &condition] { return examine(deadline_ns, condition); });
  }
  if (status.ok()) {
    status = blocking([this, deadline_ns] { return check_permissions(deadline_ns); });
  }
  if (!status.ok()) {
    static_cast<void>(stop(deadline_ns));
    return status;
  }
  report(condition);
  calls_->open();
  return {};
}

Status Storage::stop(int64_t deadline_ns) {
  calls_->close();
  if (!running_) return {};
  engine_->common.reactor->post([this] { engine_->stopping = true; });
  // What is under way ends by itself, or when its connection is cut.
  static_cast<void>(calls_->wait_for_none(deadline_ns - kAnswersNs));
  static_cast<void>(blocking([this] { return disconnect(); }));
  if (!calls_->wait_for_none(std::max(deadline_ns, now_ns() + kAnswersNs))) {
    return Status(StatusCode::unavailable, "calls are not answered yet");
  }
  engine_->common.reactor->stop();
  running_ = false;
  return {};
}

Task<Status> Storage::disconnect() {
  co_await engine_->servers.stop();
  co_return Status();
}

Status Storage::health(int64_t deadline_ns, plugin::Condition& condition) {
  if (!running_) return stopped();
  Status status = blocking([this, deadline_ns, &condition] { return examine(deadline_ns, condition); });
  if (status.ok()) report(condition);
  return status;
}

/// Asks every server what it is, and whether our keys are ours.
Task<Status> Storage::examine(int64_t deadline_ns, plugin::Condition& condition) {
  bool first = true;
  for (Server* server : engine_->servers.all()) {
    const Result<Facts> facts = co_await ask(server->reader, deadline_ns);
    if (!facts) co_return facts.error();
    if (facts->is_replica && engine_->common.settings.has_choice()) {
      Status why(StatusCode::unavailable, fmt::format("{} has become a replica", server->reader.address().text()));
      Servers::leave(*server, why);
      co_return why;
    }
    Status refused = refuse(*facts, engine_->common.settings);
    if (!refused.ok()) co_return refused;
    plugin::Condition one = judge(*facts, engine_->common.settings);
    condition = first ? one : weaker(condition, one);
    first = false;
  }
  if (first) co_return Status(StatusCode::unavailable, "no server holds slots");
  const Command tied{"GET", cluster_key()};
  const Answer cluster = co_await engine_->servers.call(hash_slot(cluster_key()), Lane::read, tied, deadline_ns);
  const Command count{"SCARD", index_key()};
  const Answer index = co_await engine_->servers.call(hash_slot(index_key()), Lane::read, count, deadline_ns);
  for (const Answer* answer : {&cluster, &index}) {
    if (!answer->replied()) co_return answer->why;
    if ((*answer)[0].is_error()) co_return status_of((*answer)[0].text());
  }
  if (!cluster[0].is_nil() && !Uuid::parse(cluster[0].text())) {
    co_return Status(StatusCode::corrupt, fmt::format("{} does not hold the id of a cluster", cluster_key()));
  }
  engine_->largest_unit = condition.largest_unit;
  engine_->capabilities = condition.capabilities;
  co_return Status();
}

/// A permission that is missing is told now, and not by the first fence.
Task<Status> Storage::check_permissions(int64_t deadline_ns) {
  const Common& common = engine_->common;
  for (Server* server : engine_->servers.all()) {
    Status status = co_await redis::check_permissions(server->writer, common.settings, common.scripts, deadline_ns);
    if (!status.ok()) co_return status;
  }
  co_return Status();
}

/// Says what holds, when that has changed.
void Storage::report(const plugin::Condition& condition) {
  std::string text = fmt::format("{}:", condition.server);
  const auto add = [&](uint64_t capability, const char* name) {
    text += fmt::format(" {}{}", (condition.capabilities & capability) != 0 ? "" : "not ", name);
  };
  add(SLUICE_CAP_DURABLE, "durable,");
  add(SLUICE_CAP_POWER_SAFE, "power safe,");
  add(SLUICE_CAP_NO_ROLLBACK, "free of rollback");
  if (!condition.advice.empty()) text += "; " + condition.advice;
  if (text == reported_) return;
  host().log(condition.advice.empty() ? SLUICE_LOG_INFO : SLUICE_LOG_WARNING, text);
  reported_ = std::move(text);
}

Status Storage::bind(int64_t deadline_ns, bool replace, Uuid& cluster_id) {
  if (!running_) return stopped();
  return blocking([this, deadline_ns, replace, &cluster_id] { return tie(deadline_ns, replace, cluster_id); });
}

Task<Status> Storage::tie(int64_t deadline_ns, bool replace, Uuid& cluster_id) {
  if (replace) {
    const Result<std::vector<Listed>> logs = co_await list(deadline_ns);
    if (!logs) co_return logs.error();
    if (!logs->empty()) co_return Status(StatusCode::exists, fmt::format("the storage holds {} logs", logs->size()));
  }
  Command command;
  command.begin(replace ? 3 : 4).add("SET").add(cluster_key()).add(cluster_id.to_string());
  if (!replace) command.add("NX");
  command.begin(2).add("GET").add(cluster_key());
  const Answer answer = co_await engine_->servers.call(hash_slot(cluster_key()), Lane::write, command, deadline_ns);
  if (!answer.replied()) co_return answer.why;
  for (const size_t i : {0, 1}) {
    if (answer[i].is_error()) co_return status_of(answer[i].text());
  }
  const auto tied = Uuid::parse(answer[1].text());
  if (!tied) co_return Status(StatusCode::corrupt, fmt::format("{} does not hold the id of a cluster", cluster_key()));
  cluster_id = *tied;
  co_return Status();
}

// ---- Logs

std::shared_ptr<Log> Storage::log(const Uuid& id, uint32_t flags) {
  const std::lock_guard lock(mutex_);
  std::weak_ptr<Log>& place = logs_[id];
  std::shared_ptr<Log> found = place.lock();
  if (found == nullptr) place = found = std::make_shared<Log>(engine_, id, flags);
  // Logs that nobody holds any more are forgotten when there are many.
  if (logs_.size() > logs_before_sweep_) {
    std::erase_if(logs_, [](const auto& entry) { return entry.second.expired(); });
    logs_before_sweep_ = 2 * logs_.size() + 1024;
  }
  return found;
}

Result<std::unique_ptr<plugin::LogAdapter>> Storage::open(const sluice_log_descriptor& descriptor) {
  return std::make_unique<Handle>(calls_, log(plugin::log_id(descriptor), descriptor.flags));
}

Status Storage::create_log(plugin::Call& call, const sluice_log_descriptor& descriptor) {
  const int64_t deadline_ns = call.deadline_ns();
  return calls_->run(call, [this, log = log(plugin::log_id(descriptor), descriptor.flags),
                            copy = plugin::LogDescriptor::copy_of(descriptor),
                            deadline_ns]() mutable { return create(std::move(log), std::move(copy), deadline_ns); });
}

Task<Status> Storage::create(std::shared_ptr<Log> log, plugin::LogDescriptor descriptor, int64_t deadline_ns) {
  // First the index, so that whatever is there can be found; an id in it without a hash is no log.
  const Command index{"SADD", index_key(), descriptor.id.to_string()};
  const Answer indexed = co_await engine_->servers.call(hash_slot(index_key()), Lane::write, index, deadline_ns);
  if (!indexed.replied()) co_return indexed.why;
  if (indexed[0].is_error()) co_return status_of(indexed[0].text());

  const LogKeys& keys = log->keys();
  Command make;
  make.begin(20).add("EVALSHA").add(engine_->common.scripts[static_cast<size_t>(Script::create)]).add("2");
  make.add(keys.base).add(keys.stream(0)).add(last_id_at(descriptor.start_offset));
  make.add("created").add(descriptor.start_offset);
  make.add("flags").add(static_cast<int64_t>(descriptor.flags));
  make.add("topic").add(descriptor.topic);
  make.add("topic_id").add(descriptor.topic_id.to_string());
  make.add("partition").add(static_cast<int64_t>(descriptor.partition));
  make.add("partitions").add(static_cast<int64_t>(descriptor.partition_count));
  make.add("format").add(kFormat);
  const Answer made = co_await engine_->servers.call(keys.slot, Lane::write, make, deadline_ns);
  if (made.fate == Answer::Fate::lost) co_return Status(StatusCode::unknown, made.why.text());
  if (!made.replied()) co_return made.why;
  if (made[0].is_error()) co_return status_of(made[0].text());
  if (made[0][0].text() == "EXISTS") {
    co_return Status(StatusCode::exists, fmt::format("the log is there with another `{}`", made[0][1].text()));
  }
  co_return Status();
}

Status Storage::delete_log(plugin::Call& call, const sluice_log_descriptor& descriptor) {
  const Uuid id = plugin::log_id(descriptor);
  const int64_t deadline_ns = call.deadline_ns();
  return calls_->run(call, [this, log = log(id, descriptor.flags), id, deadline_ns]() mutable {
    return remove(std::move(log), id, deadline_ns);
  });
}

Task<Status> Storage::remove(std::shared_ptr<Log> log, Uuid id, int64_t deadline_ns) {
  log->begin_removal();
  const LogKeys& keys = log->keys();
  const std::string& script = engine_->common.scripts[static_cast<size_t>(Script::remove)];
  const Command unmake{"EVALSHA", script, "1", keys.base};
  const Answer unmade = co_await engine_->servers.call(keys.slot, Lane::write, unmake, deadline_ns);
  log->forget();
  if (unmade.fate == Answer::Fate::lost) co_return Status(StatusCode::unknown, unmade.why.text());
  if (!unmade.replied()) co_return unmade.why;
  if (unmade[0].is_error()) co_return status_of(unmade[0].text());
  const Command index{"SREM", index_key(), id.to_string()};
  const Answer indexed = co_await engine_->servers.call(hash_slot(index_key()), Lane::write, index, deadline_ns);
  static_cast<void>(indexed);  // an id without a hash is no log
  co_return Status();
}

Status Storage::list_logs(plugin::Call& call, sluice_log_list& list) {
  const int64_t deadline_ns = call.deadline_ns();
  return calls_->run(call, [this, &list, deadline_ns] { return list_into(list, deadline_ns); });
}

Task<Status> Storage::list_into(sluice_log_list& result, int64_t deadline_ns) {
  const Result<std::vector<Listed>> logs = co_await list(deadline_ns);
  if (!logs) co_return logs.error();
  auto made = std::make_unique<plugin::LogList>();
  for (const Listed& one : *logs) made->add(one.id, one.topic, one.partition);
  plugin::LogList::lend(std::move(made), result);
  co_return Status();
}

Task<Result<std::vector<Storage::Listed>>> Storage::list(int64_t deadline_ns) {
  const Command members{"SMEMBERS", index_key()};
  const Answer index = co_await engine_->servers.call(hash_slot(index_key()), Lane::read, members, deadline_ns);
  if (!index.replied()) co_return fail(index.why);
  if (index[0].is_error()) co_return fail(status_of(index[0].text()));
  // Those that lie on one server are asked for together.
  std::map<Link*, std::vector<Uuid>> ids_by_link;
  for (size_t i = 0; i < index[0].size(); ++i) {
    const auto id = Uuid::parse(index[0][i].text());
    if (!id) continue;
    ids_by_link[engine_->servers.link(LogKeys(engine_->prefix, *id).slot, Lane::read)].push_back(*id);
  }
  std::vector<Listed> found;
  for (const auto& [link, ids] : ids_by_link) {
    for (size_t from = 0; from < ids.size(); from += kMaxListedAtOnce) {
      const size_t count = std::min(ids.size() - from, kMaxListedAtOnce);
      Command command;
      uint16_t slot = 0;
      for (size_t i = 0; i < count; ++i) {
        const LogKeys keys(engine_->prefix, ids[from + i]);
        slot = keys.slot;
        command.begin(5).add("HMGET").add(keys.base).add("token").add("topic").add("partition");
      }
      const Answer answer = co_await engine_->servers.call(slot, Lane::read, command, deadline_ns);
      if (!answer.replied()) co_return fail(answer.why);
      for (size_t i = 0; i < count; ++i) {
        if (answer[i].is_error()) co_return fail(status_of(answer[i].text()));
        if (answer[i][0].is_nil()) continue;
        const auto partition = parse_number(answer[i][2].text());
        found.push_back({ids[from + i], std::string(answer[i][1].text()), static_cast<int32_t>(partition.value_or(0))});
      }
    }
  }
  co_return found;
}

}  // namespace sluice::redis
