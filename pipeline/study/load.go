package study

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"

	"barograph/pipeline/cell"
	"barograph/pipeline/cell/unit"
	"barograph/pipeline/expression"
	"barograph/pipeline/machine"
	"barograph/pipeline/source"
)

// Options are what a command line adds to a study.
type Options struct {
	Kinds cell.Kinds
	// Set overrides parameters, each as name=value with the value in YAML,
	// expressions allowed: calls=40, levels=[0,1], block="${{ 2 * MiB }}".
	Set []string
	// Machine overrides machine:.
	Machine string
	// Devices overrides devices:, with commas between the names.
	Devices string
	// GPUs returns those of this computer, for machine: auto; nil stands for none.
	GPUs func() cell.GPUs
	// Fingerprint identifies the hardware behind a device; nil leaves the
	// machine's fingerprint empty.
	Fingerprint func(device string) string
	// Bound says that the same sources were loaded before: points are bound when they
	// are asked for, and what is wrong with any would have been said.
	Bound bool
	// Recorded is the machine of a recording that stands in for measuring, which need
	// have no file here; nil without one.
	Recorded *cell.Machine
}

// studyFile is the study as written; its tags are the schema.
type studyFile struct {
	Study       source.Word  `json:"study" required:"true" definition:"name" doc:"The study's name, and its folder's below data/."`
	Description string       `json:"description" doc:"What the study asks, in a sentence or two."`
	Params      *source.Node `json:"params" doc:"Parameters with their defaults: bool, number, string or list. The default's type is the parameter's."`
	Machine     source.Word  `json:"machine" doc:"A file under configs/machines/ without its .yaml, or auto."`
	Devices     *source.Node `json:"devices" doc:"The GPUs that measured cells run on at once, one at a time on each: a list such as [cuda:0, cuda:1], or all that there are to use."`
	Seed        uint64       `json:"seed" min:"0" doc:"Seeds the order of the measured cells and every stage; 1 unless given."`
	Order       *source.Node `json:"order" doc:"How the measured cells' order is drawn."`
	Stages      *source.Node `json:"stages" required:"true" doc:"The stages by name."`
	Claims      []claimFile  `json:"claims" doc:"Sentences of the paper, and the stage that judges each."`
}

type orderFile struct {
	Block    source.Word  `json:"block" doc:"The axis whose values are measured one after another; replicate unless given."`
	Baseline *source.Node `json:"baseline" doc:"The point measured first, in the middle and last, such as {level: 0}."`
}

type claimFile struct {
	ID       source.Word `json:"id" required:"true" doc:"A short name, such as C1."`
	Says     string      `json:"says" required:"true" doc:"The sentence."`
	JudgedBy source.Word `json:"judged-by" required:"true" doc:"The stage whose verdict counts."`
}

type stageFile struct {
	Uses       source.Word       `json:"uses" required:"true" doc:"The stage's kind."`
	Background bool              `json:"background" doc:"Whether cells run while those of the stages that name it in during: run."`
	Needs      []source.Word     `json:"needs" doc:"Stages whose cells must have ended."`
	During     []source.Word     `json:"during" doc:"Background stages that run at the same time."`
	Matrix     *source.Node      `json:"matrix" doc:"Axes by name: a list of values, or a number N for 1 to N. One cell for each point."`
	GPU        *source.Node      `json:"gpu" doc:"Which of the computer's GPUs its cells are measured on, counted from 0 by PCI address."`
	With       *source.Node      `json:"with" doc:"The kind's parameters."`
	Notebook   source.Word       `json:"notebook" doc:"The notebook's folder, holding its main.go."`
	Run        *source.Node      `json:"run" doc:"A shell line."`
	Inputs     *source.Node      `json:"inputs" doc:"Globs of workspace files that the cell reads."`
	Outputs    *source.Node      `json:"outputs" doc:"Workspace files that the cell writes."`
	Resources  map[string]int64  `json:"resources" min:"0" doc:"How much of each resource a cell holds, such as {device: 1}."`
	Timeout    source.Word       `json:"timeout" doc:"How long a cell may run, such as 90s or 10m; no limit unless given."`
	Retries    int               `json:"retries" min:"0" max:"100" doc:"How often a failed cell is tried again."`
	Env        map[string]string `json:"env" doc:"Environment variables of the cell."`
}

