package notebook

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"barograph/pipeline/cell"
)

// The interpreter tells a panic's place by the last statement that the notebook
// began. That is it, unless something that is no statement ran since: the rest
// of a statement that spans lines or has called one of the notebook's own
// functions, the head of a loop, what was deferred. Then the compiler's program
// is asked, which knows.

// panicFile holds, in a notebook's private folder, a panic whose place is in
// doubt.
const panicFile = "panic.json"

// A doubt is a panic of the interpreter's whose place may be another.
type doubt struct {
	Line, Col     int // 0 where not even a guess is known
	Message, Hint string
}

// A Guess is an error of the interpreter's whose place may be another.
type Guess struct {
	error
	doubt
}

func (g *Guess) Unwrap() error { return g.error }

// doubted makes an error a guess where the process has left a doubt.
func (p *Process) doubted(err error) error {
	b, rerr := os.ReadFile(filepath.Join(p.Dir, private, panicFile))
	if rerr != nil {
		return err
	}
	g := &Guess{error: err}
	if json.Unmarshal(b, &g.doubt) != nil {
		return err
	}
	return g
}

// note leaves word of a panic whose place is in doubt.
func (s *Source) note(err error) error {
	var e *Error
	if !errors.As(err, &e) || !e.panicked || s.certain(e.Line, e.Col) {
		return err
	}
	b, jerr := json.Marshal(doubt{Line: e.Line, Col: e.Col, Message: e.Message, Hint: cell.HintOf(e.cause)})
	if jerr == nil {
		jerr = os.WriteFile(filepath.Join(private, panicFile), b, 0o666)
	}
	return errors.Join(err, jerr)
}

// patience bounds how long the compiler may take to tell a place.
const patience = time.Minute

// Locate gives a Guess its true place, by the compiled notebook, confined as the
// interpreted one was; where there is no compiler the error says that its place
// is the interpreter's. Other errors are returned as they are.
func Locate(ctx context.Context, spec *cell.Spec, dir string, err error) error {
	var g *Guess
	if !errors.As(err, &g) || ctx.Err() != nil {
		return err
	}
	limited, stop := context.WithTimeoutCause(ctx, patience, fmt.Errorf("no end after %v", patience))
	defer stop()
	found, why := trace(limited, spec, dir)
	if found == nil {
		doubt := "the place is the interpreter's, and may be wrong"
		if g.Line == 0 {
			doubt = "its place is not known"
		}
		return hinted(fmt.Errorf("%w\n  %s: %w", g.error, doubt, why))
	}
	if !strings.HasPrefix(g.Message, "panic: ") { // the compiler knows panics better, but not nb's errors
		found.Message = g.Message
	}
	if found.Line == g.Line {
		found.Col = g.Col
	}
	if g.Hint == "" {
		return found
	}
	return cell.Hint(found, "%s", g.Hint)
}

// trace returns where the compiled notebook panics, or why that is not known.
func trace(ctx context.Context, spec *cell.Spec, dir string) (*Error, error) {
	if _, err := exec.LookPath("go"); err != nil {
		return nil, errors.New("there is no Go command to tell")
	}
	aside, err := os.MkdirTemp("", "barograph-panic-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(aside)
	for _, name := range spec.Files { // which stand in the notebook's folder
		path, err := filepath.Abs(filepath.Join(dir, name))
		if err == nil {
			err = os.MkdirAll(filepath.Dir(filepath.Join(aside, name)), 0o777)
		}
		if err == nil {
			err = os.Symlink(path, filepath.Join(aside, name))
		}
		if err != nil {
			return nil, err
		}
	}
	err = compile(ctx, spec, aside, io.Discard)
	var e *Error
	switch {
	case errors.As(err, &e) && e.panicked:
		return e, nil
	case err == nil:
		return nil, errors.New("compiled, the notebook does not panic")
	case ctx.Err() != nil:
		return nil, fmt.Errorf("compiled, %w", context.Cause(ctx))
	case errors.As(err, new(*buildError)):
		return nil, errors.New("the Go command cannot compile it here")
	}
	return nil, err
}

// certain tells whether a panic after the statement at a place was begun, and
// before another, must be at that place.
func (s *Source) certain(line, col int) bool {
	fset := token.NewFileSet()
	// The file of s holds marks.
	file, err := parser.ParseFile(fset, "", s.Text, parser.SkipObjectResolution)
	if err != nil {
		return false
	}
	single := func(from, to token.Pos) bool { return fset.Position(from).Line == fset.Position(to).Line }
	sure := false
	within := func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.FuncLit:
			return false // it may return into a statement that goes on
		case *ast.ForStmt:
			if !harmless(n.Cond) || !harmless(n.Post) {
				return false // its head runs after its body
			}
		case ast.Stmt:
			at := fset.Position(n.Pos())
			if at.Line != line || at.Column != col {
				return true
			}
			switch n := n.(type) {
			case *ast.IfStmt:
				sure = n.Else == nil && single(n.Pos(), n.Body.Lbrace)
			case *ast.RangeStmt:
				sure = single(n.Pos(), n.Body.Lbrace)
			case *ast.SwitchStmt, *ast.TypeSwitchStmt, *ast.SelectStmt, *ast.LabeledStmt, *ast.BlockStmt:
			default:
				sure = single(n.Pos(), n.End())
			}
		}
		return true
	}
	deferred := false
	for _, d := range file.Decls {
		if f, ok := d.(*ast.FuncDecl); ok && f.Recv == nil && f.Name.Name == "main" && f.Body != nil {
			ast.Inspect(f.Body, within)
			ast.Inspect(f.Body, func(n ast.Node) bool {
				_, is := n.(*ast.DeferStmt)
				deferred = deferred || is
				return true
			})
		}
	}
	return sure && !deferred
}

// harmless tells whether a part of a loop's head can be seen not to panic.
func harmless(n ast.Node) bool {
	ok := true
	if n == nil {
		return ok
	}
	ast.Inspect(n, func(n ast.Node) bool {
		switch n := n.(type) {
		case nil, *ast.Ident, *ast.BasicLit, *ast.ParenExpr, *ast.IncDecStmt:
		case *ast.BinaryExpr:
			ok = ok && n.Op != token.QUO && n.Op != token.REM
		case *ast.CallExpr:
			f, is := n.Fun.(*ast.Ident)
			ok = ok && is && f.Name == "len"
		default:
			ok = false
		}
		return ok
	})
	return ok
}
