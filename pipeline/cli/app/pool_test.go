package app

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"barograph/pipeline/cell"
	"barograph/pipeline/cell/filetest"
	"barograph/pipeline/plan"
	"barograph/pipeline/study"
)

// A buffer may be written and read at once.
type buffer struct {
	mu sync.Mutex
	bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.Buffer.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.Buffer.String()
}

// A run takes every GPU that its cells may be measured on, or load, in one order, and
// one that wants a GPU of those waits for it and says so.
func TestRunsWaitForGPUs(t *testing.T) {
	gpus := func() cell.GPUs {
		return cell.GPUs{
			Of:       func(cell.Machine) []cell.GPU { return make([]cell.GPU, 3) },
			Physical: func(device string) string { return fmt.Sprintf("test-%d-%d", os.Getpid(), 9-cell.Ordinal(device)) },
		}
	}
	kinds := cell.NewKinds(&cell.Kind{
		Name: "m", Measured: true, Setting: func(string) map[string]string { return nil },
		With: func() any {
			return &struct {
				GPUs []int `json:"gpus,omitempty"`
			}{}
		},
		Others: func(with any) ([]int, bool) {
			return with.(*struct {
				GPUs []int `json:"gpus,omitempty"`
			}).GPUs, false
		},
	})
	var said buffer
	a := &App{Kinds: kinds, GPUs: gpus, Msg: &said}
	planned := func(devices, stage string) *plan.Plan {
		root := t.TempDir()
		for name, text := range map[string]string{"configs/machines/m.yaml": "device: cuda\n", "configs/s.yaml": "study: s\nmachine: m\nstages: {a: {uses: m, " + stage + "}}\n"} {
			filetest.Write(t, filepath.Join(root, name), text)
		}
		s, err := study.Load(filepath.Join(root, "configs/s.yaml"), study.Options{Kinds: kinds, GPUs: gpus, Devices: devices})
		if err != nil {
			t.Fatal(err)
		}
		p, err := plan.Build(s)
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	for _, tt := range []struct {
		devices, stage string
		want           []string // in the order of their physical names
	}{
		{"", "env: {A: b}", []string{"cuda"}},
		{"cuda:0,cuda:2", "env: {A: b}", []string{"cuda:2", "cuda:0"}},
		{"", "gpu: 2", []string{"cuda:2"}},
		{"", "with: {gpus: [1, 2]}", []string{"cuda:2", "cuda:1", "cuda"}},
		{"cuda:1,cuda:2", "gpu: 1, with: {gpus: [0]}", []string{"cuda:1", "cuda:0"}},
	} {
		var got []string
		for _, d := range a.devices(planned(tt.devices, tt.stage)) {
			got = append(got, d.name)
		}
		if !slices.Equal(got, tt.want) {
			t.Errorf("devices %q, %s: holds %v, want %v", tt.devices, tt.stage, got, tt.want)
		}
	}
	one, err := a.hold(planned("cuda:1", "env: {A: b}"), false)(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	other, err := a.hold(planned("cuda:0,cuda:2", "env: {A: b}"), false)(ctx)
	if err != nil {
		t.Fatalf("a run on other GPUs does not wait: %v", err)
	}
	taken := make(chan error)
	go func() {
		all, err := a.hold(planned("cuda:0,cuda:1", "env: {A: b}"), false)(ctx)
		if err == nil {
			err = all.Close()
		}
		taken <- err
	}()
	for !strings.Contains(said.String(), "waiting for another run that measures on cuda:1") {
		select {
		case err := <-taken:
			t.Fatalf("it did not wait: %v", err)
		case <-ctx.Done():
			t.Fatalf("nothing is said: %q", said.String())
		case <-time.After(5 * time.Millisecond):
		}
	}
	one.Close()
	other.Close()
	if err := <-taken; err != nil {
		t.Error(err)
	}
	found, _ := filepath.Glob(DeviceLock(fmt.Sprintf("test-%d-*", os.Getpid())))
	for _, path := range found {
		os.Remove(path)
	}
}
