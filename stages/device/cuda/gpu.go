//go:build cuda

package cuda

// #cgo LDFLAGS: -lcuda
// #include <cuda.h>
// #include <pthread.h>
//
// extern int barograph_cuda_status;
// extern char barograph_cuda_missing[512];
//
// static CUresult host_alloc(void **p, size_t bytes) {
//	return cuMemHostAlloc(p, bytes, CU_MEMHOSTALLOC_PORTABLE);
// }
//
// static CUresult send_split(CUdeviceptr to, char *from, size_t bytes, size_t piece, CUstream stream) {
//	for (size_t at = 0; at < bytes; at += piece) {
//		CUresult r = cuMemcpyHtoDAsync(to + at, from + at, bytes - at < piece ? bytes - at : piece, stream);
//		if (r == CUDA_SUCCESS) r = cuStreamSynchronize(stream);
//		if (r != CUDA_SUCCESS) return r;
//	}
//	return CUDA_SUCCESS;
// }
//
// static CUresult relax(void) {
//	CUstreamCaptureMode mode = CU_STREAM_CAPTURE_MODE_RELAXED;
//	return cuThreadExchangeStreamCaptureMode(&mode);
// }
//
// static CUresult make_stream(CUstream *stream, int high) {
//	int least = 0, greatest = 0;
//	CUresult r = cuCtxGetStreamPriorityRange(&least, &greatest);
//	return r == CUDA_SUCCESS ? cuStreamCreateWithPriority(stream, CU_STREAM_NON_BLOCKING, high ? greatest : least) : r;
// }
//
// static const char *name_of(CUresult r) {
//	const char *s = 0;
//	return cuGetErrorName(r, &s) == CUDA_SUCCESS ? s : 0;
// }
import "C"

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"
	"unsafe"

	"gorgonia.org/cu"

	"barograph/pipeline/cell"
	"barograph/pipeline/cell/unit"
	"barograph/stages/device"
	cards "barograph/stages/device/gpu"
	"barograph/stages/device/host"
)

// result turns the driver's answer to what into an error.
func result(r C.CUresult, what string) error {
	if r == C.CUDA_SUCCESS {
		return nil
	}
	name := "no name"
	if s := C.name_of(r); s != nil {
		name = C.GoString(s)
	}
	return fmt.Errorf("%s: CUDA error %d (%s)", what, int(r), name)
}

// relax lets the calling thread use the driver freely while another captures a
// graph.
func relax() error { return result(C.relax(), "set the thread's capture mode") }

// makeStream makes a stream of the context that is current, of the greatest priority that
// the device knows or of the least, which is the usual one.
func makeStream(s *C.CUstream, high bool) error {
	of := C.int(0)
	if high {
		of = 1
	}
	return result(C.make_stream(s, of), "make a stream")
}

type gpu struct {
	ordinal int
	pci     string
	context cu.CUContext
	turn    *C.pthread_mutex_t // held by the thread whose pageable copy the driver stages
}

