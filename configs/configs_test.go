// Package configs_test checks the studies, machines and schema that are shipped.
package configs_test

import (
	"bytes"
	"flag"
	"path/filepath"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"gopkg.in/yaml.v3"

	"barograph/pipeline/cell/filetest"
	"barograph/pipeline/study"
	"barograph/stages"
)

var update = flag.Bool("update", false, "write schema.json anew")

func files(t *testing.T, pattern string) []string {
	t.Helper()
	list, err := filepath.Glob(pattern)
	if err != nil || len(list) == 0 {
		t.Fatalf("%s: %d files, %v", pattern, len(list), err)
	}
	return list
}

func TestSchemaIsCurrent(t *testing.T) {
	want, err := study.Schema(stages.Kinds())
	if err != nil {
		t.Fatal(err)
	}
	if *update {
		filetest.Write(t, "schema.json", want)
	}
	got := filetest.Read(t, "schema.json")
	if !bytes.Equal(got, want) {
		t.Error("schema.json is not what the kinds say; go test ./configs -update, or barograph schema > configs/schema.json")
	}
}

func TestStudiesFitTheSchema(t *testing.T) {
	schema, err := jsonschema.NewCompiler().Compile("schema.json")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files(t, "*.yaml") {
		t.Run(file, func(t *testing.T) {
			text := filetest.Read(t, file)
			if !bytes.HasPrefix(text, []byte("# yaml-language-server: $schema=schema.json\n")) {
				t.Error("its first line does not name the schema to editors")
			}
			var v any
			if err := yaml.Unmarshal(text, &v); err != nil {
				t.Fatal(err)
			}
			if err := schema.Validate(v); err != nil {
				t.Error(err)
			}
			misspelt := v.(map[string]any)
			misspelt["stagse"] = misspelt["stages"]
			if misspelt["stagse"] == nil || schema.Validate(v) == nil {
				t.Error("a misspelt key passes the schema")
			}
		})
	}
}

// Every study loads on every machine.
func TestStudiesLoad(t *testing.T) {
	for _, file := range files(t, "*.yaml") {
		for _, m := range append(files(t, "machines/*.yaml"), "auto") {
			m = strings.TrimSuffix(filepath.Base(m), ".yaml")
			t.Run(file+" on "+m, func(t *testing.T) {
				s, err := study.Load(file, study.Options{Kinds: stages.Kinds(), Machine: m})
				if err != nil {
					t.Fatal(err)
				}
				if m != "auto" && s.Machine.Name != m {
					t.Errorf("loaded for the machine %q", s.Machine.Name)
				}
			})
		}
	}
}

// TestPaper keeps the paper's design: what its text says was run.
func TestPaper(t *testing.T) {
	s, err := study.Load("paper.yaml", study.Options{Kinds: stages.Kinds(), Machine: "p100"})
	if err != nil {
		t.Fatal(err)
	}
	if len(s.Lowered) > 0 {
		t.Errorf("the paper's own machine changes %v", s.Lowered)
	}
	if s.Params["calls"] != int64(300) {
		t.Errorf("%v calls, the paper has 300", s.Params["calls"])
	}
	if s.Machine.Link.Raw != 15.754e9 {
		t.Errorf("raw bandwidth %v", s.Machine.Link.Raw)
	}
	host, err := study.Load("paper.yaml", study.Options{Kinds: stages.Kinds(), Machine: "host"})
	if err != nil {
		t.Fatal(err)
	}
	if len(host.Lowered) == 0 || host.Lowered[0].By != filepath.Join("configs", "machines", "host.yaml") {
		t.Errorf("on the host, lowered: %v", host.Lowered)
	}
}
