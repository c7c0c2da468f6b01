#include "gateway/prompt_row.hpp"

namespace tessera::gateway {

Json row_json(const FinishedChoice& choice) {
  return {{"text", choice.text}, {"finish_reason", reason_text(choice.reason)}, {"tokens", choice.ids.size()}};
}

}  // namespace tessera::gateway
