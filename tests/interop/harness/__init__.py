# SPDX-License-Identifier: Apache-2.0
"""What runs the interop and crash tests: brokers, client suites and their preparation."""
