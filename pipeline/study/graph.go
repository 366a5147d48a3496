package study

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"barograph/pipeline/cell"
	"barograph/pipeline/source"
)

func (l *loader) stageNames() []string {
	var names []string
	for _, st := range l.study.Stages {
		names = append(names, st.Name)
	}
	return names
}

// graph checks what the stages say of one another.
func (l *loader) graph() {
	trials := map[string][]*Stage{} // by background stage, the stages that run beside it
	for _, st := range l.study.Stages {
		l.references(st, "needs", st.needs)
		l.references(st, "during", st.during)
		for _, w := range st.during {
			trials[w.Text] = append(trials[w.Text], st)
			if w.At == nil {
				continue
			}
			if slices.Contains(st.Needs, w.Text) {
				l.fail(w.At, "keep during: alone", "stage %q cannot both wait for %q and run during it", st.Name, w.Text)
			}
			other := l.study.Stage(w.Text)
			switch {
			case other == nil || other == st:
			case !other.Background:
				l.fail(w.At, fmt.Sprintf("give %q background: true, or use needs:", w.Text), "stage %q runs during %q, which is no background stage", st.Name, w.Text)
			default:
				l.aligned(st, other, w.At)
			}
		}
	}
	for _, st := range l.study.Stages {
		switch beside := trials[st.Name]; {
		case !st.Background:
		case beside == nil:
			l.fail(st.at, "name it in the during: of the stage to run beside", "no stage runs during the background stage %q", st.Name)
		default:
			l.accompanied(st, beside)
			l.followed(st, beside)
		}
	}
	if len(l.errs) == 0 { // else directions may be missing that are only miswritten
		for _, st := range l.study.Stages {
			l.whole(st)
		}
	}
	l.sort()
}

// whole reports what is wrong with all points of a stage together.
func (l *loader) whole(st *Stage) {
	if st.Kind == nil || st.Kind.Whole == nil || st.body.with == nil {
		return
	}
	var all, needed []any
	for _, key := range slices.Sorted(maps.Keys(st.body.bound)) {
		all = append(all, st.body.bound[key].With)
	}
	for _, name := range st.Needs {
		if other := l.study.Stage(name); other != nil && other.Kind == st.Kind {
			for _, b := range other.body.bound {
				needed = append(needed, b.With)
			}
		}
	}
	if err := st.Kind.Whole(all, needed); err != nil {
		l.fail(faulty(st.body.with, err), cell.HintOf(err), "stage %q: %v", st.Name, err)
	}
}

// followed reports parameters of a background stage that want calls to follow, where none
// of the stages beside it tells of any.
func (l *loader) followed(st *Stage, beside []*Stage) {
	tells := func(other *Stage) bool { return other.Kind == nil || other.Kind.Calls }
	if st.Kind == nil || st.Kind.Alone == nil || st.body.with == nil || slices.ContainsFunc(beside, tells) {
		return
	}
	for _, key := range slices.Sorted(maps.Keys(st.body.bound)) {
		if err := st.Kind.Alone(st.body.bound[key].With); err != nil {
			l.fail(faulty(st.body.with, err), cell.HintOf(err), "stage %q: %v", st.Name, err)
			return
		}
	}
}

func (l *loader) references(st *Stage, key string, words []source.Word) {
	seen := map[string]bool{}
	for _, w := range words {
		switch {
		case w.At == nil:
		case w.Text == st.Name:
			l.fail(w.At, "", "stage %q names itself in %s", st.Name, key)
		case l.study.Stage(w.Text) == nil:
			others := slices.DeleteFunc(l.stageNames(), func(n string) bool { return n == st.Name })
			l.fail(w.At, source.Suggest(w.Text, others), "%s: no stage %q", key, w.Text)
		case seen[w.Text]:
			l.fail(w.At, "", "%s: %q stands there twice", key, w.Text)
		}
		seen[w.Text] = true
	}
}

// aligned checks that each cell of st has a cell of the background stage: the
// one with the same values on the axes that both have.
func (l *loader) aligned(st, background *Stage, at *source.Node) {
	for _, b := range background.Matrix {
		a := st.axis(b.Name)
		if a == nil {
			l.fail(at, fmt.Sprintf("add the axis to the matrix of %q", st.Name), "stage %q runs during %q, but lacks its axis %q", st.Name, background.Name, b.Name)
			continue
		}
		has := map[string]bool{}
		for _, v := range b.Values {
			has[fmt.Sprint(v)] = true
		}
		if i := slices.IndexFunc(a.Values, func(v any) bool { return !has[fmt.Sprint(v)] }); i >= 0 {
			l.fail(at, "give both stages the same values", "stage %q has %s=%v, which %q has not", st.Name, b.Name, a.Values[i], background.Name)
		}
	}
}

// accompanied checks that some stage runs beside each value of a background stage, which
// would be left out in silence otherwise.
func (l *loader) accompanied(background *Stage, beside []*Stage) {
	for _, b := range background.Matrix {
		runs := map[string]bool{}
		for _, st := range beside {
			a := st.axis(b.Name)
			if a == nil {
				return // aligned has said so
			}
			for _, v := range a.Values {
				runs[fmt.Sprint(v)] = true
			}
		}
		if i := slices.IndexFunc(b.Values, func(v any) bool { return !runs[fmt.Sprint(v)] }); i >= 0 {
			l.fail(background.at, "give both stages the same values", "background stage %q has %s=%v, and no stage that runs during it has", background.Name, b.Name, b.Values[i])
		}
	}
}

// sort puts the stages in an order in which each stands after those it needs, the
// file's otherwise. It reports each chain of stages that wait for one another, at
// the reference that closes it.
func (l *loader) sort() {
	trials := map[string][]string{} // by background stage, the stages that run with it
	for _, st := range l.study.Stages {
		for _, name := range st.During {
			trials[name] = append(trials[name], st.Name)
		}
	}
	const visiting, done = 1, 2
	state := map[*Stage]int{}
	var chain []string
	var visit func(st *Stage)
	follow := func(st *Stage, name string, at *source.Node) {
		switch next := l.study.Stage(name); {
		case next == nil || next == st:
		case state[next] == visiting:
			from := slices.Index(chain, next.Name)
			l.fail(at, "", "cycle: %s -> %s", strings.Join(chain[from:], " -> "), next.Name)
		case state[next] == 0:
			visit(next)
		}
	}
	visit = func(st *Stage) {
		state[st] = visiting
		chain = append(chain, st.Name)
		for _, w := range slices.Concat(st.needs, st.during) {
			follow(st, w.Text, w.At)
		}
		for _, w := range st.needs { // what needs a background stage reads what its trials left
			for _, name := range trials[w.Text] {
				follow(st, name, w.At)
			}
		}
		chain = chain[:len(chain)-1]
		state[st] = done
		l.study.Sorted = append(l.study.Sorted, st)
	}
	for _, st := range l.study.Stages {
		if state[st] == 0 {
			visit(st)
		}
	}
}
