package study

import (
	"fmt"
	"maps"
	"path"
	"path/filepath"
	"reflect"
	"slices"
	"strings"

	"barograph/pipeline/cell"
	"barograph/pipeline/expression"
	"barograph/pipeline/source"
)

// A body is what a stage evaluates at each point.
type body struct {
	with, gpu, run, inputs, outputs *source.Node

	axes  []Axis // that its expressions use
	env   map[string]any
	bound map[string]*Binding // by the values on those axes
}

// Errorf returns an error at the stage, for what only a plan can see.
func (st *Stage) Errorf(hint, format string, args ...any) *source.Error {
	return st.at.Errorf(hint, format, args...)
}

// Bind returns a stage's parameters, shell line, inputs and outputs at one
// point of its matrix. Load has bound every point already, so that this is a
// look-up; only a point outside the matrix is evaluated anew, and every point after
// Unbind.
func (s *Study) Bind(st *Stage, p cell.Point) (*Binding, error) {
	for _, a := range st.body.axes {
		if _, ok := p.Get(a.Name); !ok {
			return nil, fmt.Errorf("bind stage %q: the point %s has no value for axis %q", st.Name, p, a.Name)
		}
	}
	if b := st.body.bound[st.body.key(p)]; b != nil {
		return b, nil
	}
	b, _, errs := s.bind(st, p)
	if err := errs.Err(); err != nil {
		return nil, err
	}
	return b, nil
}

// Unbind forgets what was bound, which takes much memory and is seldom asked for once a
// study is planned.
func (s *Study) Unbind() {
	for _, st := range s.Stages {
		st.body.bound = nil
	}
}

// key names the point's values on the axes that the stage's expressions use.
func (b *body) key(p cell.Point) string {
	if len(b.axes) == 0 {
		return ""
	}
	var key strings.Builder
	for _, a := range b.axes {
		v, _ := p.Get(a.Name)
		fmt.Fprintf(&key, "%v,", v) // no two values of an axis are written alike
	}
	return key.String()
}

// bind evaluates and checks a stage at a point. The words are its outputs with
// their places.
func (s *Study) bind(st *Stage, p cell.Point) (*Binding, []source.Word, source.Errors) {
	env := st.body.env
	if len(st.body.axes) > 0 {
		env = maps.Clone(env)
		for _, c := range p {
			env[c.Axis] = expression.Native(c.Value)
		}
	}
	d := source.Decoder{Env: env}
	b := &Binding{With: st.Kind.With()}
	with := st.body.with
	if with == nil {
		with = st.at.Empty("with")
	}
	d.Decode(reflect.ValueOf(b.With).Elem(), with, "")
	if st.body.gpu != nil {
		d.Decode(reflect.ValueOf(&b.GPU).Elem(), st.body.gpu, `min:"0"`)
	}
	if st.body.run != nil {
		errs := len(d.Errs)
		if d.Decode(reflect.ValueOf(&b.Script).Elem(), st.body.run, ""); len(d.Errs) == errs && !d.Partial && strings.TrimSpace(b.Script) == "" {
			d.Fail(st.body.run, "write a shell line", "run: of stage %q is blank", st.Name)
		}
	}
	b.Inputs, _ = paths(&d, st.body.inputs)
	outputs := []source.Word(nil)
	b.Outputs, outputs = paths(&d, st.body.outputs)
	for _, w := range outputs {
		if format := strings.TrimPrefix(path.Ext(w.Text), "."); w.At != nil && len(st.Kind.Formats) > 0 && !slices.Contains(st.Kind.Formats, format) {
			d.Fail(w.At, "there are ."+strings.Join(st.Kind.Formats, ", ."), "outputs: kind %q cannot write %q", st.Kind.Name, w.Text)
		}
	}
	if len(d.Errs) == 0 && !d.Partial {
		if err := st.check(s.Root, s.Machine.Device, b.With); err != nil {
			d.Fail(faulty(with, err), cell.HintOf(err), "stage %q: %v", st.Name, err)
		}
	}
	return b, outputs, d.Errs
}

// faulty returns the parameter that a kind's error begins with, or all of them.
func faulty(with *source.Node, err error) *source.Node {
	word, _, _ := strings.Cut(err.Error(), " ")
	if named := with.Get(strings.TrimSuffix(word, ":")); named != nil {
		return named
	}
	return with
}

