package acceptance

import (
	"cmp"
	"encoding/json"
	"flag"
	"fmt"
	"go/ast"
	"go/doc"
	"go/parser"
	"go/printer"
	"go/token"
	"maps"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"testing"

	gast "github.com/yuin/goldmark/ast"
	"golang.org/x/sync/errgroup"
	"gopkg.in/yaml.v3"

	"barograph/stages/link"
	"barograph/stages/prediction"
	"barograph/stages/recording"
	"barograph/stages/stats"
)

var update = flag.Bool("update", false, "write what the documents and goldens should hold")

// A made table stands between two comments, of which the first says what it is
// made from, a line for each argument:
//
//	<!-- made: levels
//	device to host | data/paper-d2h/h100
//	-->
//	| load | ...
//	<!-- end -->
var madeTable = regexp.MustCompile(`(?s)<!-- made: (\w+)\n?(.*?)-->\n(.*?)<!-- end -->`)

var makers = map[string]func(t *testing.T, args []string) table{
	"bounds":    boundTable,
	"left":      leftTable,
	"levels":    levelTable,
	"changes":   changeTable,
	"claims":    claimTable,
	"collected": collectedTable,
	"columns":   columnTable,
	"foretold":  foretoldTable,
	"keys":      keyTable,
	"models":    modelTable,
	"turns":     turnTable,
	"halves":    halfTable,
	"relief":    reliefTable,
	"near":      neighbourTable,
	"shared":    sharedTable,
	"ways":      waysTable,
	"placed":    placedTable,
	"grown":     grownTable,
	"ranks":     rankTable,
	"rates":     rateTable,
	"slow":      slowTable,
	"cards":     cardTable,
	"nb":        notebookTable,
}

// Every number that a document quotes from a recording is what the recording
// gives: `go test ./pipeline/cli/acceptance -run TestDocumentsQuote -update` writes the tables.
func TestDocumentsQuote(t *testing.T) {
	t.Parallel()
	n := 0
	for _, d := range documents(t) {
		text := madeTable.ReplaceAllStringFunc(string(d.source), func(block string) string {
			n++
			m := madeTable.FindStringSubmatch(block)
			if m[1] == "predictions" {
				return block // TestKept of stages/prediction holds it
			}
			maker := makers[m[1]]
			if maker == nil {
				t.Fatalf("%s: no table is made by the name of %q", d.path, m[1])
			}
			made := maker(t, strings.Split(strings.TrimSpace(m[2]), "\n")).String()
			if m[3] != made && !*update {
				t.Errorf("%s: the table %s is now\n%s\nit was\n%s\nhint: go test ./pipeline/cli/acceptance -run TestDocumentsQuote -update", d.path, m[1], made, m[3])
			}
			return strings.TrimSuffix(block, m[3]+"<!-- end -->") + made + "<!-- end -->"
		})
		if *update && text != string(d.source) {
			if err := os.WriteFile(d.path, []byte(text), 0o666); err != nil {
				t.Fatal(err)
			}
		}
	}
	if n < 6 {
		t.Errorf("%d tables are made", n)
	}
}

// What data/README.md says of a recording in a sentence stands in a table of the
// same section that is made from it.
func TestSentencesQuoteTables(t *testing.T) {
	d := readDocument(t, "data/README.md")
	for _, section := range strings.Split(string(d.source), "\n## ")[1:] {
		tables := ""
		for _, m := range madeTable.FindAllStringSubmatch(section, -1) {
			tables += m[3]
		}
		name, _, _ := strings.Cut(section, "\n")
		part := document{source: []byte(section), root: parse(section)}
		check := func(n gast.Node) {
			prose := part.prose(n)
			for _, found := range quantity.FindAllString(prose, -1) {
				number := regexp.MustCompile(`[\d.,]*\d`).FindString(found)
				if !regexp.MustCompile(`(^|[^\d.])`+regexp.QuoteMeta(number)+`($|[^\d.]|\.\D)`).MatchString(tables) && !stated[found] {
					t.Errorf("data/README.md, %s: %q stands in none of the section's tables: %s", name, found, prose)
				}
			}
		}
		each(part, func(n *gast.Paragraph) { check(n) })
		each(part, func(n *gast.TextBlock) { check(n) })
	}
}

// Numbers of data/README.md that no recording there gives: what was set, and what
// the text says was measured elsewhere.
var stated = map[string]bool{
	"1.0515 ms": true, "24,576 bytes": true, // the turn and the small path, with CUDA C
	"4 MiB": true, "64 MiB": true, // blocks
}

