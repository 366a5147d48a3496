// Package host is the device that every machine has: the memory bus. Its lanes
// copy between buffers of main memory with memmove, and it divides the
// machine's CPUs between the inference and the stressor.
//
// A copy counts its bytes once, as `mbw` does, although the bus carries them
// twice or more: out of the source and into the destination. There is one path:
// the directions h2d and d2h are labels here, page-locked and pageable memory
// are the same, and a thread has one copy in flight whatever it is asked for,
// since its CPU makes the copy. [Memory.Notes] says so in every recording.
//
// A copy has to reach memory and not the last-level cache. So a thread whose
// block is smaller walks, block by block, through buffers of twice that cache's
// size, and comes back to a line only after the others have displaced it. Go's
// memmove writes blocks of 1 MiB and more past the cache; smaller ones reach less
// bandwidth, since memory is then read before it is overwritten.
package host
