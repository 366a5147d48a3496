// Package attest says who stands for a study's outputs, and how they were made: an
// in-toto Statement, version 1, with SLSA provenance, version 1, in a DSSE envelope
// that a local key signs. A signature says who, and not that it is true; measuring
// again says that.
package attest

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"barograph/pipeline/cell"
	"barograph/pipeline/crate"
)

// An envelope is one of DSSE, version 1. Its library is used in tests alone: it brings
// a whole SSH, which every cell's process would start with.
type envelope struct {
	PayloadType string      `json:"payloadType"`
	Payload     []byte      `json:"payload"` // in base64
	Signatures  []signature `json:"signatures"`
}

type signature struct {
	KeyID string `json:"keyid"`
	Sig   []byte `json:"sig"` // in base64
}

// signed is what a signature of the envelope is on: its "pre-authentication encoding".
func (e *envelope) signed() []byte {
	return fmt.Appendf(nil, "DSSEv1 %d %s %d %s", len(e.PayloadType), e.PayloadType, len(e.Payload), e.Payload)
}

// The types of what is signed, as their specifications name them.
const (
	PayloadType   = "application/vnd.in-toto+json"
	StatementType = "https://in-toto.io/Statement/v1"
	PredicateType = "https://slsa.dev/provenance/v1"
)

// A Statement is what a signature is on.
type Statement struct {
	Type          string     `json:"_type"`
	Subject       []Resource `json:"subject"`
	PredicateType string     `json:"predicateType"`
	Predicate     Predicate  `json:"predicate"`
}

// A Resource is a file or a program, by digest.
type Resource struct {
	Name        string            `json:"name"`
	URI         string            `json:"uri,omitempty"`
	Digest      map[string]string `json:"digest,omitempty"`
	Annotations map[string]any    `json:"annotations,omitempty"`
}

// A Predicate is SLSA provenance.
type Predicate struct {
	Build struct {
		Type     string         `json:"buildType"`
		External map[string]any `json:"externalParameters"`
		Internal map[string]any `json:"internalParameters,omitempty"`
		Needed   []Resource     `json:"resolvedDependencies,omitempty"`
	} `json:"buildDefinition"`
	Run struct {
		Builder struct {
			ID      string            `json:"id"`
			Version map[string]string `json:"version,omitempty"`
		} `json:"builder"`
		Metadata struct {
			Invocation string `json:"invocationId,omitempty"`
			Started    string `json:"startedOn,omitempty"`
			Finished   string `json:"finishedOn,omitempty"`
		} `json:"metadata"`
	} `json:"runDetails"`
}

// Of says what a state tells: its subjects are the files that its cells left.
func Of(s *crate.State) *Statement {
	st := &Statement{Type: StatementType, PredicateType: PredicateType}
	made := map[string]bool{}
	for _, c := range s.Cells {
		for _, out := range c.Outputs {
			if out.Path != "" && !made[out.Path] {
				made[out.Path] = true
				st.Subject = append(st.Subject, Resource{Name: out.Path, Digest: sha(out.Digest)})
			}
		}
	}
	b := &st.Predicate.Build
	b.Type = s.Site + "/study/v1"
	params := map[string]any{}
	for _, p := range s.Study.Params {
		params[p.Name] = p.Value
	}
	b.External = map[string]any{"study": s.Study.File, "parameters": params, "machine": s.Machine.Name}
	b.Internal = map[string]any{"seed": s.Study.Seed, "device": s.Machine.Device, "fingerprint": s.Machine.Fingerprint}
	for _, f := range s.Files {
		if !made[f.Path] {
			b.Needed = append(b.Needed, Resource{Name: f.Path, Digest: sha(f.Digest)})
		}
	}
	b.Needed = append(b.Needed, libraries(s)...)
	if env := s.Environment; env != nil && env.GPUDriver != "" {
		b.Needed = append(b.Needed, Resource{Name: "gpu driver", URI: s.Site + "/driver/" + env.GPUDriver, Annotations: map[string]any{"version": env.GPUDriver}})
	}
	r := &st.Predicate.Run
	r.Builder.ID = s.Site + "/program"
	r.Builder.Version = map[string]string{"barograph": strings.TrimSpace(s.Program.Version + " " + s.Program.Revision + " " + s.Program.BuildID)}
	begin, end := s.Span()
	r.Metadata.Invocation = s.Study.Digest
	if !begin.IsZero() {
		r.Metadata.Started = begin.Format("2006-01-02T15:04:05Z")
	}
	r.Metadata.Finished = end.Format("2006-01-02T15:04:05Z")
	return st
}

