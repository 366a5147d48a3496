package notebook

import (
	"context"
	"errors"
	"fmt"
	"go/ast"
	"go/token"
	"io"
	"reflect"
	"runtime"
	"strconv"
	"strings"
	"sync/atomic"

	"barograph/notebooks/nb"
	"barograph/pipeline/cell"
	"barograph/stages/notebook/symbols"

	"github.com/traefik/yaegi/interp"
)

// Names that no notebook can have: of the package through which it says which
// cell it has come to, and of the variable that holds the position of the last
// statement it began. The interpreter shows variables that begin with a capital.
const (
	marker   = "barograph·at"
	position = "Barograph·position"
)

// interpret runs the notebook, once. Prints go to the file, cells entered to the
// function, by their index. The error holds an *[Error] or [Errors] where the
// notebook is at fault. When the context ends first the notebook is left running:
// the process must end.
func (s *Source) interpret(ctx context.Context, out io.Writer, entered func(part int)) error {
	exports := interp.Exports{}
	for _, spec := range s.file.Imports {
		path, err := strconv.Unquote(spec.Path.Value)
		if err != nil {
			return err
		}
		// The interpreter takes "fmt/fmt" for the whole standard library, and
		// then compiles sources of its own that need more of it than we give.
		exports[path+"//"+symbols.Name(path)] = symbols.Of(path)
	}
	if fmtPkg := exports["fmt//fmt"]; fmtPkg != nil {
		fmtPkg["Print"] = reflect.ValueOf(func(a ...any) (int, error) { return fmt.Fprint(out, a...) })
		fmtPkg["Printf"] = reflect.ValueOf(func(f string, a ...any) (int, error) { return fmt.Fprintf(out, f, a...) })
		fmtPkg["Println"] = reflect.ValueOf(func(a ...any) (int, error) { return fmt.Fprintln(out, a...) })
	}
	s.mark()
	var at atomic.Int64 // the cell it is in
	exports[marker+"/"+marker] = map[string]reflect.Value{
		"Part": reflect.ValueOf(func(part int) {
			at.Store(int64(part))
			entered(part)
		}),
	}
	if err := s.interp.Use(exports); err != nil {
		return fmt.Errorf("load the symbols: %w", err)
	}
	program, err := s.compile()
	if err != nil {
		return err
	}
	done := make(chan error, 1)
	go func() {
		_, err := s.interp.Execute(program)
		done <- err
	}()
	select {
	case <-ctx.Done():
		e := &Error{File: s.Name, Part: s.Cells[at.Load()].Title, Message: "the notebook was stopped", cause: context.Cause(ctx)}
		if errors.As(e.cause, new(excess)) { // else who stopped it says why
			e.Message += ": " + e.cause.Error()
		}
		return e
	case err := <-done:
		var pos token.Position
		if v := s.interp.Symbols("main")["main"][position]; v.IsValid() && v.CanInt() {
			pos = s.position(token.Pos(v.Int()))
		}
		return s.explain(err, pos)
	}
}

// compile turns a panic of the interpreter's compiler into an error.
func (s *Source) compile() (p *interp.Program, err error) {
	defer func() {
		if r := recover(); r != nil {
			err = cell.Usage(Errors{s.at(token.Position{Line: 1, Column: 1}, "the interpreter cannot compile this notebook: %v", r)})
		}
	}()
	p, err = s.interp.CompileAST(s.file)
	if err == nil {
		return p, nil
	}
	// The message begins with file:line:column.
	rest, found := strings.CutPrefix(err.Error(), s.Name+":")
	fields := strings.SplitN(rest, ":", 3)
	if found && len(fields) == 3 {
		line, lerr := strconv.Atoi(fields[0])
		col, cerr := strconv.Atoi(fields[1])
		if lerr == nil && cerr == nil {
			return nil, cell.Usage(Errors{s.at(token.Position{Line: line, Column: col}, "the interpreter: %s", strings.TrimSpace(fields[2]))})
		}
	}
	return nil, fmt.Errorf("%s: the interpreter: %w", s.Name, err)
}

// explain gives a panic its place: that of the last statement begun, which may be
// another, as [Source.certain] tells.
func (s *Source) explain(err error, at token.Position) error {
	if err == nil {
		return nil
	}
	var p interp.Panic
	if !errors.As(err, &p) {
		return fmt.Errorf("%s: %w", s.Name, err)
	}
	e := s.at(at, "")
	e.panicked = true
	switch v := p.Value.(type) {
	case *nb.Error:
		e.Message, e.cause = v.Error(), v
	case runtime.Error:
		e.Message = "panic: " + v.Error()
	case error:
		e.Message, e.cause = "panic: "+v.Error(), v
	default:
		// The interpreter indexes by reflection, and says so.
		e.Message = "panic: " + strings.TrimPrefix(fmt.Sprint(v), "reflect: ")
	}
	return e
}

// mark puts before every statement an assignment of its position, and before the
// first of a cell in main a call that says so. The interpreter's own positions of
// panics are often wrong.
func (s *Source) mark() {
	last := -1
	before := func(list []ast.Stmt, top bool) []ast.Stmt {
		marked := make([]ast.Stmt, 0, 2*len(list))
		for _, stmt := range list {
			pos := stmt.Pos()
			if part := s.Part(s.position(pos).Line); top && part > last {
				last = part
				enter := &ast.SelectorExpr{X: &ast.Ident{Name: marker, NamePos: pos}, Sel: &ast.Ident{Name: "Part", NamePos: pos}}
				marked = append(marked, &ast.ExprStmt{X: &ast.CallExpr{Fun: enter, Args: []ast.Expr{number(part, pos)}}})
			}
			marked = append(marked, &ast.AssignStmt{
				Lhs: []ast.Expr{&ast.Ident{Name: position, NamePos: pos}}, TokPos: pos, Tok: token.ASSIGN,
				Rhs: []ast.Expr{number(int(pos), pos)},
			}, stmt)
		}
		return marked
	}
	var main *ast.BlockStmt
	for _, d := range s.file.Decls {
		if f, ok := d.(*ast.FuncDecl); ok && f.Recv == nil && f.Name.Name == "main" {
			main = f.Body
		}
	}
	ast.Inspect(s.file, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.BlockStmt:
			if len(n.List) > 0 {
				switch n.List[0].(type) {
				case *ast.CaseClause, *ast.CommClause:
					return true // the body of a switch or select
				}
			}
			n.List = before(n.List, n == main)
		case *ast.CaseClause:
			n.Body = before(n.Body, false)
		case *ast.CommClause:
			n.Body = before(n.Body, false)
		}
		return true
	})
	pos := s.file.Name.End()
	s.file.Decls = append([]ast.Decl{
		&ast.GenDecl{Tok: token.IMPORT, TokPos: pos, Specs: []ast.Spec{
			&ast.ImportSpec{Path: &ast.BasicLit{Kind: token.STRING, Value: strconv.Quote(marker), ValuePos: pos}},
		}},
		&ast.GenDecl{Tok: token.VAR, TokPos: pos, Specs: []ast.Spec{
			&ast.ValueSpec{Names: []*ast.Ident{{Name: position, NamePos: pos}}, Type: &ast.Ident{Name: "int", NamePos: pos}},
		}},
	}, s.file.Decls...)
}

func number(n int, pos token.Pos) ast.Expr {
	return &ast.BasicLit{Kind: token.INT, Value: strconv.Itoa(n), ValuePos: pos}
}
