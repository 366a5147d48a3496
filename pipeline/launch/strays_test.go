package launch

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"testing"
	"time"

	"barograph/pipeline/cell/scratch"

	"golang.org/x/sys/unix"
)

func init() { runtime.LockOSThread() } // TestMain's is the main thread, to which orphans are given

func TestMain(m *testing.M) {
	if at := os.Getenv("LAUNCH_SCRATCH"); at != "" {
		_, err := scratch.At(at)
		fmt.Println(err)
		time.Sleep(time.Minute)
	}
	if dir := os.Getenv("LAUNCH_BESIDE"); dir != "" {
		if err := beside(dir); err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// beside has a child of the main thread end, and another go on, while a cell of the same
// folder ends.
func beside(dir string) error {
	short, long := exec.Command("sh", "-c", "exit 7"), exec.Command("sleep", "60")
	ended, err := Exec(short)
	if err != nil {
		return err
	}
	over, err := Exec(long)
	if err != nil {
		return err
	}
	if err := unix.Waitid(unix.P_PID, short.Process.Pid, nil, unix.WEXITED|unix.WNOWAIT, nil); err != nil {
		return err
	}
	if err := Start(context.Background(), Command{Argv: []string{"true"}, Dir: dir, Log: io.Discard}).Wait(); err != nil {
		return err
	}
	if err := ended(); err == nil || err.Error() != "exit status 7" {
		return fmt.Errorf("one that ended: %v", err)
	}
	if err := long.Process.Signal(unix.SIGINT); err != nil {
		return fmt.Errorf("one that goes on: %w", err)
	}
	if err := over(); err == nil || err.Error() != "signal: interrupt" {
		return fmt.Errorf("one that goes on: %v", err)
	}
	return nil
}

// A child that is no cell is not taken for what a cell left.
func TestExec(t *testing.T) {
	dir := t.TempDir()
	c := exec.Command(os.Args[0])
	c.Env = append(os.Environ(), "LAUNCH_BESIDE="+dir, folder+"="+dir)
	if out, err := c.CombinedOutput(); err != nil {
		t.Errorf("%v: %s", err, out)
	}
}

// A guard removes the temporary folder of a cell that is killed with what started it, and
// leaves that of another run.
func TestStand(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	other, drop, err := scratch.New()
	if err != nil {
		t.Fatal(err)
	}
	defer drop()
	dir, at := t.TempDir(), scratch.Path("of-a-cell")
	c := exec.Command(os.Args[0])
	c.Env = append(os.Environ(), "LAUNCH_SCRATCH="+at, folder+"="+dir)
	out, err := c.StdoutPipe()
	if err == nil {
		err = c.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	if said, err := bufio.NewReader(out).ReadString('\n'); said != "<nil>\n" {
		t.Fatalf("the cell: %s, %v", said, err)
	}
	Stand(dir, strings.NewReader("")) // whose other end is closed
	_ = c.Wait()                      // it was killed
	for dir, stays := range map[string]bool{other: true, at: false} {
		if _, err := os.Stat(dir); (err == nil) != stays {
			t.Errorf("%s: %v", dir, err)
		}
	}
}
