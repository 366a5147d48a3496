package recording

import (
	"cmp"
	"path"
	"strconv"
	"strings"
	"time"

	"barograph/pipeline/cell"
	"barograph/pipeline/record"
)

// Recorded says which cells the run.json among a recording's files tells of: those
// that calibrated, and each trial's, in the order of the file.
func Recorded(files map[string]string) (all []cell.Recorded, err error) {
	for name, file := range files {
		if path.Base(name) != record.Run {
			continue
		}
		r, err := ReadRun(file)
		if err != nil {
			return nil, err
		}
		for _, c := range r.Calibrations {
			all = append(all, cell.Recorded{ID: c.ID, Stage: stageOf(c.ID), With: c.With, Timed: length(c.Result.Window)})
		}
		for _, t := range r.Trials {
			if t.Stress != nil && t.Background != "" {
				all = append(all, cell.Recorded{ID: t.Background, Stage: stageOf(t.Background), With: t.StressWith, Timed: length(t.Stress.Window)})
			}
			all = append(all, t.recorded())
		}
	}
	return all, nil
}

func (t *Trial) recorded() cell.Recorded {
	in := t.Infer
	c := cell.Recorded{ID: t.ID, Stage: cmp.Or(t.Stage, stageOf(t.ID)), With: t.With, Timed: length(in.Window)}
	library, version, _ := strings.Cut(in.Library, " ")
	if library != "" {
		c.Software = append(c.Software, cell.Software{Name: library, Version: version, Digest: in.LibrarySHA})
	}
	if in.Model != "" {
		c.Software = append(c.Software, cell.Software{Name: "model " + in.Model, Digest: in.ModelSHA})
	}
	fact := func(name, value string) {
		if value != "" {
			c.Facts = append(c.Facts, [2]string{name, value})
		}
	}
	fact("execution provider", in.Provider)
	if in.Weights > 0 {
		fact(cell.Weights, strconv.FormatInt(in.Weights, 10))
	}
	fact("simulated", strconv.FormatBool(t.Simulated()))
	if in.GPU != nil {
		fact("gpu", in.GPU.Before.Name)
		fact("gpu uuid", in.GPU.Before.UUID)
		fact("gpu driver", in.GPU.Before.Driver)
	}
	return c
}

// stageOf returns the stage of a cell by its id.
func stageOf(id string) string {
	if i := strings.IndexAny(id, "[@"); i >= 0 {
		return id[:i]
	}
	return id
}

func length(window [2]int64) time.Duration { return time.Duration(window[1] - window[0]) }
