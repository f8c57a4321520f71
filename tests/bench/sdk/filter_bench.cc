// SPDX-License-Identifier: Apache-2.0
// Filters on one core: JSON looked into for two paths and a comparison, beside simdjson's on-demand interface doing the
// same by hand; and records rejected by key or header, beside a comparison written out. CPU time, medians of rounds in
// turns.
#include <fmt/format.h>
#include <simdjson.h>
#include <time.h>

#include <algorithm>
#include <cstdlib>
#include <random>
#include <string>
#include <vector>

#include "sluice/filter.hpp"

namespace {

using sluice::Bytes;
using sluice::Header;
using sluice::Record;

constexpr int kRounds = 9;
constexpr size_t kCorpusBytes = 16 << 20;  // beyond the caches of a core
constexpr size_t kRecords = 100'000;

/// Documents one behind the other, each in memory of its own padding, as simdjson by hand wants it.
struct Corpus {
  std::string memory;
  std::vector<std::pair<size_t, size_t>> documents;  // start, size
  size_t bytes = 0;
};

/// An event of about `items` times 90 bytes.
std::string event(std::mt19937& random, int items) {
  std::string text = fmt::format(R"({{"id":"{:08x}","kind":"order","tenant":"t{}","at":{},"order":{{"items":[)",
                                 random(), random() % 100, 1'700'000'000'000 + random() % 1'000'000);
  for (int i = 0; i < items; ++i) {
    text +=
        fmt::format(R"({}{{"sku":"{:06}","name":"a thing of some sort","price":{}.{:02},"count":{},"tags":["x","y"]}})",
                    i == 0 ? "" : ",", random() % 1'000'000, random() % 1'000, random() % 100, random() % 9);
  }
  return text + fmt::format(R"(],"total":{},"currency":"EUR"}},"source":"bench"}})", random() % 10'000);
}

Corpus make_corpus(int items) {
  std::mt19937 random(1);
  Corpus corpus;
  while (corpus.memory.size() < kCorpusBytes) {
    const std::string text = event(random, items);
    corpus.documents.emplace_back(corpus.memory.size(), text.size());
    corpus.bytes += text.size();
    corpus.memory += text + std::string(simdjson::SIMDJSON_PADDING, ' ');
  }
  return corpus;
}

/// Of this thread's CPU: what others do at the time costs caches alone.
double cpu_seconds() {
  timespec time;
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
  return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_nsec) * 1e-9;
}

double seconds_of(const auto& work) {
  const double start = cpu_seconds();
  work();
  return cpu_seconds() - start;
}

double median(std::vector<double> values) {
  std::nth_element(values.begin(), values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2), values.end());
  return values[values.size() / 2];
}

[[noreturn]] void die(const std::string& why) {
  fmt::print(stderr, "filter_bench: {}\n", why);
  std::exit(1);
}

sluice::Filter compiled(const char* text) {
  auto filter = sluice::Filter::parse(text);
  if (!filter) die(filter.error().text());
  return *filter;
}

/// kind = "order" and order.total >= 5000, by hand; fields in the order in which they are written.
size_t by_hand(simdjson::ondemand::parser& parser, const Corpus& corpus) {
  size_t passed = 0;
  for (const auto& [start, size] : corpus.documents) {
    simdjson::ondemand::document document;
    const char* at = corpus.memory.data() + start;
    if (parser.iterate(at, size, size + simdjson::SIMDJSON_PADDING).get(document) != simdjson::SUCCESS) continue;
    std::string_view kind;
    int64_t total = 0;
    if (document["kind"].get(kind) != simdjson::SUCCESS || document["order"]["total"].get(total) != simdjson::SUCCESS) {
      continue;
    }
    passed += kind == "order" && total >= 5'000;
  }
  return passed;
}

size_t filtered(sluice::FilterEvaluator& evaluator, const Corpus& corpus) {
  size_t passed = 0;
  Record record;
  for (const auto& [start, size] : corpus.documents) {
    record.value = sluice::as_bytes(std::string_view(corpus.memory).substr(start, size));
    passed += evaluator.passes(record);
  }
  return passed;
}

void bench_json(const char* name, int items) {
  const Corpus corpus = make_corpus(items);
  sluice::FilterEvaluator evaluator(compiled("value.kind = \"order\" and value.order.total >= 5000"));
  simdjson::ondemand::parser parser;
  std::vector<double> ours, plain;
  for (int round = 0; round < kRounds; ++round) {
    size_t passed = 0, expected = 0;
    plain.push_back(seconds_of([&] { expected = by_hand(parser, corpus); }));
    ours.push_back(seconds_of([&] { passed = filtered(evaluator, corpus); }));
    if (passed != expected || passed == 0) die(fmt::format("{} passed, by hand {}", passed, expected));
  }
  const auto bytes = static_cast<double>(corpus.bytes), count = static_cast<double>(corpus.documents.size());
  fmt::print("{:22} {:6.0f} bytes: filter {:5.2f} GB/s, {:5.2f} M/s; simdjson by hand {:5.2f} GB/s; ratio {:.2f}\n",
             name, bytes / count, bytes / median(ours) / 1e9, count / median(ours) / 1e6, bytes / median(plain) / 1e9,
             median(plain) / median(ours));
}

void bench_rejection(const char* name, const char* text, const auto& plain_test) {
  std::vector<std::string> keys;
  for (size_t i = 0; i < kRecords; ++i) keys.push_back(fmt::format("customer-{:07}", i));
  const std::string value(1'000, 'x');  // no JSON: looking into it would show
  const std::vector<Header> headers = {{"traceparent", sluice::as_bytes("00-0af7651916cd43dd8448eb211c80319c-01")},
                                       {"tenant", sluice::as_bytes("acme")},
                                       {"kind", sluice::as_bytes("audit")}};
  std::vector<Record> records(kRecords);
  for (size_t i = 0; i < kRecords; ++i) {
    records[i].key = sluice::as_bytes(keys[i]);
    records[i].value = sluice::as_bytes(value);
    records[i].headers = sluice::Headers(headers);
  }
  sluice::FilterEvaluator evaluator(compiled(text));
  std::vector<double> ours, plain;
  for (int round = 0; round < kRounds; ++round) {
    size_t passed = 0, expected = 0;
    plain.push_back(seconds_of([&] {
      for (const Record& record : records) expected += plain_test(record);
    }));
    ours.push_back(seconds_of([&] {
      for (const Record& record : records) passed += evaluator.passes(record);
    }));
    if (passed != expected) die(fmt::format("{} passed, by hand {}", passed, expected));
  }
  if (evaluator.counts().payloads_read != 0) die("values were looked into");
  const auto count = static_cast<double>(kRecords);
  fmt::print("{:22} filter {:6.1f} M records/s; written out {:6.1f} M/s; ratio {:.2f}\n", name,
             count / median(ours) / 1e6, count / median(plain) / 1e6, median(plain) / median(ours));
}

}  // namespace

int main() {
  fmt::print("simdjson: {}\n", simdjson::get_active_implementation()->name());
  bench_json("two paths, small", 0);
  bench_json("two paths, medium", 4);
  bench_json("two paths, large", 40);
  bench_rejection("rejected by key", "key = \"nobody\" and value.kind = \"order\"",
                  [](const Record& record) { return sluice::as_text(*record.key) == "nobody"; });
  bench_rejection("rejected by header", "value.kind = \"order\" and headers[\"kind\"] = \"order\"",
                  [](const Record& record) {
                    const auto header = record.headers.last("kind");
                    return header && header->value && sluice::as_text(*header->value) == "order";
                  });
}