// perPoint are the stage's keys whose expressions see the matrix.
var perPoint = map[string]bool{"with": true, "gpu": true, "run": true, "inputs": true, "outputs": true}

// Load reads, checks and resolves the study in the YAML file at path. Every
// stage has been bound at every point when it returns, so that what is wrong
// shows before anything runs. The error holds an *source.Error or [source.Errors] for an
// invalid file, and the reason why a file could not be read.
func Load(path string, opt Options) (*Study, error) {
	root, err := Workspace(path)
	if err != nil {
		return nil, fmt.Errorf("load study %q: %w", path, err)
	}
	text, err := cell.Read(path)
	if errors.Is(err, fs.ErrNotExist) {
		hint := "studies are YAML files under configs/, such as configs/paper.yaml"
		if known := source.Files(root, "configs"); len(known) > 0 {
			hint = source.Suggest(strings.TrimSuffix(filepath.Base(path), ".yaml"), known)
		}
		return nil, cell.Usage(cell.Hint(fmt.Errorf("load study %q: no such file", path), "%s", hint))
	} else if err != nil {
		return nil, fmt.Errorf("load study: %w", err)
	}
	doc, bad := source.Parse(path, text)
	if bad != nil {
		return nil, cell.Usage(bad)
	}
	l := &loader{opt: opt, doc: doc, study: &Study{File: path, Root: root, byName: map[string]*Stage{}}, invalid: map[string]bool{}}
	l.load(text)
	if err := l.errs.Err(); err != nil {
		return nil, cell.Usage(err)
	}
	return l.study, nil
}

// Workspace returns the workspace of a study file: the folder that holds the
// configs folder the file lies in, or else the file's own.
func Workspace(path string) (string, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return "", err
	}
	own := filepath.Dir(path)
	for dir := own; dir != filepath.Dir(dir); dir = filepath.Dir(dir) {
		if filepath.Base(dir) == "configs" {
			return filepath.Dir(dir), nil
		}
	}
	return own, nil
}

// A loader holds what Load has found so far.
type loader struct {
	opt     Options
	doc     *source.Node
	study   *Study
	errs    source.Errors
	scope   *expression.Scope // study-wide names
	bytes   int               // of shell lines and paths
	numbers []any             // 1, 2, 3 and so on, for axes that count
	invalid map[string]bool   // axes whose values are not known, since an error says why
	writers map[string]string // output -> the cell that writes it
}

func (l *loader) fail(n *source.Node, hint, format string, args ...any) {
	l.errs = append(l.errs, n.Errorf(hint, format, args...))
}

func (l *loader) load(text []byte) {
	if l.doc.Kind != source.Mapping {
		l.fail(l.doc, "begin with study: and the study's name", "a study is a mapping of keys")
		return
	}
	l.study.Name, _ = scalarText(l.doc.Get("study"))
	m := l.machine()
	l.study.Digest = digest(text, m.Text)
	l.study.Sources.Root, l.study.Sources.File, l.study.Sources.Digest = l.study.Root, l.study.File, l.study.Digest
	l.study.Sources.Device, l.study.Sources.Fingerprint = l.study.Machine.Device, l.study.Machine.Fingerprint

	if of := l.opt.gpus().Of; of != nil {
		l.study.GPUs = of(l.study.Machine)
	}
	l.study.Sources.GPUs = len(l.study.GPUs)
	l.pool(m)
	if here := l.opt.gpus(); len(l.study.Pool) > 1 && !l.study.Machine.Simulated() && here.Processors != nil {
		l.study.Sharing = len(l.study.GPUs)
	}
	l.scope = newScope(l.study.Name, l.study.Machine, max(1, len(l.study.GPUs)))
	l.params(m)
	keys := source.Fields(reflect.TypeFor[studyFile]())
	for _, p := range l.doc.Pairs {
		known := slices.ContainsFunc(keys, func(f source.Field) bool { return f.Key == p.Key.Val })
		if known && p.Key.Val != "params" && p.Key.Val != "stages" {
			l.scope.Compile(p.Val, &l.errs)
		}
	}
	file := studyFile{Seed: 1}
	l.decode(&file, l.doc)
	if file.Study.At != nil && !cell.NameForm.MatchString(l.study.Name) {
		l.fail(file.Study.At, cell.NameHint, "study: %q is not a name", l.study.Name)
	}
	l.study.Doc, l.study.Seed = file.Description, file.Seed
	if file.Stages == nil { // which has been said, and the rest is about them
		return
	}
	l.stages(file.Stages)
	l.graph()
	l.order(file.Order)
	if len(l.errs) == 0 && !l.opt.Bound {
		l.axes()
	}
	l.claims(file.Claims)
}

