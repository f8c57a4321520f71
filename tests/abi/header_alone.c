/* SPDX-License-Identifier: Apache-2.0
 *
 * Compiled by header.cmake with every compiler, language and warning that the header promises to be clean under. */
#include "sluice/storage_abi.h"

/* The header's declaration exports it already. */
const sluice_plugin sluice_plugin_entry = {
    SLUICE_ABI_MAGIC, sizeof(sluice_plugin), SLUICE_ABI_MAJOR, SLUICE_ABI_MINOR, 0, "none", "0", "Nothing.", 0, SLUICE_KIND_LOG, 0, 0, 0, 0};
