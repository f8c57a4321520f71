// SPDX-License-Identifier: Apache-2.0
#include "jetstream/record_storage.hpp"

#include <fmt/format.h>

#include <set>

#include "jetstream/names.hpp"
#include "jetstream/reply.hpp"
#include "jetstream/stream_config.hpp"

namespace sluice::jetstream {
namespace {

constexpr std::string_view kNativeName = "sluice.native.name";
constexpr int32_t kSubjectsOverlap = 10065;

/// What the marker of this log says.
Marker wanted_by(const sluice_log_descriptor& descriptor) {
  const plugin::LogDescriptor copy = plugin::LogDescriptor::copy_of(descriptor);
  Marker wanted;
  wanted.id = copy.id;
  wanted.partition = copy.partition;
  wanted.native = copy.topic;
  for (const auto& [name, value] : copy.settings) {
    if (name != kNativeName) continue;
    wanted.native = value;
    wanted.adopted = true;
  }
  wanted.stream = wanted.adopted ? wanted.native : topic_stream(wanted.native, wanted.partition);
  return wanted;
}

/// A stream whose name would be more than one token of a subject, or a pattern, cannot be there.
bool can_be_stream(std::string_view name) {
  return !name.empty() && name.find_first_of(". \t\r\n*>/\\") == std::string_view::npos;
}

}  // namespace

// ---- A handle

class RecordStorage::Handle final : public plugin::LogAdapter {
 public:
  Handle(Engine& engine, std::shared_ptr<RecordLog> log) : engine_(engine), log_(std::move(log)) {}
  ~Handle() override {
    *closed_ = true;
    engine_.loop.post([log = log_] { log->close(); });
  }

  Status append(plugin::Call& call, const sluice_append& request, sluice_append_result& result) override {
    return engine_.run(call, [log = log_, &request, &result, deadline_ns = answer_by(call)] {
      return log->append(request, result, deadline_ns);
    });
  }
  Status read(plugin::Call& call, const sluice_read& request, sluice_read_result& result) override {
    return engine_.run(call, [log = log_, &request, &result, deadline_ns = answer_by(call)] {
      return log->read(request, result, deadline_ns);
    });
  }
  Status bounds(plugin::Call& call, sluice_bounds& result) override {
    return engine_.run(
        call, [log = log_, &result, deadline_ns = answer_by(call)] { return log->bounds(result, deadline_ns); });
  }
  Status locate(plugin::Call& call, int64_t timestamp, sluice_locate_result& result) override {
    return engine_.run(call, [log = log_, timestamp, &result, deadline_ns = answer_by(call)] {
      return log->locate(timestamp, result, deadline_ns);
    });
  }
  Status trim(plugin::Call& call, uint64_t, int64_t offset) override {
    return engine_.run(call,
                       [log = log_, offset, deadline_ns = answer_by(call)] { return log->trim(offset, deadline_ns); });
  }
  Status watch(plugin::Call& call, int64_t offset) override {
    return engine_.run(call, [log = log_, offset, closed = closed_, deadline_ns = answer_by(call)] {
      return log->watch(offset, closed, deadline_ns);
    });
  }

