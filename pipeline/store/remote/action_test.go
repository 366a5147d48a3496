package remote

import (
	"bytes"
	"testing"
)

// FuzzResult: what is written is read again, and no bytes break the reader.
func FuzzResult(f *testing.F) {
	whole := Result{Files: []File{{"a/b", "00ff", 3, true}, {"c", "", 0, false}}, Note: []byte("line\n")}
	f.Add(whole.encode())
	f.Add([]byte{0x2a, 0xff})
	f.Fuzz(func(t *testing.T, b []byte) {
		if r, err := decode(b); err == nil {
			again, err := decode(Result{Note: r.Note}.encode())
			if err != nil || !bytes.Equal(again.Note, r.Note) {
				t.Errorf("%q became %q, %v", r.Note, again.Note, err)
			}
		}
	})
}
