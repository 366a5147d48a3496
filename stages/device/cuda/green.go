//go:build cuda

package cuda

// #include <cuda.h>
//
// #define GRAIN 8 /* multiprocessors, the fewest that chips of today are divided by (CUDA driver API, Green Contexts) */
// #define MOST 256
//
// typedef struct {
//	CUdevResource groups[MOST + 1]; /* the last is the remainder */
//	unsigned count;
//	int size, all;
// } division;
//
// static CUresult divide(CUdevice device, division *d) {
//	CUdevResource whole = {0};
//	CUresult r = cuDeviceGetDevResource(device, &whole, CU_DEV_RESOURCE_TYPE_SM);
//	if (r != CUDA_SUCCESS) return r;
//	d->all = whole.sm.smCount;
//	if ((r = cuDevSmResourceSplitByCount(NULL, &d->count, &whole, NULL, 0, GRAIN)) != CUDA_SUCCESS) return r;
//	if (d->count > MOST) d->count = MOST;
//	CUdevResource rest = {0};
//	if ((r = cuDevSmResourceSplitByCount(d->groups, &d->count, &whole, &rest, 0, GRAIN)) != CUDA_SUCCESS) return r;
//	d->groups[d->count] = rest;
//	d->size = d->groups[0].sm.smCount;
//	return r;
// }
//
// /* A green context on groups from one to before another, and its multiprocessors. */
// static CUresult green(CUdevice device, division *d, int from, int to, CUgreenCtx *context, int *sms) {
//	CUdevResourceDesc description;
//	CUdevResource has = {0};
//	if (to > (int)d->count && d->groups[d->count].type != CU_DEV_RESOURCE_TYPE_SM) to--;
//	CUresult r = cuDevResourceGenerateDesc(&description, d->groups + from, to - from);
//	if (r == CUDA_SUCCESS) r = cuGreenCtxCreate(context, description, device, CU_GREEN_CTX_DEFAULT_STREAM);
//	if (r == CUDA_SUCCESS) r = cuGreenCtxGetDevResource(*context, &has, CU_DEV_RESOURCE_TYPE_SM);
//	if (r == CUDA_SUCCESS) *sms = has.sm.smCount;
//	return r;
// }
//
// static CUresult make_green_stream(CUstream *stream, CUgreenCtx context, int high) {
//	int least = 0, greatest = 0;
//	CUresult r = cuCtxGetStreamPriorityRange(&least, &greatest);
//	return r == CUDA_SUCCESS ? cuGreenCtxStreamCreate(stream, context, CU_STREAM_NON_BLOCKING, high ? greatest : least) : r;
// }
import "C"

import (
	"fmt"
	"unsafe"

	"gorgonia.org/cu"

	"barograph/pipeline/cell"
)

// A part is a GPU whose streams belong to a green context: kernels in them run on its
// multiprocessors alone. Memory is the primary context's, as that of the whole.
type part struct {
	*gpu
	green    C.CUgreenCtx
	own, all int
}

// Divide makes all parts of one split, so that none overlaps another. They live as long
// as the process.
func (g *gpu) Divide(percents []int) (parts []GPU, err error) {
	err = g.on(func() error {
		device, err := cu.GetDevice(g.ordinal)
		if err != nil {
			return err
		}
		d := &calloc[C.division](1)[0]
		if r := C.divide(C.CUdevice(device), d); r == C.CUDA_ERROR_STUB_LIBRARY || r == C.CUDA_ERROR_NOT_SUPPORTED {
			return cell.Hint(result(r, "divide the GPU's multiprocessors"), "the driver has no green contexts, which came with CUDA 12.4: leave sm_percent out, or take a newer driver")
		} else if r != C.CUDA_SUCCESS {
			return result(r, "divide the GPU's multiprocessors")
		}
		of, err := runs(percents, int(d.count), int(d.size), int(d.all))
		if err != nil {
			return err
		}
		for i, run := range of {
			p := &part{gpu: g, all: int(d.all)}
			var own C.int
			if err := result(C.green(C.CUdevice(device), d, C.int(run[0]), C.int(run[1]), &p.green, &own), fmt.Sprintf("make a green context on %d%% of %d multiprocessors", percents[i], p.all)); err != nil {
				return err
			}
			if p.own = int(own); p.own == 0 {
				return fmt.Errorf("make a green context on %d%% of %d multiprocessors: the driver gave it none", percents[i], p.all)
			}
			parts = append(parts, p)
		}
		return nil
	})
	return parts, err
}

func (p *part) Stream(high bool) (address uintptr, err error) {
	var s C.CUstream
	of := C.int(0)
	if high {
		of = 1
	}
	err = p.on(func() error { return result(C.make_green_stream(&s, p.green, of), "make a stream of a green context") })
	return uintptr(unsafe.Pointer(s)), err
}

func (p *part) Multiprocessors() (own, all int) { return p.own, p.all }
