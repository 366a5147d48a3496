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

/* Takes a copy that is done off its ring. */
static void take(way *w, ended *e) {
	slot *s = at(w, 0);
	e->learnt = now();
	e->asked = s->asked, e->sent = s->sent, e->bytes = s->bytes, e->alone = s->alone;
	w->head = (w->head + 1) % w->length;
	w->flying--;
}

/* Waits for the copy that is done first, and takes it off its ring. Some way has
 * one in flight. */
CUresult await(way *ways, int n, ended *e) {
	CUresult r = CUDA_ERROR_NOT_READY;
	int busy = 0;
	for (int i = 0; i < n; i++)
		if (ways[i].flying > 0) e->way = i, busy++;
	if (busy == 1) r = cuEventSynchronize(at(&ways[e->way], 0)->end);
	else for (;; sched_yield()) {
		for (int i = 0; i < n && r == CUDA_ERROR_NOT_READY; i++)
			r = cuEventQuery(at(&ways[e->way = i], 0)->end);
		if (r != CUDA_ERROR_NOT_READY) break;
	}
	if (r == CUDA_SUCCESS) take(&ways[e->way], e);
	return r;
}

/* Does so, and times the copy: how long it ended after the one before also tells
 * whether it has ended. */
static CUresult await_time(way *ways, int n, ended *e) {
	for (int busy = 0;; busy = 0) {
		for (int i = 0; i < n; i++) {
			way *w = &ways[e->way = i];
			if (w->flying == 0) continue;
			CUresult r = cuEventElapsedTime(&e->gap, at(w, -1)->end, at(w, 0)->end);
			if (r == CUDA_SUCCESS) take(w, e);
			if (r != CUDA_ERROR_NOT_READY) return r;
			busy++;
		}
		if (busy > 1) sched_yield();
	}
}

/* Times the copy that was taken off its ring last. */
CUresult measure(way *ways, ended *e) {
	return cuEventElapsedTime(&e->gap, at(&ways[e->way], -2)->end, at(&ways[e->way], -1)->end);
}

/* Keeps so many copies in flight each way until halt is set or each way has made
 * its calls (0: no end), and then waits for those in flight. Returns before that
 * where there is no more room for copies that are done, or after most nanoseconds
 * with one; it goes on from there when called again. */
CUresult keep_up(way *ways, int n, int outstanding, int64_t calls, int64_t most, uint32_t *halt, ended *done, int room, int *count) {
	int64_t t = now(); /* when the clock was last read: what follows at once needs no other time */
	const int64_t until = t + most;
	/* One call fewer, where the link has another copy to go on with. */
	const int queued = outstanding > 1;
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
		/* The next is in flight: there is time for what is done. */
		if (*count > 0 && !queued) {
			CUresult r = measure(ways, &done[*count - 1]);
			if (r != CUDA_SUCCESS) return r;
		}
		if (flying == 0 || *count == room || (*count > 0 && t >= until)) return CUDA_SUCCESS;
		CUresult r = queued ? await_time(ways, n, &done[*count]) : await(ways, n, &done[*count]);
		if (r != CUDA_SUCCESS) return r;
		t = done[(*count)++].learnt;
	}
}
