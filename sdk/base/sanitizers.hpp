// SPDX-License-Identifier: Apache-2.0
// SLUICE_ADDRESS_SANITIZER and SLUICE_THREAD_SANITIZER: 1 where the compiler's sanitizer watches this build, else 0.
#pragma once

#ifndef __has_feature
#  define __has_feature(feature) 0  // clang's; GCC has macros of its own
#endif

#if defined(__SANITIZE_ADDRESS__) || __has_feature(address_sanitizer)
#  define SLUICE_ADDRESS_SANITIZER 1
#else
#  define SLUICE_ADDRESS_SANITIZER 0
#endif

#if defined(__SANITIZE_THREAD__) || __has_feature(thread_sanitizer)
#  define SLUICE_THREAD_SANITIZER 1
#else
#  define SLUICE_THREAD_SANITIZER 0
#endif
