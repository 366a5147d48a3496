package chart

import (
	"fmt"
	"sync"

	"codeberg.org/go-fonts/liberation/liberationsansregular"
	"codeberg.org/go-pdf/fpdf"
	"golang.org/x/image/font/opentype"
	"golang.org/x/image/font/sfnt"
)

// subsets are the fonts that were made, by their runes: figures of one notebook mostly
// hold the same.
var subsets sync.Map

// cut returns the font that [subset] makes, made once.
func cut(runes []rune) (*opentype.Font, error) {
	if f, ok := subsets.Load(string(runes)); ok {
		return f.(*opentype.Font), nil
	}
	f, err := subset(runes)
	if err != nil {
		return nil, err
	}
	made, _ := subsets.LoadOrStore(string(runes), f)
	return made.(*opentype.Font), nil
}

// subset returns Liberation Sans with only the glyphs of some runes. The whole
// font would make every figure half a megabyte. Kerning goes with the rest: the
// PDF writer knows none, and so all formats set text alike.
func subset(runes []rune) (*opentype.Font, error) {
	whole, err := opentype.Parse(liberationsansregular.TTF)
	if err != nil {
		return nil, err
	}
	var buf sfnt.Buffer
	for _, r := range runes {
		switch g, err := whole.GlyphIndex(&buf, r); {
		case err != nil:
			return nil, err
		case g == 0:
			return nil, fmt.Errorf("no glyph for %q", r)
		}
	}
	return opentype.Parse(fpdf.UTF8CutFont(liberationsansregular.TTF, string(runes)))
}
