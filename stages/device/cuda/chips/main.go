// Chips lists the GPU code in a library: for each chip, how many pieces of
// machine code (sass) and of the portable assembly that drivers compile (ptx).
// It shows whether an ONNX Runtime provider can run on a GPU, without one.
//
// Usage: go run ./stages/device/cuda/chips libonnxruntime_providers_cuda.so
package main

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"maps"
	"os"
	"slices"
)

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: chips LIBRARY")
		os.Exit(2)
	}
	b, err := os.ReadFile(os.Args[1])
	if err != nil {
		fmt.Fprintln(os.Stderr, "chips:", err)
		os.Exit(1)
	}
	found := chips(b)
	for _, name := range slices.Sorted(maps.Keys(found)) {
		fmt.Printf("%s %d\n", name, found[name])
	}
}

// chips counts the entries of all fat binaries in a file, by names such as
// "sm_60 sass". A fat binary is a header, which holds the size of what follows,
// and entries, each with a header of its own: its kind, its sizes and its chip.
func chips(file []byte) map[string]int {
	const (
		headerSize = 16
		chipAt     = 28
	)
	magic := []byte{0x50, 0xed, 0x55, 0xba, 1, 0, headerSize, 0}
	kinds := map[uint16]string{1: "ptx", 2: "sass"}
	found := map[string]int{}
	for {
		i := bytes.Index(file, magic)
		if i < 0 {
			return found
		}
		file = file[i+len(magic):]
		if len(file) < 8 {
			return found
		}
		size := binary.LittleEndian.Uint64(file)
		if size > uint64(len(file)-8) {
			continue // the bytes of a header by chance
		}
		entries := file[8 : 8+size]
		for len(entries) > chipAt+4 {
			kind := binary.LittleEndian.Uint16(entries)
			header, payload := binary.LittleEndian.Uint32(entries[4:]), binary.LittleEndian.Uint64(entries[8:])
			if name := kinds[kind]; name != "" {
				found[fmt.Sprintf("sm_%d %s", binary.LittleEndian.Uint32(entries[chipAt:]), name)]++
			}
			if next := uint64(header) + payload; header < chipAt+4 || payload > size || next > uint64(len(entries)) {
				break
			} else {
				entries = entries[next:]
			}
		}
		file = file[8+size:]
	}
}
