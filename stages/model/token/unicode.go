package token

import (
	"slices"
	"strings"
	"unicode"

	"golang.org/x/text/unicode/norm"
	"golang.org/x/text/unicode/rangetable"
)

// The reference library takes its classes of characters from several versions of
// Unicode: punctuation, marks and controls of BERT from 8, normal forms from 9,
// regular expressions from 16, case from 17. Go has 15. Below is what makes these
// of that; TestCharacters compares every character.
var (
	unicode8 = rangetable.Assigned("8.0.0")
	unicode9 = rangetable.Assigned("9.0.0")
)

// isControl tells what BERT's normaliser removes: characters of classes Cc, Cf and Co.
func isControl(r rune) bool {
	return unicode.In(r, unicode.Cc, unicode.Cf, unicode.Co) && unicode.Is(unicode8, r)
}

// isPunctuation tells what BERT's pre-tokenizer takes for a word of its own.
func isPunctuation(r rune) bool {
	switch {
	case r < 0x80:
		return unicode.IsPunct(r) || unicode.IsSymbol(r)
	case r == 0x166d || r == 0x111c9: // no longer punctuation
		return true
	}
	return unicode.IsPunct(r) && unicode.Is(unicode8, r)
}

// isAccent tells what BERT's normaliser strips from decomposed text.
func isAccent(r rune) bool {
	switch r {
	case 0x1734: // no longer without width
		return true
	case 0x1885, 0x1886, 0xa9bd, 0x111c9: // not yet
		return false
	}
	return unicode.Is(unicode.Mn, r) && unicode.Is(unicode8, r)
}

// isMark tells what the normaliser StripAccents strips.
func isMark(r rune) bool {
	return r == 0x1cf2 || r == 0x1cf3 || r != 0x111c9 && unicode.IsMark(r) && unicode.Is(unicode9, r)
}

// isIdeograph tells which characters are each a word of their own.
func isIdeograph(r rune) bool { return unicode.Is(ideographs, r) }

// ideographs begins one block at 2b920, as the reference library does, where BERT has
// 2b820.
var ideographs = &unicode.RangeTable{
	R16: []unicode.Range16{{Lo: 0x3400, Hi: 0x4dbf, Stride: 1}, {Lo: 0x4e00, Hi: 0x9fff, Stride: 1}, {Lo: 0xf900, Hi: 0xfaff, Stride: 1}},
	R32: []unicode.Range32{
		{Lo: 0x20000, Hi: 0x2a6df, Stride: 1}, {Lo: 0x2a700, Hi: 0x2b81f, Stride: 1},
		{Lo: 0x2b920, Hi: 0x2ceaf, Stride: 1}, {Lo: 0x2f800, Hi: 0x2fa1f, Stride: 1},
	},
}

// isNumeric tells what the pre-tokenizer Digits takes for one.
func isNumeric(r rune) bool {
	return unicode.IsNumber(standIn(r)) || 0x11de0 <= r && r <= 0x11de9 || 0x16ff4 <= r && r <= 0x16ff6
}

// isWord tells what \w matches.
func isWord(r rune) bool {
	r = standIn(r)
	return unicode.In(r, unicode.L, unicode.M, unicode.Nd, unicode.Nl, unicode.Pc, unicode.Other_Alphabetic, unicode.Join_Control)
}

// lower is a text in lower case, whatever stands beside a character.
func lower(text string) string {
	var b strings.Builder
	for _, r := range text {
		if r == 'İ' {
			b.WriteString("i̇")
			continue
		}
		b.WriteRune(lowerCase.ToLower(r))
	}
	return b.String()
}

// lowerCase holds the letters with case that are newer than Unicode 15.
var lowerCase = unicode.SpecialCase{
	{Lo: 0x1c89, Hi: 0x1c89, Delta: [unicode.MaxCase]rune{unicode.LowerCase: 1}},
	{Lo: 0xa7cb, Hi: 0xa7cb, Delta: [unicode.MaxCase]rune{unicode.LowerCase: 0x264 - 0xa7cb}},
	{Lo: 0xa7cc, Hi: 0xa7cc, Delta: [unicode.MaxCase]rune{unicode.LowerCase: 1}},
	{Lo: 0xa7ce, Hi: 0xa7ce, Delta: [unicode.MaxCase]rune{unicode.LowerCase: 1}},
	{Lo: 0xa7d2, Hi: 0xa7d2, Delta: [unicode.MaxCase]rune{unicode.LowerCase: 1}},
	{Lo: 0xa7d4, Hi: 0xa7d4, Delta: [unicode.MaxCase]rune{unicode.LowerCase: 1}},
	{Lo: 0xa7da, Hi: 0xa7da, Delta: [unicode.MaxCase]rune{unicode.LowerCase: 1}},
	{Lo: 0xa7dc, Hi: 0xa7dc, Delta: [unicode.MaxCase]rune{unicode.LowerCase: 0x19b - 0xa7dc}},
	{Lo: 0x10d50, Hi: 0x10d65, Delta: [unicode.MaxCase]rune{unicode.LowerCase: 0x20}},
	{Lo: 0x16ea0, Hi: 0x16eb8, Delta: [unicode.MaxCase]rune{unicode.LowerCase: 0x1b}},
}

