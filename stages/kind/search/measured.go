package search

import (
	"encoding/csv"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"slices"
	"strconv"

	"barograph/pipeline/cell"
	"barograph/stages/guard"
	"barograph/stages/stats"
)

// measured reads what was measured of policies, with a load in one direction and
// sharing, from tables that the study mitigation leaves (summary.csv): of the worst model
// the p99 over that without load, and the least share of the link. A policy under which
// a model made too few calls for a p99 is left out.
func measured(files []string, direction, sharing string) (map[string]score, error) {
	all := map[string]score{}
	few := map[string]bool{}
	for _, file := range files {
		rows, at, err := readTable(file)
		if err != nil {
			return nil, err
		}
		for i, row := range rows {
			policy := row[at["policy"]]
			if p, err := guard.Parse(policy); err == nil { // it may be written in several ways
				policy = p.String()
			}
			if row[at["direction"]] != direction || row[at["sharing"]] != sharing {
				continue
			}
			if row[at["p99_ratio"]] == "" {
				few[policy] = true
				continue
			}
			p99, err1 := strconv.ParseFloat(row[at["p99_ratio"]], 64)
			kept, err2 := strconv.ParseFloat(row[at["share"]], 64)
			if err := errors.Join(err1, err2); err != nil {
				return nil, fmt.Errorf("%s: row %d: %w", file, i+2, err)
			}
			s, ok := all[policy]
			if !ok {
				s = score{p99: p99, kept: kept}
			}
			all[policy] = score{p99: max(s.p99, p99), kept: min(s.kept, kept)}
		}
	}
	for policy := range few {
		delete(all, policy)
	}
	return all, nil
}

// readTable returns a table's rows, and where its columns stand.
func readTable(file string) (rows [][]string, at map[string]int, err error) {
	f, err := os.Open(file)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil, cell.Hint(fmt.Errorf("measured: there is no %s", file), "name it in the stage's inputs: too")
	}
	if err != nil {
		return nil, nil, err
	}
	defer f.Close()
	if rows, err = csv.NewReader(f).ReadAll(); err == nil && len(rows) == 0 {
		err = errors.New("it has no header")
	}
	if err != nil {
		return nil, nil, fmt.Errorf("measured: %s is no table: %w", file, err)
	}
	at = map[string]int{}
	for _, column := range []string{"policy", "direction", "sharing", "share", "p99_ratio"} {
		i := slices.Index(rows[0], column)
		if i < 0 {
			return nil, nil, cell.Hint(fmt.Errorf("measured: %s has no column %q", file, column), "it takes summary.csv of the study mitigation")
		}
		at[column] = i
	}
	return rows[1:], at, nil
}

// rank says how well the order of policies in the simulation is that of what was
// measured.
func rank(all []candidate) string {
	var sim, real [2][]float64 // p99, and share of the link
	for _, x := range all {
		if math.IsNaN(x.measured.p99) {
			continue
		}
		sim[0], real[0] = append(sim[0], x.seen.p99), append(real[0], x.measured.p99)
		sim[1], real[1] = append(sim[1], x.seen.kept), append(real[1], x.measured.kept)
	}
	n := len(sim[0])
	if n < 3 {
		return fmt.Sprintf("%d of these policies were measured: too few to compare their order with", n)
	}
	text := fmt.Sprintf("rank correlation of %d policies, simulated on what the search saw, with what was measured (Kendall's tau-b):", n)
	for i, what := range []string{"p99", "link kept"} {
		tau, err := stats.KendallTauB(sim[i], real[i])
		if err != nil {
			return err.Error()
		}
		text += fmt.Sprintf(" %s %.2f", what, tau)
		if i == 0 {
			text += ","
		}
	}
	return text
}
