//go:build slurm

// Package slurm tests runs on a cluster against a real Slurm: two nodes with two
// pretended GPUs each, all on this computer's loopback, from Debian's packages, which
// are unpacked and not installed.
package slurm

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"barograph/pipeline/cell/filetest"
)

// packages are what is unpacked: Slurm, and what a small installation lacks of what it
// is linked with.
var packages = []struct{ name, version, sum string }{
	{"slurmctld", "22.05.8-4+deb12u3", "52322632ea071bcbdbed2f3dd16462760c9444198bc91bba507e6bf97ae8c2b2"},
	{"slurmd", "22.05.8-4+deb12u3", "c88bf805e9770505eb08c78cbf09e9f09ce7eb2bd034f05f89965a2d658def0d"},
	{"slurm-client", "22.05.8-4+deb12u3", "da1f62530f6bd2ded29b1db38db6875d544952c6ce02505ffc3e812506dce856"},
	{"slurm-wlm-basic-plugins", "22.05.8-4+deb12u3", "7aa42186e5a3ca78d14832514ed6ab3499ca95d5d7617a03a1dac86bda109a8e"},
	{"libhwloc15", "2.9.0-1", "4e7194b5d9adbb1a7d11a9501a4be4a4fa22876b69c73b7998056f552962c0e4"},
	{"liblua5.1-0", "5.1.5-9", "5400fac99da7aba50ce4703bdee23c29fdf1acc619cd6c2c312589a4a7e69c71"},
}

// unpacked returns the folder in which the packages lie unpacked, below .cache of the
// project.
func unpacked() (string, error) {
	if runtime.GOARCH != "amd64" {
		return "", fmt.Errorf("test-slurm: the checksums of Debian's packages are known for amd64 only, and this is %s", runtime.GOARCH)
	}
	for _, tool := range []string{"apt-get", "dpkg"} {
		if _, err := exec.LookPath(tool); err != nil {
			return "", fmt.Errorf("test-slurm fetches Slurm as packages of Debian 12, and there is no %s here", tool)
		}
	}
	h := sha256.New()
	fmt.Fprint(h, packages)
	dir, err := filepath.Abs(fmt.Sprintf("../../../../.cache/slurm/%x", h.Sum(nil)[:6]))
	if err != nil {
		return "", err
	}
	if _, err := os.Stat(dir); err == nil {
		return dir, nil
	}
	if err := os.MkdirAll(filepath.Dir(dir), 0o777); err != nil {
		return "", err
	}
	aside, err := os.MkdirTemp(filepath.Dir(dir), "unpack-*")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(aside)
	args := []string{"-qq", "-o", "APT::Sandbox::User=root", "download"}
	for _, p := range packages {
		args = append(args, p.name+"="+p.version)
	}
	if err := command(aside, "apt-get", args...); err != nil {
		_ = command(aside, "apt-get", "-qq", "update") // its lists may be missing, or old
		if err := command(aside, "apt-get", args...); err != nil {
			return "", fmt.Errorf("test-slurm needs these packages of Debian 12: %w", err)
		}
	}
	for _, p := range packages {
		file := filepath.Join(aside, p.name+"_"+p.version+"_amd64.deb")
		b, err := os.ReadFile(file)
		if err != nil {
			return "", err
		}
		if sum := fmt.Sprintf("%x", sha256.Sum256(b)); sum != p.sum {
			return "", fmt.Errorf("package %s %s: its SHA-256 is %s, not %s", p.name, p.version, sum, p.sum)
		}
		if err := errors.Join(command(aside, "dpkg", "-x", file, "tree"), os.Remove(file)); err != nil {
			return "", err
		}
	}
	// Slurm knows what it is by its program's name: by Debian's, it would leave out
	// every GPU without a word.
	for _, name := range []string{"slurmctld", "slurmd", "slurmstepd"} {
		if err := os.Rename(filepath.Join(aside, "tree/usr/sbin", name+"-wlm"), filepath.Join(aside, "tree/usr/sbin", name)); err != nil {
			return "", err
		}
	}
	return dir, os.Rename(filepath.Join(aside, "tree"), dir)
}

func command(dir, name string, args ...string) error {
	c := exec.Command(name, args...)
	c.Dir = dir
	if out, err := c.CombinedOutput(); err != nil {
		return fmt.Errorf("%s %s: %w\n%s", name, strings.Join(args, " "), err, out)
	}
	return nil
}

