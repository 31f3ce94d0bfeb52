package queues

import (
	"context"
	"log/slog"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/nightshift/nightshift/shared/redisdb/redistest"
)

// TestStandaloneNeedsNoMoreThanItsUser: as the user asynqmon of
// deploy/redis/users.acl it shows all that there is to show, and Redis refuses it
// nothing. What would change something it answers 405.
func TestStandaloneNeedsNoMoreThanItsUser(t *testing.T) {
	t.Parallel()
	if !redistest.Real() {
		t.Log("miniredis has no users")
		return
	}
	server := redistest.Start(t)
	b := &bundle{t: t, rdb: server.Client()}
	b.fill()
	users, err := os.ReadFile("../../../deploy/redis/users.acl")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(users)) {
		if rules := strings.Fields(line); rules[1] == "asynqmon" {
			args := []any{"ACL", "SETUSER"}
			open := false // within parentheses, which are one rule
			for _, rule := range rules[1:] {
				if open {
					args[len(args)-1] = args[len(args)-1].(string) + " " + rule
				} else {
					args = append(args, rule)
				}
				open = (open || strings.HasPrefix(rule, "(")) && !strings.HasSuffix(rule, ")")
			}
			if err := b.rdb.Do(t.Context(), args...).Err(); err != nil {
				t.Fatal(err)
			}
		}
	}
	s, err := NewStandalone(StandaloneConfig{
		RedisURL: strings.Replace(server.URL(), "unix://", "unix://asynqmon:asynqmon-password@", 1),
		Addr:     "127.0.0.1:0", Logger: slog.New(slog.NewTextHandler(t.Output(), nil)),
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	client := &http.Client{}
	t.Cleanup(func() {
		client.CloseIdleConnections()
		if err := s.Stop(context.Background()); err != nil {
			t.Error(err)
		}
	})
	ask := func(method, path string) int {
		t.Helper()
		req, err := http.NewRequestWithContext(t.Context(), method, "http://"+s.Addr()+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		res, err := client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
		if res.Header.Get("Access-Control-Allow-Origin") != "" {
			t.Errorf("%s %s lets other web pages read", method, path)
		}
		return res.StatusCode
	}
	before := b.everything()
	for _, path := range []string{"/", "/healthz", "/readyz"} {
		if status := ask(http.MethodGet, path); status != http.StatusOK {
			t.Errorf("GET %s = %d", path, status)
		}
	}
	for _, r := range routes(t, s.mon) {
		if slices.Contains(r.methods, http.MethodGet) {
			if status := ask(http.MethodGet, r.path); status != http.StatusOK && !strings.HasSuffix(r.path, "/metrics") {
				t.Errorf("GET %s = %d", r.path, status)
			}
			continue
		}
		if status := ask(r.methods[0], r.path); status != http.StatusMethodNotAllowed {
			t.Errorf("%s %s = %d, want 405", r.methods[0], r.path, status)
		}
	}
	if status := ask("PROPFIND", "/"); status != http.StatusMethodNotAllowed {
		t.Errorf("PROPFIND / = %d, want 405", status)
	}
	for key, value := range b.everything() {
		if before[key] != value {
			t.Errorf("%s is not what it was", key)
		}
	}
	denied, err := b.rdb.ACLLog(t.Context(), 100).Result()
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range denied {
		t.Errorf("Redis refused %s %s in %s", d.Username, d.Object, d.Context)
	}
}

func TestStandaloneSettings(t *testing.T) {
	t.Parallel()
	for _, url := range []string{"", "http://x"} {
		if s, err := NewStandalone(StandaloneConfig{RedisURL: url, Logger: slog.New(slog.DiscardHandler)}); err == nil {
			t.Errorf("NewStandalone(%q) is no error", url)
			_ = s.Stop(t.Context())
		}
	}
}
