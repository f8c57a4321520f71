// SPDX-License-Identifier: Apache-2.0
#include "redis/record_storage.hpp"

#include <fmt/format.h>

#include <set>

#include "redis/classify.hpp"

namespace sluice::redis {
namespace {

constexpr std::string_view kNativeName = "sluice.native.name";
constexpr std::string_view kScanCount = "1000";
constexpr size_t kMaxScanned = 1'000'000;  // keys of one server, in a listing

/// The text as a pattern that matches itself.
std::string literal(std::string_view text) {
  std::string pattern;
  for (const char c : text) {
    if (std::string_view("*?[]\\^").find(c) != std::string_view::npos) pattern += '\\';
    pattern += c;
  }
  return pattern;
}

Status failed(const Answer& answer) {
  if (answer.fate == Answer::Fate::lost)
    return Status(StatusCode::unknown, answer.why.text(), answer.why.native_code());
  return answer.why;
}

}  // namespace

// ---- A handle

class RecordStorage::Handle final : public plugin::LogAdapter {
 public:
  Handle(std::shared_ptr<Calls> calls, std::shared_ptr<RecordLog> log)
      : calls_(std::move(calls)), log_(std::move(log)) {}
  ~Handle() override { *closed_ = true; }

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
  Status trim(plugin::Call& call, uint64_t, int64_t offset) override {
    return calls_->run(
        call, [log = log_, offset, deadline_ns = call.deadline_ns()] { return log->trim(offset, deadline_ns); });
  }
  Status watch(plugin::Call& call, int64_t offset) override {
    return calls_->run(call, [log = log_, offset, closed = closed_, deadline_ns = call.deadline_ns()] {
      return log->watch(offset, closed, deadline_ns);
    });
  }

