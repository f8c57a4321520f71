// SPDX-License-Identifier: Apache-2.0
#include "cli/arguments.hpp"

#include <CLI/CLI.hpp>
#include <limits>
#include <map>
#include <sstream>

#include "cli/text.hpp"
#include "host/options.hpp"
#include "sluice/filter.hpp"

namespace sluice::cli {
namespace {

constexpr int64_t kMaxTimeoutMs = 24ll * 3600 * 1000;
constexpr int64_t kMaxRecordBytes = 1ll << 30;

const std::map<std::string, Field> kFields = {
    {"topic", Field::topic},   {"partition", Field::partition},
    {"offset", Field::offset}, {"timestamp", Field::timestamp},
    {"key", Field::key},       {"headers", Field::headers},
    {"value", Field::value},
};

/// Options as they are written; turned into values once the whole line is read.
struct Raw {
  std::string timeout = "10s";
  std::vector<std::string> configs, headers, show;
  std::string key, format, separator = "\\t", key_separator;
  std::string rate;
  bool status = false, pause = false, resume = false, cancel = false;
};

Pairs to_pairs(const std::vector<std::string>& words, const char* option) {
  Pairs pairs;
  for (const std::string& word : words) {
    const size_t equals = word.find('=');
    if (equals == 0 || equals == std::string::npos) {
      throw CLI::ValidationError(option, "\"" + word + "\" is not NAME=VALUE");
    }
    pairs.emplace_back(word.substr(0, equals), word.substr(equals + 1));
  }
  return pairs;
}

std::string to_plain(const std::string& text, const char* option) {
  auto plain = unescape(text);
  if (!plain) throw CLI::ValidationError(option, plain.error().text());
  return *plain;
}

int64_t to_timeout_ms(const std::string& text) {
  const auto ms = host::parse_duration_ms(text);
  // A bare number would be milliseconds elsewhere and seconds in most people's minds.
  const bool bare = text.find_first_not_of("0123456789") == std::string::npos;
  if (!ms || bare || *ms <= 0 || *ms > kMaxTimeoutMs) {
    throw CLI::ValidationError("--timeout", "\"" + text + "\" is not a duration such as 500ms, 10s or 5min");
  }
  return *ms;
}

int64_t to_rate(const std::string& text) {
  if (text == "none") return -1;
  const auto bytes = host::parse_size(text);
  if (!bytes || *bytes <= 0) {
    throw CLI::ValidationError("--max-bytes-per-second",
                               "\"" + text + "\" is not a size such as 500000 or 20MiB, nor \"none\"");
  }
  return *bytes;
}

/// What is wrong with a filter; "": nothing, or there is none.
std::string filter_error(const std::string& text) {
  if (text.empty()) return {};
  const auto filter = Filter::parse(text);
  return filter ? std::string() : filter.error().text();
}

TopicMigrate::Action to_action(const Raw& raw, const TopicMigrate& command) {
  using Action = TopicMigrate::Action;
  std::vector<Action> asked;
  if (!command.to.empty()) asked.push_back(Action::start);
  if (raw.status) asked.push_back(Action::status);
  if (raw.pause) asked.push_back(Action::pause);
  if (raw.resume) asked.push_back(Action::resume);
  if (raw.cancel) asked.push_back(Action::cancel);
  if (asked.empty() && !raw.rate.empty()) return Action::limit;
  if (asked.size() != 1)
    throw CLI::ValidationError("migrate", "one of --to, --status, --pause, --resume and --cancel is needed");
  if (!raw.rate.empty() && asked[0] != Action::start && asked[0] != Action::resume) {
    throw CLI::ValidationError("--max-bytes-per-second", "goes with --to or --resume, or stands alone");
  }
  return asked[0];
}

class Parser {
 public:
  explicit Parser(const char* bootstrap) {
    if (bootstrap != nullptr && *bootstrap != '\0') common_.bootstrap = bootstrap;
    app_.fallthrough();
    app_.require_subcommand(1);
    app_.add_option("-b,--bootstrap", common_.bootstrap, "A broker, or several after commas")
        ->type_name("HOST:PORT")
        ->default_str(common_.bootstrap);
    app_.add_flag("--json", common_.json, "Print JSON");
    app_.add_option("--timeout", raw_.timeout, "How long to wait for the broker: 500ms, 10s, 5min")
        ->type_name("DURATION")
        ->default_str("10s");
    app_.add_flag("--debug", common_.debug, "Show what the client library logs");
    app_.footer(
        "Examples:\n"
        "  sluice topic create orders --partitions 3\n"
        "  printf 'k1:v1\\nk2:v2\\n' | sluice produce orders --key-separator :\n"
        "  sluice consume orders --from-beginning --exit-at-end --show offset,key,value\n"
        "  sluice group describe billing\n"
        "  sluice plugin describe disk\n"
        "\nEnds with 0, with 1 when the operation failed, with 2 when the command line is wrong.\n"
        "$SLUICE_BOOTSTRAP is the broker where --bootstrap is not given.");
    add_topics();
    add_groups();
    add_produce();
    add_consume();
    add_filters();
    add_storages();
    add_plugins();
    add_cursors();
    add(app_, "version", "Print the versions of this command and of what it is made of", version_);
  }