// mounts skips a test where this user may not mount, as root of a plain container.
func mounts(t *testing.T) {
	t.Helper()
	if err := command(".", "unshare", "-m", "mount", "-t", "tmpfs", "none", t.TempDir()); err != nil {
		t.Skipf("it mounts a disk, which is not allowed here: %v", err)
	}
}

// A slurm is a controller and two nodes that run.
type slurm struct {
	testing.TB
	dir, tree string
	env       []string // with which its programs are started
	daemons   map[string]*exec.Cmd
}

// start brings up a controller and nodes n1 and n2, each with two GPUs that are copies of
// /dev/null, and ends them with the test.
func start(t testing.TB) *slurm {
	t.Helper()
	tree, err := unpacked()
	if err != nil {
		t.Fatal(err)
	}
	s := &slurm{TB: t, dir: t.TempDir(), tree: tree, daemons: map[string]*exec.Cmd{}}
	lib := filepath.Join(tree, "usr/lib/x86_64-linux-gnu")
	path := filepath.Join(tree, "usr/bin") + ":" + os.Getenv("PATH")
	for _, kv := range os.Environ() {
		if !strings.HasPrefix(kv, "SLURM_") && !strings.HasPrefix(kv, "SBATCH_") && !strings.HasPrefix(kv, "PATH=") {
			s.env = append(s.env, kv)
		}
	}
	s.env = append(s.env, "PATH="+path, "LD_LIBRARY_PATH="+lib+":"+filepath.Join(lib, "slurm-wlm"), "SLURM_CONF="+filepath.Join(s.dir, "slurm.conf"))
	s.configure(filepath.Join(lib, "slurm-wlm"))
	t.Cleanup(s.end)
	s.up("slurmctld", "slurmctld")
	s.up("n1", "slurmd", "-N", "n1")
	s.up("n2", "slurmd", "-N", "n2")
	s.until(30*time.Second, "two idle nodes", func() bool {
		out, _ := s.try("sinfo", "-h", "-N", "-p", "main", "-o", "%T")
		return strings.Fields(out) != nil && strings.Join(strings.Fields(out), " ") == "idle idle"
	})
	return s
}

func (s *slurm) configure(plugins string) {
	s.Helper()
	host, err := os.Hostname()
	if err != nil {
		s.Fatal(err)
	}
	me, err := user.Current()
	if err != nil {
		s.Fatal(err)
	}
	gpus := "NodeName=n[1-2] Name=gpu Type=fake Count=2\n"
	if unix.Mknod(filepath.Join(s.dir, "nvidia0"), unix.S_IFCHR|0o666, int(unix.Mkdev(1, 3))) == nil &&
		unix.Mknod(filepath.Join(s.dir, "nvidia1"), unix.S_IFCHR|0o666, int(unix.Mkdev(1, 3))) == nil {
		gpus = fmt.Sprintf("NodeName=n[1-2] Name=gpu Type=fake File=%s/nvidia[0-1]\n", s.dir)
	}
	conf := strings.NewReplacer("HOST", host, "USER", me.Username, "DIR", s.dir, "PLUGINS", plugins,
		"PORT0", port(s), "PORT1", port(s), "PORT2", port(s)).Replace(configuration)
	for name, text := range map[string]string{"slurm.conf": conf, "gres.conf": gpus} {
		filetest.Write(s, filepath.Join(s.dir, name), text)
	}
	for _, dir := range []string{"state", "spool.n1", "spool.n2"} {
		if err := os.Mkdir(filepath.Join(s.dir, dir), 0o755); err != nil {
			s.Fatal(err)
		}
	}
}

// port returns a port that is free now.
func port(t testing.TB) string {
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return strconv.Itoa(l.Addr().(*net.TCPAddr).Port)
}

