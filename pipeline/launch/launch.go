// Package launch starts one cell as a local child process and speaks
// pipeline/cell's protocol with it.
//
// A child leads a process group of its own, so that stopping it stops what it
// started, and no process that it started outlives it, in whatever session: this
// process becomes the parent of orphans, and knows them by a variable that they
// inherited. When this process dies, the kernel kills the child and a [Guard] the
// rest.
package launch

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"time"

	"barograph/pipeline/cell"

	"golang.org/x/sys/unix"
)

// Grace is how long a stopped child may take to end before it is killed.
const Grace = 5 * time.Second

// A Command is what to start.
type Command struct {
	Argv []string
	Dir  string   // the working folder
	Env  []string // the whole environment
	// Spec is sent on standard input as one line; nil for a plain program, which
	// speaks no protocol and whose standard output goes to the log.
	Spec  *cell.Spec
	Log   io.Writer        // receives standard error, from one goroutine
	Event func(cell.Event) // receives the child's events, from one goroutine
}

// A Process is a started child.
type Process struct {
	cmd   *exec.Cmd
	pid   int
	mu    sync.Mutex // guards stdin
	stdin io.WriteCloser
	done  chan struct{}
	fault *cell.Error // what the child said of its failure
	tail  tail
	alone bool
	err   error
}

// Start starts a command. When ctx ends, the child's group is told to end, and
// is killed after [Grace]; Wait then returns the context's cause.
func Start(ctx context.Context, c Command) (*Process, error) {
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	p := &Process{cmd: exec.Command(c.Argv[0], c.Argv[1:]...), done: make(chan struct{})}
	p.cmd.Dir, p.cmd.Env = c.Dir, append(c.Env, folder+"="+c.Dir)
	pidfd := -1
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL, PidFD: &pidfd}
	p.cmd.WaitDelay = time.Second // one that hid and kept standard error cannot hold us
	log := io.MultiWriter(&p.tail, c.Log)
	p.cmd.Stderr = log
	read := make(chan struct{})
	var events, out *os.File
	if c.Spec == nil {
		p.cmd.Stdout = log
		close(read)
	} else {
		var err error
		if events, out, err = os.Pipe(); err != nil {
			return nil, err
		}
		p.cmd.Stdout = out
		if p.stdin, err = p.cmd.StdinPipe(); err != nil {
			return nil, errors.Join(err, events.Close(), out.Close())
		}
	}
	err := start(p.cmd)
	if out != nil {
		out.Close()
	}
	if err != nil {
		if events != nil {
			events.Close()
		}
		return nil, fmt.Errorf("start %s: %w", c.Argv[0], err)
	}
	p.pid = p.cmd.Process.Pid
	if c.Spec != nil {
		go func() {
			defer close(read)
			p.listen(events, c.Event)
		}()
		// A child that is gone already says why in Wait.
		_ = p.send(c.Spec)
	}
	ended := make(chan struct{})
	unguard := context.AfterFunc(ctx, func() { p.end(ended) })
	go func() {
		defer close(p.done)
		// The group's number stays ours until the leader is reaped, so what the
		// leader leaves behind is killed in between.
		await(p.pid, pidfd)
		p.kill(syscall.SIGKILL)
		p.alone = alone(c.Dir)
		err := p.cmd.Wait()
		family.forget(p.pid)
		close(ended)
		unguard()
		if events != nil {
			_ = events.SetReadDeadline(time.Now().Add(time.Second))
			<-read
			events.Close()
		}
		p.err = p.explain(ctx, err)
	}()
	return p, nil
}

// await returns when a child has ended, and leaves it to be reaped. It waits in
// the runtime's poller where it can: a thread that the kernel holds is one that
// the others learn of late.
func await(pid, pidfd int) {
	ended := func(flags int) bool {
		var info unix.Siginfo
		for {
			if err := unix.Waitid(unix.P_PID, pid, &info, unix.WEXITED|unix.WNOWAIT|flags, nil); err != unix.EINTR {
				return err != nil || info.Signo != 0
			}
		}
	}
	if pidfd >= 0 {
		_ = unix.SetNonblock(pidfd, true) // or it is waited for below
		f := os.NewFile(uintptr(pidfd), "pidfd")
		defer f.Close()
		if c, err := f.SyscallConn(); err == nil && c.Read(func(uintptr) bool { return ended(unix.WNOHANG) }) == nil {
			return
		}
	}
	ended(0)
}

