package input

import (
	"reflect"
	"slices"
	"testing"

	"barograph/stages/model/onnx"
)

func value(t *testing.T, name, kind string, dims ...string) onnx.Value {
	t.Helper()
	typ, ok := onnx.ParseType(kind)
	if !ok {
		t.Fatalf("no type %q", kind)
	}
	return onnx.Value{Name: name, Type: typ, Dims: append([]string{}, dims...)}
}

// What an input holds follows from its name, whatever its case, its type and its shape.
func TestDescribe(t *testing.T) {
	normal, zero, one := Values{Normal: &[2]float64{0, 1}}, constant(0), constant(1)
	bytes, rate := Values{Uniform: &[2]float64{0, 256}}, constant(16000)
	size := func(dim string) Values { return Values{Length: dim} }
	for name, tt := range map[string]struct {
		values []onnx.Value
		rows   map[string]int64
		want   []Values
	}{
		"lengths alone": {values: []onnx.Value{value(t, "x", "float32", "batch", "sequence"), value(t, "lengths", "int64", "batch")},
			want: []Values{normal, size("sequence")}},
		"lengths first": {values: []onnx.Value{value(t, "Lens", "int32", "N"), value(t, "Features", "float32", "N", "T", "80")},
			want: []Values{size("T"), normal}},
		"piper": {values: []onnx.Value{value(t, "input", "int64", "batch_size", "phonemes"), value(t, "input_lengths", "int64", "batch_size"), value(t, "scales", "float32", "3")},
			rows: map[string]int64{"input": 256}, want: []Values{{Uniform: &[2]float64{0, 256}}, size("phonemes"), one}},
		"onnx-asr": {values: []onnx.Value{value(t, "waveforms", "float32", "batch_size", "N"), value(t, "waveforms_lens", "int64", "batch_size")},
			want: []Values{normal, size("N")}},
		"nemo": {values: []onnx.Value{value(t, "audio_signal", "float32", "audio_signal_dynamic_axes_1", "80", "audio_signal_dynamic_axes_2"), value(t, "length", "int64", "length_dynamic_axes_1")},
			want: []Values{normal, size("audio_signal_dynamic_axes_2")}},
		"of one of two": {values: []onnx.Value{value(t, "speech", "float32", "b", "frames", "512"), value(t, "bias", "float32", "words", "512"), value(t, "speechLengths", "int32", "b"), value(t, "BIAS_LEN", "int64", "1")},
			want: []Values{normal, normal, size("frames"), size("words")}},
		"unnamed axes": {values: []onnx.Value{value(t, "x", "float32", "?", "?"), value(t, "x_lengths", "int64", "?")},
			want: []Values{normal, size("x.1")}},
		"fixed size": {values: []onnx.Value{value(t, "mel", "float32", "1", "80", "3000"), value(t, "mel_len", "int64", "1")},
			want: []Values{normal, size("3000")}},
		"time before samples": {values: []onnx.Value{value(t, "x", "float32", "time", "batch", "40"), value(t, "seqlen", "int64", "batch")},
			want: []Values{normal, size("time")}},
		"named as a dimension": {values: []onnx.Value{value(t, "input_ids", "int64", "batch", "Total_Sequence_Length"), value(t, "total_sequence_length", "int32")},
			want: []Values{zero, size("Total_Sequence_Length")}},
		"asked for": {values: []onnx.Value{value(t, "input_ids", "int64", "batch", "sequence"), value(t, "max_length", "int32", "1")},
			want: []Values{zero, size("max_length")}},
		"masks": {values: []onnx.Value{value(t, "Attention_Mask", "int64", "b", "s"), value(t, "ATTENTION_MASK", "float32", "b", "s"), value(t, "pixelMask", "float16", "b", "h", "w"),
			value(t, "key_padding_mask", "bool", "b", "s"), value(t, "use_cache_branch", "bool", "1")},
			want: []Values{one, one, one, zero, one}},
		"masks by other words": {values: []onnx.Value{value(t, "pixel_mask", "uint8", "b", "h", "w"), value(t, "is_pad", "bool", "b", "s"), value(t, "att_msk", "float32", "b", "s"),
			value(t, "decoderAttentionMask", "int32", "b", "s"), value(t, "src_key_padding_mask", "bool", "b", "s"), value(t, "MASK", "float64", "b", "1", "s", "s")},
			want: []Values{one, zero, one, one, zero, one}},
		"numbers of frames": {values: []onnx.Value{value(t, "speech", "float32", "b", "t", "80"), value(t, "num_frames", "int64", "b"), value(t, "speechSize", "int32", "b"), value(t, "TOKEN_COUNT", "int64", "b", "1"),
			value(t, "beam_size", "int32")}, want: []Values{normal, size("t"), size("t"), size("t"), size("beam_size")}},
		"scales": {values: []onnx.Value{value(t, "speed", "float32", "1"), value(t, "length_scale", "float32"), value(t, "wav_lens", "float32", "b"), value(t, "sr", "int64"), value(t, "sample_rate", "int32", "1"),
			value(t, "scale_map", "float32", "b", "64")},
			want: []Values{one, one, one, rate, rate, normal}},
		"others": {values: []onnx.Value{value(t, "image", "uint8", "1", "224", "224", "3"), value(t, "token_type_ids", "int64", "b", "s"), value(t, "wavelength", "int64", "b"), value(t, "quantized", "int8", "b", "3")},
			want: []Values{bytes, zero, zero, {Uniform: &[2]float64{-128, 128}}}},
	} {
		t.Run(name, func(t *testing.T) {
			for i, in := range Describe(tt.values, tt.rows) {
				if !reflect.DeepEqual(in.Values, tt.want[i]) {
					t.Errorf("%s holds %+v, want %+v", in.Name, in.Values, tt.want[i])
				}
				if err := in.Check(0); err != nil {
					t.Errorf("%s: %v", in.Name, err)
				}
			}
		})
	}
}

// A length is whole in every sample, and must be a number of its type.
func TestLength(t *testing.T) {
	in := Input{Name: "lengths", Type: "int32", Dims: []string{"batch"}, Values: Values{Length: "past + sequence"}}
	got, err := in.Draw(map[string]int64{"batch": 3, "past": 4, "sequence": 50}, 1)
	if err != nil || !slices.Equal(got.Data.([]int32), []int32{54, 54, 54}) {
		t.Errorf("%v, %v", got.Data, err)
	}
	in.Type = "int8"
	if _, err := in.Draw(map[string]int64{"batch": 1, "past": 100, "sequence": 50}, 1); err == nil || err.Error() != "the length 150 is beyond int8" {
		t.Errorf("beyond its type: %v", err)
	}
}