type table [][]string

func (rows table) String() string {
	var b strings.Builder
	for i, row := range rows {
		fmt.Fprintf(&b, "| %s |\n", strings.Join(row, " | "))
		if i == 0 {
			b.WriteString("|" + strings.Repeat("---|", len(row)) + "\n")
		}
	}
	return b.String()
}

// A judgement is what `barograph judge --json` says, as far as the documents
// quote it.
type judgement struct {
	Levels []struct {
		Level       string
		N           int
		Achieved    float64 `json:"achieved_bytes_per_s"`
		Utilisation *float64
		Quantiles   []struct {
			Q     float64
			Value float64 `json:"value_ns"`
			Doubt string
		}
	}
	Drift  struct{ Largest float64 }
	Effect struct {
		Ratio interval
	}
	Shifts []struct {
		After   string
		Deciles []struct {
			Q      float64
			Change interval
		}
	}
	Verdicts []struct{ ID, Verdict string }
}

type interval struct {
	Value float64 `json:"value_ns"`
	Low   float64 `json:"low_ns"`
	High  float64 `json:"high_ns"`
}

// judge judges "data/paper/h100 direction=h2d @outstanding": a recording, what
// selects rows, and the column to compare by, which is level unless said.
func judge(t *testing.T, what string) judgement {
	t.Helper()
	return judges(t, []string{what})[0]
}

// judgements are what was judged, for the tables that show it too.
var judgements = map[string]judgement{}

// judges is judge for several, side by side.
func judges(t *testing.T, all []string) []judgement {
	t.Helper()
	list := make([]judgement, len(all))
	var work errgroup.Group
	work.SetLimit(runtime.NumCPU())
	for i, what := range all {
		if known, ok := judgements[what]; ok {
			list[i] = known
			continue
		}
		work.Go(func() (err error) {
			list[i], err = judgementOf(what)
			return err
		})
	}
	if err := work.Wait(); err != nil {
		t.Fatal(err)
	}
	for i, what := range all {
		judgements[what] = list[i]
	}
	return list
}

func judgementOf(what string) (j judgement, err error) {
	fields := strings.Fields(what)
	samples, err := filepath.Glob(filepath.Join(fields[0], "samples.csv*"))
	if err != nil || len(samples) != 1 {
		return j, fmt.Errorf("%s: %d files of samples, %v", what, len(samples), err)
	}
	args := []string{"judge", "--json", "--sets", "-1", samples[0]}
	for _, where := range fields[1:] {
		if column, ok := strings.CutPrefix(where, "@"); ok {
			args = append(args, "--level", column)
			continue
		}
		args = append(args, "--where", where)
	}
	c := exec.Command("barograph", args...)
	var stderr strings.Builder
	c.Stderr = &stderr
	out, err := c.Output()
	if exit, _ := err.(*exec.ExitError); err != nil && (exit == nil || exit.ExitCode() != 3) { // INVALID, and said so
		return j, fmt.Errorf("barograph %s: %v\n%s", strings.Join(args, " "), err, stderr.String())
	}
	return j, json.Unmarshal(out, &j)
}

func milliseconds(ns float64) string {
	if ns < 10e6 {
		return fmt.Sprintf("%.2f", ns/1e6)
	}
	return fmt.Sprintf("%.1f", ns/1e6)
}

func change(ratio float64) string { return fmt.Sprintf("%+.1f%%", 100*(ratio-1)) }

// cut splits an argument "a | b".
func cut(t *testing.T, arg string) (before, after string) {
	t.Helper()
	before, after, ok := strings.Cut(arg, "|")
	if !ok {
		t.Fatalf("%q is not of the form a | b", arg)
	}
	return strings.TrimSpace(before), strings.TrimSpace(after)
}

