package near_test

import (
	"strings"
	"testing"

	"github.com/nightshift/nightshift/cli/internal/near"
)

func TestTo(t *testing.T) {
	t.Parallel()
	functions := []string{"send-email-background", "send-email", "report-background", "job", "hello", "Übersicht"}
	tests := map[string]struct{ word, want string }{
		"a letter is missing":       {"helo", "hello"},
		"two are swapped":           {"jbo", "job"},
		"case":                      {"HELLO", "hello"},
		"the nearest first":         {"send-emial", "send-email"},
		"the beginning is enough":   {"report", "report-background"},
		"not every short word":      {"x", ""},
		"something else":            {"invoices", ""},
		"nothing was written":       {"", ""},
		"letters, and not bytes":    {"übersich", "Übersicht"},
		"longer than what is there": {"hello-world-and-all", ""},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := strings.Join(near.To(tt.word, functions), " ")
			if got != tt.want {
				t.Errorf("To(%q) = %q, want %q", tt.word, got, tt.want)
			}
		})
	}
	if got := near.To("a", []string{"a1", "a2", "a3", "a4"}); len(got) != 3 {
		t.Errorf("To suggests %v, want three at most", got)
	}
}
