package store

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"barograph/pipeline/cell"
	"barograph/pipeline/store/bundle"
	"barograph/pipeline/store/journal"
)

// A depot is a folder that stands behind the stores of several workspaces, machines or
// people. It holds one file per record and the objects they name:
//
//	objects/ab/abcdef...  as in a store
//	cells/01/0123...      a record's line and its detail's, by key
//
// Files appear whole or not at all and never change, so that it needs no lock;
// what comes from it is checked whole before it is believed, so that it needs no
// trust in the disk. Its members do need to trust one another: a record says what a key's
// result is.
type depot struct {
	dir  string
	tell func(error)
	near bool // in the workspace, and of its owner: objects are linked in place of copied
}

func (sh *depot) warn(err error) { sh.tell(err) }

// has tells whether an object is there and sound.
func (sh *depot) has(s *Store, f File) bool {
	digest, err := s.Digest(sh.object(f.Digest))
	return err == nil && digest == f.Digest
}

func (sh *depot) take(f File, to string) (digest string, err error) {
	return copyFile(sh.object(f.Digest), to)
}

// Share puts a folder behind the store. What goes wrong there fails no run: warn
// is told.
func (s *Store) Share(dir string, warn func(error)) {
	s.shared = &depot{dir: dir, tell: func(err error) { warn(fmt.Errorf("shared store: %w", err)) }}
}

// maxRecord is more than a record and its detail can be: a thousand warnings, and
// what a key is made of, which a study of at most 64 MiB says.
const maxRecord = 256 << 20

func (sh *depot) object(digest string) string {
	return filepath.Join(sh.dir, "objects", digest[:2], digest)
}

func (sh *depot) cell(key string) string { return filepath.Join(sh.dir, "cells", key[:2], key) }

// read returns the record of a cell with these outputs and its detail; nil where
// the folder has none that is whole. The objects that it names are there, of the
// right size, and not yet read.
func (sh *depot) read(key string, outputs []string) (*Record, *Detail) {
	f, info, err := cell.Open(sh.cell(key))
	if err != nil {
		return nil, nil
	}
	defer f.Close()
	if info.Size() > maxRecord {
		return nil, nil
	}
	b, err := io.ReadAll(io.LimitReader(f, maxRecord))
	if err != nil {
		return nil, nil
	}
	r, d := parseShared(string(b), key, outputs)
	if r == nil || !sh.holds(r) {
		return nil, nil
	}
	return r, d
}

// parseShared reads a record's line and its detail's, if they are of a cell with this
// key and these outputs.
func parseShared(text, key string, outputs []string) (*Record, *Detail) {
	first, rest, _ := strings.Cut(text, "\n")
	second, more, whole := strings.Cut(rest, "\n")
	r, err := parseLine(first)
	of, detail, ok := journal.Split(second)
	if err != nil || !whole || !ok || more != "" || r.Key != key || of != key || !r.holds(outputs) {
		return nil, nil
	}
	var d Detail
	if json.Unmarshal([]byte(detail), &d) != nil || len(d.Warnings) != r.Warned {
		return nil, nil
	}
	return r, &d
}

// holds tells whether the objects of a record are there, of the right size.
func (sh *depot) holds(r *Record) bool {
	for _, f := range r.Files {
		if st, err := os.Stat(sh.object(f.Digest)); err != nil || !st.Mode().IsRegular() || st.Size() != f.Size {
			return false
		}
	}
	return true
}

// fetch brings a record and its objects into the store, where it is open for
// writing. It returns nil where there is nothing sound to bring.
func (s *Store) fetch(key string, outputs []string) *Record {
	var r *Record
	var detail *Detail
	switch {
	case s.server != nil:
		if r, detail = s.server.read(key, outputs); r != nil {
			r = s.bring(s.server, r, *detail)
		}
		if r != nil {
			s.mu.Lock()
			s.server.brought(key)
			s.mu.Unlock()
		}
	case s.shared != nil:
		if r, detail = s.shared.read(key, outputs); r != nil {
			r = s.bring(s.shared, r, *detail)
		}
	default:
		return nil
	}
	if r == nil {
		s.mu.Lock()
		s.lacking[key] = true
		s.mu.Unlock()
	}
	return r
}