// Open opens the device of a name such as cuda, which is cuda:0, or cuda:1,
// counted among those that CUDA_VISIBLE_DEVICES leaves. It makes the device's
// primary context, and makes it current on the calling thread.
func Open(name string) (GPU, error) {
	fail := func(err error, hint string, args ...any) (GPU, error) {
		return nil, cell.Hint(fmt.Errorf("open device %q: %w", name, err), hint, args...)
	}
	_, number, some := strings.Cut(name, ":")
	ordinal := 0
	if some {
		n, err := strconv.Atoi(number)
		if err != nil || n < 0 {
			return fail(errors.New("no such name"), "want cuda or cuda:N")
		}
		ordinal = n
	}
	if why := C.GoString(&C.barograph_cuda_missing[0]); why != "" {
		return fail(fmt.Errorf("no NVIDIA driver: %s", why),
			"install the driver, whose library is libcuda.so.1, or measure another device with --machine host or sim")
	}
	switch err := result(C.CUresult(C.barograph_cuda_status), "start the driver"); {
	case C.barograph_cuda_status == C.CUDA_ERROR_NO_DEVICE:
		return fail(err, "the driver sees no GPU: look at nvidia-smi%s", visible())
	case err != nil:
		return fail(err, "look at nvidia-smi and at the kernel's log (dmesg)")
	}
	count, err := cu.NumDevices()
	if err != nil {
		return fail(err, "look at nvidia-smi")
	}
	if pci, is := cards.Renumbered(name); is {
		if ordinal, err = numbered(pci, count); err != nil {
			return fail(err, "look at nvidia-smi%s", visible())
		}
	}
	if ordinal >= count {
		return fail(fmt.Errorf("there are %d GPUs, counted from 0", count), "name one of them as device: in the machine's file%s", visible())
	}
	dev, err := cu.GetDevice(ordinal)
	if err != nil {
		return fail(err, "look at nvidia-smi")
	}
	g := &gpu{ordinal: ordinal, turn: &calloc[C.pthread_mutex_t](1)[0]}
	if g.pci, err = address(dev); err != nil {
		return fail(err, "look at nvidia-smi")
	}
	if g.context, err = dev.RetainPrimaryCtx(); err != nil {
		return fail(fmt.Errorf("make a context: %w", err), "another process may hold the GPU for itself, or all of its memory: look at nvidia-smi")
	}
	if err := cu.SetCurrentContext(g.context); err != nil {
		return fail(err, "look at nvidia-smi")
	}
	return g, nil
}

// address returns a device's PCI address.
func address(dev cu.Device) (string, error) {
	var place [3]int
	for i, a := range []cu.DeviceAttribute{cu.PciDomainID, cu.PciBusID, cu.PciDeviceID} {
		n, err := dev.Attribute(a)
		if err != nil {
			return "", fmt.Errorf("ask for its PCI address: %w", err)
		}
		place[i] = n
	}
	return fmt.Sprintf("%04x:%02x:%02x.0", place[0], place[1], place[2]), nil
}

// numbered returns the number of the device at a PCI address, of as many as there are.
func numbered(pci string, count int) (int, error) {
	for n := range count {
		dev, err := cu.GetDevice(n)
		if err != nil {
			return 0, err
		}
		switch at, err := address(dev); {
		case err != nil:
			return 0, err
		case at == pci:
			return n, nil
		}
	}
	return 0, fmt.Errorf("the driver shows this process %d GPUs, and none at %s", count, pci)
}

// on calls f on a thread on which the device's context is current: between two
// calls of the driver a goroutine may otherwise move to another.
func (g *gpu) on(f func() error) error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if err := cu.SetCurrentContext(g.context); err != nil {
		return fmt.Errorf("use the GPU's context: %w", err)
	}
	return f()
}

// visible reminds of a setting that hides GPUs.
func visible() string {
	if v, ok := os.LookupEnv("CUDA_VISIBLE_DEVICES"); ok {
		return fmt.Sprintf("; CUDA_VISIBLE_DEVICES is %q", v)
	}
	return ""
}

func (g *gpu) Ordinal() int { return g.ordinal }
func (g *gpu) PCI() string  { return g.pci }

// OnePath reports that each direction of PCIe has lanes of its own.
func (g *gpu) OnePath() bool { return false }

func (g *gpu) Memory() (free, total int64, err error) {
	err = g.on(func() error {
		free, total, err = cu.MemInfo()
		return err
	})
	return free, total, err
}

// spare is device memory left to contexts, libraries and the inference.
const spare = 1 << 30

// Fit reports whether the buffers of all threads fit into free device memory
// with 1 GiB to spare, and into available host memory with an eighth to spare.
// Copies within the device need two buffers of it and none of the host's, and
// those within host memory what package host says.
func (g *gpu) Fit(l device.Load) error {
	if l.Block < 1 {
		return fmt.Errorf("copy blocks of %d bytes: want at least 1", l.Block)
	}
	free, _, err := g.Memory()
	if err != nil {
		return fmt.Errorf("ask for free device memory: %w", err)
	}
	m, err := host.Open()
	if err != nil {
		return err
	}
	if l.Directions[0] == device.H2H {
		return m.Fit(l)
	}
	return l.Fits(float64(free)-spare, float64(m.Available)*7/8)
}

