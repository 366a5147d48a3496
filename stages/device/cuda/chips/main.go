// Chips lists the GPU code in a library: for each chip, how many pieces of
// machine code (sass) and of the portable assembly that drivers compile (ptx).
// It shows whether an ONNX Runtime provider can run on a GPU, without one.
//
// With -keep it writes the library with the code for every other chip blanked:
// as large, but it packs into a third, for machines that a file must be carried
// to. The driver takes the code for its chip and leaves the rest alone.
//
// Usage: go run ./stages/device/cuda/chips [-keep sm_90 -o FILE] libonnxruntime_providers_cuda.so
package main

import (
	"bytes"
	"encoding/binary"
	"flag"
	"fmt"
	"iter"
	"maps"
	"os"
	"slices"
	"strings"
)

func main() {
	keep := flag.String("keep", "", "blank the code for other chips than this `chip`, such as sm_90")
	out := flag.String("o", "", "the `file` to write with -keep")
	flag.Parse()
	if flag.NArg() != 1 || (*keep == "") != (*out == "") {
		fmt.Fprintln(os.Stderr, "usage: chips [-keep sm_90 -o FILE] LIBRARY")
		os.Exit(2)
	}
	if err := run(flag.Arg(0), *keep, *out); err != nil {
		fmt.Fprintln(os.Stderr, "chips:", err)
		os.Exit(1)
	}
}

func run(library, keep, out string) error {
	b, err := os.ReadFile(library)
	if err != nil {
		return err
	}
	if keep == "" {
		found := chips(b)
		for _, name := range slices.Sorted(maps.Keys(found)) {
			fmt.Printf("%s %d\n", name, found[name])
		}
		return nil
	}
	if blank(b, keep) == 0 {
		return fmt.Errorf("%s has no code for %s: it has %s", library, keep, strings.Join(slices.Sorted(maps.Keys(chips(b))), ", "))
	}
	return os.WriteFile(out, b, 0o666)
}

// chips counts the pieces of code by names such as "sm_60 sass".
func chips(file []byte) map[string]int {
	found := map[string]int{}
	for p := range pieces(file) {
		found[p.chip+" "+p.kind]++
	}
	return found
}

// blank zeroes the code for all chips but one, and returns how many pieces are
// left.
func blank(file []byte, keep string) (left int) {
	for p := range pieces(file) {
		if p.chip == keep {
			left++
		} else {
			clear(p.code)
		}
	}
	return left
}

// A piece is code for one chip.
type piece struct {
	chip string // as in sm_60
	kind string // sass or ptx
	code []byte // in the file
}

// pieces goes through the entries of all fat binaries in a file. A fat binary is a
// header, which holds the size of what follows, and entries, each with a header of
// its own: its kind, its sizes and its chip.
func pieces(file []byte) iter.Seq[piece] {
	const (
		headerSize = 16
		chipAt     = 28
	)
	magic := []byte{0x50, 0xed, 0x55, 0xba, 1, 0, headerSize, 0}
	kinds := map[uint16]string{1: "ptx", 2: "sass"}
	return func(yield func(piece) bool) {
		for {
			i := bytes.Index(file, magic)
			if i < 0 {
				return
			}
			file = file[i+len(magic):]
			if len(file) < 8 {
				return
			}
			size := binary.LittleEndian.Uint64(file)
			if size > uint64(len(file)-8) {
				continue // the bytes of a header by chance
			}
			entries := file[8 : 8+size]
			for len(entries) > chipAt+4 {
				kind := kinds[binary.LittleEndian.Uint16(entries)]
				header, payload := binary.LittleEndian.Uint32(entries[4:]), binary.LittleEndian.Uint64(entries[8:])
				next := uint64(header) + payload
				whole := header >= chipAt+4 && payload <= size && next <= uint64(len(entries))
				code := entries[:0]
				if whole {
					code = entries[header:next]
				}
				if kind != "" && !yield(piece{fmt.Sprintf("sm_%d", binary.LittleEndian.Uint32(entries[chipAt:])), kind, code}) {
					return
				}
				if !whole {
					break
				}
				entries = entries[next:]
			}
			file = file[8+size:]
		}
	}
}
