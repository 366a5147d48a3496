package script

import (
	"go/ast"
	"go/constant"
	"go/types"
	"slices"
	"strings"

	"barograph/stages/notebook/symbols"
)

// A surprise is what a compiled package does unlike the textbook: a function, or a
// method, by its package, its type and its name.
type surprise struct {
	why, instead string
	// unless tells of a call that it does not concern; nil for none.
	unless func(t *trapper, call *ast.CallExpr) bool
}

// Paths of the packages that surprise.
const (
	gonumStat = "gonum.org/v1/gonum/stat."
	plotters  = "gonum.org/v1/plot/plotter."
	frames    = "github.com/go-gota/gota/dataframe."
	columns   = "github.com/go-gota/gota/series."
)

const (
	weighted  = "with weights that sum to 1 it is infinite or NaN"
	quartiles = "its quartiles of 1, 2, 3 are 1 and 2.5"
	unequal   = "eleven tenths in ten bins leave two empty, and equal values have one bin"
	unknown   = "what is neither float64, int, bool nor string becomes NaN with no error"
	cuts      = "it cuts floats where the column is of whole numbers"
	decimals  = "it writes floats with six decimals: 123e-9 becomes 0.000000"
	ranks     = "it is a rank off: the quartile of 1, 2, 3 is 1"
	position  = "it ignores or keeps NaN by its position"
	boxes     = "nb.BoxOf(values, stats.Linear, 1.5), which figure.Boxes draws"
	bins      = "nb.Histogram(values, nb.Edges(low, high, bins)), which figure.Bars draws"
	quantile  = "nb.Quantile(values, q, stats.Linear)"
	column    = "nb.Column(name, values)"
)

// surprises lists them. A test shows each of the library's version here.
var surprises = map[string]surprise{
	gonumStat + "Quantile": {why: "it is one rank high for some shares: 0.07 of 1 to 100 is 8", instead: quantile},
	gonumStat + "Kendall":  {why: "it counts ties as increases, and depends on the order of rows", instead: "nb.KendallTauB(x, y)"},
	gonumStat + "StdDev":   {why: weighted, instead: "nb.Deviation(values, weights)", unless: unweighted},
	gonumStat + "Variance": {why: weighted, instead: "nb.Deviation(values, weights), squared", unless: unweighted},
	gonumStat + "MeanStdDev": {why: weighted, instead: "stat.Mean and nb.Deviation(values, weights)",
		unless: unweighted},
	gonumStat + "MeanVariance": {why: weighted, instead: "stat.Mean and nb.Deviation(values, weights), squared",
		unless: unweighted},
	gonumStat + "Covariance": {why: weighted, instead: "stat.Correlation and nb.Deviation", unless: unweighted},
	gonumStat + "Skew":       {why: weighted, instead: "stat.Moment(3, values, weights)", unless: unweighted},
	gonumStat + "ExKurtosis": {why: weighted, instead: "stat.Moment(4, values, weights)", unless: unweighted},

	plotters + "NewBoxPlot":   {why: quartiles, instead: boxes},
	plotters + "NewQuartPlot": {why: quartiles, instead: boxes},
	plotters + "NewHist":      {why: unequal, instead: bins},
	plotters + "NewHistogram": {why: unequal, instead: bins},

	frames + "DataFrame.GroupBy":           {why: "it groups floats at six decimals, and joins text keys by _", instead: "nb.Groups(frame, columns...)"},
	frames + "DataFrame.Filter":            {why: cuts, instead: "nb.Filter(frame, column, comparison, value)"},
	frames + "DataFrame.FilterAggregation": {why: cuts, instead: "nb.Filter(frame, column, comparison, value)"},
	frames + "DataFrame.RBind":             {why: cuts, instead: "nb.Stack(frames...)"},
	frames + "DataFrame.Concat":            {why: cuts, instead: "nb.Stack(frames...)"},
	frames + "DataFrame.Describe":          {why: ranks, instead: quantile},
	frames + "DataFrame.WriteCSV":          {why: decimals, instead: "nb.Table(name, frame)"},
	frames + "DataFrame.Records":           {why: decimals, instead: "nb.Align(frame), or the columns' Float"},
	frames + "LoadStructs":                 {why: unknown, instead: "dataframe.New of " + column},

	columns + "Series.Quantile": {why: ranks, instead: quantile},
	columns + "Series.Median":   {why: "of 1, 2, 3 and a NaN it is 2.5", instead: quantile},
	columns + "Series.Min":      {why: position, instead: "nb.Range(values)"},
	columns + "Series.Max":      {why: position, instead: "nb.Range(values)"},
	columns + "Series.Compare":  {why: cuts, instead: "nb.Filter(frame, column, comparison, value)"},
	columns + "Series.Append":   {why: cuts, instead: "nb.Stack(frames...)"},
	columns + "Series.Concat":   {why: cuts, instead: "nb.Stack(frames...)"},
	columns + "New":             {why: unknown, instead: column, unless: fitting},
	columns + "Ints":            {why: unknown, instead: column, unless: fitting},
	columns + "Floats":          {why: unknown, instead: column, unless: fitting},
	columns + "Strings":         {why: unknown, instead: column, unless: fitting},
	columns + "Bools":           {why: unknown, instead: column, unless: fitting},
	columns + "Element.Set":     {why: unknown, instead: column, unless: fitting},
}

