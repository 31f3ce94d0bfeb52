package abuse

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"text/tabwriter"
	"time"

	"github.com/nightshift/nightshift/shared/api"
	"github.com/nightshift/nightshift/shared/invocation"
	"github.com/nightshift/nightshift/test/harness"
)

// rounds is how often each bomb goes off; more by hand than in CI.
var rounds = flag.Int("bombs", 1, "how often each bomb goes off")

// Limits that bombs meet within a second or two.
var bombLimits = []string{
	"NIGHTSHIFT_FUNCTION_MEMORY=256", "NIGHTSHIFT_FUNCTION_TMP=32",
	"NIGHTSHIFT_FUNCTION_PROCESSES=128", "NIGHTSHIFT_FUNCTION_FILES=512",
	"NIGHTSHIFT_WORKER_CONCURRENCY=2", "NIGHTSHIFT_WORKER_PROCESSES=8",
}

// end is how a bomb may end. Where two walls stand close together, either may be
// met first.
type end struct {
	outcome invocation.Outcome
	text    string // in the message
}

var (
	overMemory = end{invocation.OutOfMemory, "(NIGHTSHIFT_FUNCTION_MEMORY)"}
	overTasks  = end{invocation.Crashed, "its limit is 128 (NIGHTSHIFT_FUNCTION_PROCESSES)"}
	overTmp    = end{invocation.Crashed, "(NIGHTSHIFT_FUNCTION_TMP)"}
	overTime   = end{invocation.TimedOut, "exceeded its limit of 4 s"}
)

// TestBombs sets off one bomb after the other on one worker, while another
// function of it is called all the time. Each ends for its own reason and leaves
// nothing behind, and no call of the other function fails. How long those take
// is printed; on a machine that does other things too it says little, so no more
// is asked for than that it is bounded.
func TestBombs(t *testing.T) {
	w := prepareBombs(t)
	for range 20 { // so that the system has found its feet
		w.neighbour()
	}
	calm := w.callNeighbour(func() { <-time.After(4 * time.Second) })
	var table bytes.Buffer
	out := tabwriter.NewWriter(&table, 0, 0, 2, ' ', 0)
	fmt.Fprintf(out, "bomb\tafter\toutcome\tcalls\tp50\tp99\tmost\n")
	fmt.Fprintf(out, "none\t\t\t%s\n", calm)
	for range *rounds {
		for _, bomb := range []struct {
			name string
			ends []end
		}{
			{"fork", []end{overTasks}},
			{"spawn", []end{overTasks}},
			{"zombies", []end{overTasks}},
			{"stubborn", []end{overTime}},
			{"heap", []end{{invocation.OutOfMemory, ""}}},
			{"buffers", []end{overMemory}},
			{"wasm", []end{overMemory}},
			{"children", []end{overMemory}},
			{"log", []end{overTime}},
			{"line", []end{overTime}},
			{"logOfChild", []end{overTime}},
			{"files", []end{{invocation.Error, "EMFILE"}}},
			{"oneFile", []end{{invocation.Error, "EFBIG"}, overTmp}},
			{"someFiles", []end{overTmp}},
			{"manyFiles", []end{overTmp}},
			{"deepFolders", []end{{invocation.Crashed, "nested more than 128 deep"}, {invocation.Error, "ENAMETOOLONG"}}},
			{"deletedFiles", []end{overTmp}},
			{"cpu", []end{overTime}},
		} {
			var got api.Attempt
			began := time.Now()
			function := "bomb-background"
			if bomb.ends[0] == overTime {
				function = "endless-background"
			}
			calls := w.callNeighbour(func() { got = w.setOff(function, bomb.name) })
			took := time.Since(began)
			if !slices.ContainsFunc(bomb.ends, func(e end) bool {
				return got.Outcome == e.outcome && got.Error != nil && strings.Contains(got.Error.Message, e.text)
			}) {
				t.Errorf("%s ended as %s, %+v; want one of %+v", bomb.name, got.Outcome, got.Error, bomb.ends)
			}
			w.nothingLeft(bomb.name)
			fmt.Fprintf(out, "%s\t%v\t%s\t%s\n", bomb.name, took.Round(10*time.Millisecond), got.Outcome, calls)
		}
	}
	_ = out.Flush()
	t.Logf("calls of another function, by the bomb that went off meanwhile:\n%s", &table)
}

// bombWorld is an installation with one worker and the site of bombs.
type bombWorld struct {
	*testing.T
	url  string // of the site
	data string // the worker's folder
	mark string // which all processes carry that bombs start
	http *http.Client
}

