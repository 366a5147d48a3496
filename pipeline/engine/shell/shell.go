// Package shell runs shell lines as studies mean them.
package shell

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"unicode"

	"barograph/pipeline/cell"
	"barograph/pipeline/launch"
	"barograph/pipeline/plan"
)

// Line returns the command that runs a shell line. A line without a pipe is
// /bin/sh's, with -e; where its last command is a program, the shell becomes that, as bash does of
// itself, rather than wait for another process. In one with a pipe every part counts, which takes bash: the
// line ends where any part of a pipe failed, but for one before the last that wrote more than
// the next one wanted to read, as in sort | head, which the signal 13 has ended.
func Line(script string) []string {
	if !Piped(script) {
		if leaves(script) {
			script = "trap : EXIT; " + script // with which no shell becomes its last command
		} else if at, program, ok := Last(script); ok {
			if _, err := launch.Find(program); err == nil { // else the shell says so
				script = script[:at] + "exec " + script[at:]
			}
		}
		return []string{"/bin/sh", "-ec", script}
	}
	if bash := bash(); bash != "" {
		last := "barograph_last=last\n"
		if unclear.MatchString(script) {
			last = "barograph_last=\n"
		}
		return []string{bash, "-c", last + strict + script + "\nbarograph_end=$?"}
	}
	return []string{"/bin/sh", "-o", "pipefail", "-ec", script}
}

// A Program is a line that needs no shell: a program with its arguments, and the files
// in place of standard input, output and error, empty for none.
type Program struct {
	Argv                  []string
	Input, Output, Errors string
	Joined                bool // errors go where output does
}

// Plain takes apart a line of one program, in words that mean themselves or are quoted, and
// of files: it needs no shell, which is half of what a small cell costs. What a
// shell has built in is the shell's.
func Plain(script string) (p Program, ok bool) {
	errs := false // something was said of standard error
	for rest := strings.Trim(script, " \t\n"); rest != ""; rest = strings.TrimLeft(rest, " \t") {
		var file *string
		switch {
		case rest == "2>&1" || strings.HasPrefix(rest, "2>&1 ") || strings.HasPrefix(rest, "2>&1\t"):
			if errs {
				return p, false
			}
			errs, p.Joined, rest = true, p.Output != "", rest[4:]
			continue
		case rest[0] == '<':
			file, rest = &p.Input, rest[1:]
		case rest[0] == '>':
			file, rest = &p.Output, rest[1:]
		case strings.HasPrefix(rest, "2>"):
			if errs {
				return p, false
			}
			errs, file, rest = true, &p.Errors, rest[2:]
		}
		if file != nil {
			rest = strings.TrimLeft(rest, " \t")
		}
		var text string
		switch text, rest, ok = word(rest); {
		case !ok:
			return p, false
		case file == nil:
			p.Argv = append(p.Argv, text)
		case *file != "" || text == "":
			return p, false
		default:
			*file = text
		}
	}
	if len(p.Argv) == 0 {
		return p, false
	}
	name := p.Argv[0]
	return p, name != "" && !builtin[name] && !leaves(script) && !strings.Contains(name, "=") && !strings.HasPrefix(name, "-") && !strings.HasPrefix(name, "+")
}

// leaves tells whether a line names setsid, which does not wait for its program where it leads
// a process group, as what the engine starts does: it takes a shell that waits for it.
func leaves(script string) bool { return strings.Contains(script, "setsid") }

// word cuts a word off a text and takes it out of its quotes; not ok where a shell would
// make something else of it.
func word(text string) (word, rest string, ok bool) {
	for text != "" && text[0] != ' ' && text[0] != '\t' {
		if first := text[0]; first != '\'' && first != '"' {
			if !strings.Contains(means, text[:1]) {
				return "", "", false
			}
			word, text, ok = word+text[:1], text[1:], true
			continue
		}
		quoted, after, closed := strings.Cut(text[1:], text[:1])
		if !closed || strings.ContainsAny(quoted, "\n\x00") || text[0] == '"' && strings.ContainsAny(quoted, "$`\\") {
			return "", "", false
		}
		word, text, ok = word+quoted, after, true
	}
	return word, text, ok
}