// check asks the stage's kind what is wrong with parameters.
func (st *Stage) check(root, device string, with any) error {
	if st.Kind.Check != nil {
		if err := st.Kind.Check(root, device, with); err != nil {
			return err
		}
	}
	if st.Kind.Alone != nil && !st.Background {
		return st.Kind.Alone(with)
	}
	return nil
}

// reserved are the workspace's folders that outputs would spoil.
var reserved = map[string]bool{".git": true, ".barograph": true, "configs": true, "notebooks": true}

// paths reads a list of paths or globs inside the workspace.
func paths(d *source.Decoder, n *source.Node) ([]string, []source.Word) {
	if n == nil {
		return nil, nil
	}
	var words []source.Word
	d.Decode(reflect.ValueOf(&words).Elem(), n, "")
	var list []string
	for _, w := range words {
		if w.At == nil {
			continue // reported
		}
		_, err := path.Match(w.Text, "")
		switch {
		case strings.ContainsAny(w.Text, "\x00\r\n") || !filepath.IsLocal(w.Text) || path.Clean(w.Text) == ".":
			d.Fail(w.At, "write a path relative to the workspace", "%s: %q is not inside the workspace", n.Label(), w.Text)
		case n.Name == "outputs" && reserved[strings.Split(path.Clean(w.Text), "/")[0]]:
			d.Fail(w.At, "write below figures/ or data/, for example", "%s: %q is not for outputs", n.Label(), w.Text)
		case strings.HasSuffix(w.Text, "/"):
			d.Fail(w.At, "name the files", "%s: %q is a folder", n.Label(), w.Text)
		case err != nil:
			d.Fail(w.At, "", "%s: %q has an unfinished [ ] or a trailing backslash", n.Label(), w.Text)
		}
		list = append(list, path.Clean(w.Text))
	}
	return list, words
}

// bindAll binds a stage once for each combination of values that its
// expressions can tell apart. What is wrong in one place is reported for the
// first point only.
func (l *loader) bindAll(st *Stage) {
	st.body.bound = map[string]*Binding{}
	reported := map[source.Pos]bool{}
	for p := range Points(st.body.axes) {
		b, outputs, errs := l.study.bind(st, p)
		for _, text := range slices.Concat([]string{b.Script}, b.Inputs, b.Outputs) {
			l.bytes += len(text)
		}
		if l.bytes > maxBound {
			l.fail(st.at, "", "stage %q: the shell lines and paths of the study come to more than %d bytes", st.Name, maxBound)
			return
		}
		for _, w := range outputs {
			if w.At != nil {
				errs = append(errs, l.writes(st, p, w)...)
			}
		}
		first := slices.DeleteFunc(errs, func(e *source.Error) bool { return reported[e.Pos] })
		for _, e := range first {
			reported[e.Pos] = true
			if len(p) > 0 {
				e.Msg += " (at " + strings.Trim(p.String(), "[]") + ")"
			}
		}
		l.errs = append(l.errs, first...)
		st.body.bound[st.body.key(p)] = b
	}
}

// writes reports an output that another cell writes already.
func (l *loader) writes(st *Stage, p cell.Point, w source.Word) source.Errors {
	out := path.Clean(w.Text)
	if l.writers == nil {
		l.writers = map[string]string{}
	}
	by, taken := l.writers[out]
	l.writers[out] = st.Name + p.String()
	if !taken {
		return nil
	}
	return source.Errors{w.At.Errorf("give each cell a file of its own", "output %q is written by %s already", out, by)}
}

// Points yields every combination of the axes' values, the last axis fastest;
// the empty point alone when there are no axes.
func Points(axes []Axis) func(yield func(cell.Point) bool) {
	return func(yield func(cell.Point) bool) {
		at := make([]int, len(axes))
		for {
			p := make(cell.Point, len(axes))
			for i, a := range axes {
				p[i] = cell.Coordinate{Axis: a.Name, Value: a.Values[at[i]]}
			}
			if !yield(p) {
				return
			}
			i := len(axes) - 1
			for ; i >= 0; i-- {
				if at[i]++; at[i] < len(axes[i].Values) {
					break
				}
				at[i] = 0
			}
			if i < 0 {
				return
			}
		}
	}
}

// Count returns how many points axes have, which a study has been found to allow.
func Count(axes []Axis) int { return int(product(axes)) }

// Point returns the i-th of the points, from 0.
func Point(axes []Axis, i int) cell.Point {
	p := make(cell.Point, len(axes))
	for at, a := range slices.Backward(axes) {
		p[at] = cell.Coordinate{Axis: a.Name, Value: a.Values[i%len(a.Values)]}
		i /= len(a.Values)
	}
	return p
}
