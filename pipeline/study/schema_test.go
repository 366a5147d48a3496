package study

import (
	"bytes"
	"path/filepath"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"gopkg.in/yaml.v3"

	"barograph/pipeline/cell/filetest"
)

// validator compiles the schema of the tests' kinds with an independent
// implementation.
func validator(t *testing.T) func(yamlText []byte) error {
	t.Helper()
	b, err := Schema(kinds())
	if err != nil {
		t.Fatal(err)
	}
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(b))
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	if err := c.AddResource("schema.json", doc); err != nil {
		t.Fatal(err)
	}
	schema, err := c.Compile("schema.json")
	if err != nil {
		t.Fatal(err)
	}
	return func(text []byte) error {
		var v any
		if err := yaml.Unmarshal(text, &v); err != nil {
			return err
		}
		return schema.Validate(v)
	}
}

func TestSchema(t *testing.T) {
	b, err := Schema(kinds())
	if err != nil {
		t.Fatal(err)
	}
	again, err := Schema(kinds())
	if err != nil || !bytes.Equal(b, again) {
		t.Errorf("two calls differ, %v", err)
	}
	filetest.Golden(t, *update, "testdata/schema.golden", b)

	validate := validator(t)
	if err := validate([]byte(whole)); err != nil {
		t.Errorf("a valid study: %v", err)
	}
	for _, c := range []struct{ from, to string }{
		{"description:", "descripton:"},
		{"study: whole", "study: a/b"},
		{"study: whole", "title: whole"},
		{"seed: 7", "seed: -7"},
		{"seed: 7", "seed: seven"},
		{"uses: measure", "uses: mesure"},
		{"uses: measure", "uses: shell"},
		{"mode: capacity", "mode: capcity"},
		{"directions: [h2d, d2h]", "directions: [up]"},
		{"settle: 250ms", "settle: [1]"},
		{"nested: {depth: 3}", "nested: {dept: 3}"},
		{"nested: {depth: 3}", "nested: 3"},
		{"pinned: true", "pinned: 7"},
		{"threads: ${{ level }}", "threads: 65"},
		{"retries: 2", "retries: 2.5"},
		{"notebook: notebooks/judge", "timeout: 1h"},
		{"model:", "modl:"},
		{"[infer, press]", "infer"},
		{"claims:\n  - {id: C1,", "claims:\n  - {"},
		{`replicate: "${{ replicates }}"`, "replicate: 0"},
		{"run: cp", "background: true\n    run: cp"},
	} {
		text := strings.Replace(whole, c.from, c.to, 1)
		if text == whole {
			t.Fatalf("%q is not in the study", c.from)
		}
		if validate([]byte(text)) == nil {
			t.Errorf("%q passes the schema", c.to)
		}
	}
}

// What Load accepts, the schema accepts: nothing that it refuses may load.
func TestSchemaIsNoStricterThanLoad(t *testing.T) {
	validate := validator(t)
	accepted := map[string]string{
		"whole floats":     "study: x\nstages: {a: {uses: load, with: {threads: 2.0, labels: {a: \"${{ 1 }}\"}, pinned: \"${{ true }}\"}}}\n",
		"numbers as units": "study: x\nstages: {a: {uses: load, with: {block: 8192, rate: 1e9, settle: 1000}}}\n",
		"expression lists": "study: x\nparams: {d: [h2d]}\nstages: {a: {uses: load, with: {directions: \"${{ d }}\", labels: \"${{ {'a': 1} }}\"}}}\n",
		"anchors":          "study: x\nstages:\n  a: &a {uses: measure, with: &w {model: m}}\n  b: {<<: *a, with: {<<: *w, calls: 2}}\n",
		"background":       "study: x\nstages: {a: {uses: measure, background: false, with: {model: m}}, b: {uses: load, background: \"${{ 1 > 2 }}\"}}\n",
	}
	for name, text := range accepted {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "x.yaml")
			filetest.Write(t, path, text)
			if _, err := Load(path, Options{Kinds: kinds()}); err != nil {
				t.Errorf("load: %v", err)
			}
			if err := validate([]byte(text)); err != nil {
				t.Errorf("schema: %v", err)
			}
		})
	}
}
