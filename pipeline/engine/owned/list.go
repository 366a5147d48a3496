package owned

import (
	"bufio"
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"maps"
	"os"
	"slices"
	"sort"
	"strings"

	"barograph/pipeline/cell"
)

// A list is a file with a line for each path:
//
//	digest or -, boot in which a run began that may write it or -, path
//
// with tabs between. A path alone is a line of an older version. Lines are sorted by
// path, but for those that were added at the end since: of two for one path the
// later counts, and one that says nothing takes the path off the list. A run looks
// few paths up and changes fewer, and so does neither read nor write the others.
type list struct {
	file   string
	text   string
	starts []int            // of the lines that are sorted
	later  map[string]claim // of the other lines, and what changed since
	fresh  map[string]bool  // paths whose claim is not in the file as it is
	added  int              // bytes of lines that are not sorted
}

type claim struct {
	digest string // of what a run wrote last; empty if none did yet
	boot   string // in which a run began that may write it; empty if none runs
}

const before = "before" // the boot of a run that is not known any more

func readList(file string) (*list, error) {
	text, err := cell.Text(file)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	l := &list{file: file, text: text, later: map[string]claim{}, fresh: map[string]bool{}}
	last, sorted := "", true
	for at := 0; at < len(l.text); {
		line, _, whole := strings.Cut(l.text[at:], "\n")
		if !whole {
			break
		}
		path, c := parse(line)
		switch sorted = sorted && path > last; {
		case path == "":
		case sorted && c != (claim{}):
			if l.starts = append(l.starts, at); c.boot != "" {
				l.later[path] = c // which the end of the run changes
			}
			last = path
		default:
			sorted = false
			l.later[path] = c
			l.added += len(line) + 1
		}
		at += len(line) + 1
	}
	return l, nil
}

func parse(line string) (path string, c claim) {
	digest, rest, ok := strings.Cut(line, "\t")
	boot, path, more := strings.Cut(rest, "\t")
	if !ok || !more {
		return line, claim{boot: before}
	}
	return path, claim{undash(digest), undash(boot)}
}

func undash(s string) string {
	if s == "-" {
		return ""
	}
	return s
}

func (l *list) sorted(i int) (path string, c claim) {
	line, _, _ := strings.Cut(l.text[l.starts[i]:], "\n")
	return parse(line)
}

// get returns the claim to a path, if there is one.
func (l *list) get(path string) (claim, bool) {
	if c, ok := l.later[path]; ok {
		return c, c != claim{}
	}
	i, ok := sort.Find(len(l.starts), func(i int) int {
		at, _ := l.sorted(i)
		return strings.Compare(path, at)
	})
	if !ok {
		return claim{}, false
	}
	_, c := l.sorted(i)
	return c, true
}

// set changes the claim to a path; the empty one takes it off the list.
func (l *list) set(path string, c claim) { l.later[path], l.fresh[path] = c, true }

// each yields every claim, by path.
func (l *list) each() iter.Seq2[string, claim] {
	return func(yield func(string, claim) bool) {
		later := slices.Sorted(maps.Keys(l.later))
		told := func(until string) bool { // those before a path
			for len(later) > 0 && (until == "" || later[0] <= until) {
				path := later[0]
				later = later[1:]
				if c := l.later[path]; c != (claim{}) && !yield(path, c) {
					return false
				}
			}
			return true
		}
		for i := range l.starts {
			path, c := l.sorted(i)
			if !told(path) {
				return
			}
			if _, changed := l.later[path]; !changed && !yield(path, c) {
				return
			}
		}
		told("")
	}
}

// keep writes what changed, durably if that is asked for. Few lines are added at the
// end; for many the file is written anew, aside and renamed: a torn one would forget
// claims.
func (l *list) keep(durable bool) error {
	if len(l.fresh) == 0 {
		return nil
	}
	for path := range l.fresh {
		c := l.later[path]
		l.added += len(cmp.Or(c.digest, "-")) + len(cmp.Or(c.boot, "-")) + len(path) + len("\t\t\n")
	}
	var err error
	if l.added > max(1<<12, len(l.text)/4) {
		err = l.rewrite()
	} else {
		err = l.append(durable)
	}
	if err == nil {
		l.fresh = map[string]bool{}
	}
	return err
}

func write(w io.Writer, path string, c claim) {
	fmt.Fprintf(w, "%s\t%s\t%s\n", cmp.Or(c.digest, "-"), cmp.Or(c.boot, "-"), path)
}

func (l *list) rewrite() error {
	f, err := os.Create(l.file + "~")
	if err != nil {
		return err
	}
	w := bufio.NewWriterSize(f, 1<<16)
	for path, c := range l.each() {
		write(w, path, c)
	}
	if err = errors.Join(w.Flush(), f.Sync(), f.Close()); err == nil {
		err = os.Rename(l.file+"~", l.file)
	}
	if err == nil {
		l.added = 0
	}
	return err
}

// append adds lines of what changed after the last whole one.
func (l *list) append(durable bool) error {
	f, err := os.OpenFile(l.file, os.O_RDWR|os.O_CREATE, 0o666)
	if err != nil {
		return err
	}
	err = cell.Whole(f)
	if err == nil {
		w := bufio.NewWriterSize(f, 1<<16)
		for _, path := range slices.Sorted(maps.Keys(l.fresh)) {
			write(w, path, l.later[path])
		}
		err = w.Flush()
	}
	if err == nil && durable {
		err = f.Sync()
	}
	return errors.Join(err, f.Close())
}
