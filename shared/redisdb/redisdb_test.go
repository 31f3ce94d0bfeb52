package redisdb

import (
	"strings"
	"testing"

	"github.com/nightshift/nightshift/shared/fault"
)

func TestOptions(t *testing.T) {
	t.Parallel()
	tests := []struct {
		url     string
		addrs   string
		db      int
		user    string
		pass    string
		master  string
		cluster bool
		tls     bool
	}{
		{url: "redis://h:6380/3", addrs: "h:6380", db: 3},
		{url: "redis://h", addrs: "h:6379"},
		{url: "rediss://u:p@h:6379", addrs: "h:6379", user: "u", pass: "p", tls: true},
		{url: "unix:///run/redis.sock?db=2", addrs: "/run/redis.sock", db: 2},
		{url: "redis+cluster://u:p@a:1,b:2", addrs: "a:1,b:2", user: "u", pass: "p", cluster: true},
		{url: "rediss+cluster://a:1", addrs: "a:1", cluster: true, tls: true},
		{url: "redis+sentinel://:p@a:1,b:2/main/4", addrs: "a:1,b:2", pass: "p", master: "main", db: 4},
	}
	for _, tt := range tests {
		t.Run(tt.url, func(t *testing.T) {
			t.Parallel()
			o, err := options(tt.url)
			if err != nil {
				t.Fatal(err)
			}
			if got := strings.Join(o.Addrs, ","); got != tt.addrs {
				t.Errorf("addrs = %q, want %q", got, tt.addrs)
			}
			if o.DB != tt.db || o.Username != tt.user || o.Password != tt.pass || o.MasterName != tt.master {
				t.Errorf("db, user, password, master = %d %q %q %q", o.DB, o.Username, o.Password, o.MasterName)
			}
			if o.IsClusterMode != tt.cluster || (o.TLSConfig != nil) != tt.tls {
				t.Errorf("cluster, tls = %v %v, want %v %v", o.IsClusterMode, o.TLSConfig != nil, tt.cluster, tt.tls)
			}
		})
	}
}

func TestWrongURLsAreRefusedWithoutTheirPassword(t *testing.T) {
	t.Parallel()
	for _, url := range []string{
		"", "localhost:6379", "http://:secret@h", "redis://:secret@h:port", "redis://:secret@a:1,b:2",
		"redis+sentinel://:secret@a:1", "redis+sentinel://:secret@a:1/main/x", "redis+other://:secret@h", "redis://:secret@h/x%zz",
	} {
		_, err := Open(url)
		if !fault.Is(err, fault.Invalid) {
			t.Errorf("Open(%q) = %v, want invalid", url, err)
			continue
		}
		if strings.Contains(err.Error(), "secret") {
			t.Errorf("Open(%q) shows the password: %v", url, err)
		}
	}
}
