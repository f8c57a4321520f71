// SPDX-License-Identifier: Apache-2.0
#include "app/options.hpp"

#include <arpa/inet.h>
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <fstream>
#include <limits>
#include <optional>

#include "host/options.hpp"

namespace sluice::app {
namespace {

using cluster::ConfigType;

constexpr int64_t kMax32 = std::numeric_limits<int32_t>::max();
constexpr int64_t kMax64 = std::numeric_limits<int64_t>::max();
constexpr int64_t kMin32 = std::numeric_limits<int32_t>::min();
constexpr int64_t kMin64 = std::numeric_limits<int64_t>::min();
// Longer than a hundred years, and small enough to be counted in nanoseconds: for what timers wait for.
constexpr int64_t kMaxTimerMs = 4'000'000'000'000;
constexpr int64_t kMsPerMinute = 60'000;
constexpr int64_t kMsPerHour = 3'600'000;

// Sorted by name.
constexpr std::array kProperties = {
    Property{"advertised.listeners", ConfigType::string, "", 0, 0, "Where clients reach the listeners: NAME://HOST:PORT, separated by commas."},
    Property{"auto.create.topics.enable", ConfigType::boolean, "true", 0, 0, "Topics are made when clients ask for them."},
    Property{"broker.rack", ConfigType::string, "", 0, 0, "Told to clients."},
    Property{"compression.type", ConfigType::string, "producer", 0, 0, "Only \"producer\" is offered."},
    Property{"connections.max.idle.ms", ConfigType::int64, "600000", 0, kMaxTimerMs, "A connection quiet for so long is closed."},
    Property{"default.replication.factor", ConfigType::int32, "1", 1, 1, "The storage replicates; each partition has one broker."},
    Property{"delete.topic.enable", ConfigType::boolean, "true", 0, 0, "Topics may be deleted."},
    Property{"fetch.max.bytes", ConfigType::int32, "57671680", 1024, kMax32, "The largest fetch response."},
    Property{"group.initial.rebalance.delay.ms", ConfigType::int32, "3000", 0, kMax32, "The first rebalance of an empty group waits so long."},
    Property{"group.max.session.timeout.ms", ConfigType::int32, "1800000", 1, kMax32, "The longest session timeout."},
    Property{"group.max.size", ConfigType::int32, "2147483647", 1, kMax32, "Members of one group."},
    Property{"group.min.session.timeout.ms", ConfigType::int32, "6000", 1, kMax32, "The shortest session timeout."},
    Property{"listeners", ConfigType::string, "PLAINTEXT://127.0.0.1:9092", 0, 0, "NAME://HOST:PORT, separated by commas."},
    Property{"log.cleanup.policy", ConfigType::string, "delete", 0, 0, "Only \"delete\" is offered."},
    Property{"log.dirs", ConfigType::string, "", 0, 0, "The data directory (one)."},
    Property{"log.message.timestamp.after.max.ms", ConfigType::int64, "3600000", 0, kMax64, "Default of message.timestamp.after.max.ms."},
    Property{"log.message.timestamp.before.max.ms", ConfigType::int64, "9223372036854775807", 0, kMax64,
             "Default of message.timestamp.before.max.ms."},
    Property{"log.message.timestamp.type", ConfigType::string, "CreateTime", 0, 0, "Default of message.timestamp.type."},
    Property{"log.retention.bytes", ConfigType::int64, "-1", -1, kMax64, "Default of retention.bytes."},
    Property{"log.retention.check.interval.ms", ConfigType::int64, "5000", 100, kMaxTimerMs, "How often retention is looked at."},
    // Of these three the finest that is set counts, and what it comes to must not be 0; below 0 means for ever.
    Property{"log.retention.hours", ConfigType::int32, "168", kMin32, kMax32, "Default of retention.ms, in hours; minutes and ms go before."},
    Property{"log.retention.minutes", ConfigType::int32, "", kMin32, kMax32, "Default of retention.ms, in minutes."},
    Property{"log.retention.ms", ConfigType::int64, "", kMin64, kMax64, "Default of retention.ms."},
    Property{"log.roll.hours", ConfigType::int32, "168", 1, kMax32, "Default of segment.ms, in hours."},
    Property{"log.roll.ms", ConfigType::int64, "", 1, kMax64, "Default of segment.ms."},
    Property{"log.segment.bytes", ConfigType::int32, "1073741824", 14, kMax32, "Default of segment.bytes."},
    Property{"max.connections", ConfigType::int32, "10000", 1, kMax32, "Open connections."},
    Property{"max.connections.per.ip", ConfigType::int32, "10000", 1, kMax32, "Open connections of one address."},
    Property{"max.incremental.fetch.session.cache.slots", ConfigType::int32, "1000", 0, kMax32, "Fetch sessions kept."},
    Property{"message.max.bytes", ConfigType::int32, "1048588", 0, kMax32, "Default of max.message.bytes."},
    Property{"node.id", ConfigType::int32, "1", 0, kMax32, "This broker's number."},
    Property{"num.network.threads", ConfigType::int32, "0", 0, 256, "Event loops; 0: one per core."},
    Property{"num.partitions", ConfigType::int32, "1", 1, 100'000, "Partitions of topics that do not say."},
    Property{"offset.metadata.max.bytes", ConfigType::int32, "4096", 0, kMax32, "Metadata of a committed offset."},
    Property{"offsets.retention.check.interval.ms", ConfigType::int64, "600000", 1, kMaxTimerMs, "How often offsets are looked at for expiry."},
    Property{"offsets.retention.minutes", ConfigType::int32, "10080", 1, kMax32, "How long offsets of an empty group are kept."},
    Property{"offsets.topic.num.partitions", ConfigType::int32, "8", 1, 1'000, "Logs that groups are spread over; fixed at the first start."},
    Property{"producer.id.expiration.ms", ConfigType::int64, "86400000", 1, kMax64, "An idempotent producer quiet for so long is forgotten."},
    Property{"queued.max.request.bytes", ConfigType::int64, "268435456", 1'048'576, kMax64, "Memory that requests hold at the same time."},
    Property{"sluice.admin.listen", ConfigType::string, "", 0, 0, "HOST:PORT of /health, /ready, /metrics and /storages; empty: none."},
    Property{"sluice.log.format", ConfigType::string, "text", 0, 0, "\"text\" or \"json\"."},
    Property{"sluice.log.level", ConfigType::string, "information", 0, 0, "debug, information, warning or error."},
    Property{"sluice.plugin.directory", ConfigType::string, "", 0, 0, "Where adapters named without a path lie."},
    Property{"sluice.plugins", ConfigType::string, "", 0, 0, "The file plugins.json."},
    Property{"sluice.shutdown.timeout.ms", ConfigType::int64, "30000", 0, kMax32, "A stop takes so long at most."},
    Property{"sluice.storage.checked", ConfigType::boolean, "false", 0, 0, "Verify that adapters keep their contract."},
    Property{"socket.receive.buffer.bytes", ConfigType::int32, "-1", -1, kMax32, "-1: the system's."},
    Property{"socket.request.max.bytes", ConfigType::int32, "104857600", 1024, kMax32, "The largest request."},
    Property{"socket.send.buffer.bytes", ConfigType::int32, "-1", -1, kMax32, "-1: the system's."},
};

const Property* find(std::string_view name) {
  auto found = std::lower_bound(kProperties.begin(), kProperties.end(), name, [](const Property& p, std::string_view n) { return p.name < n; });
  return found != kProperties.end() && found->name == name ? &*found : nullptr;
}

struct Flag {
  std::string_view flag;
  std::string_view property;  // "" where it is no property
  std::string_view argument;  // "" where it takes none
  std::string_view help;
};
constexpr Flag kFlags[] = {
    {"--data-dir", "log.dirs", "DIR", "where the broker keeps its data"},
    {"--listen", "", "HOST:PORT", "where clients connect (default 127.0.0.1:9092); may be repeated"},
    {"--advertise", "", "HOST:PORT", "what clients are told to connect to; one for each --listen"},
    {"--admin", "sluice.admin.listen", "HOST:PORT", "where /health, /ready, /metrics and /storages are"},
    {"--plugins", "sluice.plugins", "FILE", "the configuration of storages (default: DIR/plugins.json, else the installed one)"},
    {"--plugin-dir", "sluice.plugin.directory", "DIR", "where adapters named without a path lie"},
    {"--config", "", "FILE", "properties, one name=value a line"},
    {"--override", "", "NAME=VALUE", "one property; may be repeated"},
    {"--log-level", "sluice.log.level", "LEVEL", "debug, information, warning or error"},
    {"--log-format", "sluice.log.format", "FORMAT", "text or json"},
    {"--help", "", "", "this text"},
    {"--version", "", "", "the version"},
};

/// What was said of a property, and where, for messages.
struct Given {
  std::string value;
  std::string where;
};
using GivenMap = std::map<std::string, Given, std::less<>>;

std::string_view trim(std::string_view text) {
  while (!text.empty() && (text.front() == ' ' || text.front() == '\t')) text.remove_prefix(1);
  while (!text.empty() && (text.back() == ' ' || text.back() == '\t' || text.back() == '\r')) text.remove_suffix(1);
  return text;
}

Status unknown(std::string_view name, const std::string& where) {
  std::vector<std::string> names;
  for (const auto& p : kProperties) names.emplace_back(p.name);
  auto near = host::nearest_name(name, names);
  return Status(StatusCode::invalid, fmt::format("{}: unknown property \"{}\"{}", where, name,
                                                 near ? fmt::format(", did you mean \"{}\"?", *near) : std::string()));
}

/// Kafka's other spellings of two properties.
std::string_view known_as(std::string_view name) { return name == "broker.id" ? "node.id" : name == "log.dir" ? "log.dirs" : name; }

Status give(GivenMap& given, std::string_view name, std::string_view value, std::string where) {
  name = known_as(name);
  if (find(name) == nullptr) return unknown(name, where);
  given[std::string(name)] = {std::string(value), std::move(where)};
  return Status();
}

Status read_file(GivenMap& given, const std::string& path) {
  std::ifstream in(path);
  if (!in) return Status(StatusCode::invalid, fmt::format("{}: cannot be read", path));
  std::string line;
  for (int number = 1; std::getline(in, line); ++number) {
    const auto text = trim(line);
    if (text.empty() || text.front() == '#' || text.front() == '!') continue;
    const auto equals = text.find('=');
    const auto where = fmt::format("{}:{}", path, number);
    if (equals == std::string_view::npos) return Status(StatusCode::invalid, fmt::format("{}: not NAME=VALUE: \"{}\"", where, text));
    Status status = give(given, trim(text.substr(0, equals)), trim(text.substr(equals + 1)), where);
    if (!status.ok()) return status;
  }
  return Status();
}

Status read_environment(GivenMap& given, const std::map<std::string, std::string>& environment) {
  constexpr std::string_view kPrefix = "SLUICE_";
  for (const auto& [key, value] : environment) {
    if (key.rfind(kPrefix, 0) != 0) continue;
    // Names of the command line tool and of tests share the prefix: what is no property is not ours.
    std::string name = key.substr(kPrefix.size());
    std::transform(name.begin(), name.end(), name.begin(), [](unsigned char c) { return c == '_' ? '.' : static_cast<char>(std::tolower(c)); });
    name = known_as(name);
    if (find(name) == nullptr) name = "sluice." + name;
    if (find(name) != nullptr) given[name] = {value, key};
  }
  return Status();
}

Status check(const Property& property, const Given& given) {
  const auto bad = [&](const std::string& why) {
    return Status(StatusCode::invalid, fmt::format("{}: {} = \"{}\": {}", given.where, property.name, given.value, why));
  };
  if (property.type == ConfigType::boolean && given.value != "true" && given.value != "false") return bad("true or false");
  if (property.type == ConfigType::int32 || property.type == ConfigType::int64) {
    int64_t number = 0;
    const char* end = given.value.data() + given.value.size();
    auto [at, error] = std::from_chars(given.value.data(), end, number);
    if (error != std::errc() || at != end) return bad("not a whole number");
    if (number < property.minimum || number > property.maximum) {
      return bad(fmt::format("must be from {} to {}", property.minimum, property.maximum));
    }
  }
  return Status();
}

class Values {
 public:
  explicit Values(const GivenMap& given) : given_(given) {}
  bool set(std::string_view name) const { return given_.contains(name); }
  std::string text(std::string_view name) const {
    auto found = given_.find(name);
    return found != given_.end() ? found->second.value : std::string(find(name)->default_value);
  }
  int64_t number(std::string_view name) const {
    int64_t value = 0;
    const std::string value_text = text(name);
    std::from_chars(value_text.data(), value_text.data() + value_text.size(), value);
    return value;
  }
  int32_t number32(std::string_view name) const { return static_cast<int32_t>(number(name)); }
  bool flag(std::string_view name) const { return text(name) == "true"; }
  std::string where(std::string_view name) const {
    auto found = given_.find(name);
    return found != given_.end() ? found->second.where : "default";
  }

 private:
  const GivenMap& given_;
};

struct Endpoint {
  std::string name;
  std::string host;
  uint16_t port;
};

Result<std::vector<Endpoint>> parse_endpoints(const std::string& text, const std::string& where) {
  std::vector<Endpoint> result;
  std::string_view rest = text;
  while (!rest.empty()) {
    const auto comma = rest.find(',');
    const auto one = trim(rest.substr(0, comma));
    rest = comma == std::string_view::npos ? std::string_view() : rest.substr(comma + 1);
    const auto scheme = one.find("://");
    if (scheme == std::string_view::npos) return fail(StatusCode::invalid, fmt::format("{}: \"{}\" is not NAME://HOST:PORT", where, one));
    const std::string name(one.substr(0, scheme));
    if (name == "SSL" || name.rfind("SASL_", 0) == 0) {
      return fail(StatusCode::invalid, fmt::format("{}: listener {}: TLS and SASL are not offered by this version", where, name));
    }
    auto address = parse_address(one.substr(scheme + 3));
    if (!address) return fail(address.error().in(where));
    result.push_back({name, address->first, address->second});
  }
  return result;
}

/// What clients are told must lead somewhere.
Status advertise_as(net::ListenerOptions& listener, const std::string& host, uint16_t port, const std::string& where) {
  if (host == "0.0.0.0" || host == "::") {
    return Status(StatusCode::invalid, fmt::format("{}: clients cannot connect to {}: name an address that they can reach", where, host));
  }
  listener.advertised_host = host;
  listener.advertised_port = port;
  return Status();
}

Status add_advertised(Options& options, const Values& values) {
  const std::string where = values.where("advertised.listeners") + ": advertised.listeners";
  auto advertised = parse_endpoints(values.text("advertised.listeners"), where);
  if (!advertised) return advertised.error();
  for (const auto& endpoint : *advertised) {
    auto found = std::find_if(options.listeners.begin(), options.listeners.end(), [&](const auto& l) { return l.name == endpoint.name; });
    if (found == options.listeners.end()) {
      std::string names;
      for (const auto& listener : options.listeners) names += (names.empty() ? "" : ", ") + listener.name;
      return Status(StatusCode::invalid, fmt::format("{}: there is no listener \"{}\", only {}", where, endpoint.name, names));
    }
    if (!found->advertised_host.empty()) {
      return Status(StatusCode::invalid, fmt::format("{}: listener \"{}\" is advertised twice", where, endpoint.name));
    }
    if (Status status = advertise_as(*found, endpoint.host, endpoint.port, where); !status.ok()) return status;
  }
  return Status();
}

Status add_listeners(Options& options, const Values& values, const std::vector<std::string>& listen, const std::vector<std::string>& advertise) {
  if (!listen.empty()) {
    for (size_t i = 0; i < listen.size(); ++i) {
      auto address = parse_address(listen[i]);
      if (!address) return address.error().in("--listen");
      net::ListenerOptions& listener = options.listeners.emplace_back();
      listener.name = i == 0 ? "PLAINTEXT" : fmt::format("PLAINTEXT_{}", i + 1);
      listener.host = address->first;
      listener.port = address->second;
    }
    if (advertise.size() > listen.size()) return Status(StatusCode::invalid, "--advertise: more of them than of --listen");
    for (size_t i = 0; i < advertise.size(); ++i) {
      auto address = parse_address(advertise[i]);
      if (!address) return address.error().in("--advertise");
      if (Status status = advertise_as(options.listeners[i], address->first, address->second, "--advertise"); !status.ok()) return status;
    }
    return add_advertised(options, values);
  }
  if (!advertise.empty()) return Status(StatusCode::invalid, "--advertise: needs --listen; with \"listeners\" use \"advertised.listeners\"");
  auto endpoints = parse_endpoints(values.text("listeners"), values.where("listeners") + ": listeners");
  if (!endpoints) return endpoints.error();
  if (endpoints->empty()) return Status(StatusCode::invalid, "listeners: none");
  for (const auto& endpoint : *endpoints) {
    net::ListenerOptions& listener = options.listeners.emplace_back();
    listener.name = endpoint.name;
    const auto same = std::count_if(endpoints->begin(), endpoints->end(), [&](const Endpoint& other) { return other.name == endpoint.name; });
    if (endpoint.name.empty() || same > 1) {
      return Status(StatusCode::invalid, fmt::format("{}: listeners: each needs a name of its own: \"{}\"", values.where("listeners"), endpoint.name));
    }
    listener.host = endpoint.host;
    listener.port = endpoint.port;
  }
  return add_advertised(options, values);
}

/// Kafka's retention and roll times have three spellings; the finest that is set counts.
Status add_topic_defaults(Options& options, const Values& values, const GivenMap& given) {
  for (const auto& setting : cluster::topic_settings()) {
    if (auto found = given.find(setting.broker_name); found != given.end()) options.topic_defaults[found->first] = found->second.value;
  }
  const auto in_ms = [](int64_t value, int64_t unit) { return std::to_string(value < 0 ? -1 : value * unit); };
  constexpr std::pair<std::string_view, int64_t> kRetention[] = {
      {"log.retention.ms", 1}, {"log.retention.minutes", kMsPerMinute}, {"log.retention.hours", kMsPerHour}};
  for (const auto& [name, unit] : kRetention) {
    if (!values.set(name)) continue;
    if (values.number(name) == 0) {
      return Status(StatusCode::invalid, fmt::format("{}: {} = \"0\": must be unlimited (-1), or 1 at least", values.where(name), name));
    }
    options.topic_defaults["log.retention.ms"] = in_ms(values.number(name), unit);
    break;
  }
  if (!values.set("log.roll.ms") && values.set("log.roll.hours")) {
    options.topic_defaults["log.roll.ms"] = in_ms(values.number("log.roll.hours"), kMsPerHour);
  }
  return Status();
}

Status check_topic_defaults(const Options& options) {
  for (const auto& setting : cluster::topic_settings()) {
    if (auto found = options.topic_defaults.find(setting.broker_name); found != options.topic_defaults.end()) {
      Status status = cluster::check_topic_setting(setting.name, found->second);
      if (!status.ok()) return status.in(found->first);
    }
  }
  return Status();
}

}  // namespace

std::span<const Property> properties() { return kProperties; }

bool is_loopback(std::string_view host) {
  // "127.example.org" is a name, and may be anywhere.
  const std::string text(host);
  in_addr v4{};
  in6_addr v6{};
  if (::inet_pton(AF_INET, text.c_str(), &v4) == 1) return (ntohl(v4.s_addr) >> 24) == 127;
  if (::inet_pton(AF_INET6, text.c_str(), &v6) == 1) return IN6_IS_ADDR_LOOPBACK(&v6) || (IN6_IS_ADDR_V4MAPPED(&v6) && v6.s6_addr[12] == 127);
  return host == "localhost";
}

Result<std::pair<std::string, uint16_t>> parse_address(std::string_view text) {
  std::string_view host;
  std::string_view port = text;
  if (const auto colon = text.rfind(':'); colon != std::string_view::npos) {
    host = text.substr(0, colon);
    port = text.substr(colon + 1);
    if (host.empty()) host = "0.0.0.0";
  } else {
    host = "127.0.0.1";
  }
  if (host.size() > 2 && host.front() == '[' && host.back() == ']') {
    host = host.substr(1, host.size() - 2);
  } else if (host.find_first_of("[]: \t/") != std::string_view::npos) {
    return fail(StatusCode::invalid, fmt::format("\"{}\" is not HOST:PORT (an IPv6 address stands in brackets)", text));
  }
  uint32_t number = 0;
  auto [end, error] = std::from_chars(port.data(), port.data() + port.size(), number);
  if (error != std::errc() || end != port.data() + port.size() || port.empty() || number > 65'535) {
    return fail(StatusCode::invalid, fmt::format("\"{}\" is not HOST:PORT", text));
  }
  return std::pair(std::string(host), static_cast<uint16_t>(number));
}

Result<Options> parse_options(const std::vector<std::string>& arguments, const std::map<std::string, std::string>& environment) {
  GivenMap command_line;
  GivenMap given;
  Options options;
  std::vector<std::string> listen;
  std::vector<std::string> advertise;
  std::vector<std::string> files;
  for (size_t i = 0; i < arguments.size(); ++i) {
    std::string name = arguments[i];
    std::optional<std::string> value;
    if (const auto equals = name.find('='); equals != std::string::npos && name.rfind("--", 0) == 0) {
      value = name.substr(equals + 1);
      name.resize(equals);
    }
    const auto* flag = std::find_if(std::begin(kFlags), std::end(kFlags), [&](const Flag& f) { return f.flag == name; });
    if (flag == std::end(kFlags)) {
      std::vector<std::string> names;
      for (const auto& f : kFlags) names.emplace_back(f.flag);
      auto near = host::nearest_name(name, names);
      return fail(StatusCode::invalid, fmt::format("unknown option {}{}", name, near ? fmt::format(", did you mean {}?", *near) : std::string()));
    }
    if (flag->argument.empty()) {
      options.help = options.help || name == "--help";
      options.version = options.version || name == "--version";
      continue;
    }
    if (!value) {
      if (i + 1 == arguments.size()) return fail(StatusCode::invalid, fmt::format("{} needs {}", name, flag->argument));
      value = arguments[++i];
    }
    if (name == "--listen") {
      listen.push_back(*value);
    } else if (name == "--advertise") {
      advertise.push_back(*value);
    } else if (name == "--config") {
      files.push_back(*value);
    } else if (name == "--override") {
      const auto equals = value->find('=');
      if (equals == std::string::npos) return fail(StatusCode::invalid, fmt::format("--override: not NAME=VALUE: \"{}\"", *value));
      Status status = give(command_line, trim(std::string_view(*value).substr(0, equals)), trim(std::string_view(*value).substr(equals + 1)), "--override");
      if (!status.ok()) return fail(status);
    } else {
      Status status = give(command_line, flag->property, *value, name);
      if (!status.ok()) return fail(status);
    }
  }
  if (options.help || options.version) return options;
  for (const auto& file : files) {
    if (Status status = read_file(given, file); !status.ok()) return fail(status);
  }
  if (Status status = read_environment(given, environment); !status.ok()) return fail(status);
  for (auto& [name, value] : command_line) given[name] = value;
  for (const auto& [name, value] : given) {
    if (Status status = check(*find(name), value); !status.ok()) return fail(status);
  }

  const Values values(given);
  options.data_directory = values.text("log.dirs");
  options.plugins_file = values.text("sluice.plugins");
  options.plugin_directory = values.text("sluice.plugin.directory");
  if (Status status = add_listeners(options, values, listen, advertise); !status.ok()) return fail(status);
  if (const std::string admin = values.text("sluice.admin.listen"); !admin.empty()) {
    auto address = parse_address(admin);
    if (!address) return fail(address.error().in(values.where("sluice.admin.listen")));
    options.admin_host = address->first;
    options.admin_port = address->second;
  }
  options.broker_id = values.number32("node.id");
  options.rack = values.text("broker.rack");
  options.loops = static_cast<size_t>(values.number("num.network.threads"));
  options.offsets_partitions = values.number32("offsets.topic.num.partitions");
  options.shutdown_timeout_ms = values.number("sluice.shutdown.timeout.ms");
  options.retention_check_ms = values.number("log.retention.check.interval.ms");
  options.producer_expiration_ms = values.number("producer.id.expiration.ms");
  options.checked_storages = values.flag("sluice.storage.checked");
  options.log_level = values.text("sluice.log.level");
  options.log_format = values.text("sluice.log.format");
  options.default_partitions = values.number32("num.partitions");
  if (Status status = add_topic_defaults(options, values, given); !status.ok()) return fail(status);
  if (Status status = check_topic_defaults(options); !status.ok()) return fail(status);

  options.group.group_min_session_timeout_ms = values.number32("group.min.session.timeout.ms");
  options.group.group_max_session_timeout_ms = values.number32("group.max.session.timeout.ms");
  options.group.group_initial_rebalance_delay_ms = values.number32("group.initial.rebalance.delay.ms");
  options.group.group_max_size = values.number32("group.max.size");
  options.group.offset_metadata_max_bytes = values.number32("offset.metadata.max.bytes");
  options.group.offsets_retention_ms = values.number("offsets.retention.minutes") * kMsPerMinute;
  options.group.offsets_retention_check_interval_ms = values.number("offsets.retention.check.interval.ms");
  if (Status status = options.group.validate(); !status.ok()) return fail(status);

  options.handlers.auto_create_topics = values.flag("auto.create.topics.enable");
  options.handlers.delete_topic_enable = values.flag("delete.topic.enable");
  options.handlers.fetch_max_bytes = values.number32("fetch.max.bytes");
  options.handlers.max_fetch_sessions = static_cast<size_t>(values.number("max.incremental.fetch.session.cache.slots"));

  options.limits.max_frame_bytes = values.number("socket.request.max.bytes");
  options.limits.max_request_memory_bytes = values.number("queued.max.request.bytes");
  options.limits.max_connections = static_cast<size_t>(values.number("max.connections"));
  options.limits.max_connections_per_ip = static_cast<size_t>(values.number("max.connections.per.ip"));
  options.limits.max_idle_ms = values.number("connections.max.idle.ms");
  options.limits.send_buffer_bytes = values.number32("socket.send.buffer.bytes");
  options.limits.receive_buffer_bytes = values.number32("socket.receive.buffer.bytes");

  if (options.log_level != "debug" && options.log_level != "information" && options.log_level != "warning" && options.log_level != "error") {
    return fail(StatusCode::invalid, fmt::format("{}: sluice.log.level = \"{}\": debug, information, warning or error",
                                                 values.where("sluice.log.level"), options.log_level));
  }
  if (options.log_format != "text" && options.log_format != "json") {
    return fail(StatusCode::invalid, fmt::format("{}: sluice.log.format = \"{}\": text or json", values.where("sluice.log.format"), options.log_format));
  }
  for (const auto& property : kProperties) {
    handlers::BrokerSetting& setting = options.settings.emplace_back();
    setting.name = std::string(property.name);
    setting.value = values.text(property.name);
    setting.type = property.type;
    setting.source = values.set(property.name) ? cluster::ConfigSource::static_broker : cluster::ConfigSource::defaults;
    setting.help = std::string(property.help);
  }
  if (options.data_directory.find(',') != std::string::npos) {
    return fail(StatusCode::invalid, fmt::format("{}: log.dirs: one directory, not several: \"{}\"", values.where("log.dirs"), options.data_directory));
  }
  if (options.data_directory.empty()) {
    return fail(StatusCode::invalid, "--data-dir is needed (see --help)");
  }
  return options;
}

std::string usage() {
  std::string text = "sluiced: the Sluice broker\n\nsluiced --data-dir DIR [--listen HOST:PORT] ...\n\n";
  for (const auto& flag : kFlags) text += fmt::format("  {:<28} {}\n", fmt::format("{} {}", flag.flag, flag.argument), flag.help);
  text += "\nProperties (by --override, in a file given by --config, or in the environment: log.retention.ms is SLUICE_LOG_RETENTION_MS):\n";
  for (const auto& p : kProperties) text += fmt::format("  {:<44} {} [{}]\n", p.name, p.help, p.default_value);
  return text;
}

}  // namespace sluice::app