 private:
  const std::shared_ptr<Calls> calls_;
  const std::shared_ptr<RecordLog> log_;
  const std::shared_ptr<std::atomic<bool>> closed_ = std::make_shared<std::atomic<bool>>(false);
};

// ---- Topics

Status RecordStorage::bind(int64_t, bool, Uuid&) {
  return Status(StatusCode::unsupported, "streams of other programs belong to no cluster");
}

Result<RecordStorage::Wanted> RecordStorage::wanted(const sluice_log_descriptor& descriptor) const {
  const plugin::LogDescriptor copy = plugin::LogDescriptor::copy_of(descriptor);
  std::string native = copy.topic;
  bool adopted = false;
  for (const auto& [name, value] : copy.settings) {
    if (name != kNativeName) continue;
    native = value;
    adopted = true;
  }
  if (native.empty()) return fail(StatusCode::invalid, "a stream needs a name");
  RecordKeys keys(engine()->prefix, adopted && copy.partition == 0 ? native : stream_name(native, copy.partition));
  if (engine()->common.settings.mode == Mode::cluster && is_torn(keys)) {
    return fail(StatusCode::invalid,
                fmt::format("the braces in \"{}\" are no tag of a Redis Cluster's slot", keys.stream));
  }
  return Wanted{copy.id, std::move(native), copy.partition, adopted, std::move(keys)};
}

Result<std::unique_ptr<plugin::LogAdapter>> RecordStorage::open(const sluice_log_descriptor& descriptor) {
  auto wanted = this->wanted(descriptor);
  if (!wanted) return fail(wanted.error());
  return std::make_unique<Handle>(calls(), std::make_shared<RecordLog>(engine(), std::move(wanted->keys), wanted->id));
}

Status RecordStorage::create_log(plugin::Call& call, const sluice_log_descriptor& descriptor) {
  auto wanted = this->wanted(descriptor);
  if (!wanted) return wanted.error();
  return calls()->run(call, [this, wanted = std::move(*wanted), deadline_ns = call.deadline_ns()] {
    return stand(wanted, deadline_ns);
  });
}

Task<Status> RecordStorage::stand(Wanted wanted, int64_t deadline_ns) {
  Command command;
  command.begin(9).add("EVALSHA").add(engine()->common.scripts[static_cast<size_t>(Script::stand)]).add("2");
  command.add(wanted.keys.marker).add(wanted.keys.stream).add(wanted.id.to_string()).add(wanted.native);
  command.add(static_cast<int64_t>(wanted.partition)).add(wanted.adopted ? "1" : "0");
  const Answer answer = co_await engine()->servers.call(wanted.keys.slot, Lane::write, command, deadline_ns);
  if (!answer.replied()) co_return failed(answer);
  if (answer[0].is_error()) co_return status_of(answer[0].text());
  const std::string_view said = answer[0][0].text();
  const std::string& stream = wanted.keys.stream;
  if (said == "ABSENT") {
    co_return Status(StatusCode::not_found,
                     fmt::format("\"{}\" is no stream to adopt (its type is {})", stream, answer[0][1].text()));
  }
  if (said == "PRESENT") {
    co_return Status(StatusCode::exists,
                     fmt::format("the key \"{}\" is there already (its type is {})", stream, answer[0][1].text()));
  }
  if (said == "TAKEN") co_return Status(StatusCode::exists, fmt::format("another log stands for \"{}\"", stream));
  if (said == "EXISTS") {
    co_return Status(StatusCode::exists, fmt::format("the log is there with another `{}`", answer[0][1].text()));
  }
  co_return Status();
}

Status RecordStorage::delete_log(plugin::Call& call, const sluice_log_descriptor& descriptor) {
  auto wanted = this->wanted(descriptor);
  if (!wanted) return wanted.error();
  return calls()->run(call, [this, wanted = std::move(*wanted), deadline_ns = call.deadline_ns()] {
    return leave(wanted, deadline_ns);
  });
}

Task<Status> RecordStorage::leave(Wanted wanted, int64_t deadline_ns) {
  const std::string& script = engine()->common.scripts[static_cast<size_t>(Script::leave)];
  const Command command{"EVALSHA", script, "2", wanted.keys.marker, wanted.keys.stream, wanted.id.to_string()};
  const Answer answer = co_await engine()->servers.call(wanted.keys.slot, Lane::write, command, deadline_ns);
  if (!answer.replied()) co_return failed(answer);
  if (answer[0].is_error()) co_return status_of(answer[0].text());
  co_return Status();
}

// ---- Listing

Status RecordStorage::list_logs(plugin::Call& call, sluice_log_list& list) {
  return calls()->run(call, [this, &list, deadline_ns = call.deadline_ns()] { return this->list(list, deadline_ns); });
}

Task<Result<std::vector<std::string>>> RecordStorage::scan(Server& server, std::string pattern, std::string type,
                                                           int64_t deadline_ns) {
  std::vector<std::string> found;
  std::string cursor = "0";
  do {
    const Command command{"SCAN", cursor, "MATCH", pattern, "COUNT", kScanCount, "TYPE", type};
    const Answer answer = co_await server.reader.connection().call(command, deadline_ns);
    if (!answer.replied()) co_return fail(answer.why);
    if (answer[0].is_error()) co_return fail(status_of(answer[0].text()));
    cursor = answer[0][0].text();
    const ReplyView keys = answer[0][1];
    for (size_t i = 0; i < keys.size(); ++i) found.emplace_back(keys[i].text());
    if (found.size() > kMaxScanned) {
      co_return fail(StatusCode::too_large, fmt::format("more than {} streams on one server", kMaxScanned));
    }
  } while (cursor != "0");
  co_return found;
}

Task<Status> RecordStorage::list(sluice_log_list& result, int64_t deadline_ns) {
  auto listed = std::make_unique<plugin::LogList>();
  std::set<std::string> ours;     // streams
  std::set<std::string> foreign;  // a scan may tell a key twice
  for (Server* server : engine()->servers.all()) {
    const auto markers = co_await scan(*server, literal(marker_prefix(engine()->prefix)) + "*", "hash", deadline_ns);
    if (!markers) co_return markers.error();
    for (const std::string& marker : std::set<std::string>(markers->begin(), markers->end())) {
      const Command command{"HMGET", marker, "id", "native", "partition", "adopted"};
      const Answer answer = co_await engine()->servers.call(hash_slot(marker), Lane::read, command, deadline_ns);
      if (!answer.replied()) co_return answer.why;
      const auto id = Uuid::parse(answer[0][0].text());
      const auto partition = parse_number(answer[0][2].text());
      if (!id || !partition) continue;
      const std::string native(answer[0][1].text());
      const auto number = static_cast<int32_t>(*partition);
      listed->add(*id, native, number);
      ours.insert(stream_name(native, number));
    }
    const auto streams = co_await scan(*server, "*", "stream", deadline_ns);
    if (!streams) co_return streams.error();
    foreign.insert(streams->begin(), streams->end());
  }
  const std::string own = engine()->prefix + ":{";  // the layout `log`
  for (const std::string& stream : foreign) {
    if (!ours.contains(stream) && !stream.starts_with(own)) listed->add(Uuid(), stream, 0, SLUICE_ENTRY_FOREIGN);
  }
  plugin::LogList::lend(std::move(listed), result);
  co_return Status();
}

}  // namespace sluice::redis