// newScope holds what every expression of a study sees.
func newScope(study string, m cell.Machine, gpus int) *expression.Scope {
	sim := make(map[string]any, len(m.Sim))
	for name, v := range m.Sim {
		sim[name] = v
	}
	s := expression.NewScope()
	s.Set("study", study)
	s.Set("machine", map[string]any{
		"name": m.Name, "device": m.Device, "description": m.Description, "sim": sim, "gpus": gpus,
		"link": map[string]any{"name": m.Link.Name, "raw": m.Link.Raw, "model": m.Link.Model},
	})
	return s
}

// decode fills v with study-wide values; it returns false after an error.
func (l *loader) decode(v any, n *source.Node) bool {
	d := source.Decoder{Env: l.scope.Values}
	d.Decode(reflect.ValueOf(v).Elem(), n, "")
	l.errs = append(l.errs, d.Errs...)
	return len(d.Errs) == 0 && !d.Partial
}

func scalarText(n *source.Node) (string, bool) {
	if n == nil {
		return "", false
	}
	s, ok := n.Val.(string)
	return s, ok
}

// params evaluates the parameters in their order, each after the machine's and
// the command line's overrides.
func (l *loader) params(m *machine.File) {
	l.study.Params = map[string]any{}
	params := l.doc.Get("params")
	if params != nil && params.Kind != source.Mapping {
		l.fail(params, "", "params: want a mapping of names to defaults")
		return
	}
	var known []string
	if params != nil {
		for _, p := range params.Pairs {
			known = append(known, p.Key.Val.(string))
			l.scope.Later[p.Key.Val.(string)] = true
		}
	}
	overrides := map[string]override{}
	for name, to := range m.Overrides(l.study.Name, known, &l.errs) {
		overrides[name] = override{to, m.Path}
	}
	maps.Copy(overrides, l.sets(known))
	if params == nil {
		return
	}
	for _, p := range params.Pairs {
		name := p.Key.Val.(string)
		delete(l.scope.Later, name)
		switch {
		case !expression.Identifier(name):
			l.fail(p.Key, "use letters, digits and underscores", "%q cannot name a parameter", name)
			l.scope.Failed[name] = true
			continue
		case l.scope.Has(name):
			l.fail(p.Key, "choose another name", "parameter %q hides what expressions know under that name", name)
			continue
		}
		v, ok := l.param(p.Val)
		if o, overridden := overrides[name]; ok && overridden {
			to, valid := l.param(o.to)
			if valid {
				to, valid = l.convert(to, v, o, name)
			}
			if ok = valid; ok {
				if !reflect.DeepEqual(v, to) {
					l.study.Lowered = append(l.study.Lowered, Override{name, v, to, o.by})
				}
				v = to
			}
		}
		if !ok {
			l.scope.Failed[name] = true
			continue
		}
		l.study.Params[name] = v
		l.scope.Set(name, v)
	}
}

// evaluate returns the value of a node in the study's names, and whether it has
// one.
func (l *loader) evaluate(n *source.Node) (any, bool) {
	before := len(l.errs)
	l.scope.Compile(n, &l.errs)
	d := source.Decoder{Env: l.scope.Values}
	v := d.Plain(n)
	l.errs = append(l.errs, d.Errs...)
	return v, !d.Partial && len(l.errs) == before
}

func scalar(v any) bool {
	switch v.(type) {
	case bool, int64, float64, string:
		return true
	}
	return false
}

