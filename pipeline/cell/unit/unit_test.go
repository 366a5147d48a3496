package unit

import (
	"encoding/json"
	"math"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func TestParseSize(t *testing.T) {
	for _, c := range []struct {
		text string
		want Size
		fail bool
	}{
		{"0", 0, false},
		{"300", 300, false},
		{"4MiB", 4 << 20, false},
		{" 64 KiB ", 64 << 10, false},
		{"1.5 GiB", 3 << 29, false},
		{"1e6", 1_000_000, false},
		{"1 kB", 1000, false},
		{"2TB", 2_000_000_000_000, false},
		{"9007199254740993", 1<<53 + 1, false},
		{"9223372036854775807", math.MaxInt64, false},
		{"7TiB", 7 << 40, false},
		{"9223372036854775808", 0, true},
		{"8388608 TiB", 0, true},
		{"-1", 0, true},
		{"0.5", 0, true},
		{"4 MB2", 0, true},
		{"4 mib", 0, true},
		{"MiB", 0, true},
		{"", 0, true},
		{"NaN", 0, true},
		{"1e999", 0, true},
		{"Inf", 0, true},
	} {
		got, err := ParseSize(c.text)
		if got != c.want || (err != nil) != c.fail {
			t.Errorf("ParseSize(%q) = %d, %v; want %d, an error: %v", c.text, got, err, c.want, c.fail)
		}
		if err != nil && !strings.Contains(err.Error(), "size ") {
			t.Errorf("ParseSize(%q): %v does not say what it read", c.text, err)
		}
	}
}

func TestSizeString(t *testing.T) {
	for want, s := range map[string]Size{"0 B": 0, "1 KiB": 1024, "1025 B": 1025, "4 MiB": 4 << 20, "3 TiB": 3 << 40, "1536 MiB": 3 << 29} {
		if got := s.String(); got != want {
			t.Errorf("Size(%d) is written %q, want %q", int64(s), got, want)
		}
	}
}

func TestParseRate(t *testing.T) {
	for _, c := range []struct {
		text string
		want Rate
		fail bool
	}{
		{"max", Rate{}, false},
		{"", Rate{}, false},
		{"0", Rate{}, false},
		{"10GB/s", Rate{PerSecond: 10e9}, false},
		{"512 MiB/s", Rate{PerSecond: 512 << 20}, false},
		{"5e8", Rate{PerSecond: 5e8}, false},
		{"50%", Rate{Share: .5}, false},
		{"7 %", Rate{Share: .07}, false},
		{"100%", Rate{Share: 1}, false},
		{"0%", Rate{}, true},
		{"101%", Rate{}, true},
		{"NaN%", Rate{}, true},
		{"-1", Rate{}, true},
		{"10GB/h", Rate{}, true},
		{"fast", Rate{}, true},
		{"1e308 GB/s", Rate{}, true},
	} {
		got, err := ParseRate(c.text)
		if got != c.want || (err != nil) != c.fail {
			t.Errorf("ParseRate(%q) = %+v, %v; want %+v, an error: %v", c.text, got, err, c.want, c.fail)
		}
	}
}

func TestRateOf(t *testing.T) {
	for _, c := range []struct {
		rate     Rate
		capacity float64
		want     float64
	}{
		{Rate{}, 10, 0},
		{Rate{PerSecond: 3}, 10, 3},
		{Rate{Share: .25}, 10, 2.5},
	} {
		if got := c.rate.Of(c.capacity); got != c.want {
			t.Errorf("%v of %v is %v, want %v", c.rate, c.capacity, got, c.want)
		}
	}
}

func TestParseDuration(t *testing.T) {
	for _, c := range []struct {
		text string
		want time.Duration
		fail bool
	}{
		{"250ms", 250 * time.Millisecond, false},
		{" 1m30s ", 90 * time.Second, false},
		{"1500", 1500, false},
		{"-3s", -3 * time.Second, false},
		{"soon", 0, true},
		{"1.5", 0, true},
		{"", 0, true},
		{"300000000h", 0, true},
	} {
		got, err := ParseDuration(c.text)
		if time.Duration(got) != c.want || (err != nil) != c.fail {
			t.Errorf("ParseDuration(%q) = %v, %v; want %v, an error: %v", c.text, got, err, c.want, c.fail)
		}
	}
}

// However a study writes a quantity, its JSON is the same, and reads back.
func TestJSON(t *testing.T) {
	type all struct {
		S Size
		R Rate
		D Duration
	}
	var a, b all
	for text, v := range map[string]*all{
		`{"S": "4MiB", "R": "2 GB/s", "D": "1s"}`:            &a,
		`{"S": 4194304, "R": 2000000000.0, "D": 1000000000}`: &b,
	} {
		if err := json.Unmarshal([]byte(text), v); err != nil {
			t.Fatal(err)
		}
	}
	x, errX := json.Marshal(a)
	y, errY := json.Marshal(b)
	if errX != nil || errY != nil || string(x) != string(y) {
		t.Errorf("%s and %s, %v, %v", x, y, errX, errY)
	}
	for _, text := range []string{`{"S": true}`, `{"S": null, "R": [1]}`, `{"D": {}}`, `{"S": -1}`} {
		if err := json.Unmarshal([]byte(text), new(all)); err == nil {
			t.Errorf("%s is read", text)
		}
	}
}

// What is written is read back the same, by the parsers and through JSON.
func TestRoundTrip(t *testing.T) {
	check := func(t *rapid.T, what string, in, out any, err error) {
		if err != nil || in != out {
			t.Fatalf("%s %v comes back as %v, %v", what, in, out, err)
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		size := Size(rapid.Int64Range(0, math.MaxInt64).Draw(t, "size"))
		s, err := ParseSize(size.String())
		check(t, "size", size, s, err)

		d := Duration(rapid.Int64().Draw(t, "duration"))
		back, err := ParseDuration(d.String())
		check(t, "duration", d, back, err)

		rate := Rate{PerSecond: rapid.Float64Range(0, 1e15).Draw(t, "rate")}
		if rapid.Bool().Draw(t, "share") {
			percent := rapid.IntRange(1, 1000).Draw(t, "tenths of a percent")
			rate = Rate{Share: float64(percent) / 10 / 100}
		}
		r, err := ParseRate(rate.String())
		check(t, "rate", rate, r, err)

		text, err := json.Marshal([]any{size, d, rate})
		if err != nil {
			t.Fatal(err)
		}
		var size2 Size
		var d2 Duration
		var rate2 Rate
		err = json.Unmarshal(text, &[]any{&size2, &d2, &rate2})
		check(t, "size in JSON", size, size2, err)
		check(t, "duration in JSON", d, d2, err)
		check(t, "rate in JSON", rate, rate2, err)
	})
}

// FuzzParse: what a parser accepts is in range, and is read back from how it is
// written.
func FuzzParse(f *testing.F) {
	for _, s := range []string{"4MiB", "1.5GiB", "50%", "10GB/s", "250ms", "1m30s", "0x1p4", "1e308TiB", "-0", "+5", "9223372036854775808", "7 %", "99.999999%", "1e-300%"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if s, err := ParseSize(text); err == nil {
			if again, err := ParseSize(s.String()); s < 0 || err != nil || again != s {
				t.Errorf("size %q: %d, then %d, %v", text, s, again, err)
			}
		}
		if r, err := ParseRate(text); err == nil {
			again, err := ParseRate(r.String())
			if err != nil || math.IsInf(r.PerSecond, 0) || r.PerSecond < 0 || r.Share < 0 || r.Share > 1 {
				t.Errorf("rate %q: %+v, %v", text, r, err)
			}
			if again.PerSecond != r.PerSecond || math.Abs(again.Share-r.Share) > 1e-15*r.Share {
				t.Errorf("rate %q: %+v, then %+v", text, r, again)
			}
		}
		if d, err := ParseDuration(text); err == nil {
			if again, err := ParseDuration(d.String()); err != nil || again != d {
				t.Errorf("duration %q: %v, then %v, %v", text, d, again, err)
			}
		}
	})
}
