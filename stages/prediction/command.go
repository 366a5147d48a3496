package prediction

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"barograph/pipeline/cell"
	"barograph/pipeline/cell/unit"
	"barograph/pipeline/record"
	"barograph/pipeline/source"
	"barograph/stages/arrival"
	"barograph/stages/device"
	"barograph/stages/link"
	"barograph/stages/model"
	models "barograph/stages/model/command"
	"barograph/stages/prediction/forecast"
	"barograph/stages/result"

	"github.com/spf13/cobra"
	"gopkg.in/yaml.v3"
)

// study is the one that measures a model without load.
var study = filepath.Join("configs", "predict.yaml")

// A request is for a prediction, as the command line has it.
type request struct {
	card, machine, samples string
	condition              Condition
	share, block           string
	inFlight               int
	batch, sequence        int
	precision              string
	dims                   map[string]int64
	graph                  bool
	interval               time.Duration
	burst                  int
	trace, turn, learned   string
	compute                time.Duration
	measure, json          bool
}

// Command returns `predict`.
func Command() *cobra.Command {
	var a request
	c := &cobra.Command{
		Use:   "predict MODEL",
		Short: "Predict a model's latency beside a load, from the machine's link card",
		Long: `Predict p50, p90 and p99 of a model's latency beside a load, each with an interval
that holds nine in ten, from the link card of a machine and from calls without load:
those of a recording of that machine, or with --measure a minute's of any ONNX file.
Nothing of what it prints under load was measured, and it says so. A predicted p99 is
the median of the p99 that recordings would have, of as many replicates as there are
without load: one may have slow times of the card, and the next none.

What a machine's recordings teach beyond its card, and by how much predictions err
there, is kept in data/twin; ` + "`predict score`" + ` makes that again. Where the turn of the
copy engines is not known, the prediction spans --turn.`,
		Example: `  barograph predict bert-base-uncased --link data/link/h100.json --direction d2h --share 100% --loads 1 --json
  barograph predict resnet.onnx --machine h100 --measure --dims height=224,width=224 --direction h2d --share 60%
  barograph predict bert-base-uncased --machine p100 --compute 4ms --turn 500us..4ms`,
		Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			root, err := models.Workspace(c)
			if err != nil {
				return err
			}
			r, err := a.predict(c, root, args[0])
			if err != nil {
				return err
			}
			if a.json {
				return cell.WriteJSON(c.OutOrStdout(), r)
			}
			return r.text(c.OutOrStdout())
		},
	}
	f := c.Flags()
	f.StringVar(&a.card, "link", "", "the machine's link card, a `FILE` below data/link")
	f.StringVar(&a.machine, "machine", "", "`name` of a file below configs/machines; its card, if it has one, is taken")
	f.StringVar(&a.samples, "samples", "", "`DIR` of a recording that holds calls of the model without load; otherwise looked for")
	f.StringVar(&a.condition.Direction, "direction", "h2d", "`way` that the load copies: h2d, d2h, both")
	f.StringVar(&a.share, "share", "100%", "`part` of the link's capacity that the loads ask for together; 100% is no limit")
	f.IntVar(&a.condition.Loads, "loads", 1, "loading processes")
	f.IntVar(&a.inFlight, "in-flight", 4, "copies that each load keeps in flight, by as many threads")
	f.StringVar(&a.block, "block", "", "`bytes` of one of the loads' copies (default 16MiB, below a full link 4MiB)")
	f.BoolVar(&a.condition.Within, "same-process", false, "the loads are threads of the model's process")
	f.BoolVar(&a.condition.MPS, "mps", false, "the processes share the GPU through MPS")
	f.IntVar(&a.batch, "batch", 0, "of calls without load; 0: 1 if recorded, else another")
	f.IntVar(&a.sequence, "sequence", 0, "of calls without load; 0: 128 if recorded, else another")
	f.StringVar(&a.precision, "precision", "", "of calls without load: float32 or float16 (default float32 if recorded, else another)")
	f.StringToInt64Var(&a.dims, "dims", nil, "with --measure: sizes of the model's other symbolic dimensions, `name=size,...`")
	f.BoolVar(&a.graph, "cuda-graph", true, "with --measure on a GPU: replay a CUDA graph; false for models whose graph cannot be captured")
	f.StringVar(&a.condition.Arrivals, "arrivals", "closed", "when calls are due: closed, constant, poisson, bursts")
	f.DurationVar(&a.interval, "interval", 0, "mean time from one arrival to the next")
	f.IntVar(&a.burst, "burst", 0, "arrivals bursts: calls that are due at once")
	f.StringVar(&a.trace, "trace", "", "arrivals trace: `FILE` or name of a trace with when each call is due")
	f.StringVar(&a.turn, "turn", "", "`range` of the copy engines' turn where it was not measured, as in 500us..4ms")
	f.DurationVar(&a.compute, "compute", 0, "what a call takes without load, where nobody measured it")
	f.StringVar(&a.learned, "learned", "", "`machine` whose recordings teach how far predictions err (default: the link card's)")
	f.BoolVar(&a.measure, "measure", false, "measure the model without load first, on this machine")
	f.BoolVar(&a.json, "json", false, "write JSON")
	c.AddCommand(scoreCommand())
	return c
}

