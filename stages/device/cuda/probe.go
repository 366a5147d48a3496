//go:build cuda

package cuda

// #include <cuda.h>
// #include <time.h>
//
// static long long now(void) {
//	struct timespec t;
//	clock_gettime(CLOCK_MONOTONIC, &t);
//	return 1000000000LL * t.tv_sec + t.tv_nsec;
// }
//
// /* Makes n calls, or as many as fit the limit, and says how long each took: a kernel of ns, where there is one, then a copy. */
// static CUresult timed(CUfunction kernel, unsigned long long ns, int out, void *host, CUdeviceptr device, size_t bytes,
//		CUstream stream, long long limit, int n, long long *into, int *made) {
//	void *arguments[] = {&ns};
//	long long begun = now();
//	for (*made = 0; *made < n; ++*made) {
//		long long start = now();
//		CUresult r = CUDA_SUCCESS;
//		if (*made > 0 && start - begun > limit) return r;
//		if (kernel) r = cuLaunchKernel(kernel, 1, 1, 1, 1, 1, 1, 0, stream, arguments, 0);
//		if (r == CUDA_SUCCESS && bytes)
//			r = out ? cuMemcpyDtoHAsync(host, device, bytes, stream) : cuMemcpyHtoDAsync(device, host, bytes, stream);
//		if (r == CUDA_SUCCESS) r = cuStreamSynchronize(stream);
//		if (r != CUDA_SUCCESS) return r;
//		into[*made] = now() - start;
//	}
//	return CUDA_SUCCESS;
// }
import "C"

import (
	_ "embed"
	"errors"
	"fmt"
	"time"
	"unsafe"

	"gorgonia.org/cu"

	"barograph/stages/device"
)

// The kernel that computes for a while, as text that the driver compiles for
// whatever GPU there is.
//
//go:embed spin.ptx
var spin string

type probe struct {
	gpu    *gpu
	module C.CUmodule
	kernel C.CUfunction
	host   []byte
	device cu.DevicePtr
	stream C.CUstream
}

// Probe times a victim's calls in a stream of its own, with page-locked memory.
func (g *gpu) Probe(most int64) (_ device.Probe, err error) {
	p := &probe{gpu: g}
	text, name := append([]byte(spin), 0), []byte("spin\x00")
	return p, g.on(func() error {
		if err := result(C.cuModuleLoadData(&p.module, unsafe.Pointer(&text[0])), "compile the victim's kernel"); err != nil {
			return err
		}
		if err := result(C.cuModuleGetFunction(&p.kernel, p.module, (*C.char)(unsafe.Pointer(&name[0]))), "find the victim's kernel"); err != nil {
			return err
		}
		if p.host, err = g.Pinned(most); err != nil {
			return err
		}
		if p.device, err = allocate(most); err != nil {
			return err
		}
		return result(C.cuStreamCreate(&p.stream, C.CU_STREAM_NON_BLOCKING), "make a stream")
	})
}

func (p *probe) Time(c device.Call, latencies []int64, limit time.Duration) ([]int64, error) {
	if c.Bytes > int64(len(p.host)) || c.Bytes < 0 || c.Direction.OffLink() || len(latencies) == 0 {
		return nil, errors.New("time a victim's calls: none, or larger than there is room for")
	}
	kernel, out, made := p.kernel, C.int(0), C.int(0)
	if c.Kernel < 0 {
		kernel = nil
	}
	if c.Direction == device.D2H {
		out = 1
	}
	err := p.gpu.on(func() error {
		return result(C.timed(kernel, C.ulonglong(max(0, c.Kernel)), out, unsafe.Pointer(&p.host[0]), C.CUdeviceptr(p.device), C.size_t(c.Bytes),
			p.stream, C.longlong(limit), C.int(len(latencies)), (*C.longlong)(unsafe.Pointer(&latencies[0])), &made),
			fmt.Sprintf("call a kernel of %v and copy %d bytes %v", c.Kernel, c.Bytes, c.Direction))
	})
	return latencies[:made], err
}

func (p *probe) Close() error {
	return p.gpu.on(func() error {
		return errors.Join(result(C.cuStreamDestroy(p.stream), "end a stream"), cu.MemFree(p.device),
			cu.MemFreeHost(unsafe.Pointer(&p.host[0])), result(C.cuModuleUnload(p.module), "unload the victim's kernel"))
	})
}

// About says what serves copies and calls.
func (g *gpu) About() (about About) {
	var v C.int
	if C.cuDriverGetVersion(&v) == C.CUDA_SUCCESS {
		about.CUDA = fmt.Sprintf("%d.%d", v/1000, v%1000/10)
	}
	return about
}
