// SPDX-License-Identifier: Apache-2.0
// The command line as values. Parsing touches nothing outside: what is a file, a topic or a broker is found out by the
// command.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <variant>
#include <vector>

namespace sluice::cli {

constexpr int kExitOk = 0;
constexpr int kExitFailure = 1;  // the operation failed
constexpr int kExitUsage = 2;    // the command line is wrong

/// What every command takes.
struct Common {
  std::string bootstrap = "127.0.0.1:9092";
  bool json = false;
  int64_t timeout_ms = 10'000;  // until the broker must have answered
  bool debug = false;           // the client library's own log lines
};

using Pairs = std::vector<std::pair<std::string, std::string>>;

struct TopicCreate {
  std::string name;
  int32_t partitions = -1;  // the broker's default
  Pairs configs;
};
struct TopicList {
  bool internal = false;
};
struct TopicDescribe {
  std::string name;
};
struct TopicDelete {
  std::vector<std::string> names;
};

struct TopicAdopt {
  std::string storage;
  std::string native;  // the engine's own topic
  std::string name;    // "": likewise
};

/// Where the broker's admin port is; empty: the broker is asked.
struct AdminPlace {
  std::string address;
};
struct StorageList {
  AdminPlace admin;
};
struct StorageHealth {
  AdminPlace admin;
  std::string name;  // "": all
};
struct StorageDiscover {
  AdminPlace admin;
  std::string name;  // "": all that are NATIVE
};

struct TopicMigrate {
  enum class Action { start, status, pause, resume, cancel, limit };
  std::string name;
  Action action = Action::start;
  std::string to;                               // start: the storage
  std::optional<int64_t> max_bytes_per_second;  // -1: no limit
};

struct GroupList {};
struct GroupDescribe {
  std::string group;
};

struct Produce {
  std::string topic;
  int32_t partition = -1;  // the partitioner's choice
  std::optional<std::string> key;
  std::string key_separator;  // "": lines are values
  bool tombstones = false;    // an empty value is a null one
  Pairs headers;
  std::string codec = "none";
  std::string acks = "all";
  bool idempotent = false;
  int64_t count = 0;  // generated records; 0: lines of standard input
  int64_t size = 100;
};

enum class Field { topic, partition, offset, timestamp, key, headers, value };

struct Consume {
  std::string topic;
  std::string group;  // "": none
  bool from_beginning = false;
  int64_t offset = -1;
  int32_t partition = -1;  // all
  int64_t count = 0;       // 0: without end
  bool exit_at_end = false;
  bool json = false;
  std::vector<Field> show = {Field::value};
  std::string separator = "\t";
  std::string filter;  // sluice/filter.hpp; "": all records
};

struct FilterCheck {
  std::string expression;  // text, or JSON data
  std::string records;     // a file of lines as consume prints them as JSON; "": none
};

/// Where plugins.json and the libraries are; empty: the places that the broker looks in.
struct PluginPlaces {
  std::string file;
  std::string data_directory;
  std::string plugin_directory;
};
struct PluginList {
  PluginPlaces places;
};
struct PluginDescribe {
  PluginPlaces places;
  std::string name;
};
struct PluginCheck {
  PluginPlaces places;
  std::string library;  // "": plugins.json
  std::string config = "{}";
  std::string filter;
  std::string faults;  // a file; "": none
  std::string directory;
  uint64_t seed = 0;
  // Kind NATIVE; see conformance::RunOptions.
  std::string native_name;
  std::string native_write;
  std::string native_damage;
};

struct CursorShow {
  std::string text;  // "-": standard input
};
struct CursorSet {
  std::string text;
  std::vector<std::string> places;  // ID=POSITION
};

struct Version {};

using Command = std::variant<TopicCreate, TopicList, TopicDescribe, TopicDelete, TopicAdopt, TopicMigrate, GroupList,
                             GroupDescribe, Produce, Consume, FilterCheck, StorageList, StorageHealth, StorageDiscover,
                             PluginList, PluginDescribe, PluginCheck, CursorShow, CursorSet, Version>;

struct Arguments {
  Common common;
  Command command;
};

/// Either arguments, or a text to show and the code to end with: help on standard output (kExitOk), what is wrong with
/// the command line on standard error (kExitUsage).
struct Parsed {
  std::optional<Arguments> arguments;
  int exit_code = kExitOk;
  std::string text;
};

/// `words`: without the program's name. `bootstrap`: $SLUICE_BOOTSTRAP, or nullptr.
Parsed parse_arguments(const std::vector<std::string>& words, const char* bootstrap);

}  // namespace sluice::cli
