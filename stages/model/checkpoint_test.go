package model

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"barograph/pipeline/cell"
	"barograph/stages/model/checkpoint"

	"github.com/x448/float16"
)

// save writes tensors of one type in the safetensors format.
func save(t testing.TB, dtype string, tensors map[string][]float64, shapes map[string][]int64) []byte {
	t.Helper()
	header := map[string]any{"__metadata__": map[string]string{"format": "pt"}}
	var data []byte
	for name, values := range tensors {
		begin := len(data)
		for _, v := range values {
			switch dtype {
			case "F64":
				data = binary.LittleEndian.AppendUint64(data, math.Float64bits(v))
			case "F32":
				data = binary.LittleEndian.AppendUint32(data, math.Float32bits(float32(v)))
			case "F16":
				data = binary.LittleEndian.AppendUint16(data, float16.Fromfloat32(float32(v)).Bits())
			case "BF16":
				data = binary.LittleEndian.AppendUint16(data, uint16(math.Float32bits(float32(v))>>16))
			case "I64":
				data = binary.LittleEndian.AppendUint64(data, uint64(v))
			}
		}
		header[name] = map[string]any{"dtype": dtype, "shape": shapes[name], "data_offsets": [2]int64{int64(begin), int64(len(data))}}
	}
	b, err := json.Marshal(header)
	if err != nil {
		t.Fatal(err)
	}
	return slices.Concat(binary.LittleEndian.AppendUint64(nil, uint64(len(b))), b, data)
}

// trained gives every weight of the small BERT values that all types hold, in
// the layout of checkpoints.
func trained(t *testing.T, c *Config) (tensors map[string][]float64, shapes map[string][]int64) {
	t.Helper()
	n := c.network()
	info, err := n.Info()
	if err != nil {
		t.Fatal(err)
	}
	tensors, shapes = map[string][]float64{}, map[string][]int64{}
	for _, w := range info.Initialisers {
		shape := slices.Clone(w.Dims)
		if n.Transposed[w.Name] {
			slices.Reverse(shape)
		}
		count, _ := w.Elements()
		for i := range count {
			tensors[w.Name] = append(tensors[w.Name], float64(i%127)/64)
		}
		shapes[w.Name] = shape
	}
	return tensors, shapes
}

func TestCheckpointTypes(t *testing.T) {
	c := small(t)
	tensors, shapes := trained(t, c)
	for _, dtype := range []string{"F64", "F32", "F16", "BF16"} {
		path := filepath.Join(t.TempDir(), "model.safetensors")
		if err := os.WriteFile(path, save(t, dtype, tensors, shapes), 0o666); err != nil {
			t.Fatal(err)
		}
		with, file, err := c.WithWeights(path)
		if err != nil {
			t.Fatal(err)
		}
		if with.Digest() == c.Digest() {
			t.Error("a model with other weights has the same digest")
		}
		built, err := Ensure(t.Context(), with, t.TempDir(), nil)
		if err != nil {
			t.Fatal(err)
		}
		if err := file.Close(); err != nil {
			t.Error(err)
		}
		got := newReference(t, c, built).weights
		for name, want := range tensors {
			if shape := shapes[name]; with.network().Transposed[name] {
				turned := make([]float64, len(want))
				for i := range want {
					row, column := int64(i)/shape[1], int64(i)%shape[1]
					turned[column*shape[0]+row] = want[i]
				}
				want = turned
			}
			if !slices.Equal(got[name], want) {
				t.Errorf("%s: %s differs", dtype, name)
			}
		}
	}
}

