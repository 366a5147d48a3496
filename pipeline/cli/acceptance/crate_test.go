package acceptance

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"barograph/pipeline/cell/filetest"
	"barograph/stages/asset"
)

// exported makes crates, zips named after the recordings, in a folder of its own that
// holds the project's studies. A recording is replayed first, so that figures and
// verdicts stand.
func exported(t *testing.T, recordings ...string) (dir string) {
	dir = t.TempDir()
	for _, name := range append([]string{"configs", "notebooks"}, recordings...) {
		if err := os.CopyFS(filepath.Join(dir, name), os.DirFS(name)); err != nil {
			t.Fatal(err)
		}
	}
	cff, err := os.ReadFile("CITATION.cff")
	if err == nil {
		err = os.WriteFile(filepath.Join(dir, "CITATION.cff"), cff, 0o666)
	}
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range recordings {
		in(t, dir, program, "run", "--replay", r)
		in(t, dir, program, "export", "--replay", r, "--crate", strings.ReplaceAll(r, "/", "-")+".zip")
	}
	return dir
}

// in runs a command in a folder and returns what it wrote to standard output.
func in(t *testing.T, dir, name string, args ...string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), name, args...)
	cmd.Dir = dir
	var message strings.Builder
	cmd.Stderr = &message
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, message.String())
	}
	return string(out)
}

// half is a study of which one cell fails, so that another waits for ever.
const half = `study: half
stages:
  make:
    uses: command
    matrix: {n: [1, 2, 3]}
    env: {WORD: "a word"}
    run: test ${{ n }} != 2 && echo $WORD > out-${{ n }}.txt
    outputs: ["out-${{ n }}.txt"]
  join: {uses: command, needs: [make], run: "cat out-*.txt > all.txt", outputs: [all.txt]}
`

// TestCrates: crates of two recordings answer questions, and are valid.
func TestCrates(t *testing.T) {
	t.Parallel()
	dir := exported(t, "data/paper/h100", "data/mitigation/h100")
	t.Run("CompetencyQuestions", func(t *testing.T) { competencyQuestions(t, dir) })
	t.Run("Validator", func(t *testing.T) { validator(t, dir) })
}

