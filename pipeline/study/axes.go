package study

import (
	"fmt"
	"reflect"
	"slices"

	"barograph/pipeline/expression"
	"barograph/pipeline/source"
)

const (
	// MaxCells is how many cells a study may have.
	MaxCells = expression.MaxValues
	// maxPairs is how many pairs of cells needs: may join.
	maxPairs = 10_000_000
	// maxBound is how many bytes of shell lines and paths a study may come to.
	maxBound = 1 << 30
)

// product is how many points axes have, which may be any number: small ones are
// exact.
func product(axes []Axis) float64 {
	n := 1.0
	for _, a := range axes {
		n *= float64(len(a.Values))
	}
	return n
}

// fits refuses a study of more cells, or pairs of them, than can be kept in mind,
// before any of them is made. It looks at the axes only.
func (l *loader) fits() bool {
	total, before := 0.0, len(l.errs)
	for _, st := range l.study.Stages {
		for i, a := range st.Matrix {
			if product(st.Matrix[:i+1]) > MaxCells {
				l.fail(st.axisAt(a.Name), "", "stage %q has more than %d cells", st.Name, MaxCells)
				return false
			}
		}
		if total += product(st.Matrix); total > MaxCells {
			l.fail(st.axisAt(""), "", "the study has more than %d cells", MaxCells)
			return false
		}
	}
	pairs := 0.0
	for _, st := range l.study.Stages {
		for _, w := range st.needs {
			other := l.study.Stage(w.Text)
			if w.At == nil || other == nil {
				continue
			}
			each := l.started(other)
			for _, a := range other.Matrix {
				if st.axis(a.Name) != nil {
					each /= max(float64(len(a.Values)), 1)
				}
			}
			if pairs += l.started(st) * each; pairs > maxPairs {
				l.fail(w.At, fmt.Sprintf("give both stages the axis on which their cells belong together, or gather those of %q in a stage between", w.Text),
					"stage %q needs %q: more than %d pairs of cells", st.Name, w.Text, maxPairs)
				return false
			}
		}
	}
	return len(l.errs) == before
}

// axisAt returns where an axis is named, or the matrix where it is not.
func (st *Stage) axisAt(name string) *source.Node {
	if st.matrix == nil {
		return st.at
	}
	for _, p := range st.matrix.Pairs {
		if p.Key.Val == name {
			return p.Key
		}
	}
	return st.matrix
}

// started is how many cells a stage has: of a background stage, one in each trial.
func (l *loader) started(st *Stage) float64 {
	if !st.Background {
		return product(st.Matrix)
	}
	n := 0.0
	for _, other := range l.study.Stages {
		for _, w := range other.during {
			if w.Text == st.Name {
				n += product(other.Matrix)
			}
		}
	}
	return n
}

// axes refuses axes that change nothing, and those that say of their cells what
// is not so. A figure over either shows no effect of what never was.
func (l *loader) axes() {
	for _, st := range l.study.Stages {
		for _, a := range st.Matrix {
			switch at := st.axisAt(a.Name); {
			case len(a.Values) > 1 && !l.used(st, a):
				hint := fmt.Sprintf("use ${{ %s }} in the stage, or call an axis of repetitions replicate", a.Name)
				if _, ok := parameter(st, a.Name); ok {
					hint = fmt.Sprintf(`add %s: "${{ %s }}" to with:`, a.Name, a.Name)
				}
				l.fail(at, hint, "stage %q: nothing uses the axis %q, so that its cells are all the same", st.Name, a.Name)
			case len(a.Values) > 1 && st.Kind.Measured && st.alike(a) && !l.joins(st, a):
				l.fail(at, "", "stage %q: its cells along the axis %q are all the same, whatever its value", st.Name, a.Name)
			case st.Kind.Measured:
				l.truthful(st, a, at)
			}
		}
	}
}

// used tells whether an axis decides anything: an expression of the stage, which
// cells it needs or runs during, or in what order it repeats itself.
func (l *loader) used(st *Stage, a Axis) bool {
	return has(st.body.axes, a) || l.joins(st, a)
}

func has(axes []Axis, a Axis) bool {
	return slices.ContainsFunc(axes, func(b Axis) bool { return b.Name == a.Name })
}

// joins tells whether an axis decides with what cells of other stages those of a
// stage run, or repeats them.
func (l *loader) joins(st *Stage, a Axis) bool {
	return a.Name == "replicate" || a.Name == l.study.Order.Block ||
		slices.ContainsFunc(slices.Concat(st.Needs, st.During), func(name string) bool {
			other := l.study.Stage(name)
			return other != nil && other.axis(a.Name) != nil
		})
}

// alike tells whether expressions that use an axis give the same all along it.
func (st *Stage) alike(a Axis) bool {
	if !has(st.body.axes, a) {
		return false
	}
	for p := range Points(st.body.axes) {
		first := slices.Clone(p)
		for i := range first {
			if first[i].Axis == a.Name {
				first[i].Value = a.Values[0]
			}
		}
		if !reflect.DeepEqual(st.body.bound[st.body.key(p)], st.body.bound[st.body.key(first)]) {
			return false
		}
	}
	return true
}

// truthful refuses an axis of measured cells that has the name of what they
// record, and another value.
func (l *loader) truthful(st *Stage, a Axis, at *source.Node) {
	for _, name := range append([]string{st.Name}, st.During...) {
		by := l.study.Stage(name)
		if by == nil || by.Kind == nil || by.body.bound == nil {
			continue
		}
		field, ok := parameter(by, a.Name)
		if !ok {
			if slices.Contains(by.Kind.Columns, a.Name) {
				l.fail(at, "choose another name", "stage %q: the axis %q has the name of what cells of kind %q record", st.Name, a.Name, by.Kind.Name)
				return
			}
			continue
		}
		for p := range Points(by.body.axes) {
			values := a.Values
			if v, ok := p.Get(a.Name); ok {
				values = []any{v}
			}
			got := reflect.ValueOf(by.body.bound[by.body.key(p)].With).Elem().FieldByIndex(field.Index)
			for _, v := range values {
				if !stands(v, field, got, at) {
					l.fail(at, fmt.Sprintf(`write %s: "${{ %s }}", or choose another name`, a.Name, a.Name),
						"stage %q: the axis %q is %v where %s of stage %q, which is recorded, is %v", st.Name, a.Name, v, a.Name, name, got)
					return
				}
			}
		}
	}
}

// parameter returns the parameter of a stage's kind that has a name.
func parameter(st *Stage, name string) (source.Field, bool) {
	t := reflect.TypeOf(st.Kind.With()).Elem()
	if t.Kind() == reflect.Struct {
		for _, f := range source.Fields(t) {
			if f.Key == name {
				return f, true
			}
		}
	}
	return source.Field{}, false
}

// stands tells whether a parameter has the value that v would give it.
func stands(v any, field source.Field, got reflect.Value, at *source.Node) bool {
	want := reflect.New(field.Type).Elem()
	var d source.Decoder
	d.Decode(want, at.Stand(v), "")
	return len(d.Errs) == 0 && reflect.DeepEqual(want.Interface(), got.Interface())
}
