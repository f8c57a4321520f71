// SPDX-License-Identifier: Apache-2.0
// One function per command. Each prints its result on standard output; why it failed comes back as a Status.
#pragma once

#include "base/status.hpp"
#include "cli/arguments.hpp"

namespace sluice::cli {

/// Runs the command, prints an error on standard error, and gives the exit code.
int run(const Arguments& arguments);

Status run(const TopicCreate& command, const Common& common);
Status run(const TopicList& command, const Common& common);
Status run(const TopicDescribe& command, const Common& common);
Status run(const TopicDelete& command, const Common& common);
Status run(const TopicAdopt& command, const Common& common);
Status run(const TopicMigrate& command, const Common& common);
Status run(const GroupList& command, const Common& common);
Status run(const GroupDescribe& command, const Common& common);
Status run(const Produce& command, const Common& common);
Status run(const Consume& command, const Common& common);
Status run(const FilterCheck& command, const Common& common);
Status run(const StorageList& command, const Common& common);
Status run(const StorageHealth& command, const Common& common);
Status run(const StorageDiscover& command, const Common& common);
Status run(const PluginList& command, const Common& common);
Status run(const PluginDescribe& command, const Common& common);
Status run(const PluginCheck& command, const Common& common);
Status run(const CursorShow& command, const Common& common);
Status run(const CursorSet& command, const Common& common);
Status run(const Version& command, const Common& common);

}  // namespace sluice::cli