// Everything that does not fit is listed, and nothing else.
func TestCheckpointMisfits(t *testing.T) {
	c := small(t)
	tensors, shapes := trained(t, c)
	const moved, turned, lacking = "encoder.layer.0.output.dense.weight", "encoder.layer.1.intermediate.dense.weight", "pooler.dense.bias"
	tensors["bert."+moved], shapes["bert."+moved] = tensors[moved], shapes[moved]
	delete(tensors, moved)
	delete(tensors, lacking)
	slices.Reverse(shapes[turned])
	tensors["cls.bias"], shapes["cls.bias"] = []float64{1, 2}, []int64{2}
	tensors["embeddings.position_ids"], shapes["embeddings.position_ids"] = []float64{1}, []int64{1}
	path := filepath.Join(t.TempDir(), "model.safetensors")
	if err := os.WriteFile(path, save(t, "F32", tensors, shapes), 0o666); err != nil {
		t.Fatal(err)
	}
	fitted := func(by checkpoint.Naming) string {
		from, err := checkpoint.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		defer from.Close()
		if err := from.Fit(c.network(), by); err != nil {
			_, list, _ := strings.Cut(err.Error(), "does not fit:\n")
			return list
		}
		return ""
	}
	want := `  missing encoder.layer.0.output.dense.weight [48 96]
  encoder.layer.1.intermediate.dense.weight is [48 96], not [96 48]
  missing pooler.dense.bias [48]
  bert.encoder.layer.0.output.dense.weight [48 96] has no place in the model
  cls.bias [2] has no place in the model
  embeddings.position_ids [1] has no place in the model`
	if got := fitted(checkpoint.Naming{}); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	var by checkpoint.Naming
	for _, ignore := range []string{`cls\..*`, `embeddings\.position_ids`} {
		by.Ignore = append(by.Ignore, checkpoint.Pattern{Regexp: regexp.MustCompile("^(?:" + ignore + ")$")})
	}
	by.Names = append(by.Names, struct {
		Here  checkpoint.Pattern `json:"here" required:"true"`
		There string             `json:"there" required:"true"`
	}{checkpoint.Pattern{Regexp: regexp.MustCompile("^(?:(.*))$")}, "bert.$1"})
	want = `  encoder.layer.1.intermediate.dense.weight is [48 96], not [96 48]
  missing bert.pooler.dense.bias [48]`
	if got := fitted(by); got != want {
		t.Errorf("mapped: got\n%s\nwant\n%s", got, want)
	}
}

// A checkpoint may be in several files, and a model below another's prefix.
func TestCheckpointInShards(t *testing.T) {
	c := small(t)
	tensors, shapes := trained(t, c)
	dir := t.TempDir()
	put := func(name string, data []byte) string {
		t.Helper()
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, data, 0o666); err != nil {
			t.Fatal(err)
		}
		return path
	}
	whole := put("model.safetensors", save(t, "F32", tensors, shapes))
	index := map[string]string{}
	shards := [2]map[string][]float64{{"lm.head": {1}, "lm.model.embeddings.position_ids": {1}}, {}}
	shapes["lm.head"], shapes["lm.model.embeddings.position_ids"] = []int64{1}, []int64{1}
	names := []string{"part-00001-of-00002.safetensors", "part-00002-of-00002.safetensors"}
	for name, values := range tensors {
		prefixed := "lm.model." + name
		i := len(name) % 2
		shards[i][prefixed], shapes[prefixed], index[prefixed] = values, shapes[name], names[i]
	}
	for i, name := range names {
		put(name, save(t, "F32", shards[i], shapes))
	}
	indexed := func(name string, in map[string]string) string {
		b, err := json.Marshal(map[string]any{"metadata": map[string]int{"total_size": 1}, "weight_map": in})
		if err != nil {
			t.Fatal(err)
		}
		return put(name+".safetensors.index.json", b)
	}
	trained := *c
	for _, ignore := range []string{`lm\.head`, `embeddings\.position_ids`} {
		trained.naming.Ignore = append(trained.naming.Ignore, checkpoint.Pattern{Regexp: regexp.MustCompile("^(?:" + ignore + ")$")})
	}
	built := func(path string) []byte {
		t.Helper()
		with, file, err := trained.WithWeights(path)
		if err != nil {
			t.Fatal(err)
		}
		defer file.Close()
		var b bytes.Buffer
		if err := Build(&b, with); err != nil {
			t.Fatal(err)
		}
		return b.Bytes()
	}
	if !bytes.Equal(built(indexed("part", index)), built(whole)) {
		t.Error("the same weights in two files make another model")
	}
	for path, want := range map[string]string{
		filepath.Join(dir, names[0]):                                                  "does not fit",
		indexed("gone", map[string]string{"w": "gone.safetensors"}):                   "gone.safetensors: no such file",
		indexed("away", map[string]string{"w": "../part-00001-of-00002.safetensors"}): "no .safetensors file beside it",
		indexed("other", map[string]string{"w": names[0]}):                            `does not hold tensor "w"`,
		indexed("none", nil): "no weight_map",
	} {
		_, _, err := trained.WithWeights(path)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", path, err, want)
		}
		if want == "does not fit" && !strings.Contains(cell.HintOf(err), "name their index") {
			t.Errorf("one file of two: hint %q", cell.HintOf(err))
		}
	}
}
