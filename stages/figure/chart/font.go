package chart

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strings"

	"codeberg.org/go-fonts/liberation/liberationsansregular"
	"golang.org/x/image/font/opentype"
	"golang.org/x/image/font/sfnt"
)

// subset returns Liberation Sans with only the glyphs of some runes. The whole
// font would make every figure half a megabyte.
//
// Glyph numbers stay as they are, so that composite glyphs and hints keep their
// meaning; glyphs that are not needed become empty, those after the last needed
// one are dropped. Kerning goes: the PDF writer knows none, and so all formats
// set text alike. Table layouts are those of the OpenType specification 1.9.
func subset(runes []rune) (*opentype.Font, error) {
	whole, err := opentype.Parse(liberationsansregular.TTF)
	if err != nil {
		return nil, err
	}
	var buf sfnt.Buffer
	glyphOf := map[rune]uint16{}
	for _, r := range runes {
		g, err := whole.GlyphIndex(&buf, r)
		if err != nil {
			return nil, err
		}
		if g == 0 {
			return nil, fmt.Errorf("no glyph for %q", r)
		}
		glyphOf[r] = uint16(g)
	}
	small, err := cut(liberationsansregular.TTF, glyphOf)
	if err != nil {
		return nil, err
	}
	return opentype.Parse(small)
}

var bigEndian = binary.BigEndian

// cut rewrites a TrueType font for the given glyphs.
func cut(ttf []byte, glyphOf map[rune]uint16) ([]byte, error) {
	tables := map[string][]byte{}
	for i := range int(bigEndian.Uint16(ttf[4:])) {
		entry := ttf[12+16*i:]
		offset, length := bigEndian.Uint32(entry[8:]), bigEndian.Uint32(entry[12:])
		tables[string(entry[:4])] = ttf[offset : offset+length]
	}
	long := bigEndian.Uint16(tables["head"][50:]) == 1
	glyph := func(g uint16) []byte {
		if long {
			return tables["glyf"][bigEndian.Uint32(tables["loca"][4*int(g):]):bigEndian.Uint32(tables["loca"][4*int(g)+4:])]
		}
		return tables["glyf"][2*int(bigEndian.Uint16(tables["loca"][2*int(g):])) : 2*int(bigEndian.Uint16(tables["loca"][2*int(g)+2:]))]
	}

	keep := map[uint16]bool{}
	queue := []uint16{0} // .notdef must be there
	for _, g := range glyphOf {
		queue = append(queue, g)
	}
	for len(queue) > 0 {
		g := queue[0]
		queue = queue[1:]
		if !keep[g] {
			keep[g] = true
			queue = append(queue, components(glyph(g))...)
		}
	}
	var last uint16
	for g := range keep {
		last = max(last, g)
	}

	metrics := min(bigEndian.Uint16(tables["hhea"][34:]), last+1)
	if metrics < last+1 {
		return nil, errors.New("glyphs share an advance width")
	}
	var glyf, loca []byte
	for g := uint16(0); g <= last; g++ {
		loca = bigEndian.AppendUint32(loca, uint32(len(glyf)))
		if keep[g] {
			glyf = append(glyf, glyph(g)...)
			glyf = append(glyf, make([]byte, -len(glyf)&3)...)
		}
	}
	loca = bigEndian.AppendUint32(loca, uint32(len(glyf)))

	out := map[string][]byte{
		"glyf": glyf, "loca": loca, "cmap": characterMap(glyphOf),
		"hmtx": tables["hmtx"][:4*int(metrics)],
		"head": bytes.Clone(tables["head"]),
		"hhea": bytes.Clone(tables["hhea"]),
		"maxp": bytes.Clone(tables["maxp"]),
		"post": bytes.Clone(tables["post"][:32]),
	}
	for _, t := range []string{"OS/2", "cvt ", "fpgm", "gasp", "name", "prep"} {
		out[t] = tables[t]
	}
	bigEndian.PutUint32(out["head"][8:], 0)  // checksum adjustment, set below
	bigEndian.PutUint16(out["head"][50:], 1) // long offsets
	bigEndian.PutUint16(out["hhea"][34:], metrics)
	bigEndian.PutUint16(out["maxp"][4:], last+1)
	bigEndian.PutUint32(out["post"], 0x00030000) // no glyph names
	return assemble(out), nil
}

