// Command generate writes package symbols: what a notebook may import.
//
// For every package of the list below it writes a table of its exported names,
// which the interpreter links to, and for all of them together types.bin, the
// types that the checker reads, and sources.txt, what their results depend on. It fails when a name can be in neither and is
// not refused by name.
//
//	go generate ./stages/notebook/symbols
package main

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"flag"
	"fmt"
	"go/format"
	"go/scanner"
	"go/token"
	"go/types"
	"io"
	"log"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"sort"
	"strings"

	"golang.org/x/tools/go/gcexportdata"
	"golang.org/x/tools/go/packages"
)

const module = "barograph"

// allowed lists the packages a notebook may import, and which of their names it
// may not use, with the reason; a name with a star refuses all variables of that
// type. A name that is generic cannot be interpreted.
var allowed = map[string]map[string]string{
	"barograph/notebooks/nb":             nil,
	"barograph/stages/figure":            nil,
	"barograph/stages/judge":             {"Load": stdin, "Read": stdin},
	"barograph/stages/judge/attribution": nil,
	"barograph/stages/stats":             nil,
	"barograph/stages/stats/law":         nil,

	"bytes":          {"Title": deprecated},
	"errors":         {"AsType": generic},
	"fmt":            nil,
	"math":           nil,
	"sort":           nil,
	"strconv":        nil,
	"strings":        {"Title": deprecated},
	"text/tabwriter": nil,
	"unicode":        {"*unicode.RangeTable": "Categories, Scripts and Properties hold it by its name"},
	"unicode/utf8":   nil,
	"image/color":    nil,
	"time": {
		// They call back from a goroutine of their own, where a panic ends the process.
		"AfterFunc": "it runs a function in a goroutine", "NewTimer": goroutine, "NewTicker": goroutine,
		"After": goroutine, "Tick": goroutine, "Timer": goroutine, "Ticker": goroutine,
		// An artefact must not depend on when it was made.
		"Now": clock, "Since": clock, "Until": clock,
	},

	"github.com/go-gota/gota/dataframe": nil,
	"github.com/go-gota/gota/series":    nil,

	"gonum.org/v1/gonum/floats": {"Reverse": deprecated},
	"gonum.org/v1/gonum/stat":   nil,
	"gonum.org/v1/plot":         nil,
	"gonum.org/v1/plot/font":    nil,
	"gonum.org/v1/plot/palette": nil,
	"gonum.org/v1/plot/plotter": nil,
	"gonum.org/v1/plot/text":    nil,
	"gonum.org/v1/plot/vg":      nil,
	"gonum.org/v1/plot/vg/draw": nil,
}

const (
	generic    = "the interpreter has no generic functions"
	goroutine  = "a notebook runs in one goroutine"
	deprecated = "it is deprecated"
	stdin      = "a notebook reads its inputs through nb"
	clock      = "the same data must give the same result"
)

func main() {
	log.SetFlags(0)
	log.SetPrefix("generate: ")
	out := flag.String("o", ".", "folder to write `into`")
	flag.Parse()
	if err := run(*out); err != nil {
		log.Fatal(err)
	}
}