// A source is where objects are brought from.
type source interface {
	has(s *Store, f File) bool
	// take writes an object to a file, whole or not at all, and returns its digest.
	take(f File, to string) (digest string, err error)
	warn(error)
}

// bring takes a record and its objects from elsewhere.
func (s *Store) bring(from source, r *Record, detail Detail) *Record {
	for _, f := range r.Files {
		if s.sound(f) || s.linked(from, f) {
			continue
		}
		if !s.write { // a look: nothing is brought, but a run would be told the same
			if !from.has(s, f) {
				return nil
			}
			continue
		}
		aside := filepath.Join(s.dir, "objects", "."+f.Digest+"~")
		digest, err := from.take(f, aside)
		if err == nil && digest != f.Digest {
			err = fmt.Errorf("object %s is damaged: its SHA-256 is %s", f.Digest, digest)
		}
		if err == nil {
			err = s.adopt(aside, f)
		}
		if err != nil {
			os.Remove(aside)
			from.warn(err)
			return nil
		}
	}
	if !s.write {
		return r
	}
	if err := s.commit(detail, false, r); err != nil {
		from.warn(err)
		return nil
	}
	return r
}

// linked makes an object that lies near an object of the store too, where it is what it
// should be.
func (s *Store) linked(from source, f File) bool {
	near, ok := from.(*depot)
	if !ok || !near.near || !s.write {
		return false
	}
	path, object := near.object(f.Digest), s.Object(f.Digest)
	st, err := os.Lstat(path)
	if err != nil || !st.Mode().IsRegular() {
		return false
	}
	if bundle.Link(path, object) != nil {
		return false
	}
	if digest, err := cell.Sum(object); err != nil || digest != f.Digest || s.remember(object, f.Digest) != nil {
		_ = os.Remove(object) // else it is found unsound
		return false
	}
	return true
}

// push gives the shared folder what this process used and it lacks.
func (s *Store) push() {
	if s.server != nil {
		s.server.push(s)
	}
	if s.shared == nil {
		return
	}
	for key, outputs := range s.used {
		if have, _ := s.shared.read(key, outputs); have != nil && !s.lacking[key] {
			continue
		}
		if r := s.Get(key, outputs); r != nil {
			if err := s.give(r); err != nil {
				s.shared.warn(err)
				return
			}
		}
	}
}

func (s *Store) give(r *Record) error {
	for _, f := range r.Files {
		digest, err := copyFile(s.Object(f.Digest), s.shared.object(f.Digest))
		if err == nil && digest != f.Digest {
			err = fmt.Errorf("object %s was damaged while it was read", f.Digest)
		}
		if err != nil {
			return err
		}
	}
	d, err := s.Detail(r)
	if err != nil {
		return err
	}
	return writeWhole(s.shared.cell(r.Key), func(w io.Writer) error {
		_, err := io.WriteString(w, journal.Line(r.Key, r)+journal.Line(r.Key, d))
		return err
	})
}

// copyFile copies a file, whole or not at all, and returns the SHA-256 of what
// it wrote.
func copyFile(from, to string) (digest string, err error) {
	src, _, err := cell.Open(from)
	if err != nil {
		return "", err
	}
	defer src.Close()
	h := sha256.New()
	err = writeWhole(to, func(w io.Writer) error {
		_, err := io.Copy(io.MultiWriter(w, h), src)
		return err
	})
	return hex.EncodeToString(h.Sum(nil)), err
}

// writeWhole makes a read-only file that appears with everything in it.
func writeWhole(path string, write func(io.Writer) error) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
		return err
	}
	f, err := os.CreateTemp(filepath.Dir(path), ".*~")
	if err != nil {
		return err
	}
	err = write(f)
	if err == nil {
		err = f.Chmod(0o444)
	}
	if e := f.Close(); err == nil {
		err = e
	}
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		os.Remove(f.Name())
	}
	return err
}
