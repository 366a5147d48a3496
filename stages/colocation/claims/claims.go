// Package claims judges what a manifest of claims expects of models that share a device.
package claims

import (
	"path/filepath"
	"slices"

	"barograph/pipeline/cell"
	"barograph/pipeline/manifest"
	"barograph/pipeline/record"
	"barograph/stages/colocation"
	"barograph/stages/judge"
	"barograph/stages/judge/command"
	"barograph/stages/recording"
)

// Judgings are of the claims that [colocation.Report.Conclude] concludes. A recording is
// read once for all of them.
func Judgings() map[string]command.Judging {
	of, read := map[string]command.Judging{}, map[string][]colocation.Conclusion{}
	for _, c := range new(colocation.Report).Conclude() {
		of[c.Claim] = func(e manifest.Expectation) (string, float64, error) {
			all, ok := read[e.Recording]
			if !ok {
				var err error
				if all, err = conclude(e.Recording); err != nil {
					return "", 0, err
				}
				read[e.Recording] = all
			}
			i := slices.IndexFunc(all, func(x colocation.Conclusion) bool { return x.Claim == c.Claim })
			return all[i].Verdict, all[i].Effect, nil
		}
	}
	return of
}

// conclude judges a recording anew.
func conclude(dir string) ([]colocation.Conclusion, error) {
	run, _, err := recording.ReadSealed(dir)
	if err != nil {
		return nil, err
	}
	samples, err := recording.Open(filepath.Join(dir, record.Samples), recording.Options{Recorded: true, Columns: append([]string{"group"}, colocation.Columns...)})
	if err != nil {
		return nil, err
	}
	report, err := colocation.Compare(samples, 1)
	if err != nil {
		return nil, err
	}
	all := report.Conclude()
	if judge.Untrusted(run) != "" {
		for i := range all {
			all[i].Verdict = cell.Invalid
		}
	}
	return all, nil
}