// param evaluates a parameter's value: a scalar or a list of scalars.
func (l *loader) param(n *source.Node) (any, bool) {
	v, ok := l.evaluate(n)
	list, isList := v.([]any)
	switch {
	case !ok:
		return nil, false
	case v == nil:
		l.fail(n, `for an empty string, write ""`, "parameter %q has no value", n.Name)
		return nil, false
	case !isList && !scalar(v):
		l.fail(n, "a parameter is a number, a string, true, false or a list of them", "parameter %q is %s", n.Name, source.Describe(v))
		return nil, false
	}
	for i, e := range list {
		if !scalar(e) {
			l.fail(n.At(i), "a list holds numbers, strings, true and false", "parameter %q: %s in a list", n.Name, source.Describe(e))
			return nil, false
		}
	}
	return v, true
}

// An override is a new value for a parameter.
type override struct {
	to *source.Node
	by string
}

// convert gives an override the type of the parameter's default.
func (l *loader) convert(to, from any, o override, name string) (any, bool) {
	like, ofList := from.([]any)
	items, isList := to.([]any)
	misfit, hint := to, ""
	switch {
	case ofList && !isList:
		hint = fmt.Sprintf("write a list: [%v]", to)
	case ofList:
		if len(like) == 0 || !uniform(like) {
			return items, true
		}
		out := make([]any, 0, len(items))
		for _, x := range items {
			v, fits := same(x, like[0])
			if misfit = x; !fits {
				break
			}
			out = append(out, v)
		}
		if len(out) == len(items) {
			return out, true
		}
	default:
		if v, ok := same(to, from); ok {
			return v, true
		}
		if _, text := from.(string); text {
			hint = fmt.Sprintf("quote it: %q", fmt.Sprint(to))
		}
	}
	l.fail(o.to, hint, "parameter %q is %s; %s does not fit", name, typeName(from), source.Describe(misfit))
	return nil, false
}

// same gives v the type of like; an integer may become a float.
func same(v, like any) (any, bool) {
	if i, ok := v.(int64); ok {
		if _, float := like.(float64); float {
			return float64(i), true
		}
	}
	return v, reflect.TypeOf(v) == reflect.TypeOf(like)
}

func uniform(items []any) bool {
	return !slices.ContainsFunc(items, func(x any) bool { return reflect.TypeOf(x) != reflect.TypeOf(items[0]) })
}

func typeName(v any) string {
	switch v := v.(type) {
	case bool:
		return "true or false"
	case int64:
		return "an integer"
	case float64:
		return "a number"
	case string:
		return "a string"
	case []any:
		if len(v) > 0 && uniform(v) {
			return "a list, each element " + typeName(v[0])
		}
	}
	return "a list"
}

// sets parses the command line's overrides.
func (l *loader) sets(known []string) map[string]override {
	out := map[string]override{}
	for _, arg := range l.opt.Set {
		at := source.Argument("--set", arg)
		name, value, ok := strings.Cut(arg, "=")
		if !ok || strings.ContainsAny(arg, "\r\n") {
			l.fail(at, "", "want name=value on one line, got %q", arg)
			continue
		}
		if !slices.Contains(known, name) {
			l.fail(at, source.Suggest(name, known), "unknown parameter %q", name)
			continue
		}
		if strings.TrimSpace(value) == "" {
			l.fail(at, fmt.Sprintf(`for an empty string, write %s='""'`, name), "parameter %q has no value", name)
			continue
		}
		n, err := source.ParseArgument("--set", arg, len(name)+1)
		if err != nil {
			l.errs = append(l.errs, err)
			continue
		}
		n.Name = name
		out[name] = override{n, "--set"}
	}
	return out
}

func (l *loader) stages(stages *source.Node) {
	if stages.Kind != source.Mapping {
		l.fail(stages, "", "stages: want a mapping of names to stages")
		return
	}
	if len(stages.Pairs) == 0 {
		l.fail(stages, "", "a study without stages")
	}
	var drafts []*draft
	for _, p := range stages.Pairs {
		st := &Stage{Name: p.Key.Val.(string), Pos: p.Key.Pos(), at: p.Key}
		l.study.Stages, l.study.byName[st.Name] = append(l.study.Stages, st), st
		if !cell.NameForm.MatchString(st.Name) {
			l.fail(p.Key, cell.NameHint, "%q cannot name a stage", st.Name)
		}
		if p.Val.Kind != source.Mapping {
			l.fail(p.Val, "", "stage %q: want a mapping, with uses: at least", st.Name)
			continue
		}
		drafts = append(drafts, l.draft(st, p.Val))
	}
	fits := l.fits() // before any point is made
	for _, d := range drafts {
		l.complete(d, fits)
	}
}