// unweighted tells whether a call's weights, its last argument, are nil.
func unweighted(t *trapper, call *ast.CallExpr) bool {
	return t.info.Types[call.Args[len(call.Args)-1]].IsNil()
}

// fitting tells whether a column is made of values that gota knows, and floats of no
// column of whole numbers.
func fitting(t *trapper, call *ast.CallExpr) bool {
	typ := t.info.Types[call.Args[0]].Type
	if s, ok := typ.(*types.Slice); ok {
		typ = s.Elem()
	}
	if named, ok := types.Unalias(typ).(*types.Named); ok {
		return named.Obj().Name() == "Series" && named.Obj().Pkg() != nil && named.Obj().Pkg().Path()+"." == columns
	}
	b, ok := types.Default(types.Unalias(typ)).(*types.Basic)
	if !ok {
		return false
	}
	switch b.Kind() {
	case types.Int, types.String, types.Bool, types.UntypedNil:
		return true
	case types.Float64:
		if len(call.Args) < 2 { // by a function for one type
			return !strings.HasSuffix(types.ExprString(call.Fun), "Ints")
		}
		as := t.info.Types[call.Args[1]].Value
		return as != nil && constant.StringVal(as) != "int"
	}
	return false
}

// name returns how surprises call a function, and how messages do.
func name(f *types.Func) (key, short string) {
	if f.Pkg() == nil {
		return "", ""
	}
	key, short = f.Pkg().Path()+".", f.Pkg().Name()+"."
	if recv := f.Signature().Recv(); recv != nil {
		t := recv.Type()
		if p, ok := t.(*types.Pointer); ok {
			t = p.Elem()
		}
		if named, ok := types.Unalias(t).(*types.Named); ok {
			key, short = key+named.Obj().Name()+".", short+named.Obj().Name()+"."
		}
	}
	return key + f.Name(), short + f.Name()
}

// call notes a call that is as the textbook has it.
func (t *trapper) call(c *ast.CallExpr) {
	fun := ast.Unparen(c.Fun)
	if s, ok := fun.(*ast.SelectorExpr); ok {
		fun = s.Sel
	}
	id, ok := fun.(*ast.Ident)
	if !ok {
		return
	}
	if f, ok := t.info.Uses[id].(*types.Func); ok && len(c.Args) > 0 {
		key, _ := name(f)
		if s := surprises[key]; s.unless != nil && s.unless(t, c) {
			t.fine[id] = true
		}
	}
}

// surprised reports the use of a function that surprises, called or not.
func (t *trapper) surprised(id *ast.Ident, f *types.Func) {
	key, short := name(f)
	if s, ok := surprises[key]; ok && !t.fine[id] {
		t.report(id, "use "+s.instead, "a notebook may not use %s: %s", short, s.why)
	}
}

// interfaces reports a method of an interface by which a surprising one could be
// called.
func (t *trapper) interfaces(i *ast.InterfaceType) {
	all, err := symbols.Types()
	if err != nil || !slices.ContainsFunc(t.pkg.Imports(), func(p *types.Package) bool { return strings.Contains(p.Path(), "/") }) {
		return // an error that the check has said, or a notebook that has nothing of theirs
	}
	for _, field := range i.Methods.List {
		for _, id := range field.Names {
			f, ok := t.info.Defs[id].(*types.Func)
			if !ok {
				continue
			}
			for key, s := range surprises {
				path, method, ok := strings.Cut(key[strings.LastIndex(key, "/")+1:], ".")
				owner, method, is := strings.Cut(method, ".")
				if !ok || !is || method != f.Name() {
					continue
				}
				p := all[key[:strings.LastIndex(key, "/")+1]+path]
				real, _, _ := types.LookupFieldOrMethod(types.NewPointer(p.Scope().Lookup(owner).Type()), true, nil, method)
				if real == nil || types.Identical(real.Type(), f.Type()) {
					t.report(id, "use "+s.instead, "%s.%s.%s could be called by this, which a notebook may not use: %s", path, owner, method, s.why)
				}
			}
		}
	}
}
