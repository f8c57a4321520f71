// SPDX-License-Identifier: Apache-2.0
// DeleteTopics, versions 1 to 6, by name or by id.
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "handlers/gather.hpp"
#include "handlers/handlers.hpp"
#include "handlers/topics.hpp"
#include "protocol/gen/delete_topics.hpp"

namespace sluice::handlers {
namespace {

using Request = protocol::DeleteTopicsRequest;
using Response = protocol::DeleteTopicsResponse;

Task<Response::Topic> remove(RequestContext context, std::optional<std::string> name, Uuid id, bool named_twice) {
  Response::Topic result;
  if (name) result.name = *name;
  result.topic_id = id;
  auto refuse = [&](ErrorCode code, std::string text) {
    result.error_code = code;
    result.error_message = std::move(text);
  };
  if (name && !id.is_zero()) {
    refuse(ErrorCode::kInvalidRequest, "You may not specify both topic name and topic id.");
    co_return result;
  }
  if (!name && id.is_zero()) {
    refuse(ErrorCode::kInvalidRequest, "Neither topic name nor id were specified.");
    co_return result;
  }
  if (named_twice) {
    refuse(ErrorCode::kInvalidRequest, name ? "Duplicate topic name." : "Duplicate topic id.");
    co_return result;
  }
  if (!context.broker->options.delete_topic_enable) {
    refuse(context.version() < 3 ? ErrorCode::kInvalidRequest : ErrorCode::kTopicDeletionDisabled, "Topic deletion is disabled.");
    co_return result;
  }
  const auto topic = find_topic(*context.broker, id, name ? *name : std::string());
  if (!topic) {
    refuse(name ? ErrorCode::kUnknownTopicOrPartition : ErrorCode::kUnknownTopicId,
           name ? "This server does not host this topic-partition." : "This server does not host this topic ID.");
    co_return result;
  }
  result.name = topic->name;
  result.topic_id = topic->id;
  auto error = co_await context.broker->cluster.delete_topic(topic->id, *context.loop);
  if (error.code != ErrorCode::kNone) refuse(error.code, error.text);
  co_return result;
}

Task<Response> answer(RequestContext context, Request request) {
  Response response;
  // By whatever name it goes, a topic may be mentioned once.
  std::map<Uuid, int> mentions;
  auto mention = [&](const Uuid& id, std::string_view name) {
    if (const auto topic = find_topic(*context.broker, id, name)) ++mentions[topic->id];
  };
  for (const auto& topic : request.topics) mention(topic.topic_id, topic.name.value_or(""));
  for (const auto name : request.topic_names) mention({}, name);
  auto named_twice = [&](const Uuid& id, std::string_view name) {
    const auto topic = find_topic(*context.broker, id, name);
    return topic && mentions[topic->id] > 1;
  };
  std::vector<std::pair<std::optional<std::string>, Uuid>> wanted;
  for (const auto& topic : request.topics) {
    std::optional<std::string> name;
    if (topic.name) name = std::string(*topic.name);
    wanted.emplace_back(std::move(name), topic.topic_id);
  }
  for (const auto name : request.topic_names) wanted.emplace_back(std::string(name), Uuid());
  std::vector<Task<Response::Topic>> tasks;
  for (const auto& [name, id] : wanted) tasks.push_back(remove(context, name, id, named_twice(id, name.value_or(""))));
  Response::Topic late;
  late.error_code = ErrorCode::kRequestTimedOut;
  late.error_message = "The topic is being deleted: metadata or its storage did not answer in time.";
  response.topics = co_await gather(std::move(tasks), *context.loop, gather_ms(request.timeout_ms), late);
  for (size_t i = 0; i < wanted.size(); ++i) {
    auto& answered = response.topics[i];
    if (answered.name || !answered.topic_id.is_zero()) continue;
    answered.name = wanted[i].first;  // of one that is late
    answered.topic_id = wanted[i].second;
  }
  co_return response;
}

}  // namespace

Task<Reply> delete_topics(RequestContext context) { return serve<Request, answer>(std::move(context)); }

}  // namespace sluice::handlers
