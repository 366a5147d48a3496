package nb

import (
	"compress/gzip"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"slices"
	"sort"
	"strconv"
	"strings"

	"barograph/stages/recording"

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

// Samples reads a CSV input, such as collect's samples.csv, column by column; one
// whose name ends in .gz is decompressed. Columns named are kept, all of them if
// none is. A latency_ns or utilisation that cannot have been measured is an error.
// Where the study gives a parameter "where", such as {direction: d2h}, only samples
// that have these values are returned.
func Samples(name string, columns ...string) *Set {
	f, err := os.Open(input("Samples", name))
	if err != nil {
		raise(err, "Samples(%q)", name)
	}
	defer f.Close()
	var from io.Reader = f
	var size int64
	if info, err := f.Stat(); err == nil {
		size = info.Size()
	}
	if path.Ext(name) == ".gz" {
		size = 0 // it says nothing of what is within
		if from, err = gzip.NewReader(f); err != nil {
			raise(err, "Samples(%q)", name)
		}
	}
	chosen := where()
	if len(columns) > 0 {
		for _, c := range keys(chosen) {
			if !slices.Contains(columns, c) {
				columns = append(columns, c)
			}
		}
	}
	s, err := readSet(from, columns, size, blockSize)
	if err == nil {
		err = s.data.plausible()
	}
	if err != nil {
		raise(err, "Samples(%q)", name)
	}
	for _, c := range keys(chosen) {
		before := s
		if s = s.Where(c, chosen[c]); s.Len() == 0 {
			err := fmt.Errorf("no sample has %s=%s", c, chosen[c])
			if there := before.By(c); len(there) > 0 && len(there) <= 20 {
				var values []string
				for _, g := range there {
					values = append(values, strconv.Quote(g.Value))
				}
				err = fmt.Errorf("%w; there is %s", err, strings.Join(values, ", "))
			}
			raise(err, "Samples(%q)", name)
		}
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

// A Run is run.json.
type Run = recording.Run

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