// levelTable has p50 and p99 of recordings, a row each, a column a level, and
// below each the share of the link that the load achieved.
func levelTable(t *testing.T, args []string) table {
	rows := table{{"p50 / p99, ms"}}
	var shares table
	column := map[string]int{}
	type row struct {
		label string
		j     judgement
	}
	var all []row
	for _, arg := range args {
		label, what := cut(t, arg)
		all = append(all, row{label, judge(t, what)})
	}
	for _, r := range all {
		for _, l := range r.j.Levels {
			if column[l.Level] == 0 {
				column[l.Level] = len(rows[0])
				rows[0] = append(rows[0], strings.TrimPrefix(l.Level, "level="))
			}
		}
	}
	for _, r := range all {
		cells, share := make([]string, len(rows[0])), make([]string, len(rows[0]))
		cells[0], share[0] = r.label, "share of the link, "+r.label
		for _, l := range r.j.Levels {
			cell := milliseconds(l.Quantiles[0].Value) + " / "
			if p99 := l.Quantiles[2]; p99.Doubt != "" {
				cell += "n too small"
			} else {
				cell += milliseconds(p99.Value)
			}
			cells[column[l.Level]] = cell
			if l.Utilisation != nil {
				share[column[l.Level]] = fmt.Sprintf("%.0f%%", 100**l.Utilisation)
			}
		}
		rows, shares = append(rows, cells), append(shares, share)
	}
	return append(rows, shares...)
}

// changeTable has the change of the median at each level of one recording: the
// first argument; the others name levels, "3 | copies within the GPU".
func changeTable(t *testing.T, args []string) table {
	j := judge(t, args[0])
	rows := table{{"level", "what runs", "p50, ms", "change of p50, ms [95% together]"}}
	for _, arg := range args[1:] {
		level, label := cut(t, arg)
		for i, l := range j.Levels {
			if l.Level != "level="+level {
				continue
			}
			shift := ""
			if i > 0 {
				for _, d := range j.Shifts[i-1].Deciles {
					if d.Q == 0.5 {
						shift = fmt.Sprintf("%+.3f [%+.3f, %+.3f]", d.Change.Value/1e6, d.Change.Low/1e6, d.Change.High/1e6)
					}
				}
			}
			rows = append(rows, []string{level, label, fmt.Sprintf("%.3f", l.Quantiles[0].Value/1e6), shift})
		}
	}
	return rows
}

// claimTable has what the recordings say of the paper's claims: the recordings of
// data/claims.yaml, judged anew.
func claimTable(t *testing.T, _ []string) table {
	b, err := os.ReadFile("data/claims.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var manifest struct {
		Claims []struct {
			Claim, Recording, Verdict, Figure string
			Where                             []string
		}
	}
	if err := yaml.Unmarshal(b, &manifest); err != nil {
		t.Fatal(err)
	}
	rows := table{{"recording", "C1", "C2", "change of p50 [95%]", "figures"}}
	at, verdicts := map[string]int{}, map[string]map[string]string{}
	for _, c := range manifest.Claims {
		if !strings.HasPrefix(c.Claim, "C") {
			continue // of turns, which are judged in tables of their own
		}
		what := strings.Join(append([]string{c.Recording}, c.Where...), " ")
		name := strings.TrimPrefix(what, "data/")
		name = regexp.MustCompile(`( \w+=)(\s|$)`).ReplaceAllString(name, "$2")
		link := fmt.Sprintf("[%s](../%s)", strings.TrimSuffix(filepath.Base(c.Figure), ".svg"), c.Figure)
		if verdicts[what] == nil {
			verdicts[what] = map[string]string{}
			for _, v := range judge(t, what).Verdicts {
				verdicts[what][v.ID] = v.Verdict
			}
		}
		if is := verdicts[what][c.Claim]; is != c.Verdict {
			t.Errorf("data/claims.yaml says that %s of %s is %s: it is %s", c.Claim, what, c.Verdict, is)
		}
		if i := at[what]; i > 0 {
			if !strings.Contains(rows[i][4], link) {
				rows[i][4] += ", " + link
			}
			continue
		}
		at[what] = len(rows)
		r := judge(t, what).Effect.Ratio
		rows = append(rows, []string{strings.TrimSpace(name), verdicts[what]["C1"], verdicts[what]["C2"],
			fmt.Sprintf("%s [%s, %s]", change(r.Value), change(r.Low), change(r.High)), link})
	}
	return rows
}

// keyTable has the keys of a kind's `with:`, as the schema describes them.
func keyTable(t *testing.T, args []string) table {
	b, err := os.ReadFile("configs/schema.json")
	if err != nil {
		t.Fatal(err)
	}
	var schema struct {
		Definitions map[string]struct {
			Properties map[string]struct{ Description string }
		}
	}
	if err := json.Unmarshal(b, &schema); err != nil {
		t.Fatal(err)
	}
	keys := schema.Definitions["with-"+args[0]].Properties
	rows := table{{"key", "meaning"}}
	for _, key := range slices.Sorted(maps.Keys(keys)) {
		rows = append(rows, []string{"`" + key + "`", keys[key].Description})
	}
	return rows
}