// A report is what the command writes.
type report struct {
	Predicted bool      `json:"predicted"` // always: nothing under load was measured
	Model     string    `json:"model"`
	Batch     int       `json:"batch,omitempty"` // of the calls without load
	Sequence  int       `json:"sequence,omitempty"`
	Precision string    `json:"precision,omitempty"` // float16; empty: float32, or the file's
	Machine   string    `json:"machine"`
	Condition Condition `json:"condition"`
	P50       Estimate  `json:"p50_ns"`
	P90       Estimate  `json:"p90_ns"`
	P99       Estimate  `json:"p99_ns"`
	Alone     struct {
		P50 float64 `json:"p50_ns"`
		P90 float64 `json:"p90_ns"`
		P99 float64 `json:"p99_ns"`
	} `json:"alone"`
	Card    string   `json:"link_card,omitempty"`
	Samples string   `json:"samples,omitempty"`
	Learned []string `json:"learned_from,omitempty"`
	Doubts  []string `json:"doubts,omitempty"`
}

func (a *request) predict(c *cobra.Command, root, name string) (*report, error) {
	if err := a.read(); err != nil {
		return nil, cell.Usage(err)
	}
	if c.Flags().Changed("compute") && (a.compute <= 0 || a.compute > forecast.Longest) {
		return nil, cell.Usage(fmt.Errorf("invalid argument %v for --compute: want more than 0 and %v at most", a.compute, forecast.Longest))
	}
	if !a.measure && (len(a.dims) > 0 || !a.graph) {
		return nil, cell.Usage(cell.Hint(errors.New("--dims and --cuda-graph say how a model is measured without load"), "add --measure"))
	}
	m, card, err := a.link(root)
	if err != nil {
		return nil, cell.Usage(err)
	}
	if a.measure {
		if err := a.measureAlone(c, root, name, m.Name); err != nil {
			return nil, err
		}
	}
	own, err := a.own(root, name, m.Name)
	if err != nil {
		return nil, err
	}
	arrivals := arrival.Pattern{Arrivals: a.condition.Arrivals, Interval: unit.Duration(a.interval), Burst: a.burst, Trace: a.trace}
	if a.condition.Due, _, err = arrivals.Schedule(root, forecast.Warm+forecast.Calls, 1); err != nil {
		return nil, cell.Usage(err)
	}
	x, err := taught(root, m.Name, a.learned)
	if err != nil {
		return nil, err
	}
	p, err := Predict(m, own, &a.condition, x)
	if err != nil {
		return nil, cell.Usage(err)
	}
	r := &report{Predicted: true, Model: name, Batch: own.Batch, Sequence: own.Sequence, Precision: own.Precision, Machine: m.Name, Condition: a.condition, Card: card, Samples: Within(root, own.From), Learned: x.From, Doubts: p.Doubts}
	if own.Machine != "" && own.Machine != m.Name {
		r.Doubts = append(r.Doubts, "what calls take without load was measured on another machine, "+own.Machine)
	}
	switch {
	case x.Machine != "" && x.Machine != m.Name:
		r.Doubts = append(r.Doubts, "how far predictions err was learned on another machine, "+x.Machine)
	case x.Card != "" && x.Card != Within(root, a.card):
		r.Doubts = append(r.Doubts, "how far predictions err was learned with another link card, "+x.Card)
	}
	r.P50, r.P90, r.P99 = p.Estimates[0], p.Estimates[1], p.Estimates[2]
	r.Alone.P50, r.Alone.P90, r.Alone.P99 = p.Alone[0], p.Alone[1], p.Alone[2]
	return r, nil
}

