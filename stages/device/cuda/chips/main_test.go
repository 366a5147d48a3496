package main

import (
	"bytes"
	"encoding/binary"
	"maps"
	"testing"
)

// entry is one piece of code: a header of 64 bytes and a payload.
func entry(kind uint16, chip uint32, payload int) []byte {
	b := make([]byte, 64+payload)
	binary.LittleEndian.PutUint16(b, kind)
	binary.LittleEndian.PutUint32(b[4:], 64)
	binary.LittleEndian.PutUint64(b[8:], uint64(payload))
	binary.LittleEndian.PutUint32(b[28:], chip)
	return b
}

func fat(entries ...[]byte) []byte {
	all := bytes.Join(entries, nil)
	b := []byte{0x50, 0xed, 0x55, 0xba, 1, 0, 16, 0}
	return append(binary.LittleEndian.AppendUint64(b, uint64(len(all))), all...)
}

func TestChips(t *testing.T) {
	file := bytes.Join([][]byte{
		[]byte("ELF and so on"), fat(entry(2, 60, 100), entry(2, 75, 0), entry(1, 90, 7)),
		[]byte("data"), fat(entry(2, 60, 33)),
		{0x50, 0xed, 0x55, 0xba, 1, 0, 16, 0, 255, 255, 255, 255, 255, 255, 255, 255}, // no header
	}, nil)
	want := map[string]int{"sm_60 sass": 2, "sm_75 sass": 1, "sm_90 ptx": 1}
	if got := chips(file); !maps.Equal(got, want) {
		t.Errorf("chips are %v, want %v", got, want)
	}
}

// Blanking leaves one chip's code, and every header.
func TestBlank(t *testing.T) {
	full := func(kind uint16, chip uint32) []byte {
		b := entry(kind, chip, 50)
		copy(b[64:], bytes.Repeat([]byte{0xff}, 50))
		return b
	}
	file := append([]byte("ELF\xff"), fat(full(2, 80), full(2, 90), full(1, 120))...)
	before := chips(file)
	if left := blank(file, "sm_90"); left != 1 || bytes.Count(file, []byte{0xff}) != 51 || !maps.Equal(chips(file), before) {
		t.Errorf("%d pieces left, %d bytes set, %v", left, bytes.Count(file, []byte{0xff}), chips(file))
	}
	if left := blank(file, "sm_60"); left != 0 {
		t.Errorf("%d pieces for a chip that there is not", left)
	}
}

func FuzzChips(f *testing.F) {
	f.Add(fat(entry(2, 60, 100), entry(1, 90, 7)))
	f.Add(fat([]byte("short")))
	f.Fuzz(func(t *testing.T, file []byte) { blank(file, "sm_90") })
}
