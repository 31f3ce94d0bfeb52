package console

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/nightshift/nightshift/shared/invocation"
	"github.com/nightshift/nightshift/shared/store"
)

var noon = time.Date(2030, 1, 31, 12, 0, 0, 0, time.UTC)

func TestTimesForPeople(t *testing.T) {
	t.Parallel()
	for d, want := range map[time.Duration]string{
		0: "now", 900 * time.Millisecond: "now", -900 * time.Millisecond: "now", time.Second: "1 s ago", -time.Second: "in 1 s",
		59 * time.Second: "59 s ago", 60 * time.Second: "1 min ago", 119 * time.Minute: "119 min ago", 2 * time.Hour: "2 h ago",
		47 * time.Hour: "47 h ago", -48 * time.Hour: "in 2 d", 365 * 24 * time.Hour: "365 d ago",
	} {
		if got := ago(noon.Add(-d), noon); got != want {
			t.Errorf("%v before now = %q, want %q", d, got, want)
		}
	}
	for d, want := range map[time.Duration]string{
		-time.Second: "0 ms", 0: "0 ms", 999 * time.Millisecond: "999 ms", time.Second: "1.0 s", 59900 * time.Millisecond: "59.9 s",
		61 * time.Second: "1 min 1 s", 15 * time.Minute: "15 min 0 s", 61 * time.Minute: "1 h 1 min", 49 * time.Hour: "2 d 1 h",
	} {
		if got := took(d); got != want {
			t.Errorf("took(%v) = %q, want %q", d, got, want)
		}
	}
}

func TestNumbersForPeople(t *testing.T) {
	t.Parallel()
	for n, want := range map[int64]string{0: "0", 999: "999", 1000: "1,000", 1234567: "1,234,567", -1000: "-1,000", -100: "-100"} {
		if got := number(n); got != want {
			t.Errorf("number(%d) = %q, want %q", n, got, want)
		}
	}
	for share, want := range map[float64]string{0: "0.0%", 0.0001: "<0.1%", 0.25: "25.0%", 1: "100.0%"} {
		if got := percent(share); got != want {
			t.Errorf("percent(%v) = %q, want %q", share, got, want)
		}
	}
}

// TestEveryStateHasASign keeps pages from naming a sign that is not drawn.
func TestEveryStateHasASign(t *testing.T) {
	t.Parallel()
	parts, err := content.ReadFile("templates/parts.html")
	if err != nil {
		t.Fatal(err)
	}
	named := append([]invocation.State(nil), states...)
	for _, o := range []invocation.Outcome{
		"", invocation.OK, invocation.Error, invocation.TimedOut, invocation.Crashed, invocation.OutOfMemory, invocation.InitError,
		invocation.BadResponse, invocation.Aborted, invocation.WorkerLost, invocation.Drained,
	} {
		named = append(named, outcomeState(o))
	}
	for _, o := range []store.TickOutcome{store.TickFired, store.TickCaughtUp, store.TickSkipped, store.TickSuppressed} {
		named = append(named, tickState(o))
	}
	for _, state := range named {
		if !strings.Contains(string(parts), `id="i-`+string(state)+`"`) {
			t.Errorf("there is no sign of %q", state)
		}
	}
}

func TestReadTime(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]time.Time{
		"": {}, "2030-01-31T12:00": noon, "2030-01-31T12:00:00": noon, "2030-01-31T12:00:00.5": noon.Add(500 * time.Millisecond),
		"2030-01-31T14:00:00+02:00": noon, "2030-01-31 12:00": noon, "2030-01-31": noon.Add(-12 * time.Hour),
	} {
		if got, err := readTime("from", text); err != nil || !got.Equal(want) {
			t.Errorf("readTime(%q) = %v, %v; want %v", text, got, err, want)
		}
	}
	for _, text := range []string{"noon", "2030-02-30", "2030-01-31T25:00", "1893456000"} {
		if got, err := readTime("from", text); err == nil {
			t.Errorf("readTime(%q) = %v, want an error", text, got)
		}
	}
}

