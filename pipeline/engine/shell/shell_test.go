package shell_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"barograph/pipeline/cell/filetest"
	"barograph/pipeline/engine/shell"
)

func TestPlain(t *testing.T) {
	for line, want := range map[string]string{
		"cat in/1.txt > out/1.txt":                "cat in/1.txt||out/1.txt",
		" sort -k 1,2 --x=a:b  in >o\n":           "sort -k 1,2 --x=a:b in||o",
		"./tool a+b@c 50% 2 > o":                  "./tool a+b@c 50% 2||o",
		"cat < in > out":                          "cat|in|out",
		`awk '{print $1; "x"}' "a b" >'c'"d" < e`: `awk {print $1; "x"} a b|e|cd`,
		"tool '' ''a'\\'":                         "tool  a\\||",
		"true-ish":                                "true-ish||",
		"":                                        "", "> o": "", "echo a > o": "", "true": "", "exec cat a": "", "if a": "",
		"cat a > o b": "cat a b||o", "< a cat >o b": "cat b|a|o", "cat a 2> e": "cat a|||e", "cat a 2>e > o 2": "cat a 2||o|e", "cat a > o 2>&1": "cat a||o|&1", "cat 2>&1 a >o": "cat a||o", "cat 2>&1": "cat||",
		"x=1 cat a": "", "cat a >> o": "", "cat a>o": "", "cat a 2>> e": "", "cat a 2>&1 2>e": "", "cat a > o 2>&1 2> e": "", "cat a 2> e 2>&1": "", "cat 2>&1 2>&1 > o": "", "cat a >o 2>&1 2>&1": "", "cat a 2>&2": "", "cat a 2>&1x": "", "cat a 1> o": "", "cat a 3> o": "", "cat a12> o": "", "2>&1": "",
		"cat a > o > p": "", "cat a >": "", "cat a >& 2": "", "cat < a < b": "", "cat << a": "", "cat <& 0": "", "cat <> a": "", "cat <a>b": "", "cat < ''": "", "cat a | sort": "", "cat a; cat b": "", "cat a\ncat b": "",
		"cat $a": "", "cat a*": "", "cat a?": "", "cat [a]": "", "cat {a,b}": "", "cat ~": "", "cat 'a": "", `cat "a`: "", `cat "$a"`: "", `cat \a`: "", `cat "\a"`: "", "cat 'a\nb'": "", "'' a": "", `"echo" a`: "",
		"cat a # b": "", "cat `a`": "", "cat !a": "", "cat a &": "", "cat ä": "", "(cat a)": "", "cat\u00a0a": "",
	} {
		p, ok := shell.Plain(line)
		got := strings.Join(p.Argv, " ") + "|" + p.Input + "|" + p.Output
		if p.Errors != "" {
			got += "|" + p.Errors
		} else if p.Joined {
			got += "|&1"
		}
		if ok != (want != "") || ok && got != want {
			t.Errorf("%q is %q, %v, want %q", line, got, ok, want)
		}
	}
}

