// SPDX-License-Identifier: Apache-2.0
#include "rdkafka/requests.hpp"

namespace sluice::kafka {
namespace {

constexpr int16_t kProduceApi = 0;
constexpr const char* kName = "sluice-requests";

rd_kafka_resp_err_t was_sent(rd_kafka_t*, int, const char*, int32_t, int16_t api, int16_t, int32_t, size_t,
                             void* sent) {
  if (api == kProduceApi) static_cast<std::atomic<uint64_t>*>(sent)->fetch_add(1);
  return RD_KAFKA_RESP_ERR_NO_ERROR;
}

rd_kafka_resp_err_t was_made(rd_kafka_t* client, const rd_kafka_conf_t*, void* sent, char*, size_t) {
  return rd_kafka_interceptor_add_on_request_sent(client, kName, was_sent, sent);
}

}  // namespace

// Interceptors alone hear of it.
void count_produce_requests(rd_kafka_conf_t& conf, std::atomic<uint64_t>& sent) {
  rd_kafka_conf_interceptor_add_on_new(&conf, kName, was_made, &sent);
}

}  // namespace sluice::kafka
