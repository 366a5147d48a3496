package acceptance

import (
	"encoding/csv"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sync/errgroup"

	"barograph/stages/recording"
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
	summaries := concluded(t, folders, "summary.csv")
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
		if found[0]["kept"] != "" {
			rows = append(rows, append(row, fmt.Sprintf("%.0f%%*", 100*number("kept")), ""))
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

// boundTable has what guards promised in recordings, and what they saw.
func boundTable(t *testing.T, args []string) table {
	columns := []string{"policy, load, sharing", "bound, ms", "while slow, ms", "longest in flight, ms", "copies", "slow", "beyond"}
	rows := table{append([]string{"recording"}, columns...)}
	told := concluded(t, args, "bounds.csv")
	for _, folder := range args {
		for _, r := range told[folder] {
			row := []string{"`" + strings.TrimPrefix(folder, "data/") + "`"}
			for i, column := range columns {
				cell := r[column]
				if i == 0 {
					policy, where, _ := strings.Cut(cell, " ")
					cell = "`" + policy + "` " + where
				}
				row = append(row, cell)
			}
			rows = append(rows, row)
		}
	}
	return rows
}

// outcomes are the folders that notebooks wrote to, for the tables that show them too.
var outcomes = map[string]string{}

// concluded returns a table that recordings' notebooks write, its rows by their columns.
func concluded(t *testing.T, folders []string, name string) map[string][]map[string]string {
	t.Helper()
	all := map[string][]map[string]string{}
	for _, folder := range folders {
		all[folder] = nil
	}
	var work errgroup.Group
	work.SetLimit(runtime.NumCPU())
	for folder := range maps.Keys(all) {
		if outcomes[folder] != "" {
			continue
		}
		out := t.TempDir()
		outcomes[folder] = out
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
	for folder := range all {
		f, err := os.Open(filepath.Join(outcomes[folder], name))
		if err != nil {
			t.Fatal(err)
		}
		lines, err := csv.NewReader(f).ReadAll()
		f.Close()
		if err != nil || len(lines) < 2 {
			t.Fatalf("%s of %s: %d lines, %v", name, folder, len(lines), err)
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
