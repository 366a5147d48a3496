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
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
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
	CPUs []int    // that it may run on; none: those of this process
	// Spec is sent on standard input as one line; nil for a plain program, which
	// speaks no protocol and whose standard output goes to the log.
	Spec  *cell.Spec
	Log   io.Writer        // receives standard error, from one goroutine
	Event func(cell.Event) // receives the child's events, from one goroutine
	// Input, Output and Errors are files of a plain program's standard input, output and
	// error, from the working folder; the first is regular and the others are not there yet.
	// They are empty where nothing is read, and for what goes to the log.
	Input, Output, Errors string
	Joined                bool // standard error goes where Output does
	// Else is what to start, without those files, where the rest cannot be.
	Else []string
	// Timed has the child killed, and fail, once it was stopped for [Standstill]: nobody
	// would continue what is being timed, and those beside it wait for it.
	Timed bool
}

// Standstill is for how long a child that is timed may be stopped, as by the signal SIGSTOP.
const Standstill = time.Second

// A Process is a child.
type Process struct {
	command     Command
	ctx         context.Context
	pid, pidfd  int
	log, events *os.File
	mu          sync.Mutex // guards stdin
	stdin       *os.File
	told        chan struct{} // closed once the child has been sent its specification
	done        chan struct{}
	fault       *cell.Error // what the child said of its failure
	tail        tail
	stopped     atomic.Bool
	still       atomic.Bool // it was stopped for Standstill
	stood       atomic.Bool // it was stopped when it was told to end
	alone       bool
	err         error
}

// Start has a command started; whether it could be, Wait says. When ctx ends, the
// child's group is told to end, and is killed after [Grace]; Wait then returns the
// context's cause.
func Start(ctx context.Context, c Command) *Process {
	p := &Process{command: c, ctx: ctx, pidfd: -1, told: make(chan struct{}), done: make(chan struct{})}
	adopt()
	if p.err = family.start(p.fork); p.err != nil {
		p.alone = true
		close(p.done)
		return p
	}
	go p.attend()
	return p
}

// adopt makes this process the parent of those whose parent ends. Where the kernel
// refuses, what flees lives until the next Sweep.
var adopt = sync.OnceFunc(func() { _ = unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) })

// fork starts the child, with our ends of its pipes in p. The kernel sends Pdeathsig
// when the thread that forked ends, and Go ends none but those that a goroutine
// locked and left: nothing in this process may do that. Thousands of cells are
// started, so that what os/exec would add for each counts.
func (p *Process) fork() (pid int, err error) {
	if p.ctx.Err() != nil {
		return 0, context.Cause(p.ctx)
	}
	defer func() {
		if err != nil {
			p.close()
			err = fmt.Errorf("start %s: %w", p.command.Argv[0], err)
		}
	}()
	null, err := nothing()
	if err != nil {
		return 0, err
	}
	log, err := pipe(&p.log, true)
	if err != nil {
		return 0, err
	}
	defer unix.Close(log)
	in, out := int(null.Fd()), log
	if p.command.Spec != nil {
		if out, err = pipe(&p.events, true); err != nil {
			return 0, err
		}
		defer unix.Close(out)
		if in, err = pipe(&p.stdin, false); err != nil {
			return 0, err
		}
		defer unix.Close(in)
	}
	if p.pid, err = p.redirected(in, out, log); err != nil && p.command.Else != nil {
		p.pid, err = p.exec(p.command.Else, in, out, log)
	}
	return p.pid, err
}

// redirected is exec of the command with the files that it names.
func (p *Process) redirected(in, out, log int) (pid int, err error) {
	if input := p.command.Input; input != "" {
		if in, err = openRegular(p.within(input)); err != nil {
			return 0, err
		}
		defer unix.Close(in)
	}
	to := [2]int{out, log}
	for i, path := range [2]string{p.command.Output, p.command.Errors} {
		if path == "" {
			continue
		}
		path = p.within(path)
		if to[i], err = unix.Open(path, unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL|unix.O_CLOEXEC, 0o666); err != nil {
			return 0, &os.PathError{Op: "open", Path: path, Err: err}
		}
		defer func() {
			if unix.Close(to[i]); err != nil {
				_ = os.Remove(path)
			}
		}()
	}
	if p.command.Joined {
		to[1] = to[0]
	}
	return p.exec(p.command.Argv, in, to[0], to[1])
}

// exec starts a program with descriptors.
func (p *Process) exec(argv []string, in, out, errs int) (pid int, err error) {
	name := argv[0]
	if filepath.Base(name) == name {
		if name, err = Find(name); err != nil {
			return 0, err
		}
	}
	attr := &syscall.ProcAttr{
		Dir:   p.command.Dir,
		Env:   lastOfEach(append(slices.Clip(p.command.Env), folder+"="+p.command.Dir)),
		Files: []uintptr{uintptr(in), uintptr(out), uintptr(errs)},
		Sys:   &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL, PidFD: &p.pidfd},
	}
	err = on(p.command.CPUs, func() (err error) {
		if pid, err = syscall.ForkExec(name, argv, attr); err != nil {
			err = &os.PathError{Op: "fork/exec", Path: name, Err: err}
		}
		return err
	})
	return pid, err
}

