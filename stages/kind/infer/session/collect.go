package session

import (
	"errors"
	"fmt"
	"strings"

	"barograph/pipeline/cell"
	"barograph/stages/device/cuda"
	"barograph/stages/kind/infer/value"
	"barograph/stages/model/onnx"

	ort "github.com/yalue/onnxruntime_go"
)

// mostCollected bounds for how many calls a session makes room.
const mostCollected = 1024

// Group is how many calls belong together: their results come to the host at once.
func (w *CUDA) Group() int { return max(1, w.Collect) }

// CheckCollect reports why results cannot be collected over calls, of which so many are
// made and before those so many for warm-up; closed tells whether each is made once the
// one before is complete.
func (w *CUDA) CheckCollect(calls, warmup int, closed bool) error {
	n := w.Collect
	switch {
	case n < 0 || n > mostCollected:
		return fmt.Errorf("collect is %d: want 0 to %d", n, mostCollected)
	case n < 2:
		return nil
	case w.Results != "" && w.Results != "copied":
		return cell.Hint(fmt.Errorf("collect %d with results: %s", n, w.Results), "results that go past the copy engine have no copy to spare: leave collect or results out")
	case !closed:
		return cell.Hint(fmt.Errorf("collect %d, and calls that do not follow one another: the last requests before a pause would wait for the next", n), "set arrivals: closed, without rounds or tenancy")
	case calls%n != 0 || warmup%n != 0:
		return cell.Hint(fmt.Errorf("collect %d with %d calls after %d of warm-up: the last results would never be copied", n, calls, warmup), "make both multiples of %d", n)
	}
	return nil
}

// price says what collecting costs.
func (w *CUDA) price() string {
	return fmt.Sprintf("%d calls at once: a result waits on the device for those after it, and its call's latency holds that", w.Collect)
}

// checkPriority reports a priority that a device's streams do not have.
func (w *CUDA) checkPriority(device string) error {
	if w.Stream == "high" && !strings.HasPrefix(device, "cuda") {
		return cell.Hint(fmt.Errorf("priority high on device %s: only a GPU's streams have priorities", device), "leave priority out, or measure on a GPU")
	}
	return nil
}

// A shelf is room for the results of calls: those of one call lie where its kernels write
// them, and are kept from there; of the last of a group, the host tensors are views.
type shelf struct {
	cuda.GPU
	room []byte  // of page-locked memory that is left
	at   uintptr // of the device's
	keep func() error
}

// spaced is the room that a tensor of so many bytes takes, so that the next is aligned.
func spaced(bytes int64) int64 { return (bytes + 255) / 256 * 256 }

func newShelf(gpu cuda.GPU, calls int, wanted []onnx.Value, results []ort.Value) (s *shelf, err error) {
	sum := int64(0)
	for i, v := range results {
		sum += spaced(value.Size(wanted[i].Type, v))
	}
	if sum == 0 {
		return nil, errors.New("collect results: they hold nothing")
	}
	s = &shelf{GPU: gpu}
	s.at, s.room, s.keep, err = gpu.Collect(sum, calls)
	return s, err
}

// Pinned cuts page-locked memory off the room that is left, in the order of tensors.
func (s *shelf) Pinned(bytes int64) ([]byte, error) {
	b := s.room[:bytes:bytes]
	s.room = s.room[spaced(bytes):]
	return b, nil
}

// place returns the device's address of the next tensor, in the same order.
func (s *shelf) place(bytes int64) uintptr {
	at := s.at
	s.at += uintptr(spaced(bytes))
	return at
}
