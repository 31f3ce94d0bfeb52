package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/nightshift/nightshift/test/load/drive"
)

// accepted is what wrk has met.
type accepted struct {
	PerSecond float64 `json:"rps"`
	P50       float64 `json:"p50_ms"`
	P99       float64 `json:"p99_ms"`
	Bad       int     `json:"non2xx"`
	Broken    int     `json:"sock_err"`
	Calls     int     `json:"n"`

	CPU map[string]int `json:"cpu_us"` // per call
}

// script is what wrk posts, and how it says what it met.
const script = `
wrk.method, wrk.body = "POST", [[%s]]
wrk.headers["Content-Type"] = "application/json"
function done(summary, latency)
  local e = summary.errors
  print(string.format('RESULT {"rps":%%.1f,"p50_ms":%%.3f,"p99_ms":%%.3f,"non2xx":%%d,"sock_err":%%d,"n":%%d}',
    summary.requests / summary.duration * 1e6, latency:percentile(50) / 1e3, latency:percentile(99) / 1e3,
    e.status, e.connect + e.read + e.write + e.timeout, summary.requests))
end
`

// findWrk says where wrk is, which loads a server from one thread better than we do.
func findWrk() (string, error) {
	path, err := exec.LookPath("wrk")
	if err != nil {
		return "", errors.New("wrk is not on the PATH, and the rate of accepting is measured with it: install it (Debian and Ubuntu: " +
			"apt-get install wrk), or leave that part out with -only")
	}
	return path, nil
}

// callWithWrk posts over 64 connections for a while.
func (b *bench) callWithWrk(ctx context.Context, target string, d time.Duration) (accepted, error) {
	path := filepath.Join(b.dir, "post.lua")
	if err := os.WriteFile(path, fmt.Appendf(nil, script, drive.Body(1, "")), 0o600); err != nil {
		return accepted{}, err
	}
	cmd := exec.CommandContext(ctx, b.wrk, "-t1", fmt.Sprintf("-c%d", connections), fmt.Sprintf("-d%.0fs", d.Seconds()), "--latency", "-s", path, target)
	out, err := cmd.CombinedOutput()
	if err != nil {
		return accepted{}, fmt.Errorf("wrk: %w\n%s", err, out)
	}
	_, result, ok := strings.Cut(string(out), "RESULT ")
	if !ok {
		return accepted{}, fmt.Errorf("wrk does not say what it met:\n%s", out)
	}
	var a accepted
	return a, json.Unmarshal([]byte(strings.TrimSpace(result)), &a)
}
