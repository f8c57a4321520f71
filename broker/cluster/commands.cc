// SPDX-License-Identifier: Apache-2.0
#include "cluster/commands.hpp"

#include <fmt/format.h>

#include "base/bytes.hpp"

namespace sluice::cluster {
namespace {

constexpr uint8_t kFirstVersion = 1;
constexpr uint8_t kExtentsVersion = 2;  // topics: several extents, and what is under way to them
constexpr uint32_t kMaxElements = 10'000'000;

// One description of each struct serves both directions: `visit(archive, value)` names the members in order.

class Out {
 public:
  explicit Out(Buffer& buffer) : writer_(buffer) {}
  template <std::integral T>
  void number(const T& value) {
    writer_.write_be<T>(value);
  }
  void flag(const bool& value) { writer_.write_be<uint8_t>(value ? 1 : 0); }
  void text(const std::string& value) {
    writer_.write_be<uint32_t>(static_cast<uint32_t>(value.size()));
    writer_.write_bytes(as_bytes(value));
  }
  template <size_t N>
  void array(const std::array<uint8_t, N>& value) {
    writer_.write_bytes(value);
  }
  template <class T, class F>
  void list(const std::vector<T>& values, F each) {
    writer_.write_be<uint32_t>(static_cast<uint32_t>(values.size()));
    for (const auto& value : values) each(value);
  }
  template <class T, class F>
  void optional(const std::optional<T>& value, F each) {
    flag(value.has_value());
    if (value) each(*value);
  }
  void configs(const Configs& values) {
    writer_.write_be<uint32_t>(static_cast<uint32_t>(values.size()));
    for (const auto& [name, value] : values) {
      text(name);
      text(value);
    }
  }

 private:
  ByteWriter writer_;
};

class In {
 public:
  explicit In(Bytes bytes) : reader_(bytes) {}
  bool good() const { return !reader_.failed() && !bad_; }
  bool at_end() const { return reader_.left() == 0; }
  template <std::integral T>
  void number(T& value) {
    value = reader_.read_be<T>();
  }
  void flag(bool& value) { value = reader_.read_be<uint8_t>() != 0; }
  void text(std::string& value) {
    const auto size = reader_.read_be<uint32_t>();
    if (size > reader_.left()) return fail();
    value = as_text(reader_.read_bytes(size));
  }
  template <size_t N>
  void array(std::array<uint8_t, N>& value) {
    const Bytes bytes = reader_.read_bytes(N);
    if (bytes.size() == N) std::copy(bytes.begin(), bytes.end(), value.begin());
  }
  template <class T, class F>
  void list(std::vector<T>& values, F each) {
    const auto count = reader_.read_be<uint32_t>();
    if (count > kMaxElements || count > reader_.left()) return fail();
    for (uint32_t i = 0; i < count && good(); ++i) each(values.emplace_back());
  }
  template <class T, class F>
  void optional(std::optional<T>& value, F each) {
    bool present = false;
    flag(present);
    if (!present) return;
    value = T{};
    each(*value);
  }
  void configs(Configs& values) {
    const auto count = reader_.read_be<uint32_t>();
    if (count > reader_.left()) return fail();
    for (uint32_t i = 0; i < count && good(); ++i) {
      std::string name;
      text(name);
      text(values[name]);
    }
  }

