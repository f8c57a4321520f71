// SPDX-License-Identifier: Apache-2.0
#include "partition/partition.hpp"

namespace sluice::partition {

ErrorCode to_error_code(const Status& status) {
  switch (status.code()) {
    case StatusCode::ok:
      return ErrorCode::kNone;
    case StatusCode::out_of_range:
      return ErrorCode::kOffsetOutOfRange;
    case StatusCode::too_large:
      return ErrorCode::kMessageTooLarge;
    case StatusCode::corrupt:
      return ErrorCode::kCorruptMessage;
    case StatusCode::fenced:
      return ErrorCode::kNotLeaderOrFollower;
    case StatusCode::unknown:
      return ErrorCode::kRequestTimedOut;
    // Retriable for every client, and makes it ask for metadata again.
    case StatusCode::conflict:
    case StatusCode::unavailable:
    case StatusCode::busy:
    case StatusCode::not_found:
      return ErrorCode::kNotLeaderOrFollower;
    default:
      break;
  }
  switch (status_class(status.code())) {
    case 200:
    case 300:
      return ErrorCode::kNotLeaderOrFollower;
    case 400:
      return ErrorCode::kRequestTimedOut;
    case 500:
      return ErrorCode::kKafkaStorageError;
    default:
      return ErrorCode::kUnknownServerError;
  }
}

ErrorCode to_append_error(const Status& status) {
  switch (status.code()) {
    case StatusCode::invalid:
      return ErrorCode::kInvalidRecord;
    case StatusCode::unsupported:
      return ErrorCode::kInvalidRequest;
    default:
      return to_error_code(status);
  }
}

}  // namespace sluice::partition
