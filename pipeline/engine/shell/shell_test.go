package shell_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"barograph/pipeline/engine/shell"
)

func TestPlain(t *testing.T) {
	for line, want := range map[string]string{
		"cat in/1.txt > out/1.txt":      "cat in/1.txt|out/1.txt",
		" sort -k 1,2 --x=a:b  in >o\n": "sort -k 1,2 --x=a:b in|o",
		"./tool a+b@c 50% 2 > o":        "./tool a+b@c 50% 2|o",
		"true-ish":                      "true-ish|",
		"":                              "", "> o": "", "echo a > o": "", "true": "", "exec cat a": "", "if a": "",
		"x=1 cat a": "", "cat a >> o": "", "cat a > o b": "", "cat a >o b": "", "cat a>o": "", "cat a 2> o": "", "cat a 2>o": "",
		"cat a > o > p": "", "cat a >": "", "cat a >& 2": "", "cat < a": "", "cat a | sort": "", "cat a; cat b": "", "cat a\ncat b": "",
		"cat $a": "", "cat a*": "", "cat a?": "", "cat [a]": "", "cat {a,b}": "", "cat ~": "", "cat 'a'": "", `cat "a"`: "", `cat \a`: "",
		"cat a # b": "", "cat `a`": "", "cat !a": "", "cat a &": "", "cat ä": "", "(cat a)": "", "cat\u00a0a": "",
	} {
		argv, output, ok := shell.Plain(line)
		if got := strings.Join(argv, " ") + "|" + output; ok != (want != "") || ok && got != want {
			t.Errorf("%q is %q, %v, want %q", line, got, ok, want)
		}
	}
}

// FuzzPlain: a line that needs no shell means to a shell what it is taken for.
func FuzzPlain(f *testing.F) {
	for _, line := range []string{"a b > c", " a  b=c >c\n", "a 2 >c", "a > c > d", "a -n %s", "a\tb:~ > /c"} {
		f.Add(line)
	}
	dir := f.TempDir()
	f.Fuzz(func(t *testing.T, line string) {
		argv, output, ok := shell.Plain(line)
		if !ok || strings.Contains(argv[0]+output, "/") || strings.Trim(output, ".") == "" && output != "" {
			return
		}
		// A program by the line's name says what it was given.
		if err := os.WriteFile(filepath.Join(dir, argv[0]), []byte("#!/bin/sh\nprintf '%s\\n' \"$0\" \"$@\"\n"), 0o777); err != nil {
			t.Skip(err) // too long for a name
		}
		work := t.TempDir()
		cmd := exec.Command("/bin/sh", "-ec", line)
		cmd.Dir, cmd.Env = work, []string{"PATH=" + dir}
		got, err := cmd.Output()
		if output != "" && err == nil {
			got, err = os.ReadFile(filepath.Join(work, output))
		}
		want := strings.Join(append([]string{filepath.Join(dir, argv[0])}, argv[1:]...), "\n") + "\n"
		if err != nil || string(got) != want {
			t.Errorf("%q: a shell says %q, %v; want %q", line, got, err, want)
		}
	})
}
