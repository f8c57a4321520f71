// SPDX-License-Identifier: Apache-2.0
// A look at a shared object before the loader maps it: the loader trusts the file's length, and a file that was cut
// short ends the process with SIGBUS instead of an error.
#pragma once

#include <string>

namespace sluice::host {

/// What is wrong with the ELF file's extent; empty if every segment lies wholly in the file. A file that is no 64 bit
/// ELF object is left to the loader, which refuses it in words of its own. Any thread; blocks on the file.
std::string truncation_fault(const std::string& path);

}  // namespace sluice::host
