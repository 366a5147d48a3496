package script_test

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"barograph/pipeline/cell"
	"barograph/stages/notebook/script"

	"github.com/go-gota/gota/dataframe"
	"github.com/go-gota/gota/series"
	"gonum.org/v1/gonum/stat"
	"gonum.org/v1/plot/plotter"
)

// What surprises: what a library's version here does, and what a reader of a
// textbook expects. When they are one, the library has changed, and what is refused
// can be allowed.
var shown = map[string]func() (got, textbook any){
	"stat.Quantile": func() (any, any) {
		x := make([]float64, 100)
		for i := range x {
			x[i] = float64(i + 1)
		}
		return stat.Quantile(0.07, stat.Empirical, x, nil), 7.0
	},
	"stat.Kendall": func() (any, any) {
		x, y := []float64{1, 1, 1}, []float64{1, 2, 3}
		slices.Reverse(x)
		return stat.Kendall(x, y, nil), 0.0
	},
	"stat.StdDev":     func() (any, any) { return stat.StdDev(four, quarters), math.Sqrt(8.75 / 3) },
	"stat.Variance":   func() (any, any) { return stat.Variance(four, quarters), 8.75 / 3 },
	"stat.Covariance": func() (any, any) { return stat.Covariance(four, four, quarters), 8.75 / 3 },
	"stat.Skew":       func() (any, any) { return fmt.Sprint(stat.Skew(four, quarters)), fmt.Sprint(stat.Skew(four, nil)) },
	"stat.ExKurtosis": func() (any, any) {
		return fmt.Sprint(stat.ExKurtosis(four, quarters)), fmt.Sprint(stat.ExKurtosis(four, nil))
	},
	"stat.MeanStdDev":   func() (any, any) { _, s := stat.MeanStdDev(four, quarters); return s, math.Sqrt(8.75 / 3) },
	"stat.MeanVariance": func() (any, any) { _, v := stat.MeanVariance(four, quarters); return v, 8.75 / 3 },

	"plotter.NewBoxPlot": func() (any, any) {
		b, _ := plotter.NewBoxPlot(1, 0, plotter.Values{1, 2, 3})
		return b.Quartile1, 1.5
	},
	"plotter.NewQuartPlot": func() (any, any) {
		q, _ := plotter.NewQuartPlot(0, plotter.Values{1, 2, 3})
		return q.Quartile1, 1.5
	},
	"plotter.NewHist": func() (any, any) {
		h, _ := plotter.NewHist(plotter.Values{2, 2, 2}, 10)
		return len(h.Bins), 10
	},
	"plotter.NewHistogram": func() (any, any) {
		var points plotter.XYs
		for i := range 11 {
			points = append(points, plotter.XY{X: float64(i) / 10, Y: 1})
		}
		h, _ := plotter.NewHistogram(points, 10)
		empty := 0
		for _, b := range h.Bins {
			if b.Weight == 0 {
				empty++
			}
		}
		return empty, 0
	},

	"dataframe.DataFrame.GroupBy": func() (any, any) {
		return len(dataframe.New(floats(1e-9, 20e-9, 300e-9)).GroupBy("x").GetGroups()), 3
	},
	"dataframe.DataFrame.Filter": func() (any, any) {
		return dataframe.New(ints(1, 2, 3)).Filter(dataframe.F{Colname: "x", Comparator: series.Less, Comparando: 2.5}).Nrow(), 2
	},
	"dataframe.DataFrame.FilterAggregation": func() (any, any) {
		f := dataframe.F{Colname: "x", Comparator: series.Less, Comparando: 2.5}
		return dataframe.New(ints(1, 2, 3)).FilterAggregation(dataframe.And, f).Nrow(), 2
	},
	"dataframe.DataFrame.RBind": func() (any, any) {
		return dataframe.New(ints(1)).RBind(dataframe.New(floats(1.5))).Col("x").Float()[1], 1.5
	},
	"dataframe.DataFrame.Concat": func() (any, any) {
		return dataframe.New(ints(1)).Concat(dataframe.New(floats(1.5))).Col("x").Float()[1], 1.5
	},
	"dataframe.DataFrame.Describe": func() (any, any) { return dataframe.New(floats(1, 2, 3)).Describe().Col("x").Float()[4], 1.5 },
	"dataframe.DataFrame.WriteCSV": func() (any, any) {
		var b strings.Builder
		err := dataframe.New(floats(123e-9)).WriteCSV(&b)
		return fmt.Sprint(b.String(), err), "x\n1.23e-07\n<nil>"
	},
	"dataframe.DataFrame.Records": func() (any, any) { return dataframe.New(floats(123e-9)).Records()[1][0], "1.23e-07" },
	"dataframe.LoadStructs": func() (any, any) {
		return fmt.Sprint(dataframe.LoadStructs([]struct{ A int64 }{{5}}).Col("A")), "[5]"
	},

	"series.Series.Quantile": func() (any, any) { return floats(1, 2, 3).Quantile(0.25), 1.5 },
	"series.Series.Median":   func() (any, any) { return floats(math.NaN(), 1, 2, 3).Median(), 2.0 },
	"series.Series.Min": func() (any, any) {
		return fmt.Sprint(floats(math.NaN(), 1, 2).Min()), fmt.Sprint(floats(1, 2, math.NaN()).Min())
	},
	"series.Series.Max": func() (any, any) {
		return fmt.Sprint(floats(math.NaN(), 1, 2).Max()), fmt.Sprint(floats(1, 2, math.NaN()).Max())
	},
	"series.Series.Compare": func() (any, any) { return fmt.Sprint(ints(1).Compare(series.Eq, 1.5)), "[false]" },
	"series.Series.Append": func() (any, any) {
		s := ints(1)
		s.Append([]float64{1.7})
		return fmt.Sprint(s), "[1 1.7]"
	},
	"series.Series.Concat": func() (any, any) { return ints(1).Concat(floats(1.7)).Float()[1], 1.7 },
	"series.New":           func() (any, any) { return fmt.Sprint(series.New([]int64{5}, series.Int, "x")), "[5]" },
	"series.Ints":          func() (any, any) { return fmt.Sprint(series.Ints([]int64{5})), "[5]" },
	"series.Floats":        func() (any, any) { return fmt.Sprint(series.Floats([]float32{5}).Float()[0]), "5" },
	"series.Strings":       func() (any, any) { return fmt.Sprint(series.Strings([]int64{5})), "[5]" },
	"series.Bools":         func() (any, any) { return fmt.Sprint(series.Bools([]int64{1})), "[true]" },
	"series.Element.Set": func() (any, any) {
		s := ints(1)
		s.Elem(0).Set(int64(5))
		return fmt.Sprint(s), "[5]"
	},
}

