// Fetch takes the assets into the cache ahead of need, and prints where they
// are: the ONNX Runtime library, with -cuda also the one for GPUs, and with -python
// the folder for PYTHONPATH.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"

	"barograph/pipeline/cell"
	"barograph/stages/asset"
)

func main() {
	python := flag.Bool("python", false, "also fetch the Python packages that tests and benches use")
	gpu := flag.Bool("cuda", false, "also fetch the ONNX Runtime for GPUs")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := fetch(ctx, *gpu, *python); err != nil {
		fmt.Fprintln(os.Stderr, "fetch:", err)
		if hint := cell.HintOf(err); hint != "" {
			fmt.Fprintln(os.Stderr, "hint:", hint)
		}
		os.Exit(1)
	}
}

func fetch(ctx context.Context, gpu, python bool) error {
	log := func(line string) { fmt.Fprintln(os.Stderr, "fetch:", line) }
	lib, err := asset.Runtime(ctx, log)
	if err != nil {
		return err
	}
	fmt.Println(lib)
	if gpu {
		if lib, err = asset.CUDARuntime(ctx, log); err != nil {
			return err
		}
		fmt.Println(lib)
	}
	if python {
		path, err := asset.PythonPath(ctx, log)
		if err != nil {
			return err
		}
		fmt.Println(path)
		if path, _, err = asset.Validator(ctx, log); err != nil {
			return err
		}
		fmt.Println(path)
	}
	return nil
}
