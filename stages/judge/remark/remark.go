// Package remark shortens lists of remarks that say the same of many things.
package remark

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// most is how many lines of doubt a reader is given.
const most = 10

// Few returns the doubts of a report in at most ten lines: each kind said once.
func Few(doubts []string) []string {
	all := Fold(doubts)
	if len(all) > most {
		rest := len(all) - most + 1
		all = append(all[:most-1], fmt.Sprintf("and %d more kinds, in run.json and the logs", rest))
	}
	return all
}

// numbers are what differs between remarks of one kind.
var numbers = regexp.MustCompile(`[0-9]+(\.[0-9]+)?`)

// Fold says each kind of remark once and keeps the order of the first of each.
// Remarks are of one kind if they differ in nothing but numbers and what stands
// before their first ": ". The one that stays has the largest first number, as in
// "level=2, the worst of 5: for 43% of the time", or if all are alike "level=1 and
// 4 more: n too small".
func Fold(remarks []string) []string {
	type kind struct {
		subject, said string
		size          float64
		count         int
		alike         bool
	}
	var order []*kind
	seen := map[string]*kind{}
	for _, r := range remarks {
		subject, said, found := strings.Cut(r, ": ")
		if !found {
			subject, said = "", r
		}
		size, err := strconv.ParseFloat(numbers.FindString(said), 64)
		if err != nil {
			size = 0 // a remark without numbers
		}
		mask := numbers.ReplaceAllString(said, "#")
		k := seen[mask]
		if k == nil {
			k = &kind{subject, said, size, 0, true}
			seen[mask] = k
			order = append(order, k)
		}
		k.count++
		k.alike = k.alike && k.said == said
		if size > k.size {
			k.subject, k.said, k.size = subject, said, size
		}
	}
	folded := make([]string, len(order))
	for i, k := range order {
		switch {
		case k.subject == "" && (k.count == 1 || k.alike):
			folded[i] = k.said
		case k.subject == "":
			folded[i] = fmt.Sprintf("%s (the worst of %d)", k.said, k.count)
		case k.count == 1:
			folded[i] = k.subject + ": " + k.said
		case k.alike:
			folded[i] = fmt.Sprintf("%s and %d more: %s", k.subject, k.count-1, k.said)
		default:
			folded[i] = fmt.Sprintf("%s, the worst of %d: %s", k.subject, k.count, k.said)
		}
	}
	return slices.Clip(folded)
}
