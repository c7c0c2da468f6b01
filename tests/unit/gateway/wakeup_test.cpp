// Waking an event loop up.
#include "gateway/wakeup.hpp"

#include <kj/async-io.h>

#include <boost/test/unit_test.hpp>

using tessera::gateway::Wakeup;

BOOST_AUTO_TEST_SUITE(gateway_wakeup)

BOOST_AUTO_TEST_CASE(a_notification_ends_the_wait_that_goes_on_or_the_next_one) {
  kj::AsyncIoContext io = kj::setupAsyncIo();
  Wakeup wakeup;
  auto waiting = wakeup.wait();
  BOOST_TEST(!waiting.poll(io.waitScope));
  wakeup.notify();
  waiting.wait(io.waitScope);
  wakeup.notify();
  auto next = wakeup.wait();
  BOOST_TEST(next.poll(io.waitScope));
  BOOST_TEST(!wakeup.wait().poll(io.waitScope));
}

BOOST_AUTO_TEST_CASE(a_notification_after_a_wait_that_was_given_up_is_for_the_next_one) {
  kj::AsyncIoContext io = kj::setupAsyncIo();
  Wakeup wakeup;
  { auto given_up = wakeup.wait(); }
  wakeup.notify();
  BOOST_TEST(wakeup.wait().poll(io.waitScope));
}

BOOST_AUTO_TEST_SUITE_END()
