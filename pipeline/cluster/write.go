package cluster

import (
	"encoding/json"
	"os"
	"path/filepath"
)

// writeWhole writes a file that is there whole or not at all.
func writeWhole(path string, v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return err
	}
	return writeText(path, append(b, '\n'))
}

func writeText(path string, b []byte) error {
	f, err := os.CreateTemp(filepath.Dir(path), ".*~")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	if _, err = f.Write(b); err == nil {
		err = f.Sync()
	}
	if e := f.Close(); err == nil {
		err = e
	}
	if err != nil {
		return err
	}
	return os.Rename(f.Name(), path)
}