// A draft is a stage whose own expressions have not been looked at.
type draft struct {
	*Stage
	file  stageFile
	inner *expression.Scope // of the stage's own expressions
	whole bool              // every axis is known
	known bool              // no unknown key may stand for the matrix
	meant []string          // keys that are there, misspelt
}

// draft reads all of a stage but what its points may change.
func (l *loader) draft(st *Stage, n *source.Node) *draft {
	var f stageFile
	var keys []string
	for _, field := range source.Fields(reflect.TypeFor[stageFile]()) {
		keys = append(keys, field.Key)
	}
	d := &draft{Stage: st, known: true}
	for _, p := range n.Pairs {
		switch key := p.Key.Val.(string); {
		case !slices.Contains(keys, key):
			near := source.Nearest(key, keys)
			d.known = d.known && near != "matrix" && (near != "" || n.Get("matrix") != nil)
			d.meant = append(d.meant, near)
		case key != "matrix" && !perPoint[key]:
			l.scope.Compile(p.Val, &l.errs)
		}
	}
	l.decode(&f, n)
	st.Background, st.Resources, st.Retries, st.Env = f.Background, f.Resources, f.Retries, f.Env
	st.Needs, st.During = texts(f.Needs), texts(f.During)
	st.needs, st.during = f.Needs, f.During
	if f.Timeout.At != nil {
		d, err := unit.ParseDuration(f.Timeout.Text)
		if err != nil || d <= 0 || !strings.ContainsAny(f.Timeout.Text, "smh") {
			l.fail(f.Timeout.At, "", "timeout: want a duration such as 90s or 10m, got %q", f.Timeout.Text)
		}
		st.Timeout = d
	}
	st.matrix = f.Matrix
	d.file = f
	d.inner, d.whole = l.matrix(st, f.Matrix)
	return d
}

// complete compiles and, where it fits, binds what a stage's points may change.
func (l *loader) complete(d *draft, fits bool) {
	st, f := d.Stage, d.file
	if !d.known {
		st.Kind = l.opt.Kinds[f.Uses.Text]
		return
	}
	st.body = body{with: f.With, gpu: f.GPU, run: f.Run, inputs: f.Inputs, outputs: f.Outputs, env: d.inner.Values}
	axes := map[string]bool{}
	for _, part := range []*source.Node{f.With, f.GPU, f.Run, f.Inputs, f.Outputs} {
		d.inner.Compile(part, &l.errs)
		expression.Axes(part, axes)
	}
	for _, a := range st.Matrix {
		if axes[a.Name] {
			st.body.axes = append(st.body.axes, a)
		}
	}
	if f.Uses.At == nil {
		return
	}
	if st.Kind = l.opt.Kinds[f.Uses.Text]; st.Kind == nil {
		l.fail(f.Uses.At, source.Suggest(f.Uses.Text, l.opt.Kinds.Names()), "unknown kind of stage %q", f.Uses.Text)
		return
	}
	l.kind(d)
	if d.whole {
		l.overwrites(st, f.Outputs)
	}
	if fits && !l.opt.Bound {
		l.bindAll(st)
	}
}