// Last returns where the last command of a line begins and the program that it runs, if the
// line is a list of simple commands and the program none of the shell's own, so that the line
// means the same with exec before it. It is not ok where that takes a shell to say.
func Last(script string) (at int, program string, ok bool) {
	script = strings.TrimRight(script, " \t\n")
	var l lexer
	begins := true // a command does, with the next word
	for i := 0; i < len(script); i++ {
		r := rune(script[i])
		if begins && !strings.ContainsRune(" \t\n;&|", r) {
			if builtin[program] && !harmless[program] {
				return 0, "", false
			}
			at, program, begins = i, script[i:], false
			if end := strings.IndexAny(program, " \t\n;&|"); end >= 0 {
				program = program[:end]
			}
			if program != "[" && (strings.Trim(program, plain) != "" || strings.HasPrefix(program, "-") || strings.HasPrefix(program, "+")) {
				return 0, "", false
			}
		}
		before := l.before
		bare, ok := l.next(r)
		switch {
		case !ok:
			return 0, "", false
		case !bare:
		case r == '&' && (before == '<' || before == '>'): // a descriptor is named
		case r == '\n':
			begins = true
		case begins && strings.ContainsRune(";&|", r) || r == '<' && before == '<' || strings.ContainsRune("()#", r):
			return 0, "", false
		case r == ';':
			begins = true
		case r == '&' || r == '|':
			if i++; i == len(script) || script[i] != byte(r) {
				return 0, "", false
			}
			begins = true
		}
	}
	return at, program, program != "" && program != "[" && !builtin[program] && !begins && l.quote == 0 && l.before != '\\' && l.before != '$'
}

// Piped tells whether a line has a pipe: a single | that no quotes take. Where it takes a shell to say
// what is quoted, and where a quoted text may be run by the shell itself, any single | counts.
func Piped(script string) bool {
	single := strings.Contains(strings.ReplaceAll(script, "||", ""), "|")
	if runs.MatchString(script) {
		return single
	}
	var l lexer
	piped := false
	for i := 0; i < len(script); i++ {
		before, r := l.before, rune(script[i])
		bare, ok := l.next(r)
		switch {
		case !ok || bare && (r == '#' || r == '<' && before == '<'):
			return single
		case bare && r == '|' && i+1 < len(script) && script[i+1] == '|':
			i++
		case bare && r == '|':
			piped = true
		}
	}
	if l.quote != 0 {
		return single
	}
	return piped
}

// runs are the words by which a shell runs a text.
var runs = regexp.MustCompile(`\b(eval|trap|alias)\b`)

// A lexer follows the quotes of a line.
type lexer struct{ quote, before rune }

// next reads a character, and tells whether it is bare: it neither is in quotes nor makes them. It
// is not ok where it takes a shell to say what is quoted.
func (l *lexer) next(r rune) (bare, ok bool) {
	switch {
	case l.before == '\\' && l.quote != '\'':
		r = 0 // it means itself
	case r == l.quote:
		l.quote = 0
	case l.quote == '\'':
	case r == '`' || l.before == '$' && r != '_' && !unicode.IsLetter(r) && !unicode.IsDigit(r):
		return false, false
	case l.quote != 0:
	case r == '\'' || r == '"':
		l.quote = r
	default:
		bare = true
	}
	l.before = r
	return bare, true
}

// plain are characters of a program's name that has no folder.
const plain = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_@%+:.-"

// means are characters that mean themselves.
const means = plain + "=,/"

// builtin are the words that sh or bash knows itself.
var builtin = func() map[string]bool {
	all := map[string]bool{}
	for word := range strings.FieldsSeq(`. : alias bg bind break builtin caller case cd chdir command compgen complete compopt
		continue coproc declare dirs disown do done echo elif else enable esac eval exec exit export false fc fg fi for
		function getopts hash help history if in jobs kill let local logout mapfile newgrp popd printf pushd pwd read
		readarray readonly return select set shift shopt source suspend test then time times trap true type typeset
		ulimit umask unalias unset until wait while`) {
		all[word] = true
	}
	return all
}()

// harmless are those among them after which a program behind exec is what it is without.
var harmless = map[string]bool{":": true, "true": true, "false": true, "cd": true, "echo": true, "export": true, "printf": true, "pwd": true, "test": true, "umask": true}

var bash = sync.OnceValue(func() string {
	path, _ := exec.LookPath("bash") // none is known by no path
	return path
})