// form brings a text into a normal form of Unicode 9: later characters stay as they
// are, and nothing is composed or ordered across them.
func form(f norm.Form) func(string) string {
	return func(text string) string {
		var b strings.Builder
		for text != "" {
			old := strings.IndexFunc(text, func(r rune) bool { return !unicode.Is(unicode9, r) })
			if old < 0 {
				old = len(text)
			}
			b.WriteString(f.String(text[:old]))
			text = text[old:]
			later := strings.IndexFunc(text, func(r rune) bool { return unicode.Is(unicode9, r) })
			if later < 0 {
				later = len(text)
			}
			b.WriteString(text[:later])
			text = text[later:]
		}
		return b.String()
	}
}

// standIn returns, for a character that is newer than Unicode 15, an old one of the
// same class, which a regular expression takes for what it is.
func standIn(r rune) rune {
	if r < 0x897 {
		return r
	}
	for _, c := range newer {
		at, _ := slices.BinarySearchFunc(c.ranges, r, func(p [2]rune, r rune) int { return int(p[1] - r) })
		if at < len(c.ranges) && c.ranges[at][0] <= r {
			return c.like
		}
	}
	return r
}

// newer lists the characters of Unicode 15.1 and 16, by class.
var newer = []struct {
	like   rune
	ranges [][2]rune
}{
	{'À', [][2]rune{{0x1c89, 0x1c89}, {0xa7cb, 0xa7cc}, {0xa7da, 0xa7da}, {0xa7dc, 0xa7dc}, {0x10d50, 0x10d65}}},
	{'à', [][2]rune{{0x1c8a, 0x1c8a}, {0xa7cd, 0xa7cd}, {0xa7db, 0xa7db}, {0x10d70, 0x10d85}}},
	{'一', [][2]rune{
		{0x105c0, 0x105f3}, {0x10d4a, 0x10d4d}, {0x10d4f, 0x10d4f}, {0x10ec2, 0x10ec4}, {0x11380, 0x11389}, {0x1138b, 0x1138b},
		{0x1138e, 0x1138e}, {0x11390, 0x113b5}, {0x113b7, 0x113b7}, {0x113d1, 0x113d1}, {0x113d3, 0x113d3}, {0x11bc0, 0x11be0},
		{0x13460, 0x143fa}, {0x16100, 0x1611d}, {0x16d43, 0x16d6a}, {0x18cff, 0x18cff}, {0x1e5d0, 0x1e5ed}, {0x1e5f0, 0x1e5f0},
		{0x2ebf0, 0x2ee5d},
	}},
	{'ʰ', [][2]rune{{0x10d4e, 0x10d4e}, {0x10d6f, 0x10d6f}, {0x16d40, 0x16d42}, {0x16d6b, 0x16d6c}}},
	{'\u0301', [][2]rune{
		{0x897, 0x897}, {0x10d69, 0x10d6d}, {0x10efc, 0x10efc}, {0x113bb, 0x113c0}, {0x113ce, 0x113ce}, {0x113d0, 0x113d0},
		{0x113d2, 0x113d2}, {0x113e1, 0x113e2}, {0x11f5a, 0x11f5a}, {0x1611e, 0x16129}, {0x1612d, 0x1612f}, {0x1e5ee, 0x1e5ef},
	}},
	{'\u0903', [][2]rune{
		{0x113b8, 0x113ba}, {0x113c2, 0x113c2}, {0x113c5, 0x113c5}, {0x113c7, 0x113ca}, {0x113cc, 0x113cd}, {0x113cf, 0x113cf},
		{0x1171e, 0x1171e}, {0x1612a, 0x1612c},
	}},
	{'٠', [][2]rune{
		{0x10d40, 0x10d49}, {0x116d0, 0x116e3}, {0x11bf0, 0x11bf9}, {0x16130, 0x16139}, {0x16d70, 0x16d79}, {0x1ccf0, 0x1ccf9},
		{0x1e5f1, 0x1e5fa},
	}},
	{'§', [][2]rune{
		{0x1b4e, 0x1b4f}, {0x1b7f, 0x1b7f}, {0x10d6e, 0x10d6e}, {0x113d4, 0x113d5}, {0x113d7, 0x113d8}, {0x11be1, 0x11be1},
		{0x16d6d, 0x16d6f}, {0x1e5ff, 0x1e5ff},
	}},
	{'°', [][2]rune{
		{0x2427, 0x2429}, {0x2ffc, 0x2fff}, {0x31e4, 0x31e5}, {0x31ef, 0x31ef}, {0x10d8e, 0x10d8f}, {0x1cc00, 0x1ccef},
		{0x1cd00, 0x1ceb3}, {0x1f8b2, 0x1f8bb}, {0x1f8c0, 0x1f8c1}, {0x1fa89, 0x1fa89}, {0x1fa8f, 0x1fa8f}, {0x1fabe, 0x1fabe},
		{0x1fac6, 0x1fac6}, {0x1fadc, 0x1fadc}, {0x1fadf, 0x1fadf}, {0x1fae9, 0x1fae9}, {0x1fbcb, 0x1fbef},
	}},
}
