package runtimeapi

import (
	"bufio"
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/nightshift/nightshift/shared/invocation"
	"github.com/nightshift/nightshift/shared/telemetry"
)

// child is a runtime as the server sees it.
type child struct {
	t    *testing.T
	base string
	http *http.Client
}

func setup(t *testing.T) (*Server, *child) {
	t.Helper()
	s, err := Listen(Config{})
	if err != nil {
		t.Fatal(err)
	}
	transport := &http.Transport{}
	t.Cleanup(func() {
		transport.CloseIdleConnections()
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s, &child{t, "http://" + s.Addr() + "/2018-06-01/runtime/", &http.Client{Transport: transport, Timeout: 20 * time.Second}}
}

func (c *child) do(method, path string, body io.Reader, headers ...string) (*http.Response, string) {
	c.t.Helper()
	r, err := http.NewRequestWithContext(c.t.Context(), method, c.base+path, body)
	if err != nil {
		c.t.Fatal(err)
	}
	for n := 0; n < len(headers); n += 2 {
		r.Header.Set(headers[n], headers[n+1])
	}
	response, err := c.http.Do(r)
	if err != nil {
		c.t.Fatal(err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		c.t.Fatal(err)
	}
	return response, string(text)
}

func (c *child) expect(status int, kind, method, path, body string, headers ...string) {
	c.t.Helper()
	response, text := c.do(method, path, strings.NewReader(body), headers...)
	var got struct{ ErrorType, ErrorMessage string }
	if err := json.Unmarshal([]byte(text), &got); err != nil {
		c.t.Errorf("%s %s: %v in %q", method, path, err, text)
	}
	if response.StatusCode != status || got.ErrorType != kind {
		c.t.Errorf("%s %s = %d %s, want %d %q", method, path, response.StatusCode, text, status, kind)
	}
}

// take takes the next invocation.
func (c *child) take(s *Server, id string) *Exchange {
	c.t.Helper()
	x := s.Invoke(Invocation{ID: id, Event: []byte(`{"id":"` + id + `"}`), Deadline: time.UnixMilli(1234), ARN: "arn:x"})
	response, body := c.do("GET", "invocation/next", nil)
	if response.StatusCode != 200 || body != `{"id":"`+id+`"}` {
		c.t.Fatalf("next = %d %s", response.StatusCode, body)
	}
	return x
}

const streaming = "streaming"

func TestNext(t *testing.T) {
	t.Parallel()
	s, c := setup(t)
	s.Invoke(Invocation{ID: "one", Attempt: 3, Event: []byte(`{}`), Deadline: time.UnixMilli(1234), ARN: "arn:x", ClientContext: `{"user":{}}`})
	response, _ := c.do("GET", "invocation/next", nil)
	for name, want := range map[string]string{
		"Lambda-Runtime-Aws-Request-Id":       "one",
		"Lambda-Runtime-Deadline-Ms":          "1234",
		"Lambda-Runtime-Nightshift-Attempt":   "3",
		"Lambda-Runtime-Invoked-Function-Arn": "arn:x",
		"Lambda-Runtime-Client-Context":       `{"user":{}}`,
		"Content-Type":                        "application/json",
		"Content-Length":                      "2",
	} {
		if got := response.Header.Get(name); got != want {
			t.Errorf("%s = %q, want %q", name, got, want)
		}
	}
}

// TestNextTellsTheTrace covers both who reads our headers and who knows Lambda's only.
func TestNextTellsTheTrace(t *testing.T) {
	t.Parallel()
	const parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
	for name, test := range map[string]struct {
		trace                telemetry.Place
		xray, parent, states string
	}{
		"none":       {xray: "Root=1-00000000-000000000000000000000000;Sampled=0"},
		"one":        {trace: telemetry.Place{Traceparent: parent}, xray: "Root=1-0af76519-16cd43dd8448eb211c80319c;Parent=b7ad6b7169203331;Sampled=1", parent: parent},
		"with state": {trace: telemetry.Place{Traceparent: parent, Tracestate: "a=1"}, xray: "Root=1-0af76519-16cd43dd8448eb211c80319c;Parent=b7ad6b7169203331;Sampled=1", parent: parent, states: "a=1"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, c := setup(t)
			s.Invoke(Invocation{ID: "one", Event: []byte(`{}`), Trace: test.trace})
			response, _ := c.do("GET", "invocation/next", nil)
			for name, want := range map[string]string{
				"Lambda-Runtime-Trace-Id": test.xray, "Lambda-Runtime-Nightshift-Traceparent": test.parent, "Lambda-Runtime-Nightshift-Tracestate": test.states,
			} {
				if got := response.Header.Get(name); got != want {
					t.Errorf("%s = %q, want %q", name, got, want)
				}
			}
		})
	}
}

func TestWrongOrderAndWrongID(t *testing.T) {
	t.Parallel()
	s, c := setup(t)
	c.expect(403, "InvalidStateTransition", "POST", "invocation/one/response", "{}")
	c.expect(403, "InvalidStateTransition", "POST", "invocation/one/error", "{}")
	x := c.take(s, "one")
	c.expect(403, "InvalidStateTransition", "GET", "invocation/next", "")
	c.expect(403, "InvalidStateTransition", "POST", "init/error", "{}")
	c.expect(400, "InvalidRequestID", "POST", "invocation/two/response", "{}")
	c.expect(400, "InvalidRequestID", "POST", "invocation/two/error", "{}")
	select {
	case <-x.Answered():
		t.Fatalf("a wrong request answered the invocation: %+v", x.Answer())
	default:
	}
	c.expect(202, "", "POST", "invocation/one/response", "{}")
	c.expect(403, "InvalidStateTransition", "POST", "invocation/one/response", "{}")
	if got := string(x.Answer().Payload); got != "{}" || !x.Complete() {
		t.Errorf("payload %q, complete %v", got, x.Complete())
	}
	second := s.Invoke(Invocation{ID: "two"})
	c.do("GET", "invocation/next", nil)
	select {
	case <-x.Back():
	default:
		t.Error("the child asked for more, and the first exchange is not back")
	}
	c.expect(202, "", "POST", "invocation/two/error", `{"errorType":"T","errorMessage":"m","stackTrace":["a","b"]}`)
	want := invocation.Failure{Type: "T", Message: "m", Stack: "a\nb"}
	if p := second.Answer().Problem; p == nil || p.Outcome != invocation.Error || p.Failure != want {
		t.Errorf("problem %+v, want %+v", p, want)
	}
	response, _ := c.do("GET", "nothing", nil)
	if response.StatusCode != 404 {
		t.Errorf("an unknown path: %d, want 404", response.StatusCode)
	}
}

func TestErrorAfterTheResponseIsKept(t *testing.T) {
	t.Parallel()
	s, c := setup(t)
	x := c.take(s, "one")
	c.expect(202, "", "POST", "invocation/one/response", "{}")
	c.expect(403, "InvalidStateTransition", "POST", "invocation/one/error", `{"errorMessage":"late"}`)
	if p := x.Problem(); p == nil || p.Failure.Message != "late" {
		t.Errorf("problem %+v, want the late one", p)
	}
}

func TestBufferedLimit(t *testing.T) {
	t.Parallel()
	s, c := setup(t)
	x := c.take(s, "one")
	c.expect(202, "", "POST", "invocation/one/response", strings.Repeat("x", MaxBuffered))
	if len(x.Answer().Payload) != MaxBuffered {
		t.Errorf("payload of %d bytes, want %d", len(x.Answer().Payload), MaxBuffered)
	}
	for n, body := range []io.Reader{strings.NewReader(strings.Repeat("x", MaxBuffered+1)), io.MultiReader(strings.NewReader(strings.Repeat("x", 2*MaxBuffered)))} {
		id := fmt.Sprint("big", n)
		x = c.take(s, id)
		response, text := c.do("POST", "invocation/"+id+"/response", body)
		if response.StatusCode != 413 || !strings.Contains(text, "RequestEntityTooLarge") {
			t.Errorf("too large: %d %s", response.StatusCode, text)
		}
		if p := x.Answer().Problem; p == nil || p.Outcome != invocation.BadResponse || p.Failure.Type != "Function.ResponseSizeTooLarge" {
			t.Errorf("problem %+v", p)
		}
	}
	c.take(s, "after") // the connection and the state survived
}

func TestStreamed(t *testing.T) {
	t.Parallel()
	prelude := func(head, body string) string { return head + strings.Repeat("\x00", 8) + body }
	for _, tc := range []struct {
		name, body, contentType string
		status                  int
		header                  map[string]string
		want                    string
	}{
		{"full", prelude(`{"statusCode":201,"headers":{"A":"b"},"cookies":["x=1"]}`, "body"), integrationType, 201, map[string]string{"a": "b", "set-cookie": "x=1"}, "body"},
		{"empty metadata", prelude(`{}`, "body"), integrationType, 200, nil, "body"},
		{"no metadata", prelude(``, "body"), integrationType, 200, nil, "body"},
		{"string status", prelude(`{"statusCode":"404"}`, ""), integrationType, 404, nil, ""},
		{"zeros in the body", prelude(`{}`, "\x00\x00a"), integrationType, 200, nil, "\x00\x00a"},
		{"large metadata", prelude(`{"headers":{"A":"`+strings.Repeat("a", 100_000)+`"}}`, "body"), integrationType, 200, nil, "body"},
		{"plain", "a,b", "text/csv", 200, map[string]string{"content-type": "text/csv"}, "a,b"},
		{"large", prelude(`{}`, strings.Repeat("l", 1<<20)), integrationType, 200, nil, strings.Repeat("l", 1<<20)},
	} {
		for _, chunked := range []bool{false, true} {
			s, c := setup(t)
			x := c.take(s, "one")
			read := make(chan string, 1)
			go func() {
				<-x.Answered()
				if x.Answer().Body == nil {
					read <- fmt.Sprintf("%+v", x.Answer().Problem)
					return
				}
				data, err := io.ReadAll(x.Answer().Body)
				if err != nil {
					data = []byte(err.Error())
				}
				read <- string(data)
			}()
			var body io.Reader = strings.NewReader(tc.body)
			if chunked {
				body = io.MultiReader(body) // hides the length
			}
			response, text := c.do("POST", "invocation/one/response", body, "Content-Type", tc.contentType, modeHeader, streaming)
			if response.StatusCode != 202 {
				t.Errorf("%s: %d %s", tc.name, response.StatusCode, text)
			}
			if got := <-read; got != tc.want {
				t.Errorf("%s: body %.60q, want %.60q", tc.name, got, tc.want)
			}
			a := x.Answer()
			if a.Head.Status != tc.status || !chunked && a.Length != int64(len(tc.want)) {
				t.Errorf("%s: status %d, length %d; want %d, %d", tc.name, a.Head.Status, a.Length, tc.status, len(tc.want))
			}
			for name, want := range tc.header {
				if got := strings.Join(a.Head.Header[name], "|"); got != want {
					t.Errorf("%s: %s = %q, want %q", tc.name, name, got, want)
				}
			}
		}
	}
}

func TestStreamedNonsense(t *testing.T) {
	t.Parallel()
	for name, body := range map[string]string{
		"no separator":    `{"statusCode":200}`,
		"short separator": "{}\x00\x00\x00body",
		"not JSON":        "nonsense\x00\x00\x00\x00\x00\x00\x00\x00",
		"bad status":      "{\"statusCode\":\"abc\"}\x00\x00\x00\x00\x00\x00\x00\x00",
		"nothing":         "",
		"endless":         strings.Repeat("a", maxPrelude+1000) + "\x00\x00\x00\x00\x00\x00\x00\x00",
	} {
		s, c := setup(t)
		x := c.take(s, "one")
		response, _ := c.do("POST", "invocation/one/response", strings.NewReader(body), "Content-Type", integrationType, modeHeader, streaming)
		if p := x.Problem(); response.StatusCode != 400 || p == nil || p.Outcome != invocation.BadResponse {
			t.Errorf("%s: %d, problem %+v", name, response.StatusCode, p)
		}
		c.take(s, "after")
	}
}

func TestStreamedErrorInTheTrailer(t *testing.T) {
	t.Parallel()
	s, c := setup(t)
	x := c.take(s, "one")
	conn, err := net.Dial("tcp", s.Addr())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	report := base64.StdEncoding.EncodeToString([]byte(`{"errorType":"Late","errorMessage":"broke"}`))
	fmt.Fprintf(conn, "POST /2018-06-01/runtime/invocation/one/response HTTP/1.1\r\nHost: x\r\n%s: streaming\r\nTransfer-Encoding: chunked\r\n"+
		"Trailer: %s, %s\r\n\r\n5\r\nhello\r\n0\r\n%s: Late\r\n%s: %s\r\n\r\n", modeHeader, errorTypeHeader, errorBodyHeader, errorTypeHeader, errorBodyHeader, report)
	<-x.Answered()
	data, err := io.ReadAll(x.Answer().Body)
	p, ok := errors.AsType[*Problem](err)
	if string(data) != "hello" || !ok || p.Outcome != invocation.Error || p.Failure.Message != "broke" {
		t.Errorf("body %q, error %v", data, err)
	}
	if x.Problem() != p {
		t.Errorf("the exchange knows of %v", x.Problem())
	}
}

// TestBufferedErrorInTheTrailer sends what aws-lambda-go does for a handler that
// returned a reader which failed.
func TestBufferedErrorInTheTrailer(t *testing.T) {
	t.Parallel()
	s, c := setup(t)
	x := c.take(s, "one")
	r, err := http.NewRequestWithContext(t.Context(), "POST", c.base+"invocation/one/response", io.MultiReader(strings.NewReader("half")))
	if err != nil {
		t.Fatal(err)
	}
	r.Trailer = http.Header{errorTypeHeader: {"quotaError"}, errorBodyHeader: {base64.StdEncoding.EncodeToString([]byte(`{"errorType":"quotaError","errorMessage":"broke"}`))}}
	response, err := c.http.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	response.Body.Close()
	<-x.Answered()
	if p := x.Answer().Problem; response.StatusCode != 202 || p == nil || p.Outcome != invocation.Error || p.Failure.Type != "quotaError" || p.Failure.Message != "broke" {
		t.Errorf("status %d, problem %+v", response.StatusCode, p)
	}
}

func TestStreamedByItsContentType(t *testing.T) {
	t.Parallel()
	s, c := setup(t)
	x := c.take(s, "one")
	response, _ := c.do("POST", "invocation/one/response", strings.NewReader("{\"statusCode\":203}\x00\x00\x00\x00\x00\x00\x00\x00body"), "Content-Type", integrationType)
	if a := x.Answer(); response.StatusCode != 202 || a.Head == nil || a.Head.Status != 203 {
		t.Errorf("status %d, answer %+v", response.StatusCode, a)
	}
}

func TestStreamedCutOff(t *testing.T) {
	t.Parallel()
	s, c := setup(t)
	x := c.take(s, "one")
	conn, err := net.Dial("tcp", s.Addr())
	if err != nil {
		t.Fatal(err)
	}
	fmt.Fprintf(conn, "POST /2018-06-01/runtime/invocation/one/response HTTP/1.1\r\nHost: x\r\n%s: streaming\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n", modeHeader)
	<-x.Answered()
	conn.Close()
	data, err := io.ReadAll(x.Answer().Body)
	if p, ok := errors.AsType[*Problem](err); string(data) != "hello" || !ok || p.Outcome != invocation.BadResponse || x.Complete() {
		t.Errorf("body %q, error %v, complete %v", data, err, x.Complete())
	}
}

func TestInitError(t *testing.T) {
	t.Parallel()
	s, c := setup(t)
	c.expect(202, "", "POST", "init/error", `{"errorMessage":"no way"}`, errorTypeHeader, "Runtime.Nope")
	<-s.InitFailed()
	want := invocation.Failure{Type: "Runtime.Nope", Message: "no way"}
	if p := s.InitFailure(); p.Outcome != invocation.InitError || p.Failure != want {
		t.Errorf("init failure %+v, want %+v", p, want)
	}
}

func TestAssignment(t *testing.T) {
	t.Parallel()
	s, c := setup(t)
	got := make(chan string)
	go func() {
		response, err := c.http.Get("http://" + s.Addr() + "/nightshift/assignment")
		if err != nil {
			got <- err.Error()
			return
		}
		defer response.Body.Close()
		body, _ := io.ReadAll(response.Body)
		got <- string(body)
	}()
	<-s.Parked()
	s.Assign(Assignment{Dir: "/d", Entry: "e.js", API: 2, Name: "n", Env: map[string]string{"A": "b"}})
	if body, want := <-got, `{"dir":"/d","entry":"e.js","api":2,"name":"n","env":{"A":"b"}}`; body != want {
		t.Errorf("assignment %s, want %s", body, want)
	}
	if s.Unassign() {
		t.Error("a taken assignment was taken back")
	}
}

// Work and the hang-up may come at the same time.
func TestInvocationSurvivesAChildThatHangsUp(t *testing.T) {
	t.Parallel()
	s, _ := setup(t)
	ctx, hangUp := context.WithCancel(t.Context())
	hangUp()
	for range 50 {
		x := s.Invoke(Invocation{ID: "one"})
		s.next(httptest.NewRecorder(), httptest.NewRequestWithContext(ctx, "GET", "/", nil))
		if !s.Withdraw(x) {
			t.Fatal("the invocation was given to nobody")
		}
	}
}

func FuzzPrelude(f *testing.F) {
	end := strings.Repeat("\x00", 8)
	for _, seed := range []string{"", "{}" + end, `{"statusCode":200,"headers":{"a":"b"}}` + end + "body", "{}\x00\x00", end, `{"cookies":["a"]}` + end, `{"headers":{"a":[1,null,["x"]]}}` + end} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		r := bufio.NewReaderSize(bytes.NewReader(data), 16)
		head, size, err := readPrelude(r)
		if err != nil {
			return
		}
		if head.Status < 100 || head.Status > 999 {
			t.Errorf("status %d", head.Status)
		}
		if size < 8 || size > len(data) || !bytes.Equal(data[size-8:size], preludeEnd) {
			t.Fatalf("size %d of %d does not stand behind the separator", size, len(data))
		}
		rest, _ := io.ReadAll(r)
		if !bytes.Equal(rest, data[size:]) {
			t.Errorf("the body is %q, want %q", rest, data[size:])
		}
		for name := range head.Header {
			if name != strings.ToLower(name) {
				t.Errorf("header %q is not in lower case", name)
			}
		}
	})
}
