// SPDX-License-Identifier: Apache-2.0
// kafka_source BOOTSTRAP TOPIC: prints what all partitions of a topic hold at the moment.
#include "sluice/kafka_source.hpp"

#include <cstdio>
#include <future>
#include <string>

namespace {

int failed(const sluice::Status& status) {
  std::printf("%s\n", status.describe().c_str());
  return 1;
}

sluice::Result<sluice::Page> read(sluice::Source& source, int64_t from) {
  auto promise = std::make_shared<std::promise<sluice::Result<sluice::Page>>>();
  sluice::PageRequest request;
  request.from = from;
  source.read(request, [promise](sluice::Result<sluice::Page> page) { promise->set_value(std::move(page)); });
  return promise->get_future().get();
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 3) return std::printf("kafka_source BOOTSTRAP TOPIC\n"), 2;
  sluice::KafkaClusterSettings settings;
  settings.bootstrap = argv[1];
  auto cluster = sluice::KafkaCluster::make(settings);
  if (!cluster) return failed(cluster.error());
  auto sources = (*cluster)->sources(argv[2]);
  if (!sources) return failed(sources.error());
  for (auto& source : *sources) {
    for (int64_t next = 0;;) {
      const auto page = read(*source, next);
      if (!page) return failed(page.error());
      for (const sluice::Record& record : page->records) {
        const std::string value(record.value ? sluice::as_text(*record.value) : "(null)");
        std::printf("%s %ld %s\n", source->id().c_str(), record.position, value.c_str());
      }
      if (page->next == next) break;
      next = page->next;
    }
  }
  return 0;
}