// strict makes bash treat a line as sh does, pipes apart. The last line says with
// which status the end was reached. barograph_last is empty where [unclear] matches; elsewhere a
// subshell that a pipe ends whose earlier part got the signal 13 has status 0, so that 141 is of the
// last part itself, or of a single command before which no pipe ended so.
const strict = `shopt -s xpg_echo; set -E -o pipefail; barograph_end= barograph_piped=
trap 'barograph=("${PIPESTATUS[@]}")
for barograph_i in "${!barograph[@]}"; do
	case ${barograph[barograph_i]} in
	0) continue;;
	141) if [ $((barograph_i + 1)) -lt ${#barograph[@]} ]; then
			barograph_piped=1
			[ -z "$barograph_last" ] || [ $BASH_SUBSHELL = 0 ] || trap "case \$?\$barograph_piped in 1411) exit 0;; esac" EXIT
			continue
		fi
		[ "$barograph_last" ] || continue
		[ ${#barograph[@]} -gt 1 ] || [ -z "$barograph_piped" ] || continue;;
	esac
	[ ${#barograph[@]} = 1 ] || echo "part $((barograph_i + 1)) of ${#barograph[@]} of a pipe ended with status ${barograph[barograph_i]}" >&2
	barograph_piped=
	exit ${barograph[barograph_i]}
done' ERR
trap 'case $barograph_end:$barograph_last$barograph_piped in :*) ;; 141:|141:*1) exit 0;; *) exit $barograph_end;; esac' EXIT
`

// unclear are lines in which 141 of a pipe's last part may be that of a pipe within, which got the
// signal 13: bash runs no trap at the end of a part that is a loop or the like.
var unclear = regexp.MustCompile(`\|&?([\s\\]|#.*\n)*(while|until|for|if|case|select|\{|\(\(|\[\[)|\(\s*\)|\b(function|trap|wait|source)\b|(^|[\s;&|(])\.\s`)

// Undeclared adds to the error of a shell line that failed that its last words name a file of
// the workspace which it cannot see, or that the line does, unless its last words are of
// something else than that a file is missing.
func Undeclared(c *plan.Cell, root, tmp string, err error) error {
	if err == nil || !c.Stage.Kind.Script || cell.HintOf(err) != "" || !strings.HasPrefix(err.Error(), "exit status ") {
		return err
	}
	known := map[string]bool{".": true} // with the folders that files lie in
	for _, name := range slices.Concat(c.Files, c.Outputs, published(c.Needs)) {
		for ; !known[name]; name = filepath.Dir(name) {
			known[name] = true
		}
	}
	split := func(text string) []string {
		return strings.FieldsFunc(text, func(r rune) bool { return strings.ContainsRune(" \t\n|&<>()'\"`=,:$", r) })
	}
	_, last, spoke := strings.Cut(err.Error(), launch.LastWords)
	var said []string
	if low := strings.ToLower(last); !spoke || slices.ContainsFunc(missing, func(text string) bool { return strings.Contains(low, text) }) {
		for command := range strings.FieldsFuncSeq(c.Script, func(r rune) bool { return strings.ContainsRune("\n;|&()", r) }) {
			words := split(command)
			if len(words) > 0 && !strings.Contains(words[0], "/") { // it lies in a folder of PATH
				words = words[1:]
			}
			said = append(said, words...)
		}
	}
	for i, word := range append(said, split(last)...) {
		if below, inside := strings.CutPrefix(word, tmp+"/"); inside {
			_, word, _ = strings.Cut(below, "/") // the cell's folder
		} else if below, inside := strings.CutPrefix(word, root+"/"); inside {
			word = below
		}
		word = filepath.Clean(word)
		if !filepath.IsLocal(word) || strings.HasPrefix(word, ".barograph") || known[word] {
			continue
		}
		if st, e := os.Stat(filepath.Join(root, word)); e == nil && (st.Mode().IsRegular() || st.IsDir() && i < len(said)) {
			what := word
			if st.IsDir() {
				what += "/**"
			}
			return cell.Hint(err, "%s is in the workspace, but the line sees only what its stage names: declare it under inputs: of stage %q, as inputs: [%s]", word, c.Stage.Name, quoted(what))
		}
	}
	return err
}

// missing is how programs say that a file is not there.
var missing = []string{"no such", "not found", "notfound", "cannot open", "can't open", "could not open", "cannot find", "can't find", "could not find", "not exist", "cannot access", "no module"}

// published are the outputs of cells, by their paths in the workspace.
func published(needs []*plan.Cell) (outputs []string) {
	for _, n := range needs {
		for _, p := range n.Publish {
			outputs = append(outputs, p.Output)
		}
	}
	return outputs
}

// quoted writes a path as YAML in a list reads it.
func quoted(path string) string {
	if strings.Trim(path, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-./*") == "" {
		return path
	}
	return fmt.Sprintf("%q", path)
}
