// SPDX-License-Identifier: Apache-2.0
// The ideal broker: speaks enough of the protocol for librdkafka, stores nothing, checks nothing, and answers at once from one
// thread. What a real broker reaches is told as a share of what the same client reaches against this one.
//
//   ideal_broker PORT PARTITIONS RECORD_BYTES
//
// Every topic has PARTITIONS partitions. A fetch gets the same batch of records over and over, its base offset aside.
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <deque>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "protocol/codec.hpp"
#include "protocol/gen/api_versions.hpp"
#include "protocol/gen/fetch.hpp"
#include "protocol/gen/init_producer_id.hpp"
#include "protocol/gen/list_offsets.hpp"
#include "protocol/gen/metadata.hpp"
#include "protocol/gen/produce.hpp"
#include "records/builder.hpp"

namespace {

using namespace sluice;
using protocol::ApiKey;

constexpr size_t kBatchBytes = 1'000'000;
constexpr int64_t kEndlessOffset = int64_t{1} << 60;
constexpr size_t kReadBytes = 4 << 20;

struct Config {
  uint16_t port = 0;
  int32_t partitions = 1;
};

Buffer batch_bytes;
int32_t batch_records = 0;

void make_batch(size_t record_bytes) {
  records::BatchBuilder builder(records::BatchOptions{});
  const std::string value(record_bytes, 'x');
  while (builder.uncompressed_size() + record_bytes < kBatchBytes) {
    if (!builder.add({.timestamp = 1'700'000'000'000, .key = {}, .value = as_bytes(value)}).ok()) std::abort();
  }
  batch_records = builder.count();
  batch_bytes = std::move(*builder.build());
}

class Connection {
 public:
  Connection(int fd, const Config& config) : fd_(fd), config_(config) { in_.resize(kReadBytes); }
  ~Connection() { close(fd_); }

  /// False when it is over.
  bool readable() {
    const ssize_t got = recv(fd_, in_.data() + used_, in_.size() - used_, 0);
    if (got <= 0) return got < 0 && errno == EAGAIN;
    used_ += static_cast<size_t>(got);
    size_t at = 0;
    while (used_ - at >= 4) {
      const auto size = load_be<uint32_t>(in_.data() + at);
      if (used_ - at - 4 < size) {
        if (in_.size() < size + 4) in_.resize(size + 4);
        break;
      }
      answer(std::as_bytes(std::span(in_.data() + at + 4, size)));
      at += 4 + size;
    }
    std::memmove(in_.data(), in_.data() + at, used_ - at);
    used_ -= at;
    return writable();
  }

  bool writable() {
    while (!out_.empty()) {
      iovec list[64];
      int count = 0;
      size_t skip = sent_;
      for (const auto& segment : out_.front().segments()) {
        if (skip >= segment.size()) {
          skip -= segment.size();
          continue;
        }
        list[count++] = {const_cast<std::byte*>(segment.data()) + skip, segment.size() - skip};
        skip = 0;
        if (count == 64) break;
      }
      const ssize_t wrote = writev(fd_, list, count);
      if (wrote < 0) return errno == EAGAIN;
      sent_ += static_cast<size_t>(wrote);
      if (sent_ < out_.front().size_bytes()) continue;
      sent_ = 0;
      out_.pop_front();
    }
    return true;
  }
  bool wants_to_write() const { return !out_.empty(); }

 private:
  template <class M>
  void send(const protocol::IncomingRequest& request, const M& response) {
    auto output = protocol::encode_response(response, request.api_version, request.correlation_id);
    if (output) out_.push_back(std::move(*output));
  }

  void answer(std::span<const std::byte> frame) {
    auto request = protocol::decode_request_header(frame);
    if (!request) return;
    switch (request->api->key) {
      case ApiKey::kApiVersions: return api_versions(*request);
      case ApiKey::kMetadata: return metadata(*request);
      case ApiKey::kProduce: return produce(*request);
      case ApiKey::kFetch: return fetch(*request);
      case ApiKey::kListOffsets: return list_offsets(*request);
      case ApiKey::kInitProducerId: {
        protocol::InitProducerIdResponse response;
        response.producer_id = 1;
        return send(*request, response);
      }
      default: return;
    }
  }

  void api_versions(protocol::IncomingRequest request) {
    protocol::ApiVersionsResponse response;
    for (const ApiKey key : {ApiKey::kProduce, ApiKey::kFetch, ApiKey::kListOffsets, ApiKey::kMetadata, ApiKey::kApiVersions,
                             ApiKey::kInitProducerId}) {
      const auto& api = protocol::api_info(key);
      auto& range = response.api_keys.emplace_back();
      range.api_key = static_cast<int16_t>(key);
      range.min_version = api.min_advertised;
      range.max_version = api.max_advertised;
    }
    if (!request.api->serves(request.api_version)) request.api_version = 0;
    send(request, response);
  }