// run writes the symbols, the types and the sums of sources into a folder.
func run(out string) error {
	paths := make([]string, 0, len(allowed))
	for p := range allowed {
		paths = append(paths, p)
	}
	sort.Strings(paths)
	pkgs, err := packages.Load(&packages.Config{
		Mode: packages.NeedName | packages.NeedTypes | packages.NeedImports | packages.NeedDeps | packages.NeedModule | packages.NeedFiles,
	}, paths...)
	if err != nil {
		return err
	}
	if packages.PrintErrors(pkgs) > 0 {
		return fmt.Errorf("the packages do not load")
	}
	if len(pkgs) != len(paths) {
		return fmt.Errorf("asked for %d packages, got %d", len(paths), len(pkgs))
	}
	sort.Slice(pkgs, func(i, j int) bool { return pkgs[i].PkgPath < pkgs[j].PkgPath })

	files := map[string][]byte{}
	var loaders bytes.Buffer
	var bundle []*types.Package
	for _, p := range pkgs {
		src, err := symbols(p.Types, allowed[p.PkgPath])
		if err != nil {
			return fmt.Errorf("%s: %w", p.PkgPath, err)
		}
		files[ident(p.PkgPath)+".go"] = src
		fmt.Fprintf(&loaders, "\t%q: %s,\n", p.PkgPath, ident(p.PkgPath))
		bundle = append(bundle, p.Types)
	}
	var b bytes.Buffer
	// Positions are left out: an empty file set knows none, and they would
	// hold the paths of this machine.
	if err := gcexportdata.WriteBundle(&b, token.NewFileSet(), bundle); err != nil {
		return err
	}
	files["types.bin"] = b.Bytes()
	if files["sources.txt"], err = sources(pkgs); err != nil {
		return err
	}
	if files["list.go"], err = format.Source([]byte(fmt.Sprintf(header+`
import "reflect"

var packages = map[string]func() map[string]reflect.Value{
%s}

var refused = map[string]map[string]string{
%s}
`, loaders.String(), refusals()))); err != nil {
		return err
	}

	old, err := filepath.Glob(filepath.Join(out, "x_*.go"))
	if err != nil {
		return err
	}
	for _, f := range old {
		if files[filepath.Base(f)] == nil {
			if err := os.Remove(f); err != nil {
				return err
			}
		}
	}
	for name, content := range files {
		if err := os.WriteFile(filepath.Join(out, name), content, 0o666); err != nil {
			return err
		}
	}
	return nil
}

const header = "// Code generated by stages/notebook/generate. DO NOT EDIT.\n\npackage symbols\n"

func refusals() string {
	var lines []string
	for p, names := range allowed {
		var l []string
		for n, why := range names {
			l = append(l, fmt.Sprintf("%q: %q,\n", n, why))
		}
		if sort.Strings(l); l != nil {
			lines = append(lines, fmt.Sprintf("%q: {\n%s},\n", p, strings.Join(l, "")))
		}
	}
	sort.Strings(lines)
	return strings.Join(lines, "")
}

// ident makes a package path a Go identifier that no package has.
func ident(pkg string) string {
	return "x_" + strings.NewReplacer("/", "_", "-", "_", ".", "_", "~", "_").Replace(pkg)
}

// symbols writes the table of a package's exported names but constants: values as
// themselves, variables by address, types as nil pointers, and for an interface a
// struct through which a notebook's type can implement it.
func symbols(p *types.Package, refused map[string]string) ([]byte, error) {
	imports := map[string]bool{"reflect": true}
	qualify := func(q *types.Package) string {
		imports[q.Path()] = true
		return q.Name()
	}
	var table, wrappers bytes.Buffer
	seen := map[string]bool{}
	for _, name := range p.Scope().Names() {
		o := p.Scope().Lookup(name)
		if !o.Exported() {
			continue
		}
		seen[name] = true
		if _, variable := o.(*types.Var); variable {
			seen[o.Type().String()] = true
			if refused[o.Type().String()] != "" {
				continue
			}
		}
		if refused[name] != "" {
			continue
		}
		value := ""
		switch o := o.(type) {
		case *types.Const: // a lowered notebook holds its value
			continue
		case *types.Func:
			if o.Signature().TypeParams().Len() > 0 {
				return nil, fmt.Errorf("%s is generic: list it as refused", name)
			}
			value = qualify(p) + "." + name
		case *types.Var:
			fmt.Fprintf(&table, "\t\t%q: reflect.ValueOf(&%s.%s).Elem(),\n", name, qualify(p), name)
			continue
		case *types.TypeName:
			if named, ok := o.Type().(*types.Named); ok && named.TypeParams().Len() > 0 {
				return nil, fmt.Errorf("%s is generic: list it as refused", name)
			}
			value = fmt.Sprintf("(*%s.%s)(nil)", qualify(p), name)
			if it, ok := o.Type().Underlying().(*types.Interface); ok {
				if !it.IsMethodSet() {
					return nil, fmt.Errorf("%s is a constraint: list it as refused", name)
				}
				wrapper := ident(p.Path()) + "_" + name
				if wrap(&wrappers, wrapper, it, qualify) {
					fmt.Fprintf(&table, "\t\t%q: reflect.ValueOf((*%s)(nil)),\n", "_"+name, wrapper)
				}
			}
		default:
			return nil, fmt.Errorf("%s is a %T, for which there is no rule", name, o)
		}
		fmt.Fprintf(&table, "\t\t%q: reflect.ValueOf(%s),\n", name, value)
	}
	for name := range refused {
		if !seen[name] {
			return nil, fmt.Errorf("%s is refused and does not exist", name)
		}
	}
	paths := make([]string, 0, len(imports))
	for i := range imports {
		paths = append(paths, fmt.Sprintf("\t%q\n", i))
	}
	sort.Strings(paths)
	return format.Source([]byte(fmt.Sprintf("%s\nimport (\n%s)\n\nfunc %s() map[string]reflect.Value {\n\treturn map[string]reflect.Value{\n%s\t}\n}\n%s",
		header, strings.Join(paths, ""), ident(p.Path()), table.String(), wrappers.String())))
}

