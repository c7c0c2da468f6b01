// LogReader: the actor that answers questions about this process's log, also those that wait for the next line.
#pragma once

#include <memory>

#include <caf/actor.hpp>
#include <caf/actor_system.hpp>

#include "cluster/control/ids.hpp"
#include "runtime/base/clock.hpp"
#include "runtime/base/log_tail.hpp"

namespace tessera {

/// `life`: whose log it is; a reader that counted lines of an earlier life gets all of this one.
caf::actor spawn_log_reader(caf::actor_system& system, std::shared_ptr<const LogTail> log, NodeIncarnation life,
                            const Clock& clock);

}  // namespace tessera