  Parsed parse(const std::vector<std::string>& words) {
    std::ostringstream out, error;
    try {
      app_.parse(std::vector<std::string>(words.rbegin(), words.rend()));
      common_.timeout_ms = to_timeout_ms(raw_.timeout);
      create_.configs = to_pairs(raw_.configs, "--config");
      if (migrate_sub_->parsed()) migrate_.action = to_action(raw_, migrate_);
      if (!raw_.rate.empty()) migrate_.max_bytes_per_second = to_rate(raw_.rate);
      produce_.headers = to_pairs(raw_.headers, "--header");
      produce_.key_separator = to_plain(raw_.key_separator, "--key-separator");
      consume_.separator = to_plain(raw_.separator, "--separator");
      if (const std::string wrong = filter_error(consume_.filter); !wrong.empty()) {
        throw CLI::ValidationError("--filter", wrong);
      }
      consume_.json = raw_.format == "json" || (common_.json && raw_.format.empty());
      if (!raw_.show.empty()) consume_.show.clear();
      for (const std::string& name : raw_.show) consume_.show.push_back(kFields.at(name));
      return {Arguments{common_, chosen_()}, kExitOk, {}};
    } catch (const CLI::ParseError& e) {
      const int code = app_.exit(e, out, error);
      return {std::nullopt, code == 0 ? kExitOk : kExitUsage, out.str() + error.str()};
    }
  }

 private:
  template <class T>
  CLI::App* add(CLI::App& parent, const char* name, const char* help, T& command) {
    CLI::App* sub = parent.add_subcommand(name, help);
    sub->fallthrough();
    sub->callback([this, &command] { chosen_ = [&command] { return Command(command); }; });
    return sub;
  }
  CLI::App* add_family(const char* name, const char* help) {
    CLI::App* family = app_.add_subcommand(name, help);
    family->fallthrough();
    family->require_subcommand(1);
    return family;
  }

  void add_topics() {
    CLI::App* topic = add_family("topic", "Make, show and delete topics");
    CLI::App* create = add(*topic, "create", "Make a topic", create_);
    create->add_option("NAME", create_.name)->required();
    create->add_option("-p,--partitions", create_.partitions, "Default: the broker's")->check(CLI::Range(1, 1'000'000));
    create->add_option("-c,--config", raw_.configs, "A setting of the topic; may be repeated")
        ->type_name("NAME=VALUE")
        ->allow_extra_args(false);
    create->footer("Example: sluice topic create orders --partitions 3 --config retention.ms=60000");
    add(*topic, "list", "Names and partitions of all topics", list_)
        ->add_flag("--internal", list_.internal, "Those of the broker's own, too");
    CLI::App* describe = add(*topic, "describe", "A topic's settings, partitions and offsets", describe_);
    describe->add_option("NAME", describe_.name)->required();
    add(*topic, "delete", "Delete topics and all that is in them", delete_)
        ->add_option("NAME", delete_.names)
        ->required();
    CLI::App* adopt = add(*topic, "adopt", "Make an engine's own topic, which others write, a topic here", adopt_);
    adopt->add_option("STORAGE", adopt_.storage, "The storage that holds it")->required();
    adopt->add_option("NATIVE", adopt_.native, "Its name there; `sluice storage discover` shows them")->required();
    adopt->add_option("--as", adopt_.name, "The topic's name; default: the same")->type_name("NAME");
    adopt->footer(
        "Example: sluice topic adopt upstream orders --as upstream.orders\n"
        "Its records stay where they are. Deleting the topic later leaves them there.");
    migrate_sub_ =
        add(*topic, "migrate", "Move a topic to another storage of the broker while clients go on", migrate_);
    CLI::App* migrate = migrate_sub_;
    migrate->add_option("NAME", migrate_.name)->required();
    migrate->add_option("--to", migrate_.to, "The storage, by its name in plugins.json")->type_name("STORAGE");
    migrate->add_option("--max-bytes-per-second", raw_.rate, "How fast to copy at most: 500000, 20MiB, none")
        ->type_name("SIZE");
    migrate->add_flag("--status", raw_.status, "How far it is");
    migrate->add_flag("--pause", raw_.pause, "Let it rest");
    migrate->add_flag("--resume", raw_.resume, "Go on");
    migrate->add_flag("--cancel", raw_.cancel, "Go back; records that lie on the new storage already go back too");
    migrate->footer(
        "Examples:\n"
        "  sluice topic migrate orders --to redis --max-bytes-per-second 20MiB\n"
        "  sluice topic migrate orders --status");
  }