// FuzzPlain: a line that needs no shell means to a shell what it is taken for.
func FuzzPlain(f *testing.F) {
	for _, line := range []string{"a b > c", "a 2>&1 b > c", "a > c 2>&1", "a 2> d b >c", "a 2>&1", " a  b=c >c\n", "a 2 >c", "a > c > d", "a -n %s", "a\tb:~ > /c", "a 'b c;$x' \"d'\" '' < in >c", "a <in"} {
		f.Add(line)
	}
	dir := f.TempDir()
	f.Fuzz(func(t *testing.T, line string) {
		p, ok := shell.Plain(line)
		if !ok || strings.Contains(p.Argv[0]+p.Output+p.Errors, "/") || p.Input != "" && p.Input != "in" {
			return
		}
		for _, file := range []string{p.Output, p.Errors} {
			if strings.Trim(file, ".") == "" && file != "" || file == "in" || file != "" && p.Output == p.Errors {
				return
			}
		}
		// A program by the line's name says what it was given.
		if err := os.WriteFile(filepath.Join(dir, p.Argv[0]), []byte("#!/bin/sh\nprintf '%s\\n' \"$0\" \"$@\"\nread x; echo \"$x\"; echo wrong >&2\n"), 0o777); err != nil {
			t.Skip(err) // too long for a name
		}
		work := t.TempDir()
		filetest.Write(t, filepath.Join(work, "in"), "input")
		cmd := exec.Command("/bin/sh", "-ec", line)
		cmd.Dir, cmd.Env = work, []string{"PATH=" + dir}
		log, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("%q: a shell says %q, %v", line, log, err)
		}
		want := strings.Join(append([]string{filepath.Join(dir, p.Argv[0])}, p.Argv[1:]...), "\n") + "\n"
		if p.Input != "" {
			want += "input"
		}
		want += "\n"
		all := map[string]string{p.Output: want} // by file; what is in none is in the log
		if p.Joined {
			p.Errors = p.Output
		}
		all[p.Errors] += "wrong\n"
		for file, want := range all {
			got := log
			if file != "" {
				if got, err = os.ReadFile(filepath.Join(work, file)); err != nil {
					t.Error(err)
				}
			}
			if string(got) != want {
				t.Errorf("%q: a shell has %q in %q, want %q", line, got, file, want)
			}
		}
	})
}

// TestSetsid: a program in a session of its own is waited for, though its shell leads a group,
// by shells that would become their last command too.
func TestSetsid(t *testing.T) {
	for _, line := range []string{"setsid sh -c 'sleep 0.1; exit 3'", "true && setsid sh -c 'exit 3' > o", "true; setsid sh -c 'exit 3' > o", "/usr/bin/setsid sh -c 'exit 3'", "env setsid sh -c 'exit 3'", "X=1 setsid sh -c 'exit 3'", "echo a | cat > o; setsid sh -c 'exit 3'", "echo a | setsid sh -c 'cat; exit 3'"} {
		if _, ok := shell.Plain(line); ok {
			t.Errorf("%q takes no shell", line)
		}
		argv := shell.Line(line)
		for _, sh := range []string{argv[0], "bash"} {
			cmd := exec.Command(sh, argv[1:]...)
			cmd.Dir, cmd.SysProcAttr = t.TempDir(), &syscall.SysProcAttr{Setpgid: true}
			if said, err := cmd.CombinedOutput(); err == nil || cmd.ProcessState.ExitCode() != 3 {
				t.Errorf("%s ends %q with %v, not status 3: %s", sh, line, err, said)
			}
		}
	}
}

