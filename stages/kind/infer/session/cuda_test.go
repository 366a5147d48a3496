package session

import (
	"errors"
	"strings"
	"testing"

	"barograph/pipeline/cell"
	"barograph/stages/model/onnx"
)

func TestCUDAParameters(t *testing.T) {
	w := Default
	if err := w.Check(); err != nil {
		t.Errorf("the defaults: %v", err)
	}
	got := w.provider(3)
	for name, want := range map[string]string{
		"device_id": "3", "enable_cuda_graph": "1", "use_tf32": "0", "cudnn_conv_algo_search": "HEURISTIC", "arena_extend_strategy": "kSameAsRequested",
	} {
		if got[name] != want {
			t.Errorf("%s is %q by default, want %q", name, got[name], want)
		}
	}
	for _, change := range []func(*CUDA){
		func(c *CUDA) { c.ConvSearch = "best" }, func(c *CUDA) { c.Arena = "" }, func(c *CUDA) { c.Memory = "locked" }, func(c *CUDA) { c.Weights = "gone" },
	} {
		c := Default
		change(&c)
		if err := c.Check(); err == nil || !strings.Contains(err.Error(), "is not one of") {
			t.Errorf("%+v: %v", c, err)
		}
	}
}

func TestWanted(t *testing.T) {
	all := []onnx.Value{{Name: "hidden"}, {Name: "pooled"}}
	w := Default
	if got, err := w.wanted(all); len(got) != 2 || err != nil {
		t.Errorf("all: %v, %v", got, err)
	}
	w.Outputs = []string{"pooled"}
	if got, err := w.wanted(all); len(got) != 1 || got[0].Name != "pooled" || err != nil {
		t.Errorf("one: %v, %v", got, err)
	}
	w.Outputs = []string{"polled"}
	var h *cell.Error
	if _, err := w.wanted(all); !errors.As(err, &h) || !strings.Contains(h.Hint, "hidden, pooled") {
		t.Errorf("a misspelt one: %v", err)
	}
}

// The library for machines without a GPU says that it is that.
func TestLibraryWithoutCUDA(t *testing.T) {
	s, _ := openTiny(t)
	var h *cell.Error
	if err := addCUDA(s.options, Default.provider(0)); !errors.As(err, &h) || !strings.Contains(h.Hint, "without CUDA") {
		t.Errorf("error %v, want a hint at the library", err)
	}
}