// columnTable has what the columns of samples.csv mean, as their stages declare them.
func columnTable(_ *testing.T, _ []string) table {
	rows := table{{"column", "unit", "meaning", "measured by"}}
	for _, c := range recording.Fields {
		rows = append(rows, []string{"`" + c.Name + "`", c.Unit, c.Doc, c.Stage})
	}
	return rows
}

// A traffic is what one request of a model moves over the link, in bytes.
type traffic struct{ in, out float64 }

// requests reads what the models of a recording move at batch 1.
func requests(t *testing.T, dir string) map[string]traffic {
	t.Helper()
	run, err := recording.ReadRun(filepath.Join(dir, "run.json"))
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]traffic{}
	for _, trial := range run.Trials {
		if i := trial.Infer; i.Batch == 1 {
			r := all[i.Model]
			r.in, r.out = float64(i.In), float64(i.Out)
			all[i.Model] = r
		}
	}
	return all
}

// modelsOf returns a recording's models by their time without load.
func modelsOf(t *testing.T, dir, direction string) (names []string, j map[string]judgement) {
	names = slices.Collect(maps.Keys(requests(t, dir)))
	var what []string
	for _, name := range names {
		what = append(what, fmt.Sprintf("%s model=%s batch=1 direction=%s", dir, name, direction))
	}
	j = map[string]judgement{}
	for i, one := range judges(t, what) {
		j[names[i]] = one
	}
	slices.SortFunc(names, func(a, b string) int {
		return cmp.Compare(j[a].Levels[0].Quantiles[0].Value, j[b].Levels[0].Quantiles[0].Value)
	})
	return names, j
}

func size(bytes float64) string {
	for _, unit := range []string{"B", "KB", "MB"} {
		if bytes < 999.5 || unit == "MB" {
			return strings.TrimSuffix(fmt.Sprintf("%.3g", bytes), ".0") + " " + unit
		}
		bytes /= 1000
	}
	return ""
}

// modelTable has a recording's models: what a request moves, and how many times as
// long it takes under the heaviest load of each direction.
func modelTable(t *testing.T, args []string) table {
	dir, list := cut(t, args[0])
	directions := strings.Fields(list)
	rows := table{{"model", "bytes of a request, in / out", "p50 without load, ms"}}
	moves := requests(t, dir)
	var order []string
	for i, direction := range directions {
		rows[0] = append(rows[0], "p50 under load, "+direction+", times [95%]")
		names, j := modelsOf(t, dir, direction)
		if i == 0 {
			order = names
			for _, name := range names {
				rows = append(rows, []string{"`" + name + "`", size(moves[name].in) + " / " + size(moves[name].out),
					milliseconds(j[name].Levels[0].Quantiles[0].Value)})
			}
		}
		for i, name := range order {
			r := j[name].Effect.Ratio
			cell := fmt.Sprintf("%.2f [%.2f, %.2f]", r.Value, r.Low, r.High)
			if d := math.Abs(j[name].Drift.Largest); d > stats.DriftMargin { // as the notebook fingerprint judges
				cell = fmt.Sprintf("INVALID: the baseline drifted by %.1f%%", 100*d)
			}
			rows[i+1] = append(rows[i+1], cell)
		}
	}
	return rows
}

// turnTable holds the recorded medians against the law of turns: the time without
// load, less the request's own copies, rounded up to a turn, and those copies.
// Arguments: a recording and a direction, and the turn in milliseconds. The link's
// capacity is the recording's.
func turnTable(t *testing.T, args []string) table {
	dir, direction := cut(t, args[0])
	var turn float64
	if _, err := fmt.Sscanf(args[1], "%g ms", &turn); err != nil {
		t.Fatalf("%q: %v", args[1], err)
	}
	rows := table{{"model", "copied, " + direction, "recorded without load, ms", "turns", "recorded under load, ms", "by the law, ms", "error"}}
	moves := requests(t, dir)
	names, j := modelsOf(t, dir, direction)
	worst := 0.0
	for _, name := range names {
		bytes := moves[name].out
		if direction == "h2d" {
			bytes = moves[name].in
		}
		levels := j[name].Levels
		heaviest := levels[len(levels)-1]
		alone, loaded := levels[0].Quantiles[0].Value/1e6, heaviest.Quantiles[0].Value/1e6
		turns, law := rounded(j[name], bytes, turn)
		row := []string{"`" + name + "`", size(bytes), fmt.Sprintf("%.3f", alone), fmt.Sprint(turns), fmt.Sprintf("%.3f", loaded)}
		if direction == "h2d" && bytes <= 24576 {
			row[3] = "0, the small path"
			rows = append(rows, append(row, fmt.Sprintf("%.3f", alone), fmt.Sprintf("%+.1f%%", 100*(alone/loaded-1))))
			continue
		}
		worst = max(worst, math.Abs(law/loaded-1))
		rows = append(rows, append(row, fmt.Sprintf("%.3f", law), fmt.Sprintf("%+.1f%%", 100*(law/loaded-1))))
	}
	if worst > 0.01 {
		t.Errorf("the law of turns is off by %.1f%% in %s: it no longer stands, say so", 100*worst, dir)
	}
	return rows
}

