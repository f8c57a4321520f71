// SPDX-License-Identifier: Apache-2.0
#include "plugin/call.hpp"

#include <cstring>

namespace sluice::plugin {

void write_error(sluice_error* error, const Status& status) noexcept {
  if (error == nullptr) return;
  set(*error, &sluice_error::native_code, status.native_code());
  set(*error, &sluice_error::retry_after_ms, status.retry_after_ms());
  char* text = get(*error, &sluice_error::text);
  const size_t capacity = get(*error, &sluice_error::text_capacity);
  if (text == nullptr || capacity == 0) return;
  size_t size = status.text().size();
  if (size > capacity - 1) {
    size = capacity - 1;
    // Not in the middle of a character: back to before its first byte.
    while (size > 0 && (static_cast<unsigned char>(status.text()[size]) & 0xc0) == 0x80) --size;
  }
  std::memcpy(text, status.text().data(), size);
  text[size] = '\0';
}

void Pending::complete(const Status& status) noexcept {
  sluice_ticket* ticket = std::exchange(ticket_, nullptr);
  if (ticket == nullptr) return;
  if (!status.ok()) write_error(ticket->error, status);
  const bool final = status.code() != StatusCode::pending;
  host_->complete(host_, ticket, final ? static_cast<sluice_status>(status.code()) : SLUICE_UNKNOWN);
}

}  // namespace sluice::plugin
