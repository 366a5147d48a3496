package source

import (
	"encoding/json"
	"strings"
	"testing"
)

// What looks like an integer is one, in decimal or after its prefix, or an error
// at its place.
func TestIntegers(t *testing.T) {
	for text, want := range map[string]any{
		"0": int64(0), "7": int64(7), "-7": int64(-7), "+7": int64(7), "1_000": int64(1000), "0x1F": int64(31), "0o17": int64(15), "0b11": int64(3),
		"9223372036854775807": int64(1<<63 - 1), "-9223372036854775808": int64(-1 << 63),
		"0.5": 0.5, "1e3": 1000.0, `"0100"`: "0100", "!!str 017": "017", "012abc": "012abc", "2024-01-02": "2024-01-02",
		"0100": "begins with a zero", "017": "begins with a zero", "08": "begins with a zero", "-010": "begins with a zero",
		"0_7": "begins with a zero", "00": "begins with a zero", "!!int 017": "begins with a zero", `!!int "017"`: "begins with a zero",
		"9223372036854775808": "beyond", "18446744073709551615": "beyond", "99999999999999999999": "beyond", "-9223372036854775809": "beyond",
		"0xFFFFFFFFFFFFFFFF": "beyond", "0xFFFFFFFFFFFFFFFFFF": "beyond", "0o7777777777777777777777777": "beyond",
	} {
		n, err := Parse("f", []byte("a: ["+text+"]"))
		if err != nil {
			t.Fatal(err)
		}
		got, err := n.At("a", 0).Value(nil)
		if err != nil {
			if reason, ok := want.(string); !ok || !strings.Contains(err.Msg, reason) || err.Pos != (Pos{"f", 1, 5}) {
				t.Errorf("%s: %v", text, err)
			}
		} else if got != want {
			t.Errorf("%s is %#v, want %#v", text, got, want)
		}
	}
}

// A number that stands for a text is the text as it was written.
func TestNumbersAsText(t *testing.T) {
	var v struct {
		Sum  string   `json:"sum" also:"number"`
		Dims []string `json:"dims" also:"number"`
		Name string   `json:"name"`
	}
	_, err := Unmarshal("f", []byte("sum: 0000000000000000000000000000000000000017\ndims: [1, batch, 010]\nname: 5\n"), &v)
	if v.Sum != "0000000000000000000000000000000000000017" || len(v.Dims) != 3 || v.Dims[0] != "1" || v.Dims[2] != "010" {
		t.Errorf("read %q", v)
	}
	if err == nil || !strings.Contains(err.Error(), `f:3:7: name: want a string, got the integer 5`) {
		t.Error(err)
	}
}

// A float that may be a rounded whole number does not look like one in JSON.
func TestExponents(t *testing.T) {
	b, err := json.Marshal(exponents(map[string]any{"a": 1234567890123456789.0, "b": []any{3.0, 0.5, int64(1234567890123456789)}}))
	if want := `{"a":1.2345678901234568e+18,"b":[3,0.5,1234567890123456789]}`; err != nil || string(b) != want {
		t.Errorf("%s, %v; want %s", b, err, want)
	}
}