// components returns the glyphs that a composite glyph is made of.
func components(glyph []byte) (parts []uint16) {
	if len(glyph) == 0 || int16(bigEndian.Uint16(glyph)) >= 0 {
		return nil
	}
	const (
		words    = 1 << 0
		scale    = 1 << 3
		more     = 1 << 5
		twoScale = 1 << 6
		matrix   = 1 << 7
	)
	for at := 10; ; {
		flags := bigEndian.Uint16(glyph[at:])
		parts = append(parts, bigEndian.Uint16(glyph[at+2:]))
		at += 6
		if flags&words != 0 {
			at += 2
		}
		switch {
		case flags&scale != 0:
			at += 2
		case flags&twoScale != 0:
			at += 4
		case flags&matrix != 0:
			at += 8
		}
		if flags&more == 0 {
			return parts
		}
	}
}

// characterMap returns a cmap table of format 4, a segment for each character.
func characterMap(glyphOf map[rune]uint16) []byte {
	var runes []rune
	for r := range glyphOf {
		runes = append(runes, r)
	}
	slices.Sort(runes)
	var ends, starts, deltas, offsets []byte
	segment := func(r, delta uint16) {
		ends = bigEndian.AppendUint16(ends, r)
		starts = bigEndian.AppendUint16(starts, r)
		deltas = bigEndian.AppendUint16(deltas, delta)
		offsets = bigEndian.AppendUint16(offsets, 0)
	}
	for _, r := range runes {
		segment(uint16(r), glyphOf[r]-uint16(r))
	}
	segment(0xFFFF, 1)
	count := len(runes) + 1
	selector, power := 0, 1
	for 2*power <= count {
		selector, power = selector+1, 2*power
	}
	b := words(0, 1, 3, 1, 0, 12) // version, one table: Windows, Unicode BMP, at byte 12
	b = append(b, words(4, 16+8*count, 0, 2*count, 2*power, selector, 2*(count-power))...)
	b = append(append(b, ends...), 0, 0)
	return slices.Concat(b, starts, deltas, offsets)
}

func words(values ...int) (b []byte) {
	for _, v := range values {
		b = bigEndian.AppendUint16(b, uint16(v))
	}
	return b
}

// assemble writes the table directory, the tables and their checksums.
func assemble(tables map[string][]byte) []byte {
	var tags []string
	for t := range tables {
		tags = append(tags, t)
	}
	slices.SortFunc(tags, strings.Compare)
	selector, power := 0, 1
	for 2*power <= len(tags) {
		selector, power = selector+1, 2*power
	}
	out := append([]byte{0, 1, 0, 0}, words(len(tags), 16*power, selector, 16*(len(tags)-power))...)
	offset := len(out) + 16*len(tags)
	var body []byte
	head := 0
	for _, tag := range tags {
		if tag == "head" {
			head = offset + len(body)
		}
		t := tables[tag]
		out = append(out, tag...)
		out = bigEndian.AppendUint32(out, checksum(t))
		out = bigEndian.AppendUint32(out, uint32(offset+len(body)))
		out = bigEndian.AppendUint32(out, uint32(len(t)))
		body = append(body, t...)
		body = append(body, make([]byte, -len(body)&3)...)
	}
	out = append(out, body...)
	bigEndian.PutUint32(out[head+8:], 0xB1B0AFBA-checksum(out))
	return out
}

func checksum(b []byte) (sum uint32) {
	for len(b) >= 4 {
		sum += bigEndian.Uint32(b)
		b = b[4:]
	}
	var last [4]byte
	copy(last[:], b)
	return sum + bigEndian.Uint32(last[:])
}
