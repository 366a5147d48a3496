package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"time"

	"barograph/pipeline/cell/unit"
	"barograph/stages/asset"
	"barograph/stages/device/cuda"
	"barograph/stages/device/nvml"

	"golang.org/x/sys/unix"
)

// A fault is a run on a GPU that something is wrong with.
type fault struct {
	name    string
	device  string   // cuda unless said
	env     []string // added
	set     []string // parameters
	hold    []string // how another process holds the GPU meanwhile, if one does
	limited bool     // no memory may be locked
	status  []int    // one of these
	says    string   // what standard error holds, but for status 0
}

// patience is how long a run may take; what takes longer hangs.
const patience = 2 * time.Minute

// faults runs a small study on each and checks how it ends.
func faults(ctx context.Context, args []string) error {
	f := flags("faults")
	program := f.String("program", "bin/barograph", "the `program`, with barograph-cuda beside it")
	if err := f.Parse(args); err != nil {
		return err
	}
	exe, err := filepath.Abs(*program)
	if err != nil {
		return err
	}
	portable, err := asset.Runtime(ctx, func(line string) { fmt.Fprintln(os.Stderr, line) })
	if err != nil {
		return err
	}
	root, err := os.MkdirTemp("", "barograph-faults-*")
	if err != nil {
		return err
	}
	defer os.RemoveAll(root)
	for _, dir := range []string{"configs", "notebooks"} {
		if err := os.CopyFS(filepath.Join(root, dir), os.DirFS(dir)); err != nil {
			return err
		}
	}
	// Asked without a context on the GPU, which would be another process on it.
	_, none := nvml.All()
	all := []fault{
		{name: "an unknown index", device: "cuda:63", status: []int{1}, says: "there are "},
		{name: "no GPU left to see", env: []string{"CUDA_VISIBLE_DEVICES="}, status: []int{1}, says: "the driver sees no GPU"},
		{name: "a library without CUDA", env: []string{"ONNXRUNTIME_LIB=" + portable}, status: []int{1}, says: "built without CUDA"},
		{name: "a load larger than the GPU's memory", set: []string{"levels=[0, 400]"}, status: []int{1}, says: "GiB can be spared"},
		{name: "a GPU too full for a context", hold: []string{"-leave", "200MiB"}, status: []int{1}, says: "memory"},
		{name: "a GPU too full for the load", hold: []string{"-leave", "1400MiB"}, status: []int{1}, says: "memory"},
		{name: "a GPU that another process uses", hold: []string{"-take", "64MiB"}, status: []int{3}, says: "other processes used the GPU"},
		// A driver may lock memory past the limit: then the run ends well.
		{name: "no memory that may be locked", limited: true, status: []int{0, 1, 3}, says: "page-locked memory"},
	}
	if none != nil {
		fmt.Fprintln(os.Stderr, "faults: only those that need no GPU:", none)
		all = []fault{
			{name: "no driver", status: []int{1}, says: "no NVIDIA driver"},
			{name: "no driver, and no memory that may be locked", limited: true, status: []int{1}, says: "no NVIDIA driver"},
		}
	}
	failed := 0
	for _, f := range all {
		status, took, text, err := f.run(ctx, root, exe)
		verdict := "as it should"
		switch {
		case err != nil:
			verdict = err.Error()
		case !slices.Contains(f.status, status):
			verdict = fmt.Sprintf("want status %v", f.status)
		case status == 1 && !strings.Contains(text, "hint: "):
			verdict = "no hint"
		case status != 0 && !(status == 3 && f.limited) && !strings.Contains(text, f.says):
			verdict = fmt.Sprintf("%q is not said", f.says)
		}
		if verdict != "as it should" {
			failed++
		}
		fmt.Printf("%s: status %d after %.1fs: %s\n", f.name, status, took.Seconds(), verdict)
		for line := range strings.Lines(text) {
			if l := strings.ToLower(line); strings.Contains(l, "failed") || strings.Contains(l, "hint") || strings.Contains(l, "invalid") || verdict != "as it should" {
				fmt.Print("    ", line)
			}
		}
	}
	if failed > 0 {
		return fmt.Errorf("%d of %d faults end otherwise than they should", failed, len(all))
	}
	return nil
}

