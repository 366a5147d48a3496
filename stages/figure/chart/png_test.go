package chart

import (
	"bytes"
	"image"
	"image/color"
	"math/rand/v2"
	"testing"

	"golang.org/x/image/draw"
	"golang.org/x/image/math/f64"
)

// TestUpright lays glyphs of noise on noise, over the edges too, and compares with what
// the interpolator within makes of them.
func TestUpright(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 0))
	noise := func(pix []uint8) {
		for i := range pix {
			pix[i] = uint8(rng.IntN(256)) * uint8(rng.IntN(2))
		}
	}
	for range 200 {
		want := image.NewRGBA(image.Rect(0, 0, 12, 9))
		for i := 0; i < len(want.Pix); i += 4 { // its colours are no lighter than its alpha
			a := rng.IntN(256)
			want.Pix[i], want.Pix[i+1], want.Pix[i+2], want.Pix[i+3] = uint8(rng.IntN(a+1)), uint8(rng.IntN(a+1)), uint8(rng.IntN(a+1)), uint8(a)
		}
		got := image.NewRGBA(want.Rect)
		copy(got.Pix, want.Pix)
		mask := image.NewAlpha(image.Rect(0, 0, 8, 7))
		noise(mask.Pix)
		ink := image.NewUniform(color.NRGBA{uint8(rng.IntN(256)), uint8(rng.IntN(256)), uint8(rng.IntN(256)), uint8(rng.IntN(256))})
		at := f64.Aff3{1, 0, float64(rng.IntN(16) - 4), 0, 1, float64(rng.IntN(14) - 4)}
		if rng.IntN(4) == 0 { // which is not upright
			at[0], at[1], at[3], at[4] = 0, -1, 1, 0
		}
		glyph := image.Rect(0, 0, 1+rng.IntN(6), 1+rng.IntN(5))
		opts := &draw.Options{SrcMask: mask, SrcMaskP: image.Pt(rng.IntN(3), rng.IntN(3))}
		draw.BiLinear.Transform(want, at, ink, glyph, draw.Over, opts)
		upright{draw.BiLinear}.Transform(got, at, ink, glyph, draw.Over, opts)
		if !bytes.Equal(got.Pix, want.Pix) {
			t.Fatalf("a glyph of %v at %v differs", glyph, at)
		}
	}
}