// rounded is a model's time beside a load that fills the link by the law of turns, in
// milliseconds, and the turns that it takes. It copies so many bytes the load's way.
func rounded(j judgement, bytes, turn float64) (turns, law float64) {
	heaviest := j.Levels[len(j.Levels)-1]
	copies := bytes / (heaviest.Achieved / *heaviest.Utilisation) * 1e3
	turns = math.Ceil((j.Levels[0].Quantiles[0].Value/1e6 - copies) / turn)
	return turns, turns*turn + copies
}

// halfTable has medians in float32 and in float16, alone and beside a load from device
// to host, and what the law of turns says of the latter. Arguments: a recording, and
// the turn in milliseconds.
func halfTable(t *testing.T, args []string) table {
	var turn float64
	if _, err := fmt.Sscanf(args[1], "%g ms", &turn); err != nil {
		t.Fatalf("%q: %v", args[1], err)
	}
	rows := table{{"model", "float32 alone, ms", "beside a load, ms", "float16 alone, ms", "beside a load, ms", "by the law, ms", "error"}}
	moves := requests(t, args[0])
	names := slices.Sorted(maps.Keys(moves))
	var what []string
	for _, name := range names {
		for _, precision := range []string{"float32", "float16"} {
			what = append(what, fmt.Sprintf("%s point=%s/1/128/%s", args[0], name, precision))
		}
	}
	found, worst := judges(t, what), 0.0
	for i, name := range names {
		row := []string{"`" + name + "`"}
		for _, j := range found[2*i:][:2] {
			for _, level := range j.Levels {
				row = append(row, fmt.Sprintf("%.3f", level.Quantiles[0].Value/1e6))
			}
		}
		half := found[2*i+1]
		_, law := rounded(half, moves[name].out, turn)
		off := law/(half.Levels[1].Quantiles[0].Value/1e6) - 1
		worst = max(worst, math.Abs(off))
		rows = append(rows, append(row, fmt.Sprintf("%.3f", law), fmt.Sprintf("%+.1f%%", 100*off)))
	}
	if worst > 0.01 {
		t.Errorf("the law of turns is off by %.1f%% in %s: it no longer stands, say so", 100*worst, args[0])
	}
	return rows
}

// foretoldTable has how far loads that are predicted by a card, and by what the H100's
// recordings teach, lie from what other recordings hold: "data/... | data/link/....json".
func foretoldTable(t *testing.T, args []string) table {
	rows := table{{"recording", "loads", "p50 within 1%", "p99 within 5%", "quantiles inside the 90% interval", "worst p50", "worst p99"}}
	learned, err := prediction.ReadLesson(".", "h100")
	if err != nil {
		t.Fatal(err)
	}
	for _, arg := range args {
		dir, file := cut(t, arg)
		card, err := link.Read(file)
		if err != nil {
			t.Fatal(err)
		}
		scores, err := prediction.ScoreTransfer(card, ".", []string{dir}, learned)
		if err != nil || len(scores) == 0 {
			t.Fatalf("%s: %d loads, %v", dir, len(scores), err)
		}
		inside, good, worst := 0, [2]int{}, [3]*prediction.Score{scores[0], scores[0], scores[0]}
		for _, s := range scores {
			allowed := prediction.Allowed[s.Condition.Class()]
			if allowed != [2]float64{0.01, 0.05} {
				t.Errorf("%s: %s is %s: the columns' names say otherwise", dir, s.Load(), s.Condition.Class())
			}
			for i, q := range []int{0, 2} {
				if math.Abs(s.Error(q)) <= allowed[i] {
					good[i]++
				}
			}
			for i := range prediction.Quantiles {
				if s.Inside(i) {
					inside++
				}
				if math.Abs(s.Error(i)) > math.Abs(worst[i].Error(i)) {
					worst[i] = s
				}
			}
		}
		row := []string{"[`" + strings.TrimPrefix(dir, "data/") + "`](" + strings.TrimPrefix(dir, "data/") + "/run.json)", fmt.Sprint(len(scores)),
			fmt.Sprint(good[0]), fmt.Sprint(good[1]), fmt.Sprintf("%d of %d", inside, 3*len(scores))}
		for _, i := range []int{0, 2} {
			row = append(row, fmt.Sprintf("%s: `%s` beside %s", change(1+worst[i].Error(i)), worst[i].Own.Model, strings.TrimSpace(worst[i].Load())))
		}
		rows = append(rows, row)
	}
	return rows
}

