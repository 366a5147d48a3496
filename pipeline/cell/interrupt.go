package cell

import (
	"fmt"
	"os"
	"os/signal"
	"strconv"
	"sync"
	"syscall"
)

// Stops returns how often this process was stopped by a signal, such as SIGSTOP, and went
// on, since it was first asked; 100 at most.
func Stops() int { return len(continued()) }

// Stopped says of what, and how often.
func Stopped(what string, n int) string {
	times := strconv.Itoa(n) + " times"
	if n == 1 {
		times = "once"
	}
	return fmt.Sprintf("a signal (such as SIGSTOP) stopped %s %s", what, times)
}

// continued has a signal for each time that the process went on, which nobody receives.
var continued = sync.OnceValue(func() chan os.Signal {
	all := make(chan os.Signal, 100)
	signal.Notify(all, syscall.SIGCONT)
	return all
})

// holds counts the work that an interrupt must not cut short.
var holds struct {
	sync.Mutex
	n   int
	end func() // set once the process is to end with the last hold
}

// Hold keeps [Interrupt] from ending the process until release is called: while a
// file is half written, and while children run that have to be stopped first.
// What holds for long watches its context. release may be called once only.
func Hold() (release func()) {
	holds.Lock()
	defer holds.Unlock()
	holds.n++
	return func() {
		holds.Lock()
		defer holds.Unlock()
		if holds.n--; holds.n == 0 && holds.end != nil {
			holds.end()
		}
	}
}

// Interrupt ends the process with [StatusInterrupted]: at once, or, if anything
// holds it, with the last hold.
func Interrupt() {
	holds.Lock()
	defer holds.Unlock()
	holds.end = func() { os.Exit(StatusInterrupted) } // locked, so that nothing new begins
	if holds.n == 0 {
		holds.end()
	}
}
