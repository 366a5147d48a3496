package asset

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"runtime"

	"barograph/pipeline/cell"
)

// cudaHeaders pins the wheel that holds cuda.h of CUDA 12.9, for each GOARCH.
var cudaHeaders = map[string]struct{ platform, wheel string }{
	"amd64": {"manylinux2014_x86_64", "25bba2dfb01d48a9b59ca474a1ac43c6ebf7011f1b0b8cc44f54eb6ac48a96c3"},
	"arm64": {"manylinux2014_aarch64", "83469a846206f2a733db0c42e223589ab62fd2fabac4432d2f8802de4bded0a4"},
}

// CUDAHeaders returns a folder that holds cuda.h, fetched if need be.
func CUDAHeaders(ctx context.Context, log func(string)) (dir string, err error) {
	pin, ok := cudaHeaders[runtime.GOARCH]
	if !ok {
		return "", cell.Hint(fmt.Errorf("no CUDA headers are pinned for %s", runtime.GOARCH), "set CUDA_HOME to a toolkit")
	}
	const member = "nvidia/cuda_runtime/include/cuda.h"
	dir, err = Fetch(ctx, Asset{
		Name:         "cuda-headers-12.9",
		Requirements: "nvidia-cuda-runtime-cu12==12.9.79 --hash=sha256:" + pin.wheel + "\n",
		Python:       "3.12",
		Platforms:    []string{pin.platform},
		Members:      []string{member},
	}, log)
	if err != nil {
		return "", err
	}
	return filepath.Dir(filepath.Join(dir, filepath.FromSlash(member))), nil
}

// CUDARuntime is [Runtime] for the ONNX Runtime with CUDA support, whose
// provider lies beside it.
func CUDARuntime(ctx context.Context, log func(string)) (lib string, err error) {
	if os.Getenv("ONNXRUNTIME_LIB") != "" {
		return Runtime(ctx, log)
	}
	pin, ok := cudaRuntime[runtime.GOARCH]
	if !ok {
		return "", cell.Hint(fmt.Errorf("no ONNX Runtime with CUDA is pinned for %s", runtime.GOARCH),
			"set ONNXRUNTIME_LIB to a library of version %s or newer that is built with CUDA", MinRuntime)
	}
	return fetchRuntime(ctx, Asset{
		Name:         "onnxruntime-gpu-" + RuntimeVersion,
		Requirements: "onnxruntime-gpu==" + RuntimeVersion + " --hash=sha256:" + pin.wheel + "\n",
		Python:       "3.12",
		Platforms:    []string{pin.platform},
		Members: []string{
			runtimeMember, "onnxruntime/capi/libonnxruntime_providers_shared.so", "onnxruntime/capi/libonnxruntime_providers_cuda.so",
		},
	}, pin.library, log)
}
