// SPDX-License-Identifier: Apache-2.0
#include "jetstream/stream.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>

#include "jetstream/base64.hpp"
#include "jetstream/reply.hpp"

namespace sluice::jetstream {
namespace {

using nlohmann::json;
using MaybeStored = std::optional<Stored>;

constexpr const char* kExpectedLast = "Nats-Expected-Last-Sequence";
constexpr const char* kExpectedLastOfSubject = "Nats-Expected-Last-Subject-Sequence";

StreamInfo info_of(const json& reply) {
  StreamInfo info;
  info.first = static_cast<uint64_t>(number_at(reply, "state.first_seq"));
  info.last = static_cast<uint64_t>(number_at(reply, "state.last_seq"));
  info.messages = static_cast<uint64_t>(number_at(reply, "state.messages"));
  info.bytes = static_cast<uint64_t>(number_at(reply, "state.bytes"));
  info.replicas = static_cast<int32_t>(number_at(reply, "config.num_replicas", 1));
  info.file = text_at(reply, "config.storage") == "file";
  if (const auto config = reply.find("config"); config != reply.end()) info.config = *config;
  return info;
}

// The value of a header in a block of "NATS/1.0\r\nName: value\r\n...".
std::string_view header_in(std::string_view block, std::string_view name) {
  size_t at = 0;
  while ((at = block.find("\r\n", at)) != std::string_view::npos) {
    at += 2;
    std::string_view line = block.substr(at, block.find("\r\n", at) - at);
    if (!line.starts_with(name) || line.size() <= name.size() || line[name.size()] != ':') continue;
    line.remove_prefix(name.size() + 1);
    while (!line.empty() && line.front() == ' ') line.remove_prefix(1);
    return line;
  }
  return {};
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
  stored.entry = parse_entry(header_in(as_text(*headers), kEntryHeader));
  auto owner = std::make_shared<Buffer>(std::move(*payload));
  stored.payload = owner->view();
  stored.owner = std::move(owner);
  return stored;
}

}  // namespace

// ---- Orders
// ---------------------------------------------------------------------------------------------------------------

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

Task<Result<StreamInfo>> Stream::info(int64_t deadline_ns) {
  Result<json> reply = co_await ask(api("INFO"), {}, deadline_ns);
  if (!reply) {
    // Asking changes nothing: it is never unknown what it did.
    if (reply.error().code() == StatusCode::unknown) co_return fail(StatusCode::unavailable, reply.error().text());
    co_return fail(reply.error());
  }
  co_return info_of(*reply);
}

Task<Result<StreamInfo>> Stream::create(const json& config, int64_t deadline_ns) {
  Result<json> reply = co_await ask(api("CREATE"), config.dump(), deadline_ns);
  if (!reply) co_return fail(reply.error());
  co_return info_of(*reply);
}

Task<Status> Stream::remove(int64_t deadline_ns) {
  const Result<json> reply = co_await ask(api("DELETE"), {}, deadline_ns);
  if (reply || reply.error().native_code() == kStreamNotFound) co_return Status();
  co_return reply.error();
}

Task<Status> Stream::purge(std::string subject, uint64_t below, uint64_t keep, int64_t deadline_ns) {
  json order = {{"filter", std::move(subject)}};
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
// ----------------------------------------------------------------------------------------------------------------

Result<MaybeStored> Stream::decode_direct(const Message& message) const {
  const std::string_view status = message.header("Status");
  if (status == "404") return MaybeStored();
  if (!status.empty()) {
    return fail(StatusCode::internal,
                fmt::format("a direct read answered {} {}", status, message.header("Description")));
  }
  Stored stored;
  const std::string_view sequence = message.header("Nats-Sequence");
  const auto [at, error] = std::from_chars(sequence.data(), sequence.data() + sequence.size(), stored.sequence);
  if (error != std::errc()) return fail(StatusCode::internal, "a direct read answered without a sequence");
  stored.subject = message.header("Nats-Subject");
  stored.entry = parse_entry(message.header(kEntryHeader));
  stored.payload = message.payload();
  stored.owner = message.owner();
  return stored;
}

Task<Result<MaybeStored>> Stream::leader(std::string query, int64_t deadline_ns) {
  const Result<json> reply = co_await ask(api("MSG.GET"), std::move(query), deadline_ns);
  if (reply) co_return decode_leader(*reply);
  if (reply.error().native_code() == kNoMessageFound) co_return MaybeStored();
  if (reply.error().code() == StatusCode::unknown) co_return fail(StatusCode::unavailable, reply.error().text());
  co_return fail(reply.error());
}

// Makes of the first answer the final one: asks the leader, asks again, or finds that the stream is gone.
Task<Result<MaybeStored>> Stream::settle(Reply reply, std::string query, int64_t deadline_ns) {
  for (;;) {
    if (reply.answered()) {
      Result<MaybeStored> decoded = decode_direct(reply.message);
      if (!decoded || *decoded || !replicated_) co_return decoded;
      co_return co_await leader(std::move(query), deadline_ns);
    }
    if (reply.kind != Reply::Kind::overdue || monotonic_ns() >= deadline_ns) co_return fail(unanswered_read(reply));
    const Result<StreamInfo> there = co_await info(deadline_ns);
    if (!there) co_return fail(there.error());
    Outgoing outgoing;
    outgoing.subject = direct_subject();
    outgoing.payload = as_bytes(query);
    outgoing.deadline_ns = std::min(deadline_ns, monotonic_ns() + kDirectReadMs * kNsPerMs);
    reply = co_await client_.request(outgoing);
  }
}

Task<Result<MaybeStored>> Stream::direct(std::string query, int64_t deadline_ns) {
  Outgoing outgoing;
  outgoing.subject = direct_subject();
  outgoing.payload = as_bytes(query);
  outgoing.deadline_ns = std::min(deadline_ns, monotonic_ns() + kDirectReadMs * kNsPerMs);
  Reply reply = co_await client_.request(outgoing);
  co_return co_await settle(std::move(reply), query, deadline_ns);
}

Task<Result<MaybeStored>> Stream::at(uint64_t sequence, int64_t deadline_ns) {
  return direct(fmt::format(R"({{"seq":{}}})", sequence), deadline_ns);
}

Task<Result<MaybeStored>> Stream::next(uint64_t sequence, const std::string& subject, int64_t deadline_ns) {
  return direct(fmt::format(R"({{"seq":{},"next_by_subj":"{}"}})", sequence, subject), deadline_ns);
}

Task<Result<MaybeStored>> Stream::last(const std::string& subject, int64_t deadline_ns) {
  std::string query = fmt::format(R"({{"last_by_subj":"{}"}})", subject);
  return replicated_ ? leader(std::move(query), deadline_ns) : direct(std::move(query), deadline_ns);
}

Task<Result<MaybeStored>> Stream::last_by_leader(const std::string& subject, int64_t deadline_ns) {
  return leader(fmt::format(R"({{"last_by_subj":"{}"}})", subject), deadline_ns);
}

Task<Result<std::vector<MaybeStored>>> Stream::range(uint64_t first, size_t count, int64_t deadline_ns) {
  std::vector<std::string> queries(count);
  std::vector<Outgoing> outgoing(count);
  const int64_t wait_until_ns = std::min(deadline_ns, monotonic_ns() + kDirectReadMs * kNsPerMs);
  for (size_t i = 0; i < count; ++i) {
    queries[i] = fmt::format(R"({{"seq":{}}})", first + i);
    outgoing[i].subject = direct_subject();
    outgoing[i].payload = as_bytes(queries[i]);
    outgoing[i].deadline_ns = wait_until_ns;
  }
  std::vector<Reply> replies = co_await client_.requests(outgoing);
  std::vector<MaybeStored> found;
  found.reserve(count);
  for (size_t i = 0; i < count; ++i) {
    Result<MaybeStored> one = co_await settle(std::move(replies[i]), queries[i], deadline_ns);
    if (!one) co_return fail(one.error());
    found.push_back(std::move(*one));
  }
  co_return found;
}

}  // namespace sluice::jetstream
