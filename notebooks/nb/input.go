package nb

import (
	"encoding/json"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"sort"
	"strings"

	"barograph/pipeline/cell"

	"github.com/go-gota/gota/dataframe"
)

// Frame reads a CSV input as a data frame. It suits tables that a person would
// read; for raw samples [Samples] is several times faster.
func Frame(name string) dataframe.DataFrame {
	f, err := os.Open(input("Frame", name))
	if err != nil {
		raise(err, "Frame(%q)", name)
	}
	defer f.Close()
	df := dataframe.ReadCSV(f)
	if df.Err != nil {
		raise(df.Err, "Frame(%q)", name)
	}
	return df
}

// Samples reads a CSV input, such as collect's samples.csv, column by column.
// Columns named are kept, all of them if none is.
func Samples(name string, columns ...string) *Set {
	f, err := os.Open(input("Samples", name))
	if err != nil {
		raise(err, "Samples(%q)", name)
	}
	defer f.Close()
	s, err := readSet(f, columns)
	if err != nil {
		raise(err, "Samples(%q)", name)
	}
	return s
}

// JSON reads a JSON input into what v points to.
func JSON(name string, v any) {
	b, err := os.ReadFile(input("JSON", name))
	if err == nil {
		err = json.Unmarshal(b, v)
	}
	if err != nil {
		raise(err, "JSON(%q)", name)
	}
}

// A Run is what collect's run.json says of a whole recording.
type Run struct {
	Study     string         `json:"study"`
	Params    map[string]any `json:"params"` // of the study; numbers are float64
	Seed      uint64         `json:"seed"`
	Machine   cell.Machine   `json:"machine"`
	Rows      int            `json:"rows"`
	Simulated bool           `json:"simulated"` // whether any sample is
	// Utilisation says what share of what the column utilisation is.
	Utilisation struct {
		Numerator   string `json:"numerator"`
		Denominator string `json:"denominator"`
	} `json:"utilisation"`
	Trials   []Trial  `json:"trials"`
	Warnings []string `json:"warnings"`
}

// A Trial is what run.json says of one infer cell and its load that bears on
// whether to believe it.
type Trial struct {
	Infer struct {
		Window [2]int64 `json:"window_ns"`
		Delay  int64    `json:"run_delay_ns"`
	} `json:"infer"`
	Stress *struct {
		Threads int  `json:"threads"`
		Steady  bool `json:"steady"`
	} `json:"stress"`
}

// Lost returns the share of all timed windows in which the inference was ready
// to run and its processor was another's.
func (r *Run) Lost() float64 {
	var delay, window int64
	for _, t := range r.Trials {
		delay += t.Infer.Delay
		window += t.Infer.Window[1] - t.Infer.Window[0]
	}
	if window == 0 {
		return 0
	}
	return float64(delay) / float64(window)
}

// Unsteady returns the share of trials under load whose bandwidth had not
// settled when they began.
func (r *Run) Unsteady() float64 {
	loaded, unsteady := 0.0, 0.0
	for _, t := range r.Trials {
		if t.Stress != nil && t.Stress.Threads > 0 {
			loaded++
			if !t.Stress.Steady {
				unsteady++
			}
		}
	}
	return unsteady / max(loaded, 1)
}

// Of names what utilisation is a share of, without the columns that hold it.
func (r *Run) Of() string {
	name, _, _ := strings.Cut(r.Utilisation.Denominator, " (")
	return name
}

// Recording reads collect's run.json.
func Recording(name string) *Run {
	r := &Run{}
	JSON(name, r)
	return r
}

// Inputs returns the names of the files the notebook may read, sorted.
func Inputs() []string {
	var names []string
	for n := range open("Inputs()").inputs() {
		names = append(names, n)
	}
	sort.Strings(names)
	return names
}

// inputs maps the names of readable files to the paths that hold them.
func (b *book) inputs() map[string][]string {
	files := map[string][]string{}
	for _, in := range b.Spec.Inputs {
		for name, path := range in.Files {
			files[name] = append(files[name], path)
		}
	}
	for _, name := range b.Files {
		files[name] = append(files[name], filepath.FromSlash(name))
	}
	return files
}

// input returns the path of an input, by its name or the last part of it.
func input(function, name string) string {
	b := open("%s(%q)", function, name)
	files := b.inputs()
	if found := files[name]; len(found) == 1 {
		return found[0]
	}
	matches := map[string]string{} // path -> name
	for n, paths := range files {
		for _, p := range paths {
			if n == name || path.Base(n) == name {
				matches[p] = n
			}
		}
	}
	for p := range matches {
		if len(matches) == 1 {
			return p
		}
	}
	if len(matches) == 0 {
		raise(among("no input is named", name, keys(files)), "%s(%q)", function, name)
	}
	var found []string
	for _, n := range matches {
		found = append(found, n)
	}
	sort.Strings(found)
	raise(fmt.Errorf("%d inputs have this name: %q; give more of it", len(matches), found), "%s(%q)", function, name)
	return ""
}
