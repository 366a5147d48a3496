//go:build cuda

package cuda

// #include <cuda.h>
//
// typedef struct { CUdeviceptr to, from; unsigned long long bytes; } carried;
//
// static CUresult carry(CUfunction kernel, const carried *list, int n, CUstream stream) {
//	CUresult r = CUDA_SUCCESS;
//	for (int i = 0; i < n && r == CUDA_SUCCESS; i++) {
//		CUdeviceptr to = list[i].to, from = list[i].from;
//		unsigned long long bytes = list[i].bytes, blocks = (bytes / 16 + 255) / 256;
//		void *arguments[] = {&to, &from, &bytes};
//		blocks = blocks < 1 ? 1 : blocks > 128 ? 128 : blocks;
//		r = cuLaunchKernel(kernel, blocks, 1, 1, 256, 1, 1, 0, stream, arguments, 0);
//	}
//	return r == CUDA_SUCCESS ? cuStreamSynchronize(stream) : r;
// }
import "C"

import (
	_ "embed"
	"unsafe"
)

// The kernel that carries, as text that the driver compiles.
//
//go:embed carry.ptx
var carry string

type carrier struct {
	gpu      *gpu
	kernel   C.CUfunction
	stream   C.CUstream
	ins, out []C.carried
}

// Carrier loads the kernel, which stays loaded.
func (g *gpu) Carrier() (Carrier, error) { return g.carries() }

func (g *gpu) carries() (*carrier, error) {
	c := &carrier{gpu: g}
	text, name := append([]byte(carry), 0), []byte("carry\x00")
	return c, g.on(func() error {
		var module C.CUmodule
		if err := result(C.cuModuleLoadData(&module, unsafe.Pointer(&text[0])), "compile the kernel that carries tensors"); err != nil {
			return err
		}
		if err := result(C.cuModuleGetFunction(&c.kernel, module, (*C.char)(unsafe.Pointer(&name[0]))), "find the kernel that carries tensors"); err != nil {
			return err
		}
		return result(C.cuStreamCreate(&c.stream, C.CU_STREAM_NON_BLOCKING), "make a stream")
	})
}

// ends returns the device's addresses of page-locked memory, and of as much of its own.
func (c *carrier) ends(host unsafe.Pointer, bytes int64) (mapped, own C.CUdeviceptr, err error) {
	address, err := c.gpu.Address(host)
	if err != nil {
		return 0, 0, err
	}
	err = c.gpu.on(func() error {
		p, err := allocate(bytes)
		own = C.CUdeviceptr(p)
		return err
	})
	return C.CUdeviceptr(address), own, err
}

func (c *carrier) In(host unsafe.Pointer, bytes int64) (uintptr, error) {
	mapped, own, err := c.ends(host, bytes)
	c.ins = append(c.ins, C.carried{to: own, from: mapped, bytes: C.ulonglong(bytes)})
	return uintptr(own), err
}

func (c *carrier) Out(host unsafe.Pointer, bytes int64) (uintptr, error) {
	mapped, own, err := c.ends(host, bytes)
	c.out = append(c.out, C.carried{to: mapped, from: own, bytes: C.ulonglong(bytes)})
	return uintptr(own), err
}

func (g *gpu) Collect(bytes int64, calls int) (address uintptr, last []byte, keep func() error, err error) {
	all := bytes * int64(calls)
	host, err := g.Pinned(all)
	if err != nil {
		return 0, nil, nil, err
	}
	c, err := g.carries()
	if err != nil {
		return 0, nil, nil, err
	}
	var own, kept C.CUdeviceptr
	if err := g.on(func() error {
		p, err := allocate(bytes)
		own = C.CUdeviceptr(p)
		if err == nil {
			p, err = allocate(all)
			kept = C.CUdeviceptr(p)
		}
		return err
	}); err != nil {
		return 0, nil, nil, err
	}
	list := calloc[C.carried](calls)
	for i := range list {
		list[i] = C.carried{to: kept + C.CUdeviceptr(bytes*int64(i)), from: own, bytes: C.ulonglong(bytes)}
	}
	n := 0
	keep = func() error {
		err := c.carry(list[n:][:1], "keep results on the device")
		if n++; n < calls || err != nil {
			return err
		}
		n = 0
		return g.on(func() error {
			r := C.cuMemcpyDtoHAsync(unsafe.Pointer(&host[0]), kept, C.size_t(all), c.stream)
			if r == C.CUDA_SUCCESS {
				r = C.cuStreamSynchronize(c.stream)
			}
			return result(r, "copy the results that were kept")
		})
	}
	return uintptr(own), host[all-bytes:], keep, nil
}

func (c *carrier) Send() error  { return c.carry(c.ins, "carry inputs to the device") }
func (c *carrier) Fetch() error { return c.carry(c.out, "carry results to the host") }

func (c *carrier) carry(list []C.carried, what string) error {
	if len(list) == 0 {
		return nil
	}
	return c.gpu.on(func() error { return result(C.carry(c.kernel, &list[0], C.int(len(list)), c.stream), what) })
}