 private:
  Engine& engine_;
  const std::shared_ptr<RecordLog> log_;
  const std::shared_ptr<std::atomic<bool>> closed_ = std::make_shared<std::atomic<bool>>(false);
};

// ---- The storage

RecordStorage::RecordStorage(plugin::Host host, Settings settings)
    : Storage(std::move(host), std::move(settings)), markers_(engine()) {}

nlohmann::json RecordStorage::own_stream() const {
  return markers_config(engine().settings);
}

void RecordStorage::describe(const StreamInfo& own, plugin::Condition& condition) const {
  Storage::describe(own, condition);
  condition.kind = SLUICE_KIND_NATIVE;
  condition.largest_unit = kLargestRecordUnit;
  condition.preferred_unit = 0;  // the host's choice: a unit is many messages anyway
}

Status RecordStorage::bind(int64_t, bool, Uuid&) {
  return Status(StatusCode::unsupported, "streams of other programs belong to no cluster");
}

Result<std::unique_ptr<plugin::LogAdapter>> RecordStorage::open(const sluice_log_descriptor& descriptor) {
  const Marker wanted = wanted_by(descriptor);
  if (!can_be_stream(wanted.stream)) {
    return fail(StatusCode::invalid, fmt::format("\"{}\" is no name of a stream", wanted.stream));
  }
  return std::make_unique<Handle>(engine(), std::make_shared<RecordLog>(engine(), wanted.stream, wanted.id));
}

// ---- Topics

Status RecordStorage::create_log(plugin::Call& call, const sluice_log_descriptor& descriptor) {
  if ((descriptor.flags & SLUICE_LOG_SEVERAL_WRITERS) != 0) {
    return Status(StatusCode::unsupported, "the broker's own logs are not kept in streams of other programs");
  }
  Marker wanted = wanted_by(descriptor);
  if (wanted.adopted && !can_be_stream(wanted.stream)) {
    return Status(StatusCode::not_found, fmt::format("\"{}\" is no name of a stream", wanted.stream));
  }
  if (wanted.adopted && wanted.partition != 0) {
    return Status(StatusCode::invalid, "an adopted topic is one stream, and has one partition");
  }
  if (!wanted.adopted && (!can_be_stream(wanted.stream) || !can_be_subject(wanted.native))) {
    return Status(StatusCode::invalid,
                  fmt::format("\"{}\" cannot be a subject: dots at an end, or two in a row", wanted.native));
  }
  return engine().run(
      call, [this, wanted = std::move(wanted), deadline_ns = answer_by(call)] { return stand(wanted, deadline_ns); });
}

// The marker comes first, so that of two who want a name one makes the stream; what a failure left half done is
// finished by the next try.
Task<Status> RecordStorage::stand(Marker wanted, int64_t deadline_ns) {
  Stream stream(engine().client, engine().settings, wanted.stream);
  const auto there = co_await stream.info(deadline_ns);
  if (!there && there.error().code() != StatusCode::not_found) co_return there.error();
  if (!there && wanted.adopted) {
    co_return Status(StatusCode::not_found, fmt::format("there is no stream \"{}\" to adopt", wanted.stream));
  }
  if (there && !wanted.adopted) {
    const auto marker = co_await markers_.of(wanted.stream, deadline_ns);
    if (!marker) co_return marker.error();
    if (!*marker) {
      co_return Status(StatusCode::exists, fmt::format("the stream \"{}\" is there already: `sluice topic adopt` makes "
                                                       "a topic of it",
                                                       wanted.stream));
    }
  }
  const Status marked = co_await markers_.put(wanted, deadline_ns);
  if (!marked.ok() || there) co_return marked;
  const Status made = co_await make_stream(wanted, deadline_ns);
  const bool refused = made.code() == StatusCode::exists || made.code() == StatusCode::invalid ||
                       made.code() == StatusCode::no_space || made.code() == StatusCode::denied;
  if (refused) static_cast<void>(co_await markers_.remove(wanted.stream, wanted.id, deadline_ns));
  co_return made;
}

Task<Status> RecordStorage::make_stream(Marker wanted, int64_t deadline_ns) {
  Stream stream(engine().client, engine().settings, wanted.stream);
  const auto made =
      co_await stream.create(topic_config(engine().settings, wanted.native, wanted.partition), deadline_ns);
  if (made) co_return Status();
  if (made.error().native_code() == kSubjectsOverlap) {
    co_return Status(StatusCode::exists,
                     fmt::format("another stream takes the subject \"{}\": `sluice topic adopt` makes a topic of it",
                                 topic_subject(wanted.native, wanted.partition)),
                     kSubjectsOverlap);
  }
  co_return made.error();
}

Status RecordStorage::delete_log(plugin::Call& call, const sluice_log_descriptor& descriptor) {
  Marker wanted = wanted_by(descriptor);
  if (!can_be_stream(wanted.stream)) return {};
  return engine().run(
      call, [this, wanted = std::move(wanted), deadline_ns = answer_by(call)] { return leave(wanted, deadline_ns); });
}

// The stream goes first: the marker alone says that it is ours to remove.
Task<Status> RecordStorage::leave(Marker wanted, int64_t deadline_ns) {
  const auto marker = co_await markers_.of(wanted.stream, deadline_ns);
  if (!marker) co_return marker.error();
  if (!*marker || (*marker)->id != wanted.id) co_return Status();
  if (!(*marker)->adopted) {
    Stream stream(engine().client, engine().settings, wanted.stream);
    const Status removed = co_await stream.remove(deadline_ns);
    if (!removed.ok()) co_return removed;
  }
  co_return co_await markers_.remove(wanted.stream, wanted.id, deadline_ns);
}

// ---- Listing

Status RecordStorage::list_logs(plugin::Call& call, sluice_log_list& list) {
  return engine().run(call, [this, &list, deadline_ns = answer_by(call)] { return this->list(list, deadline_ns); });
}

Task<Result<std::vector<std::string>>> RecordStorage::stream_names(int64_t deadline_ns) {
  std::vector<std::string> names;
  for (;;) {
    const nlohmann::json query = {{"offset", names.size()}};
    const auto reply = co_await ask("STREAM.NAMES", query.dump(), deadline_ns);
    if (!reply) co_return fail(reply.error());
    const auto page = reply->find("streams");
    if (page == reply->end() || !page->is_array() || page->empty()) co_return names;
    for (const auto& name : *page) {
      if (name.is_string()) names.push_back(name.get<std::string>());
    }
    if (static_cast<int64_t>(names.size()) >= number_at(*reply, "total")) co_return names;
  }
}

Task<Status> RecordStorage::list(sluice_log_list& result, int64_t deadline_ns) {
  const std::string& prefix = engine().settings.prefix;
  const auto names = co_await stream_names(deadline_ns);
  if (!names) co_return names.error();
  const auto markers = co_await markers_.all(deadline_ns);
  if (!markers) co_return markers.error();
  auto listed = std::make_unique<plugin::LogList>();
  std::set<std::string> left(names->begin(), names->end());
  for (const Marker& marker : *markers) {
    // Until its stream is there a log is not whole.
    if (left.erase(marker.stream) > 0) listed->add(marker.id, marker.native, marker.partition);
  }
  left.erase(marker_stream(prefix));
  left.erase(root_stream(prefix));
  for (const std::string& name : left) {
    if (name.starts_with('$') || parse_log_stream(prefix, name)) continue;
    listed->add(Uuid(), name, 0, SLUICE_ENTRY_FOREIGN);
  }
  plugin::LogList::lend(std::move(listed), result);
  co_return Status();
}

}  // namespace sluice::jetstream