const configuration = `ClusterName=test
SlurmctldHost=HOST(127.0.0.1)
SlurmctldPort=PORT0
SlurmUser=USER
SlurmdUser=USER
AuthType=auth/none
CredType=cred/none
CommunicationParameters=NoInAddrAny,NoCtldInAddrAny
PluginDir=PLUGINS
StateSaveLocation=DIR/state
SlurmdSpoolDir=DIR/spool.%n
SlurmctldPidFile=DIR/slurmctld.pid
SlurmdPidFile=DIR/%n.pid
SlurmctldLogFile=DIR/slurmctld.log
SlurmdLogFile=DIR/%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SwitchType=switch/none
MpiDefault=none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
JobCompType=jobcomp/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SchedulerType=sched/backfill
SchedulerParameters=sched_interval=1,bf_interval=1,batch_sched_delay=0,sched_min_interval=0,default_queue_depth=1000
ReturnToService=2
SlurmctldTimeout=10
SlurmdTimeout=10
KillWait=2
MinJobAge=60
MaxArraySize=1001
GresTypes=gpu
SlurmdParameters=config_overrides
NodeName=n1 NodeHostname=HOST NodeAddr=127.0.0.1 Port=PORT1 CPUs=4 RealMemory=8000 Gres=gpu:fake:2 State=UNKNOWN
NodeName=n2 NodeHostname=HOST NodeAddr=127.0.0.1 Port=PORT2 CPUs=4 RealMemory=8000 Gres=gpu:fake:2 State=UNKNOWN
PartitionName=main Nodes=n1,n2 Default=YES MaxTime=INFINITE State=UP
PartitionName=short Nodes=n1,n2 MaxTime=1 State=UP
PartitionName=closed Nodes=n1,n2 AllowAccounts=science State=UP
`

// up starts a daemon, which the name stands for.
func (s *slurm) up(name, program string, args ...string) {
	s.Helper()
	c := exec.Command(filepath.Join(s.tree, "usr/sbin", program), append([]string{"-D"}, args...)...)
	if program == "slurmd" {
		c.Args = append(c.Args, "-d", filepath.Join(s.tree, "usr/sbin/slurmstepd"))
	}
	c.Env = s.env
	c.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := c.Start(); err != nil {
		s.Fatal(err)
	}
	s.daemons[name] = c
}

// down kills a daemon, and nothing that it started.
func (s *slurm) down(name string) {
	s.Helper()
	c := s.daemons[name]
	if c == nil {
		s.Fatalf("no daemon %s runs", name)
	}
	delete(s.daemons, name)
	if err := c.Process.Kill(); err != nil {
		s.Error(err)
	}
	_ = c.Wait() // it was killed
}

// end ends the daemons, and what jobs have left, by their numbers.
func (s *slurm) end() {
	if s.daemons["slurmctld"] != nil {
		_, _ = s.try("scancel", "-u", os.Getenv("USER"))
	}
	for name := range s.daemons {
		if s.Failed() {
			b, _ := os.ReadFile(filepath.Join(s.dir, name+".log"))
			s.Logf("the end of %s.log:\n%s", name, b[max(0, len(b)-2000):])
		}
		s.down(name)
	}
	steps := filepath.Join(s.tree, "usr/sbin/slurmstepd")
	for _, pid := range s.processes(func(pid int) bool {
		exe, _ := os.Readlink(fmt.Sprintf("/proc/%d/exe", pid))
		env, _ := os.ReadFile(fmt.Sprintf("/proc/%d/environ", pid))
		return exe == steps && strings.Contains(string(env), s.dir) || strings.Contains(string(env), "SLURM_JOB_ID=") && strings.Contains(string(env), s.dir)
	}) {
		_ = syscall.Kill(pid, syscall.SIGKILL) // it may have ended
	}
}

// processes returns the numbers of those processes that a test picks.
func (s *slurm) processes(pick func(pid int) bool) (found []int) {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		s.Fatal(err)
	}
	for _, e := range entries {
		if pid, err := strconv.Atoi(e.Name()); err == nil && pick(pid) {
			found = append(found, pid)
		}
	}
	return found
}

// try runs one of Slurm's programs.
func (s *slurm) try(name string, args ...string) (string, error) {
	c := exec.Command(filepath.Join(s.tree, "usr/bin", name), args...)
	c.Env = s.env
	out, err := c.CombinedOutput()
	return string(out), err
}

func (s *slurm) do(name string, args ...string) string {
	s.Helper()
	out, err := s.try(name, args...)
	if err != nil {
		s.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
	return out
}

// until waits for something that comes before long.
func (s *slurm) until(limit time.Duration, what string, there func() bool) {
	s.Helper()
	for end := time.Now().Add(limit); !there(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			s.Fatalf("no %s after %v", what, limit)
		}
	}
}

// The cluster itself works, or nothing below says anything: a job is given one of the
// pretended GPUs.
func TestCluster(t *testing.T) {
	t.Parallel()
	s := start(t)
	if out := strings.TrimSpace(s.do("srun", "--gres=gpu:2", "sh", "-c", "echo $CUDA_VISIBLE_DEVICES")); out != "0,1" {
		t.Errorf("a job with two GPUs sees %q, want 0,1", out)
	}
}
