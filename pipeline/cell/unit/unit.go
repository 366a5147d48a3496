// Package unit holds the quantities a study may write with a unit: sizes
// (4MiB), rates (10GB/s or 50%) and durations (250ms). Each reads from a JSON
// string or a bare number and writes itself as a number, so that 4MiB and
// 4194304 are the same parameter and give the same key.
package unit

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// Multiples of a byte, by suffix. Expressions see them as constants.
var Multiples = map[string]float64{
	"B": 1, "kB": 1e3, "KB": 1e3, "MB": 1e6, "GB": 1e9, "TB": 1e12,
	"KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30, "TiB": 1 << 40,
}

// A Size is a number of bytes.
type Size int64

// ParseSize reads "4MiB", "64 KiB", "1e6" or "300".
func ParseSize(s string) (Size, error) {
	number, scale, err := split(s)
	if err != nil {
		return 0, fmt.Errorf("size %q: %w", s, err)
	}
	// A float64 does not hold every int64, so that whole numbers stay apart.
	if n, err := strconv.ParseInt(number, 10, 64); err == nil && n >= 0 && n <= math.MaxInt64/int64(scale) {
		return Size(n * int64(scale)), nil
	}
	v, err := quantity(s)
	switch {
	case err != nil:
		return 0, fmt.Errorf("size %q: %w", s, err)
	case v < 0 || v >= 1<<63 || v != math.Trunc(v):
		return 0, fmt.Errorf("size %q is not a whole number of bytes from 0 to 8 EiB", s)
	}
	return Size(v), nil
}

// String writes the size with the largest binary unit that divides it.
func (s Size) String() string {
	for _, u := range []string{"TiB", "GiB", "MiB", "KiB"} {
		if m := Size(Multiples[u]); s != 0 && s%m == 0 {
			return strconv.FormatInt(int64(s/m), 10) + " " + u
		}
	}
	return strconv.FormatInt(int64(s), 10) + " B"
}

// UnmarshalJSON reads a string with a unit or a number of bytes.
func (s *Size) UnmarshalJSON(b []byte) (err error) {
	*s, err = ParseSize(text(b))
	return err
}

// A Rate is a speed in bytes per second, or a share of a calibrated capacity.
// The zero Rate is no limit.
type Rate struct {
	PerSecond float64 // bytes per second, when Share is zero
	Share     float64 // from 0 to 1
}

// ParseRate reads "10GB/s", "512 MiB/s", "50%", or a bare number of bytes per
// second; "0", "max" and "" are no limit.
func ParseRate(s string) (Rate, error) {
	t := strings.TrimSpace(s)
	if t == "" || t == "max" {
		return Rate{}, nil
	}
	if p, ok := strings.CutSuffix(t, "%"); ok {
		v, err := strconv.ParseFloat(strings.TrimSpace(p), 64)
		if err != nil || !(v > 0 && v <= 100) {
			return Rate{}, fmt.Errorf("rate %q is not a percentage above 0 and up to 100", s)
		}
		return Rate{Share: v / 100}, nil
	}
	v, err := quantity(strings.TrimSuffix(t, "/s"))
	if _, bare := strconv.ParseFloat(t, 64); bare == nil && v > 0 && v < 1000 {
		return Rate{}, fmt.Errorf("rate %q has no unit: want a rate such as 25%%, 10GB/s or 25B/s", s)
	}
	if err != nil || v < 0 {
		return Rate{}, fmt.Errorf("rate %q: want a rate such as 10GB/s, 50%% or max", s)
	}
	return Rate{PerSecond: v}, nil
}

// Of returns the rate in bytes per second, given the capacity that a share
// refers to; zero is no limit.
func (r Rate) Of(capacity float64) float64 {
	if r.Share > 0 {
		return r.Share * capacity
	}
	return r.PerSecond
}

// String writes the rate as ParseRate reads it.
func (r Rate) String() string {
	switch {
	case r.Share > 0:
		// 15 digits, since 0.07 * 100 is 7.000000000000001.
		return strconv.FormatFloat(r.Share*100, 'g', 15, 64) + "%"
	case r.PerSecond > 0:
		return strconv.FormatFloat(r.PerSecond, 'g', -1, 64) + "B/s"
	}
	return "max"
}

// UnmarshalJSON reads what ParseRate reads.
func (r *Rate) UnmarshalJSON(b []byte) (err error) {
	*r, err = ParseRate(text(b))
	return err
}

// MarshalJSON writes what ParseRate reads.
func (r Rate) MarshalJSON() ([]byte, error) { return json.Marshal(r.String()) }

// A Duration is a time.Duration that reads "250ms", or a bare number of
// nanoseconds.
type Duration time.Duration

// ParseDuration reads "250ms", "1m30s" or a number of nanoseconds.
func ParseDuration(s string) (Duration, error) {
	if n, err := strconv.ParseInt(strings.TrimSpace(s), 10, 64); err == nil {
		return Duration(n), nil
	}
	d, err := time.ParseDuration(strings.TrimSpace(s))
	if err != nil {
		return 0, fmt.Errorf("duration %q: want a duration such as 250ms or 1m30s", s)
	}
	return Duration(d), nil
}

// String writes the duration as time.Duration does.
func (d Duration) String() string { return time.Duration(d).String() }

// UnmarshalJSON reads what ParseDuration reads.
func (d *Duration) UnmarshalJSON(b []byte) (err error) {
	*d, err = ParseDuration(text(b))
	return err
}

// text strips the quotes of a JSON string and leaves a number as it is.
func text(b []byte) string {
	var s string
	if json.Unmarshal(b, &s) == nil {
		return s
	}
	return string(bytes.TrimSpace(b))
}

// split takes a quantity apart into its number and the multiple of its unit.
func split(s string) (number string, scale float64, err error) {
	s = strings.TrimSpace(s)
	end := len(s)
	for end > 0 && (s[end-1] >= 'a' && s[end-1] <= 'z' || s[end-1] >= 'A' && s[end-1] <= 'Z') {
		end--
	}
	scale = 1
	if u := s[end:]; u != "" {
		m, ok := Multiples[u]
		if !ok {
			return "", 0, fmt.Errorf("unknown unit %q; want one of B, KiB, MiB, GiB, kB, MB, GB", u)
		}
		scale = m
	}
	return strings.TrimSpace(s[:end]), scale, nil
}

func quantity(s string) (float64, error) {
	number, scale, err := split(s)
	if err != nil {
		return 0, err
	}
	v, err := strconv.ParseFloat(number, 64)
	if v *= scale; err != nil || math.IsNaN(v) || math.IsInf(v, 0) {
		return 0, fmt.Errorf("not a number with a unit such as 4MiB")
	}
	return v, nil
}
