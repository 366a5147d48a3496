package expression

import (
	"strings"
	"testing"
	"unicode/utf8"

	"barograph/pipeline/source"
)

// FuzzScan: the parts of a string, put together again, are the string; and what
// has no expression stays as it is.
func FuzzScan(f *testing.F) {
	for _, s := range []string{
		"", "plain", "${{ a }}", "x${{ a }}y", "${{ '}}' }}", "${{ {'a': {'b': 1}} }}", "$${{ a }}",
		"${{ a", "${{}}", "${{ \"\\\"}}\" }}", "${{ `}}` }}", "$$${{ a }}", "é${{ a }}${{ b }}", "}}", "${", "${{ '", "${{ a }}}",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		parts, err := scan(s)
		if err != nil {
			if err.off < 0 || err.off > len(s) || !strings.HasPrefix(s[err.off:], "${{") {
				t.Errorf("scan(%q): error at %d: %v", s, err.off, err)
			}
			return
		}
		var again strings.Builder
		for _, p := range parts {
			if p.expr {
				if !strings.HasPrefix(s[p.off:], p.text+"}}") || !strings.HasSuffix(s[:p.off], "${{") {
					t.Errorf("scan(%q): expression %q at %d", s, p.text, p.off)
				}
				again.WriteString("${{" + p.text + "}}")
				continue
			}
			again.WriteString(strings.ReplaceAll(p.text, "${{", "$${{"))
		}
		if again.String() != s {
			t.Errorf("scan(%q) gives %q", s, again.String())
		}
	})
}

// FuzzExpression: an expression ends with a plain value or an error inside it.
func FuzzExpression(f *testing.F) {
	for _, s := range []string{
		"level * 4 * MiB", "map(levels, # + 1)", "machine.link.raw / GB", "let x = 2; x * level", "levels[9]", "1 % 0",
		"repeat('x', 100000000)", "1..100000000", "{'a': [1, nil]}", "now()", "$env", "$env['level']", "é + 1", "\"", "level ? 1 : 2", "duration('1s')",
		"levels | map(# * 2) | sum", "level in levels", "reduce(1..10, #acc + #, 0)", "9223372036854775807 + 1", "-level", "'a' matches '('",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if !utf8.ValidString(text) || strings.ContainsAny(text, "\r\n\u0085\u2028\u2029") {
			t.Skip("YAML holds it otherwise")
		}
		s := NewScope()
		s.Set("levels", []any{int64(0), int64(1)})
		s.Set("level", int64(4))
		n := source.Argument("x", "${{"+text+"}}")
		var errs source.Errors
		s.Compile(n, &errs)
		if len(errs) == 0 && !n.Bad {
			v, err := n.Value(s.Values)
			if err != nil {
				errs = append(errs, err)
			} else if _, err := plain(v); err != nil {
				t.Errorf("%s gives %#v: %v", text, v, err)
			}
		}
		for _, e := range errs {
			if e.Pos.Line != 0 || e.Pos.Col < 1 || e.Pos.Col > utf8.RuneCountInString(text)+6 {
				t.Errorf("%q: %v lies outside", text, e)
			}
		}
	})
}
