package attest

import (
	"context"
	"crypto"
	"crypto/ed25519"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"barograph/pipeline/cell"
	"barograph/pipeline/cell/filetest"
	"barograph/pipeline/crate"
	"barograph/pipeline/record"

	provenance "github.com/in-toto/attestation/go/predicates/provenance/v1"
	intoto "github.com/in-toto/attestation/go/v1"
	"github.com/secure-systems-lab/go-securesystemslib/dsse"
	"google.golang.org/protobuf/encoding/protojson"
)

var digest = strings.Repeat("0f", 32)

func state() *crate.State {
	return &crate.State{Site: "https://barograph.invalid", Study: crate.Study{File: "configs/s.yaml", Digest: "sha256:1", Params: []crate.Parameter{{Name: "n", Value: json.RawMessage("[1]")}}},
		Environment: &record.Env{GPUDriver: "580"}, Files: []crate.File{{Path: "out.csv", Digest: digest}, {Path: "configs/s.yaml", Digest: digest}},
		Cells: []crate.Cell{{ID: "a", Started: time.Unix(1, 0).UTC(), Ended: time.Unix(2, 0).UTC(), Software: []cell.Software{{Name: "onnxruntime", Version: "1", Digest: digest}},
			Outputs: []crate.Output{{Name: "out.csv", Path: "out.csv", Digest: digest}, {Name: "left out", Digest: digest}}}}}
}

// keys writes a pair of keys, and returns their files.
func keys(t *testing.T, seed byte) (private, public string) {
	key := ed25519.NewKeyFromSeed([]byte(strings.Repeat(string(seed), ed25519.SeedSize)))
	dir := t.TempDir()
	private, public = filepath.Join(dir, "key.pem"), filepath.Join(dir, "public.pem")
	a, err := x509.MarshalPKCS8PrivateKey(key)
	b, e := x509.MarshalPKIXPublicKey(key.Public())
	for file, block := range map[string]*pem.Block{private: {Type: "PRIVATE KEY", Bytes: a}, public: {Type: "PUBLIC KEY", Bytes: b}} {
		err = errors.Join(err, e, os.WriteFile(file, pem.EncodeToMemory(block), 0o600))
	}
	if err != nil {
		t.Fatal(err)
	}
	return private, public
}

func read(t *testing.T, file string) *Key {
	k, err := ReadKey(file)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// foreign is a key as the library of DSSE takes it.
type foreign struct{ *Key }

func (f foreign) Verify(_ context.Context, data, sig []byte) error {
	if !ed25519.Verify(f.public, data, sig) {
		return errors.New("no")
	}
	return nil
}
func (f foreign) Sign(_ context.Context, data []byte) ([]byte, error) {
	return ed25519.Sign(f.private, data), nil
}
func (f foreign) KeyID() (string, error)   { return f.id, nil }
func (f foreign) Public() crypto.PublicKey { return f.public }

// TestOthersRead: the libraries of DSSE and in-toto take what is signed here for what
// it is meant to be, and what they sign is read here.
func TestOthersRead(t *testing.T) {
	private, public := keys(t, 1)
	b, err := Sign(Of(state()), read(t, private))
	if err != nil {
		t.Fatal(err)
	}
	var e dsse.Envelope
	if err := json.Unmarshal(b, &e); err != nil {
		t.Fatal(err)
	}
	verifier, err := dsse.NewEnvelopeVerifier(foreign{read(t, public)})
	if err != nil {
		t.Fatal(err)
	}
	accepted, payload, err := verifier.VerifyAndDecode(t.Context(), &e)
	if err != nil || len(accepted) != 1 {
		t.Fatal(accepted, err)
	}
	st := &intoto.Statement{}
	if err := protojson.Unmarshal(payload, st); err != nil {
		t.Fatal(err)
	}
	if err := st.Validate(); err != nil || len(st.Subject) != 1 || st.PredicateType != PredicateType {
		t.Errorf("%v, %v", st, err)
	}
	predicate, err := st.Predicate.MarshalJSON()
	p := &provenance.Provenance{}
	if err == nil {
		err = protojson.Unmarshal(predicate, p)
	}
	if err == nil {
		err = p.Validate()
	}
	if err != nil || p.RunDetails.Metadata.FinishedOn.AsTime() != time.Unix(2, 0).UTC() || len(p.BuildDefinition.ResolvedDependencies) != 3 {
		t.Errorf("%v, %v", p, err)
	}
	signer, err := dsse.NewEnvelopeSigner(foreign{read(t, private)})
	if err != nil {
		t.Fatal(err)
	}
	theirs, err := signer.SignPayload(t.Context(), PayloadType, payload)
	if err != nil {
		t.Fatal(err)
	}
	b, err = json.Marshal(theirs)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "theirs.json")
	filetest.Write(t, file, b)
	if got, err := Open(file, read(t, public)); err != nil || got.Subject[0].Name != "out.csv" || !Is(file) {
		t.Errorf("%+v, %v", got, err)
	}
}

// TestRefused: another key, another payload, another type.
func TestRefused(t *testing.T) {
	private, public := keys(t, 1)
	other, otherPublic := keys(t, 2)
	b, err := Sign(Of(state()), read(t, private))
	if err != nil {
		t.Fatal(err)
	}
	if again, err := Sign(Of(state()), read(t, private)); err != nil || string(again) != string(b) {
		t.Error("another time, other bytes", err)
	}
	file := filepath.Join(t.TempDir(), "a.json")
	try := func(b []byte, key string) error {
		filetest.Write(t, file, b)
		_, err := Open(file, read(t, key))
		return err
	}
	if err := try(b, public); err != nil {
		t.Error(err)
	}
	if err := try(b, otherPublic); err == nil || !strings.Contains(err.Error(), "not signed by this key") {
		t.Error(err)
	}
	var e envelope
	if err := json.Unmarshal(b, &e); err != nil {
		t.Fatal(err)
	}
	e.Payload[40] ^= 1
	changed, _ := json.Marshal(e)
	if err := try(changed, public); err == nil || !strings.Contains(err.Error(), "not signed by this key") {
		t.Error(err)
	}
	e.PayloadType = "text/plain"
	changed, _ = json.Marshal(e)
	if err := try(changed, public); err == nil || !strings.Contains(err.Error(), "text/plain") {
		t.Error(err)
	}
	if _, err := Sign(Of(state()), read(t, public)); err == nil {
		t.Error("a public key signed")
	}
	if _, err := Sign(Of(&crate.State{}), read(t, other)); err == nil || !strings.Contains(err.Error(), "no output") {
		t.Error(err)
	}
	for name, text := range map[string]string{"none": "", "no pem": "x", "other": "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n", "kind": "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"} {
		file := filepath.Join(t.TempDir(), "k")
		if text != "" {
			filetest.Write(t, file, text)
		}
		if _, err := ReadKey(file); err == nil || cell.HintOf(err) == "" {
			t.Errorf("%s: %v", name, err)
		}
	}
}
