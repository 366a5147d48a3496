package nb

import (
	"encoding/csv"
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"os"
	"path"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"barograph/pipeline/cell"
	"barograph/pipeline/record"
	"barograph/stages/recording"

	"github.com/go-gota/gota/dataframe"
	"github.com/go-gota/gota/series"
)

// Frame reads a CSV input as a data frame, decompressed as Samples is. It suits tables that a person would
// read; for raw samples [Samples] is several times faster.
func Frame(name string) dataframe.DataFrame {
	c := called("Frame", name)
	f, err := os.Open(c.input(name))
	c.check(err)
	defer f.Close()
	text, err := recording.Unpack(f)
	c.check(err)
	records, err := csv.NewReader(text).ReadAll()
	c.check(err)
	df := dataframe.LoadRecords(records)
	c.check(df.Err)
	for i, name := range df.Names() {
		if df.Types()[i] == series.Float {
			c.check(wholeAmongFractions(name, records, i))
		}
	}
	return df
}

// wholeAmongFractions refuses a column of fractions that holds a whole number with more
// digits than they do.
func wholeAmongFractions(name string, records [][]string, column int) error {
	const exact = 15 // digits that every float64 holds
	for row, fields := range records[1:] {
		field := strings.TrimLeft(strings.TrimSpace(fields[column]), "-0")
		if f, err := strconv.ParseFloat(field, 64); err == nil && len(field) > exact && strings.Trim(field, "0123456789") == "" && Number(f) != field {
			return fmt.Errorf("column %q holds fractions, and in row %d %s, which has more digits than they hold", name, row+1, fields[column])
		}
	}
	return nil
}

// Samples reads a CSV input, such as collect's samples.csv, column by column; one
// that is compressed by gzip is decompressed. Columns named are kept, all of them
// if none is. A value that cannot have been measured, such as a latency_ns below 1,
// is an error. Where the study gives a parameter "where", such as {direction: d2h},
// only samples that have these values are returned.
func Samples(name string, columns ...string) *Set {
	c := called("Samples", name)
	f, err := os.Open(c.input(name))
	c.check(err)
	defer f.Close()
	o := recording.Options{Columns: columns, Where: c.where(), Recorded: true}
	if len(columns) > 0 {
		o.Also = keys(o.Where)
	}
	return setOf(try(recording.Read(f, o)).or("Samples", name))
}

// JSON reads a JSON input into what v points to. A whole number beyond 2^53 needs a
// field of type int64: read into any, it would be rounded, which is an error.
func JSON(name string, v any) {
	c := called("JSON", name)
	b, err := os.ReadFile(c.input(name))
	if err == nil {
		err = json.Unmarshal(b, v)
	}
	if err == nil {
		err = rounded(reflect.ValueOf(v))
	}
	c.check(err)
}

// rounded tells whether a value that JSON was read into holds a whole number of no
// stated type that a float64 may have rounded.
func rounded(v reflect.Value) error {
	const exact = 1 << 53
	switch v.Kind() {
	case reflect.Pointer:
		return rounded(v.Elem())
	case reflect.Interface:
		if f, is := v.Interface().(float64); is && math.Abs(f) >= exact && math.Abs(f) < 1<<63 {
			return cell.Hint(fmt.Errorf("the whole number %.0f was rounded: a float64 is exact up to %d", f, exact), "read it into a field of type int64")
		}
		return rounded(v.Elem())
	case reflect.Slice, reflect.Array:
		for i := range v.Len() {
			if err := rounded(v.Index(i)); err != nil {
				return err
			}
		}
	case reflect.Map:
		for _, k := range v.MapKeys() {
			if err := rounded(v.MapIndex(k)); err != nil {
				return err
			}
		}
	case reflect.Struct:
		for i := range v.NumField() {
			if v.Type().Field(i).IsExported() {
				if err := rounded(v.Field(i)); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// A Run is run.json.
type Run = recording.Run

// A Trial is what run.json says of one infer cell and its load.
type Trial = recording.Trial

// Recording reads collect's run.json.
func Recording(name string) *Run {
	return try(recording.ReadRun(called("Recording", name).input(name))).or("Recording", name)
}

// Inputs returns the names of the files the notebook may read, sorted.
func Inputs() []string {
	return slices.Sorted(maps.Keys(called("Inputs").open().inputs()))
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

// input returns the path of an input, by its name or the last part of it, either
// without .gz too.
func (c call) input(name string) string {
	files := c.open().inputs()
	if found := files[name]; len(found) == 1 {
		return found[0]
	}
	matches := map[string]string{} // path -> name
	for n, paths := range files {
		for _, p := range paths {
			if called := strings.TrimSuffix(n, record.Packed); n == name || path.Base(n) == name || called == name || path.Base(called) == name {
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
		err := among("no input is named", name, keys(files))
		if cell.HintOf(err) == "" {
			err = cell.Hint(err, "a notebook reads what the stages in its needs: leave, such as collect, and by hand what is below --data")
		}
		c.check(err)
	}
	found := slices.Sorted(maps.Values(matches))
	c.check(fmt.Errorf("%d inputs have this name: %q; give more of it", len(matches), found))
	return ""
}