// cardTable has what link cards say of turns and of the small path.
func cardTable(t *testing.T, _ []string) table {
	rows := table{{"card", "GPU", "day", "direction", "turn, ms [95%]", "beside two and three loads, ms",
		"small path, nothing pending", "small path, behind a kernel", "capacity, GB/s"}}
	files, err := filepath.Glob("data/link/*.json")
	if err != nil || len(files) == 0 {
		t.Fatalf("cards %v, %v", files, err)
	}
	for _, file := range files {
		card, err := link.Read(file)
		if err != nil {
			t.Fatal(err)
		}
		gpu := card.GPU
		if card.MPS {
			gpu += ", through MPS"
		}
		for _, direction := range []string{"d2h", "h2d"} {
			way := card.Ways[direction]
			waits := map[int]float64{}
			for _, l := range way.Turn.Loads {
				waits[l.Processes] = max(waits[l.Processes], l.Wait.Value)
			}
			length := way.Turn.Length
			rows = append(rows, []string{"`" + strings.TrimSuffix(filepath.Base(file), ".json") + "`", gpu, card.Day, direction,
				fmt.Sprintf("%.4f [%.4f, %.4f]", length.Value/1e6, length.Low/1e6, length.High/1e6),
				fmt.Sprintf("%.2f, %.2f", waits[2]/1e6, waits[3]/1e6),
				fmt.Sprintf("%d bytes", way.Small.Idle), fmt.Sprintf("%d bytes", way.Small.Behind),
				fmt.Sprintf("%.1f", card.Capacity[direction].Value/1e9)})
		}
	}
	return rows
}

// notebookTable has what package nb offers a notebook, by the first sentence of
// its documentation.
func notebookTable(t *testing.T, _ []string) table {
	files := token.NewFileSet()
	var parsed []*ast.File
	found, err := filepath.Glob("notebooks/nb/*.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range found {
		if strings.HasSuffix(path, "_test.go") {
			continue
		}
		f, err := parser.ParseFile(files, path, nil, parser.ParseComments)
		if err != nil {
			t.Fatal(err)
		}
		parsed = append(parsed, f)
	}
	p, err := doc.NewFromFiles(files, parsed, "barograph/notebooks/nb")
	if err != nil {
		t.Fatal(err)
	}
	rows := table{{"call", "what it does"}}
	add := func(prefix string, f *doc.Func) {
		var b strings.Builder
		decl := *f.Decl
		decl.Body, decl.Doc = nil, nil
		if err := printer.Fprint(&b, files, &decl); err != nil {
			t.Fatal(err)
		}
		signature := strings.TrimPrefix(b.String(), "func ")
		if decl.Recv != nil {
			_, signature, _ = strings.Cut(signature, ") ")
		}
		rows = append(rows, []string{"`" + prefix + strings.ReplaceAll(signature, "|", `\|`) + "`", p.Synopsis(f.Doc)})
	}
	functions := slices.Clone(p.Funcs)
	for _, typ := range p.Types {
		functions = append(functions, typ.Funcs...)
	}
	slices.SortFunc(functions, func(a, b *doc.Func) int { return cmp.Compare(a.Name, b.Name) })
	for _, f := range functions {
		add("nb.", f)
	}
	for _, typ := range p.Types {
		if typ.Name == "Error" {
			continue
		}
		for _, f := range typ.Methods {
			add(strings.ToLower(typ.Name)+".", f)
		}
	}
	return rows
}