func TestLast(t *testing.T) {
	for line, want := range map[string]string{
		"cat < in > out": "cat < in > out", `sort -t ";" 'a (b)' $X *.txt 2>&1`: `sort -t ";" 'a (b)' $X *.txt 2>&1`, `awk '{print $1; x = "` + "`" + `"}' a`: `awk '{print $1; x = "` + "`" + `"}' a`, `cat a\;b "c\"; d"`: `cat a\;b "c\"; d"`, "cat \\\na\n": "cat \\\na",
		"cat a; cat b": "cat b", "a&&b": "b", "true && cat a": "cat a", " cd a;cat b": "cat b", "[ -e a ] || cat b": "cat b", "cat a\n\n\tcat b": "cat b", "mkdir a &&\n  cat b": "cat b", "a; b || c && d > e": "d > e", "echo a\\\n&& b": "b",
		"": "", "cat a &": "", "cat a & cat b": "", "cat a | sort": "", "cat a || true": "", "cat a;": "", "cat a &&": "", "&& cat a": "", "a; ; b": "", "a ;; b": "", "a &&\n&& b": "", "a |\n| b": "", "[ -e a ]": "",
		"trap 'echo' EXIT; cat a": "", "alias cat=b\ncat a": "", "set -x; cat a": "", "X=1; cat a": "", "f() { a; }; f": "", "if a; then b; fi": "", "for x in a; do b; done": "", "a; { b; }": "", "wait; a": "", "exec 3> a; b": "",
		"cat $(ls)": "", "cat `ls`": "", `cat "$(ls)"`: "", "cat ${x:-a}": "", "cat $'a'": "", "cat a # b": "", "cat 'a": "", `cat a\`: "", "cat <<E\na\nE\ncat b": "", "cat <<E\ncat a\nE": "",
		"(cat a)": "", "{ cat a; }": "", "! cat a": "", "a && ! b": "", "echo a": "", "a && echo b": "", "X=1 cat a": "", "> out": "", "<in cat": "", "./tool a": "", "-x a": "",
		"cat a &>b": "", "cat a >&& b": "", "cat <(ls)": "", "cat a >| b": "",
	} {
		got := ""
		if at, program, ok := shell.Last(line); ok {
			if got = strings.Trim(line[at:], " \t\n"); !strings.HasPrefix(got+" ", program+" ") {
				t.Errorf("the last program of %q is %q", line, program)
			}
		}
		if got != want {
			t.Errorf("the last command of %q is %q, want %q", line, got, want)
		}
	}
}

func TestPiped(t *testing.T) {
	for line, want := range map[string]bool{
		"a | b": true, "a|b": true, "a\n| b": true, "tr '|' ';' | b": true, `a \|| b`: true, "a || b | c": true, "(a | b)": true, "a >| b": true, `a 'b\' | c`: true,
		"a": false, "a || b": false, "tr '|' ';' < in > o; b": false, `a "|" || b`: false, `a \| b`: false, `a "\"|"`: false, `a 'b"'"|"`: false, `echo {a,b}'|'`: false, "a $X'|'": false, "(a '|'; b)": false,
		// where it takes a shell to say, all but || counts
		"a '|' $(b)": true, "a '|' `b`": true, `a "${X}|"`: true, "a # don't | b": true, "a # don't\nb | c": true, "a <<E\n'\nE\nb | c": true, "eval 'a | b'": true, "trap 'a | b' EXIT; c": true, "a '|": true, "a '||' $(b)": false,
	} {
		if got := shell.Piped(line); got != want {
			t.Errorf("%q has a pipe: %v, want %v", line, got, want)
		}
	}
}

// FuzzLast: a line does the same with exec before its last command.
func FuzzLast(f *testing.F) {
	for _, line := range []string{"tool a > b", "tool <c 'x;y' >a", `tool "a\"b" \; $HOME tool 2>&1`, "tool a >& 2 b", `tool "$X;" '"'`, "tool * ? [a] ~ {a,b}", "tool $X$_ a$", "tool a; tool b", "true && tool > a", "false || tool <nothing", "cd .; tool 5 <c\n\ntool", "export X=1;tool $X||tool b"} {
		f.Add(line)
	}
	tools := f.TempDir()
	if err := os.WriteFile(filepath.Join(tools, "tool"), []byte("#!/bin/sh\nprintf '<%s>' \"$@\"\necho >&2; read x; printf %s \"$x\"; exit 3\n"), 0o777); err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, line string) {
		at, program, ok := shell.Last(line)
		if !ok || program != "tool" || strings.ContainsAny(line, "/\x00") {
			return
		}
		did := func(line string) string {
			dir := t.TempDir()
			filetest.Write(t, filepath.Join(dir, "c"), "input")
			cmd := exec.Command("/bin/sh", "-ec", line)
			cmd.Dir, cmd.Env = dir, []string{"PATH=" + tools, "X=a b;c"}
			said, err := cmd.CombinedOutput()
			all := fmt.Sprintf("%q %v", said, err)
			files, _ := filepath.Glob(filepath.Join(dir, "*"))
			for _, f := range files {
				text, _ := os.ReadFile(f)
				all += fmt.Sprintf(" %s %q", filepath.Base(f), text)
			}
			return all
		}
		if plain, one := did(line), did(line[:at]+"exec "+line[at:]); plain != one {
			t.Errorf("%q does %s, and behind exec %s", line, plain, one)
		}
	})
}
