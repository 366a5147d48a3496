package script

import (
	"crypto/sha256"
	"fmt"
	"go/ast"
	"go/types"
	"strings"
)

// Keys returns for each cell a digest of all that can decide what it does: its
// code, the functions and globals of the file, the inputs if it asks for any, and
// the cells before it that it shares a variable with, since those may have
// changed it. Cells of equal keys do the same; the reverse need not hold.
func (s *Source) Keys(inputs string) []string {
	const verdicts = "verdicts" // what nb remembers between calls
	shared := make([]map[any]bool, len(s.Cells))
	asks := make([]bool, len(s.Cells))
	for i := range shared {
		shared[i] = map[any]bool{}
	}
	note := func(id *ast.Ident, o types.Object) {
		if o == nil {
			return
		}
		i := s.Part(s.position(id.Pos()).Line)
		switch o := o.(type) {
		case *types.Var:
			if !o.IsField() && o.Pkg() != nil && o.Pkg().Name() == "main" {
				shared[i][o] = true
			}
		case *types.PkgName:
			asks[i] = asks[i] || strings.HasSuffix(o.Imported().Path(), "/nb")
		case *types.Func:
			if o.Name() == "Verdict" || o.Name() == "Verdicts" {
				shared[i][verdicts] = true
			}
		}
	}
	ast.Inspect(s.file, func(n ast.Node) bool {
		if id, ok := n.(*ast.Ident); ok {
			note(id, s.info.Defs[id])
			note(id, s.info.Uses[id])
		}
		return true
	})

	first, last := mainLines(string(s.Text))
	lines := strings.Split(string(s.Text), "\n")
	around := strings.Join(lines[:first], "\n") + strings.Join(lines[min(last, len(lines)):], "\n")
	keys := make([]string, len(s.Cells))
	for i := range s.Cells {
		h := sha256.New()
		_, code := s.Split(i)
		fmt.Fprintf(h, "%q %q", code, around)
		if asks[i] {
			fmt.Fprintf(h, " %q", inputs)
		}
		for j := range i {
			for o := range shared[i] {
				if shared[j][o] {
					fmt.Fprintf(h, " %s", keys[j])
					break
				}
			}
		}
		keys[i] = fmt.Sprintf("%x", h.Sum(nil))
	}
	return keys
}
