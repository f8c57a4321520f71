// SPDX-License-Identifier: Apache-2.0
// Turns messages into one line for logs: {topic="orders", partitions=[{partition=3, ...}]}. Opaque bytes and records
// are shown by size only, and the line ends at a limit. Generated code is the main user. One thread at a time.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/uuid.hpp"
#include "errors/error_code.hpp"
#include "protocol/types.hpp"

namespace sluice::protocol {

/// A described message is cut here, with "..." at the end.
inline constexpr size_t kMaxDescriptionBytes = 4096;

class Printer {
 public:
  void open() { raw("{"); }
  void close() { raw("}"); }

  template <class T>
  void field(std::string_view name, const T& value) {
    label(name);
    print(value);
  }
  template <class B>
  void bytes_field(std::string_view name, const B& value) {
    label(name);
    print_size(value);
  }

  std::string take() &&;

 private:
  void print(bool value) { raw(value ? "true" : "false"); }
  void print(int8_t value) { print(int64_t{value}); }
  void print(int16_t value) { print(int64_t{value}); }
  void print(int32_t value) { print(int64_t{value}); }
  void print(int64_t value);
  void print(ErrorCode value) { raw(error_name(value)); }
  void print(const Uuid& value) { raw(value.to_string()); }
  void print(std::string_view value);
  void print(const std::string& value) { print(std::string_view(value)); }
  template <class T>
    requires requires(const T& value, Printer& printer) { value.print(printer); }
  void print(const T& value) {
    value.print(*this);
  }
  template <class T>
  void print(const std::optional<T>& value) {
    if (!value) return raw("null");
    print(*value);
  }
  template <class T>
  void print(const std::vector<T>& values) {
    raw("[");
    bool first = true;
    for (const T& value : values) {
      if (full()) break;
      if (!first) raw(", ");
      first = false;
      print(value);
    }
    raw("]");
  }

  void print_size(const RecordsOut& value);
  void print_size(const Bytes& value) { print_bytes(value.size()); }
  void print_size(const std::string& value) { print_bytes(value.size()); }
  template <class B>
  void print_size(const std::optional<B>& value) {
    if (!value) return raw("null");
    print_size(*value);
  }
  void print_bytes(size_t size_bytes);

  bool full() const { return line_.size() >= kMaxDescriptionBytes; }
  void label(std::string_view name);
  void raw(std::string_view text) {
    if (!full()) line_ += text;
  }

  std::string line_;
};

}  // namespace sluice::protocol
