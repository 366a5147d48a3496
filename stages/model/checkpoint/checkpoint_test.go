package checkpoint

import (
	"bytes"
	"encoding/binary"
	"strings"
	"testing"
)

func TestCheckpointErrors(t *testing.T) {
	header := func(text string) []byte {
		return append(binary.LittleEndian.AppendUint64(nil, uint64(len(text))), text...)
	}
	for want, data := range map[string][]byte{
		"it is no safetensors file":          []byte("short"),
		"or is cut short: its header":        bytes.Repeat([]byte{0xff}, 100),
		"it is cut short: tensor \"w\" ends": append(header(`{"w":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}`), make([]byte, 7)...),
		"its header: unexpected":             header("{"),
		"does not take 8 bytes":              append(header(`{"w":{"dtype":"F32","shape":[3],"data_offsets":[0,8]}}`), make([]byte, 8)...),
		"lies at the impossible [8 0]":       append(header(`{"w":{"dtype":"F32","shape":[3],"data_offsets":[8,0]}}`), make([]byte, 8)...),
		"cannot unmarshal":                   header(`{"w":3}`),
		`tensor "w" stands twice`:            append(header(`{"w":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"w":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}}`), make([]byte, 8)...),
		`tensor "w" at [4 8] overlaps "v" at [0 8]`: append(header(
			`{"w":{"dtype":"F32","shape":[1],"data_offsets":[4,8]},"v":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}`), make([]byte, 8)...),
	} {
		if _, _, err := readHeader(bytes.NewReader(data), int64(len(data))); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want one with %q", err, want)
		}
	}
	if _, err := Open("none.safetensors"); err == nil || !strings.Contains(err.Error(), "no such file") {
		t.Errorf("no file: %v", err)
	}
}

func FuzzCheckpoint(f *testing.F) {
	f.Add([]byte("\x36\x00\x00\x00\x00\x00\x00\x00" + `{"w":{"dtype":"F16","shape":[2,1],"data_offsets":[0,4]}}` + "abcd"))
	f.Add([]byte("\x02\x00\x00\x00\x00\x00\x00\x00{}"))
	f.Fuzz(func(t *testing.T, data []byte) {
		tensors, at, err := readHeader(bytes.NewReader(data), int64(len(data)))
		if err != nil {
			return
		}
		for name, w := range tensors {
			if w.Offsets[0] < 0 || w.Offsets[1] < w.Offsets[0] || at+w.Offsets[1] > int64(len(data)) {
				t.Errorf("tensor %q at %v lies outside %d bytes", name, w.Offsets, len(data))
			}
		}
	})
}