// most is how many methods an interface may have that a notebook implements. Those
// with more are what packages hand out, such as canvases and columns of a table.
const most = 4

// wrap writes a struct that implements an interface by the functions in its
// fields. An interface with an unexported method can only be implemented in its
// own package, and gets none; nor does one of many methods.
func wrap(w io.Writer, name string, it *types.Interface, qualify types.Qualifier) bool {
	if it.NumMethods() > most {
		return false
	}
	for i := range it.NumMethods() {
		if !it.Method(i).Exported() {
			return false
		}
	}
	var fields, methods strings.Builder
	for i := range it.NumMethods() {
		m := it.Method(i)
		sign := m.Signature()
		params, args := make([]string, sign.Params().Len()), make([]string, sign.Params().Len())
		for j := range params {
			args[j] = fmt.Sprintf("a%d", j)
			typ := types.TypeString(sign.Params().At(j).Type(), qualify)
			if sign.Variadic() && j == len(params)-1 {
				params[j] = args[j] + " ..." + strings.TrimPrefix(typ, "[]")
				args[j] += "..."
			} else {
				params[j] = args[j] + " " + typ
			}
		}
		results := make([]string, sign.Results().Len())
		for j := range results {
			results[j] = types.TypeString(sign.Results().At(j).Type(), qualify)
		}
		decl := fmt.Sprintf("(%s) (%s)", strings.Join(params, ", "), strings.Join(results, ", "))
		call := fmt.Sprintf("W.W%s(%s)", m.Name(), strings.Join(args, ", "))
		if len(results) > 0 {
			call = "return " + call
		}
		if m.Name() == "String" && len(params) == 0 {
			// The interpreter wraps values that have no such method, too.
			call = "if W.WString == nil {\n return \"\"\n}\n" + call
		}
		fmt.Fprintf(&fields, "\tW%s func%s\n", m.Name(), decl)
		fmt.Fprintf(&methods, "\nfunc (W %s) %s%s {\n%s\n}\n", name, m.Name(), decl, call)
	}
	fmt.Fprintf(w, "\ntype %s struct {\n\tIValue any\n%s}\n%s", name, fields.String(), methods.String())
	return true
}

// sources lists the versions of the modules that notebooks call, and the digest of
// each file of this module that they do, comments and spaces aside. Lines stand
// apart, so that changes of several files can be merged.
func sources(roots []*packages.Package) ([]byte, error) {
	lines := map[string]bool{}
	var failed error
	packages.Visit(roots, func(p *packages.Package) bool {
		switch {
		case p.Module == nil: // the standard library: the Go version is the program's
		case p.Module.Path != module:
			lines[p.Module.Path+" "+p.Module.Version] = true
		case p.PkgPath != module+"/pipeline/cell": // the contract computes nothing
			for _, f := range p.GoFiles {
				src, err := os.ReadFile(f)
				failed = errors.Join(failed, err)
				lines[fmt.Sprintf("%s %x", path.Join(p.PkgPath, filepath.Base(f)), sha256.Sum256(tokens(src)))] = true
			}
		}
		return true
	}, nil)
	return []byte(strings.Join(slices.Sorted(maps.Keys(lines)), "\n\n") + "\n"), failed
}

// tokens is a Go source without comments and spaces.
func tokens(src []byte) []byte {
	var s scanner.Scanner
	fset := token.NewFileSet()
	s.Init(fset.AddFile("", -1, len(src)), src, nil, 0)
	var b bytes.Buffer
	for {
		_, tok, lit := s.Scan()
		if tok == token.EOF {
			return b.Bytes()
		}
		fmt.Fprintln(&b, tok, lit)
	}
}
