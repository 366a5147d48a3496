package nb_test

import (
	"encoding/json"
	"fmt"
	"log"
	"os"
	"path/filepath"

	"barograph/notebooks/nb"
	"barograph/pipeline/cell"
)

// A notebook groups samples by level and prints the median of each. The runner
// writes the specification; here the example does.
func Example() {
	dir, err := os.MkdirTemp("", "example-")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	samples := filepath.Join(dir, "samples.csv")
	text := "level,replicate,latency_ns\n"
	for call := range 10 {
		text += fmt.Sprintf("0,1,%d\n4,1,%d\n", 3000000+1000*(7*call%10), 5000000+1000*(7*call%10))
	}
	spec, err := json.Marshal(cell.Spec{Inputs: []cell.Input{{Files: map[string]string{"samples.csv": samples}}}})
	if err != nil {
		log.Fatal(err)
	}
	for name, content := range map[string]string{samples: text, filepath.Join(dir, "spec.json"): string(spec)} {
		if err := os.WriteFile(name, []byte(content), 0o666); err != nil {
			log.Fatal(err)
		}
	}
	if err := os.Setenv(nb.Env, filepath.Join(dir, "spec.json")); err != nil {
		log.Fatal(err)
	}

	for _, level := range nb.Samples("samples.csv").By("level") {
		median := level.Quantiles(0.5)[0]
		fmt.Println(level.Label, level.Len(), median.Milliseconds())
	}
	// Output:
	// level=0 10 3.004 [3.001, 3.008]
	// level=4 10 5.004 [5.001, 5.008]
}
