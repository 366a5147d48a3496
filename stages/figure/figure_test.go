package figure

import (
	"bytes"
	"encoding/xml"
	"flag"
	"fmt"
	"image/png"
	"io"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
)

var update = flag.Bool("update", false, "write the golden files anew")

// load draws latencies like those of BERT on a CPU under some load: a narrow
// body around median milliseconds and a tail.
func load(n int, median, spread, tail float64, seed uint64) []int64 {
	rng := rand.New(rand.NewPCG(seed, 1))
	out := make([]int64, n)
	for i := range out {
		ms := median * math.Exp(spread*rng.NormFloat64())
		if rng.Float64() < tail {
			ms += median * 0.08 * rng.ExpFloat64()
		}
		out[i] = int64(ms * 1e6)
	}
	return out
}

// paperLoads are the paper's levels on a machine with 120 ms of inference.
func paperLoads(n int) (series []Series) {
	for i, slower := range []float64{1, 1.04, 1.09, 1.17, 1.28, 1.42} {
		level := []int{0, 1, 2, 4, 8, 16}[i]
		series = append(series, Series{
			Label:     fmt.Sprintf("L = %d", level),
			Latencies: load(n, 120*slower, 0.008+0.004*float64(i), 0.05+0.03*float64(i), uint64(i)),
		})
	}
	return series
}

func repeat(n int, ns int64) (out []int64) {
	for range n {
		out = append(out, ns)
	}
	return out
}

var paperCaption = []string{"host: 2 x Intel Xeon, DDR4; bert-base-uncased, batch 1, sequence 128, ONNX Runtime 1.31.1, 5 replicates x 300 calls."}

// specs are the figures that goldens hold.
func specs() map[string]ECDFSpec {
	many := []Series{}
	for i := range 12 {
		many = append(many, Series{Label: fmt.Sprintf("L = %d", i), Latencies: load(300, 120+2.5*float64(i), 0.012, 0.1, uint64(i))})
	}
	outliers := paperLoads(300)
	outliers[2].Latencies[7], outliers[5].Latencies[9] = 12_000e6, 9_000e6
	effective := paperLoads(300)
	for i := range effective {
		effective[i].EffectiveN = 60
	}
	decades := []Series{}
	for i, median := range []float64{1.2, 2.1, 5.5, 24} {
		decades = append(decades, Series{Label: []string{"idle", "64 KiB", "1 MiB", "64 MiB"}[i], Latencies: load(1000, median, 0.1+0.1*float64(i), 0.2, uint64(i))})
	}
	bad := []Series{{Label: "with zero", Latencies: append(load(500, 10, 1, 0, 1), 0, 0, -5e6)}, {Label: "slow", Latencies: load(500, 300, 1, 0, 2)}}
	return map[string]ECDFSpec{
		"paper":     {Title: "Figure 2: inference time under load", Caption: paperCaption, Series: paperLoads(1500)},
		"simulated": {Caption: []string{"p100 (simulated link), bert-base-uncased"}, Simulated: true, Series: paperLoads(300)},
		"many":      {Series: many},
		"outliers":  {Caption: paperCaption, Series: outliers},
		"effective": {Series: effective},
		"log":       {Caption: paperCaption, Series: decades},
		"negative":  {Scale: Log, Series: bad},
		"one":       {Series: paperLoads(300)[:1]},
		"sample":    {Series: []Series{{Label: "L = 0", Latencies: []int64{120e6}}}},
		"identical": {Series: []Series{{Label: "L = 0", Latencies: repeat(300, 120e6)}, {Label: "L = 1", Latencies: repeat(300, 120e6)}}},
		"text":      {Unit: "us", XLabel: "Tr\u00e4ge \u03bc \u2264 <&> \u2212 \u65e5", Caption: []string{"\u00b1 \u20ac \"quoted\" <b>&amp;"}, Series: []Series{{Label: "a,\"b\" <c>", Latencies: []int64{1000, 2000, 3000}}}},
	}
}

func render(t testing.TB, f *Figure, format string) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := f.Write(&b, format); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

var formats = []string{"svg", "pdf", "png", "csv"}

// twice draws what a spec says twice, in every format, and holds the two to the
// same bytes, which it returns with the figure.
func twice[S any](t *testing.T, draw func(S) (*Figure, error), spec func() S) (f *Figure, written map[string]string) {
	t.Helper()
	written = map[string]string{}
	for range 2 {
		var err error
		if f, err = draw(spec()); err != nil {
			t.Fatal(err)
		}
		for _, format := range formats {
			b := string(render(t, f, format))
			if written[format] != "" && written[format] != b {
				t.Errorf("%s: the same data gave other bytes", format)
			}
			written[format] = b
		}
	}
	return f, written
}

// atOnce writes a figure in all formats side by side, as notebooks do.
func atOnce(t testing.TB, f *Figure) map[string][]byte {
	t.Helper()
	drawn := make([]bytes.Buffer, len(formats))
	var all sync.WaitGroup
	for i, format := range formats {
		all.Go(func() {
			if err := f.Write(&drawn[i], format); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	written := map[string][]byte{}
	for i, format := range formats {
		written[format] = drawn[i].Bytes()
	}
	return written
}

// golden compares with a file, which -update writes.
func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.MkdirAll("testdata", 0o777); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, got, 0o666); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("%s: differs from the golden file (-update writes it anew)", name)
	}
}

var fontData = regexp.MustCompile(`base64,[A-Za-z0-9+/=]+`)

func TestGoldens(t *testing.T) {
	for name, spec := range specs() {
		t.Run(name, func(t *testing.T) {
			f, err := ECDF(spec)
			if err != nil {
				t.Fatal(err)
			}
			again, err := ECDF(specs()[name])
			if err != nil {
				t.Fatal(err)
			}
			drawn := atOnce(t, f)
			for _, format := range formats {
				b := drawn[format]
				// Compressing pictures takes most of the test's time: one that is
				// drawn again stands for all.
				if format != "png" || name == "paper" {
					if !bytes.Equal(b, render(t, f, format)) || !bytes.Equal(b, render(t, again, format)) {
						t.Errorf("%s: the same data gave other bytes", format)
					}
				}
				if format == "png" {
					if _, err := png.Decode(bytes.NewReader(b)); err != nil {
						t.Error(err)
					}
				}
				switch {
				case name == "paper" && format != "csv":
					golden(t, name+"."+format, b)
				case format == "svg": // readable without the font
					golden(t, name+".svg", fontData.ReplaceAll(b, []byte("base64,FONT")))
				}
				if dir := os.Getenv("FIGURES"); dir != "" { // to look at them
					if err := f.Save(filepath.Join(dir, name+"."+format)); err != nil {
						t.Fatal(err)
					}
				}
			}
			checkSVG(t, render(t, f, "svg"))
		})
	}
}

// checkSVG asserts well-formed XML with a name, a description and a role.
func checkSVG(t *testing.T, b []byte) {
	t.Helper()
	seen := map[string]string{}
	var open string
	d := xml.NewDecoder(bytes.NewReader(b))
	for {
		token, err := d.Token()
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		switch token := token.(type) {
		case xml.StartElement:
			open = token.Name.Local
			if open == "svg" {
				for _, a := range token.Attr {
					seen[a.Name.Local] = a.Value
				}
			}
		case xml.CharData:
			if open == "title" || open == "desc" {
				seen[open] += strings.TrimSpace(string(token))
			}
		}
	}
	if seen["role"] != "img" || seen["title"] == "" || seen["desc"] == "" || seen["aria-labelledby"] != "title desc" {
		t.Errorf("not accessible: %q", seen)
	}
}
