// Package mps starts and ends NVIDIA's Multi-Process Service for one trial: a
// control daemon whose pipes and logs lie in a folder of the trial's own. It looks
// at no other daemon and changes no setting of a GPU.
//
// A program finds its daemon by the variable CUDA_MPS_PIPE_DIRECTORY when it starts
// the driver, which [Environ] therefore sets for every cell on a GPU: to a folder
// where there is none unless its trial is to have one.
package mps

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"barograph/pipeline/cell"
	"barograph/pipeline/cell/scratch"
	"barograph/pipeline/launch"
)

const (
	control = "nvidia-cuda-mps-control"
	pipe    = "CUDA_MPS_PIPE_DIRECTORY"
	logs    = "CUDA_MPS_LOG_DIRECTORY"
)

// Environ returns the variables by which the cells of a trial find its daemon, or
// find none. The calling process is the one that starts them all.
func Environ(trial string, wanted bool) map[string]string {
	if !wanted {
		return map[string]string{pipe: filepath.Join(os.TempDir(), "barograph-mps-none")}
	}
	// A short path: it is a socket's.
	sum := sha256.Sum256([]byte(trial))
	dir := scratch.Path(fmt.Sprintf("mps-%d-%x", os.Getpid(), sum[:4]))
	return map[string]string{pipe: filepath.Join(dir, "pipe"), logs: filepath.Join(dir, "log")}
}

// Lacks says why no daemon can be started on this computer.
func Lacks() error {
	if _, err := exec.LookPath(control); err != nil {
		return cell.Hint(fmt.Errorf("sharing: mps needs %s, which is not on PATH", control), "NVIDIA's driver brings it; sharing: separate and process need none")
	}
	return nil
}

// A Daemon runs.
type Daemon struct {
	kill  func() error
	drop  func() error // its folder
	ended chan struct{}
	err   error
}

// Start starts the daemon of this process's trial, and returns when it answers.
func Start(ctx context.Context) (*Daemon, error) {
	at := os.Getenv(pipe)
	if at == "" || os.Getenv(logs) == "" {
		return nil, fmt.Errorf("start MPS: %s and %s say no folder of the trial's own", pipe, logs)
	}
	drop, err := scratch.At(filepath.Dir(at))
	if err != nil {
		return nil, fmt.Errorf("start MPS: %w", err)
	}
	if err := errors.Join(os.Mkdir(at, 0o700), os.Mkdir(os.Getenv(logs), 0o700)); err != nil {
		return nil, errors.Join(fmt.Errorf("start MPS: %w", err), drop())
	}
	cmd := exec.Command(control, "-f")
	cmd.Stdout, cmd.Stderr = os.Stderr, os.Stderr
	wait, err := launch.Exec(cmd)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("start MPS: %w", err), drop())
	}
	d := &Daemon{kill: cmd.Process.Kill, drop: drop, ended: make(chan struct{})}
	go func() {
		d.err = wait()
		close(d.ended)
	}()
	answers := make(chan error, 1)
	waiting, enough := context.WithCancel(ctx)
	defer enough()
	go func() { answers <- Await(waiting) }()
	select {
	case err := <-answers:
		if err != nil {
			return nil, errors.Join(err, d.Stop())
		}
		return d, nil
	case <-d.ended:
		return nil, errors.Join(fmt.Errorf("start MPS: %s ended: %w", control, d.err), d.drop())
	}
}

// Await returns once the daemon of this process's trial answers.
func Await(ctx context.Context) error {
	for limit := time.After(10 * time.Second); ; {
		if _, err := ask("get_server_list"); err == nil {
			return nil
		}
		select {
		case <-time.After(50 * time.Millisecond):
		case <-limit:
			return fmt.Errorf("start MPS: %s does not answer", control)
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// Serves tells whether this process shares a GPU through the trial's daemon: it does
// not, if the driver was started before there was one.
func Serves() (bool, error) {
	for end := time.Now().Add(patience); ; time.Sleep(50 * time.Millisecond) {
		serves, err := served()
		if err == nil || time.Now().After(end) {
			return serves, err
		}
	}
}

// patience is for how long the daemon is asked again, which fails while it hears
// another process, and while a server comes or goes.
var patience = 5 * time.Second

func served() (bool, error) {
	all, err := clients()
	return slices.Contains(all, strconv.Itoa(os.Getpid())), err
}

// clients returns the numbers of the processes that the daemon's servers serve.
func clients() (all []string, err error) {
	servers, err := ask("get_server_list")
	if err != nil {
		return nil, fmt.Errorf("ask MPS for its servers: %w", err)
	}
	for _, server := range strings.Fields(servers) {
		of, err := ask("get_client_list " + server)
		if err != nil {
			return nil, fmt.Errorf("ask MPS for the clients of server %s: %w", server, err)
		}
		all = append(all, strings.Fields(of)...)
	}
	return all, nil
}

// deserted returns once no process is a client, or after a while: a daemon that is told
// to quit while one is leaving looks again only a fifth of a second later. It lists none
// that has no context left, of which the last takes some 40 ms more to go.
func deserted() {
	for end := time.Now().Add(200 * time.Millisecond); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		if all, err := clients(); err == nil && len(all) == 0 {
			time.Sleep(60 * time.Millisecond)
			return
		}
	}
}

// ask sends the daemon a command.
func ask(command string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, control)
	cmd.Stdin = strings.NewReader(command + "\n")
	out, err := cmd.Output()
	if wrong := new(exec.ExitError); errors.As(err, &wrong) {
		if says := strings.Join(strings.Fields(string(out)+" "+string(wrong.Stderr)), " "); says != "" {
			err = fmt.Errorf("%w: %s", err, says)
		}
	}
	return string(out), err
}

// Stop ends the daemon and its servers, whose clients end, and removes its folder.
func (d *Daemon) Stop() error {
	deserted()
	_, asked := ask("quit -t 2")
	select {
	case <-d.ended:
	case <-time.After(10 * time.Second):
		asked = errors.Join(errors.New("it did not end"), d.kill())
		<-d.ended
	}
	if asked != nil {
		asked = fmt.Errorf("end MPS: %w", asked)
	}
	return errors.Join(asked, d.drop())
}
