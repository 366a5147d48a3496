// Package source reads YAML files into Go values and keeps the place of all it
// reads, so that whatever is wrong is shown as file:line:column with the line, a
// caret and a hint.
//
// [Parse] returns a tree of nodes; a [Decoder] fills structs from it. An integer
// is written in decimal, without a leading zero, or after 0x, 0o or 0b, and has 64
// bits; all else that looks like one is an error.
package source

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"
)

// A Pos is a place in a file, from 1.
type Pos struct {
	File      string
	Line, Col int
}

// An Error is one thing wrong with a file, at its place.
// Line 0 stands for a place that is no file, such as --set.
type Error struct {
	Pos    Pos
	Msg    string // lower case, naming the thing and quoting values
	Hint   string // what to do about it, or empty
	Source string // the text of the line, or empty
}

// widest is how many characters of a line an error shows, those around its column.
const widest = 240

// Error returns file:line:col: message, then the line with a caret below the
// column, then the hint.
func (e *Error) Error() string {
	text := e.Pos.String() + ": " + e.Msg + Excerpt(e.Pos, e.Source)
	if e.Hint != "" {
		text += "\n  hint: " + e.Hint
	}
	return text
}

// Excerpt returns a line with a caret below its column, to follow a message;
// nothing of an empty one.
func Excerpt(at Pos, text string) string {
	if text == "" {
		return ""
	}
	number := ""
	if at.Line > 0 {
		number = fmt.Sprint(at.Line)
	}
	line := []rune(text)
	col := min(max(at.Col-1, 0), len(line))
	if len(line) > widest {
		from := max(0, col-widest/2)
		line, col = line[from:min(from+widest, len(line))], col-from
	}
	before := slices.Clone(line[:col])
	for i, r := range before {
		if r != '\t' { // a tab below a tab keeps the caret in its column
			before[i] = ' '
		}
	}
	return fmt.Sprintf("\n %5s | %s\n %5s | %s^", number, string(line), "", string(before))
}

// String writes file:line:col, or only the file where there is no line.
func (p Pos) String() string {
	if p.Line == 0 {
		return p.File
	}
	return fmt.Sprintf("%s:%d:%d", p.File, p.Line, p.Col)
}

// Errors are all errors of what was read, in file order; never empty.
type Errors []*Error

// Error returns the errors one after another, each on lines of its own.
func (e Errors) Error() string {
	lines := make([]string, len(e))
	for i, x := range e {
		lines[i] = x.Error()
	}
	return strings.Join(lines, "\n")
}

// Unwrap returns the errors, so that errors.As finds an *Error.
func (e Errors) Unwrap() []error {
	list := make([]error, len(e))
	for i, x := range e {
		list[i] = x
	}
	return list
}

// Err returns the errors in file order, each once: nil, an *Error or Errors.
func (e Errors) Err() error {
	files := map[string]int{}
	for _, x := range e {
		if _, ok := files[x.Pos.File]; !ok {
			files[x.Pos.File] = len(files)
		}
	}
	slices.SortStableFunc(e, func(a, b *Error) int {
		if order := cmp.Or(cmp.Compare(files[a.Pos.File], files[b.Pos.File]), cmp.Compare(a.Pos.Line, b.Pos.Line)); order != 0 || a.Pos.Line == 0 {
			return order // arguments keep their order, whatever their columns
		}
		return cmp.Compare(a.Pos.Col, b.Pos.Col)
	})
	e = slices.CompactFunc(e, func(a, b *Error) bool { return a.Pos == b.Pos && a.Msg == b.Msg })
	switch len(e) {
	case 0:
		return nil
	case 1:
		return e[0]
	}
	return e
}

// Suggest names the known word nearest to a misspelt one, or all of them.
func Suggest(word string, known []string) string {
	if len(known) == 0 {
		return ""
	}
	if near := Nearest(word, known); near != "" {
		return fmt.Sprintf("did you mean %q?", near)
	}
	return "known are " + Listing(known)
}

// Listing writes words in order, each once, and the first few of many.
func Listing(words []string) string {
	const most = 12
	sorted := slices.Compact(slices.Sorted(slices.Values(words)))
	if len(sorted) > most {
		return strings.Join(sorted[:most], ", ") + ", ..."
	}
	return strings.Join(sorted, ", ")
}

// Nearest returns the known word that begins with a word of at least three
// letters, or else the one at the smallest edit distance, if that is at most a
// third of the word's length; empty otherwise.
func Nearest(word string, known []string) string {
	best, limit := "", max(1, (utf8.RuneCountInString(word)+1)/3)
	for _, k := range slices.Sorted(slices.Values(known)) {
		if len(word) > 2 && strings.HasPrefix(k, word) {
			return k
		}
		if d := distance(strings.ToLower(word), strings.ToLower(k)); d <= limit {
			best, limit = k, d-1
		}
	}
	return best
}

// distance is the number of insertions, deletions, substitutions and swaps of
// neighbours between a and b (optimal string alignment).
func distance(a, b string) int {
	s, t := []rune(a), []rune(b)
	rows := [3][]int{make([]int, len(t)+1), make([]int, len(t)+1), make([]int, len(t)+1)}
	for j := range rows[0] {
		rows[0][j] = j
	}
	last, row, before := rows[0], rows[1], rows[2]
	for i := range s {
		row[0] = i + 1
		for j := range t {
			change := last[j]
			if s[i] != t[j] {
				change++
			}
			row[j+1] = min(last[j+1]+1, row[j]+1, change)
			if i > 0 && j > 0 && s[i] == t[j-1] && s[i-1] == t[j] {
				row[j+1] = min(row[j+1], before[j-1]+1)
			}
		}
		before, last, row = last, row, before
	}
	return last[len(t)]
}