 private:
  void fail() { bad_ = true; }
  ByteReader reader_;
  bool bad_ = false;
};

template <class A, class T>
void visit_extent(A& a, T& e) {
  a.text(e.storage);
  a.array(e.log);
  a.number(e.from);
  a.number(e.to);
}
template <class A, class T>
void visit_copy(A& a, T& c) {
  visit_extent(a, c.extent);
  a.list(c.replaces, [&](auto& log) { a.array(log); });
}
template <class A, class T>
void visit_partition(A& a, T& p, uint8_t version) {
  a.number(p.leader);
  a.number(p.leader_epoch);
  a.list(p.extents, [&](auto& e) { visit_extent(a, e); });
  if (version < kExtentsVersion) return;
  a.optional(p.next, [&](auto& e) { visit_extent(a, e); });
  a.optional(p.copy, [&](auto& c) { visit_copy(a, c); });
  a.list(p.dropped, [&](auto& e) { visit_extent(a, e); });
}
template <class A, class T>
void visit_migration(A& a, T& m) {
  a.text(m.source);
  a.text(m.target);
}
template <class A, class T>
void visit_topic(A& a, T& t, uint8_t version) {
  a.array(t.id.bytes);
  a.text(t.name);
  a.configs(t.configs);
  a.flag(t.internal);
  a.flag(t.deleting);
  a.number(t.version);
  a.number(t.ready_partitions);
  a.list(t.partitions, [&](auto& p) { visit_partition(a, p, version); });
  if (version < kExtentsVersion) return;
  a.optional(t.migration, [&](auto& m) { visit_migration(a, m); });
}
template <class A, class T>
void visit_broker(A& a, T& b) {
  a.number(b.id);
  a.number(b.incarnation);
  a.text(b.rack);
}

/// What commands that change one partition begin with ...
template <class A, class C>
void visit_place(A& a, C& c) {
  a.array(c.topic.bytes);
  a.number(c.partition);
}
/// ... and those that only its leader of that epoch may give.
template <class A, class C>
void visit_led_place(A& a, C& c) {
  visit_place(a, c);
  a.number(c.leader_epoch);
}

template <class A, class C>
void visit_command(A& a, C& c, uint8_t version) {
  using T = std::remove_const_t<C>;
  if constexpr (std::is_same_v<T, RegisterBroker>) {
    visit_broker(a, c.broker);
  } else if constexpr (std::is_same_v<T, CreateTopic> || std::is_same_v<T, PutTopic>) {
    visit_topic(a, c.topic, version);
  } else if constexpr (std::is_same_v<T, AddPartitions>) {
    a.array(c.topic.bytes);
    a.number(c.version);
    a.list(c.partitions, [&](auto& p) { visit_partition(a, p, kFirstVersion); });
  } else if constexpr (std::is_same_v<T, MarkReady>) {
    a.array(c.topic.bytes);
    a.number(c.ready_partitions);
  } else if constexpr (std::is_same_v<T, DeleteTopic> || std::is_same_v<T, ForgetTopic>) {
    a.array(c.topic.bytes);
  } else if constexpr (std::is_same_v<T, ReplaceExtent>) {
    visit_place(a, c);
    a.array(c.lost);
    visit_extent(a, c.extent);
  } else if constexpr (std::is_same_v<T, RaiseLeaderEpoch>) {
    visit_led_place(a, c);
  } else if constexpr (std::is_same_v<T, AllocateProducerIds>) {
    a.number(c.count);
  } else if constexpr (std::is_same_v<T, PutState>) {
    a.number(c.next_producer_id);
    a.list(c.brokers, [&](auto& b) { visit_broker(a, b); });
  } else if constexpr (std::is_same_v<T, AlterTopic>) {
    a.array(c.topic.bytes);
    a.number(c.version);
    a.configs(c.configs);
    a.optional(c.migration, [&](auto& m) { visit_migration(a, m); });
  } else if constexpr (std::is_same_v<T, RecordNext>) {
    visit_led_place(a, c);
    a.array(c.open);
    visit_extent(a, c.extent);
  } else if constexpr (std::is_same_v<T, SwitchExtent>) {
    visit_led_place(a, c);
    a.array(c.open);
    a.array(c.next);
    a.number(c.at);
  } else if constexpr (std::is_same_v<T, RecordCopy>) {
    visit_led_place(a, c);
    visit_copy(a, c.copy);
  } else if constexpr (std::is_same_v<T, NameCopy>) {
    visit_led_place(a, c);
    a.array(c.log);
  } else if constexpr (std::is_same_v<T, DropExtent>) {
    visit_place(a, c);
    a.array(c.log);
  } else if constexpr (std::is_same_v<T, ForgetLogs>) {
    visit_place(a, c);
    a.list(c.logs, [&](auto& log) { a.array(log); });
  } else if constexpr (std::is_same_v<T, FinishMigration>) {
    a.array(c.topic.bytes);
    a.text(c.target);
  } else if constexpr (std::is_same_v<T, PutDeletedLogs>) {
    a.list(c.logs, [&](auto& l) {
      a.text(l.first);
      a.array(l.second);
    });
  }
}

uint8_t version_of(const TopicInfo& topic) {
  bool extents = topic.migration.has_value();
  for (const PartitionInfo& p : topic.partitions) {
    extents = extents || p.extents.size() > 1 || p.next || p.copy || !p.dropped.empty();
  }
  return extents ? kExtentsVersion : kFirstVersion;
}

/// The oldest layout that can say it.
uint8_t version_of(const Command& command) {
  if (const auto* c = std::get_if<CreateTopic>(&command)) return version_of(c->topic);
  if (const auto* c = std::get_if<PutTopic>(&command)) return version_of(c->topic);
  return kFirstVersion;
}

uint8_t newest_version(const Command& command) {
  const bool has_topic = std::holds_alternative<CreateTopic>(command) || std::holds_alternative<PutTopic>(command);
  return has_topic ? kExtentsVersion : kFirstVersion;
}

template <size_t... I>
bool make_alternative(size_t index, Command& command, std::index_sequence<I...>) {
  return ((index == I ? (command.emplace<I>(), true) : false) || ...);
}

}  // namespace

std::string encode(const CommandId& id, const Command& command) {
  Buffer buffer;
  Out out(buffer);
  const uint8_t version = version_of(command);
  out.number<uint8_t>(version);
  // The alternative's place in Command is its number on disk: new commands go to the end.
  out.number<uint8_t>(static_cast<uint8_t>(command.index()));
  out.number(id.broker);
  out.number(id.incarnation);
  out.number(id.number);
  std::visit([&](const auto& c) { visit_command(out, c, version); }, command);
  return std::string(as_text(buffer.view()));
}

Result<std::pair<CommandId, Command>> decode(std::string_view bytes) {
  In in(as_bytes(bytes));
  uint8_t version = 0;
  uint8_t index = 0;
  in.number(version);
  in.number(index);
  std::pair<CommandId, Command> result;
  in.number(result.first.broker);
  in.number(result.first.incarnation);
  in.number(result.first.number);
  if (!in.good()) return fail(StatusCode::corrupt, "malformed metadata command");
  if (!make_alternative(index, result.second, std::make_index_sequence<std::variant_size_v<Command>>()) ||
      version < kFirstVersion || version > newest_version(result.second)) {
    return fail(
        StatusCode::unsupported,
        fmt::format("metadata command {} of version {}: written by a newer broker than this one", index, version));
  }
  std::visit([&](auto& c) { visit_command(in, c, version); }, result.second);
  if (!in.good() || !in.at_end()) return fail(StatusCode::corrupt, fmt::format("malformed metadata command {}", index));
  return result;
}

}  // namespace sluice::cluster
