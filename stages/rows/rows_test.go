package rows_test

import (
	"bytes"
	"encoding/csv"
	"strings"
	"testing"

	"barograph/stages/rows"
)

func TestSplit(t *testing.T) {
	for _, c := range []struct {
		line string
		want []string
	}{
		{"", []string{""}},
		{"a", []string{"a"}},
		{"a,,b,", []string{"a", "", "b", ""}},
		{`"a,b",c`, []string{"a,b", "c"}},
		{`"a ""b""",`, []string{`a "b"`, ""}},
	} {
		got, err := rows.Split([]byte(c.line), nil)
		if err != nil || string(bytes.Join(got, []byte("|"))) != strings.Join(c.want, "|") {
			t.Errorf("%q: %q, %v", c.line, got, err)
		}
	}
	if got, err := rows.Split([]byte(`"a`), nil); err == nil {
		t.Errorf("an open quote: %q", got)
	}
	if got, _ := rows.Split([]byte("c"), [][]byte{[]byte("b")}); len(got) != 2 || string(got[1]) != "c" {
		t.Errorf("appended: %q", got)
	}
}

// FuzzSplit compares with csv.Reader, of lines that it splits into one record.
func FuzzSplit(f *testing.F) {
	for _, line := range []string{"a,b", `"a,b",c`, `a"b`, `a,"b`, ",", "é,\x00"} {
		f.Add(line)
	}
	f.Fuzz(func(t *testing.T, line string) {
		if strings.ContainsAny(line, "\r\n") || line == "" {
			t.Skip("more than a line, or none")
		}
		want, wrong := csv.NewReader(strings.NewReader(line)).Read()
		got, err := rows.Split([]byte(line), nil)
		if (err != nil) != (wrong != nil) {
			t.Fatalf("%q: %v, want %v", line, err, wrong)
		}
		if err == nil && string(bytes.Join(got, []byte("|"))) != strings.Join(want, "|") {
			t.Errorf("%q: %q, want %q", line, got, want)
		}
	})
}
