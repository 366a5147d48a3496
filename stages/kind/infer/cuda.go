package infer

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"barograph/pipeline/cell"
	"barograph/stages/device/cuda"
	"barograph/stages/device/nvml"
	"barograph/stages/kind/infer/session"
	"barograph/stages/kind/infer/signals"
	"barograph/stages/result"
)

// prepareCUDA opens a session on a GPU and calls it once.
func prepareCUDA(device string, w *With, a assets) (*session.Session, error) {
	gpu, err := cuda.Open(device)
	if err != nil {
		return nil, err
	}
	if w.SMs > 0 { // as in its trial, and as little of the GPU as the driver makes of it
		parts, err := gpu.Divide([]int{w.SMs})
		if err != nil {
			return nil, err
		}
		gpu = parts[0]
	}
	s, _, err := session.OpenCUDA(gpu, &w.CUDA, a.model, a.file, w.Sizes(a.model), 0)
	if err != nil {
		return nil, err
	}
	if err := s.First(w.Group()); err != nil {
		return nil, errors.Join(fmt.Errorf("model %q: %w", w.Model, err), s.Close())
	}
	return s, nil
}

// onCUDA sets a harness up on a GPU.
func (h *Harness) onCUDA(ctx context.Context, s Setup, a assets) error {
	w, gpu := s.With, s.GPU
	if gpu == nil {
		var err error
		if gpu, err = cuda.Open(s.Device); err != nil {
			return err
		}
	}
	// Asked between calls and never beside one: NVML takes the driver's locks.
	if probe, err := nvml.Open(gpu.PCI()); err != nil {
		h.warn("the state of the GPU is unknown: %v", err)
	} else {
		h.look = func() result.GPUState { return probe.Look(true) }
	}
	h.group = w.Group()
	runtimes := signals.Save()
	var outputs []string
	var err error
	if h.session, outputs, err = session.OpenCUDA(gpu, &w.CUDA, a.model, a.file, w.Sizes(a.model), s.Seed); err != nil {
		return err
	}
	h.open = func(w *With) (*session.Session, error) {
		x, _, err := session.OpenCUDA(gpu, &w.CUDA, a.model, a.file, w.Sizes(a.model), s.Seed)
		return x, err
	}
	if err := h.session.First(w.Group()); err != nil {
		return fmt.Errorf("model %q: %w", w.Model, err)
	}
	if h.About.Signals, err = runtimes.Restore(); err != nil {
		return err
	}
	h.About.Provider, h.About.Options, h.About.Threads = "CUDAExecutionProvider", w.CUDA.Recorded(cell.Ordinal(s.Device), outputs), 1
	return ctx.Err()
}

// judge looks at the GPU after the timed calls, and notes what makes them
// INVALID.
func (h *Harness) judge(c *cell.Cell) {
	g := h.About.GPU
	g.After = h.look()
	loaded := false
	for _, in := range c.Gang {
		var load struct {
			Threads int
			GPUs    []int
		}
		if in.Kind == "stress" && json.Unmarshal(in.With, &load) == nil && load.Threads > 0 {
			loaded = loaded || len(load.GPUs) == 0 || slices.Contains(load.GPUs, cell.Ordinal(c.Machine.Device)) // else it is next door
		}
	}
	g.Invalid = nvml.Judge(g.Before, g.After, loaded, nvml.Own(g.After))
	for _, why := range g.Invalid {
		h.warn("INVALID: %s", why)
	}
}
