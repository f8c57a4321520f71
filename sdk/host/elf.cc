// SPDX-License-Identifier: Apache-2.0
#include "host/elf.hpp"

#include <elf.h>
#include <fmt/format.h>

#include <cstring>
#include <fstream>

namespace sluice::host {

std::string truncation_fault(const std::string& path) {
  std::ifstream file(path, std::ios::binary | std::ios::ate);
  if (!file) return {};
  const auto size = static_cast<uint64_t>(file.tellg());
  const auto read = [&](uint64_t at, auto& object) {
    file.seekg(static_cast<std::streamoff>(at));
    return static_cast<bool>(file.read(reinterpret_cast<char*>(&object), sizeof object));
  };
  const auto cut = [&](uint64_t end) {
    return fmt::format("is cut short: {} bytes are there of at least {}", size, end);
  };

  Elf64_Ehdr header;
  if (size < sizeof header) return size == 0 ? "is empty" : cut(sizeof header);
  if (!read(0, header)) return {};
  if (std::memcmp(header.e_ident, ELFMAG, SELFMAG) != 0 || header.e_ident[EI_CLASS] != ELFCLASS64) return {};
  if (header.e_phentsize != sizeof(Elf64_Phdr)) return {};
  for (uint64_t i = 0; i < header.e_phnum; ++i) {
    uint64_t at = 0, end = 0;
    if (__builtin_add_overflow(header.e_phoff, i * sizeof(Elf64_Phdr), &at) ||
        __builtin_add_overflow(at, sizeof(Elf64_Phdr), &end)) {
      return "has a damaged header";
    }
    if (end > size) return cut(end);
    Elf64_Phdr segment;
    if (!read(at, segment)) return {};
    if (segment.p_type != PT_LOAD) continue;
    if (__builtin_add_overflow(segment.p_offset, segment.p_filesz, &end)) return "has a damaged header";
    if (end > size) return cut(end);
  }
  return {};
}

}  // namespace sluice::host
