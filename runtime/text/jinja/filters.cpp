#include "runtime/text/jinja/filters.hpp"

#include <algorithm>

#include "runtime/text/jinja/filter_tables.hpp"

namespace tessera::jinja {

FilterFunction find_filter(std::string_view name) {
  for (const auto& table : {text_filters(), number_filters(), sequence_filters(), choosing_filters()}) {
    const auto found =
        std::find_if(table.begin(), table.end(), [&](const NamedFilter& filter) { return filter.name == name; });
    if (found != table.end()) return found->call;
  }
  return nullptr;
}

}  // namespace tessera::jinja