// within is a path as the child sees it.
func (p *Process) within(path string) string {
	if filepath.IsAbs(path) {
		return path
	}
	return p.command.Dir + "/" + path
}

// openRegular opens a regular file to read. Of others, such as pipes, some would wait to be
// opened.
func openRegular(path string) (fd int, err error) {
	if fd, err = unix.Open(path, unix.O_RDONLY|unix.O_NONBLOCK|unix.O_CLOEXEC, 0); err != nil {
		return -1, &os.PathError{Op: "open", Path: path, Err: err}
	}
	var st unix.Stat_t
	if err = unix.Fstat(fd, &st); err == nil && st.Mode&unix.S_IFMT != unix.S_IFREG {
		err = &os.PathError{Op: "open", Path: path, Err: errors.New("not a regular file")}
	}
	if err == nil {
		_, err = unix.FcntlInt(uintptr(fd), unix.F_SETFL, 0) // as a shell leaves it
	}
	if err != nil {
		unix.Close(fd)
	}
	return fd, err
}

// Find returns where a program lies in the folders of PATH. It looks once.
func Find(name string) (path string, err error) {
	key := [2]string{os.Getenv("PATH"), name}
	if path, ok := found.Load(key); ok {
		return path.(string), nil
	}
	if path, err = exec.LookPath(name); err == nil {
		found.Store(key, path)
	}
	return path, err
}

var found sync.Map

// lastOfEach drops variables that a later one by the same name replaces.
func lastOfEach(env []string) []string {
	seen := make(map[string]bool, len(env))
	for i := len(env) - 1; i >= 0; i-- {
		name, _, _ := strings.Cut(env[i], "=")
		if seen[name] {
			env = slices.Delete(env, i, i+1)
		}
		seen[name] = true
	}
	return env
}

// nothing is what a child without a specification reads.
var nothing = sync.OnceValues(func() (*os.File, error) { return os.Open(os.DevNull) })

// pipe makes a pipe of which one end is ours, and returns the other, a child's.
func pipe(ours **os.File, reads bool) (theirs int, err error) {
	var ends [2]int
	if err := unix.Pipe2(ends[:], unix.O_CLOEXEC); err != nil {
		return 0, os.NewSyscallError("pipe2", err)
	}
	if !reads {
		ends[0], ends[1] = ends[1], ends[0]
	}
	notWaiting(ends[0]) // or a thread waits for it, and not the runtime
	*ours = os.NewFile(uintptr(ends[0]), "pipe")
	return ends[1], nil
}

// notWaiting has a file that was just made, and has no other flags, return at once.
func notWaiting(fd int) { _, _ = unix.FcntlInt(uintptr(fd), unix.F_SETFL, unix.O_NONBLOCK) }

// on starts a child on CPUs, which it inherits of the thread that starts it.
func on(cpus []int, start func() error) error {
	if len(cpus) == 0 {
		return start()
	}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	var before, set unix.CPUSet
	for _, cpu := range cpus {
		set.Set(cpu)
	}
	if err := unix.SchedGetaffinity(0, &before); err != nil {
		return fmt.Errorf("read the affinity mask: %w", err)
	}
	if err := unix.SchedSetaffinity(0, &set); err != nil {
		return fmt.Errorf("start on CPUs %v: %w", cpus, err)
	}
	return errors.Join(start(), unix.SchedSetaffinity(0, &before))
}

func (p *Process) close() {
	for _, f := range []*os.File{p.log, p.events, p.stdin} {
		if f != nil {
			f.Close()
		}
	}
}

// attend sees a child to its end.
func (p *Process) attend() {
	defer close(p.done)
	defer p.close()
	ended := make(chan struct{})
	unguard := context.AfterFunc(p.ctx, func() { p.end(ended) })
	heard := make(chan struct{})
	go func() {
		defer close(heard)
		var events sync.WaitGroup
		if p.command.Spec != nil {
			events.Go(func() { p.listen(p.events, p.command.Event) })
		}
		p.listenLog()
		events.Wait()
	}()
	if p.command.Spec != nil {
		_ = p.send(p.command.Spec) // a child that is gone already says why below
		close(p.told)
	}
	if p.command.Timed {
		go p.watch(ended)
	}
	// The group's number stays ours until the leader is reaped, so what the
	// leader leaves behind is killed in between.
	await(p.pid, p.pidfd)
	p.kill(syscall.SIGKILL)
	p.alone = alone(p.command.Dir)
	status, err := reap(p.pid)
	family.forget(p.pid)
	close(ended)
	unguard()
	runtime.Gosched() // most often nothing else is missing to have heard all
	select {
	case <-heard:
	default: // a process that hid and kept a pipe must not hold us
		limit := time.Now().Add(time.Second)
		_ = p.log.SetReadDeadline(limit)
		if p.events != nil {
			_ = p.events.SetReadDeadline(limit)
		}
		<-heard
	}
	p.err = p.explain(status, err)
}

