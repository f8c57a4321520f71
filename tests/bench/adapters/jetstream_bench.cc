// SPDX-License-Identifier: Apache-2.0
// jetstream_bench PLUGIN [--rounds N] [--megabytes N] [--logs N] [--batch BYTES] [--layout log|record]
//
// The JetStream adapter beside a plain cnats program, on one nats-server that it starts: appends and reads of batches
// of 1 KiB, 64 KiB and 1 MiB, on 1 and on 16 logs. The plain program publishes asynchronously, a batch to a message,
// and reads by pull fetches without acknowledgements. Both keep as much under way. Rounds alternate; medians are
// printed.
//
// Then the round trip of single 1 KiB messages: the engine's own, and through the adapter. At the end the layout
// `record`: batches that become a message for each record, beside a plain program that publishes such messages, key and
// value, and reads them by ordered consumers.
#include <nats/nats.h>

#include <string_view>
#include <thread>

#include "adapter_bench.hpp"
#include "support/nats_server.hpp"

namespace {

using namespace sluice;
using namespace sluice::bench;

class Plain {
 public:
  explicit Plain(const std::string& url) {
    natsOptions* options = nullptr;
    natsOptions_Create(&options);
    natsOptions_SetURL(options, url.c_str());
    natsOptions_SetIOBufSize(options, 256 << 10);
    need(natsConnection_Connect(&connection_, options) == NATS_OK, "the plain program does not connect");
    natsOptions_Destroy(options);
  }
  ~Plain() { natsConnection_Destroy(connection_); }

  void run(const Case& now, int round, Speeds& speeds) {
    jsCtx* js = nullptr;
    jsOptions options;
    jsOptions_Init(&options);
    const size_t pending = window(now.size, now.logs) * now.logs * now.records;
    options.PublishAsync.MaxPending =
        static_cast<int64_t>(now.records == 1 ? pending : std::min(pending, kMostPending));
    options.PublishAsync.StallWait = 60'000;
    need(natsConnection_JetStream(&js, connection_, &options) == NATS_OK, "no JetStream");
    std::vector<std::string> names;
    for (size_t i = 0; i < now.logs; ++i) {
      names.push_back(fmt::format("plain-{}-{}-{}", now.size, round, i));
      jsStreamConfig config;
      jsStreamConfig_Init(&config);
      config.Name = names.back().c_str();
      need(js_AddStream(nullptr, js, &config, nullptr, nullptr) == NATS_OK, "no stream");
    }
    const std::string payload(now.record_bytes(), 'x');
    const Stopwatch appending;
    for (size_t k = 0; k < now.count * now.records; ++k) {
      for (const std::string& name : names) publish(js, name, payload, now.records > 1);
    }
    jsPubOptions wait;
    jsPubOptions_Init(&wait);
    wait.MaxWait = 120'000;
    need(js_PublishAsyncComplete(js, &wait) == NATS_OK, "publishes are not acknowledged");
    appending.stop(now.bytes(), speeds.append);

    const Stopwatch reading;
    std::vector<std::thread> readers;
    for (const std::string& name : names) {
      readers.emplace_back([&, js] { now.records > 1 ? read_in_order(js, name, now) : read(js, name, now); });
    }
    for (std::thread& reader : readers) reader.join();
    reading.stop(now.bytes(), speeds.read);
    for (const std::string& name : names) js_DeleteStream(js, name.c_str(), nullptr, nullptr);
    jsCtx_Destroy(js);
  }

  std::vector<double> round_trips(size_t count) {
    jsCtx* js = nullptr;
    natsConnection_JetStream(&js, connection_, nullptr);
    jsStreamConfig config;
    jsStreamConfig_Init(&config);
    config.Name = "plain-trip";
    js_AddStream(nullptr, js, &config, nullptr, nullptr);
    const std::string payload(1024, 'x');
    std::vector<double> times;
    for (size_t i = 0; i < count; ++i) {
      const auto begin = Clock::now();
      need(js_Publish(nullptr, js, "plain-trip", payload.data(), static_cast<int>(payload.size()), nullptr, nullptr) ==
               NATS_OK,
           "publish");
      times.push_back(std::chrono::duration<double, std::micro>(Clock::now() - begin).count());
    }
    js_DeleteStream(js, "plain-trip", nullptr, nullptr);
    jsCtx_Destroy(js);
    return times;
  }