  void add_groups() {
    CLI::App* group = add_family("group", "Show consumer groups");
    add(*group, "list", "All groups and their states", group_list_);
    CLI::App* describe =
        add(*group, "describe", "A group's members, assignments, committed offsets and lag", group_describe_);
    describe->add_option("GROUP", group_describe_.group)->required();
  }

  void add_produce() {
    CLI::App* produce = add(app_, "produce", "Write records: lines of standard input, or generated ones", produce_);
    produce->add_option("TOPIC", produce_.topic)->required();
    produce->add_option("--partition", produce_.partition, "Default: by key, else any")
        ->check(CLI::Range(0, 1'000'000));
    auto* separator =
        produce->add_option("-K,--key-separator", raw_.key_separator, "Lines are KEY SEPARATOR VALUE; \\t is a tab");
    auto* key = produce->add_option_function<std::string>(
        "--key", [this](const std::string& text) { produce_.key = text; }, "The key of every record");
    key->excludes(separator);
    produce->add_flag("--tombstones", produce_.tombstones, "An empty value is a null value");
    produce->add_option("-H,--header", raw_.headers, "A header of every record; may be repeated")
        ->type_name("NAME=VALUE")
        ->allow_extra_args(false);
    produce->add_option("-z,--codec", produce_.codec, "Compression")
        ->check(CLI::IsMember({"none", "gzip", "snappy", "lz4", "zstd"}))
        ->default_str("none");
    produce->add_option("--acks", produce_.acks, "Who must have it: 0 (nobody), 1 (the leader), all")
        ->check(CLI::IsMember({"0", "1", "all"}))
        ->default_str("all");
    produce->add_flag("--idempotent", produce_.idempotent, "Retries never double a record");
    auto* count = produce->add_option("--count", produce_.count, "Generate so many records instead of reading lines")
                      ->check(CLI::Range(int64_t{1}, std::numeric_limits<int64_t>::max()));
    produce->add_option("--size", produce_.size, "Bytes of a generated record")
        ->check(CLI::Range(int64_t{0}, kMaxRecordBytes))
        ->default_str("100")
        ->needs(count);
    count->excludes(separator);
    produce->footer(
        "Examples:\n"
        "  echo hello | sluice produce greetings\n"
        "  printf 'en:hello\\nfr:bonjour\\n' | sluice produce greetings --key-separator : --header source=test\n"
        "  sluice produce load --count 1000000 --size 1024 --codec lz4");
  }

