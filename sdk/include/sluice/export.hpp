// SPDX-License-Identifier: Apache-2.0
// SLUICE_API marks what the shared library exports; everything else stays hidden.
#pragma once

#define SLUICE_API __attribute__((visibility("default")))
