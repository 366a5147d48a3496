package record_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"barograph/pipeline/record"
)

// A sealed folder tells what happened to it since.
func Example() {
	dir, err := os.MkdirTemp("", "recording")
	if err != nil {
		panic(err)
	}
	defer os.RemoveAll(dir)
	samples := filepath.Join(dir, record.Samples)
	if err := os.WriteFile(samples, []byte("level,latency_ns\n0,3530000\n"), 0o666); err != nil {
		panic(err)
	}
	if err := record.WriteSums(dir); err != nil {
		panic(err)
	}
	fmt.Println("sealed:", record.Verify(dir))
	if err := os.WriteFile(samples, []byte("level,latency_ns\n0,1180000\n"), 0o666); err != nil {
		panic(err)
	}
	_, what, _ := strings.Cut(record.Verify(dir).Error(), "\n")
	fmt.Println("changed:", what[:len("damaged: samples.csv")])
	// Output:
	// sealed: <nil>
	// changed: damaged: samples.csv
}
