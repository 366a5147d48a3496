package store

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"barograph/pipeline/cell"
	"barograph/pipeline/store/journal"
	"barograph/pipeline/store/remote"

	"golang.org/x/sync/errgroup"
)

// A server is one that stands behind the stores of several workspaces, in place of a
// depot. Which results it has is remembered beside the store, so that a run in which all
// stands asks it for nothing.
type server struct {
	*remote.Server
	tell  func(error)
	known map[string]bool // keys whose results it has, or had
	list  string          // the file that says so
	fresh []string        // keys that the file does not have yet
}

// Serve puts a server behind the store. What goes wrong there fails no run: warn is
// told.
func (s *Store) Serve(at *remote.Server, warn func(error)) {
	name := fmt.Sprintf("served-%x", sha256.Sum256([]byte(at.String())))[:24]
	sv := &server{Server: at, known: map[string]bool{}, list: filepath.Join(s.dir, name)}
	sv.tell = func(err error) {
		if first(err) != nil {
			warn(fmt.Errorf("shared store: %w", err))
		}
	}
	b, err := cell.Read(sv.list)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		sv.tell(err)
	}
	for key := range journal.Lines(string(b)) {
		sv.known[key] = true
	}
	s.server = sv
}

func (sv *server) warn(err error) { sv.tell(err) }

// read returns the record of a cell with these outputs and its detail; nil where the
// server has none that is whole.
func (sv *server) read(key string, outputs []string) (*Record, *Detail) {
	have, err := sv.Result(key, maxRecord)
	if err != nil {
		if !errors.Is(err, remote.ErrNone) {
			sv.warn(err)
		}
		return nil, nil
	}
	r, d := parseShared(string(have.Note), key, outputs)
	if r == nil {
		sv.warn(fmt.Errorf("result %s of %s is damaged, or another program's", key, sv))
	}
	return r, d
}

// has tells whether the server has an object, as far as it says.
func (sv *server) has(_ *Store, f File) bool {
	there, err := sv.Has(f.Digest)
	if err != nil {
		sv.warn(err)
	}
	return there
}

func (sv *server) take(f File, to string) (digest string, err error) {
	out, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o666)
	if err != nil {
		return "", err
	}
	err = sv.Take(out, f.Digest, f.Size)
	return f.Digest, errors.Join(err, out.Chmod(0o444), out.Close())
}

// brought notes that the server has a result.
func (sv *server) brought(key string) {
	if !sv.known[key] {
		sv.known[key] = true
		sv.fresh = append(sv.fresh, key)
	}
}

// push gives the server what this process used and it is not known to have: the
// objects first, each once, and then the results that name them.
func (sv *server) push(s *Store) {
	var records []*Record
	objects := map[string]File{}
	for key, outputs := range s.used {
		if sv.known[key] && !s.lacking[key] {
			continue
		}
		s.mu.Lock()
		r := s.records.get(key)
		s.mu.Unlock()
		if r == nil || !r.holds(outputs) || !s.whole(r) {
			continue
		}
		records = append(records, r)
		for _, f := range r.Files {
			objects[f.Digest] = f
		}
	}
	var work errgroup.Group
	work.SetLimit(remote.Parallel)
	for _, f := range objects {
		work.Go(func() error { return first(sv.give(s, f)) })
	}
	if err := work.Wait(); err != nil {
		sv.warn(err)
	} else {
		sv.note(s, records)
	}
	if err := sv.remember(); err != nil {
		sv.warn(err)
	}
}

// first leaves out what only follows from another request's failure, which may come later.
func first(err error) error {
	if errors.Is(err, remote.ErrDown) {
		return nil
	}
	return err
}

func (sv *server) give(s *Store, f File) error {
	object, _, err := cell.Open(s.Object(f.Digest))
	if err != nil {
		return err
	}
	defer object.Close()
	return sv.Give(object, f.Digest, f.Size)
}

// note gives results whose objects the server has.
func (sv *server) note(s *Store, records []*Record) {
	done := make([]bool, len(records))
	var work errgroup.Group
	work.SetLimit(remote.Parallel)
	for i, r := range records {
		work.Go(func() error {
			d, err := s.Detail(r)
			if err != nil {
				return err
			}
			result := remote.Result{Note: []byte(journal.Line(r.Key, r) + journal.Line(r.Key, d))}
			for _, f := range r.Files {
				result.Files = append(result.Files, remote.File{Path: f.Name, Digest: f.Digest, Size: f.Size, Exec: f.Exec})
			}
			err = sv.Note(r.Key, result)
			done[i] = err == nil
			return first(err)
		})
	}
	if err := work.Wait(); err != nil {
		sv.warn(err)
	}
	for i, r := range records {
		if done[i] {
			sv.brought(r.Key)
		}
	}
}

// remember writes down which results the server has.
func (sv *server) remember() error {
	if len(sv.fresh) == 0 {
		return nil
	}
	f, err := os.OpenFile(sv.list, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o666)
	if err != nil {
		return err
	}
	_, err = f.WriteString(strings.Join(sv.fresh, "\n") + "\n")
	sv.fresh = nil
	return errors.Join(err, f.Close())
}
