// SPDX-License-Identifier: Apache-2.0
#include "redis/record_storage.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <optional>
#include <utility>

#include "redis/classify.hpp"

namespace sluice::redis {
namespace {

constexpr std::string_view kNativeName = "sluice.native.name";
constexpr int64_t kScanCount = 1000;      // keys looked at by one SCAN
constexpr size_t kMaxListed = 1'000'000;  // streams

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
  if ((descriptor.flags & SLUICE_LOG_SEVERAL_WRITERS) != 0) {
    return fail(StatusCode::unsupported, "streams of other programs have no offsets to agree on before writing");
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

/// INVALID for a stream that nothing could be appended to: as its ids are no times, or, with dense ids, are.
Task<Status> RecordStorage::check_ids(const Wanted& wanted, int64_t deadline_ns) {
  Command command{"EXISTS", wanted.keys.marker};
  command.begin(3).add("XINFO").add("STREAM").add(wanted.keys.stream);
  const Answer answer = co_await engine()->servers.call(wanted.keys.slot, Lane::read, command, deadline_ns);
  if (!answer.replied()) co_return answer.why;
  if (answer[0].is_error()) co_return status_of(answer[0].text());
  if (answer[0].integer() > 0) co_return Status();  // it was adopted before
  const Ids ids = engine()->common.settings.ids;
  for (size_t i = 0; i + 1 < answer[1].size(); i += 2) {
    if (answer[1][i].text() != "last-generated-id") continue;
    const auto last = parse_entry_id(answer[1][i + 1].text());
    if (!last || !is_beyond(*last, ids)) break;
    co_return Status(StatusCode::invalid,
                     fmt::format("nothing could be appended to the stream \"{}\", whose last id is {}-{}: {}",
                                 wanted.keys.stream, last->high, last->low, offset_of(*last, ids).error().text()));
  }
  co_return Status();  // what is no stream is told by the script
}

Task<Status> RecordStorage::stand(Wanted wanted, int64_t deadline_ns) {
  if (wanted.adopted) {
    Status status = co_await check_ids(wanted, deadline_ns);
    if (!status.ok()) co_return status;
  }
  Command command;
  command.begin(9).add("EVALSHA").add(engine()->common.scripts[static_cast<size_t>(Script::stand)]).add("2");
  command.add(wanted.keys.marker).add(wanted.keys.stream).add(wanted.id.to_string()).add(wanted.native);
  command.add(static_cast<int64_t>(wanted.partition)).add(wanted.adopted ? "1" : "0");
  const Answer answer = co_await engine()->servers.call(wanted.keys.slot, Lane::write, command, deadline_ns);
  ++changes_;
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
  ++changes_;
  if (!answer.replied()) co_return failed(answer);
  if (answer[0].is_error()) co_return status_of(answer[0].text());
  co_return Status();
}

// ---- Listing

Status RecordStorage::list_logs(plugin::Call& call, sluice_log_list& list) {
  return calls()->run(call, [this, &list, deadline_ns = call.deadline_ns()] { return this->list(list, deadline_ns); });
}

Task<Status> RecordStorage::list(sluice_log_list& result, int64_t deadline_ns) {
  const int64_t until_ns = now_ns() + kListStepMs * kNsPerMs;
  std::optional<Listing> listing = std::exchange(unfinished_, std::nullopt);
  if (!listing || !goes_on(*listing)) {
    Result<Listing> begun = co_await begin_listing(deadline_ns);
    if (!begun) co_return begun.error();
    listing = std::move(*begun);
  }
  while (!listing->left.empty()) {
    const Status status = co_await step(*listing, deadline_ns);
    if (!status.ok()) co_return status;
    if (listing->streams.size() > kMaxListed || listing->ours.size() > kMaxListed) {
      co_return Status(StatusCode::too_large, fmt::format("there are more than {} streams", kMaxListed));
    }
    if (now_ns() < until_ns || listing->left.empty()) continue;
    const uint64_t percent = std::min<uint64_t>(100 * listing->looked_at / std::max<uint64_t>(listing->keys, 1), 99);
    listing->paused_at_ns = now_ns();
    unfinished_ = std::move(listing);
    co_return Status(StatusCode::busy,
                     fmt::format("the server holds many keys, and {}% are looked through: ask again", percent));
  }
  lend(*listing, result);
  co_return Status();
}

Task<Result<RecordStorage::Listing>> RecordStorage::begin_listing(int64_t deadline_ns) {
  Listing listing;
  listing.changes = changes_;
  listing.servers = engine()->servers.all();
  const Command size{"DBSIZE"};
  for (Server* server : listing.servers) {
    const uint64_t generation = server->reader.generation();
    const Answer answer = co_await server->reader.connection().call(size, deadline_ns);
    if (!answer.replied()) co_return fail(answer.why);
    if (answer[0].is_error()) co_return fail(status_of(answer[0].text()));
    listing.keys += 2 * static_cast<uint64_t>(std::max<int64_t>(answer[0].integer(), 0));
    for (const bool markers : {true, false}) listing.left.push_back({server, generation, markers, "0"});
  }
  co_return listing;
}

/// Whether what was looked through still counts.
bool RecordStorage::goes_on(const Listing& listing) const {
  if (listing.changes != changes_ || now_ns() - listing.paused_at_ns > kListKeptMs * kNsPerMs) return false;
  if (listing.servers != engine()->servers.all()) return false;
  return std::all_of(listing.left.begin(), listing.left.end(),
                     [](const Listing::Pass& pass) { return pass.generation == pass.server->reader.generation(); });
}

/// One SCAN, and what the markers say that it found.
Task<Status> RecordStorage::step(Listing& listing, int64_t deadline_ns) {
  Listing::Pass& pass = listing.left.back();
  Connection& connection = pass.server->reader.connection();
  if (pass.generation != pass.server->reader.generation()) {
    co_return Status(StatusCode::unavailable, "the server went away while its keys were looked through");
  }
  Command command;
  command.begin(8).add("SCAN").add(pass.cursor).add("COUNT").add(kScanCount).add("MATCH");
  command.add(pass.markers ? literal(marker_prefix(engine()->prefix)) + "*" : std::string("*"));
  command.add("TYPE").add(pass.markers ? "hash" : "stream");
  const Answer answer = co_await connection.call(command, deadline_ns);
  if (!answer.replied()) co_return answer.why;
  if (answer[0].is_error()) co_return status_of(answer[0].text());
  listing.looked_at += static_cast<uint64_t>(kScanCount);
  pass.cursor = answer[0][0].text();
  const bool over = pass.cursor == "0";
  const ReplyView keys = answer[0][1];
  if (!pass.markers) {
    for (size_t i = 0; i < keys.size(); ++i) listing.streams.emplace(keys[i].text());
  } else if (keys.size() > 0) {
    Command markers;
    for (size_t i = 0; i < keys.size(); ++i) {
      markers.begin(5).add("HMGET").add(keys[i].text()).add("id").add("native").add("partition");
    }
    const Answer told = co_await connection.call(markers, deadline_ns);
    if (!told.replied()) co_return told.why;
    for (size_t i = 0; i < keys.size(); ++i) {
      if (told[i].is_error()) co_return status_of(told[i].text());
      const auto id = Uuid::parse(told[i][0].text());
      const auto partition = parse_number(told[i][2].text());
      if (!id || !partition) continue;
      const std::string native(told[i][1].text());
      const auto number = static_cast<int32_t>(*partition);
      listing.ours.insert_or_assign(stream_name(native, number), Listing::Ours{*id, native, number});
    }
  }
  if (over) listing.left.pop_back();
  co_return Status();
}

void RecordStorage::lend(const Listing& listing, sluice_log_list& result) const {
  auto listed = std::make_unique<plugin::LogList>();
  for (const auto& [stream, ours] : listing.ours) listed->add(ours.id, ours.native, ours.partition);
  const std::string own = engine()->prefix + ":{";  // the layout `log`
  for (const std::string& stream : listing.streams) {
    if (!listing.ours.contains(stream) && !stream.starts_with(own)) {
      listed->add(Uuid(), stream, 0, SLUICE_ENTRY_FOREIGN);
    }
  }
  plugin::LogList::lend(std::move(listed), result);
}

}  // namespace sluice::redis
