package nb

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"math/big"
	"slices"
	"strings"

	"barograph/stages/recording"

	"github.com/go-gota/gota/dataframe"
	"github.com/go-gota/gota/series"
)

// Column returns a column for a data frame: of []int64 or []int, exact to the last
// digit, of []float64, []string or []bool. It stands for series.New, which makes
// NaN of an int64 and says nothing.
func Column(name string, values any) series.Series {
	c := called("Column", name)
	switch values := values.(type) {
	case []int64:
		whole := make([]int, len(values))
		for i, v := range values {
			whole[i] = int(v)
		}
		return series.New(whole, series.Int, name)
	case []int:
		return series.New(values, series.Int, name)
	case []float64:
		return series.New(values, series.Float, name)
	case []string:
		return series.New(values, series.String, name)
	case []bool:
		return series.New(values, series.Bool, name)
	}
	c.check(fmt.Errorf("a column is of []int64, []int, []float64, []string or []bool, not of %T", values))
	return series.Series{}
}

// A Group is the rows of a data frame that share the values of some columns.
type Group struct {
	Label  string   // as in level=4, replicate=1
	Values []string // one for each of the columns, as Number writes numbers
	Frame  dataframe.DataFrame
}

// Groups splits a data frame by the values of columns, exactly, in ascending order
// of numbers or alphabetical order of text; a missing value makes a group of its
// own, the first. Rows keep their order. It stands for DataFrame.GroupBy, which
// rounds to six decimals and joins texts by "_", so that unlike rows share a group.
func Groups(df dataframe.DataFrame, columns ...string) []Group {
	c := called("Groups", columns)
	if len(columns) == 0 {
		c.check(errors.New("no column to group by"))
	}
	keys := make([]series.Series, len(columns))
	for i, name := range columns {
		keys[i] = c.column(df, name)
	}
	rows := make([]int, df.Nrow())
	for i := range rows {
		rows[i] = i
	}
	order := func(a, b int) int {
		for _, k := range keys {
			if o := compareElements(k.Elem(a), k.Elem(b)); o != 0 {
				return o
			}
		}
		return 0
	}
	slices.SortStableFunc(rows, order)
	var groups []Group
	for start := 0; start < len(rows); {
		end := start + 1
		for end < len(rows) && order(rows[start], rows[end]) == 0 {
			end++
		}
		g := Group{Frame: df.Subset(rows[start:end])}
		labels := make([]string, len(keys))
		for i, k := range keys {
			text := text(k, rows[start])
			g.Values = append(g.Values, text)
			labels[i] = columns[i] + "=" + text
		}
		g.Label = strings.Join(labels, ", ")
		groups = append(groups, g)
		start = end
	}
	return groups
}

// compareElements orders two elements of a column: a missing one first.
func compareElements(a, b series.Element) int {
	switch {
	case a.IsNA() && b.IsNA():
		return 0
	case a.IsNA():
		return -1
	case b.IsNA():
		return 1
	case a.Type() == series.Int:
		x, _ := a.Int() // not missing, and of this type: no error
		y, _ := b.Int()
		return cmp.Compare(x, y)
	case a.Type() == series.Float:
		return cmp.Compare(a.Float(), b.Float())
	}
	return strings.Compare(a.String(), b.String())
}

// Filter returns the rows of a data frame whose value in a column compares with
// another as asked: by ==, !=, <, <=, > or >=. Numbers are compared exactly, whole
// ones with fractions too; a missing value compares with nothing. It stands for
// DataFrame.Filter, which cuts 2.5 to 2 before it compares it with whole numbers.
func Filter(df dataframe.DataFrame, column string, comparison series.Comparator, value any) dataframe.DataFrame {
	c := called("Filter", column, comparison, value)
	if !slices.Contains([]series.Comparator{series.Eq, series.Neq, series.Less, series.LessEq, series.Greater, series.GreaterEq}, comparison) {
		c.check(fmt.Errorf("no comparison is called %q: want ==, !=, <, <=, > or >=", comparison))
	}
	s := c.column(df, column)
	rows := []int{}
	for i := range s.Len() {
		e := s.Elem(i)
		if e.IsNA() {
			continue
		}
		order, err := compareWith(e, value)
		c.check(err)
		keep := false
		switch comparison {
		case series.Eq:
			keep = order == 0
		case series.Neq:
			keep = order != 0
		case series.Less:
			keep = order < 0
		case series.LessEq:
			keep = order <= 0
		case series.Greater:
			keep = order > 0
		case series.GreaterEq:
			keep = order >= 0
		}
		if keep {
			rows = append(rows, i)
		}
	}
	return df.Subset(rows)
}

