// SPDX-License-Identifier: Apache-2.0
// C11's threads by those of POSIX, for programs under ThreadSanitizer that use librdkafka: it sees the latter alone,
// and memory that a thread allocates of which it knows nothing ends the program. glibc has both in one form.
#include <errno.h>
#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <threads.h>

#define SEEN __attribute__((visibility("default")))

_Static_assert(sizeof(mtx_t) >= sizeof(pthread_mutex_t), "a mutex fits");
_Static_assert(sizeof(cnd_t) >= sizeof(pthread_cond_t), "a condition fits");

// librdkafka itself is not instrumented: what it does to its own memory, in functions that ThreadSanitizer watches, is
// not judged. What its callbacks do, and how they are synchronised, is.
SEEN const char* __tsan_default_options(void);
SEEN const char* __tsan_default_options(void) {
  return "ignore_noninstrumented_modules=1";
}

struct begun {
  thrd_start_t function;
  void* argument;
};

static int answer(int error) {
  return error == 0 ? thrd_success : error == EBUSY ? thrd_busy : error == ETIMEDOUT ? thrd_timedout : thrd_error;
}

static void* run(void* pointer) {
  const struct begun begun = *(struct begun*)pointer;
  free(pointer);
  return (void*)(intptr_t)begun.function(begun.argument);
}

SEEN int thrd_create(thrd_t* thread, thrd_start_t function, void* argument) {
  struct begun* begun = malloc(sizeof *begun);
  if (begun == NULL) return thrd_nomem;
  *begun = (struct begun){function, argument};
  const int error = pthread_create((pthread_t*)thread, NULL, run, begun);
  if (error != 0) free(begun);
  return answer(error);
}

SEEN int thrd_join(thrd_t thread, int* result) {
  void* value = NULL;
  const int error = pthread_join((pthread_t)thread, &value);
  if (error == 0 && result != NULL) *result = (int)(intptr_t)value;
  return answer(error);
}

SEEN int thrd_detach(thrd_t thread) {
  return answer(pthread_detach((pthread_t)thread));
}

SEEN int mtx_init(mtx_t* mutex, int type) {
  pthread_mutexattr_t attributes;
  pthread_mutexattr_init(&attributes);
  if ((type & mtx_recursive) != 0) pthread_mutexattr_settype(&attributes, PTHREAD_MUTEX_RECURSIVE);
  const int error = pthread_mutex_init((pthread_mutex_t*)mutex, &attributes);
  pthread_mutexattr_destroy(&attributes);
  return answer(error);
}

SEEN int mtx_lock(mtx_t* mutex) {
  return answer(pthread_mutex_lock((pthread_mutex_t*)mutex));
}

SEEN int mtx_trylock(mtx_t* mutex) {
  return answer(pthread_mutex_trylock((pthread_mutex_t*)mutex));
}

SEEN int mtx_unlock(mtx_t* mutex) {
  return answer(pthread_mutex_unlock((pthread_mutex_t*)mutex));
}

SEEN void mtx_destroy(mtx_t* mutex) {
  pthread_mutex_destroy((pthread_mutex_t*)mutex);
}

SEEN int cnd_init(cnd_t* condition) {
  return answer(pthread_cond_init((pthread_cond_t*)condition, NULL));
}

SEEN int cnd_signal(cnd_t* condition) {
  return answer(pthread_cond_signal((pthread_cond_t*)condition));
}

SEEN int cnd_broadcast(cnd_t* condition) {
  return answer(pthread_cond_broadcast((pthread_cond_t*)condition));
}

SEEN int cnd_wait(cnd_t* condition, mtx_t* mutex) {
  return answer(pthread_cond_wait((pthread_cond_t*)condition, (pthread_mutex_t*)mutex));
}

SEEN int cnd_timedwait(cnd_t* condition, mtx_t* mutex, const struct timespec* until) {
  return answer(pthread_cond_timedwait((pthread_cond_t*)condition, (pthread_mutex_t*)mutex, until));
}

SEEN void cnd_destroy(cnd_t* condition) {
  pthread_cond_destroy((pthread_cond_t*)condition);
}
