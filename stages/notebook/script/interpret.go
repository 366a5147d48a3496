package script

import (
	"context"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"go/types"
	"io"
	"maps"
	"os"
	"reflect"
	"runtime"
	"strconv"
	"strings"
	"sync/atomic"

	"barograph/notebooks/nb"
	"barograph/stages/notebook/lower"
	"barograph/stages/notebook/lower/kernel"
	"barograph/stages/notebook/symbols"

	"github.com/traefik/yaegi/interp"
)

// marker is the package through which a notebook says which cell it has come to.
const marker = "barograph.at"

// markerPackage is its types.
var markerPackage = func() *types.Package {
	p := types.NewPackage(marker, "at")
	part := types.NewTuple(types.NewParam(token.NoPos, p, "part", types.Typ[types.Int]))
	p.Scope().Insert(types.NewFunc(token.NoPos, p, "Part", types.NewSignatureType(nil, nil, nil, part, nil, false)))
	p.MarkComplete()
	return p
}()

// exported returns the exported values of a package, in the interpreter's form.
func exported(path string) map[string]reflect.Value {
	if path == marker {
		return map[string]reflect.Value{}
	}
	return symbols.Of(path)
}

// Interpret runs the notebook, once. Prints go to the file, cells entered to the
// function, by their index. The error holds an *[Error] or [Errors] where the
// notebook is at fault. When the context ends first the notebook is left running:
// the process must end.
func (s *Source) Interpret(ctx context.Context, out io.Writer, entered func(part int)) error {
	exports := interp.Exports{lower.Kernel + "/h": s.program.Exports}
	var at atomic.Int64 // the cell it is in
	for _, path := range s.program.Imports {
		values := exported(path)
		name := symbols.Name(path)
		switch path {
		case marker:
			name = "at"
			values["Part"] = reflect.ValueOf(func(part int) {
				at.Store(int64(part))
				entered(part)
			})
		case "fmt":
			maps.Copy(values, kernel.Fmt(out))
		}
		// The interpreter takes "fmt/fmt" for the whole standard library, and
		// then compiles sources of its own that need more of it than we give.
		exports[path+"//"+name] = values
	}
	i := interp.New(interp.Options{Stdin: strings.NewReader(""), Stdout: os.Stderr, Stderr: io.Discard})
	if err := i.Use(exports); err != nil {
		return fmt.Errorf("load the symbols: %w", err)
	}
	program, err := s.compile(i)
	if err != nil {
		return err
	}
	done := make(chan error, 1)
	go func() {
		_, err := i.Execute(program)
		done <- err
	}()
	select {
	case <-ctx.Done():
		e := &Error{File: s.Name, Part: s.Cells[at.Load()].Title, Message: "the notebook was stopped", cause: context.Cause(ctx)}
		if errors.As(e.cause, new(Excess)) { // else who stopped it says why
			e.Message += ": " + e.cause.Error()
		}
		return e
	case err := <-done:
		var pos token.Position
		if p := s.program.Failed(); p.IsValid() {
			pos = s.position(p)
		} else if v := i.Symbols("main")["main"][lower.Position]; v.IsValid() && v.CanInt() {
			pos = s.position(token.Pos(v.Int()))
		}
		return s.explain(err, pos)
	}
}

// compile gives the lowered notebook to the interpreter. What it refuses there is
// this program's fault.
func (s *Source) compile(i *interp.Interpreter) (p *interp.Program, err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("%s: the interpreter cannot compile what this notebook was lowered to: %v", s.Name, r)
		}
	}()
	file, err := parser.ParseFile(i.FileSet(), "lowered", s.program.Text, parser.SkipObjectResolution)
	if err == nil {
		p, err = i.CompileAST(file)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: the interpreter cannot compile what this notebook was lowered to: %w", s.Name, err)
	}
	return p, nil
}

// explain gives a panic its place: the statement, or in one of several lines the
// line, that was being done.
func (s *Source) explain(err error, at token.Position) error {
	if err == nil {
		return nil
	}
	var p interp.Panic
	if !errors.As(err, &p) {
		return fmt.Errorf("%s: %w", s.Name, err)
	}
	e := s.at(s.statement(at), "")
	switch v := kernel.Recovered(p.Value).(type) {
	case *nb.Error:
		e.Message, e.cause = v.Error(), v
	case runtime.Error:
		e.Message = "panic: " + v.Error()
	case error:
		e.Message, e.cause = "panic: "+v.Error(), v
	default:
		e.Message = "panic: " + fmt.Sprint(v)
	}
	return e
}

// statement returns where the innermost statement that holds a position begins, if
// that is in the same line; else where the line does.
func (s *Source) statement(at token.Position) token.Position {
	if !at.IsValid() {
		return at
	}
	start := s.lineStart(at.Line)
	pos := s.fset.File(s.file.FileStart).Pos(at.Offset)
	ast.Inspect(s.file, func(n ast.Node) bool {
		if n == nil || n.Pos() > pos || n.End() < pos {
			return false
		}
		switch n.(type) {
		case *ast.BlockStmt:
		case ast.Stmt:
			if p := s.position(n.Pos()); p.Line == at.Line {
				start = p
			}
		}
		return true
	})
	return start
}

// mark puts before the first statement of each cell in main a call that says so.
func (s *Source) mark() {
	last := -1
	for _, d := range s.file.Decls {
		f, ok := d.(*ast.FuncDecl)
		if !ok || f.Recv != nil || f.Name.Name != "main" || f.Body == nil {
			continue
		}
		marked := make([]ast.Stmt, 0, len(f.Body.List)+len(s.Cells))
		for _, stmt := range f.Body.List {
			pos := stmt.Pos()
			if part := s.Part(s.position(pos).Line); part > last {
				last = part
				enter := &ast.SelectorExpr{X: &ast.Ident{Name: markerName, NamePos: pos}, Sel: &ast.Ident{Name: "Part", NamePos: pos}}
				number := &ast.BasicLit{Kind: token.INT, Value: strconv.Itoa(part), ValuePos: pos}
				marked = append(marked, &ast.ExprStmt{X: &ast.CallExpr{Fun: enter, Lparen: pos, Args: []ast.Expr{number}, Rparen: pos}})
			}
			marked = append(marked, stmt)
		}
		f.Body.List = marked
	}
	if last < 0 {
		return
	}
	pos := s.file.Name.End()
	imports := &ast.ImportSpec{Name: &ast.Ident{Name: markerName, NamePos: pos}, Path: &ast.BasicLit{Kind: token.STRING, Value: strconv.Quote(marker), ValuePos: pos}}
	s.file.Decls = append([]ast.Decl{&ast.GenDecl{Tok: token.IMPORT, TokPos: pos, Specs: []ast.Spec{imports}}}, s.file.Decls...)
	s.file.Imports = append(s.file.Imports, imports)
}

// markerName is what no notebook can call anything.
const markerName = "barograph·at"

// An Excess is why a notebook may not go on.
type Excess string

func (e Excess) Error() string { return string(e) }