// compareWith orders an element that is not missing and a value.
func compareWith(e series.Element, value any) (int, error) {
	switch e.Type() {
	case series.Int, series.Float:
		x, y := exact(e.Val()), exact(value)
		if y == nil {
			return 0, fmt.Errorf("the column holds numbers, and %v is a %T", value, value)
		}
		return x.Cmp(y), nil
	case series.Bool:
		if _, is := value.(bool); !is {
			return 0, fmt.Errorf("the column holds true and false, and %v is a %T", value, value)
		}
	case series.String:
		if _, is := value.(string); !is {
			return 0, fmt.Errorf("the column holds text, and %v is a %T", value, value)
		}
	}
	return strings.Compare(e.String(), fmt.Sprint(value)), nil
}

// exact returns a number without rounding; nil for what is none.
func exact(value any) *big.Float {
	switch v := value.(type) {
	case int:
		return new(big.Float).SetInt64(int64(v))
	case int64:
		return new(big.Float).SetInt64(v)
	case float64:
		if !math.IsNaN(v) {
			return big.NewFloat(v)
		}
	}
	return nil
}

// Stack returns the rows of several data frames, one frame below the other, which
// have the same columns in any order. A column of whole numbers in one and fractions
// in another is one of fractions; a whole number beyond 2^53, which has none, is an
// error. It stands for DataFrame.RBind, which cuts the fractions off.
func Stack(frames ...dataframe.DataFrame) dataframe.DataFrame {
	c := called("Stack")
	if len(frames) == 0 {
		c.check(errors.New("no data frame"))
	}
	var columns []series.Series
	for _, name := range frames[0].Names() {
		kind := c.column(frames[0], name).Type()
		for i, f := range frames {
			switch k := c.column(f, name).Type(); {
			case f.Ncol() != frames[0].Ncol():
				c.check(fmt.Errorf("frame %d has the columns %q, the first has %q", i+1, f.Names(), frames[0].Names()))
			case k == kind:
			case k == series.Int && kind == series.Float || k == series.Float && kind == series.Int:
				kind = series.Float
			default:
				c.check(fmt.Errorf("column %q holds %s in frame %d, and %s before", name, k, i+1, kind))
			}
		}
		whole := series.New([]string{}, kind, name)
		for _, f := range frames {
			part := f.Col(name)
			if kind == series.Float && part.Type() == series.Int {
				for i, v := range part.Float() {
					if math.Abs(v) > 1<<53 {
						c.check(fmt.Errorf("column %q: %s in row %d is no fraction without rounding", name, part.Elem(i), i+1))
					}
				}
			}
			whole.Append(part)
		}
		columns = append(columns, whole)
	}
	df := dataframe.New(columns...)
	c.check(df.Err)
	return df
}

// column returns a column of a data frame.
func (c call) column(df dataframe.DataFrame, name string) series.Series {
	c.check(df.Err)
	if !slices.Contains(df.Names(), name) {
		c.check(&recording.NoColumnError{Name: name, There: df.Names()})
	}
	return df.Col(name)
}

// text writes an element of a column so that it reads back exactly, a missing one as
// nothing.
func text(column series.Series, row int) string {
	switch e := column.Elem(row); {
	case e.IsNA():
		return ""
	case column.Type() == series.Float: // gota writes %f, which makes 123e-9 zero
		return Number(e.Float())
	default:
		return e.String()
	}
}
