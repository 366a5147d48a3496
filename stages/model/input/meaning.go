package input

import (
	"regexp"
	"slices"
	"strconv"
	"strings"

	"barograph/stages/model/onnx"
)

// Describe returns how the inputs of an ONNX file are drawn unless one says otherwise,
// by what name, type and shape mean, whatever the case of a name:
//
//   - what chooses one of a table's rows chooses any;
//   - masks let everything through;
//   - a length, or a number of frames, is that of what it measures, or a dimension of
//     its own name;
//   - scales, speeds and the like are 1, and a rate of samples is 16000;
//   - bytes are any, as an image's; other integers are 0, an index into anything;
//   - the rest is drawn from the standard normal distribution.
//
// rows says of which inputs choose rows how many there are. A dimension without a name
// is called INPUT.AXIS.
func Describe(values []onnx.Value, rows map[string]int64) []Input {
	inputs := make([]Input, len(values))
	for i, v := range values {
		inputs[i] = Input{Name: v.Name, Type: v.Type.String(), Dims: slices.Clone(v.Dims)}
		for axis, d := range v.Dims {
			if d == "?" || d == "" {
				inputs[i].Dims[axis] = v.Name + "." + strconv.Itoa(axis)
			}
		}
	}
	for i := range inputs {
		inputs[i].Values = inputs[i].meaning(inputs, rows[inputs[i].Name])
	}
	return inputs
}

func constant(c float64) Values { return Values{Constant: &c} }

// meaning returns what an input of a model with these inputs holds.
func (in *Input) meaning(all []Input, rows int64) Values {
	float := strings.Contains(in.Type, "float")
	words := nameWords(in.Name)
	is := func(names ...string) bool {
		return slices.ContainsFunc(words, func(w string) bool { return slices.Contains(names, w) })
	}
	switch low := strings.ToLower(in.Name); {
	case rows > 1 && !float:
		return Values{Uniform: &[2]float64{0, float64(min(rows, most))}}
	case in.Type == "bool" && is("pad", "padding", "padded"): // true is what counts for nothing
		return constant(0)
	case strings.Contains(low, "mask") || is("msk"), in.Type == "bool":
		return constant(1)
	case !in.single():
	case (slices.ContainsFunc(words, isLength) || isNumber(words)) && !float:
		return Values{Length: in.measured(all, words)}
	case !float && (is("sr") || is("rate") && is("sample", "sampling")):
		return constant(16000)
	case float && (slices.ContainsFunc(words, isLength) || is("scale", "scales", "speed", "rate", "ratio", "factor", "temperature", "penalty", "gain", "strength")):
		return constant(1)
	}
	switch {
	case float:
		return Values{Normal: &[2]float64{0, 1}}
	case in.Type == "uint8":
		return Values{Uniform: &[2]float64{0, 256}}
	case in.Type == "int8":
		return Values{Uniform: &[2]float64{-128, 128}}
	}
	return constant(0)
}

// single tells whether an input is one number, or one for each sample.
func (in *Input) single() bool {
	return in.Dims != nil && (len(in.Dims) == 0 || !slices.ContainsFunc(in.Dims[1:], func(d string) bool { return d != "1" }))
}

// word matches the words of a name: of inputLengths, input_lengths and INPUT_LENGTHS
// they are input and lengths.
var word = regexp.MustCompile(`[A-Z]*[a-z]+|[A-Z]+|[0-9]+`)

func nameWords(name string) []string {
	words := word.FindAllString(name, -1)
	for i := range words {
		words[i] = strings.ToLower(words[i])
	}
	return words
}

// isLength tells of a word whether it names a length.
func isLength(word string) bool {
	return length.MatchString(word) && word != "wavelength"
}

// isNumber tells whether a name says how many there are of something along an axis:
// num_frames, audio_size, TOKEN_COUNT.
func isNumber(words []string) bool {
	last := words[len(words)-1]
	return slices.Contains([]string{"size", "sizes", "count", "counts", "duration", "durations"}, last) ||
		len(words) > 1 && slices.Contains([]string{"n", "num", "number", "nb"}, words[0]) &&
			slices.Contains([]string{"frames", "samples", "tokens", "steps", "points", "words"}, last)
}

var length = regexp.MustCompile(`(len|lens|length|lengths)$`)

// measured returns the size of what a length measures: a dimension, or a number. That is
// the dimension of the length's name, or else the last axis, one with a name before one
// without, that is not the samples', of the input that the length is named for; or of
// the first, where the length is of each sample. A length of nothing that is there is a
// dimension itself.
func (in *Input) measured(all []Input, words []string) string {
	var others []Input
	for _, o := range all {
		for _, d := range o.Dims {
			if strings.EqualFold(d, in.Name) {
				return d
			}
		}
		if o.Name != in.Name && !o.single() {
			others = append(others, o)
		}
	}
	stem := ""
	for _, w := range words {
		if isLength(w) {
			w = length.ReplaceAllString(w, "") // seq of seqlen
		}
		stem += w
	}
	named := slices.IndexFunc(others, func(o Input) bool {
		name := strings.Join(nameWords(o.Name), "")
		return stem != "" && (strings.HasPrefix(name, stem) || strings.HasPrefix(stem, name))
	})
	if named < 0 && len(others) > 0 && len(in.Dims) > 0 && (!isSize(in.Dims[0]) || in.Dims[0] == others[0].Dims[0]) {
		named = 0
	}
	if named < 0 {
		return in.Name
	}
	dims := slices.Clone(others[named].Dims)
	if len(in.Dims) > 0 {
		if samples := slices.Index(dims, in.Dims[0]); samples >= 0 {
			dims = slices.Delete(dims, samples, samples+1)
		}
	}
	size := dims[0]
	for _, d := range dims[1:] {
		if !isSize(d) || isSize(size) && larger(d, size) {
			size = d
		}
	}
	return size
}

func isSize(dim string) bool {
	_, err := strconv.ParseInt(dim, 10, 64)
	return err == nil
}

func larger(a, b string) bool {
	return len(a) > len(b) || len(a) == len(b) && a > b
}