  void add_consume() {
    CLI::App* consume = add(app_, "consume", "Read records and print them", consume_);
    consume->add_option("TOPIC", consume_.topic)->required();
    auto* group =
        consume->add_option("-g,--group", consume_.group, "Read as a member of a group, and commit what was printed");
    auto* beginning = consume->add_flag("--from-beginning", consume_.from_beginning,
                                        "Begin with the first record (in a group: where nothing is committed)");
    auto* offset = consume->add_option("-o,--offset", consume_.offset, "Begin at this offset of each partition read")
                       ->check(CLI::Range(int64_t{0}, std::numeric_limits<int64_t>::max()));
    auto* partition = consume->add_option("--partition", consume_.partition, "Read this partition alone")
                          ->check(CLI::Range(0, 1'000'000));
    offset->excludes(beginning);
    offset->excludes(group);
    partition->excludes(group);
    consume->add_option("-n,--count", consume_.count, "End after so many records")
        ->check(CLI::Range(int64_t{1}, std::numeric_limits<int64_t>::max()));
    consume->add_flag("-e,--exit-at-end", consume_.exit_at_end, "End when there is nothing more");
    consume->add_option("--format", raw_.format, "json: one object a line; text: the fields of --show")
        ->check(CLI::IsMember({"text", "json"}))
        ->default_str("text");
    auto* show = consume->add_option("--show", raw_.show,
                                     "Fields of a line: topic,partition,offset,timestamp,key,headers,value");
    show->delimiter(',')->allow_extra_args(false)->type_name("FIELD,...")->default_str("value");
    show->check(CLI::IsMember(kFields));
    consume->add_option("--separator", raw_.separator, "Between fields")->default_str("\\t");
    consume->add_option("--filter", consume_.filter, "Print only records that it lets pass: sluice filter check --help")
        ->type_name("EXPR");
    consume->footer(
        "Examples:\n"
        "  sluice consume orders --from-beginning --exit-at-end\n"
        "  sluice consume orders --group billing --from-beginning --show partition,offset,key,value\n"
        "  sluice consume orders --partition 0 --offset 42 --count 1 --format json\n"
        "  sluice consume orders --from-beginning --filter 'value.total >= 100 and not headers.test exists'\n"
        "Where neither is said, reading begins with what is written from now on.");
  }

  void add_filters() {
    CLI::App* filter = add_family("filter", "Try filters, as consume --filter takes them");
    CLI::App* check = add(*filter, "check", "Say what a filter means, or where it is wrong", filter_check_);
    check->add_option("EXPR", filter_check_.expression, "As text, or as JSON data")->required();
    check
        ->add_option("--record", filter_check_.records,
                     "Records to try it on, one a line, as consume --format json prints them: yes, no or unknown")
        ->type_name("FILE");
    check->footer(
        "Examples:\n"
        "  sluice filter check 'key starts with \"o-\" and value.order.total >= 100'\n"
        "  sluice filter check 'value.coupon is missing' --record records.json\n"
        "Fields are key, value and paths into its JSON, headers[\"name\"], timestamp, partition and offset.\n"
        "What is said of a missing field is unknown; a record passes where the whole filter says yes.");
  }

  void add_storages() {
    CLI::App* storage = add_family("storage", "Show a broker's storages");
    const auto add_admin = [](CLI::App* sub, AdminPlace& place) {
      sub->add_option("--admin", place.address, "The broker's admin port; default: the broker tells")
          ->type_name("HOST:PORT");
      return sub;
    };
    add_admin(add(*storage, "list", "All storages, and what they promise now", storage_list_), storage_list_.admin);
    add_admin(add(*storage, "health", "Ask storages how they are; ends with 1 unless all are well", storage_health_),
              storage_health_.admin)
        ->add_option("NAME", storage_health_.name);
    CLI::App* discover =
        add_admin(add(*storage, "discover", "The topics of others in storages of kind NATIVE", storage_discover_),
                  storage_discover_.admin);
    discover->add_option("NAME", storage_discover_.name);
    discover->footer("What is shown without a topic can be adopted: sluice topic adopt STORAGE NATIVE");
  }

  void add_cursors() {
    CLI::App* cursor = add_family("cursor", "Look into the places that the SDK's merging consumer stores");
    CLI::App* show = add(*cursor, "show", "The shards of a cursor and where reading goes on in each", cursor_show_);
    show->add_option("TEXT", cursor_show_.text, "The cursor; - reads it from standard input")->required();
    CLI::App* set = add(*cursor, "set", "Print the cursor with shards put elsewhere", cursor_set_);
    set->add_option("TEXT", cursor_set_.text, "The cursor; - reads it from standard input")->required();
    set->add_option("PLACE", cursor_set_.places, "A shard, =, and the position of the record that comes next")
        ->type_name("ID=POSITION")
        ->required();
    set->footer("Example, past a record that cannot be dealt with:\n  sluice cursor set slc1.AQAIb3JkZXJz... orders/3=1042");
  }