func prepareBombs(t *testing.T) *bombWorld {
	t.Helper()
	w := &bombWorld{T: t, mark: fmt.Sprintf("bombs-of-%d", os.Getpid()), http: &http.Client{Timeout: 30 * time.Second}}
	fleet := &harness.Fleet{}
	dir, err := os.MkdirTemp("", "bombs") // code is read-only, which is more than t.TempDir can remove
	w.must(err)
	w.must(os.Chmod(dir, 0o755)) // functions may have another user ID
	t.Cleanup(func() {
		if err := fleet.Close(); err != nil {
			t.Error(err)
		}
		if t.Failed() {
			for _, p := range fleet.All() {
				t.Logf("---- the last lines of %s\n%s", p.Name, p.Log.Tail(40))
			}
		}
		if err := harness.RemoveReadOnly(dir); err != nil {
			t.Error(err)
		}
	})
	redis, err := fleet.StartRedis(t.Context(), harness.EverySecond)
	w.must(err)
	t.Cleanup(func() { _ = redis.Remove() })
	w.data = filepath.Join(dir, "data")
	services, err := fleet.StartServices(t.Context(), harness.Setup{
		Bin: binDir, Gateways: 1, Workers: 1, Schedulers: 1,
		Env: append([]string{
			"NIGHTSHIFT_REDIS_URL=" + redis.URL(), "NIGHTSHIFT_BLOB_URL=file://" + filepath.Join(dir, "blobs"),
			"NIGHTSHIFT_TOKEN=bombs-0123456789abcdef0123456789abcdef", "NIGHTSHIFT_WORKER_DATA_DIR=" + w.data,
		}, bombLimits...),
	})
	w.must(err)
	w.url = services.Data[0]
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	_, err = services.Nightshift(ctx, "deploy", filepath.Join("testdata", "bombs"), "--prod")
	w.must(err)
	w.must(harness.Eventually(ctx, func() error { _, err := w.call(); return err })) // the gateway may not route by the deploy yet
	return w
}

func (w *bombWorld) must(err error) {
	w.Helper()
	if err != nil {
		w.Fatal(err)
	}
}

// call calls the function that is no bomb.
func (w *bombWorld) call() (time.Duration, error) {
	began := time.Now()
	res, err := w.http.Get(w.url + "/.netlify/functions/neighbour")
	if err != nil {
		return 0, err
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err == nil && (res.StatusCode != http.StatusOK || string(body) != "well") {
		err = fmt.Errorf("status %d: %s", res.StatusCode, body)
	}
	return time.Since(began), err
}

// neighbour makes a call that has to work.
func (w *bombWorld) neighbour() time.Duration {
	took, err := w.call()
	if err != nil {
		w.Errorf("another function: %v", err)
	}
	return took
}

// calls are the times that calls took.
type calls []time.Duration

func (c calls) String() string {
	slices.Sort(c)
	at := func(share float64) time.Duration {
		return c[int(share*float64(len(c)-1))].Round(100 * time.Microsecond)
	}
	return fmt.Sprintf("%d\t%v\t%v\t%v", len(c), at(.5), at(.99), at(1))
}

// callNeighbour calls the other function all the time while something happens.
func (w *bombWorld) callNeighbour(meanwhile func()) calls {
	var all calls
	done := make(chan struct{})
	var calling sync.WaitGroup
	calling.Go(func() {
		tick := time.NewTicker(20 * time.Millisecond)
		defer tick.Stop()
		for {
			all = append(all, w.neighbour())
			select {
			case <-done:
				return
			case <-tick.C:
			}
		}
	})
	meanwhile()
	close(done)
	calling.Wait()
	return all
}

// setOff runs a bomb and waits for the end of its only attempt.
func (w *bombWorld) setOff(function, name string) api.Attempt {
	w.Helper()
	order, err := json.Marshal(map[string]string{"bomb": name, "mark": w.mark})
	w.must(err)
	res, err := w.http.Post(w.url+"/.netlify/functions/"+function, "application/json", bytes.NewReader(order))
	w.must(err)
	_ = res.Body.Close()
	where, err := res.Location()
	if err != nil || res.StatusCode != http.StatusAccepted {
		w.Fatalf("calling %s: %s, %v", name, res.Status, err)
	}
	ctx, cancel := context.WithTimeout(w.Context(), 2*time.Minute)
	defer cancel()
	var inv api.Invocation
	w.must(harness.Eventually(ctx, func() error {
		res, err := w.http.Get(where.String())
		if err != nil {
			return err
		}
		defer res.Body.Close()
		if err := json.NewDecoder(res.Body).Decode(&inv); err != nil {
			return err
		}
		if inv.State != invocation.Dead || len(inv.Attempts) != 1 {
			return fmt.Errorf("%s is %s after %d attempts", name, inv.State, len(inv.Attempts))
		}
		return nil
	}))
	return inv.Attempts[0]
}

// nothingLeft waits until no process carries the mark and no file has a bomb's name.
func (w *bombWorld) nothingLeft(name string) {
	w.Helper()
	ctx, cancel := context.WithTimeout(w.Context(), 20*time.Second)
	defer cancel()
	err := harness.Eventually(ctx, func() error {
		if left := marked("NIGHTSHIFT_BOMB=" + w.mark); len(left) > 0 {
			return fmt.Errorf("%d processes are left, the first is %s", len(left), left[0])
		}
		return filepath.WalkDir(filepath.Join(w.data, "cells"), func(path string, d fs.DirEntry, err error) error {
			if err == nil && strings.HasPrefix(d.Name(), "bomb") && strings.Contains(path, "/tmp/") {
				return fmt.Errorf("%s is left", path)
			}
			return nil // or it has gone meanwhile
		})
	})
	if err != nil {
		w.Errorf("%s: %v", name, err)
	}
}

// marked lists the processes with an entry in their environment.
func marked(entry string) (left []string) {
	environs, _ := filepath.Glob("/proc/[0-9]*/environ")
	for _, file := range environs {
		environ, err := os.ReadFile(file)
		if err == nil && bytes.Contains(environ, []byte(entry)) {
			left = append(left, filepath.Dir(file))
		}
	}
	return left
}