 private:
  static constexpr size_t kMostPending = 16'384;  // more is slower

  static void publish(jsCtx* js, const std::string& subject, const std::string& payload, bool keyed) {
    const int size = static_cast<int>(payload.size());
    if (!keyed) {
      need(js_PublishAsync(js, subject.c_str(), payload.data(), size, nullptr) == NATS_OK, "publish");
      return;
    }
    natsMsg* message = nullptr;
    natsMsg_Create(&message, subject.c_str(), nullptr, payload.data(), size);
    natsMsgHeader_Set(message, "Kafka-Key", std::string(kRecordKey).c_str());
    need(js_PublishMsgAsync(js, &message, nullptr) == NATS_OK, "publish");
  }

  static void read_in_order(jsCtx* js, const std::string& name, const Case& now) {
    jsSubOptions options;
    jsSubOptions_Init(&options);
    options.Stream = name.c_str();
    options.Ordered = true;
    natsSubscription* subscription = nullptr;
    need(js_SubscribeSync(&subscription, js, name.c_str(), nullptr, &options, nullptr) == NATS_OK, "no consumer");
    natsSubscription_SetPendingLimits(subscription, -1, -1);
    for (size_t got = 0; got < now.count * now.records; ++got) {
      natsMsg* message = nullptr;
      need(natsSubscription_NextMsg(&message, subscription, 60'000) == NATS_OK, "no next message");
      natsMsg_Destroy(message);
    }
    natsSubscription_Destroy(subscription);
  }

  static void read(jsCtx* js, const std::string& name, const Case& now) {
    jsSubOptions options;
    jsSubOptions_Init(&options);
    options.Stream = name.c_str();
    options.Config.AckPolicy = js_AckNone;
    natsSubscription* subscription = nullptr;
    need(js_PullSubscribe(&subscription, js, name.c_str(), nullptr, nullptr, &options, nullptr) == NATS_OK,
         "no consumer");
    // The server hangs up on who has more than 64 MiB to take.
    const size_t share = std::min<size_t>(kReadBytes, (32 << 20) / now.logs);
    const int batch = static_cast<int>(std::clamp<size_t>(share / now.size, 1, 512));
    for (size_t got = 0; got < now.count;) {
      natsMsgList list;
      const int wanted = static_cast<int>(std::min<size_t>(static_cast<size_t>(batch), now.count - got));
      need(natsSubscription_Fetch(&list, subscription, wanted, 60'000, nullptr) == NATS_OK, "fetch");
      got += static_cast<size_t>(list.Count);
      natsMsgList_Destroy(&list);
    }
    natsSubscription_Destroy(subscription);
  }

  natsConnection* connection_ = nullptr;
};

}  // namespace

int main(int argc, char** argv) {
  int rounds = 3;
  size_t megabytes = 256;
  Selection selection;
  std::string only;
  for (int i = 2; i + 1 < argc; i += 2) {
    const std::string_view option = argv[i];
    if (option == "--rounds") rounds = std::atoi(argv[i + 1]);
    if (option == "--megabytes") megabytes = std::strtoull(argv[i + 1], nullptr, 10);
    if (option == "--logs") selection.logs = std::strtoull(argv[i + 1], nullptr, 10);
    if (option == "--batch") selection.batch = std::strtoull(argv[i + 1], nullptr, 10);
    if (option == "--layout") only = argv[i + 1];
  }
  need(argc >= 2 && rounds > 0 && megabytes > 0,
       "jetstream_bench PLUGIN [--rounds N] [--megabytes N] [--logs N] [--batch BYTES] [--layout log|record]");
  test::NatsServer server({.max_payload = 8 << 20});
  const Status started = server.start();
  need(started.ok(), started.describe());
  engine_cpu_seconds = [&server] { return server.cpu_seconds(); };
  Plain plain(server.url());
  if (only != "record") {
    Adapter adapter(argv[1], {{"servers", server.url()}});
    compare(plain, adapter, rounds, megabytes, selection);
  }
  if (only == "log" || (only.empty() && (selection.logs != 0 || selection.batch != 0))) return 0;
  Adapter native(argv[1], {{"servers", server.url()}, {"layout", std::string("record")}});
  compare_records(plain, native, rounds, megabytes, selection);
  return 0;
}
