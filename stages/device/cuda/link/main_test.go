package main

import (
	"slices"
	"strings"
	"testing"
)

func TestFunctions(t *testing.T) {
	got := functions(strings.Join([]string{
		"#define cuMemAlloc cuMemAlloc_v2",
		"    #define cuMemcpyHtoD __CUDA_API_PTDS(cuMemcpyHtoD_v2)",
		"CUresult CUDAAPI cuInit(unsigned int Flags);",
		"CUresult CUDAAPI cuStreamQuery(CUstream hStream);",
		"#define cuCtxCreate cuCtxCreate_v4",
		"typedef struct CUstream_st *CUstream;",
	}, "\n"))
	for _, want := range []string{"cuMemAlloc", "cuMemAlloc_v2", "cuMemcpyHtoD_v2", "cuStreamQuery", "cuCtxCreate_v2", "cuCtxCreate_v4"} {
		if !slices.Contains(got, want) {
			t.Errorf("no %s in %q", want, got)
		}
	}
	if slices.Contains(got, "cuInit") || !slices.IsSorted(got) {
		t.Errorf("functions are %q", got)
	}
}

// The library that stands in for the driver compiles from any list.
func TestPrepare(t *testing.T) {
	dir := t.TempDir()
	env, err := prepare(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	if want := []string{"CGO_CFLAGS=-I" + dir, "CGO_LDFLAGS=-L" + dir}; !slices.Equal(env, want) {
		t.Errorf("environment %q, want %q", env, want)
	}
	t.Setenv("CUDA_HOME", "/nowhere")
	if _, err := prepare(t.Context(), dir); err == nil {
		t.Error("headers were found in /nowhere")
	}
	t.Setenv("CUDA_HOME", "")
	if _, err := prepare(t.Context(), dir+"/a b"); err == nil {
		t.Error("a folder with a space passed")
	}
}