  void add_plugins() {
    CLI::App* plugin = add_family("plugin", "Show and check storage plugins and plugins.json");
    const auto add_places = [](CLI::App* sub, PluginPlaces& places) {
      sub->add_option("--plugins", places.file, "The plugins.json to read")->type_name("FILE");
      sub->add_option("--data-dir", places.data_directory, "The broker's data directory, whose plugins.json counts")
          ->type_name("DIR");
      sub->add_option("--plugin-dir", places.plugin_directory, "Where libraries named without a path lie")
          ->type_name("DIR");
      return sub;
    };
    add_places(add(*plugin, "list", "The storages of plugins.json, and their adapters", plugin_list_),
               plugin_list_.places);
    CLI::App* describe = add(*plugin, "describe", "An adapter's options", plugin_describe_);
    add_places(describe, plugin_describe_.places)
        ->add_option("NAME", plugin_describe_.name, "A storage of plugins.json, a library's name, or its path")
        ->required();
    CLI::App* check =
        add(*plugin, "check", "Check plugins.json, or prove that an adapter keeps the contract", plugin_check_);
    add_places(check, plugin_check_.places);
    auto* library =
        check->add_option("LIB", plugin_check_.library, "A library's path or name: run the conformance kit on it");
    const auto with_library = [&](CLI::Option* option) { option->needs(library); };
    with_library(check->add_option("--config", plugin_check_.config, "The adapter's options")
                     ->type_name("JSON")
                     ->default_str("{}"));
    with_library(check->add_option("--filter", plugin_check_.filter, "Only checks whose name contains this"));
    with_library(check->add_option("--seed", plugin_check_.seed, "Repeat a run"));
    with_library(check
                     ->add_option("--faults", plugin_check_.faults,
                                  "A file that tells how to start the adapter's server: checks attack it there")
                     ->type_name("FILE"));
    with_library(check->add_option("--directory", plugin_check_.directory, "Where the adapter may keep files")
                     ->type_name("DIR"));
    with_library(check->add_option("--native-name", plugin_check_.native_name,
                                   "Kind NATIVE: one of the engine's own that may be adopted and written to"));
    with_library(check
                     ->add_option("--native-write", plugin_check_.native_write,
                                  "Kind NATIVE: how a program of the engine writes an entry under {name}")
                     ->type_name("COMMAND"));
    with_library(check
                     ->add_option("--native-damage", plugin_check_.native_damage,
                                  "Kind NATIVE: ... and one that cannot be decoded")
                     ->type_name("COMMAND"));
    check->footer(
        "Examples:\n"
        "  sluice plugin check --plugins /etc/sluice/plugins.json\n"
        "  sluice plugin check ./libmine.so --config '{\"max_bytes\": \"64MiB\"}'\n"
        "  sluice plugin check kafka --config '{\"bootstrap\": \"localhost:9092\"}' \\\n"
        "      --native-write 'echo k:v | kcat -P -b localhost:9092 -t {name} -p 0 -K:'");
  }

  CLI::App app_{"Work with a Sluice broker, or any other that speaks Kafka's protocol, and with storage plugins",
                "sluice"};
  Common common_;
  Raw raw_;
  TopicCreate create_;
  TopicList list_;
  TopicDescribe describe_;
  TopicDelete delete_;
  TopicAdopt adopt_;
  StorageList storage_list_;
  StorageHealth storage_health_;
  StorageDiscover storage_discover_;
  TopicMigrate migrate_;
  CLI::App* migrate_sub_ = nullptr;
  GroupList group_list_;
  GroupDescribe group_describe_;
  Produce produce_;
  Consume consume_;
  FilterCheck filter_check_;
  PluginList plugin_list_;
  PluginDescribe plugin_describe_;
  PluginCheck plugin_check_;
  CursorShow cursor_show_;
  CursorSet cursor_set_;
  Version version_;
  std::function<Command()> chosen_;
};

}  // namespace

Parsed parse_arguments(const std::vector<std::string>& words, const char* bootstrap) {
  return Parser(bootstrap).parse(words);
}

}  // namespace sluice::cli
