package main

import (
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"

	"barograph/stages/kind/infer"
	"barograph/stages/model"
)

//go:embed parity.py
var script string

// asPlayer makes this program be our side.
const asPlayer = "BAROGRAPH_PARITY_PLAYER"

// A job is what our side is told first; a placement is what it answers.
type job struct {
	Root string
	With infer.With
	Seed uint64
}

type placement struct {
	Library string
	Threads int
	CPUs    []int
}

// play is our side, in its own process: after the job, every number on in is
// that of calls to time, and the answer is a [times].
func play(ctx context.Context, in io.Reader, out io.Writer) (err error) {
	questions, answers := json.NewDecoder(in), json.NewEncoder(out)
	var j job
	if err := questions.Decode(&j); err != nil {
		return fmt.Errorf("read the job: %w", err)
	}
	h, err := infer.NewHarness(ctx, infer.Setup{Root: j.Root, Device: "host", With: &j.With, Seed: j.Seed})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, h.Close()) }()
	if _, err := h.Time(ctx, j.With.Warmup, nil); err != nil {
		return err
	}
	if err := answers.Encode(placement{h.About.Library, h.About.Threads, h.About.CPUs}); err != nil {
		return err
	}
	for {
		var n int
		switch err := questions.Decode(&n); {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return err
		}
		h.About.Delay = 0
		samples, err := h.Time(ctx, n, nil)
		if err != nil {
			return err
		}
		t := times{Delay: h.About.Delay}
		for _, s := range samples {
			t.Latencies = append(t.Latencies, s.Latency())
		}
		if err := answers.Encode(t); err != nil {
			return err
		}
	}
}

// A player is the process of one side.
type player struct {
	cmd       *exec.Cmd
	in        io.WriteCloser
	questions *json.Encoder
	answers   *json.Decoder
}

// start starts a process, gives it its job and waits until it has warmed up.
func start(cmd *exec.Cmd, job, answer any) (p *player, err error) {
	p = &player{cmd: cmd}
	cmd.Stderr = os.Stderr
	if p.in, err = cmd.StdinPipe(); err != nil {
		return nil, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	p.questions, p.answers = json.NewEncoder(p.in), json.NewDecoder(out)
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	if err := p.ask(job, answer); err != nil {
		return nil, errors.Join(err, p.end())
	}
	return p, nil
}

func (b *bench) startOurs(ctx context.Context) (*player, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	cmd := exec.CommandContext(ctx, self)
	cmd.Env = append(os.Environ(), asPlayer+"=1")
	return start(cmd, job{b.root, b.with, b.seed}, &b.placed)
}

// startTheirs gives Python the threads and processors that ours has.
func (b *bench) startTheirs(ctx context.Context) (*player, error) {
	type input struct {
		Type  string  `json:"type"`
		Shape []int64 `json:"shape"`
		Data  any     `json:"data"`
	}
	inputs := map[string]input{}
	tensors, err := model.Generate(b.model, b.with.Sizes(b.model), b.seed)
	if err != nil {
		return nil, err
	}
	for _, in := range b.model.Inputs {
		inputs[in.Name] = input{in.Type, tensors[in.Name].Shape, tensors[in.Name].Data}
	}
	job := map[string]any{"file": b.file, "warmup": b.with.Warmup, "threads": b.placed.Threads, "cpus": b.placed.CPUs, "inputs": inputs}
	cmd := exec.CommandContext(ctx, "python3", "-c", script)
	cmd.Env = append(os.Environ(), "PYTHONPATH="+b.python)
	var answer struct{ Version string }
	p, err := start(cmd, job, &answer)
	b.version = answer.Version
	return p, err
}

func (p *player) ask(question, answer any) error {
	if err := p.questions.Encode(question); err != nil {
		return fmt.Errorf("ask %s: %w", p.cmd.Args[0], err)
	}
	if err := p.answers.Decode(answer); err != nil {
		return fmt.Errorf("read the answer of %s: %w", p.cmd.Args[0], err)
	}
	return nil
}

// turn has n calls timed, after one that is not: the other side has had the
// caches until now.
func (p *player) turn(n int) (t times, err error) {
	var first times
	if err := p.ask(1, &first); err != nil {
		return t, err
	}
	err = p.ask(n, &t)
	if err == nil && len(t.Latencies) != n {
		err = fmt.Errorf("%s times %d calls, not %d", p.cmd.Args[0], len(t.Latencies), n)
	}
	return t, err
}

// end closes the process's input and waits for its end.
func (p *player) end() error {
	if err := errors.Join(p.in.Close(), p.cmd.Wait()); err != nil {
		return fmt.Errorf("%s: %w", p.cmd.Args[0], err)
	}
	return nil
}
