package job

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"barograph/pipeline/cell"
	"barograph/pipeline/cell/scratch"
	"barograph/pipeline/record"
	"barograph/stages/notebook"
	"barograph/stages/notebook/script"
	"barograph/stages/recording"

	"github.com/spf13/cobra"
	"gopkg.in/yaml.v3"
)

func checkCommand() *cobra.Command {
	var data, params []string
	var timeout time.Duration
	c := &cobra.Command{
		Use:   "check [NAME|DIR...]",
		Short: "Prove that the interpreter and the Go compiler agree on notebooks",
		Long: `Check notebooks, all of them below notebooks/ if none is named: gofmt and go vet
must find nothing, and what the interpreter would do otherwise than the compiler
is refused. Then both engines run the notebook, and what it leaves and prints is
compared byte for byte.

The notebooks run on the recordings named by --data; else on the one in their own
folder testdata/, if there is one; else on every recording below data/ of a study
in configs/ with a stage that has this notebook, with that stage's parameters, and
those samples that its "where" selects at each of its axis values; and
if no study has it, on every recording below data/.`,
		Args: cobra.ArbitraryArgs,
		RunE: func(c *cobra.Command, args []string) error {
			root, err := os.Getwd()
			if err != nil {
				return err
			}
			with, err := parameters(params)
			if err == nil {
				err = positive(timeout)
			}
			if err != nil {
				return err
			}
			if len(args) == 0 {
				if args, err = shippedNames(root); err != nil {
					return err
				}
				if len(args) == 0 {
					return cell.Usage(cell.Hint(errors.New("no notebook to check"), "run this where notebooks/ is"))
				}
			}
			var wrong []error
			for _, name := range args {
				dir, err := find(root, name)
				if err == nil {
					err = check(c.Context(), Job{Root: root, Dir: dir, With: with, timeout: timeout}, data, c.OutOrStdout())
				}
				if c.Context().Err() != nil {
					return c.Context().Err()
				}
				if err != nil {
					wrong = append(wrong, err)
				}
			}
			return errors.Join(wrong...)
		},
	}
	c.Flags().StringArrayVar(&data, "data", nil, "`folder` whose files the notebook may read; may be repeated")
	c.Flags().StringArrayVar(&params, "param", nil, "parameter as `name=value`; may be repeated")
	c.Flags().DurationVar(&timeout, "timeout", defaultTimeout, "stop a run after this `time`; 0: never")
	return c
}

// shippedNames returns the names of the workspace's notebooks.
func shippedNames(root string) ([]string, error) {
	found, err := filepath.Glob(filepath.Join(root, "notebooks", "*", script.File))
	names := make([]string, len(found))
	for i, f := range found {
		names[i] = filepath.Base(filepath.Dir(f))
	}
	return names, err
}

// check checks one notebook on all its data.
func check(ctx context.Context, j Job, data []string, out io.Writer) error {
	name := notebook.SourceName(&cell.Spec{Root: j.Root, Notebook: j.Dir})
	source, err := script.Parse(j.Dir, name)
	if err != nil {
		return script.Hinted(err)
	}
	if err := source.Formatted(); err != nil {
		return cell.Usage(err)
	}
	vet := exec.CommandContext(ctx, "go", "vet", filepath.Join(j.Dir, script.File))
	vet.Dir = j.Root
	if said, err := vet.CombinedOutput(); err != nil {
		return cell.Usage(fmt.Errorf("go vet %s: %w\n%s", name, err, bytes.TrimSpace(said)))
	}
	var uses []use
	for _, d := range data {
		uses = append(uses, use{d, nil})
	}
	if len(data) == 0 {
		if uses, err = j.recordings(); err != nil {
			return err
		}
	}
	given := j.With
	for _, u := range uses {
		j.Data, j.With = u.data, notebook.With{}
		maps.Copy(j.With, u.with)
		maps.Copy(j.With, given)
		n, err := j.compare(ctx)
		if err != nil {
			return fmt.Errorf("%s on %s: %w", name, u, err)
		}
		fmt.Fprintf(out, "%s on %s: %d outputs, the same from both engines\n", name, u, n)
	}
	return nil
}

// A use is a recording that a notebook is checked on, and the parameters that a
// study gives it there.
type use struct {
	data string
	with notebook.With
}

func (u use) String() string {
	text := u.data
	for _, name := range slices.Sorted(maps.Keys(u.with)) {
		value := fmt.Sprint(u.with[name])
		if b, err := json.Marshal(u.with[name]); err == nil && b[0] == '{' {
			value = "'" + string(b) + "'"
		}
		text += " --param " + name + "=" + value
	}
	return text
}