// kind checks the keys that only some kinds have.
func (l *loader) kind(d *draft) {
	st, f, k := d.Stage, d.file, d.Kind
	lacks := func(key string) bool { return !slices.Contains(d.meant, key) }
	if st.Background && !k.Background {
		can := slices.DeleteFunc(l.opt.Kinds.Names(), func(name string) bool { return !l.opt.Kinds[name].Background })
		l.fail(st.at, "kinds that can: "+strings.Join(can, ", "), "stage %q: kind %q cannot run in the background", st.Name, k.Name)
	}
	if st.Background && len(st.During) > 0 {
		l.fail(f.During[0].At, "", "stage %q: a background stage cannot itself run during another", st.Name)
	}
	switch {
	case f.GPU == nil:
	case !k.Measured:
		l.fail(f.GPU, "", "stage %q: kind %q measures nothing, on no GPU", st.Name, k.Name)
	case st.Background:
		l.fail(f.GPU, "a load of other GPUs names them as gpus: in with:", "stage %q: a background stage runs on the GPU of its trial", st.Name)
	}
	switch {
	case k.Notebook && f.Notebook.At == nil && lacks("notebook"):
		l.fail(st.at, "add notebook: and the notebook's folder", "stage %q: kind %q needs a notebook", st.Name, k.Name)
	case !k.Notebook && f.Notebook.At != nil:
		l.fail(f.Notebook.At, "", "stage %q: kind %q takes no notebook", st.Name, k.Name)
	case k.Notebook && f.Notebook.At != nil:
		st.Notebook = filepath.Clean(f.Notebook.Text)
		if !filepath.IsLocal(f.Notebook.Text) {
			l.fail(f.Notebook.At, "write a path relative to the workspace", "notebook %q is not inside the workspace", f.Notebook.Text)
		} else if info, err := os.Stat(filepath.Join(l.study.Root, st.Notebook, "main.go")); err != nil || !info.Mode().IsRegular() {
			l.fail(f.Notebook.At, "a notebook is a folder with a main.go", "notebook %q: no file %s in the workspace", f.Notebook.Text, filepath.Join(st.Notebook, "main.go"))
		}
	}
	switch {
	case k.Script && f.Run == nil && lacks("run"):
		l.fail(st.at, "add run: and a shell line", "stage %q: kind %q needs run:", st.Name, k.Name)
	case !k.Script && f.Run != nil:
		l.fail(f.Run, "", "stage %q: kind %q takes no run:", st.Name, k.Name)
	}
}

func texts(words []source.Word) []string {
	var out []string
	for _, w := range words {
		if w.At != nil {
			out = append(out, w.Text)
		}
	}
	return out
}

// matrix evaluates the axes. It returns the scope of the stage's own
// expressions, and whether every axis is known.
func (l *loader) matrix(st *Stage, n *source.Node) (*expression.Scope, bool) {
	inner := l.scope.Inner()
	if n == nil {
		return inner, true
	}
	if n.Kind != source.Mapping {
		l.fail(n, "write axes: {level: [0, 1, 2], replicate: 5}", "matrix: want a mapping of axes")
		return inner, false
	}
	whole := true
	for _, p := range n.Pairs {
		name := p.Key.Val.(string)
		switch {
		case !expression.Identifier(name):
			l.fail(p.Key, "use letters, digits and underscores", "%q cannot name an axis", name)
			whole = false
			continue
		case l.scope.Has(name):
			l.fail(p.Key, "choose another name", "axis %q hides what expressions know under that name", name)
			whole = false
			continue
		}
		values, ok := l.axis(p.Val, name)
		if !ok {
			inner.Failed[name], l.invalid[name], whole = true, true, false
			continue
		}
		a := Axis{name, values}
		inner.Axis(name, values)
		st.Matrix = append(st.Matrix, a)
	}
	return inner, whole
}

// axis evaluates an axis to its values.
func (l *loader) axis(n *source.Node, name string) ([]any, bool) {
	v, ok := l.evaluate(n)
	if !ok {
		return nil, false
	}
	if list, ok := v.([]any); ok {
		return list, l.names(n, name, list)
	}
	i, whole := source.Integer(v)
	switch {
	case !whole:
		l.fail(n, "", "axis %q: want a list of values or a number N for 1 to N, got %s", name, source.Describe(v))
		return nil, false
	case i < 1 || i > MaxCells:
		l.fail(n, "a number N stands for 1 to N", "axis %q: want a number from 1 to %d, got %d", name, MaxCells, i)
		return nil, false
	}
	return l.upTo(int(i)), true
}

// upTo returns the integers from 1 to n. All axes share them.
func (l *loader) upTo(n int) []any {
	for i := len(l.numbers); i < n; i++ {
		l.numbers = append(l.numbers, int64(i+1))
	}
	return l.numbers[:n:n]
}

// names tells whether an axis has values, each of which can stand once in a name.
func (l *loader) names(n *source.Node, axis string, values []any) bool {
	if len(values) == 0 {
		l.fail(n, "", "axis %q has no values", axis)
		return false
	}
	seen := make(map[string]bool, len(values))
	for i, value := range values {
		at := n.At(i)
		text := fmt.Sprint(value)
		if !scalar(value) {
			l.fail(at, "", "axis %q: want numbers, strings, true or false, got %s", axis, source.Describe(value))
			return false
		}
		if text == "" || strings.ContainsFunc(text, unfit) {
			l.fail(at, "values are part of the cells' names: leave out blanks, brackets, commas and =", "axis %q: the value %q does not fit into a name", axis, text)
			return false
		}
		if seen[text] {
			l.fail(at, "for repeated cells, add an axis such as replicate: 5", "axis %q has the value %s twice", axis, text)
			return false
		}
		seen[text] = true
	}
	return true
}