var four, quarters = []float64{1, 2, 3, 5}, []float64{0.25, 0.25, 0.25, 0.25}

func floats(v ...float64) series.Series { return series.New(v, series.Float, "x") }

func ints(v ...int) series.Series { return series.New(v, series.Int, "x") }

// TestSurprises shows every function that is refused for what it does.
func TestSurprises(t *testing.T) {
	for _, key := range script.Surprises() {
		name := key[strings.LastIndex(key, "/")+1:]
		show := shown[name]
		if show == nil {
			t.Errorf("nothing shows what %s does", name)
			continue
		}
		if got, textbook := show(); got == textbook {
			t.Errorf("%s gives %v, as the textbook: it need not be refused", name, got)
		}
		delete(shown, name)
	}
	for name := range shown {
		t.Errorf("%s is shown and not refused", name)
	}
}

// TestSurprising wants every way to a function that surprises to be refused, and
// what to use instead named; and the calls that do as a textbook says to be let be.
func TestSurprising(t *testing.T) {
	notebook := func(statement string) string {
		text := "package main\n\n"
		for name, path := range map[string]string{
			"stat": "gonum.org/v1/gonum/stat", "plotter": "gonum.org/v1/plot/plotter", "nb": "barograph/notebooks/nb",
			"dataframe": "github.com/go-gota/gota/dataframe", "series": "github.com/go-gota/gota/series",
		} {
			if strings.Contains(statement, name+".") {
				text += fmt.Sprintf("import %q\n", path)
			}
		}
		declarations, body, found := strings.Cut(statement, "\n---\n")
		if !found {
			declarations, body = "", statement
		}
		return text + declarations + "\nfunc main() {\n\t" + body + "\n}\n"
	}
	for statement, want := range map[string]string{
		"_ = stat.Quantile(0.5, stat.LinInterp, []float64{1}, nil)":                                                               "stat.Quantile|nb.Quantile(",
		"f := stat.Quantile\n\t_ = f":                                                                                             "stat.Quantile|nb.Quantile(",
		"var f = map[string]any{`q`: stat.Kendall}\n\t_ = f":                                                                      "stat.Kendall|nb.KendallTauB(",
		"_ = stat.StdDev([]float64{1}, []float64{1})":                                                                             "stat.StdDev|nb.Deviation(",
		"var w []float64\n\t_ = stat.Variance([]float64{1}, w)":                                                                   "stat.Variance|nb.Deviation(",
		"f := stat.StdDev\n\t_ = f(nil, nil)":                                                                                     "stat.StdDev|nb.Deviation(",
		"for _, f := range []func(a, b []float64) float64{stat.Skew, stat.ExKurtosis} {\n_ = f\n}":                                "stat.Skew|stat.Moment(3",
		"_, _ = plotter.NewBoxPlot(1, 0, plotter.Values{1})":                                                                      "plotter.NewBoxPlot|nb.BoxOf(",
		"_, _ = plotter.NewHist(plotter.Values{1}, 3)":                                                                            "plotter.NewHist|nb.Histogram(",
		"_ = nb.Frame(`x.csv`).GroupBy(`a`)":                                                                                      "dataframe.DataFrame.GroupBy|nb.Groups(",
		"group := nb.Frame(`x.csv`).GroupBy\n\t_ = group":                                                                         "dataframe.DataFrame.GroupBy|nb.Groups(",
		"group := dataframe.DataFrame.GroupBy\n\t_ = group":                                                                       "dataframe.DataFrame.GroupBy|nb.Groups(",
		"type table = dataframe.DataFrame\n---\nvar t table\n\t_ = t.RBind(t)":                                                    "dataframe.DataFrame.RBind|nb.Stack(",
		"type table struct{ dataframe.DataFrame }\n---\nvar t table\n\t_ = t.Describe()":                                          "dataframe.DataFrame.Describe|nb.Quantile(",
		"type table struct{ *dataframe.DataFrame }\n---\nvar t table\n\tf := t.Filter\n\t_ = f":                                   "dataframe.DataFrame.Filter|nb.Filter(",
		"type grouper interface{ GroupBy(columns ...string) *dataframe.Groups }\n---\nvar g grouper = nb.Frame(`a`)\n\t_ = g":     "dataframe.DataFrame.GroupBy|nb.Groups(",
		"var g any = nb.Frame(`a`)\n\t_ = g.(interface{ GroupBy(...string) *dataframe.Groups })":                                  "dataframe.DataFrame.GroupBy|nb.Groups(",
		"func middle[T interface{ Median() float64 }](v T) float64 { return v.Median() }\n---\n_ = middle(series.Ints([]int{1}))": "series.Series.Median|nb.Quantile(",
		"_ = series.New([]int64{1}, series.Int, `a`)":                                                                             "series.New|nb.Column(",
		"type ns int\n---\n_ = series.New([]ns{1}, series.Int, `a`)":                                                              "series.New|nb.Column(",
		"var v any = []int64{1}\n\t_ = series.New(v, series.Int, `a`)":                                                            "series.New|nb.Column(",
		"_ = series.New([]float64{1.5}, series.Int, `a`)":                                                                         "series.New|nb.Column(",
		"as := series.Int\n\t_ = series.New([]float64{1.5}, as, `a`)":                                                             "series.New|nb.Column(",
		"_ = series.Ints([]float64{1.5})":                                                                                         "series.Ints|nb.Column(",
		"make := series.New\n\t_ = make":                                                                                          "series.New|nb.Column(",
		"s := series.Ints([]int{1})\n\ts.Elem(0).Set(int64(1))":                                                                   "series.Element.Set|nb.Column(",
		"_ = stat.StdDev([]float64{1}, nil)":                                                                                      "",
		"_, _ = stat.MeanVariance([]float64{1}, (nil))":                                                                           "",
		"_ = stat.Mean([]float64{1}, []float64{1})":                                                                               "",
		"_ = series.New([]float64{1.5}, series.Float, `a`)":                                                                       "",
		"_ = series.New([]string{`a`}, series.String, `a`)":                                                                       "",
		"_ = (series.New)(series.Ints([]int{1}), series.Int, `a`)":                                                                "",
		"_ = series.Floats([]int{1})":                                                                                             "",
		"s := series.Ints([]int{1})\n\ts.Elem(0).Set(7)":                                                                          "",
		"type grouper interface{ GroupBy(columns []string) int }\n---\nvar g grouper\n\t_ = g":                                    "",
		"type mine struct{}\nfunc (mine) Median() int { return 1 }\n---\n_ = mine{}.Median()":                                     "",
	} {
		err := script.Refused(notebook(statement))
		if want == "" {
			if err != nil {
				t.Errorf("%s is refused: %v", statement, err)
			}
			continue
		}
		what, instead, _ := strings.Cut(want, "|")
		if err == nil || !strings.Contains(err.Error(), what) || !strings.Contains(fmt.Sprint(script.Hinted(err)), "main.go:") {
			t.Errorf("%s: %v, want %s", statement, err, what)
			continue
		}
		if hint := cell.HintOf(script.Hinted(err)); !strings.Contains(hint, instead) {
			t.Errorf("%s: advice %q, want %s", statement, hint, instead)
		}
	}
}
