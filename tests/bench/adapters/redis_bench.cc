// SPDX-License-Identifier: Apache-2.0
// redis_bench PLUGIN [--rounds N] [--megabytes N] [--appendfsync WHEN|off] [--logs N] [--batch BYTES]
//
// The Redis adapter beside a plain hiredis program, on one redis-server that it starts: appends and reads of batches of
// 1 KiB, 64 KiB and 1 MiB, on 1 and on 16 logs. The plain program sends the XADDs that the adapter would, as many under
// way as the adapter has, in the way that is fastest for the case: one by one, or 1 MiB or half of what is under way
// between MULTI and EXEC, so that the server writes and syncs its file once for all of them (it reads little from a
// connection at once, so pipelining alone may cost a sync for each XADD). It reads by XRANGE, one at a time on each
// log. Rounds alternate; medians are printed.
//
// Then the round trip of single 1 KiB batches: the engine's own, and through the adapter; and the layout `record`
// beside a program that adds and reads one entry for each record.
#include <hiredis/hiredis.h>

#include <array>
#include <deque>

#include "adapter_bench.hpp"
#include "support/redis_server.hpp"

namespace {

using namespace sluice;
using namespace sluice::bench;

constexpr size_t kMostRead = 8192;      // entries by one XRANGE
constexpr size_t kSomeBytes = 1 << 20;  // between MULTI and EXEC
constexpr size_t kWays = 3;

class Plain {
 public:
  explicit Plain(uint16_t port) : connection_(redisConnect("127.0.0.1", port)) {
    need(connection_ != nullptr && connection_->err == 0, "the plain program does not connect");
    connection_->reader->maxbuf = 0;
  }
  ~Plain() { redisFree(connection_); }

  /// All ways of appending; the one with the best median so far is what counts.
  void run(const Case& now, int round, Speeds& speeds) {
    if (round == 0) ways_ = {};
    const size_t half = std::max<size_t>(under_way(now) / 2, 1);
    const size_t some = std::clamp<size_t>(kSomeBytes / now.record_bytes(), 1, half);
    const std::array<size_t, kWays> at_once{1, some, half};
    speeds = {};
    for (size_t way = 0; way < kWays; ++way) {
      measure(now, at_once[way], ways_[way]);
      if (median(ways_[way].append.rate) > median(speeds.append.rate)) speeds.append = ways_[way].append;
      for (std::vector<double> Pace::*values : {&Pace::rate, &Pace::own_cpu, &Pace::engine_cpu}) {
        const std::vector<double>& more = ways_[way].read.*values;
        (speeds.read.*values).insert((speeds.read.*values).end(), more.begin(), more.end());
      }
    }
  }

  std::vector<double> round_trips(size_t count) {
    const std::string payload(1024, 'x');
    command({"XGROUP", "CREATE", "plain-trip", "end", "$", "MKSTREAM"});
    std::vector<double> times;
    for (size_t i = 0; i < count; ++i) {
      const auto begin = Clock::now();
      append("plain-trip", i, payload);
      receive();
      times.push_back(std::chrono::duration<double, std::micro>(Clock::now() - begin).count());
    }
    command({"UNLINK", "plain-trip"});
    return times;
  }

 private:
  // Entries; the window of one log times their number.
  static size_t under_way(const Case& now) { return window(now.size, now.logs) * now.logs * now.records; }

