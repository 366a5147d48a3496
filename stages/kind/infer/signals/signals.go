// Package signals gives back to the Go runtime the handlers of signals that a library
// replaced.
package signals

import (
	"fmt"
	"unsafe"

	"golang.org/x/sys/unix"
)

// An action is the kernel's struct sigaction, on amd64 and arm64 alike long
// enough: handler, flags, restorer and mask.
type action [4]uintptr

const (
	lastSignal = 64
	onStack    = 0x08000000 // SA_ONSTACK
)

// Handlers are what the process does on each signal, as the kernel has it.
type Handlers map[unix.Signal]action

// Save reads what the Go runtime has set up. A library that is loaded
// later may put handlers of its own in place; they run on the goroutine stacks
// of Go's threads where they do not ask for the alternate one, and overflow
// them. The Go runtime preempts by signal, so this need not wait for a fault.
func Save() Handlers {
	all := Handlers{}
	for sig := unix.Signal(1); sig <= lastSignal; sig++ {
		var a action
		if sigaction(sig, nil, &a) == nil {
			all[sig] = a
		}
	}
	return all
}

// Restore puts the handlers back and returns the names of the signals whose
// handler had changed.
func (saved Handlers) Restore() (changed []string, err error) {
	for sig := unix.Signal(1); sig <= lastSignal; sig++ {
		want, ok := saved[sig]
		var now action
		if !ok || sigaction(sig, nil, &now) != nil || now == want {
			continue
		}
		name := unix.SignalName(sig)
		if name == "" {
			name = fmt.Sprintf("signal %d", sig)
		}
		if now[1]&onStack == 0 {
			name += " (on the thread's own stack)"
		}
		changed = append(changed, name)
		if err := sigaction(sig, &want, nil); err != nil {
			return changed, fmt.Errorf("give %s back to the Go runtime: %w", name, err)
		}
	}
	return changed, nil
}

func sigaction(sig unix.Signal, set, get *action) error {
	const maskBytes = 8
	_, _, errno := unix.RawSyscall6(unix.SYS_RT_SIGACTION, uintptr(sig), uintptr(unsafe.Pointer(set)), uintptr(unsafe.Pointer(get)), maskBytes, 0, 0)
	if errno != 0 {
		return errno
	}
	return nil
}
