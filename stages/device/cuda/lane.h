#include <cuda.h>
#include <pthread.h>
#include <stdint.h>

/* A copy in flight, or done and not yet told. Times are of CLOCK_MONOTONIC. */
typedef struct {
	CUevent end;
	int64_t asked; /* when its submission began */
	int64_t sent;  /* and was over */
	size_t bytes;
	int alone;     /* whether its stream had nothing before it */
} slot;

/* One direction of a lane: a stream or two, by turns, and a ring of copies in
 * flight. The ring has a slot more than copies: that of the one that was done last, by
 * whose event the next is timed. */
typedef struct {
	CUstream stream[2];
	int streams;
	enum { IN, OUT, WITHIN } direction;
	void *host;
	CUdeviceptr device, other;
	size_t block; /* bytes of a copy that is submitted by itself */
	pthread_mutex_t *turn; /* held while a copy is submitted, or null */
	slot *ring;
	int length, head, flying;
	int64_t made;
} way;

/* A copy that is done: what its slot says, when the host learnt of its end, and
 * how long after the end of the one before that was, in milliseconds, on the GPU's
 * clock. */
typedef struct {
	int64_t asked, sent, learnt;
	size_t bytes;
	float gap;
	int way, alone;
} ended;

CUresult submit(way *w, size_t bytes, int64_t asked);
CUresult await(way *ways, int n, ended *e);
CUresult keep_up(way *ways, int n, int outstanding, int64_t calls, int64_t most, uint32_t *halt, ended *done, int room, int *count);