  void measure(const Case& now, size_t at_once, Speeds& speeds) {
    std::vector<std::string> keys;
    for (size_t i = 0; i < now.logs; ++i) {
      keys.push_back(fmt::format("plain-{}-{}", now.size, i));
      command({"XGROUP", "CREATE", keys.back(), "end", "$", "MKSTREAM"});
    }
    const std::string payload(now.record_bytes(), 'x');
    const size_t entries = now.count * now.records;
    const size_t total = entries * now.logs;
    const Stopwatch appending;
    std::deque<size_t> replies;  // to what is under way
    for (size_t sent = 0, got = 0; got < total;) {
      while (sent < total && (sent == got || sent - got + at_once <= under_way(now))) {
        const size_t now_sent = std::min(at_once, total - sent);
        if (at_once > 1) send({"MULTI"});
        for (size_t i = 0; i < now_sent; ++i, ++sent) {
          const std::string& key = keys[sent % now.logs];
          if (now.records > 1) {
            send({"XADD", key, "*", "key", kRecordKey, "value", payload, "timestamp", "1700000000000"});
          } else {
            append(key, sent / now.logs, payload);
          }
        }
        if (at_once > 1) send({"EXEC"});
        replies.push_back(now_sent);
      }
      for (size_t i = 0; i < replies.front() + (at_once > 1 ? 2 : 0); ++i) receive();
      got += replies.front();
      replies.pop_front();
    }
    appending.stop(now.bytes(), speeds.append);

    const Stopwatch reading;
    const size_t count = std::clamp<size_t>(kReadBytes / now.record_bytes(), 1, kMostRead);
    std::vector<std::string> from(keys.size(), "-");
    for (size_t left = total; left > 0;) {
      for (size_t i = 0; i < keys.size(); ++i) {
        send({"XRANGE", keys[i], from[i], "+", "COUNT", std::to_string(count)});
      }
      for (size_t i = 0; i < keys.size(); ++i) {
        const Reply reply = receive();
        left -= reply->elements;
        if (reply->elements > 0) from[i] = fmt::format("({}", reply->element[reply->elements - 1]->element[0]->str);
      }
    }
    reading.stop(now.bytes(), speeds.read);
    for (const std::string& key : keys) command({"UNLINK", key});
  }

  void append(const std::string& key, size_t offset, const std::string& payload) {
    send({"XADD", key, "NOMKSTREAM", fmt::format("{}-1", offset), "m", fmt::format("{}:{}:0", offset, offset), "d",
          payload});
  }
  void send(std::initializer_list<std::string_view> arguments) {
    const char* texts[16];
    size_t sizes[16];
    int count = 0;
    for (const std::string_view argument : arguments) {
      texts[count] = argument.data();
      sizes[count++] = argument.size();
    }
    redisAppendCommandArgv(connection_, count, texts, sizes);
  }
  struct Free {
    void operator()(redisReply* reply) const { freeReplyObject(reply); }
  };
  using Reply = std::unique_ptr<redisReply, Free>;
  Reply receive() {
    void* reply = nullptr;
    need(redisGetReply(connection_, &reply) == REDIS_OK, "the plain program lost its connection");
    Reply answer(static_cast<redisReply*>(reply));
    need(answer->type != REDIS_REPLY_ERROR && answer->type != REDIS_REPLY_NIL, "the plain program was refused");
    return answer;
  }
  void command(std::initializer_list<std::string_view> arguments) {
    send(arguments);
    receive();
  }

  redisContext* connection_;
  std::array<Speeds, kWays> ways_;  // of the present case
};

}  // namespace

int main(int argc, char** argv) {
  int rounds = 3;
  size_t megabytes = 256;
  Selection selection;
  test::RedisSettings settings;
  for (int i = 2; i + 1 < argc; i += 2) {
    const std::string_view option = argv[i];
    if (option == "--rounds") rounds = std::atoi(argv[i + 1]);
    if (option == "--megabytes") megabytes = std::strtoull(argv[i + 1], nullptr, 10);
    if (option == "--logs") selection.logs = std::strtoull(argv[i + 1], nullptr, 10);
    if (option == "--batch") selection.batch = std::strtoull(argv[i + 1], nullptr, 10);
    if (option == "--appendfsync") settings.appendfsync = argv[i + 1];
  }
  need(argc >= 2 && rounds > 0 && megabytes > 0,
       "redis_bench PLUGIN [--rounds N] [--megabytes N] [--appendfsync WHEN|off] [--logs N] [--batch BYTES]");
  if (settings.appendfsync == "off") {
    settings.appendonly = false;
    settings.appendfsync = "everysec";
  }
  // What rewrites would cost is not the question.
  settings.lines = {"auto-aof-rewrite-percentage 0"};
  test::RedisServer server(settings);
  const Status started = server.start();
  need(started.ok(), started.describe());
  engine_cpu_seconds = [&server] { return server.cpu_seconds(); };
  Plain plain(server.port());
  {
    Adapter adapter(argv[1], {{"address", server.address()}});
    compare(plain, adapter, rounds, megabytes, selection);
  }
  if (selection.logs != 0 || selection.batch != 0) return 0;
  Adapter native(argv[1], {{"address", server.address()}, {"layout", std::string("record")}});
  compare_records(plain, native, rounds, megabytes, selection);
  return 0;
}
