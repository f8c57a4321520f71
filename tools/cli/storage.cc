// SPDX-License-Identifier: Apache-2.0
// sluice storage list | health | discover: what a broker tells of its storages on its admin port, which the broker
// itself names (sluice.admin.listen) unless the command line does.
#include <Poco/Exception.h>
#include <Poco/Net/HTTPClientSession.h>
#include <Poco/Net/HTTPRequest.h>
#include <Poco/Net/HTTPResponse.h>
#include <Poco/StreamCopier.h>
#include <Poco/Timespan.h>
#include <Poco/URI.h>
#include <fmt/format.h>

#include <charconv>

#include "cli/commands.hpp"
#include "cli/kafka.hpp"
#include "cli/text.hpp"

namespace sluice::cli {
namespace {

constexpr const char* kAdminSetting = "sluice.admin.listen";
constexpr int kMaxAsks = 1'000;  // of a storage that lists its topics step by step, seconds each

struct Address {
  std::string host;
  uint16_t port = 0;
};

Result<Address> parse(const std::string& text) {
  const size_t colon = text.rfind(':');
  Address address;
  if (colon == std::string::npos) return fail(StatusCode::invalid, fmt::format("\"{}\" is not HOST:PORT", text));
  address.host = text.substr(0, colon);
  const char* end = text.data() + text.size();
  const auto [last, error] = std::from_chars(text.data() + colon + 1, end, address.port);
  if (error != std::errc() || last != end || address.host.empty() || address.port == 0)
    return fail(StatusCode::invalid, fmt::format("\"{}\" is not HOST:PORT", text));
  return address;
}

/// The broker's own settings say where its admin port is. On all interfaces means: where the broker itself was found.
Result<Address> ask_broker(const Common& common) {
  auto client = Client::open(RD_KAFKA_CONSUMER, common);
  if (!client) return fail(client.error());
  const auto metadata = client->metadata();
  if (!metadata) return fail(metadata.error());
  if ((*metadata)->broker_cnt < 1) return fail(StatusCode::unavailable, "the cluster has no broker");
  const rd_kafka_metadata_broker_t& broker = (*metadata)->brokers[0];
  std::unique_ptr<rd_kafka_ConfigResource_t, Destroy<rd_kafka_ConfigResource_destroy>> resource(
      rd_kafka_ConfigResource_new(RD_KAFKA_RESOURCE_BROKER, std::to_string(broker.id).c_str()));
  rd_kafka_ConfigResource_t* wanted = resource.get();
  auto event = client->admin(RD_KAFKA_ADMIN_OP_DESCRIBECONFIGS, [&](auto* options, auto* queue) {
    rd_kafka_DescribeConfigs(client->get(), &wanted, 1, options, queue);
  });
  if (!event) return fail(event.error());
  size_t count = 0;
  const auto** resources =
      rd_kafka_DescribeConfigs_result_resources(rd_kafka_event_DescribeConfigs_result(event->get()), &count);
  std::string value;
  if (count == 1) {
    const auto** entries = rd_kafka_ConfigResource_configs(resources[0], &count);
    for (size_t i = 0; i < count; ++i) {
      const char* text = rd_kafka_ConfigEntry_value(entries[i]);
      if (std::string_view(rd_kafka_ConfigEntry_name(entries[i])) == kAdminSetting && text != nullptr) value = text;
    }
  }
  if (value.empty())
    return fail(StatusCode::unavailable, "the broker has no admin port: start it with --admin HOST:PORT");
  auto address = parse(value);
  if (address && (address->host == "0.0.0.0" || address->host == "[::]")) address->host = broker.host;
  return address;
}

/// One GET. The broker's own error where it tells one.
Result<Json> get(const Address& address, const std::string& path, const Common& common) {
  try {
    Poco::Net::HTTPClientSession session(address.host, address.port);
    session.setTimeout(Poco::Timespan(common.timeout_ms / 1'000, (common.timeout_ms % 1'000) * 1'000));
    Poco::Net::HTTPRequest request(Poco::Net::HTTPRequest::HTTP_GET, path, Poco::Net::HTTPRequest::HTTP_1_1);
    session.sendRequest(request);
    Poco::Net::HTTPResponse response;
    std::string body;
    Poco::StreamCopier::copyToString(session.receiveResponse(response), body);
    Json json = Json::parse(body, nullptr, false);
    if (response.getStatus() == Poco::Net::HTTPResponse::HTTP_OK && !json.is_discarded()) return json;
    if (json.is_object() && json.contains("error")) {
      const bool busy = json.value("code", "") == status_name(StatusCode::busy);
      return fail(busy ? StatusCode::busy : StatusCode::unavailable, json["error"].get<std::string>());
    }
    return fail(StatusCode::unavailable, fmt::format("{}:{}{}: HTTP {}", address.host, address.port, path,
                                                     static_cast<int>(response.getStatus())));
  } catch (const Poco::Exception& e) {
    return fail(StatusCode::unavailable, fmt::format("{}:{}: {}", address.host, address.port, e.displayText()));
  }
}

std::string page_of(const std::string& storage) {
  std::string encoded;
  Poco::URI::encode(storage, "/?#%", encoded);
  return "/storages/" + encoded;
}

/// The topics of a storage. One with very many keys looks through them step by step, and says how far it has come.
Result<Json> topics_of(const Address& address, const std::string& storage, const Common& common) {
  for (int i = 1;; ++i) {
    auto topics = get(address, page_of(storage) + "/topics", common);
    if (topics || topics.error().code() != StatusCode::busy || i == kMaxAsks) return topics;
    fmt::print(stderr, "{}\n", topics.error().text());
  }
}

Result<Address> find(const AdminPlace& place, const Common& common) {
  return place.address.empty() ? ask_broker(common) : parse(place.address);
}

std::string joined(const Json& names) {
  std::string text;
  for (const auto& name : names) text += (text.empty() ? "" : ",") + name.get<std::string>();
  return text.empty() ? "-" : text;
}

std::string text_or_dash(const Json& object, const char* name) {
  if (!object.contains(name) || !object[name].is_string() || object[name].get<std::string>().empty()) return "-";
  return object[name].get<std::string>();
}

/// The names that a command is about: the one given, or all.
Result<std::vector<std::string>> names_of(const Address& address, const std::string& given, bool native_only,
                                          const Common& common) {
  if (!given.empty()) return std::vector<std::string>{given};
  const auto all = get(address, "/storages", common);
  if (!all) return fail(all.error());
  std::vector<std::string> names;
  for (const auto& storage : (*all)["storages"]) {
    if (!native_only || text_or_dash(storage, "kind") == "native") names.push_back(storage["name"].get<std::string>());
  }
  return names;
}

}  // namespace

Status run(const StorageList& command, const Common& common) {
  const auto address = find(command.admin, common);
  if (!address) return address.error();
  const auto all = get(*address, "/storages", common);
  if (!all) return all.error();
  if (common.json) {
    print_json(*all);
    return {};
  }
  Table table({"STORAGE", "ADAPTER", "KIND", "STATE", "SERVER", "PROMISES", "TOPICS", "USE"});
  for (const auto& storage : (*all)["storages"]) {
    const bool started = storage["started"].get<bool>();
    std::string use = storage["default"].get<bool>() ? "default" : "";
    if (storage["internal"].get<bool>()) use += use.empty() ? "internal" : ",internal";
    table.add(
        {storage["name"].get<std::string>(),
         fmt::format("{} {}", storage["adapter"].get<std::string>(), storage["adapter_version"].get<std::string>()),
         text_or_dash(storage, "kind"), started ? "started" : "away", text_or_dash(storage, "server"),
         started ? joined(storage["capabilities"]) : "-", std::to_string(storage["topics"].get<size_t>()),
         use.empty() ? "-" : use});
  }
  fmt::print("{}", table.text());
  for (const auto& storage : (*all)["storages"]) {
    if (storage.contains("advice")) {
      fmt::print("{}: {}\n", storage["name"].get<std::string>(), storage["advice"].get<std::string>());
    }
  }
  return {};
}

Status run(const StorageHealth& command, const Common& common) {
  const auto address = find(command.admin, common);
  if (!address) return address.error();
  const auto names = names_of(*address, command.name, false, common);
  if (!names) return names.error();
  Json told = Json::array();
  Table table({"STORAGE", "HEALTH", "SERVER", "PENDING", "OVERDUE", "ERRORS", "REASON"});
  size_t ill = 0;
  for (const std::string& name : *names) {
    auto storage = get(*address, page_of(name), common);
    if (!storage) return storage.error();
    const bool healthy = (*storage)["healthy"].get<bool>();
    ill += healthy ? 0 : 1;
    const auto errors = (*storage)["append_errors"].get<uint64_t>() + (*storage)["read_errors"].get<uint64_t>();
    table.add({name, healthy ? "well" : "ill", text_or_dash(*storage, "server"),
               std::to_string((*storage)["calls_pending"].get<int64_t>()),
               std::to_string((*storage)["overdue"].get<uint64_t>()), std::to_string(errors),
               text_or_dash(*storage, "reason")});
    told.push_back(std::move(*storage));
  }
  if (common.json) {
    print_json({{"storages", std::move(told)}});
  } else {
    fmt::print("{}", table.text());
  }
  return ill == 0 ? Status() : Status(StatusCode::unavailable, fmt::format("{} of {} not well", ill, names->size()));
}

Status run(const StorageDiscover& command, const Common& common) {
  const auto address = find(command.admin, common);
  if (!address) return address.error();
  const auto names = names_of(*address, command.name, true, common);
  if (!names) return names.error();
  Json told = Json::array();
  Table table({"STORAGE", "NATIVE", "PARTITIONS", "TOPIC"});
  for (const std::string& name : *names) {
    auto topics = topics_of(*address, name, common);
    if (!topics) return topics.error();
    for (const auto& topic : (*topics)["topics"]) {
      table.add({name, topic["name"].get<std::string>(), std::to_string(topic["partitions"].get<int32_t>()),
                 text_or_dash(topic, "topic")});
    }
    told.push_back(std::move(*topics));
  }
  if (common.json) {
    print_json({{"storages", std::move(told)}});
  } else if (names->empty()) {
    fmt::print("no storage is of kind NATIVE\n");
  } else {
    fmt::print("{}", table.text());
  }
  return {};
}

}  // namespace sluice::cli