// end tells the child to end, and sees that it does.
func (p *Process) end(ended <-chan struct{}) {
	select {
	case <-ended:
		return // its number may be another's by now
	default:
	}
	p.kill(syscall.SIGTERM)
	select {
	case <-ended:
	case <-time.After(Grace):
		p.kill(syscall.SIGKILL)
	}
}

func (p *Process) kill(sig syscall.Signal) { _ = syscall.Kill(-p.pid, sig) }

// starter is one thread that starts every child: the kernel sends Pdeathsig
// when the thread that forked ends, and this one ends with the process.
var starter = sync.OnceValue(func() chan func() {
	work := make(chan func())
	// Where the kernel refuses, what flees lives until the next Sweep.
	_ = unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
	go func() {
		runtime.LockOSThread()
		for f := range work {
			f()
		}
	}()
	return work
})

func start(cmd *exec.Cmd) error {
	done := make(chan error)
	starter() <- func() { done <- family.start(cmd) }
	return <-done
}

// listen reads events until the child closes its output. Lines that are no
// event fail the cell: its output is a protocol, and a stray print would be
// taken for nothing.
func (p *Process) listen(r io.Reader, event func(cell.Event)) {
	br := bufio.NewReaderSize(r, 1<<20)
	for {
		line, err := br.ReadSlice('\n')
		if errors.Is(err, bufio.ErrBufferFull) {
			p.fault = &cell.Error{Err: errors.New("the cell wrote an event longer than 1 MiB")}
			_, _ = io.Copy(io.Discard, br)
			return
		}
		if err != nil {
			return
		}
		var e cell.Event
		if json.Unmarshal(line, &e) != nil || e.Type == "" {
			p.fault = &cell.Error{Err: fmt.Errorf("the cell wrote %.80q on standard output, which is for events", line)}
			_, _ = io.Copy(io.Discard, br)
			return
		}
		if e.Type == "error" {
			p.fault = &cell.Error{Err: errors.New(e.Text), Hint: e.Hint}
			continue
		}
		event(e)
	}
}

// Send sends a control message.
func (p *Process) Send(c cell.Control) error { return p.send(c) }

func (p *Process) send(v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	_, err = p.stdin.Write(append(b, '\n'))
	return err
}

// Alone tells of an ended child whether it was the last of its processes, so that
// nobody is left who could write into its folder.
func (p *Process) Alone() bool {
	<-p.done
	return p.alone
}

// Done is closed when the child has ended and its events were delivered.
func (p *Process) Done() <-chan struct{} { return p.done }

// Wait returns how the child ended: nil for status 0, else a [cell.Error] or
// the cause for which its context ended.
func (p *Process) Wait() error {
	<-p.done
	return p.err
}

func (p *Process) explain(ctx context.Context, err error) error {
	switch {
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case p.fault != nil:
		return p.fault
	case errors.Is(err, exec.ErrWaitDelay): // status 0; something kept the log open
		return nil
	case err == nil:
		return nil
	}
	var exit *exec.ExitError
	if errors.As(err, &exit) && exit.Sys().(syscall.WaitStatus).Signaled() {
		sig := exit.Sys().(syscall.WaitStatus).Signal()
		err = fmt.Errorf("killed by signal %d (%s)", sig, sig)
		if sig == syscall.SIGKILL {
			return &cell.Error{Err: p.tail.with(err), Hint: "something else killed it; the kernel does so when memory runs out (see dmesg)"}
		}
	}
	return p.tail.with(err)
}

// tail keeps the end of a log.
type tail struct {
	mu sync.Mutex
	b  []byte
}

const tailSize = 2048

func (t *tail) Write(b []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.b = append(t.b, b...)
	if over := len(t.b) - tailSize; over > 0 {
		t.b = append(t.b[:0], t.b[over:]...)
	}
	return len(b), nil
}

// with adds the log's last lines to an error.
func (t *tail) with(err error) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	lines := strings.Split(strings.TrimSpace(string(t.b)), "\n")
	if len(lines) > 8 {
		lines = lines[len(lines)-8:]
	}
	if text := strings.Join(lines, "\n"); text != "" {
		return fmt.Errorf("%w; its last words:\n%s", err, text)
	}
	return err
}