// run lets the program meet the fault.
func (f *fault) run(ctx context.Context, root, exe string) (status int, took time.Duration, text string, err error) {
	if f.device == "" {
		f.device = "cuda"
	}
	if err := os.WriteFile(filepath.Join(root, "configs", "machines", "fault.yaml"), []byte("device: "+f.device+"\n"), 0o666); err != nil {
		return 0, 0, "", err
	}
	self, err := os.Executable()
	if err != nil {
		return 0, 0, "", err
	}
	if f.hold != nil {
		release, err := holder(self, f.hold)
		if err != nil {
			return 0, 0, "", err
		}
		defer release()
	}
	argv := []string{exe, "run", "configs/quick.yaml", "--machine", "fault", "--fresh", "infer", "--set", "replicates=1"}
	for _, set := range f.set {
		argv = append(argv, "--set", set)
	}
	if f.limited {
		argv = append([]string{self, "unlocked"}, argv...)
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	cmd.Dir, cmd.Env = root, append(os.Environ(), f.env...)
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = 10 * time.Second
	begun := time.Now()
	out, err := cmd.CombinedOutput()
	took = time.Since(begun)
	if exit := (*exec.ExitError)(nil); errors.As(err, &exit) {
		status, err = exit.ExitCode(), nil
	}
	if ctx.Err() != nil {
		err = fmt.Errorf("it hung for %v", patience)
	}
	return status, took, string(out), err
}

// holder starts another process that holds the GPU, and returns how to end it.
func holder(self string, how []string) (release func(), err error) {
	cmd := exec.Command(self, append([]string{"hold"}, how...)...)
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	if _, err := bufio.NewReader(out).ReadString('\n'); err != nil {
		return nil, errors.Join(fmt.Errorf("hold the GPU: %w", err), in.Close(), cmd.Wait())
	}
	return func() {
		_ = in.Close() // which ends it
		_ = cmd.Wait()
	}, nil
}

// hold takes device memory, says so, and keeps it until standard input ends.
func hold(_ context.Context, args []string) error {
	f := flags("hold")
	var take, leave unit.Size
	f.Func("take", "`bytes` to take", size(&take))
	f.Func("leave", "`bytes` to leave free", size(&leave))
	if err := f.Parse(args); err != nil {
		return err
	}
	gpu, err := cuda.Open("cuda")
	if err != nil {
		return err
	}
	if leave > 0 {
		free, _, err := gpu.Memory()
		if err != nil {
			return err
		}
		take = unit.Size(max(0, free-int64(leave)))
	}
	if err := gpu.Occupy(int64(take)); err != nil {
		return err
	}
	fmt.Println("held", take)
	_, _ = bufio.NewReader(os.Stdin).ReadByte()
	return nil
}

func size(to *unit.Size) func(string) error {
	return func(s string) (err error) {
		*to, err = unit.ParseSize(s)
		return err
	}
}

// unlocked becomes another program, which may lock no memory.
func unlocked(_ context.Context, args []string) error {
	runtime.LockOSThread()
	if err := unix.Setrlimit(unix.RLIMIT_MEMLOCK, &unix.Rlimit{}); err != nil {
		return fmt.Errorf("set the limit of locked memory: %w", err)
	}
	// Root may exceed the limit by this capability.
	if err := unix.Prctl(unix.PR_CAPBSET_DROP, unix.CAP_IPC_LOCK, 0, 0, 0); err != nil && !errors.Is(err, unix.EPERM) {
		return fmt.Errorf("give up the capability to lock memory: %w", err)
	}
	return syscall.Exec(args[0], args, os.Environ())
}
