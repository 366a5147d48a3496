#!/bin/sh
# gorgonia.org/cu v0.9.6: a program that imports it has started the CUDA driver before its main.
#
# The package calls cuInit as it is initialised. What main puts into the environment for the driver comes too late,
# by os.Setenv or otherwise: CUDA_VISIBLE_DEVICES, CUDA_DEVICE_ORDER, CUDA_MPS_PIPE_DIRECTORY. The driver has read it.
# Where cuInit fails, the program ends with status 1 before main, also where it was only asked for its version.
#
# Why it hurts: a process that waits in main until an MPS daemon answers, and then opens a context, is no client of
# that daemon. It shares the GPU by time slices, all calls succeed, and its latencies are taken for those under MPS.
#
# A library that prints what it finds stands in for the driver here, so that no GPU is needed.
# Seen 2026-11-28, Go 1.26.8, headers of nvidia-cuda-runtime-cu12 12.4.127, linux/amd64:
#   cuInit, with CUDA_MPS_PIPE_DIRECTORY (not set)
#   main sets CUDA_MPS_PIPE_DIRECTORY
#   without a GPU: status 1, and main did not begin
set -eu
for tool in go gcc python3; do command -v $tool >/dev/null || { echo "needs $tool"; exit 77; }; done
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
mkdir "$dir/finding" && cd "$dir/finding"
python3 -m pip install --quiet --no-deps --target "$dir/wheel" nvidia-cuda-runtime-cu12==12.4.127 2>/dev/null || { echo "needs the package"; exit 77; }
export GOMODCACHE="$dir/mod" GOFLAGS="-modcacherw -mod=mod" GOWORK=off CGO_ENABLED=1
cat >"$dir/stand.c" <<'EOF'
#include <stdio.h>
#include <stdlib.h>
int cuInit(unsigned int flags) {
	const char *pipe = getenv("CUDA_MPS_PIPE_DIRECTORY");
	printf("cuInit, with CUDA_MPS_PIPE_DIRECTORY %s\n", pipe ? pipe : "(not set)");
	fflush(stdout);
	return getenv("NO_GPU") ? 100 : 0;
}
EOF
gcc -shared -fPIC -o libcuda.so "$dir/stand.c"
cat >main.go <<'EOF'
package main

import (
	"fmt"
	"os"

	_ "gorgonia.org/cu"
)

func main() {
	fmt.Println("main sets CUDA_MPS_PIPE_DIRECTORY")
	os.Setenv("CUDA_MPS_PIPE_DIRECTORY", "/run/mps")
}
EOF
go mod init finding 2>/dev/null
go mod edit -require=gorgonia.org/cu@v0.9.6
go mod tidy >tidy.log 2>&1 || { cat tidy.log; echo "needs the packages"; exit 77; }
include=$(dirname "$(find "$dir/wheel" -name cuda.h | head -n 1)")
CGO_CFLAGS="-I$include -w" CGO_LDFLAGS="-L$PWD -lcuda -Wl,--unresolved-symbols=ignore-all" \
	CGO_LDFLAGS_ALLOW='.*' go build -o program . 2>build.log || { tail -n 20 build.log; exit 77; }
LD_LIBRARY_PATH=$PWD ./program | tee said
status=0
NO_GPU=1 LD_LIBRARY_PATH=$PWD ./program >without || status=$?
began=$(grep -c '^main' without || true)
echo "without a GPU: status $status, and main $([ "$began" = 0 ] && echo "did not begin" || echo began)"
[ "$(head -n 1 said)" = "cuInit, with CUDA_MPS_PIPE_DIRECTORY (not set)" ] && [ $status = 1 ] && [ "$began" = 0 ] || { echo "CHANGED"; exit 1; }
