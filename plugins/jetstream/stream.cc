// SPDX-License-Identifier: Apache-2.0
#include "jetstream/stream.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <iterator>

#include "jetstream/base64.hpp"
#include "jetstream/reply.hpp"

namespace sluice::jetstream {
namespace {

using nlohmann::json;
using MaybeStored = std::optional<Stored>;

constexpr const char* kExpectedLast = "Nats-Expected-Last-Sequence";
constexpr const char* kExpectedLastOfSubject = "Nats-Expected-Last-Subject-Sequence";
constexpr const char* kSequenceHeader = "Nats-Sequence";  // added to answers of direct reads
constexpr const char* kSubjectHeader = "Nats-Subject";

/// When one attempt at what may be asked again is over.
int64_t attempt_by(int64_t deadline_ns) {
  return std::min(deadline_ns, monotonic_ns() + kAttemptMs * kNsPerMs);
}

StreamInfo info_of(const json& reply) {
  StreamInfo info;
  info.first = static_cast<uint64_t>(number_at(reply, "state.first_seq"));
  info.last = static_cast<uint64_t>(number_at(reply, "state.last_seq"));
  info.messages = static_cast<uint64_t>(number_at(reply, "state.messages"));
  info.bytes = static_cast<uint64_t>(number_at(reply, "state.bytes"));
  info.replicas = static_cast<int32_t>(number_at(reply, "config.num_replicas", 1));
  info.file = text_at(reply, "config.storage") == "file";
  info.direct = flag_at(reply, "config.allow_direct");
  info.created_ms = parse_time(text_at(reply, "created")).value_or(0);
  if (const auto config = reply.find("config"); config != reply.end()) info.config = *config;
  return info;
}

Result<MaybeStored> decode_leader(const json& reply) {
  const auto message = reply.find("message");
  if (message == reply.end()) return fail(StatusCode::internal, "an answer without a message");
  Stored stored;
  stored.sequence = static_cast<uint64_t>(number_at(*message, "seq"));
  stored.subject = text_at(*message, "subject");
  auto payload = decode_base64(text_at(*message, "data"));
  const auto headers = decode_base64(text_at(*message, "hdrs"));
  if (!payload || !headers || stored.sequence == 0) return fail(StatusCode::internal, "a message that is not readable");
  stored.entry = parse_entry(find_header(as_text(*headers), kEntryHeader).value_or(""));
  auto owner = std::make_shared<Buffer>(std::move(*payload));
  stored.payload = owner->view();
  stored.owner = std::move(owner);
  stored.block = as_text(*headers);
  stored.stored = text_at(*message, "time");
  return stored;
}

Result<MaybeStored> decode_answer_of_leader(const Reply& reply) {
  if (!reply.answered()) return fail(unanswered_read(reply));
  if (reply.message.no_responders()) return fail(StatusCode::unavailable, "no server answers for JetStream", 503);
  const Result<json> told = parse_api_reply(reply.message.payload());
  if (told) return decode_leader(*told);
  if (told.error().native_code() == kNoMessageFound) return MaybeStored();
  if (told.error().code() == StatusCode::unknown) return fail(StatusCode::unavailable, told.error().text());
  return fail(told.error());
}

/// Takes the last header of that name out: the server's own.
std::string_view take_last(HeaderViews& headers, std::string_view name) {
  const auto found =
      std::find_if(headers.rbegin(), headers.rend(), [&](const auto& each) { return each.first == name; });
  if (found == headers.rend()) return {};
  const std::string_view value = found->second;
  headers.erase(std::next(found).base());
  return value;
}

}  // namespace

void read_stored(const Stored& stored, StoredMessage& out) {
  out.payload = stored.payload;
  out.subject = stored.subject;
  out.headers.clear();
  std::string_view time = stored.stored;
  if (!stored.message) {
    read_headers(stored.block, out.headers);
  } else {
    read_headers(stored.message.headers(), out.headers);
    time = take_last(out.headers, "Nats-Time-Stamp");
    for (const char* name : {kSequenceHeader, kSubjectHeader, "Nats-Stream"}) take_last(out.headers, name);
  }
  out.stored_ms = parse_time(time).value_or(records::kNoTimestamp);
}

void read_delivered(const Message& message, int64_t stored_ms, StoredMessage& out) {
  out.payload = message.payload();
  out.subject = message.subject();
  out.headers.clear();
  read_headers(message.headers(), out.headers);
  out.stored_ms = stored_ms;
}

// ---- Orders

Task<Result<json>> Stream::ask(std::string subject, std::string body, int64_t deadline_ns) {
  Outgoing outgoing;
  outgoing.subject = std::move(subject);
  outgoing.payload = as_bytes(body);
  outgoing.deadline_ns = deadline_ns;
  const Reply reply = co_await client_.request(outgoing);
  if (!reply.answered()) co_return fail(unanswered_write(reply));
  if (reply.message.no_responders()) co_return fail(StatusCode::unavailable, "no server answers for JetStream", 503);
  co_return parse_api_reply(reply.message.payload());
}

Task<Result<json>> Stream::insist(std::string subject, std::string body, int64_t deadline_ns) {
  for (;;) {
    const int64_t until_ns = attempt_by(deadline_ns);
    Result<json> reply = co_await ask(subject, body, until_ns);
    const bool silent = !reply && reply.error().code() == StatusCode::unknown && monotonic_ns() >= until_ns;
    if (!silent || until_ns == deadline_ns) co_return reply;
  }
}

Outgoing Stream::info_question(int64_t deadline_ns) const {
  Outgoing outgoing;
  outgoing.subject = api("INFO");
  outgoing.deadline_ns = deadline_ns;
  return outgoing;
}

Result<StreamInfo> Stream::info_answer(const Reply& reply) {
  if (!reply.answered()) return fail(unanswered_read(reply));
  if (reply.message.no_responders()) return fail(StatusCode::unavailable, "no server answers for JetStream", 503);
  const Result<json> told = parse_api_reply(reply.message.payload());
  if (told) return info_of(*told);
  // Asking changes nothing: it is never unknown what it did.
  if (told.error().code() == StatusCode::unknown) return fail(StatusCode::unavailable, told.error().text());
  return fail(told.error());
}

Task<Result<StreamInfo>> Stream::info(int64_t deadline_ns) {
  for (;;) {
    const int64_t until_ns = attempt_by(deadline_ns);
    const Outgoing outgoing = info_question(until_ns);
    const Reply reply = co_await client_.request(outgoing);
    if (reply.kind != Reply::Kind::overdue || until_ns == deadline_ns) co_return info_answer(reply);
  }
}

Task<Result<StreamInfo>> Stream::create(const json& config, int64_t deadline_ns) {
  const Result<json> reply = co_await insist(api("CREATE"), config.dump(), deadline_ns);
  if (!reply) co_return fail(reply.error());
  co_return info_of(*reply);
}

Task<Status> Stream::remove(int64_t deadline_ns) {
  const Result<json> reply = co_await insist(api("DELETE"), {}, deadline_ns);
  if (reply || reply.error().native_code() == kStreamNotFound) co_return Status();
  co_return reply.error();
}

Task<Status> Stream::purge(std::string subject, uint64_t below, uint64_t keep, int64_t deadline_ns) {
  json order = json::object();
  if (!subject.empty()) order["filter"] = std::move(subject);
  if (below > 0) order["seq"] = below;
  if (keep > 0) order["keep"] = keep;
  const Result<json> reply = co_await ask(api("PURGE"), order.dump(), deadline_ns);
  co_return reply ? Status() : reply.error();
}

Task<Result<uint64_t>> Stream::publish(const Publishing& publishing, int64_t deadline_ns) {
  Outgoing outgoing;
  outgoing.subject = publishing.subject;
  if (!publishing.entry.empty()) outgoing.headers.emplace_back(kEntryHeader, publishing.entry);
  if (publishing.expected_last) outgoing.headers.emplace_back(kExpectedLast, std::to_string(*publishing.expected_last));
  if (publishing.expected_last_of_subject) {
    outgoing.headers.emplace_back(kExpectedLastOfSubject, std::to_string(*publishing.expected_last_of_subject));
  }
  outgoing.payload = publishing.payload;
  outgoing.deadline_ns = std::min(deadline_ns, monotonic_ns() + kWriteMs * kNsPerMs);
  if (deadline_ns <= monotonic_ns()) outgoing.deadline_ns = deadline_ns;
  const Reply reply = co_await client_.request(outgoing);
  if (reply.kind == Reply::Kind::overdue && monotonic_ns() < deadline_ns) {
    // Nothing more lands in a stream that is gone.
    const Result<StreamInfo> there = co_await info(std::min(deadline_ns, monotonic_ns() + kDirectReadMs * kNsPerMs));
    if (!there && there.error().code() == StatusCode::not_found) co_return fail(there.error());
  }
  if (!reply.answered()) co_return fail(unanswered_write(reply));
  if (!reply.message.no_responders()) co_return parse_publish_ack(reply.message.payload());
  // Nobody took it: either there is no such stream, or its leader is being elected.
  const Result<StreamInfo> there = co_await info(deadline_ns);
  if (!there && there.error().code() == StatusCode::not_found) co_return fail(there.error());
  co_return fail(StatusCode::unavailable, "the stream has no leader at the moment", 503);
}

// ---- Reads

Result<MaybeStored> Stream::decode_direct(const Message& message) {
  const std::string_view sequence = message.last_header(kSequenceHeader);
  if (sequence.empty()) {
    const std::string_view status = message.status();
    if (status.starts_with("404")) return MaybeStored();
    return fail(StatusCode::internal, fmt::format("a direct read answered {}", status));
  }
  Stored stored;
  const auto [at, error] = std::from_chars(sequence.data(), sequence.data() + sequence.size(), stored.sequence);
  if (error != std::errc()) return fail(StatusCode::internal, "a direct read answered without a sequence");
  stored.subject = message.last_header(kSubjectHeader);
  stored.entry = parse_entry(message.header(kEntryHeader));
  stored.payload = message.payload();
  stored.owner = message.owner();
  stored.message = message;
  return stored;
}

// A question to whoever may answer it.
Outgoing Stream::question(bool direct, const std::string& query, int64_t deadline_ns) const {
  Outgoing outgoing;
  outgoing.subject = direct ? direct_subject() : api("MSG.GET");
  outgoing.payload = as_bytes(query);
  outgoing.deadline_ns =
      direct ? std::min(deadline_ns, monotonic_ns() + kDirectReadMs * kNsPerMs) : attempt_by(deadline_ns);
  return outgoing;
}

// A stream that is deleted in the meantime may leave a question without an answer.
Task<Result<MaybeStored>> Stream::leader(std::string query, int64_t deadline_ns) {
  for (;;) {
    const Outgoing outgoing = question(false, query, deadline_ns);
    const Reply reply = co_await client_.request(outgoing);
    if (reply.kind != Reply::Kind::overdue || monotonic_ns() >= deadline_ns) co_return decode_answer_of_leader(reply);
    const Result<StreamInfo> there = co_await info(deadline_ns);
    if (!there) co_return fail(there.error());
  }
}

// Makes of the first answer the final one: asks the leader, asks again, or finds that the stream is gone.
Task<Result<MaybeStored>> Stream::settle(Reply reply, bool direct, std::string query, int64_t deadline_ns) {
  for (;;) {
    if (!direct && reply.kind == Reply::Kind::overdue) co_return co_await leader(std::move(query), deadline_ns);
    if (!direct) co_return decode_answer_of_leader(reply);
    // Nobody may answer direct reads: the stream is gone, or does not allow them, or moves.
    const bool nobody = reply.answered() && reply.message.no_responders();
    if (reply.answered() && !nobody) {
      Result<MaybeStored> decoded = decode_direct(reply.message);
      if (!decoded || *decoded || !replicated_) co_return decoded;
      co_return co_await leader(std::move(query), deadline_ns);
    }
    if (!nobody && (reply.kind != Reply::Kind::overdue || monotonic_ns() >= deadline_ns)) {
      co_return fail(unanswered_read(reply));
    }
    const Result<StreamInfo> there = co_await info(deadline_ns);
    if (!there) co_return fail(there.error());
    direct_ = direct = there->direct;
    if (nobody && direct) co_return co_await leader(std::move(query), deadline_ns);
    const Outgoing again = question(direct, query, deadline_ns);
    reply = co_await client_.request(again);
  }
}

Task<Result<MaybeStored>> Stream::direct(std::string query, int64_t deadline_ns) {
  const bool direct = direct_;
  const Outgoing outgoing = question(direct, query, deadline_ns);
  Reply reply = co_await client_.request(outgoing);
  co_return co_await settle(std::move(reply), direct, query, deadline_ns);
}

Task<Result<MaybeStored>> Stream::at(uint64_t sequence, int64_t deadline_ns) {
  return direct(fmt::format(R"({{"seq":{}}})", sequence), deadline_ns);
}

Task<Result<MaybeStored>> Stream::next(uint64_t sequence, const std::string& subject, int64_t deadline_ns) {
  return direct(fmt::format(R"({{"seq":{},"next_by_subj":"{}"}})", sequence, subject), deadline_ns);
}

std::string Stream::query_of_last(std::string_view subject) {
  return fmt::format(R"({{"last_by_subj":"{}"}})", subject);
}

Outgoing Stream::question_of_last(const std::string& query, int64_t deadline_ns) const {
  return question(!replicated_, query, deadline_ns);
}

Task<Result<MaybeStored>> Stream::settle_last(Reply reply, std::string query, int64_t deadline_ns) {
  return settle(std::move(reply), !replicated_, std::move(query), deadline_ns);
}

Task<Result<MaybeStored>> Stream::last(const std::string& subject, int64_t deadline_ns) {
  std::string query = query_of_last(subject);
  return replicated_ ? leader(std::move(query), deadline_ns) : direct(std::move(query), deadline_ns);
}

Task<Result<MaybeStored>> Stream::last_by_leader(const std::string& subject, int64_t deadline_ns) {
  return leader(query_of_last(subject), deadline_ns);
}

// What is not answered in time is asked for again, all of it at once, if the stream is there.
Task<Result<std::vector<MaybeStored>>> Stream::range(uint64_t first, size_t count, int64_t deadline_ns) {
  std::vector<std::string> queries(count);
  std::vector<MaybeStored> found(count);
  std::vector<size_t> open(count);
  for (size_t i = 0; i < count; ++i) {
    queries[i] = fmt::format(R"({{"seq":{}}})", first + i);
    open[i] = i;
  }
  for (;;) {
    const bool direct = direct_;
    std::vector<Outgoing> outgoing;
    outgoing.reserve(open.size());
    for (const size_t i : open) outgoing.push_back(question(direct, queries[i], deadline_ns));
    std::vector<Reply> replies = co_await client_.requests(outgoing);
    std::vector<size_t> overdue;
    for (size_t k = 0; k < open.size(); ++k) {
      const size_t i = open[k];
      if (direct && replies[k].kind == Reply::Kind::overdue && monotonic_ns() < deadline_ns) {
        overdue.push_back(i);
        continue;
      }
      Result<MaybeStored> one = co_await settle(std::move(replies[k]), direct, queries[i], deadline_ns);
      if (!one) co_return fail(one.error());
      found[i] = std::move(*one);
    }
    if (overdue.empty()) co_return found;
    open = std::move(overdue);
    const Result<StreamInfo> there = co_await info(deadline_ns);
    if (!there) co_return fail(there.error());
    direct_ = there->direct;
  }
}

// ---- Consumers

Task<Result<std::string>> Stream::make_consumer(uint64_t sequence, int64_t idle_ms, int64_t deadline_ns) {
  const json order = {{"stream_name", name_},
                      {"config",
                       {{"deliver_policy", "by_start_sequence"},
                        {"opt_start_seq", sequence},
                        {"ack_policy", "none"},
                        {"replay_policy", "instant"},
                        {"inactive_threshold", idle_ms * kNsPerMs},
                        {"mem_storage", true},
                        {"num_replicas", 1}}}};
  const Result<json> reply =
      co_await ask(settings_.api() + ".CONSUMER.CREATE." + name_, order.dump(), attempt_by(deadline_ns));
  if (!reply) co_return fail(reply.error());
  std::string consumer = text_at(*reply, "name");
  if (consumer.empty()) co_return fail(StatusCode::internal, "a consumer without a name");
  co_return consumer;
}

Task<Status> Stream::remove_consumer(std::string consumer, int64_t deadline_ns) {
  const Result<json> reply =
      co_await ask(fmt::format("{}.CONSUMER.DELETE.{}.{}", settings_.api(), name_, consumer), {}, deadline_ns);
  co_return reply ? Status() : reply.error();
}

std::string Stream::query_of_pull(size_t most, uint64_t most_bytes) {
  return fmt::format(R"({{"batch":{},"max_bytes":{},"no_wait":true}})", most, most_bytes);
}

Outgoing Stream::pull_question(const std::string& consumer, const std::string& query, int64_t deadline_ns) const {
  Outgoing outgoing;
  outgoing.subject = fmt::format("{}.CONSUMER.MSG.NEXT.{}.{}", settings_.api(), name_, consumer);
  outgoing.payload = as_bytes(query);
  outgoing.deadline_ns = attempt_by(deadline_ns);
  return outgoing;
}

}  // namespace sluice::jetstream
