package source

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func TestNearest(t *testing.T) {
	known := []string{"needs", "during", "matrix", "with", "uses", "levels", "replicates"}
	for word, want := range map[string]string{
		"nedds": "needs", "neds": "needs", "Needs": "needs", "wiht": "with", "levles": "levels",
		"replicate": "replicates", "zebra": "", "": "", "x": "", "use": "uses",
	} {
		if got := Nearest(word, known); got != want {
			t.Errorf("Nearest(%q) = %q, want %q", word, got, want)
		}
	}
}

// An edit distance is zero for equal words only, symmetric, and at most the
// longer length.
func TestDistance(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a := rapid.StringOfN(rapid.RuneFrom([]rune("abé")), 0, 8, -1).Draw(t, "a")
		b := rapid.StringOfN(rapid.RuneFrom([]rune("abé")), 0, 8, -1).Draw(t, "b")
		d := distance(a, b)
		if (d == 0) != (a == b) || d != distance(b, a) || d > max(len([]rune(a)), len([]rune(b))) {
			t.Fatalf("distance(%q, %q) = %d, back %d", a, b, d, distance(b, a))
		}
		i := rapid.IntRange(0, len([]rune(a))).Draw(t, "i")
		r := []rune(a)
		if one := distance(a, string(r[:i])+"x"+string(r[i:])); one != 1 {
			t.Fatalf("distance of one insertion into %q at %d is %d", a, i, one)
		}
	})
}

func TestErrorsAs(t *testing.T) {
	if err := (Errors{}).Err(); err != nil {
		t.Errorf("no errors: %v", err)
	}
	a := &Error{Pos: Pos{"f", 2, 1}, Msg: "b"}
	b := &Error{Pos: Pos{"f", 1, 9}, Msg: "a"}
	err := Errors{a, b, a}.Err()
	if got, want := err.Error(), "f:1:9: a\nf:2:1: b"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	var one *Error
	if !errors.As(fmt.Errorf("load: %w", err), &one) || one != b {
		t.Errorf("As finds %v", one)
	}
}

// Of a line too long to read, an error shows what stands around its column.
func TestLongLine(t *testing.T) {
	for _, before := range []int{0, 5, 119, 120, 121, 5000, 10_000} {
		source := strings.Repeat("é", before) + "X" + strings.Repeat("é", 10_000-before)
		lines := strings.Split((&Error{Pos: Pos{"f", 1, before + 1}, Msg: "m", Source: source}).Error(), "\n")
		shown, caret := []rune(lines[1]), []rune(lines[2])
		if len(shown) > 300 || len(caret) > len(shown) || caret[len(caret)-1] != '^' || shown[len(caret)-1] != 'X' {
			t.Errorf("column %d:\n%s", before+1, strings.Join(lines, "\n"))
		}
	}
}

// offset finds each character of a value where the file has it.
func TestOffset(t *testing.T) {
	for name, text := range map[string]string{
		"plain":               "a: one MARK",
		"plain, folded":       "a: one\n  two\n\n  MARK",
		"plain, anchored":     "a: &x !!str one MARK",
		"single quotes":       "a: 'it''s ''MARK'''",
		"double quotes":       `a: "\x41\u00e9\U0001F600\n\"\\ MARK"`,
		"double, folded":      "a: \"one \\\n   two\n\n   three MARK\"",
		"literal":             "a: |\n  one\n    two\n\n  MARK",
		"literal, indented":   "a: |2-\n    one\n  MARK",
		"folded":              "a: >-\n  one\n  two\n\n  three MARK",
		"flow":                "a: {b: [x, \"é MARK\"]}",
		"other line breaks":   "a: one\r\nb: two\r\nc: \"x MARK\"",
		"after a byte order":  "\uFEFFa: MARK",
		"at the beginning":    "a: 'MARK'",
		"wide characters":     "\"日本\": 日本 MARK",
		"literal, in a list":  "a:\n  - |\n    one\n    MARK",
		"literal, with a tab": "a: |\n  one\n  x\tMARK",
	} {
		t.Run(name, func(t *testing.T) {
			doc, bad := Parse("f", []byte(text))
			if bad != nil {
				t.Fatal(bad)
			}
			var found bool
			var walk func(n *Node)
			walk = func(n *Node) {
				for _, p := range n.Pairs {
					walk(p.Val)
				}
				for _, i := range n.Items {
					walk(i)
				}
				s, _ := n.Val.(string)
				at := strings.Index(s, "MARK")
				if at < 0 {
					return
				}
				found = true
				p := n.Offset(at)
				line := []rune(doc.text.lines[p.Line-1])
				if got := string(line[min(p.Col-1, len(line)):]); !strings.HasPrefix(got, "MARK") {
					t.Errorf("%d:%d is %q", p.Line, p.Col, got)
				}
			}
			walk(doc)
			if !found {
				t.Error("no MARK in a value")
			}
		})
	}
}