// read reads what flags hold as text.
func (a *request) read() error {
	ways, err := device.Directions(a.condition.Direction)
	switch {
	case err != nil:
		return err
	case ways[0].OffLink():
		return fmt.Errorf("copies %v leave the link idle", ways[0])
	case a.batch < 0 || a.sequence < 0:
		return fmt.Errorf("batch %d, sequence %d: want at least 0", a.batch, a.sequence)
	case !slices.Contains([]string{"", "float32", "float16"}, a.precision):
		return fmt.Errorf("invalid argument %q for --precision: want float32 or float16", a.precision)
	case a.precision != "" && (a.measure || a.compute > 0):
		return errors.New("--precision is of a recording's calls: --measure measures a model as its file is, and --compute says what a call takes")
	}
	rate, err := unit.ParseRate(a.share)
	share := rate.Share
	if err == nil && rate == (unit.Rate{}) { // max
		share = 1
	}
	if err != nil || a.share == "" || share <= 0 || share > 1 {
		return cell.Hint(fmt.Errorf("invalid argument %q for --share", a.share), "write it as 60%%; 100%% is no limit")
	}
	l := &a.condition
	l.Share, l.Outstanding, l.Threads = share, 1, a.inFlight
	if a.block == "" {
		if a.block = "16MiB"; share < 1 {
			a.block = "4MiB"
		}
	}
	block, err := unit.ParseSize(a.block)
	if err != nil || block < 1 {
		return cell.Hint(fmt.Errorf("invalid argument %q for --block", a.block), "write it as 4MiB")
	}
	l.Block = int64(block)
	for _, f := range []struct {
		flag  string
		value int
		most  int
	}{{"loads", l.Loads, 64}, {"in-flight", a.inFlight, 1024}} {
		if f.value < 1 || f.value > f.most {
			return fmt.Errorf("invalid argument %d for --%s: want 1 to %d", f.value, f.flag, f.most)
		}
	}
	return nil
}

// Where a turn was not measured it is taken to lie in between.
const unknownTurn = "500us..4ms"

