// Package cuda is the PCIe link of an NVIDIA GPU as a device: its lanes copy
// between host memory, page-locked or pageable, and the GPU's own.
//
// Only a program built with the tag cuda can use one (`make cuda`); in any other
// [Open] fails and says so. Such a program starts anywhere, also where there is
// no driver: the library it is linked with, written by the program in folder
// link, opens the driver at run time.
//
// A lane has a stream of its own for each direction, or two where copies are queued
// ahead, that do not wait for the default stream. All lanes, and an inference in the
// same process, share the GPU's primary context. Of each copy the GPU notes when it was
// done. It began when it was submitted, or when the one before was done, and so its
// duration holds the wait for a copy engine that is busy with another lane's copy. The
// GPU's times are put on the host's clock by the least delay with which the host has
// learnt of a copy's end. An event more a copy, for when the stream reached it, is
// left out: what the host does between two copies the link idles.
//
// Copies queued ahead alternate between two streams, each waiting for an event behind
// the one before: so only one is ready at a time, without the host having to be there
// in between.
//
// # Copies beside the capture of a CUDA graph
//
// While any thread captures a graph in CUDA's mode "global", which is ONNX
// Runtime's in the first calls of a session with cuda_graph, CUDA forbids every
// other thread of the process what may be unsafe, such as allocations and waits
// for events: the calls fail, and the capture with them. A stressor in the process
// of an inference makes such calls all the time. Each lane therefore sets its
// thread's mode to "relaxed", in which nothing is forbidden (CUDA driver API,
// cuThreadExchangeStreamCaptureMode), and the stage infer starts such a load only
// once its graph is captured.
//
// # Pageable copies take turns
//
// While a thread copies from or to pageable memory, the driver behaves as if it held
// a lock of the context together with others that copy so, which whoever makes or
// destroys anything there, be it an event, a stream, an allocation or the code of a
// kernel launched for the first time, wants alone. Copies of two threads that always
// overlap therefore keep them waiting for as long as they go on (bench/gpu/locks.cu
// shows it in plain CUDA C), and with them an inference in the same process. Two
// threads copy hardly faster than one anyway, and so the lanes of a process let one
// copy after another begin: between two of them the lock is free. What a copy waits
// for its turn is part of its duration, as the wait within the driver was.
//
// # Parts of the multiprocessors
//
// A stream of a green context (CUDA 12.4) runs its kernels on that context's
// multiprocessors, whichever context is current, and a graph's kernels keep those of the
// stream that they were captured in. Memory belongs to the primary context. So a session
// needs nothing but its stream to keep to a part, and what it makes besides, such as the
// handles of cuBLAS and cuDNN, stays as it was. Copies, and kernels that this package
// launches itself, do not keep to it.
package cuda

import (
	"unsafe"

	"barograph/stages/device"
)

// A GPU is an open device.
type GPU interface {
	device.Device
	device.Prober

	// About says what serves copies and calls.
	About() About
	// Ordinal is the device's number among those that the driver shows the process.
	Ordinal() int
	// PCI is its address, such as 0000:4e:00.0.
	PCI() string
	// Pinned allocates page-locked host memory, which lives as long as the
	// process, and which Go's garbage collector does not know.
	Pinned(bytes int64) ([]byte, error)
	// Stream makes a stream, which lives as long as the process, and returns its address.
	// With high it goes before others. 0: any stream will do.
	Stream(high bool) (address uintptr, err error)
	// Divide returns one GPU for each of percents, whose streams' kernels run on so much
	// of this one's multiprocessors and nowhere else, and which share its memory. No two
	// overlap. Percents are rounded to what the driver can divide by.
	Divide(percents []int) ([]GPU, error)
	// Multiprocessors are those of a part that Divide made, and those of the whole; 0 and
	// 0: it is none.
	Multiprocessors() (own, all int)
	// Address returns that by which kernels reach page-locked host memory.
	Address(host unsafe.Pointer) (uintptr, error)
	// Split makes room on the device for bytes of page-locked memory, and returns its
	// address with a function that copies them there in pieces of a size, each once the
	// one before is there: so that none of them finds anything pending.
	Split(host unsafe.Pointer, bytes, piece int64) (address uintptr, send func() error, err error)
	// Collect makes room on the device for what a call leaves there, of so many bytes, and
	// for what so many calls have left, and returns the address of the former. keep is to
	// be called after each call: after the last of so many all are copied to page-locked
	// memory at once, and last holds that one's from then on.
	Collect(bytes int64, calls int) (address uintptr, last []byte, keep func() error, err error)
	// Carrier returns what carries tensors past the copy engine.
	Carrier() (Carrier, error)
	// Memory returns the bytes of device memory that are free, and all of them.
	Memory() (free, total int64, err error)
	// Occupy takes device memory for as long as the process lives.
	Occupy(bytes int64) error
	// Transfer returns a function that copies bytes from page-locked host
	// memory to the device, and returns when they are there.
	Transfer(bytes int64) (func() error, error)
}

// A Carrier has a kernel of its own carry bytes between page-locked memory and the
// device's, which it makes room in.
type Carrier interface {
	// In returns the device's address of what Send brings there from page-locked
	// memory.
	In(host unsafe.Pointer, bytes int64) (address uintptr, err error)
	// Out returns that of what Fetch brings to page-locked memory.
	Out(host unsafe.Pointer, bytes int64) (address uintptr, err error)
	// Send and Fetch return once all is there.
	Send() error
	Fetch() error
}

// About is what a driver says of itself.
type About struct {
	CUDA string // the version that it speaks, such as 13.0
}
