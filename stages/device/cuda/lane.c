//go:build cuda

#include "lane.h"

#include <sched.h>
#include <time.h>

static int64_t now(void) {
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static slot *at(way *w, int i) { return &w->ring[(w->head + i + w->length) % w->length]; }

/* Puts a copy in flight that is asked for at a time, which is now. */
CUresult submit(way *w, size_t bytes, int64_t asked) {
	slot *s = at(w, w->flying);
	CUstream stream = w->stream[w->made % w->streams];
	CUresult r = CUDA_SUCCESS;
	s->alone = w->flying == 0;
	s->bytes = bytes;
	s->asked = asked;
	if (w->streams > 1) /* a chain: ready once the copy before is done */
		r = cuStreamWaitEvent(stream, at(w, w->flying - 1)->end, 0);
	if (w->turn) pthread_mutex_lock(w->turn);
	if (r == CUDA_SUCCESS) switch (w->direction) {
	case IN: r = cuMemcpyHtoDAsync(w->device, w->host, bytes, stream); break;
	case OUT: r = cuMemcpyDtoHAsync(w->host, w->device, bytes, stream); break;
	case WITHIN: r = cuMemcpyDtoDAsync(w->other, w->device, bytes, stream); break;
	}
	if (w->turn) pthread_mutex_unlock(w->turn);
	if (r == CUDA_SUCCESS) r = cuEventRecord(s->end, stream);
	if (r != CUDA_SUCCESS) return r;
	s->sent = now();
	w->made++;
	w->flying++;
	return r;
}

/* Tells how long after the one before the oldest copy in flight ended, or that it has
 * not. From CUDA 12.8 on the driver has a cheaper call, which need not tell of errors. */
static CUresult elapsed(way *w, float *gap) {
	CUevent before = at(w, -1)->end, end = at(w, 0)->end;
	CUresult r = cuEventElapsedTime_v2(gap, before, end);
	return r == CUDA_ERROR_STUB_LIBRARY ? cuEventElapsedTime(gap, before, end) : r;
}

/* Waits for the copy that is done first, and takes it off its ring. Some way has one in
 * flight. */
CUresult await(way *ways, int n, ended *e) {
	CUresult r = CUDA_ERROR_NOT_READY;
	way *w = ways;
	for (unsigned misses = 1;; misses++) {
		int busy = 0;
		for (int i = 0; i < n && r == CUDA_ERROR_NOT_READY; i++) {
			if (ways[i].flying == 0) continue;
			w = &ways[e->way = i];
			r = elapsed(w, &e->gap);
			busy++;
		}
		if (r == CUDA_ERROR_NOT_READY && misses % 64 == 0) { /* for errors */
			r = cuEventQuery(at(w, 0)->end);
			if (r == CUDA_SUCCESS) r = elapsed(w, &e->gap);
		}
		if (r != CUDA_ERROR_NOT_READY) break;
		if (busy > 1) sched_yield();
	}
	if (r != CUDA_SUCCESS) return r;
	slot *s = at(w, 0);
	e->learnt = now();
	e->asked = s->asked, e->sent = s->sent, e->bytes = s->bytes, e->alone = s->alone;
	w->head = (w->head + 1) % w->length;
	w->flying--;
	return r;
}

/* Keeps so many copies in flight each way until halt is set or each way has made
 * its calls (0: no end), and then waits for those in flight. Returns before that
 * where there is no more room for copies that are done, or after most nanoseconds
 * with one; it goes on from there when called again. */
CUresult keep_up(way *ways, int n, int outstanding, int64_t calls, int64_t most, uint32_t *halt, ended *done, int room, int *count) {
	int64_t t = now(); /* when the clock was last read: what follows at once needs no other time */
	const int64_t until = t + most;
	*count = 0;
	for (;;) {
		int flying = 0;
		for (int i = 0; i < n; i++) {
			way *w = &ways[i];
			while (w->flying < outstanding && !__atomic_load_n(halt, __ATOMIC_RELAXED) && (calls == 0 || w->made < calls)) {
				CUresult r = submit(w, w->block, t);
				if (r != CUDA_SUCCESS) return r;
				t = at(w, w->flying - 1)->sent;
			}
			flying += w->flying;
		}
		if (flying == 0 || *count == room || (*count > 0 && t >= until)) return CUDA_SUCCESS;
		CUresult r = await(ways, n, &done[*count]);
		if (r != CUDA_SUCCESS) return r;
		t = done[(*count)++].learnt;
	}
}
