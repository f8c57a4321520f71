// SPDX-License-Identifier: Apache-2.0
#include "plugin/options.hpp"

#include <stdexcept>

namespace sluice::plugin {

const sluice_value& Options::value(std::string_view name) const {
  for (size_t i = 0; i < table_.size(); ++i) {
    if (table_[i].name == name) return values_[i];
  }
  throw std::logic_error("the adapter asks for an option that its table does not have: " + std::string(name));
}

int64_t Options::number(std::string_view name, int64_t absent) const {
  const sluice_value& found = value(name);
  return found.present != 0 ? found.number : absent;
}

std::string Options::text(std::string_view name, std::string_view absent) const {
  const sluice_value& found = value(name);
  return std::string(found.present != 0 && found.text != nullptr ? std::string_view(found.text) : absent);
}

}  // namespace sluice::plugin
