// SPDX-License-Identifier: Apache-2.0
// SLUICE_API marks what the shared library exports; everything else stays hidden. SLUICE_LOCAL hides what lies inside
// such a class: what its implementation is made of.
#pragma once

#define SLUICE_API __attribute__((visibility("default")))
#define SLUICE_LOCAL __attribute__((visibility("hidden")))
