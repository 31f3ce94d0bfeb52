package traffic

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/nightshift/nightshift/shared/api"
	"github.com/nightshift/nightshift/shared/artifact"
	"github.com/nightshift/nightshift/shared/client"
	"github.com/nightshift/nightshift/shared/function"
	"github.com/nightshift/nightshift/shared/schedule"
	"github.com/nightshift/nightshift/test/harness"
)

const (
	// SiteName is the only site.
	SiteName    = "default"
	everySecond = "* * * * * *"
	workName    = "work"
	// narrowName runs the same code, Narrow times at once.
	narrowName = "narrow"
	echoName   = "echo"
	// Retries and retryDelay are those of all functions.
	Retries    = 2
	retryDelay = 2 * time.Second
	// Narrow is how many attempts of one function run at once, in all the fleet.
	Narrow = 2
)

// Bounds are the functions of which only so many attempts run at once.
func Bounds() map[string]int { return map[string]int{narrowName: Narrow} }

// echoCode answers a sync call with much that tells which call it answers.
const echoCode = `export default async (request) => {
  const { n, plan } = await request.json();
  await fetch('@COLLECTOR@/?phase=sync&n=' + n);
  if (plan === 'fail') throw new Error('it always fails');
  return new Response((n + ' ').repeat(1 + n % 997), { status: 200 + n % 2, headers: { 'x-n': String(n) } });
};
`

// workCode does what the body of the call asks for, and reports each of its runs.
const workCode = `const version = @VERSION@;
const report = async (query) => {
  const answer = await fetch('@COLLECTOR@/?' + new URLSearchParams(query));
  return Number(await answer.text());
};
export default async (request, context) => {
  const { n, plan, ms } = await request.json();
  const run = crypto.randomUUID();
  const attempt = context.attempt;
  const own = { id: context.requestId, n, attempt, run, version };
  const earlier = await report({ ...own, phase: 'begin' });
  if (ms > 0) await new Promise((done) => setTimeout(done, ms));
  if (plan === 'once' && earlier === 0) throw new Error('the first try fails');
  if (plan === 'exit' && earlier === 0) process.exit(7);
  if (plan === 'fail') throw new Error('it always fails');
  if (ms > 0) await report({ ...own, phase: 'end' });
  return Response.json({ n, run, attempt, version });
};
`

// site makes the deploys of a run.
type site struct {
	collector string
	echo      string // code
	schedules int
	tickZip   []byte // the same for all schedules and all versions
	tickSum   string
}

// newSite builds the function of the schedules.
func newSite(ctx context.Context, collector string, schedules int) (*site, error) {
	s := &site{collector: collector, echo: strings.ReplaceAll(echoCode, "@COLLECTOR@", collector), schedules: schedules}
	dir, err := os.MkdirTemp("", "tick")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	file := filepath.Join(dir, "bootstrap")
	build := exec.CommandContext(ctx, "go", "build", "-trimpath", "-ldflags=-s -w", "-o", file, "./test/chaos/testdata/tick")
	build.Dir, build.Env = harness.Root(), append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("building the function of the schedules: %w\n%s", err, out)
	}
	program, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	s.tickZip, s.tickSum, err = artifact.Pack([]artifact.File{
		{Path: "bootstrap", Data: program, Executable: true}, {Path: "collector", Data: []byte(collector)},
	})
	return s, err
}

func tickName(i int) string { return fmt.Sprintf("tick%d", i) }

// ScheduleKeys are the keys of the ledgers of so many schedules, by function.
func ScheduleKeys(schedules int) (map[string]string, error) {
	parsed, err := schedule.Parse(everySecond, "")
	if err != nil {
		return nil, err
	}
	keys := map[string]string{}
	for i := range schedules {
		keys[tickName(i)] = schedule.Key(SiteName, tickName(i), parsed)
	}
	return keys, nil
}

// deploy makes a version and publishes it. One with no schedules ends them all.
// The ID is right with an error too: a deploy whose answer was lost may be public.
func (s *site) deploy(ctx context.Context, c *client.Client, version int, schedules bool) (id string, err error) {
	text := strings.NewReplacer("@VERSION@", fmt.Sprint(version), "@COLLECTOR@", s.collector).Replace(workCode)
	workZip, workSum, err := artifact.Pack([]artifact.File{{Path: "work.mjs", Data: []byte(text)}, {Path: "echo.mjs", Data: []byte(s.echo)}})
	if err != nil {
		return "", err
	}
	retries := Retries
	work := function.Function{
		Name: workName, Kind: function.Background, API: function.APIv2, Runtime: "node", Entry: "work.mjs", Artifact: workSum,
		Retries: &retries, RetryDelaysMS: []int64{retryDelay.Milliseconds()},
	}
	narrow := work
	narrow.Name, narrow.Concurrency = narrowName, Narrow
	echo := function.Function{Name: echoName, Kind: function.Sync, API: function.APIv2, Runtime: "node", Entry: "echo.mjs", Artifact: workSum}
	functions := []function.Function{work, narrow, echo}
	for i := range s.schedules {
		if schedules {
			functions = append(functions, function.Function{
				Name: tickName(i), Kind: function.Scheduled, Runtime: "provided", Entry: "bootstrap", Artifact: s.tickSum,
				Schedule: everySecond, CatchUp: "all", Retries: &retries, RetryDelaysMS: []int64{retryDelay.Milliseconds()},
			})
		}
	}
	d, err := c.CreateDeploy(ctx, SiteName, api.CreateDeploy{Functions: functions, Production: true, Title: fmt.Sprintf("version %d", version)})
	if err != nil {
		return "", err
	}
	id = d.ID
	for _, digest := range d.RequiredFunctions {
		name, zip := workName, workZip
		if digest == s.tickSum {
			name, zip = tickName(0), s.tickZip
		}
		if d, err = c.UploadFunction(ctx, id, name, bytes.NewReader(zip)); err != nil {
			return id, err
		}
	}
	if d.Published {
		return id, nil
	}
	if d, err = c.Deploy(ctx, SiteName, id); err == nil && !d.Published {
		err = fmt.Errorf("deploy %s is %s and not published (%s)", id, d.State, d.Withheld)
	}
	return id, err
}
