/* A driver for tests, where there is no GPU: copies take time on this machine's clock,
 * one after another each way, and move nothing. The file that COUNTS names holds how
 * often it was asked for what. A copy of 13 bytes fails. */
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>

typedef struct { int64_t idle; } stream; /* from when on */
typedef struct { int64_t at; } event;

static int64_t busy[2]; /* until when, each way */
static struct { int64_t copies, records, times, old; } *asked;

__attribute__((constructor)) static void count(void) {
	asked = mmap(0, sizeof *asked, PROT_READ | PROT_WRITE, MAP_SHARED, open(getenv("COUNTS"), O_RDWR), 0);
}

static int64_t now(void) {
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static int64_t later(int64_t a, int64_t b) { return a > b ? a : b; }

int cuInit(unsigned flags) { return 0; }
int cuDeviceGetCount(int *n) { return *n = 1, 0; }
int cuDeviceGet(int *d, int i) { return *d = i, 0; }
int cuDeviceGetAttribute(int *v, int which, int d) { return *v = 0, 0; }
int cuDevicePrimaryCtxRetain(void **c, int d) { return *c = &busy, 0; }
int cuCtxSetCurrent(void *c) { return 0; }
int cuCtxGetStreamPriorityRange(int *least, int *greatest) { return *least = *greatest = 0; }
int cuThreadExchangeStreamCaptureMode(int *mode) { return 0; }
int cuGetErrorName(int r, const char **s) { return *s = "of a test", 0; }

enum { OUT_OF_MEMORY = 2, NOT_READY = 600, ILLEGAL_ADDRESS = 700 };
static const int64_t never = INT64_MAX;
static const size_t most = (size_t)64 << 30;
int cuMemGetInfo_v2(size_t *free, size_t *total) { return *free = *total = most, 0; }
int cuMemAlloc_v2(uint64_t *p, size_t n) { return *p = 4096, n > most ? OUT_OF_MEMORY : 0; }
int cuMemFree_v2(uint64_t p) { return 0; }
int cuMemHostAlloc(void **p, size_t n, unsigned flags) { return n > most || !(*p = malloc(n)) ? OUT_OF_MEMORY : 0; }
int cuMemFreeHost(void *p) { return free(p), 0; }

int cuStreamCreateWithPriority(stream **s, unsigned flags, int priority) { return *s = calloc(1, sizeof **s), 0; }
int cuStreamDestroy_v2(stream *s) { return free(s), 0; }
int cuStreamWaitEvent(stream *s, event *e, unsigned flags) { return s->idle = later(s->idle, e->at), 0; }
int cuStreamSynchronize(stream *s) {
	if (s->idle == never) return ILLEGAL_ADDRESS;
	while (now() < s->idle) {}
	return 0;
}

int cuEventCreate(event **e, unsigned flags) { return *e = calloc(1, sizeof **e), 0; }
int cuEventDestroy_v2(event *e) { return free(e), 0; }
int cuEventRecord(event *e, stream *s) { return asked->records++, e->at = later(s->idle, now()), 0; }
int cuEventQuery(event *e) { return e->at == never ? ILLEGAL_ADDRESS : now() < e->at ? NOT_READY : 0; }
int cuEventSynchronize(event *e) {
	while (now() < e->at) {}
	return 0;
}
static int elapsed(float *ms, event *from, event *to) {
	if (now() < later(from->at, to->at)) return NOT_READY;
	asked->times++;
	return *ms = (to->at - from->at) / 1e6, 0;
}
int cuEventElapsedTime(float *ms, event *from, event *to) { return asked->old++, to->at == never ? ILLEGAL_ADDRESS : elapsed(ms, from, to); }
#ifndef OLD /* than CUDA 12.8 */
int cuEventElapsedTime_v2(float *ms, event *from, event *to) { return elapsed(ms, from, to); }
#endif

static int copy(int64_t *link, size_t bytes, stream *s) {
	asked->copies++;
	if (bytes == 13) return s->idle = never, 0;
	return s->idle = *link = later(later(*link, s->idle), now()) + 500 + bytes / 50, 0;
}
int cuMemcpyHtoDAsync_v2(uint64_t to, const void *from, size_t bytes, stream *s) { return copy(&busy[0], bytes, s); }
int cuMemcpyDtoHAsync_v2(void *to, uint64_t from, size_t bytes, stream *s) { return copy(&busy[1], bytes, s); }
int cuMemcpyDtoDAsync_v2(uint64_t to, uint64_t from, size_t bytes, stream *s) { return copy(&busy[0], bytes, s); }
