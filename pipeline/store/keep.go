package store

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"

	"barograph/pipeline/cell"
	"barograph/pipeline/store/journal"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"
)

// Damage is something in a store that is not what was written.
type Damage struct {
	Path  string   `json:"path"` // relative to the store
	What  string   `json:"what"`
	Cells []string `json:"cells,omitempty"` // whose results it takes away
}

// Verify reads every object and every line of the logs again, whatever their
// stat. It removes damaged objects, so that they are made again when next they
// are needed. It returns how many objects are sound, and what is damaged.
func (s *Store) Verify() (sound int, damage []Damage, err error) {
	for _, l := range [][2]string{{"cells.log", "a run makes its result again"}, {"details.log", "what its result was made of is lost"}} {
		name, lost := l[0], l[1]
		log, err := journal.Open(filepath.Join(s.dir, name), false)
		if err != nil {
			return 0, nil, err
		}
		lines, err := log.Index(journal.Nobody)
		if err = errors.Join(err, log.Close()); err != nil {
			return 0, nil, err
		}
		for _, n := range lines {
			damage = append(damage, Damage{Path: name, What: fmt.Sprintf("line %d is not what was written; %s, and gc drops it", n, lost)})
		}
	}
	cells := map[string][]string{} // by object
	for r := range s.records.all() {
		for _, f := range r.Files {
			cells[f.Digest] = append(cells[f.Digest], r.Cell)
		}
	}
	err = s.eachObject(func(path string, d fs.DirEntry) error {
		if name := d.Name(); isDigest(name) && cells[name] == nil {
			cells[name] = nil // of no record; damaged all the same if it is
		}
		return nil
	})
	if err != nil {
		return 0, nil, err
	}
	digests := slices.Sorted(maps.Keys(cells))
	wrong := make([]string, len(digests))
	var work errgroup.Group
	work.SetLimit(runtime.GOMAXPROCS(0))
	for i, want := range digests {
		work.Go(func() error {
			got, err := cell.Sum(s.Object(want))
			switch {
			case errors.Is(err, fs.ErrNotExist):
				wrong[i] = "missing"
			case err != nil:
				wrong[i] = err.Error()
			case got != want:
				wrong[i] = "its SHA-256 is " + got
				return os.Remove(s.Object(want))
			}
			return nil
		})
	}
	if err := work.Wait(); err != nil {
		return 0, nil, err
	}
	for i, what := range wrong {
		if what == "" {
			sound++
			continue
		}
		path, _ := filepath.Rel(s.dir, s.Object(digests[i]))
		damage = append(damage, Damage{path, what, slices.Compact(slices.Sorted(slices.Values(cells[digests[i]])))})
	}
	return sound, damage, nil
}

func isDigest(name string) bool {
	return len(name) == 64 && strings.Trim(name, "0123456789abcdef") == ""
}

func (s *Store) eachObject(f func(path string, d fs.DirEntry) error) error {
	return filepath.WalkDir(filepath.Join(s.dir, "objects"), func(path string, d fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil || d.IsDir() {
			return err
		}
		return f(path, d)
	})
}

// Collection is what [Store.GC] kept and removed; sizes are those of objects.
type Collection struct {
	Kept    int   `json:"kept"` // records
	Removed int   `json:"removed"`
	Bytes   int64 `json:"bytes"`
	Freed   int64 `json:"freed"`
}

// GC removes the records that are not among roots, and the objects that no
// record names any more. Records that no root names stay too, newest first,
// while all objects kept take at most budget bytes. With dry set, nothing is
// removed. The store is open for writing.
func (s *Store) GC(roots map[string]bool, budget int64, dry bool) (Collection, error) {
	if err := s.Sync(); err != nil {
		return Collection{}, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	all := slices.Collect(s.records.all())
	slices.SortFunc(all, func(a, b *Record) int { // what roots name first, then the newest
		if roots[a.Key] != roots[b.Key] {
			if roots[a.Key] {
				return -1
			}
			return 1
		}
		return cmp.Or(cmp.Compare(b.Started, a.Started), cmp.Compare(a.Key, b.Key))
	})
	var swept Collection
	objects := map[string]bool{}
	var kept []*Record
	for _, r := range all {
		more := int64(0)
		for _, f := range r.Files {
			if !objects[f.Digest] {
				more += f.Size
			}
		}
		if !roots[r.Key] && swept.Bytes+more > budget {
			swept.Removed++
			continue
		}
		for _, f := range r.Files {
			objects[f.Digest] = true
		}
		swept.Bytes += more
		kept = append(kept, r)
	}
	swept.Kept = len(kept)
	// The newest record of a cell is its last in the log.
	slices.SortFunc(kept, func(a, b *Record) int { return cmp.Or(cmp.Compare(a.Started, b.Started), cmp.Compare(a.Key, b.Key)) })
	var full error
	if !dry {
		err := s.rewrite(kept)
		if full = err; err != nil && !errors.Is(err, unix.ENOSPC) {
			return swept, fmt.Errorf("rewrite the store: %w", err)
		}
	}
	// Only now that no record names them may objects go; but on a full disk they
	// are what makes room for the logs, and a record without them does not count.
	err := s.eachObject(func(path string, d fs.DirEntry) error {
		if objects[d.Name()] {
			return nil
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		swept.Freed += info.Size()
		if dry {
			return nil
		}
		return os.Remove(path)
	})
	if err == nil && full != nil {
		if err = s.rewrite(kept); err != nil {
			err = fmt.Errorf("rewrite the store: %w", err)
		}
	}
	return swept, err
}

// rewrite replaces both logs by the lines of the records kept, and forgets the
// stats of files that are gone.
func (s *Store) rewrite(kept []*Record) error {
	var lines, details strings.Builder
	for _, r := range kept {
		lines.WriteString(journal.Line(r.Key, r))
		d, ok, err := s.details.Get(r.Key)
		if err != nil {
			return err
		}
		if ok {
			details.WriteString(journal.Line(r.Key, json.RawMessage(d)))
		}
	}
	// Details that no record names are harmless, and the other way round a record
	// would lose its explanation: so this order.
	if err := errors.Join(s.records.replace(lines.String()), s.details.Replace(details.String())); err != nil {
		return err
	}
	if err := os.Remove(filepath.Join(s.dir, failures)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	s.stats.Prune(func(path string) bool {
		_, err := os.Lstat(path)
		return !errors.Is(err, fs.ErrNotExist)
	})
	return s.records.Sync()
}

// Records lists all records, by cell and key.
func (s *Store) Records() []*Record {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.SortedFunc(s.records.all(), func(a, b *Record) int {
		return cmp.Or(strings.Compare(a.Cell, b.Cell), strings.Compare(a.Key, b.Key))
	})
}
