package acceptance

import (
	"encoding/csv"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sync/errgroup"

	"barograph/stages/recording"
	"barograph/stages/result"
)

// reliefTable has a row for each argument, "what the load does | what is done about it | a
// recording of mitigation or bypass, and columns of its notebook's table that select one row":
// p99 over that without load, and what the load keeps, of the capacity that was calibrated
// there or, marked by a star, of what it carries beside a model that copies. An argument
// goes on in lines that are indented.
func reliefTable(t *testing.T, args []string) table {
	args = strings.Split(strings.ReplaceAll(strings.Join(args, "\n"), "\n  ", " "), "\n")
	folders := make([]string, len(args))
	for i, arg := range args {
		folders[i] = strings.Fields(strings.Split(arg, "|")[2])[0]
	}
	summaries := concluded(t, folders)
	rows := table{{"the load copies", "let it, or have the model", "recording", "calls", "p99 over that without load", "load keeps", "of, GB/s"}}
	for i, arg := range args {
		f := strings.Split(arg, "|")
		var found []map[string]string
		for _, r := range summaries[folders[i]] {
			if matches(r, strings.Fields(f[2])[1:]) {
				found = append(found, r)
			}
		}
		if len(found) != 1 {
			t.Fatalf("%s: %d rows of the notebook's table, want 1", arg, len(found))
		}
		number := func(column string) float64 {
			x, err := strconv.ParseFloat(found[0][column], 64)
			if err != nil {
				t.Fatalf("%s: %s: %v", arg, column, err)
			}
			return x
		}
		name := strings.TrimPrefix(folders[i], "data/")
		row := []string{strings.TrimSpace(f[0]), strings.TrimSpace(f[1]), fmt.Sprintf("[`%s`](%s/run.json)", name, name), found[0]["calls"],
			fmt.Sprintf("%.2f [%.2f, %.2f]", number("p99_ratio"), number("p99_ratio_low"), number("p99_ratio_high"))}
		if kept, ok := found[0]["kept"]; ok { // of the study bypass
			if kept != "" {
				kept = fmt.Sprintf("%.0f%%*", 100*number("kept"))
			}
			rows = append(rows, append(row, kept, ""))
			continue
		}
		run, err := recording.ReadRun(filepath.Join(folders[i], "run.json"))
		if err != nil || len(run.Calibrations) == 0 {
			t.Fatalf("%s: %d calibrations, %v", folders[i], len(run.Calibrations), err)
		}
		capacity := run.Calibrations[0].Result.Capacity[found[0]["direction"]]
		rows = append(rows, append(row, fmt.Sprintf("%.0f%%", 100*number("share")), fmt.Sprintf("%.1f", capacity/1e9)))
	}
	return rows
}

func matches(row map[string]string, wheres []string) bool {
	for _, where := range wheres {
		if column, value, _ := strings.Cut(where, "="); row[column] != value {
			return false
		}
	}
	return true
}

// boundTable has what guards promised in recordings, a row for each policy, and what they saw.
func boundTable(t *testing.T, args []string) table {
	rows := table{{"recording", "policy", "load", "bound, ms", "while slow, ms", "longest in flight, ms", "copies", "slow", "beyond"}}
	for _, folder := range args {
		run, err := recording.ReadRun(filepath.Join(folder, "run.json"))
		if err != nil {
			t.Fatal(err)
		}
		type seen struct {
			guard  result.Guard
			copies int64
		}
		all, names := map[[2]string]seen{}, [][2]string(nil)
		for _, trial := range run.Trials {
			if trial.Stress == nil || trial.Stress.Guard == nil {
				continue
			}
			at := map[string]string{}
			for _, c := range trial.Point {
				at[c.Axis] = fmt.Sprint(c.Value)
			}
			name, g := [2]string{at["policy"], at["direction"] + ", " + at["sharing"]}, trial.Stress.Guard
			if g.Bound == 0 {
				continue
			}
			s, ok := all[name]
			if !ok {
				names = append(names, name)
			}
			s.guard.Bound, s.guard.Usual = max(s.guard.Bound, g.Bound), max(s.guard.Usual, g.Usual)
			s.guard.Longest = max(s.guard.Longest, g.Longest)
			s.guard.Slow, s.guard.Violations = s.guard.Slow+g.Slow, s.guard.Violations+g.Violations
			if s.copies += trial.Stress.Copies; g.Usual > 0 {
				s.copies += g.Beside - trial.Stress.Copies // those beside calls, which are held against it
			}
			all[name] = s
		}
		slices.SortFunc(names, func(a, b [2]string) int { return slices.Compare(a[:], b[:]) })
		for _, name := range names {
			s := all[name]
			row := []string{"`" + strings.TrimPrefix(folder, "data/") + "`", "`" + name[0] + "`", name[1], "", "", "", fmt.Sprint(s.copies), "", fmt.Sprint(s.guard.Violations)}
			ms := func(ns int64) string { return fmt.Sprintf("%.3f", float64(ns)/1e6) }
			row[3], row[5] = ms(s.guard.Bound), ms(s.guard.Longest)
			if s.guard.Usual > 0 {
				row[3], row[4], row[7] = ms(s.guard.Usual), ms(s.guard.Bound), fmt.Sprint(s.guard.Slow)
			}
			rows = append(rows, row)
		}
	}
	return rows
}

// concluded returns the tables that recordings' notebooks write, rows by their columns.
func concluded(t *testing.T, folders []string) map[string][]map[string]string {
	t.Helper()
	all, outs := map[string][]map[string]string{}, map[string]string{}
	var work errgroup.Group
	work.SetLimit(runtime.NumCPU())
	for _, folder := range folders {
		if outs[folder] != "" {
			continue
		}
		out := t.TempDir()
		outs[folder] = out
		work.Go(func() error {
			said, err := exec.Command(program, "notebook", "run", filepath.Base(filepath.Dir(folder)), "--data", folder, "-o", out).CombinedOutput()
			if exit, _ := err.(*exec.ExitError); err != nil && (exit == nil || exit.ExitCode() != 3) { // INVALID, and said so
				return fmt.Errorf("%s: %v\n%s", folder, err, said)
			}
			return nil
		})
	}
	if err := work.Wait(); err != nil {
		t.Fatal(err)
	}
	for folder, out := range outs {
		f, err := os.Open(filepath.Join(out, "summary.csv"))
		if err != nil {
			t.Fatal(err)
		}
		lines, err := csv.NewReader(f).ReadAll()
		f.Close()
		if err != nil || len(lines) < 2 {
			t.Fatalf("%s: a table of %d lines, %v", folder, len(lines), err)
		}
		for _, line := range lines[1:] {
			row := map[string]string{}
			for i, column := range lines[0] {
				row[column] = line[i]
			}
			all[folder] = append(all[folder], row)
		}
	}
	return all
}
