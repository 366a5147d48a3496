package launch

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"barograph/pipeline/cell/scratch"

	"golang.org/x/sys/unix"
)

// folder names the variable that every process of a cell inherits. Its value is
// the cell's working folder, by which a process is known as the cell's wherever
// it has fled to, unless it took care to hide.
const folder = "BAROGRAPH_FOLDER"

// Sweep kills every process that was started for a cell whose working folder is
// dir or below it.
func Sweep(dir string) {
	for range 100 { // what is killed may have started another in between
		if !sweep(dir) {
			return
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// sweep makes one pass, and tells whether there was anything to kill.
func sweep(dir string) (found bool) {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return false
	}
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil || pid == os.Getpid() {
			continue
		}
		p, err := os.FindProcess(pid) // first, so that the number cannot become another's meanwhile
		if err != nil {
			continue
		}
		if env, err := os.ReadFile(fmt.Sprintf("/proc/%d/environ", pid)); err == nil && worksBelow(env, dir) {
			found = true
			_ = p.Kill()
		}
		_ = p.Release()
	}
	return found
}

func worksBelow(env []byte, dir string) bool {
	for kv := range bytes.SplitSeq(env, []byte{0}) {
		if at, ok := strings.CutPrefix(string(kv), folder+"="); ok {
			return at == dir || strings.HasPrefix(at, dir+"/")
		}
	}
	return false
}

// A Guard is a process that outlives this one to see that no process of a cell
// does. The kernel kills a cell's leader with us, but not what the leader started.
type Guard struct {
	us   io.WriteCloser
	wait func() error
}

// Watch starts a program that calls [Stand] with dir, over the cells whose
// working folders are below dir.
func Watch(program, dir string) (*Guard, error) {
	c := exec.Command(program, "guard", dir)
	c.SysProcAttr = &syscall.SysProcAttr{Setsid: true} // what ends us may be meant for our whole group
	us, err := c.StdinPipe()
	if err != nil {
		return nil, err
	}
	adopt()
	wait, err := Exec(c)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("start the guard: %w", err), us.Close())
	}
	return &Guard{us, wait}, nil
}

// Dismiss ends the guard; nothing of a cell runs any more.
func (g *Guard) Dismiss() {
	_, err := g.us.Write([]byte{0})
	if err = errors.Join(err, g.us.Close()); err == nil {
		_ = g.wait()
	}
}

// Stand is the guard: it waits until it is dismissed or the process that started
// it is gone, however that ended, and then kills what works below dir. Of temporary
// folders it removes what that leaves, and what was left before.
func Stand(dir string, them io.Reader) {
	scratch.Sweep()
	if n, _ := them.Read(make([]byte, 1)); n > 0 {
		return
	}
	Sweep(dir)
	for range 20 { // what was killed gives its locks back last
		scratch.Sweep()
		time.Sleep(10 * time.Millisecond)
	}
}

// Exec starts a command that is no cell, where cells may end meanwhile, and returns what
// waits for it: one that is not started so is taken for an orphan that a cell left.
func Exec(c *exec.Cmd) (wait func() error, err error) {
	err = family.start(func() (int, error) {
		if err := c.Start(); err != nil {
			return 0, err
		}
		return c.Process.Pid, nil
	})
	return func() error {
		defer family.forget(c.Process.Pid)
		return c.Wait()
	}, err
}

// family is the processes that this one has started, so that those it was left
// are known from them: once a cell has been started, every process whose parent
// ends becomes our child.
var family kin

type kin struct {
	mu      sync.Mutex // held while one is started, so that all that are there are noted
	started sync.Map   // by their numbers
}

// start calls what starts a process, and notes it.
func (k *kin) start(fork func() (pid int, err error)) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	pid, err := fork()
	if err == nil {
		k.started.Store(pid, true)
	}
	return err
}

func (k *kin) forget(pid int) { k.started.Delete(pid) }

// children lists those of the main thread, to which the kernel gives orphans.
var children = sync.OnceValues(func() (*os.File, error) {
	return os.Open(fmt.Sprintf("/proc/self/task/%d/children", os.Getpid()))
})

// orphaned tells whether a process lives whose parent has ended. It buries those
// that have died.
func (k *kin) orphaned() bool {
	f, err := children()
	if err != nil {
		return true // a kernel that does not say
	}
	b, err := io.ReadAll(io.NewSectionReader(f, 0, 1<<20))
	if err != nil {
		return true
	}
	if len(b) == 0 { // most often, and then nobody who starts a process is waited for
		return false
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	living := false
	for field := range strings.FieldsSeq(string(b)) {
		pid, err := strconv.Atoi(field)
		if err != nil {
			continue
		}
		if _, ours := k.started.Load(pid); ours {
			continue
		}
		if n, err := unix.Wait4(pid, nil, unix.WNOHANG, nil); n == 0 && err == nil {
			living = true
		}
	}
	return living
}

// alone sees that nothing of the cell that worked in dir lives, once its leader
// has ended. It tells whether that was so anyway.
func alone(dir string) bool {
	if !family.orphaned() {
		return true
	}
	Sweep(dir)
	family.orphaned()
	return false
}