// unfit tells whether a character would make infer[level=4,replicate=2] hard to
// read back.
func unfit(r rune) bool { return r <= ' ' || r == 0x7f || strings.ContainsRune("[],=", r) }

// overwrites reports outputs that every value of some axis would write again.
func (l *loader) overwrites(st *Stage, outputs *source.Node) {
	if outputs == nil || outputs.Kind != source.List {
		return
	}
	for _, item := range outputs.Items {
		used := map[string]bool{}
		expression.Axes(item, used)
		for _, a := range st.Matrix {
			if len(a.Values) > 1 && !used[a.Name] && !item.Bad {
				l.fail(item, fmt.Sprintf("put ${{ %s }} into the path", a.Name), "stage %q: its %d cells along %q would all write this file", st.Name, len(a.Values), a.Name)
				item.Bad = true
				break
			}
		}
	}
}

func (l *loader) order(n *source.Node) {
	l.study.Order.Block = "replicate"
	if n == nil {
		return
	}
	var f orderFile
	if !l.decode(&f, n) {
		return
	}
	axes := map[string][]any{}
	for _, st := range l.study.Stages {
		for _, a := range st.Matrix {
			axes[a.Name] = append(axes[a.Name], a.Values...)
		}
	}
	known := slices.Collect(maps.Keys(axes))
	if f.Block.At != nil {
		if l.study.Order.Block = f.Block.Text; axes[f.Block.Text] == nil && !l.invalid[f.Block.Text] {
			l.fail(f.Block.At, source.Suggest(f.Block.Text, known), "order: no stage has the axis %q", f.Block.Text)
		}
	}
	if f.Baseline == nil {
		return
	}
	if f.Baseline.Kind != source.Mapping {
		l.fail(f.Baseline, "write a point: {level: 0}", "baseline: want a mapping of axes to values")
		return
	}
	for _, p := range f.Baseline.Pairs {
		axis := p.Key.Val.(string)
		if l.invalid[axis] {
			continue
		}
		if axes[axis] == nil {
			l.fail(p.Key, source.Suggest(axis, known), "baseline: no stage has the axis %q", axis)
			continue
		}
		v, ok := l.evaluate(p.Val)
		i := slices.IndexFunc(axes[axis], func(x any) bool { return fmt.Sprint(x) == fmt.Sprint(v) })
		if !ok {
			continue
		}
		if i < 0 {
			var values []string
			for _, x := range axes[axis] {
				values = append(values, fmt.Sprint(x))
			}
			l.fail(p.Val, "its values: "+source.Listing(values), "baseline: axis %q has no value %v", axis, v)
			continue
		}
		l.study.Order.Baseline = append(l.study.Order.Baseline, cell.Coordinate{Axis: axis, Value: axes[axis][i]})
	}
}

func (l *loader) claims(claims []claimFile) {
	seen := map[string]bool{}
	for _, c := range claims {
		if c.ID.At != nil && seen[c.ID.Text] {
			l.fail(c.ID.At, "", "claim %q appears twice", c.ID.Text)
		}
		seen[c.ID.Text] = true
		if c.JudgedBy.At == nil {
			continue
		}
		switch st := l.study.Stage(c.JudgedBy.Text); {
		case st == nil:
			l.fail(c.JudgedBy.At, source.Suggest(c.JudgedBy.Text, l.stageNames()), "claim %q: no stage %q", c.ID.Text, c.JudgedBy.Text)
		case st.Kind != nil && st.Kind.Verdicts == "":
			l.fail(c.JudgedBy.At, "", "claim %q: stage %q is of kind %q, which judges nothing", c.ID.Text, st.Name, st.Kind.Name)
		}
		l.study.Claims = append(l.study.Claims, cell.Claim{ID: c.ID.Text, Says: c.Says, JudgedBy: c.JudgedBy.Text})
	}
}
