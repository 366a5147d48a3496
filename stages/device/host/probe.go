package host

import (
	"errors"
	"fmt"
	"time"

	"barograph/pipeline/cell"
	"barograph/pipeline/cell/unit"
	"barograph/stages/device"

	"golang.org/x/sys/unix"
)

// Probe times a victim on the calling thread's CPU: its kernel is a loop, and its
// copy comes from memory that the cache does not hold.
func (m *Memory) Probe(most int64) (device.Probe, error) {
	n := m.arena(most)
	b, err := unix.Mmap(-1, 0, int(2*n), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS)
	if err != nil {
		return nil, fmt.Errorf("allocate %s for a victim's copies: %w", unit.Size(2*n), err)
	}
	for i := 0; i < len(b); i += unix.Getpagesize() {
		b[i] = 1
	}
	return &probe{memory: b, from: b[:n], to: b[n:]}, nil
}

type probe struct {
	memory, from, to []byte
	next             int64
}

func (p *probe) Time(c device.Call, latencies []int64, limit time.Duration) ([]int64, error) {
	if c.Bytes > int64(len(p.from)) || c.Bytes < 0 || len(latencies) == 0 {
		return nil, errors.New("time a victim's calls: none, or larger than there is room for")
	}
	begun := cell.Now()
	for i := range latencies {
		start := cell.Now()
		if start-begun > int64(limit) && i > 0 {
			return latencies[:i], nil
		}
		for cell.Now()-start < int64(c.Kernel) {
		}
		if p.next+c.Bytes > int64(len(p.from)) {
			p.next = 0
		}
		copy(p.to[p.next:p.next+c.Bytes], p.from[p.next:p.next+c.Bytes])
		p.next += c.Bytes
		latencies[i] = cell.Now() - start
	}
	return latencies, nil
}

func (p *probe) Close() error { return unix.Munmap(p.memory) }
