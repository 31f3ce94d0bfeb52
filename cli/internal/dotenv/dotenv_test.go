package dotenv

import (
	"maps"
	"slices"
	"strings"
	"testing"
)

// What the npm package dotenv 17.4.2 makes of these files. It does not tell of
// lines that it skips.
func TestParse(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		text    string
		want    map[string]string
		skipped []int
	}{
		{"A=1\nB=2", map[string]string{"A": "1", "B": "2"}, nil},
		{"A = spaced out  ", map[string]string{"A": "spaced out"}, nil},
		{"A=", map[string]string{"A": ""}, nil},
		{"A=\nB=2", map[string]string{"A": "", "B": "2"}, nil},
		{"A='single $B \\n'", map[string]string{"A": "single $B \\n"}, nil},
		{"A=\"double\\nline\\r\\\\ \\\"q\\\"\"", map[string]string{"A": "double\nline\r\\\\ \\\"q\\\""}, nil},
		{"A=\"two\nlines\"", map[string]string{"A": "two\nlines"}, nil},
		{"A='two\nlines'", map[string]string{"A": "two\nlines"}, nil},
		{"A=`tick \"and' $x`", map[string]string{"A": "tick \"and' $x"}, nil},
		{"A=a#b", map[string]string{"A": "a"}, nil},
		{"A=a #b", map[string]string{"A": "a"}, nil},
		{"A=\"a # b\" # c", map[string]string{"A": "a # b"}, nil},
		{"A='a # b'# c", map[string]string{"A": "a # b"}, nil},
		{"# A=1\n  # B=2\nC=3", map[string]string{"C": "3"}, nil},
		{"export A=1\nexport\tB=2", map[string]string{"A": "1", "B": "2"}, nil},
		{"A: yaml\nB:no", map[string]string{"A": "yaml"}, []int{2}},
		{"A=pa$$w0rd$1x${A}", map[string]string{"A": "pa$$w0rd$1x${A}"}, nil},
		{"A.b-c=1", map[string]string{"A.b-c": "1"}, nil},
		{"1A=x", map[string]string{"1A": "x"}, nil},
		{"=x", map[string]string{}, []int{1}},
		{"no assignment\nA=1", map[string]string{"A": "1"}, []int{1}},
		{"A=1\r\nB=2\rC=3", map[string]string{"A": "1", "B": "2", "C": "3"}, nil},
		{"A=1\nA=2", map[string]string{"A": "2"}, nil},
		{"A=\"unclosed\nB=2", map[string]string{"A": "\"unclosed", "B": "2"}, nil},
		{"A='it''s'", map[string]string{"A": "it''s"}, nil},
		{"A=\"a\" b \"c\"", map[string]string{"A": "a\" b \"c"}, nil},
		{"A=a=b==", map[string]string{"A": "a=b=="}, nil},
		{"A=\"\"", map[string]string{"A": ""}, nil},
		{"A=''", map[string]string{"A": ""}, nil},
		{"  A=1", map[string]string{"A": "1"}, nil},
		{"A=\"x\"y", map[string]string{"A": "\"x\"y"}, nil},
		{"A= 'v' ", map[string]string{"A": "v"}, nil},
		{"A=\"a'b\"", map[string]string{"A": "a'b"}, nil},
		{"A=\\n", map[string]string{"A": "\\n"}, nil},
		{"\ufeffA=1", map[string]string{"A": "1"}, nil},
		{"A='a\\'b'", map[string]string{"A": "a\\'b"}, nil},
		{"A=\"a\nB=b\nC=\"d", map[string]string{"A": "\"a", "B": "b", "C": "\"d"}, nil},
		{"A={\"x\": 1}", map[string]string{"A": "{\"x\": 1}"}, nil},
		{"A='\"x\"'", map[string]string{"A": "\"x\""}, nil},
		{"A=ü", map[string]string{"A": "ü"}, nil},
		{"export=1", map[string]string{"export": "1"}, nil},
		{"A=1 B=2", map[string]string{"A": "1 B=2"}, nil},
		{"A=\"l1\n# no comment\nl3\"\nB=2", map[string]string{"A": "l1\n# no comment\nl3", "B": "2"}, nil},
		{"A=1\nB=\"x\ny\"\n\noops\n # fine\n oops\n", map[string]string{"A": "1", "B": "x\ny"}, []int{5, 7}},
	} {
		got, skipped := Parse(tt.text)
		if !maps.Equal(got, tt.want) || !slices.Equal(skipped, tt.skipped) {
			t.Errorf("Parse(%q) = %q, skipped %v; want %q, skipped %v", tt.text, got, skipped, tt.want, tt.skipped)
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, seed := range []string{"A=1", "A='x\ny'", "A=\"\\n", "export A: 1 # c", "A=`\\`", "\ufeff=\r"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		got, skipped := Parse(text)
		if lines := strings.Count(text, "\n") + strings.Count(text, "\r") + 1; len(got)+len(skipped) > lines {
			t.Errorf("Parse(%q): %d variables and %d skipped lines of %d lines", text, len(got), len(skipped), lines)
		}
	})
}
