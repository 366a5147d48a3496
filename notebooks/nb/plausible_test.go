package nb

import (
	"path/filepath"
	"testing"

	"barograph/pipeline/cell"
)

// What cannot have been measured ends the notebook, whatever the checksums say.
func TestImpossibleValues(t *testing.T) {
	for _, c := range []struct{ text, says string }{
		{"latency_ns,utilisation\n5,0\n6,\n7,1.02\n", ""},
		{"latency_ns\n5\n0\n", "line 3, column latency_ns: 0 cannot have been measured"},
		{"latency_ns\n5\n-6\n", "line 3, column latency_ns: -6 cannot have been measured"},
		{"latency_ns\n5\nNaN\n", "column latency_ns holds fractions"},
		{"latency_ns\n5.5\n", "column latency_ns holds fractions"},
		{"latency_ns\n5\n\"\"\n", "column latency_ns holds fractions"},
		{"latency_ns\nfast\n", "column latency_ns holds text"},
		{"latency_ns,utilisation\n5,0.5\n5,-0.1\n", "line 3, column utilisation: -0.1 cannot"},
		{"latency_ns,utilisation\n5,85\n", "line 2, column utilisation: 85 cannot"},
		{"latency_ns,utilisation\n5,Inf\n", "line 2, column utilisation: +Inf cannot"},
		{"latency_ns,utilisation\n5,full\n", "column utilisation holds text"},
		{"level,share\n-1,900\n", ""}, // of no known meaning
	} {
		path := file(t, filepath.Join(t.TempDir(), "samples.csv"), c.text)
		t.Run(c.text, func(t *testing.T) {
			enter(t, cell.Spec{Inputs: []cell.Input{{Files: map[string]string{"samples.csv": path}}}, Outputs: []string{Any}})
			err := raised(func() { Samples("samples.csv") })
			if c.says == "" && err != nil {
				t.Error(err)
			}
			if c.says != "" {
				want(t, err, c.says)
			}
		})
	}
}
