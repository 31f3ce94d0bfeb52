package e2e

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/nightshift/nightshift/shared/callback"
	"github.com/nightshift/nightshift/shared/redisdb"
	"github.com/nightshift/nightshift/test/harness"
	"github.com/redis/go-redis/v9"
	"github.com/rogpeppe/go-internal/testscript"
	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go" // what receivers verify callbacks with
)

// receiver takes callbacks. The path is a name; what it answers, in turn, are the
// statuses of the query: /name?answers=503,503,204, of which the last stays.
type receiver struct {
	server  *httptest.Server
	webhook *standardwebhooks.Webhook

	mu   sync.Mutex
	told map[string][]told // by name
}

// told is a callback that came.
type told struct {
	id      string // webhook-id
	status  int    // that was answered
	refused error  // by the check of the signature
	callback.Payload
}

// verbReceiver starts the receiver. Callbacks must be signed with
// NIGHTSHIFT_CALLBACK_SECRET.
func verbReceiver(ts *testscript.TestScript, _ bool, _ []string) {
	webhook, err := standardwebhooks.NewWebhook(ts.Getenv(callback.Setting))
	ts.Check(err)
	r := &receiver{webhook: webhook, told: map[string][]told{}}
	r.server = httptest.NewServer(r)
	worldOf(ts).receiver = r
	_, port, err := net.SplitHostPort(r.server.Listener.Addr().String())
	ts.Check(err)
	ts.Setenv("RECEIVER", r.server.URL)
	ts.Setenv("RECEIVER_PORT", port)
}

func (r *receiver) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	body, err := io.ReadAll(req.Body)
	got := told{id: req.Header.Get(standardwebhooks.HeaderWebhookID), refused: err}
	if err == nil {
		got.refused = r.webhook.Verify(body, req.Header)
	}
	if got.refused == nil {
		got.refused = json.Unmarshal(body, &got.Payload)
	}
	name := strings.TrimPrefix(req.URL.Path, "/")
	answers := strings.Split(req.URL.Query().Get("answers"), ",")
	r.mu.Lock()
	defer r.mu.Unlock()
	got.status, _ = strconv.Atoi(answers[min(len(r.told[name]), len(answers)-1)])
	if got.status == 0 {
		got.status = http.StatusNoContent
	}
	r.told[name] = append(r.told[name], got)
	w.WriteHeader(got.status)
}

// of are the callbacks that came under a name.
func (r *receiver) of(name string) []told {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.told[name])
}

// verbTold waits for N callbacks under a name, and no more, and prints a line for each: the
// webhook-id, what was answered, and the invocation's ID and state.
func verbTold(ts *testscript.TestScript, _ bool, args []string) {
	flags := newFlags("told")
	wait := flags.Duration("within", within, "")
	ts.Check(flags.Parse(args))
	if flags.NArg() != 2 {
		usage(ts, "told [-within D] NAME N")
	}
	n, err := strconv.Atoi(flags.Arg(1))
	ts.Check(err)
	ctx, cancel := timeout(*wait)
	defer cancel()
	var all []told
	ts.Check(harness.Eventually(ctx, func() error {
		if all = worldOf(ts).receiver.of(flags.Arg(0)); len(all) < n {
			return fmt.Errorf("%d callbacks came under %s, want %d", len(all), flags.Arg(0), n)
		}
		return nil
	}))
	if len(all) > n {
		ts.Fatalf("%d callbacks came under %s, want %d", len(all), flags.Arg(0), n)
	}
	for _, c := range all {
		if c.refused != nil || c.Type != callback.TypeFinished {
			ts.Fatalf("callback %s of type %q is refused: %v", c.id, c.Type, c.refused)
		}
		fmt.Fprintf(ts.Stdout(), "%s %d %s %s\n", c.id, c.status, c.Data.ID, c.Data.State)
	}
}

// verbCallback waits until what a record says of its callback, as JSON, matches,
// and prints it.
func verbCallback(ts *testscript.TestScript, _ bool, args []string) {
	flags := newFlags("callback")
	wait := flags.Duration("within", within, "")
	ts.Check(flags.Parse(args))
	if flags.NArg() != 2 {
		usage(ts, "callback [-within D] URL REGEXP")
	}
	re, err := regexp.Compile(flags.Arg(1))
	ts.Check(err)
	ctx, cancel := timeout(*wait)
	defer cancel()
	var text []byte
	ts.Check(harness.Eventually(ctx, func() error {
		inv, _, err := record(flags.Arg(0))
		if err != nil {
			return err
		}
		if text, err = json.Marshal(inv.Callback); err != nil {
			return err
		}
		if !re.Match(text) {
			return fmt.Errorf("the callback is %s, want it to match %s", text, re)
		}
		return nil
	}))
	_, err = fmt.Fprintf(ts.Stdout(), "%s\n", text)
	ts.Check(err)
}

// verbHurry makes the callback of an invocation due now, so that no script waits
// for half a minute.
func verbHurry(ts *testscript.TestScript, _ bool, args []string) {
	if len(args) != 1 {
		usage(ts, "hurry ID")
	}
	ctx, cancel := timeout(within)
	defer cancel()
	rdb, err := redisdb.Open(ts.Getenv("NIGHTSHIFT_REDIS_URL"))
	ts.Check(err)
	defer rdb.Close()
	const outbox = "nightshift:{background}:callbacks"
	n, err := rdb.ZAddArgs(ctx, outbox, redis.ZAddArgs{XX: true, Ch: true, Members: []redis.Z{{Score: float64(time.Now().UnixMilli()), Member: args[0]}}}).Result()
	ts.Check(err)
	if n != 1 {
		ts.Fatalf("no callback of %s waits", args[0])
	}
}