func TestReadEvent(t *testing.T) {
	t.Parallel()
	got := readEvent([]byte(`{"httpMethod":"POST","rawUrl":"https://example.com/x","headers":{"Cookie":"a=secret","b":"1"},"body":"eyJhIjoxfQ==","isBase64Encoded":true}`))
	if got.Method != "POST" || got.URL != "https://example.com/x" || got.Body.Text != "{\n  \"a\": 1\n}" || len(got.Headers) != 2 || strings.Contains(got.Headers[0].Value, "secret") {
		t.Errorf("event = %+v", got)
	}
	if got := readEvent([]byte("not JSON")); got.Raw != "not JSON" || got.Method != "" {
		t.Errorf("of something else = %+v", got)
	}
	for name, tt := range map[string]struct {
		data []byte
		want bodyView
	}{
		"none": {nil, bodyView{}}, "text": {[]byte("hello"), bodyView{Text: "hello", Size: 5}}, "JSON keeps < and its numbers": {[]byte(`["<",1e400]`), bodyView{Text: "[\n  \"<\",\n  1e400\n]", Size: 11}},
		"binary": {[]byte{0xff, 0xfe}, bodyView{Binary: true, Size: 2}}, "text with NUL": {[]byte("a\x00b"), bodyView{Binary: true, Size: 3}},
	} {
		if got := readBody(tt.data); got != tt.want {
			t.Errorf("%s = %+v, want %+v", name, got, tt.want)
		}
	}
	if got := readBody([]byte("x" + strings.Repeat("é", shownBody))); !got.Cut || len(got.Text) > shownBody || strings.ContainsRune(got.Text, '\uFFFD') || got.Size != 1+2*shownBody {
		t.Errorf("a long one has %d bytes of %d, cut: %v", len(got.Text), got.Size, got.Cut)
	}
}

func TestFlash(t *testing.T) {
	t.Parallel()
	for _, text := range []string{"Done.", "«Gut», 100 %", strings.Repeat("é", maxFlash)} {
		w := httptest.NewRecorder()
		if err := leadTo(w, httptest.NewRequest("POST", "/x", nil), "/there", true, "%s", text); err != nil {
			t.Fatal(err)
		}
		res := w.Result()
		cookie := res.Cookies()[0]
		if res.StatusCode != http.StatusSeeOther || res.Header.Get("Location") != "/there" || !cookie.HttpOnly || cookie.SameSite != http.SameSiteStrictMode || len(cookie.Value) > 4000 {
			t.Errorf("leadTo = %s to %s with %v", res.Status, res.Header.Get("Location"), cookie)
		}
		r := httptest.NewRequest("GET", "/there", nil)
		r.AddCookie(cookie)
		w = httptest.NewRecorder()
		got := takeFlash(w, r)
		if got == nil || !got.Problem || !strings.HasPrefix(text, strings.TrimSuffix(got.Text, " …")) {
			t.Errorf("of %.40q came %+v", text, got)
		}
		if c := w.Result().Cookies(); len(c) != 1 || c[0].MaxAge >= 0 {
			t.Errorf("it is not taken away: %v", c)
		}
	}
	r := httptest.NewRequest("GET", "/", nil)
	r.AddCookie(&http.Cookie{Name: flashCookie, Value: "%%%"})
	if got := takeFlash(httptest.NewRecorder(), r); got != nil {
		t.Errorf("of nonsense came %+v", got)
	}
}

func TestPagerForgetsTheWayBack(t *testing.T) {
	t.Parallel()
	q := url.Values{}
	var p pager
	for i := range maxTrail + 5 { // pages of a long list
		p = newPager("/list", url.Values{"state": {"dead"}}, q, "c"+string(rune('a'+i)))
		next, err := url.Parse(p.Older)
		if err != nil {
			t.Fatal(err)
		}
		q = next.Query()
	}
	if n := len(q["before"]); n > maxTrail+1 || q.Get("state") != "dead" {
		t.Errorf("the address of a page has %d cursors, want %d at most: %s", n, maxTrail+1, p.Older)
	}
	if first := newPager("/list", nil, nil, ""); first != (pager{}) {
		t.Errorf("a list of one page has others: %+v", first)
	}
}
