// Package queues shows asynqmon, the web page of the queue library, to look at
// and not to touch.
//
// asynqmon can delete, run and cancel tasks and pause queues. Here it cannot:
// whatever is neither GET nor HEAD is refused before it sees it, it is in its own
// read-only mode besides, and its API changes nothing on a GET. It is to be
// mounted behind the sign-in of the control plane.
//
// It is shown as it comes, but for three things. Its page asks for style sheets at
// another host, which the browsers of operators have no business with: it does
// without. It has scripts inside the page: the policy that goes along allows those
// by their digests, and no others. And of a payload it shows the fields that we
// know, not what somebody else may have put into a queue.
//
// What its numbers mean with lanes and records beside asynq is in docs/queues.md.
package queues

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"regexp"
	"strings"
	"sync"

	"github.com/hibiken/asynqmon" // the web page of asynq, which design and users know
	"github.com/nightshift/nightshift/shared/fault"
	"github.com/nightshift/nightshift/shared/queue"
	"github.com/redis/go-redis/v9"
)

// Path is what all of its paths begin with. It is not to be stripped.
const Path = "/queues"

// PoolSize is how many connections a page needs at most: it asks for a handful of
// things at once, and should not keep calls of functions from theirs.
const PoolSize = 4

// Handler is asynqmon. It is safe for concurrent use.
type Handler struct {
	redis redis.UniversalClient
	// monitor is made for the first request: its routes take memory that a gateway
	// needs for nothing else.
	monitor func() (*monitor, error)
}

// monitor is asynqmon as it is shown.
type monitor struct {
	http.Handler
	index  []byte // the page as asynqmon makes it
	page   []byte // as it is shown
	policy string
}

// New makes a handler, and closes rdb with it: a client of its own, of PoolSize
// connections. Redis need not answer yet.
func New(rdb redis.UniversalClient) *Handler {
	return &Handler{redis: rdb, monitor: sync.OnceValues(func() (*monitor, error) { return newMonitor(rdb) })}
}

func newMonitor(rdb redis.UniversalClient) (*monitor, error) {
	m := &monitor{Handler: asynqmon.New(asynqmon.Options{
		RootPath: Path, RedisConnOpt: connection{rdb}, ReadOnly: true,
		PayloadFormatter: asynqmon.PayloadFormatterFunc(formatPayload),
		ResultFormatter:  asynqmon.ResultFormatterFunc(formatResult),
	})}
	home, err := http.NewRequest(http.MethodGet, Path, nil)
	if err != nil {
		return nil, fault.Wrap(err, fault.Internal, "asking for asynqmon's page")
	}
	var a answer
	m.ServeHTTP(&a, home)
	m.index = a.body.Bytes()
	if m.page, m.policy, err = harden(m.index); err != nil {
		return nil, err
	}
	return m, nil
}

// connection hands out our client where asynq wants to make one: so that every
// form of NIGHTSHIFT_REDIS_URL works, and timeouts are ours.
type connection struct{ rdb redis.UniversalClient }

// MakeRedisClient is asynq.RedisConnOpt.
func (c connection) MakeRedisClient() any { return c.rdb }

// Close closes the connections to Redis. Requests under way fail.
func (h *Handler) Close() error { return h.redis.Close() }

var (
	foreignLink  = regexp.MustCompile(`<link [^>]*href="https?://[^>]*>`)
	inlineScript = regexp.MustCompile(`(?s)<script>(.*?)</script>`)
)

// harden takes what is of other hosts out of the page, and says what a browser
// may do with the rest. Styles are made by scripts as the page is used, and so
// cannot be told by their digests.
func harden(index []byte) (page []byte, policy string, err error) {
	page = foreignLink.ReplaceAll(index, nil)
	scripts := "script-src 'self'"
	for _, script := range inlineScript.FindAllSubmatch(page, -1) {
		digest := sha256.Sum256(script[1])
		scripts += " 'sha256-" + base64.StdEncoding.EncodeToString(digest[:]) + "'"
	}
	if !bytes.Contains(page, []byte(`src="`+Path+`/static/`)) {
		return nil, "", fault.New(fault.Internal, "asynqmon's page is not as it was: it has no script below %s/static/", Path)
	}
	return page, strings.Join([]string{
		"default-src 'none'", scripts, "style-src 'self' 'unsafe-inline'", "img-src 'self' data:", "font-src 'self'", "connect-src 'self'",
		"manifest-src 'self'", "base-uri 'none'", "form-action 'none'", "frame-ancestors 'none'",
	}, "; "), nil
}

// ServeHTTP answers what is below Path.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	mon, err := h.monitor()
	if err != nil { // this program is built with an asynqmon that it does not know
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	header := w.Header()
	header.Set("Content-Security-Policy", mon.policy)
	header.Set("X-Content-Type-Options", "nosniff")
	header.Set("Referrer-Policy", "same-origin")
	header.Set("Cache-Control", "no-store")
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		header.Set("Allow", "GET, HEAD")
		http.Error(w, "Queues can be looked at here, not changed. Use nightshift cancel, retry and replay.", http.StatusMethodNotAllowed)
		return
	}
	var a answer
	asked := r.Clone(r.Context())
	asked.Method = http.MethodGet // of an answer to HEAD, the server leaves the body out
	mon.ServeHTTP(&a, asked)
	body, path := a.body.Bytes(), strings.TrimPrefix(r.URL.Path, Path)
	inAPI, isFile := strings.HasPrefix(path, "/api/"), strings.HasPrefix(path, "/static/")
	switch index := bytes.Equal(body, mon.index); {
	case index && (inAPI || isFile): // asynqmon answers with its page where it has nothing
		http.NotFound(w, r)
		return
	case index:
		header.Set("Content-Type", "text/html; charset=utf-8")
		body = mon.page
	case inAPI:
		header.Set("Content-Type", "application/json")
	case isFile: // their names change with what is in them
		header.Set("Cache-Control", "private, max-age=31536000, immutable")
	}
	maps.Copy(header, a.header)
	if a.status != 0 {
		w.WriteHeader(a.status)
	}
	_, _ = w.Write(body) // an error is one of whoever asked, and has gone
}

// answer keeps what asynqmon answers.
type answer struct {
	header http.Header
	status int
	body   bytes.Buffer
}

// Header is http.ResponseWriter.
func (a *answer) Header() http.Header {
	if a.header == nil {
		a.header = http.Header{}
	}
	return a.header
}

// WriteHeader is http.ResponseWriter.
func (a *answer) WriteHeader(status int) {
	if a.status == 0 {
		a.status = status
	}
}

// Write is http.ResponseWriter.
func (a *answer) Write(p []byte) (int, error) { return a.body.Write(p) }

// formatPayload shows whom a task calls. Its ID is the invocation's, and its queue
// the kind; the event is in the record, and never here.
func formatPayload(_ string, payload []byte) string {
	var target queue.Target
	if err := json.Unmarshal(payload, &target); err != nil || target.Site == "" || target.Function == "" {
		return fmt.Sprintf("%d bytes that are no task of ours", len(payload))
	}
	text, err := json.Marshal(target)
	if err != nil {
		return err.Error()
	}
	return string(text)
}

// formatResult shows no result: a task of ours has none, its record does.
func formatResult(_ string, result []byte) string {
	if len(result) == 0 {
		return ""
	}
	return fmt.Sprintf("%d bytes", len(result))
}