// libraries lists what the cells called and did not bring, each once.
func libraries(s *crate.State) (list []Resource) {
	seen := map[string]bool{}
	for _, c := range s.Cells {
		for _, sw := range c.Software {
			if sw.Digest == "" || seen[sw.Name+sw.Digest] {
				continue
			}
			seen[sw.Name+sw.Digest] = true
			r := Resource{Name: sw.Name, Digest: sha(sw.Digest)}
			if sw.Version != "" {
				r.Annotations = map[string]any{"version": sw.Version}
			}
			list = append(list, r)
		}
	}
	return list
}

func sha(digest string) map[string]string { return map[string]string{"sha256": digest} }

// A Key signs or checks with Ed25519.
type Key struct {
	public  ed25519.PublicKey
	private ed25519.PrivateKey
	id      string
}

// Make tells how to make keys.
const Make = "openssl genpkey -algorithm ed25519 -out key.pem, and openssl pkey -in key.pem -pubout -out public.pem"

// ReadKey reads an Ed25519 key in PEM: a private one (PKCS #8), or a public one.
func ReadKey(file string) (*Key, error) {
	b, err := os.ReadFile(file)
	if err != nil {
		return nil, cell.Hint(err, "%s", Make)
	}
	block, _ := pem.Decode(b)
	if block == nil {
		return nil, cell.Hint(fmt.Errorf("key %s: no PEM", file), "%s", Make)
	}
	k := &Key{}
	switch block.Type {
	case "PRIVATE KEY":
		key, e := x509.ParsePKCS8PrivateKey(block.Bytes)
		if private, ok := key.(ed25519.PrivateKey); ok {
			k.private, k.public = private, private.Public().(ed25519.PublicKey)
		}
		err = e
	case "PUBLIC KEY":
		key, e := x509.ParsePKIXPublicKey(block.Bytes)
		k.public, _ = key.(ed25519.PublicKey)
		err = e
	}
	if err == nil && k.public == nil {
		err = fmt.Errorf("a %s that is no Ed25519 key", strings.ToLower(block.Type))
	}
	if err != nil {
		return nil, cell.Hint(fmt.Errorf("key %s: %w", file, err), "%s", Make)
	}
	der, err := x509.MarshalPKIXPublicKey(k.public)
	if err != nil {
		return nil, err
	}
	sum := sha256.Sum256(der)
	k.id = hex.EncodeToString(sum[:])
	return k, nil
}

// Private tells whether the key can sign.
func (k *Key) Private() bool { return k.private != nil }

// Sign puts a statement into an envelope. One statement and one key give the same
// bytes.
func Sign(st *Statement, key *Key) ([]byte, error) {
	if key.private == nil {
		return nil, errors.New("sign: the key is a public one, and cannot")
	}
	if len(st.Subject) == 0 {
		return nil, errors.New("sign: no output to sign for")
	}
	payload, err := json.Marshal(st)
	if err != nil {
		return nil, err
	}
	e := envelope{PayloadType: PayloadType, Payload: payload}
	e.Signatures = []signature{{key.id, ed25519.Sign(key.private, e.signed())}}
	b, err := json.MarshalIndent(e, "", " ")
	return append(b, '\n'), err
}

// Is tells whether a file begins as an envelope does.
func Is(file string) bool {
	b, err := os.ReadFile(file)
	var e envelope
	return err == nil && bytes.HasPrefix(bytes.TrimSpace(b), []byte("{")) && json.Unmarshal(b, &e) == nil && e.PayloadType != ""
}

// Open checks the signature of an envelope, and returns what it is on.
func Open(file string, key *Key) (*Statement, error) {
	b, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	var e envelope
	if err := json.Unmarshal(b, &e); err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	if e.PayloadType != PayloadType {
		return nil, fmt.Errorf("%s is on %q, and not on %q", file, e.PayloadType, PayloadType)
	}
	if !slices.ContainsFunc(e.Signatures, func(s signature) bool { return ed25519.Verify(key.public, e.signed(), s.Sig) }) {
		return nil, fmt.Errorf("%s is not signed by this key, or was changed since", file)
	}
	st := &Statement{}
	if err := json.Unmarshal(e.Payload, st); err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	if st.Type != StatementType || st.PredicateType != PredicateType {
		return nil, fmt.Errorf("%s is a %s with a %s, and not a %s with a %s", file, st.Type, st.PredicateType, StatementType, PredicateType)
	}
	return st, nil
}
