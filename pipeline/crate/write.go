package crate

import (
	"archive/zip"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"barograph/pipeline/cell"
	"barograph/pipeline/record"
)

// Digest returns the SHA-256 of a file of a crate as it is written there.
func Digest(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}

// Zipped begins a zip.
const Zipped = "PK\x03\x04"

// IsZip tells whether a crate of this name is one file.
func IsZip(name string) bool { return strings.HasSuffix(strings.ToLower(name), ".zip") }

// Write writes a crate to a new folder or, if the name ends in .zip, to a file, whole
// or not at all. Every file is checked as it is read.
func Write(to string, s *State, docs []Document) error {
	provenance, err := encode(s)
	if err != nil {
		return err
	}
	metadata, err := Graph(s, nil)
	if err != nil {
		return err
	}
	docs = append(slices.Clone(docs), Document{Path: Provenance, Bytes: provenance}, Document{Path: Metadata, Bytes: metadata})
	return write(to, func(w writer) error {
		var sums []record.Sum
		slices.SortFunc(docs, func(a, b Document) int { return order(a.Path, b.Path) })
		for _, doc := range docs {
			sum, err := doc.copy(w)
			if err != nil {
				return fmt.Errorf("write %s: %w", doc.Path, err)
			}
			sums = append(sums, record.Sum{Name: doc.Path, SHA: sum})
		}
		return seal(w, sums)
	})
}

// order puts the metadata first, where a reader of a zip finds it at once, then by
// name.
func order(a, b string) int {
	if (a == Metadata) != (b == Metadata) {
		if a == Metadata {
			return -1
		}
		return 1
	}
	return strings.Compare(a, b)
}

// encode writes JSON as the files of a crate hold it.
func encode(v any) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.SetIndent("", " ")
	err := e.Encode(v)
	return b.Bytes(), err
}

// copy writes a document and returns its digest.
func (d Document) copy(w writer) (string, error) {
	var from io.Reader = bytes.NewReader(d.Bytes)
	if d.Bytes == nil {
		f, _, err := cell.Open(d.From)
		if err != nil {
			return "", err
		}
		defer f.Close()
		from = f
	}
	out, err := w.create(d.Path)
	if err != nil {
		return "", err
	}
	h := sha256.New()
	_, err = io.Copy(io.MultiWriter(out, h), from)
	if err = errors.Join(err, out.Close()); err != nil {
		return "", err
	}
	sum := hex.EncodeToString(h.Sum(nil))
	if d.Digest != "" && d.Digest != sum {
		return "", fmt.Errorf("%s is damaged or changed meanwhile: its SHA-256 is %s, not %s", d.From, sum, d.Digest)
	}
	return sum, nil
}

// seal writes the checksums.
func seal(w writer, sums []record.Sum) error {
	out, err := w.create(record.Sums)
	if err != nil {
		return err
	}
	_, err = out.Write(record.FormatSums(sums))
	return errors.Join(err, out.Close())
}

// A writer makes files of a crate.
type writer interface {
	create(name string) (io.WriteCloser, error)
}

// write makes a folder or a zip by fill, aside first.
func write(to string, fill func(writer) error) (err error) {
	if !IsZip(to) {
		aside, err := os.MkdirTemp(filepath.Dir(to), "."+filepath.Base(to)+".*~")
		if err != nil {
			return err
		}
		if err = fill(folder(aside)); err == nil {
			err = os.Chmod(aside, 0o755)
		}
		if err == nil {
			err = os.Rename(aside, to) // over nothing, or an empty folder
		}
		if err != nil {
			return errors.Join(err, os.RemoveAll(aside))
		}
		return nil
	}
	f, err := os.CreateTemp(filepath.Dir(to), "."+filepath.Base(to)+".*~")
	if err != nil {
		return err
	}
	z := archive{zip.NewWriter(f)}
	err = errors.Join(fill(z), z.Close(), f.Chmod(0o644), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), to)
	}
	if err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	return nil
}

type folder string

func (d folder) create(name string) (io.WriteCloser, error) {
	file := filepath.Join(string(d), filepath.FromSlash(name))
	if err := os.MkdirAll(filepath.Dir(file), 0o777); err != nil {
		return nil, err
	}
	return os.OpenFile(file, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o666)
}

type archive struct{ *zip.Writer }

// create makes an entry without a time, so that one state gives one file.
func (a archive) create(name string) (io.WriteCloser, error) {
	h := &zip.FileHeader{Name: name, Method: zip.Deflate}
	if slices.Contains([]string{".gz", ".png", ".pdf", ".zip", ".onnx"}, path.Ext(name)) {
		h.Method = zip.Store // it would not become smaller
	}
	h.Modified = time.Date(1980, 1, 1, 0, 0, 0, 0, time.UTC) // the first that a zip can say
	h.SetMode(fs.FileMode(0o644))
	out, err := a.CreateHeader(h)
	return nopCloser{out}, err
}

type nopCloser struct{ io.Writer }

func (nopCloser) Close() error { return nil }
