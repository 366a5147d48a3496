// Package host is the device that every machine has: the memory bus. It copies
// between buffers of main memory, and divides the machine's CPUs between the
// inference and the stressor.
package host