func (g *gpu) Notes(l device.Load) []string {
	switch l.Directions[0] {
	case device.D2D:
		return []string{"copies stay within the device's memory: the link carries their commands and nothing else"}
	case device.H2H:
		return []string{"copies stay within host memory, made by the stressor's CPUs: the link is idle"}
	}
	notes := []string{"a copy's duration runs from its submission, or from the end of the one before in its stream, and holds the wait for a busy copy engine"}
	if l.Pageable {
		notes = append(notes, "the driver stages pageable copies through its own page-locked memory: a thread has one in flight at most, and threads take turns")
	}
	return notes
}

func (g *gpu) Pinned(bytes int64) ([]byte, error) {
	var p unsafe.Pointer
	if err := g.on(func() error {
		return result(C.host_alloc(&p, C.size_t(bytes)), "allocate "+unit.Size(bytes).String()+" of page-locked memory")
	}); err != nil {
		return nil, cell.Hint(err, "less can be locked than is asked for: see ulimit -l, a container's memory limit, and free memory; memory: pageable needs none")
	}
	return unsafe.Slice((*byte)(p), bytes), nil
}

func (g *gpu) Multiprocessors() (own, all int) { return 0, 0 }

func (g *gpu) Stream(high bool) (address uintptr, err error) {
	if !high {
		return 0, nil
	}
	var s C.CUstream
	err = g.on(func() error { return makeStream(&s, true) })
	return uintptr(unsafe.Pointer(s)), err
}

func (g *gpu) Address(host unsafe.Pointer) (uintptr, error) {
	var p C.CUdeviceptr
	err := g.on(func() error {
		return result(C.cuMemHostGetDevicePointer(&p, host, 0), "ask for the device's address of page-locked memory")
	})
	return uintptr(p), err
}

func (g *gpu) Split(host unsafe.Pointer, bytes, piece int64) (uintptr, func() error, error) {
	var to cu.DevicePtr
	var stream C.CUstream
	if err := g.on(func() (err error) {
		if to, err = allocate(bytes); err != nil {
			return err
		}
		return result(C.cuStreamCreate(&stream, C.CU_STREAM_NON_BLOCKING), "make a stream")
	}); err != nil {
		return 0, nil, err
	}
	send := func() error {
		return g.on(func() error {
			return result(C.send_split(C.CUdeviceptr(to), (*C.char)(host), C.size_t(bytes), C.size_t(piece), stream), "send an input in pieces")
		})
	}
	return uintptr(to), send, nil
}

func (g *gpu) Occupy(bytes int64) error {
	if err := g.on(func() error {
		_, err := cu.MemAlloc(bytes)
		return err
	}); err != nil {
		return cell.Hint(fmt.Errorf("allocate %s of device memory: %w", unit.Size(bytes), err), "free device memory")
	}
	return nil
}

func (g *gpu) Transfer(bytes int64) (func() error, error) {
	from, err := g.Pinned(bytes)
	if err != nil {
		return nil, err
	}
	for i := range from {
		from[i] = byte(i)
	}
	var to cu.DevicePtr
	var stream cu.Stream
	if err := g.on(func() error {
		if to, err = cu.MemAlloc(bytes); err != nil {
			return cell.Hint(fmt.Errorf("allocate %s of device memory: %w", unit.Size(bytes), err), "free device memory, or take a smaller model")
		}
		stream, err = cu.MakeStream(cu.NonBlocking)
		return err
	}); err != nil {
		return nil, err
	}
	move := func() error {
		if err := cu.MemcpyHtoDAsync(to, unsafe.Pointer(&from[0]), bytes, stream); err != nil {
			return err
		}
		return stream.Synchronize()
	}
	return func() error { return g.on(move) }, nil
}
