package page_test

import (
	"os"
	"strings"
	"testing"

	"github.com/nightshift/nightshift/test/manual/page"
)

func TestLike(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		text, want string
		like       bool
	}{
		{"one", "one", true},
		{"one", "two", false},
		{"one two", "one", false},
		{"run 123 is done", "run … is done", true},
		{"run 123 is lost", "run … is done", false},
		{"a\nb\nc", "a\n…\nc", true},
		{"a\nc", "a\n…\nc", true},
		{"a\nb\nd", "a\n…\nc", false},
		{"a\nb", "a\n…", true},
		{"  A    B", "A B", true},
		{"a\nb", "a…b", false},
		{"a.c", "abc", false},
		{"(a)", "(a)", true},
	} {
		if got := page.Like(tt.text, tt.want); got != tt.like {
			t.Errorf("Like(%q, %q) = %v", tt.text, tt.want, got)
		}
	}
}

func TestParse(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct{ text, problem string }{
		"a block that is not marked":   {"```js\nx\n```\n", "line 1: the block is neither"},
		"text between mark and block":  {"<!-- before -->\nhello\n```js\nx\n```\n", "line 3: the block is neither"},
		"a file without a name":        {"<!-- file -->\n```js\nx\n```\n", "line 1"},
		"a block without an end":       {"```console\n$ true\n", "has no end"},
		"a console without a command":  {"```console\nhello\n```\n", "line 2: a console begins"},
		"all that there is":            {"<!-- before -->\n```js\nx\n```\n\n<!-- file a/b.js -->\n\n```js\nx\n```\ntext `x`\n```console\n$ true\n```\n", ""},
		"a fence inside of other text": {"    ```js\n", ""},
	} {
		_, err := page.Parse(tt.text)
		if (err == nil) != (tt.problem == "") || err != nil && !strings.Contains(err.Error(), tt.problem) {
			t.Errorf("%s: %v, want %q", name, err, tt.problem)
		}
	}
}

func TestRun(t *testing.T) {
	t.Parallel()
	run := func(text string) error {
		p, err := page.Parse(text)
		if err != nil {
			t.Fatal(err)
		}
		return p.Run(t.Context(), page.World{Dir: t.TempDir(), Env: os.Environ(), Replace: strings.NewReplacer("host:1", "other:2")})
	}
	good := "<!-- file a/b.txt -->\n```\nhello host:1\n```\n```console\n$ cat a/b.txt\nhello host:1\n$ X=1\n$ echo \\\n  $X two\n1 …\n```\n\n" +
		"<!-- file a/b.txt -->\n```\nchanged\n```\n```console\n$ cat a/b.txt; echo $X\nchanged\n1\n$ printf x\nx\n$ echo 'error: no'; false\nerror: no\n```\n"
	if err := run(good); err != nil {
		t.Error(err)
	}
	for name, tt := range map[string]struct{ text, problem string }{
		"another output":  {"```console\n$ true\n$ echo a\nb\n```\n", "line 3: echo a\nprinted\na\nand the page has\nb"},
		"a failure":       {"```console\n$ echo gone; false\n```\n", "ended with 1:\ngone"},
		"a failure shown": {"```console\n$ echo gone; false\ngone\n```\n", "ended with 1"},
		"an early end":    {"```console\n$ exit 0\n$ true\n```\n", "0 of 2 commands"},
		"not quite":       {"```console\n$ echo error: a; false\n```\n", "ended with 1"},
	} {
		if err := run(tt.text); err == nil || !strings.Contains(err.Error(), tt.problem) {
			t.Errorf("%s: %v, want %q", name, err, tt.problem)
		}
	}
}

func TestSections(t *testing.T) {
	t.Parallel()
	got := page.Sections("# Title\nintro\n\n## One\na\n### Not one\n\n## Two\nb\n")
	if len(got) != 2 || got[0].Title != "One" || got[0].Text != "a\n### Not one\n" || got[1].Title != "Two" || got[1].Text != "b\n" {
		t.Errorf("Sections found %q", got)
	}
}
