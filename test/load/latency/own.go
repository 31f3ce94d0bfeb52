package main

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/nightshift/nightshift/shared/artifact"
	"github.com/nightshift/nightshift/test/harness"
)

// own is a set of services that this program started.
type own struct {
	fleet    harness.Fleet
	redis    *harness.Redis
	dir      string
	target   string
	services []service
}

const token = "latency-0123456789abcdef01234567"

func startOwn(ctx context.Context) (*own, error) {
	dir, err := os.MkdirTemp("", "latency")
	if err != nil {
		return nil, err
	}
	o := &own{dir: dir}
	if err := o.start(ctx); err != nil {
		o.close()
		return nil, err
	}
	return o, nil
}

func (o *own) start(ctx context.Context) error {
	if err := harness.Build(ctx, o.dir); err != nil {
		return err
	}
	redis, err := o.fleet.StartRedis(ctx, harness.EverySecond)
	if err != nil {
		return err
	}
	o.redis = redis
	var addrs [4]string
	for i := range addrs {
		port, err := harness.FreePort()
		if err != nil {
			return err
		}
		addrs[i] = fmt.Sprintf("127.0.0.1:%d", port)
	}
	common := []string{
		"NIGHTSHIFT_REDIS_URL=" + redis.URL(), "NIGHTSHIFT_TOKEN=" + token,
		"NIGHTSHIFT_BLOB_URL=file://" + filepath.Join(o.dir, "blobs"), "TMPDIR=" + o.dir,
	}
	for _, s := range []struct{ name, data, health string }{
		{"gateway", "NIGHTSHIFT_ADDR=" + addrs[0], "NIGHTSHIFT_ADMIN_ADDR=" + addrs[1]},
		{"worker", "", "NIGHTSHIFT_WORKER_ADDR=" + addrs[2]},
		{"scheduler", "", "NIGHTSHIFT_SCHEDULER_ADDR=" + addrs[3]},
	} {
		settings := append(harness.Environ(common...), s.health)
		if s.data != "" {
			settings = append(settings, s.data)
		}
		p, err := o.fleet.Start(harness.Spec{Name: s.name, Path: filepath.Join(o.dir, s.name), Env: settings})
		if err != nil {
			return err
		}
		o.services = append(o.services, service{s.name, p.Pid()})
		_, health, _ := strings.Cut(s.health, "=")
		if err := ready(ctx, p, "http://"+health+"/readyz"); err != nil {
			return err
		}
	}
	o.target = "http://" + addrs[0] + "/.netlify/functions/start-background"
	return o.deploy(ctx, append(common, "NIGHTSHIFT_API_URL=http://"+addrs[1]+"/api/v1"))
}

func (o *own) deploy(ctx context.Context, settings []string) error {
	p, err := o.fleet.Start(harness.Spec{
		Name: "deploy", Path: filepath.Join(o.dir, "nightshift"), Env: harness.Environ(settings...),
		Args: []string{"deploy", filepath.Join(harness.Root(), "test", "load", "latency", "site"), "--prod"},
	})
	if err != nil {
		return err
	}
	code, err := p.Wait(ctx)
	if err != nil || code != 0 {
		return fmt.Errorf("nightshift deploy ended with %d, %v:\n%s", code, err, p.Log)
	}
	return nil
}

func ready(ctx context.Context, p *harness.Process, url string) error {
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	return harness.Eventually(ctx, func() error {
		res, err := client.Get(url)
		if err != nil {
			return fmt.Errorf("%w\n%s", err, p.Log.Tail(20))
		}
		_ = res.Body.Close()
		if res.StatusCode != http.StatusOK {
			return fmt.Errorf("%s answers %s\n%s", url, res.Status, p.Log.Tail(20))
		}
		return nil
	})
}

func (o *own) close() {
	if err := o.fleet.Close(); err != nil {
		fmt.Fprintln(os.Stderr, "latency:", err)
	}
	if o.redis != nil {
		_ = o.redis.Remove()
	}
	_ = artifact.Remove(o.dir)
}
