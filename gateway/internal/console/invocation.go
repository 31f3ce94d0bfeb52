package console

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/nightshift/nightshift/gateway/internal/console/chart"
	"github.com/nightshift/nightshift/shared/fault"
	"github.com/nightshift/nightshift/shared/function"
	"github.com/nightshift/nightshift/shared/invocation"
	"golang.org/x/sync/errgroup"
)

const (
	// shownLines is how many lines of a log a page has, the newest; there is a link
	// to all of them.
	shownLines = 1000
	// shownBody bounds what a page has of a body, in bytes.
	shownBody = 32 << 10
	// shownAttempts is how many attempts the time line has, the newest.
	shownAttempts = 24
)

// invocationView is all about one invocation.
type invocationView struct {
	frame
	invocation.Invocation
	Site      string        // both of them have one
	Took      time.Duration // from its first attempt to its end, or until now
	Waited    time.Duration // before that
	Timeline  []attemptLine
	Begin     time.Time // the left and the right end of the time line
	End       time.Time
	Event     eventView
	Reply     *replyView
	Log       []invocation.LogLine
	Earlier   int    // lines that are left out before them
	Last      string // cursor of the newest line
	Live      bool   // more lines may come
	CanRetry  bool
	CanReplay bool
	CanCancel bool
	Key       string // lets a form that is sent twice make one replay
}

// attemptLine is an attempt with its place on the time line.
type attemptLine struct {
	invocation.Attempt
	chart.Line
	Took time.Duration
	Y    int // px
}

// Middle is where the middle of its line is, and Bottom where its label stands.
func (a attemptLine) Middle() int { return a.Y + 9 }

// Baseline is where the text of its label stands.
func (a attemptLine) Baseline() int { return a.Y + 13 }

// lineHeight is the distance of two lines of a time line, in px.
const lineHeight = 24

// Height is how high the time line is drawn, in px.
func (v invocationView) Height() int { return len(v.Timeline)*lineHeight + 4 }

// pair is a name with a value.
type pair struct{ Name, Value string }

// eventView is what a function was called with.
type eventView struct {
	Method, URL string
	Headers     []pair
	Body        bodyView
	Raw         string // what is no event of ours
}

// bodyView is a body to look at.
type bodyView struct {
	Text   string
	Binary bool // Text is empty
	Size   int  // bytes
	Cut    bool // there is more than Text
}

// replyView is what a function returned.
type replyView struct {
	Status    int
	Headers   []pair
	Body      bodyView
	Truncated bool // the record has not all of it
}

// invocation shows one invocation.
func (c *Console) invocation(w http.ResponseWriter, r *http.Request) error {
	inv, err := c.find(r)
	if err != nil {
		return err
	}
	frame, _, err := c.frameOf(w, r, "invocations", inv.Function)
	if err != nil {
		return err
	}
	var event []byte
	var log []invocation.LogLine
	group, ctx := errgroup.WithContext(r.Context())
	group.Go(func() (err error) { event, err = c.Records.Event(ctx, inv.ID); return err })
	group.Go(func() (err error) { log, err = c.Records.Log(ctx, inv.ID, "", 0); return err })
	if err := group.Wait(); err != nil {
		return err
	}
	view := invocationView{
		frame: frame, Invocation: inv, Site: inv.Site, Event: readEvent(event), Reply: readResult(inv.Result), Key: newKey(),
		Live: !inv.State.Terminal(), CanRetry: frame.MayInvoke && inv.State == invocation.Dead,
		CanReplay: frame.MayInvoke && inv.State.Terminal(), CanCancel: frame.MayInvoke && !inv.State.Terminal(),
	}
	if n := len(log); n > 0 {
		view.Last = log[n-1].Cursor
		view.Earlier = max(0, n-shownLines)
		view.Log = log[view.Earlier:]
	}
	view.layOut()
	return c.render(w, http.StatusOK, "invocation", view)
}

// find reads the invocation of a path, which must be one of its site.
func (c *Console) find(r *http.Request) (invocation.Invocation, error) {
	id := r.PathValue("id")
	inv, err := c.Records.Invocation(r.Context(), id)
	if err == nil && inv.Site != r.PathValue("site") {
		err = fault.New(fault.NotFound, "site %.80s has no invocation %.40s", r.PathValue("site"), id)
	}
	return inv, err
}

