package remote

import (
	"google.golang.org/protobuf/encoding/protowire"
)

// A Result is what a server keeps under a key.
type Result struct {
	Files []File
	Note  []byte // the record and its detail, as a store writes them
}

// A File is one output of a result.
type File struct {
	Path   string
	Digest string // SHA-256, in hexadecimal
	Size   int64
	Exec   bool
}

// The numbers of fields in Bazel's remote execution API, version 2: of ActionResult,
// OutputFile and Digest. A server may refuse a result whose files it does not have, and
// so must be able to read them; the note passes for what the action printed.
const (
	outputFiles = 2
	stdoutRaw   = 5

	outputPath   = 1
	outputDigest = 2
	outputExec   = 4

	digestHash = 1
	digestSize = 2
)

// encode writes the result as an ActionResult.
func (r Result) encode() (b []byte) {
	for _, f := range r.Files {
		var digest, file []byte
		digest = protowire.AppendTag(digest, digestHash, protowire.BytesType)
		digest = protowire.AppendString(digest, f.Digest)
		digest = protowire.AppendTag(digest, digestSize, protowire.VarintType)
		digest = protowire.AppendVarint(digest, uint64(f.Size))
		file = protowire.AppendTag(file, outputPath, protowire.BytesType)
		file = protowire.AppendString(file, f.Path)
		file = protowire.AppendTag(file, outputDigest, protowire.BytesType)
		file = protowire.AppendBytes(file, digest)
		if f.Exec {
			file = protowire.AppendTag(file, outputExec, protowire.VarintType)
			file = protowire.AppendVarint(file, 1)
		}
		b = protowire.AppendTag(b, outputFiles, protowire.BytesType)
		b = protowire.AppendBytes(b, file)
	}
	b = protowire.AppendTag(b, stdoutRaw, protowire.BytesType)
	return protowire.AppendBytes(b, r.Note)
}

// decode reads the note of an ActionResult, which says all that the files do.
func decode(b []byte) (*Result, error) {
	r := &Result{}
	for len(b) > 0 {
		number, kind, n := protowire.ConsumeTag(b)
		if n < 0 {
			return nil, protowire.ParseError(n)
		}
		b = b[n:]
		if number == stdoutRaw && kind == protowire.BytesType {
			if r.Note, n = protowire.ConsumeBytes(b); n < 0 {
				return nil, protowire.ParseError(n)
			}
		} else if n = protowire.ConsumeFieldValue(number, kind, b); n < 0 {
			return nil, protowire.ParseError(n)
		}
		b = b[n:]
	}
	return r, nil
}