// link finds what is known of the link.
func (a *request) link(root string) (m *Machine, from string, err error) {
	switch {
	case a.card == "" && a.machine == "":
		return nil, "", cell.Hint(errors.New("no machine to predict for"), "name its link card with --link, or the machine with --machine")
	case a.card == "":
		path := link.Find(root, a.machine, false)
		if _, err := os.Stat(path); err == nil {
			a.card = path
		}
	}
	if a.card != "" {
		card, err := link.Read(a.card)
		if err != nil {
			return nil, "", err
		}
		if a.machine != "" && card.Machine != a.machine {
			return nil, "", fmt.Errorf("%s is the card of machine %s, not of %s", a.card, card.Machine, a.machine)
		}
		if card.MPS && !a.condition.MPS {
			return nil, "", cell.Hint(fmt.Errorf("%s is of a link through MPS, and the prediction is not", a.card), "add --mps, or give the card of machine %s without", card.Machine)
		}
		ways, _ := device.Directions(a.condition.Direction) // which was read
		for _, d := range ways {
			if card.Ways[d.String()] == nil {
				n, err := source.ReadJSON(a.card, card) // for the place
				if err != nil {
					return nil, "", err
				}
				return nil, "", n.At("ways").Errorf("a memory bus is one path: --direction h2d", "its ways hold no %v", d)
			}
		}
		m, from = FromCard(card, a.condition.MPS), fmt.Sprintf("%s of %s", Within(root, a.card), card.Day)
		m.Assumed = append(m.Assumed, card.Warnings...)
		if len(card.Invalid) > 0 {
			m.Assumed = append(m.Assumed, "the link card is INVALID: "+strings.Join(card.Invalid, "; "))
		}
		if card.Device == "host" {
			m.Assumed = append(m.Assumed, "the link is a memory bus, which computing needs too: what a load slows of that is not predicted")
		}
		if card.Simulated {
			m.Assumed = append(m.Assumed, "the link card is of a simulated link")
		}
	} else if m, err = fromMachine(root, a.machine); err != nil {
		return nil, "", err
	}
	if a.turn == "" && a.card == "" {
		a.turn = unknownTurn
	}
	if a.turn != "" {
		low, high, ok := strings.Cut(a.turn, "..")
		if !ok {
			high = low
		}
		from, err := time.ParseDuration(low)
		to, also := time.ParseDuration(high)
		if err != nil || also != nil || from < forecast.Shortest || to < from || to > forecast.Longest {
			return nil, "", cell.Hint(fmt.Errorf("invalid argument %q for --turn: want %v to %v", a.turn, forecast.Shortest, forecast.Longest), "write it as 1ms or 500us..4ms")
		}
		assumeTurn(m, from, to)
	}
	return m, from, nil
}

// assumeTurn has turns lie anywhere in a range.
func assumeTurn(m *Machine, from, to time.Duration) {
	for i := range m.Turn {
		m.Turn[i] = [2]float64{float64(from), float64(to)}
	}
	m.Assumed = append(m.Assumed, fmt.Sprintf("the turn of the copy engines is assumed to lie from %v to %v, and not measured: one measurement would settle it, "+
		"the staircase that `barograph link --machine %s` times in a minute on that GPU (a kernel of growing length and a small copy, beside one process that keeps two copies in flight)", from, to, m.Name))
}

// fromMachine is what a machine's file says of a link that nobody measured.
func fromMachine(root, name string) (*Machine, error) {
	b, err := os.ReadFile(filepath.Join(root, "configs", "machines", filepath.Base(name)+".yaml"))
	if err != nil {
		return nil, cell.Hint(fmt.Errorf("machine %q: %w", name, err), "name a file below configs/machines, or give its link card with --link")
	}
	var c struct{ Link struct{ Model float64 } }
	if err := yaml.Unmarshal(b, &c); err != nil {
		return nil, fmt.Errorf("machine %q: %w", name, err)
	}
	if c.Link.Model <= 0 {
		return nil, cell.Hint(fmt.Errorf("machine %s has no link card, and its file does not say what its link can carry", name), "measure the card: barograph link --machine %s", name)
	}
	m := &Machine{Name: name, Assumed: []string{
		fmt.Sprintf("the link of machine %s was not measured: its capacity, %.4g GB/s each way, is what its file says of packets", name, c.Link.Model/1e9),
		"whether small copies to the device go past the copy engine is not known: half of the simulations have them do so",
	}}
	for i, d := range Ways {
		m.Capacity[i], m.Link.Bandwidth[d] = c.Link.Model, c.Link.Model
	}
	m.Link.SmallIdle, m.Link.SmallBehind, m.HalfSmall = 24<<10, 1<<10, true // as on an H100
	return m, nil
}

