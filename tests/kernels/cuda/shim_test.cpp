// The host shim itself: it must see what it is there to see.
#include <cstdint>
#include <string>
#include <vector>

#include <boost/test/unit_test.hpp>

#include "kernels/cuda/launch.cuh"
#include "tests/kernels/cuda/device.hpp"

using namespace tessera;
using namespace tessera::cuda;

namespace {

/// Only a kernel of a test reaches it, on the one thread of a launch.
struct Args {
  unsigned* out;
  unsigned fault;
};

/// Each block reverses its numbers through shared memory, each warp adds up its lanes.
void reverse(Args args) {
  TESSERA_SHARED(unsigned, shared, 64);
  const unsigned i = threadIdx.x;
  shared[i] = blockIdx.x * 64 + i;
  __syncthreads();
  const unsigned reversed = shared[63 - i];
  unsigned sum = i;
  for (int distance = 16; distance > 0; distance /= 2) sum += __shfl_xor_sync(all_lanes, sum, distance);
  args.out[blockIdx.x * 64 + i] = reversed * 10000 + sum;
}

void faulty(Args args) {
  const unsigned i = threadIdx.x;
  if (args.fault == 1 && i == 5) return;  // the others wait for it
  if (args.fault == 2 && i == 40) {
    __syncthreads();
  } else {
    __syncthreads();
  }
  if (args.fault == 3 && i % 32 == 7) return;
  if (args.fault == 4 && i % 2 == 0) {
    __shfl_xor_sync(all_lanes, i, 1);
  } else {
    __shfl_xor_sync(all_lanes, i, 2);
  }
}

/// Reads what it has asked for before it is there.
void impatient(Args args) {
  TESSERA_SHARED(unsigned, shared, 64);
  copy_async_4(shared + threadIdx.x, args.out + threadIdx.x);
  commit_copies();
  if (args.fault == 0) wait_copies<0>();
  args.out[threadIdx.x] = shared[threadIdx.x] + 1;
}

/// Leaves out the barrier between the write and the read of a neighbour's value.
void hasty(Args args) {
  TESSERA_SHARED(unsigned, shared, 64);
  shared[threadIdx.x] = threadIdx.x;
  args.out[threadIdx.x] = shared[threadIdx.x ^ 1u];
}

struct Launcher {
  tessera_device_queue queue;
  std::vector<unsigned> out = std::vector<unsigned>(256, 0);

  std::int32_t run(void (*kernel)(Args), unsigned blocks, unsigned fault = 0) {
    LaunchShape shape;
    shape.grid = {blocks, 1, 1};
    shape.threads = 64;
    return launch(&queue, "kernel", kernel, shape, Args{out.data(), fault});
  }
  bool says(const std::string& words) const { return std::string(queue.error).find(words) != std::string::npos; }
};

}  // namespace

BOOST_AUTO_TEST_SUITE(shim)

BOOST_AUTO_TEST_CASE(threads_meet_at_barriers_and_lanes_exchange_values) {
  Launcher launcher;
  for (int time = 0; time < 2; ++time) {  // forwards, then backwards
    BOOST_REQUIRE_EQUAL(launcher.run(reverse, 3), std::int32_t{TESSERA_DEVICE_OK});
    for (unsigned i = 0; i < 192; ++i) {
      const unsigned block = i / 64, thread = i % 64, warp_sum = thread < 32 ? 496 : 496 + 32 * 32;
      BOOST_REQUIRE_EQUAL(launcher.out[i], (block * 64 + 63 - thread) * 10000 + warp_sum);
    }
  }
}

BOOST_AUTO_TEST_CASE(a_thread_that_has_ended_while_others_wait_is_named) {
  Launcher launcher;
  BOOST_REQUIRE_EQUAL(launcher.run(faulty, 1, 1), std::int32_t{TESSERA_DEVICE_FAILED});
  BOOST_TEST(launcher.says("kernel: block (0, 0, 0): mismatched barrier: thread 0 is at a barrier"),
             launcher.queue.error);
  BOOST_TEST(launcher.says("thread 5 at its end"), launcher.queue.error);
}

BOOST_AUTO_TEST_CASE(threads_at_different_barriers_are_named) {
  Launcher launcher;
  BOOST_REQUIRE_EQUAL(launcher.run(faulty, 2, 2), std::int32_t{TESSERA_DEVICE_FAILED});
  BOOST_TEST(launcher.says("mismatched barrier"), launcher.queue.error);
  BOOST_TEST(launcher.says("thread 40 at a barrier"), launcher.queue.error);
}

BOOST_AUTO_TEST_CASE(divergent_exchanges_are_named) {
  Launcher launcher;
  BOOST_REQUIRE_EQUAL(launcher.run(faulty, 1, 3), std::int32_t{TESSERA_DEVICE_FAILED});
  BOOST_TEST(launcher.says("divergent exchange"), launcher.queue.error);
  BOOST_TEST(launcher.says("which is at its end"), launcher.queue.error);
  BOOST_REQUIRE_EQUAL(launcher.run(faulty, 1, 4), std::int32_t{TESSERA_DEVICE_FAILED});
  BOOST_TEST(launcher.says("divergent exchange"), launcher.queue.error);
  BOOST_TEST(launcher.says("which is at an exchange of its warp"), launcher.queue.error);
  BOOST_REQUIRE_EQUAL(launcher.run(faulty, 1), std::int32_t{TESSERA_DEVICE_OK});  // and the next launch is a fresh one
}

BOOST_AUTO_TEST_CASE(a_copy_is_not_there_before_it_is_waited_for) {
  Launcher patient, hurried;
  for (unsigned i = 0; i < 64; ++i) patient.out[i] = hurried.out[i] = 100 + i;
  BOOST_REQUIRE_EQUAL(patient.run(impatient, 1, 0), std::int32_t{TESSERA_DEVICE_OK});
  BOOST_REQUIRE_EQUAL(hurried.run(impatient, 1, 1), std::int32_t{TESSERA_DEVICE_OK});
  for (unsigned i = 0; i < 64; ++i) {
    BOOST_REQUIRE_EQUAL(patient.out[i], 101 + i);
    BOOST_REQUIRE_EQUAL(hurried.out[i], 0u);  // 0xffffffff + 1
  }
}

BOOST_AUTO_TEST_CASE(a_missing_barrier_shows_as_poison) {
  Launcher launcher;
  unsigned wrong = 0;
  for (int time = 0; time < 2; ++time) {
    BOOST_REQUIRE_EQUAL(launcher.run(hasty, 1), std::int32_t{TESSERA_DEVICE_OK});
    for (unsigned i = 0; i < 64; ++i) wrong += launcher.out[i] == 0xffffffffu ? 1 : 0;
  }
  BOOST_TEST(wrong == 64u);  // half of the threads, forwards and backwards
}

BOOST_AUTO_TEST_CASE(impossible_launches_are_told) {
  Launcher launcher;
  BOOST_TEST(launcher.run(reverse, 0) == std::int32_t{TESSERA_DEVICE_FAILED});
  BOOST_TEST(launcher.says("a launch of 0 blocks"), launcher.queue.error);
}

BOOST_AUTO_TEST_SUITE_END()