// reap returns how a child ended.
func reap(pid int) (status unix.WaitStatus, err error) {
	for {
		if _, err = unix.Wait4(pid, &status, 0, nil); err != unix.EINTR {
			return status, err
		}
	}
}

// listenLog passes on what the child writes to its log until it closes it.
func (p *Process) listenLog() {
	b := buffers.Get().(*[1 << 15]byte)
	defer buffers.Put(b)
	for {
		n, err := p.log.Read(b[:])
		if n > 0 {
			_, _ = p.tail.Write(b[:n])
			_, _ = p.command.Log.Write(b[:n]) // a log that cannot be kept fails no cell
		}
		if err != nil {
			return
		}
	}
}

// buffers are for reading logs, most of which are empty.
var buffers = sync.Pool{New: func() any { return new([1 << 15]byte) }}

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
		notWaiting(pidfd) // or it is waited for below
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
	p.stood.Store(p.stands())
	p.kill(syscall.SIGTERM)
	p.kill(syscall.SIGCONT) // one that stands still would not hear of it
	select {
	case <-ended:
	case <-time.After(Grace):
		p.kill(syscall.SIGKILL)
	}
}

// watch kills a child that stands still until it has ended. It counts looks: while this
// process is stopped itself, no time goes by.
func (p *Process) watch(ended <-chan struct{}) {
	const looks = 5
	tick := time.NewTicker(Standstill / looks)
	defer tick.Stop()
	for still := 0; still <= looks; {
		select {
		case <-ended:
			return
		case <-tick.C:
		}
		if still++; !p.stands() {
			still = 0
		}
	}
	p.still.Store(true)
	p.kill(syscall.SIGKILL) // it would heed no other
}

// stands tells whether a signal has stopped the child, and none continued it.
func (p *Process) stands() bool {
	var info unix.Siginfo
	err := unix.Waitid(unix.P_PID, p.pid, &info, unix.WSTOPPED|unix.WNOWAIT|unix.WNOHANG, nil)
	return err == nil && info.Signo != 0
}

func (p *Process) kill(sig syscall.Signal) { _ = syscall.Kill(-p.pid, sig) }

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

// Send sends a control message, behind the specification.
func (p *Process) Send(c cell.Control) error {
	select {
	case <-p.told:
	case <-p.done:
	}
	return p.send(c)
}

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

// Stop tells a plain program to end, by the signal SIGTERM, and kills it after [Grace].
// That the signal ended it is then no failure.
func (p *Process) Stop() {
	p.stopped.Store(true)
	go p.end(p.done)
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

func (p *Process) explain(status unix.WaitStatus, err error) error {
	switch {
	case p.ctx.Err() != nil && p.stood.Load():
		return fmt.Errorf("%w: a signal had stopped it (such as SIGSTOP)", context.Cause(p.ctx))
	case p.ctx.Err() != nil:
		return context.Cause(p.ctx)
	case p.fault != nil:
		return p.fault
	case p.still.Load() && status.Signal() == syscall.SIGKILL:
		return &cell.Error{Err: fmt.Errorf("a signal had stopped it (such as SIGSTOP), and nothing had continued it after %v", Standstill), Hint: "nothing of it is kept; run again"}
	case err != nil:
		return fmt.Errorf("wait for %s: %w", p.command.Argv[0], err)
	case status.Exited() && status.ExitStatus() == 0:
		return nil
	case p.stopped.Load() && (status.Signal() == syscall.SIGTERM || status.ExitStatus() == 128+int(syscall.SIGTERM)):
		return nil
	case p.stopped.Load() && status.Signal() == syscall.SIGKILL:
		return fmt.Errorf("it went on for %v after it was told to stop, by SIGTERM", Grace)
	case !status.Signaled():
		return p.tail.with(fmt.Errorf("exit status %d", status.ExitStatus()))
	}
	err = p.tail.with(Killed(status.Signal()))
	if status.Signal() == syscall.SIGKILL {
		return &cell.Error{Err: err, Hint: "something else killed it; the kernel does so when memory runs out (see dmesg)"}
	}
	return err
}

// Killed is how a child ended that a signal ended which this process had not sent.
type Killed syscall.Signal

func (k Killed) Error() string { return fmt.Sprintf("killed by signal %d (%s)", k, syscall.Signal(k)) }

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

// LastWords is what stands before the last lines of a log in an error.
const LastWords = "; its last words:\n"

// with adds the log's last lines to an error.
func (t *tail) with(err error) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	lines := strings.Split(strings.TrimSpace(string(t.b)), "\n")
	if len(lines) > 8 {
		lines = lines[len(lines)-8:]
	}
	if text := strings.Join(lines, "\n"); text != "" {
		return fmt.Errorf("%w%s%s", err, LastWords, text)
	}
	return err
}
