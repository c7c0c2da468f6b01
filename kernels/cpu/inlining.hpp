// Functions of the vector headers are always inlined: a copy that is left over would be a symbol that the linker could
// pick for a machine that lacks its instructions.
#pragma once

#define TESSERA_INLINE [[gnu::always_inline]] inline
#define TESSERA_LAMBDA __attribute__((always_inline))
