// sys/pidfd.h for C++: up to glibc 2.36 it declares its functions without extern "C".
#pragma once

#include <fcntl.h>
#include <signal.h>
#include <sys/types.h>

extern "C" {
#include <sys/pidfd.h>
}
