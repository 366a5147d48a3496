package folder

import (
	"crypto/sha256"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

var unfit = strings.NewReplacer("[", ".", ",", ".", "@", ".", "]", "", "/", "_", " ", "_")

// fileName makes a cell's ID fit for a file: infer[level=4] -> infer.level=4.
func fileName(id string) string {
	name := unfit.Replace(id)
	if len(name) > 200 {
		name = fmt.Sprintf("%s-%x", name[:180], sha256.Sum256([]byte(id)))[:200]
	}
	return name
}

// A Log is a file that exists once something was written to it, and that
// stops growing at maxLog.
type Log struct {
	Path    string
	f       *os.File
	Written int64 // bytes
	err     error
}

// LogOf is the log of a cell, in a folder.
func LogOf(dir, id string) *Log { return &Log{Path: filepath.Join(dir, fileName(id)+".log")} }

const maxLog = 16 << 20

func (l *Log) Write(b []byte) (int, error) {
	if l.f == nil && l.err == nil {
		if l.err = os.MkdirAll(filepath.Dir(l.Path), 0o777); l.err == nil {
			l.f, l.err = os.Create(l.Path)
		}
	}
	// A log that cannot be written, or is full, must not fail the cell.
	if l.err == nil && l.Written < maxLog {
		room := min(int64(len(b)), maxLog-l.Written)
		n, err := l.f.Write(b[:room])
		l.Written += int64(n)
		if l.err = err; err == nil && l.Written == maxLog {
			_, l.err = l.f.WriteString("\n[the log is cut here, at 16 MiB]\n")
		}
	}
	return len(b), nil
}

// Close closes the file, if there is one.
func (l *Log) Close() {
	if l.f != nil {
		l.f.Close()
	}
}