// layOut makes the time line: from acceptance to the end, or to now.
func (v *invocationView) layOut() {
	v.Begin, v.End = v.CreatedAt, v.FinishedAt
	if v.End.IsZero() {
		v.End = v.Now
	}
	if v.StartedAt.IsZero() {
		v.Waited = v.End.Sub(v.Begin)
	} else {
		v.Waited, v.Took = v.StartedAt.Sub(v.Begin), v.End.Sub(v.StartedAt)
	}
	attempts := v.Attempts[max(0, len(v.Attempts)-shownAttempts):]
	if len(attempts) == 0 {
		return
	}
	if len(attempts) < len(v.Attempts) {
		v.Begin = attempts[0].StartedAt
	}
	spans := make([]chart.Span, len(attempts))
	for i, a := range attempts {
		spans[i] = chart.Span{From: a.StartedAt, To: a.FinishedAt}
		if a.FinishedAt.IsZero() {
			spans[i].To = v.End
		}
		if spans[i].To.After(v.End) {
			v.End = spans[i].To
		}
	}
	for i, line := range chart.Timeline(v.Begin, v.End, spans) {
		v.Timeline = append(v.Timeline, attemptLine{attempts[i], line, spans[i].To.Sub(spans[i].From), i*lineHeight + 4})
	}
}

// Scheduled reports whether a schedule made it, or could have.
func (v invocationView) Scheduled() bool { return v.Kind == function.Scheduled }

// hidden are headers whose values are for the function only.
var hidden = []string{"authorization", "proxy-authorization", "cookie", "set-cookie", "x-api-key"}

// readEvent takes an event apart for people.
func readEvent(data []byte) eventView {
	var e struct {
		Method  string            `json:"httpMethod"`
		URL     string            `json:"rawUrl"`
		Headers map[string]string `json:"headers"`
		Body    *string           `json:"body"`
		Base64  bool              `json:"isBase64Encoded"`
	}
	if err := json.Unmarshal(data, &e); err != nil || e.Method == "" {
		return eventView{Raw: readBody(data).Text}
	}
	view := eventView{Method: e.Method, URL: e.URL}
	for name, value := range e.Headers {
		view.Headers = append(view.Headers, header(name, value))
	}
	sortPairs(view.Headers)
	if e.Body != nil {
		view.Body = decoded(*e.Body, e.Base64)
	}
	return view
}

// readResult takes a result apart; nil if there is none.
func readResult(result *invocation.Result) *replyView {
	if result == nil {
		return nil
	}
	view := &replyView{Status: result.Status, Body: decoded(result.Body, result.Base64), Truncated: result.Truncated}
	for name, values := range result.Headers {
		for _, value := range values {
			view.Headers = append(view.Headers, header(name, value))
		}
	}
	sortPairs(view.Headers)
	return view
}

func header(name, value string) pair {
	if slices.Contains(hidden, strings.ToLower(name)) {
		value = fmt.Sprintf("(hidden, %d characters)", len(value))
	}
	return pair{name, value}
}

func sortPairs(pairs []pair) {
	slices.SortFunc(pairs, func(a, b pair) int { return strings.Compare(a.Name+"\x00"+a.Value, b.Name+"\x00"+b.Value) })
}

// decoded is a body that is text, or base64 of anything.
func decoded(text string, isBase64 bool) bodyView {
	data := []byte(text)
	if isBase64 {
		var err error
		if data, err = base64.StdEncoding.DecodeString(text); err != nil {
			return bodyView{Binary: true, Size: len(text)}
		}
	}
	return readBody(data)
}

// readBody is as much of a body as a page shows; JSON is indented.
func readBody(data []byte) bodyView {
	view := bodyView{Size: len(data)}
	if !utf8.Valid(data) || slices.Contains(data, 0) {
		view.Binary = true
		return view
	}
	text := string(data)
	if len(data) <= shownBody && json.Valid(data) {
		var out strings.Builder
		enc := json.NewEncoder(&out)
		enc.SetEscapeHTML(false)
		enc.SetIndent("", "  ")
		if enc.Encode(json.RawMessage(data)) == nil {
			text = strings.TrimSpace(out.String())
		}
	}
	if len(text) > shownBody {
		text, view.Cut = strings.ToValidUTF8(text[:shownBody], ""), true
	}
	view.Text = text
	return view
}