  void metadata(const protocol::IncomingRequest& request) {
    auto asked = protocol::decode_front<protocol::MetadataRequest>(request.body, request.api_version);
    if (!asked) return;
    protocol::MetadataResponse response;
    auto& broker = response.brokers.emplace_back();
    broker.node_id = 1;
    broker.host = "127.0.0.1";
    broker.port = config_.port;
    response.controller_id = 1;
    response.cluster_id = "ideal";
    if (asked->topics) {
      for (const auto& topic : *asked->topics) {
        auto& out = response.topics.emplace_back();
        if (topic.name) out.name = std::string(*topic.name);
        for (int32_t i = 0; i < config_.partitions; ++i) {
          auto& partition = out.partitions.emplace_back();
          partition.partition_index = i;
          partition.leader_id = 1;
          partition.leader_epoch = 0;
          partition.replica_nodes = {1};
          partition.isr_nodes = {1};
        }
      }
    }
    send(request, response);
  }

  void produce(const protocol::IncomingRequest& request) {
    auto asked = protocol::decode_front<protocol::ProduceRequest>(request.body, request.api_version);
    if (!asked || asked->acks == 0) return;
    protocol::ProduceResponse response;
    for (const auto& topic : asked->topics) {
      auto& out = response.topics.emplace_back();
      out.name = std::string(topic.name);
      for (const auto& partition : topic.partitions) {
        auto& p = out.partitions.emplace_back();
        p.index = partition.index;
        p.log_start_offset = 0;
      }
    }
    send(request, response);
  }

  void list_offsets(const protocol::IncomingRequest& request) {
    auto asked = protocol::decode_front<protocol::ListOffsetsRequest>(request.body, request.api_version);
    if (!asked) return;
    protocol::ListOffsetsResponse response;
    for (const auto& topic : asked->topics) {
      auto& out = response.topics.emplace_back();
      out.name = std::string(topic.name);
      for (const auto& partition : topic.partitions) {
        auto& p = out.partitions.emplace_back();
        p.partition_index = partition.partition_index;
        p.offset = partition.timestamp == -1 ? kEndlessOffset : 0;
      }
    }
    send(request, response);
  }

  void fetch(const protocol::IncomingRequest& request) {
    auto asked = protocol::decode_front<protocol::FetchRequest>(request.body, request.api_version);
    if (!asked) return;
    protocol::FetchResponse response;
    int64_t left = asked->max_bytes;
    for (const auto& topic : asked->topics) {
      auto& out = response.topics.emplace_back();
      out.topic = std::string(topic.topic);
      for (const auto& partition : topic.partitions) {
        auto& p = out.partitions.emplace_back();
        p.partition_index = partition.partition;
        p.high_watermark = kEndlessOffset;
        p.last_stable_offset = kEndlessOffset;
        p.log_start_offset = 0;
        if (left <= 0) continue;
        left -= static_cast<int64_t>(batch_bytes.size());
        // The base offset is not part of what the checksum covers.
        auto base = std::make_shared<std::array<std::byte, 8>>();
        store_be<int64_t>(reinterpret_cast<uint8_t*>(base->data()), partition.fetch_offset);
        p.records.slices.emplace_back(*base);
        p.records.slices.push_back(std::as_bytes(std::span(batch_bytes.data() + 8, batch_bytes.size() - 8)));
        p.records.keep_alive = base;
      }
    }
    send(request, response);
  }

  int fd_;
  const Config& config_;
  std::vector<uint8_t> in_;
  size_t used_ = 0;
  std::deque<protocol::Output> out_;
  size_t sent_ = 0;
};

int fail(const char* what) {
  std::perror(what);
  return 1;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 4) {
    std::fprintf(stderr, "ideal_broker PORT PARTITIONS RECORD_BYTES\n");
    return 2;
  }
  Config config{static_cast<uint16_t>(std::atoi(argv[1])), std::atoi(argv[2])};
  make_batch(static_cast<size_t>(std::atoi(argv[3])));
  const int listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  const int on = 1;
  setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  address.sin_port = htons(config.port);
  if (bind(listener, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0 || listen(listener, 64) != 0) return fail("listen");
  const int poller = epoll_create1(EPOLL_CLOEXEC);
  epoll_event event{};
  event.events = EPOLLIN;
  event.data.fd = listener;
  epoll_ctl(poller, EPOLL_CTL_ADD, listener, &event);
  std::unordered_map<int, std::unique_ptr<Connection>> connections;
  while (true) {
    epoll_event events[64];
    const int count = epoll_wait(poller, events, 64, -1);
    for (int i = 0; i < count; ++i) {
      const int fd = events[i].data.fd;
      if (fd == listener) {
        const int accepted = accept4(listener, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (accepted < 0) continue;
        setsockopt(accepted, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
        connections[accepted] = std::make_unique<Connection>(accepted, config);
        event.events = EPOLLIN;
        event.data.fd = accepted;
        epoll_ctl(poller, EPOLL_CTL_ADD, accepted, &event);
        continue;
      }
      Connection& connection = *connections.at(fd);
      bool good = true;
      if ((events[i].events & EPOLLOUT) != 0) good = connection.writable();
      if (good && (events[i].events & (EPOLLIN | EPOLLHUP | EPOLLERR)) != 0) good = connection.readable();
      if (!good) {
        connections.erase(fd);
        continue;
      }
      event.events = EPOLLIN | (connection.wants_to_write() ? static_cast<uint32_t>(EPOLLOUT) : 0u);
      event.data.fd = fd;
      epoll_ctl(poller, EPOLL_CTL_MOD, fd, &event);
    }
  }
}
