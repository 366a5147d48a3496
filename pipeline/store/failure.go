package store

import (
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"barograph/pipeline/cell"
	"barograph/pipeline/store/journal"
)

// failures is the log of cells that failed, in the form of the others. It is for
// people: a result under the same key takes its place, and gc removes it.
const failures = "failures.log"

// A Failure is a cell that ran and failed.
type Failure struct {
	Cell    string        `json:"cell"`    // study/cell
	Started int64         `json:"started"` // Unix time in nanoseconds
	Wall    time.Duration `json:"wall"`
	Error   string        `json:"error"`
}

// Fail notes that the cell of a key failed.
func (s *Store) Fail(key string, f Failure) error {
	log, err := os.OpenFile(filepath.Join(s.dir, failures), os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o666)
	if err != nil {
		return err
	}
	_, err = log.WriteString(journal.Line(key, f))
	return errors.Join(err, log.Close())
}

// Failures returns how cells failed last, by their keys; not those that have a result
// by now.
func (s *Store) Failures() (map[string]Failure, error) {
	b, err := cell.Read(filepath.Join(s.dir, failures))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	all := map[string]Failure{}
	s.mu.Lock()
	defer s.mu.Unlock()
	for line := range journal.Lines(string(b)) {
		var f Failure
		if key, value, ok := journal.Split(line); ok && s.records.get(key) == nil && json.Unmarshal([]byte(value), &f) == nil {
			all[key] = f
		}
	}
	return all, nil
}