// own finds or assumes what calls take without load.
func (a *request) own(root, name, machine string) (*Baseline, error) {
	if a.compute > 0 {
		in, out, err := Transfers(root, name, max(1, a.batch), cmp.Or(a.sequence, 128), nil)
		if err != nil {
			return nil, cell.Usage(err)
		}
		return &Baseline{Model: name, In: in, Out: out, Calls: [][]int64{{int64(a.compute)}}}, nil
	}
	own, err := Find(root, machine, name, a.samples, a.batch, a.sequence, a.precision)
	if err == nil && own == nil {
		if _, err := model.Load(root, name); err != nil {
			return nil, cell.Usage(err)
		}
		of := name
		if a.batch > 0 {
			of += fmt.Sprintf(" at batch %d", a.batch)
		}
		if a.sequence > 0 {
			of += fmt.Sprintf(" of %d tokens", a.sequence)
		}
		if a.precision != "" {
			of += " in " + a.precision
		}
		err = cell.Hint(fmt.Errorf("no recording of machine %s holds calls of %s without load", machine, of),
			"--measure measures them on this machine, for a minute; --samples names a recording; --compute assumes what a call takes")
	}
	return own, err
}

// measureAlone has this program run the study that measures a model without load.
func (a *request) measureAlone(c *cobra.Command, root, name, machine string) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	args := []string{"run", filepath.Join(root, study), "--machine", machine, "--set", "model=" + name}
	if a.batch > 0 {
		args = append(args, "--set", fmt.Sprintf("batch=%d", a.batch))
	}
	if a.sequence > 0 {
		args = append(args, "--set", fmt.Sprintf("sequence=%d", a.sequence))
	}
	var dims []string
	for _, name := range slices.Sorted(maps.Keys(a.dims)) {
		dims = append(dims, strconv.Quote(fmt.Sprintf("%s=%d", name, a.dims[name])))
	}
	args = append(args, "--set", "dims=["+strings.Join(dims, ", ")+"]", "--set", fmt.Sprintf("cuda_graph=%t", a.graph))
	run := exec.CommandContext(c.Context(), self, args...)
	run.Cancel = func() error { return run.Process.Signal(os.Interrupt) }
	run.Stdout, run.Stderr = c.ErrOrStderr(), c.ErrOrStderr()
	if err := run.Run(); err != nil {
		err = fmt.Errorf("measure %s without load: %w", name, err)
		if run.ProcessState != nil {
			err = cell.End(err, max(cell.StatusFailed, run.ProcessState.ExitCode()))
		}
		return err
	}
	a.samples = filepath.Join(root, record.Results, "data", "predict", machine)
	return nil
}

func (r *report) text(w io.Writer) error {
	l := &r.Condition
	loads := "one load"
	if l.Loads > 1 {
		loads = fmt.Sprintf("%d loads", l.Loads)
	}
	where := "of another process"
	switch {
	case l.Within:
		where = "in its own process"
	case l.Loads > 1:
		where = "of other processes"
	}
	if l.MPS {
		where += ", under MPS"
	}
	words := &strings.Builder{}
	model := r.Model
	if r.Batch > 0 {
		model += fmt.Sprintf(", batch %d, sequence %d,", r.Batch, r.Sequence)
	}
	if r.Precision != "" {
		model += " in " + r.Precision
	}
	fmt.Fprintf(words, "PREDICTED, not measured: %s on %s beside %s %s, %s, %.4g%% of the link, %d copies of %v in flight\n",
		model, r.Machine, loads, where, l.Direction, 100*l.Share, l.Threads*l.Outstanding, unit.Size(l.Block))
	for _, q := range []struct {
		name  string
		e     Estimate
		alone float64
	}{{"p50", r.P50, r.Alone.P50}, {"p90", r.P90, r.Alone.P90}, {"p99", r.P99, r.Alone.P99}} {
		fmt.Fprintf(words, "  %s  %.3f ms [%.3f, %.3f], %.2f times the %.3f ms without load\n", q.name, q.e.Value/1e6, q.e.Low/1e6, q.e.High/1e6, q.e.Value/q.alone, q.alone/1e6)
	}
	if r.Samples != "" {
		fmt.Fprintf(words, "without load: %s\n", r.Samples)
	}
	if r.Card != "" {
		fmt.Fprintf(words, "link card: %s\n", r.Card)
	}
	for _, d := range r.Doubts {
		fmt.Fprintf(words, "note: %s\n", d)
	}
	_, err := io.WriteString(w, words.String())
	return err
}