// recordings returns what a notebook is checked on unless folders are named.
func (j *Job) recordings() ([]use, error) {
	if own := filepath.Join(j.Dir, "testdata"); isDir(own) {
		return []use{{own, nil}}, nil
	}
	sealed, err := record.All(j.Root)
	if err != nil {
		return nil, err
	}
	if len(sealed) == 0 {
		return nil, cell.Hint(fmt.Errorf("no recording to check %s on", filepath.Base(j.Dir)), "name one with --data, or make one: barograph run --machine sim")
	}
	studies, err := j.studies()
	if err != nil {
		return nil, err
	}
	var uses []use
	for _, s := range sealed {
		rel, err := filepath.Rel(j.Root, s)
		if err != nil {
			return nil, err
		}
		if len(studies) == 0 {
			uses = append(uses, use{rel, nil})
		}
		for _, with := range studies[filepath.Base(filepath.Dir(rel))] {
			u := use{rel, maps.Clone(with)}
			// What only the study can work out, such as an axis of the stage, is left out.
			maps.DeleteFunc(u.with, func(_ string, v any) bool { return isExpression(v) })
			where, selects := with["where"].(notebook.With)
			if !selects {
				uses = append(uses, u)
				continue
			}
			selections, err := selections(where, filepath.Join(s, record.Samples))
			if err != nil {
				return nil, err
			}
			for _, selection := range selections {
				one := use{rel, maps.Clone(u.with)}
				one.with["where"] = selection
				uses = append(uses, one)
			}
		}
	}
	if len(uses) == 0 {
		return nil, cell.Hint(fmt.Errorf("no recording to check %s on: the studies that have it, %s, have none below data/",
			filepath.Base(j.Dir), strings.Join(slices.Sorted(maps.Keys(studies)), ", ")), "name one with --data")
	}
	return uses, nil
}

func isExpression(v any) bool { return strings.Contains(fmt.Sprint(v), "${{") }

// selections returns the ways in which a stage's "where" may select samples of a
// recording: a value that only the study can work out, such as an axis of the
// stage, is each that the column has there.
func selections(where notebook.With, samples string) ([]notebook.With, error) {
	all := []notebook.With{{}}
	for _, column := range slices.Sorted(maps.Keys(where)) {
		values := []any{where[column]}
		if isExpression(where[column]) {
			var err error
			if values, err = distinct(samples, column); err != nil {
				return nil, err
			}
		}
		var next []notebook.With
		for _, selection := range all {
			for _, value := range values {
				one := maps.Clone(selection)
				one[column] = value
				next = append(next, one)
			}
		}
		all = next
	}
	return all, nil
}

// distinct returns the values that a column of a recording has, in their order;
// none if there is no such column.
func distinct(path, column string) ([]any, error) {
	table, err := recording.Open(path, recording.Options{Columns: []string{column}, Texts: []string{column}, Recorded: true})
	if none := (*recording.NoColumnError)(nil); errors.As(err, &none) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	groups, err := table.By(column)
	var values []any
	for _, g := range groups {
		values = append(values, g.Value)
	}
	return values, err
}

// studies returns the parameters that stages of the workspace's studies give the
// notebook, by study: on recordings of others it may make no sense.
func (j *Job) studies() (map[string][]notebook.With, error) {
	files, err := filepath.Glob(filepath.Join(j.Root, "configs", "*.yaml"))
	if err != nil {
		return nil, err
	}
	found := map[string][]notebook.With{}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			return nil, err
		}
		var study struct {
			Study  string
			Stages map[string]struct {
				Notebook string
				With     notebook.With
			}
		}
		if yaml.Unmarshal(text, &study) != nil {
			continue // no study, or one whose own commands say what is wrong
		}
		for _, name := range slices.Sorted(maps.Keys(study.Stages)) {
			stage := study.Stages[name]
			if stage.Notebook == "" || filepath.Join(j.Root, stage.Notebook) != j.Dir {
				continue
			}
			if !slices.ContainsFunc(found[study.Study], func(w notebook.With) bool { return fmt.Sprint(w) == fmt.Sprint(stage.With) }) {
				found[study.Study] = append(found[study.Study], stage.With)
			}
		}
	}
	return found, nil
}

func isDir(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.IsDir()
}

// compare runs the notebook in both engines, and returns how many outputs were
// found to be the same.
func (j Job) compare(ctx context.Context) (n int, err error) {
	left := map[bool]map[string][]byte{}
	for _, compiled := range []bool{false, true} {
		j.compiled = compiled
		if left[compiled], err = j.leaves(ctx); err != nil {
			if compiled {
				err = fmt.Errorf("interpreted it runs, compiled it does not: %w", err)
			}
			return 0, err
		}
	}
	if err := notebook.Differences(left[false], left[true]); err != nil {
		return 0, err
	}
	return len(left[false]) - 1, nil
}

// leaves runs the notebook and returns all that it leaves.
func (j *Job) leaves(ctx context.Context) (left map[string][]byte, err error) {
	defer cell.Hold()() // the folder, and the process that runs in it
	dir, drop, err := scratch.New()
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, drop()) }()
	var log bytes.Buffer
	j.Log = &log
	if err := j.runIn(ctx, dir); err != nil {
		return nil, err
	}
	names, err := notebook.FilesBelow(dir)
	if err != nil {
		return nil, err
	}
	left = map[string][]byte{notebook.Printed: log.Bytes()}
	for _, name := range names {
		if name == notebook.RecordFile { // which only the interpreter's run keeps
			continue
		}
		if left[name], err = os.ReadFile(filepath.Join(dir, name)); err != nil {
			return nil, err
		}
	}
	return left, nil
}
