package model

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"barograph/pipeline/cell"
)

// A Ref is how a study names a model: by the name of a configuration, by a path
// that ends in .onnx, or as {file: PATH.onnx, sha256: SUM}.
type Ref struct {
	Name   string // of a configuration, or a path that ends in .onnx
	SHA256 string // that the file must have; empty: any
}

// String returns the name or path.
func (r Ref) String() string { return r.Name }

// Set takes a name or a path, as flag.Value asks.
func (r *Ref) Set(name string) error {
	*r = Ref{Name: name}
	return nil
}

// Load is [Load], with the file's checksum compared.
func (r Ref) Load(root string) (*Config, error) {
	c, err := Load(root, r.Name)
	if err != nil || r.SHA256 == "" {
		return c, err
	}
	return c, c.checkSum(r.SHA256)
}

type fileRef struct {
	File   string `json:"file"`
	SHA256 string `json:"sha256,omitempty"`
}

// UnmarshalJSON takes a name, or an object.
func (r *Ref) UnmarshalJSON(b []byte) error {
	if !bytes.HasPrefix(b, []byte("{")) {
		if json.Unmarshal(b, &r.Name) != nil {
			return fmt.Errorf("model is %s: want a name, or {file: FILE.onnx, sha256: SUM}", b)
		}
		return nil
	}
	var f fileRef
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	if err := d.Decode(&f); err != nil {
		return fmt.Errorf("model takes file and sha256: %s", strings.TrimPrefix(err.Error(), "json: "))
	}
	switch {
	case !strings.HasSuffix(f.File, ".onnx"):
		return fmt.Errorf("model names the file %q, which does not end in .onnx", f.File)
	case f.SHA256 != "" && !ValidSum(f.SHA256):
		return fmt.Errorf("model gives the sha256 %q, which is not 64 hexadecimal digits", f.SHA256)
	}
	*r = Ref{f.File, f.SHA256}
	return nil
}

// MarshalJSON writes what UnmarshalJSON reads.
func (r Ref) MarshalJSON() ([]byte, error) {
	if r.SHA256 == "" {
		return json.Marshal(r.Name)
	}
	return json.Marshal(fileRef{r.Name, r.SHA256})
}

// JSONSchema describes the forms a Ref is written in.
func (Ref) JSONSchema() map[string]any {
	text := func(pattern, doc string) map[string]any {
		return map[string]any{"type": "string", "pattern": pattern, "description": doc}
	}
	return map[string]any{"anyOf": []any{
		map[string]any{"type": "string"},
		map[string]any{
			"type": "object", "required": []string{"file"}, "additionalProperties": false,
			"properties": map[string]any{
				"file":   text(`\.onnx$`, "an ONNX file, relative to the workspace"),
				"sha256": text("^[0-9a-fA-F]{64}$", "what its SHA-256 must be"),
			},
		},
	}}
}

// checkSum tells whether the model is a file with this SHA-256.
func (c *Config) checkSum(want string) error {
	switch {
	case c.arch != nil:
		return errors.New("model " + c.Name + " is built here, and sha256 is of a file")
	case strings.EqualFold(c.SHA256, want):
		return nil
	}
	return cell.Hint(fmt.Errorf("model %q: the SHA-256 of %s is %s, not %s", c.Name, c.path, c.SHA256, strings.ToLower(want)),
		"it is another file, or was changed; if it is the one that you mean, write down the new checksum")
}
