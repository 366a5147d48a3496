package expression

import (
	"math"
	"math/big"
	"reflect"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"barograph/pipeline/source"
)

// evaluate returns what an expression gives, or its error.
func evaluate(text string, names map[string]any) (any, *source.Error) {
	s := NewScope()
	for name, v := range names {
		s.Set(name, v)
	}
	n := source.Argument("x", "${{ "+text+" }}")
	var errs source.Errors
	s.Compile(n, &errs)
	if len(errs) > 0 {
		return nil, errs[0]
	}
	return n.Value(s.Values)
}

// What does not fit in 64 bits, or has no value, is an error at its place.
func TestLimits(t *testing.T) {
	names := map[string]any{
		"most": int64(math.MaxInt64), "least": int64(math.MinInt64), "side": int64(3037000500), "none": []any{},
		"levels": []any{int64(1), int64(2)}, "mixed": []any{int64(math.MaxInt64), 1.5}, "two": []any{int64(math.MaxInt64), int64(math.MaxInt64)},
	}
	const beyond = "beyond the integers that fit in 64 bits"
	for text, want := range map[string]any{
		"most - 1":                               int64(math.MaxInt64 - 1),
		"most + 1":                               beyond,
		"least - 1":                              beyond,
		"-least":                                 beyond,
		"abs(least)":                             beyond,
		"-most - 1":                              int64(math.MinInt64),
		"side * side":                            beyond,
		"side * side > 0":                        beyond,
		"16 * GiB * GiB":                         beyond,
		"8589934591 * GiB":                       int64(8589934591 << 30),
		"9223372036854775807 + 1":                beyond,
		"9223372036854775808":                    beyond,
		"side + 0xFFFFFFFFFFFFFFFF":              beyond,
		"side + 99999999999999999999":            beyond,
		"99999999999999999999.5 > 1e19":          true,
		"duration('1h').Nanoseconds() * 9999999": beyond,
		"int('017')":                             "begins with a zero",
		"int('-017')":                            "begins with a zero",
		"int('17')":                              int64(17),
		"(least + 1) * -1":                       int64(math.MaxInt64),
		"least * -1":                             beyond,
		"most + 1.0":                             float64(1 << 63),
		"sum(two)":                               beyond,
		"sum(levels)":                            int64(3),
		"sum(levels, # * most)":                  beyond,
		"sum(levels, # * 10)":                    int64(30),
		"sum(none)":                              int64(0),
		"reduce(two, #acc + #)":                  beyond,
		"map(mixed, # * 2)":                      beyond,
		"map(levels, # * 2)":                     []any{int64(2), int64(4)},
		"int(1e19)":                              beyond,
		"int(-9.3e18)":                           beyond,
		"int(1e18)":                              int64(1e18),
		"int(1 / 0)":                             "has no value",
		"1 / 0 > 5":                              "has no value",
		"7 / 2":                                  3.5,
		"bitshl(1, 70)":                          beyond,
		"bitshl(1, 63)":                          beyond,
		"bitshl(1, 62)":                          int64(1 << 62),
		"bitshl(0, 70)":                          int64(0),
		"bitshl(-1, 63)":                         int64(math.MinInt64),
		"bitshl(1, -1)":                          beyond,
		"duration('1h') * 10000000":              beyond,
		"duration('1h') * 2":                     "2h0m0s",
		"mean([])":                               "empty list",
		"mean(none)":                             "empty list",
		"median(none)":                           "empty list",
		"min(none)":                              "empty list",
		"max(none)":                              "empty list",
		"max(levels)":                            int64(2),
		"mean(levels)":                           1.5,
		"-1..9223372036854775807":                "more than 1000000 values",
		"len(0..9223372036854775807)":            "more than 1000000 values",
		"1..3":                                   []any{int64(1), int64(2), int64(3)},
		"5 // 2":                                 "begins a comment",
		"5 /* half */ + 1":                       "a comment",
		"'http://x' + `//`":                      "http://x//",
		"017":                                    "begins with a zero",
		"levels[0] + 08":                         "begins with a zero",
		"0o17 + 0x1F + 0b11 + 1_000 + 10":        int64(15 + 31 + 3 + 1000 + 10),
		"0.5 + 1.05":                             1.55,
		"'a' + 'b'":                              "ab",
		"let x = most; x + 1":                    beyond,
		"most > 0 ? most + 1 : 0":                beyond,
		"join(map(levels, string(# + 1)), ',')":  "2,3",
	} {
		got, err := evaluate(text, names)
		reason, _ := want.(string)
		if err != nil {
			if reason == "" || !strings.Contains(err.Msg, reason) || err.Pos.Col < 4 || err.Pos.Col > len(text)+5 {
				t.Errorf("%s: %v", text, err)
			}
		} else if !reflect.DeepEqual(got, want) {
			t.Errorf("%s = %#v, want %v", text, got, want)
		}
	}
}

// Sums, differences and products are exact or errors.
func TestArithmetic(t *testing.T) {
	edge := rapid.OneOf(rapid.Int64(), rapid.SampledFrom([]int64{0, 1, -1, 2, math.MaxInt64, math.MinInt64, math.MinInt64 + 1, 1 << 31, 1 << 32, -1 << 32, 3037000499, 3037000500}))
	rapid.Check(t, func(t *rapid.T) {
		a, b := edge.Draw(t, "a"), edge.Draw(t, "b")
		operator := rapid.SampledFrom([]string{"+", "-", "*"}).Draw(t, "operator")
		exact := map[string]func(x, y *big.Int) *big.Int{"+": new(big.Int).Add, "-": new(big.Int).Sub, "*": new(big.Int).Mul}[operator](big.NewInt(a), big.NewInt(b))
		got, err := evaluate("a "+operator+" b", map[string]any{"a": a, "b": b})
		if exact.IsInt64() != (err == nil) || err == nil && got != exact.Int64() {
			t.Fatalf("%d %s %d is %v: %v", a, operator, b, got, err)
		}
	})
}