// Within writes a path as it is seen from the workspace.
func Within(root, path string) string {
	if full, err := filepath.Abs(path); err == nil && path != "" {
		path = full
	}
	if rel, err := filepath.Rel(root, path); path != "" && err == nil && filepath.IsLocal(rel) {
		return filepath.ToSlash(rel)
	}
	return path
}

// taught is what the recordings of a machine teach, or of another that was asked for,
// of which something must be kept.
func taught(root, machine, other string) (*Lesson, error) {
	x, err := ReadLesson(root, cmp.Or(other, machine))
	if err == nil && x == Unlearned && other != "" {
		return nil, cell.Usage(cell.Hint(fmt.Errorf("nothing is kept of what machine %q teaches: no %s", other, File(other)),
			"`barograph predict score --link data/link/%s.json` learns it from the machine's recordings", other))
	}
	return x, cell.Usage(err)
}

// Scoring returns a command `score` that sets predictions by a link card beside what the
// card's machine recorded: run is given the card, and the file that it was read from.
func Scoring(short, long string, run func(out io.Writer, root, file string, card *link.Card) error) *cobra.Command {
	var file string
	c := &cobra.Command{
		Use:   "score",
		Short: short,
		Long:  long,
		Args:  cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			root, err := models.Workspace(c)
			if err != nil {
				return err
			}
			if file == "" {
				return cell.Usage(cell.Hint(errors.New("no link card to score by"), "name one with --link, such as data/link/h100.json"))
			}
			card, err := link.Read(file)
			if err != nil {
				return cell.Usage(err)
			}
			return run(c.OutOrStdout(), root, file, card)
		},
	}
	c.Flags().StringVar(&file, "link", "", "the machine's link card, a `FILE` below data/link")
	return c
}

func scoreCommand() *cobra.Command {
	var learned string
	c := Scoring("Predict a machine's recordings from one another, and keep what they teach",
		`Predict every load that the recordings of a machine hold, each without having seen
its model, or its load; write data/twin/MACHINE.csv with each prediction beside what
was measured and beside two naive ones, and data/twin/MACHINE.json with what all
recordings teach; and print a summary. With --learned all is predicted by what another
machine's recordings teach, and nothing is learned.`,
		func(out io.Writer, root, file string, card *link.Card) error {
			scores, err := score(root, file, card, learned)
			if err != nil {
				return err
			}
			f, err := os.Create(filepath.Join(root, "data", "twin", card.Machine+".csv"))
			if err != nil {
				return err
			}
			if err := errors.Join(WriteScores(f, scores), f.Close()); err != nil {
				return err
			}
			return Summarise(out, scores)
		})
	c.Flags().StringVar(&learned, "learned", "", "`machine` whose recordings teach; the card's own otherwise")
	return c
}

// score predicts the recordings of a card's machine, and keeps what they teach unless
// another machine's taught it.
func score(root, path string, card *link.Card, learned string) ([]*Score, error) {
	dirs := Recordings(root, card.Machine)
	if learned != "" && learned != card.Machine {
		x, err := taught(root, card.Machine, learned)
		if err != nil {
			return nil, err
		}
		return ScoreTransfer(card, root, dirs, x)
	}
	scores, x, err := ScoreAll(card, root, dirs)
	if err != nil {
		return nil, err
	}
	x.Card = Within(root, path)
	if err := os.MkdirAll(filepath.Join(root, "data", "twin"), 0o777); err != nil {
		return nil, err
	}
	return scores, result.Write(filepath.Join(root, File(card.Machine)), x)
}