// validator: roc-validator finds nothing that the profile requires and a crate
// lacks, nor anything recommended in that of the paper's study. One check is out of
// reach: it wants the id of the workflow to begin with http, and the workflow is a file
// of the crate.
func validator(t *testing.T, dir string) {
	if testing.Short() {
		t.Skip("it takes 20 s")
	}
	path, contexts, err := asset.Validator(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	filetest.Write(t, filepath.Join(dir, "configs", "half.yaml"), half)
	failing := exec.Command(program, "run", "configs/half.yaml", "--keep-going")
	failing.Dir = dir
	if failing.Run() == nil {
		t.Fatal("half the study was to fail")
	}
	in(t, dir, program, "export", "configs/half.yaml", "--crate", "half-0.6.zip", "--profile", "0.6")

	// What verify names, the validator passes: a changed byte, an added file, an edited
	// time. (A lost file it finds itself.)
	in(t, dir, program, "export", "configs/half.yaml", "--crate", "edited")
	in(t, dir, "sh", "-c", `cd edited && echo more >>out-1.txt && echo new >added.txt && sed -i 's/"endTime": "20../"endTime": "1999/' ro-crate-metadata.json`)
	verify := exec.Command(program, "verify", "edited")
	verify.Dir = dir
	named, err := verify.CombinedOutput()
	if err == nil {
		t.Error("an edited crate passed")
	}
	for _, want := range []string{"out-1.txt: changed", "added.txt: added", `endTime of #run is "1999`} {
		if !strings.Contains(string(named), want) {
			t.Errorf("no %q in\n%s", want, named)
		}
	}

	script, err := filepath.Abs("pipeline/cli/acceptance/testdata/crate/validate.py")
	if err != nil {
		t.Fatal(err)
	}
	args := []string{script, filepath.Join(t.TempDir(), "cache"),
		"https://w3id.org/ro/terms/workflow-run/context=" + filepath.Join(filepath.Dir(script), "workflow-run.jsonld")}
	for version, file := range contexts {
		args = append(args, "https://w3id.org/ro/crate/"+version+"/context="+file)
	}
	const run = "provenance-run-crate-0.5"
	args = append(args, "--", run+":RECOMMENDED:data-paper-h100.zip", run+":REQUIRED:data-mitigation-h100.zip", run+":REQUIRED:edited", "ro-crate-1.3:REQUIRED:half-0.6.zip")
	checked := 0
	for line := range strings.Lines(in(t, dir, "env", append([]string{"PYTHONPATH=" + path, "python3"}, args...)...)) {
		switch fields := strings.Split(strings.TrimSpace(line), "\t"); {
		case len(fields) < 4:
			t.Error(line)
		case fields[1] == "checked":
			checked++
		case fields[1] != "process-run-crate-0.5_5.1" || fields[0] != "data-paper-h100.zip":
			t.Error(line)
		}
	}
	if checked != 4 {
		t.Errorf("%d crates were checked", checked)
	}
}

// A graph is the metadata of a crate by id.
type graph map[string]map[string]any

func metadataOf(t *testing.T, dir, zip string) graph {
	var doc struct {
		Graph []map[string]any `json:"@graph"`
	}
	if err := json.Unmarshal([]byte(in(t, dir, "python3", "-c", "import zipfile,sys; sys.stdout.buffer.write(zipfile.ZipFile(sys.argv[1]).read('ro-crate-metadata.json'))", zip)), &doc); err != nil {
		t.Fatal(err)
	}
	g := graph{}
	for _, e := range doc.Graph {
		g[e["@id"].(string)] = e
	}
	return g
}

// follow returns what a property of an entity refers to.
func (g graph) follow(e map[string]any, property string) (all []map[string]any) {
	refs, many := e[property].([]any)
	if !many {
		refs = []any{e[property]}
	}
	for _, r := range refs {
		if r, ok := r.(map[string]any); ok {
			all = append(all, g[r["@id"].(string)])
		}
	}
	return all
}

// typed lists the entities of a type.
func (g graph) typed(name string) (all []map[string]any) {
	for _, e := range g {
		if e["@type"] == name {
			all = append(all, e)
		}
		if types, ok := e["@type"].([]any); ok && slices.Contains(types, any(name)) {
			all = append(all, e)
		}
	}
	return all
}

// texts are a property of each entity, sorted.
func texts(all []map[string]any, property string) (list []string) {
	for _, e := range all {
		if s, ok := e[property].(string); ok {
			list = append(list, s)
		}
	}
	slices.Sort(list)
	return list
}

// competencyQuestions asks the crate of the paper's study what the Workflow Run RO-Crate
// group wants every crate to answer: its questions CQ1 to CQ11.
func competencyQuestions(t *testing.T, dir string) {
	g := metadataOf(t, dir, "data-paper-h100.zip")
	trial, plot := g["#cell/infer%5Blevel=4,replicate=2%5D"], g["#cell/plot"]
	if trial == nil || plot == nil {
		t.Fatal("no action of a trial, or none of plot")
	}
	has := func(question string, have []string, want ...string) {
		t.Helper()
		for _, w := range want {
			if !slices.ContainsFunc(have, func(h string) bool { return strings.Contains(h, w) }) {
				t.Errorf("%s: %q is not among %q", question, w, have)
			}
		}
	}
	// CQ1, CQ9: which container or binary, in which version.
	has("which binary", texts(g.follow(trial, "instrument"), "name"), "infer (stage infer)", "onnxruntime", "model bert-base-uncased")
	has("its version", texts(g.follow(trial, "instrument"), "softwareVersion"), "1.31.1")
	has("its digest", texts(g.follow(trial, "instrument"), "sha256"), "5104254339ecadae808da771bd0b63b240f0dbd466514234905e54372435c303")
	// CQ2: what was used.
	for _, use := range g.follow(trial, "resourceUsage") {
		if use["propertyID"] == nil || use["unitCode"] == nil || use["value"] == nil {
			t.Errorf("resource usage %v", use)
		}
	}
	has("on which machine", texts(g.follow(g.follow(trial, "location")[0], "additionalProperty"), "value"), "NVIDIA H100 80GB HBM3", "580.159.04", "Intel(R) Xeon(R)")
	// CQ3, CQ10: which configuration and which script.
	has("which script", texts(g.follow(plot, "object"), "name"), "notebooks/figure2/main.go", "data/paper/h100/samples.csv.gz")
	// CQ4: which environment.
	has("which environment", texts(g.follow(trial, "object"), "name"), "execution provider", "gpu driver")
	// CQ5, CQ6: how long it took.
	has("how long", texts(g.follow(trial, "resourceUsage"), "name"), "timed window")
	has("how long", texts(g.follow(trial, "resourceUsage"), "value"), "0.37")
	run := g["#run"]
	for _, e := range []map[string]any{plot, run} {
		if e["startTime"] == nil || e["endTime"] == nil {
			t.Errorf("%v has no times", e["@id"])
		}
	}
	// CQ7: did it succeed.
	if run["actionStatus"] != "http://schema.org/CompletedActionStatus" || run["error"] != nil {
		t.Errorf("status %v, error %v", run["actionStatus"], run["error"])
	}
	// CQ8: what went in, and what came out.
	has("inputs", texts(g.follow(run, "object"), "name"), "levels", "replicates", "calls")
	has("outputs", texts(g.follow(run, "result"), "name"), "figures/paper/h100/figure2.svg", "data/paper/h100/run.json")
	// Which parameters a cell had.
	has("parameters", texts(g.follow(trial, "object"), "name"), "batch", "calls", "model", "sequence")
	has("parameters", texts(g.follow(trial, "object"), "value"), "bert-base-uncased", "300", "true")
	// Which cell made a file.
	var makers []string
	for _, action := range g.typed("CreateAction") {
		if id := action["@id"].(string); id != "#run" && slices.Contains(texts(g.follow(action, "result"), "name"), "figures/paper/h100/figure2.svg") {
			makers = append(makers, id)
		}
	}
	if !slices.Equal(makers, []string{"#cell/plot"}) {
		t.Errorf("figure 2 was made by %q", makers)
	}
	// CQ11: how a parameter of the study reached the tools.
	var reached []string
	for _, c := range g.typed("ParameterConnection") {
		if g.follow(c, "sourceParameter")[0]["name"] == "levels" {
			reached = append(reached, g.follow(c, "targetParameter")[0]["@id"].(string))
		}
	}
	has("where levels go", reached, "stage/stress#with/threads", "stage/stress#with/block")
}
