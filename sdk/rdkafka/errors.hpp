// SPDX-License-Identifier: Apache-2.0
// What librdkafka's errors mean, in one table. Pure functions, any thread.
#pragma once

#include <string_view>

#include "base/status.hpp"
#include "rdkafka/handles.hpp"

namespace sluice::kafka {

/// The class of an error of which is known that nothing was applied, or of a question. OK for no error.
StatusCode code_of(rd_kafka_resp_err_t error);
/// ... with librdkafka's words, and `detail` where it is not empty.
Status status_of(rd_kafka_resp_err_t error, std::string_view detail = {});
/// Of a request that changes something, which may have been carried out: UNKNOWN where the error leaves that open.
Status status_of_change(rd_kafka_resp_err_t error, std::string_view detail = {});
/// What became of a record: OK; UNKNOWN where it may be there; else an error that promises that it is not.
Status status_of_delivery(const rd_kafka_message_t& message);

}  // namespace sluice::kafka
