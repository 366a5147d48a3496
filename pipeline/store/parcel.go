package store

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"barograph/pipeline/cell"
	"barograph/pipeline/store/bundle"
	"barograph/pipeline/store/journal"

	"golang.org/x/sys/unix"
)

// A parcel is the records of one trial in a folder that computers share, below cells/ in
// a file that is named by the key of the foreground cell, and that may hold others too;
// objects lie as in a store. Whoever comes first has sent it, so that a trial is never of
// two attempts.

// An outbox stands in a store for what the store would keep.
type outbox struct {
	to   *depot
	send func(Detail, []*Record) error
}

// Outbox has a store, which goes with its process, keep nothing: outputs are put into a
// folder that computers share, and records are handed to send as they are committed.
func (s *Store) Outbox(dir string, send func(Detail, []*Record) error) {
	s.outbox = &outbox{&depot{dir: dir}, send}
}

// Unsent is that an output could not be put into the shared folder.
type Unsent struct{ error }

func (u Unsent) Unwrap() error { return u.error }

// put moves a file that holds an object's bytes into the folder, unless they are there. A
// file on another disk, or with other names, is copied.
func (o *outbox) put(path string, f File, names uint64) error {
	object := o.to.object(f.Digest)
	if st, err := os.Stat(object); err == nil && st.Mode().IsRegular() && st.Size() == f.Size {
		return nil
	}
	err := error(unix.EXDEV)
	if names == 1 {
		if err = os.Chmod(path, 0o444); err == nil {
			err = moveTo(path, object)
		}
	}
	if errors.Is(err, unix.EXDEV) {
		var digest string
		if digest, err = copyFile(path, object); err == nil && digest != f.Digest {
			err = errors.Join(fmt.Errorf("output %s changed while it was kept", f.Name), os.Remove(object))
		}
	}
	if err != nil {
		return Unsent{err}
	}
	return nil
}

// A Sender sends the parcels of one process.
type Sender struct {
	to      depot
	bundles *bundle.Writer
}

// NewSender returns one that sends to a folder, with files there whose paths begin so.
func NewSender(dir, files string) *Sender { return &Sender{depot{dir: dir}, bundle.New(files)} }

// Send puts the records of a trial, the foreground's last, into the folder that has their
// objects. Where there is a parcel of the trial already, that one stands: Send returns its
// records, and keeps these as the file aside if their outputs differ.
func (s *Sender) Send(d Detail, records []*Record, aside string) (standing []*Record, err error) {
	var lines strings.Builder
	for _, r := range records {
		lines.WriteString(journal.Line(r.Key, r) + journal.Line(r.Key, d))
	}
	key := records[len(records)-1].Key
	name, text := s.to.cell(key), journal.Line(key, len(records))+lines.String()
	err = s.write(name, text)
	if !errors.Is(err, fs.ErrExist) {
		return nil, err
	}
	standing, _, err = s.to.parcel(name, key)
	if err != nil { // it was damaged, and is worth nothing
		return nil, errors.Join(os.Remove(name), s.write(name, text))
	}
	if !agree(records, standing) {
		err = writeNew(aside, text)
	}
	return standing, err
}

// write makes the file of a parcel that nobody sent, one of its own where it cannot have
// one in common.
func (s *Sender) write(name, text string) error {
	err := s.bundles.Write(name, text)
	if err == nil || errors.Is(err, fs.ErrExist) {
		return err
	}
	return writeNew(name, text)
}

// agree tells whether records of one trial say the same of its outputs.
func agree(a, b []*Record) bool {
	return slices.EqualFunc(a, b, func(x, y *Record) bool { return x.Key == y.Key && slices.Equal(x.Files, y.Files) })
}

// writeNew makes a file that appears with everything in it, where there is none.
func writeNew(path, text string) error {
	dir := filepath.Dir(path)
	f, err := os.CreateTemp(dir, ".*~")
	if errors.Is(err, fs.ErrNotExist) {
		if err = os.MkdirAll(dir, 0o777); err == nil {
			f, err = os.CreateTemp(dir, ".*~")
		}
	}
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	_, err = f.WriteString(text)
	if err = errors.Join(err, f.Chmod(0o444), f.Close()); err != nil {
		return err
	}
	return bundle.Link(f.Name(), path)
}

// parcel reads the records of a trial from a file, and their details.
func (sh *depot) parcel(name, key string) (records []*Record, details []Detail, err error) {
	f, info, err := cell.Open(name)
	if err != nil {
		return nil, nil, err
	}
	defer f.Close()
	if info.Size() > maxRecord {
		return nil, nil, errRecord
	}
	b, err := io.ReadAll(io.LimitReader(f, maxRecord))
	if err != nil {
		return nil, nil, err
	}
	text, n := string(b), 0
	text = text[strings.LastIndexByte(text[:max(0, strings.Index(text, "\t"+key+"\t"))], '\n')+1:]
	head, text, _ := strings.Cut(text, "\n")
	if of, value, ok := journal.Split(head); !ok || of != key || json.Unmarshal([]byte(value), &n) != nil || n < 1 {
		return nil, nil, errRecord
	}
	for range n {
		first, rest, _ := strings.Cut(text, "\n")
		second, more, whole := strings.Cut(rest, "\n")
		r, err := parseLine(first)
		of, detail, ok := journal.Split(second)
		var d Detail
		if err != nil || !whole || !ok || of != r.Key || json.Unmarshal([]byte(detail), &d) != nil || len(d.Warnings) != r.Warned || !sh.holds(r) {
			return nil, nil, errRecord
		}
		records, details, text = append(records, r), append(details, d), more
	}
	return records, details, nil
}

// Receive brings the records of a trial, by the key of its foreground cell, from a
// folder into the store; nil where there is nothing whole. The file is opened anew:
// what a network's file system knows of names may be old.
func (s *Store) Receive(dir, key string, warn func(error)) []*Record {
	from := &depot{dir: dir, tell: warn, near: true}
	records, details, err := from.parcel(from.cell(key), key)
	if err != nil || records[len(records)-1].Key != key {
		return nil
	}
	for i, r := range records {
		if s.bring(from, r, details[i]) == nil {
			return nil
		}
	}
	return records
}

// Spoiled removes the parcel of a trial, and those of its objects, that do not hold what
// they say, and tells whether there were any: then it can be sent again.
func Spoiled(dir, key string) (spoiled bool) {
	from := &depot{dir: dir}
	records, _, err := from.parcel(from.cell(key), key)
	if err != nil {
		return false // a part of one is overwritten
	}
	for _, r := range records {
		for _, f := range r.Files {
			if digest, err := cell.Sum(from.object(f.Digest)); err == nil && digest != f.Digest {
				spoiled = true
				_ = os.Remove(from.object(f.Digest)) // else it is found so again
			}
		}
	}
	if spoiled {
		_ = os.Remove(from.cell(key)) // as above
	}
	return spoiled
}

// Reject moves the parcel of a trial away, whose result is not wanted any more.
func Reject(dir, key, aside string) error {
	from := &depot{dir: dir}
	if err := os.MkdirAll(filepath.Dir(aside), 0o777); err != nil {
		return err
	}
	err := os.Rename(from.cell(key), aside)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// Sent tells whether a sound parcel of a trial is in a folder, by the key of its
// foreground cell.
func Sent(dir, key string) bool {
	from := &depot{dir: dir}
	_, _, err := from.parcel(from.cell(key), key)
	return err == nil
}

// Parcel is the file of a trial in a folder, by the key of its foreground cell.
func Parcel(dir, key string) string { return (&depot{dir: dir}).cell(key) }
