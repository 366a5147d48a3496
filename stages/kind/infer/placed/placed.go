// Package placed gives ONNX Runtime tensors that lie where the Go binding has no call
// for: in a device's memory, or in host memory by the address at which a device
// reaches it. A session copies nothing to or from such a tensor.
package placed

// #cgo LDFLAGS: -ldl
// #include <dlfcn.h>
// #include <stddef.h>
// #include <stdint.h>
// #include <stdlib.h>
//
// /* The library's table of functions, to which versions only add (onnxruntime_c_api.h). */
// enum { get_error_message = 2, create_tensor = 49, mutable_data = 51, create_memory_info = 68, release_status = 93, release_memory_info = 94, release_value = 96 };
// typedef struct { void **(*get_api)(uint32_t); const char *(*version)(void); } api_base;
//
// static void **table_of(const char *path) {
//	void *lib = dlopen(path, RTLD_NOW | RTLD_NOLOAD);
//	api_base *(*base)(void) = lib ? (api_base *(*)(void))dlsym(lib, "OrtGetApiBase") : NULL;
//	return base ? base()->get_api(1) : NULL;
// }
//
// static const char *message(void **api, void *status) { return ((const char *(*)(const void *))api[get_error_message])(status); }
//
// static void release(void **api, int what, void *p) { ((void (*)(void *))api[what])(p); }
//
// static void *data_of(void **api, void *value, void **data) { return ((void *(*)(void *, void **))api[mutable_data])(value, data); }
//
// /* Makes a tensor at an address of a device's default memory; returns a status, or NULL. */
// static void *tensor(void **api, const char *device, int ordinal, uintptr_t address, size_t bytes,
//		const int64_t *shape, size_t dims, int type, void **value) {
//	void *info = NULL;
//	void *status = ((void *(*)(const char *, int, int, int, void **))api[create_memory_info])(device, 0, ordinal, 0, &info);
//	if (status) return status;
//	status = ((void *(*)(const void *, void *, size_t, const int64_t *, size_t, int, void **))api[create_tensor])
//		(info, (void *)address, bytes, shape, dims, type, value);
//	release(api, release_memory_info, info);
//	return status;
// }
import "C"

import (
	"errors"
	"fmt"
	"unsafe"

	ort "github.com/yalue/onnxruntime_go"
)

// A Tensor lies at an address of a device. Its type, shape and Go data are those of
// the host tensor that it was made of.
type Tensor struct {
	ort.Value // the host tensor
	api       *unsafe.Pointer
	internals ort.ValueInternalData
}

// GetInternals is what a session reads a tensor by.
func (t *Tensor) GetInternals() *ort.ValueInternalData { return &t.internals }

// value is the library's, which the binding keeps to itself.
func (t *Tensor) value() *unsafe.Pointer { return (*unsafe.Pointer)(unsafe.Pointer(&t.internals)) }

// Destroy releases the tensor, and the host tensor with it. The memory stays.
func (t *Tensor) Destroy() error {
	if v := t.value(); *v != nil {
		C.release(t.api, C.release_value, *v)
		*v = nil
	}
	return t.Value.Destroy()
}

// A Library is one that is loaded.
type Library struct{ api *unsafe.Pointer }

// Open finds a library that is loaded, by its path.
func Open(library string) (Library, error) {
	path := C.CString(library)
	defer C.free(unsafe.Pointer(path))
	l := Library{C.table_of(path)}
	if l.api == nil {
		return l, fmt.Errorf("place tensors: %s is not loaded, or is no ONNX Runtime", library)
	}
	return l, nil
}

// why reads a status of the library's, and releases it.
func (l Library) why(status unsafe.Pointer) error {
	defer C.release(l.api, C.release_status, status)
	return errors.New(C.GoString(C.message(l.api, status)))
}

// Data returns where a tensor's elements lie in host memory.
func (l Library) Data(v ort.Value) (unsafe.Pointer, error) {
	t := Tensor{internals: *v.GetInternals()}
	var data unsafe.Pointer
	if status := C.data_of(l.api, *t.value(), &data); status != nil {
		return nil, fmt.Errorf("find a tensor's data: %w", l.why(status))
	}
	return data, nil
}

// Place makes a tensor of so many bytes at an address of a device ("Cuda" or "Cpu", by
// the library's names) from a host tensor, which it takes.
func (l Library) Place(device string, ordinal int, address uintptr, bytes int64, host ort.Value) (*Tensor, error) {
	name := C.CString(device)
	defer C.free(unsafe.Pointer(name))
	shape := host.GetShape()
	dims := (*C.int64_t)(nil)
	if len(shape) > 0 {
		dims = (*C.int64_t)(unsafe.Pointer(&shape[0]))
	}
	t := &Tensor{Value: host, api: l.api}
	var value unsafe.Pointer
	if status := C.tensor(l.api, name, C.int(ordinal), C.uintptr_t(address), C.size_t(bytes), dims, C.size_t(len(shape)), C.int(host.DataType()), &value); status != nil {
		return nil, fmt.Errorf("place a tensor in memory of %s: %w", device, l.why(status))
	}
	*t.value() = value
	return t, nil
}

// Host returns the host tensor of one that was placed, and any other as it is.
func Host(v ort.Value) ort.Value {
	if t, ok := v.(*Tensor); ok {
		return t.Value
	}
	return v
}

// places are those of functions in the library's table, by their names in its header.
func places() map[string]int {
	return map[string]int{
		"GetErrorMessage": C.get_error_message, "CreateTensorWithDataAsOrtValue": C.create_tensor, "GetTensorMutableData": C.mutable_data, "CreateMemoryInfo": C.create_memory_info,
		"ReleaseStatus": C.release_status, "ReleaseMemoryInfo": C.release_memory_info, "ReleaseValue": C.release_value,
	}
}
