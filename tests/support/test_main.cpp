// The main of every test program: Boost.Test with all its command-line options, except that it does not take signals
// over: the guard of mapped files owns SIGBUS, and the sanitizers want to report the others themselves.
#define BOOST_TEST_MODULE tessera
#define BOOST_TEST_NO_MAIN
#include <cstdlib>

#include <boost/test/unit_test.hpp>

int main(int argc, char** argv) {
  ::setenv("BOOST_TEST_CATCH_SYSTEM_ERRORS", "no", 0);
  return boost::unit_test::unit_test_main(&init_unit_test, argc, argv);
}
