// SPDX-License-Identifier: Apache-2.0
// redis_bench PLUGIN [--rounds N] [--megabytes N] [--appendfsync WHEN|off]
//
// The Redis adapter beside a plain hiredis program, on one redis-server that it starts: appends and reads of batches of
// 1 KiB, 64 KiB and 1 MiB, on 1 and on 16 logs. The plain program sends the XADDs that the adapter would, pipelined as
// far as the adapter's window goes, and reads by XRANGE. Rounds alternate; medians are printed.
//
// At the end the round trip of single 1 KiB batches: the engine's own, and through the adapter.
#include <hiredis/hiredis.h>

#include "adapter_bench.hpp"
#include "support/redis_server.hpp"

namespace {

using namespace sluice;
using namespace sluice::bench;

class Plain {
 public:
  explicit Plain(uint16_t port) : connection_(redisConnect("127.0.0.1", port)) {
    need(connection_ != nullptr && connection_->err == 0, "the plain program does not connect");
    connection_->reader->maxbuf = 0;
  }
  ~Plain() { redisFree(connection_); }

  void run(const Case& now, int round, Speeds& speeds) {
    std::vector<std::string> keys;
    for (size_t i = 0; i < now.logs; ++i) {
      keys.push_back(fmt::format("plain-{}-{}-{}", now.size, round, i));
      command({"XGROUP", "CREATE", keys.back(), "end", "$", "MKSTREAM"});
    }
    const std::string payload(now.size, 'x');
    const size_t in_flight = window(now.size, now.logs) * now.logs;
    auto begin = Clock::now();
    size_t sent = 0;
    for (size_t got = 0; got < now.logs * now.count; ++got) {
      while (sent < now.logs * now.count && sent - got < in_flight) {
        append(keys[sent % now.logs], sent / now.logs, payload);
        ++sent;
      }
      receive();
    }
    speeds.append.push_back(rate(now.bytes(), Clock::now() - begin));

    begin = Clock::now();
    const size_t count = std::clamp<size_t>(kReadBytes / now.size, 1, 1024);
    for (size_t at = 0; at < now.count; at += count) {
      for (const std::string& key : keys) {
        send({"XRANGE", key, std::to_string(at), "+", "COUNT", std::to_string(count)});
      }
      for (size_t i = 0; i < keys.size(); ++i) receive();
    }
    speeds.read.push_back(rate(now.bytes(), Clock::now() - begin));
    for (const std::string& key : keys) command({"UNLINK", key});
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
  void receive() {
    void* reply = nullptr;
    need(redisGetReply(connection_, &reply) == REDIS_OK, "the plain program lost its connection");
    const auto* answer = static_cast<redisReply*>(reply);
    need(answer->type != REDIS_REPLY_ERROR && answer->type != REDIS_REPLY_NIL, "the plain program was refused");
    freeReplyObject(reply);
  }
  void command(std::initializer_list<std::string_view> arguments) {
    send(arguments);
    receive();
  }

  redisContext* connection_;
};

}  // namespace

int main(int argc, char** argv) {
  int rounds = 3;
  size_t megabytes = 256;
  test::RedisSettings settings;
  for (int i = 2; i + 1 < argc; i += 2) {
    const std::string_view option = argv[i];
    if (option == "--rounds") rounds = std::atoi(argv[i + 1]);
    if (option == "--megabytes") megabytes = std::strtoull(argv[i + 1], nullptr, 10);
    if (option == "--appendfsync") settings.appendfsync = argv[i + 1];
  }
  need(argc >= 2 && rounds > 0 && megabytes > 0,
       "redis_bench PLUGIN [--rounds N] [--megabytes N] [--appendfsync WHEN|off]");
  if (settings.appendfsync == "off") {
    settings.appendonly = false;
    settings.appendfsync = "everysec";
  }
  // What rewrites would cost is not the question.
  settings.lines = {"auto-aof-rewrite-percentage 0"};
  test::RedisServer server(settings);
  const Status started = server.start();
  need(started.ok(), started.describe());
  Plain plain(server.port());
  Adapter adapter(argv[1], {{"address", server.address()}});
  compare(plain, adapter, rounds, megabytes);
  return 0;
}
