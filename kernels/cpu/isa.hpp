// The instruction set that a source of this folder is being compiled for, as the compiler's flags say, and the
// namespace that its functions lie in (see vec.hpp).
#pragma once

#if defined(__AVX512BF16__)
#define TESSERA_ISA avx512bf16
#elif defined(__AVX512F__)
#define TESSERA_ISA avx512
#else
#define TESSERA_ISA avx2
#endif
