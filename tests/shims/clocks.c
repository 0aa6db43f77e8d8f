/* Shifts the clocks of the process that it is preloaded into, for tests/suite/clocks.rs: of a real machine nobody can stop the
   monotonic clock, or set the wall clock wrong for one process alone.
   The file that SHIFTED_CLOCKS names holds two numbers of 8 bytes, in nanoseconds, which are added to the wall clock and to the
   monotonic clock. The test may change them while the process runs. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>

#define SECOND 1000000000LL

static int (*real_clock_gettime)(clockid_t, struct timespec *);
static volatile long long *shifts;

__attribute__((constructor)) static void set_up(void) {
    real_clock_gettime = dlsym(RTLD_NEXT, "clock_gettime");
    const char *path = getenv("SHIFTED_CLOCKS");
    int file = path ? open(path, O_RDONLY) : -1;
    void *memory = file >= 0 ? mmap(NULL, 16, PROT_READ, MAP_SHARED, file, 0) : MAP_FAILED;
    if (memory == MAP_FAILED) abort();
    shifts = memory;
}

int clock_gettime(clockid_t clock, struct timespec *time) {
    if (!real_clock_gettime) real_clock_gettime = dlsym(RTLD_NEXT, "clock_gettime");
    int result = real_clock_gettime(clock, time);
    if (result == 0 && shifts && (clock == CLOCK_REALTIME || clock == CLOCK_MONOTONIC)) {
        long long shifted = time->tv_sec * SECOND + time->tv_nsec + shifts[clock == CLOCK_MONOTONIC];
        time->tv_sec = shifted / SECOND;
        time->tv_nsec = shifted % SECOND;
    }
    return result;
}
