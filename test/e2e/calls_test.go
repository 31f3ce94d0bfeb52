package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/nightshift/nightshift/shared/api"
	"github.com/nightshift/nightshift/test/harness"
	"github.com/rogpeppe/go-internal/testscript"
)

func newFlags(verb string) *flag.FlagSet {
	flags := flag.NewFlagSet(verb, flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	return flags
}

// client gives up on a call that hangs, follows no redirect and keeps no
// connection, so that no process is kept from ending by a test. Names below
// localhost are this machine, as browsers have it.
var client = &http.Client{
	Timeout: 60 * time.Second,
	Transport: &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
		if host, port, err := net.SplitHostPort(addr); err == nil && strings.HasSuffix(host, ".localhost") {
			addr = net.JoinHostPort("127.0.0.1", port)
		}
		return (&net.Dialer{}).DialContext(ctx, network, addr)
	}},
	CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
}

// headers are the values of -H.
type headers []string

func (h *headers) String() string     { return strings.Join(*h, ", ") }
func (h *headers) Set(s string) error { *h = append(*h, s); return nil }

// verbHTTP sends one request and prints the response as it came: status line,
// headers, empty line, body. It sets STATUS, and LOCATION, as a full URL, if the
// response has one.
//
//	-d @FILE       the body is the file's content
//	-d bytes:N     the body is N bytes
//	-status N      any other status ends the script, once -retry is over
func verbHTTP(ts *testscript.TestScript, _ bool, args []string) {
	flags := newFlags("http")
	var header headers
	flags.Var(&header, "H", "")
	data := flags.String("d", "", "")
	status := flags.Int("status", 0, "")
	retry := flags.Duration("retry", 0, "")
	ts.Check(flags.Parse(args))
	if flags.NArg() != 2 {
		usage(ts, "http [-H H] [-d BODY] [-status N] [-retry D] METHOD URL")
	}
	method, target := flags.Arg(0), flags.Arg(1)
	body := bodyOf(ts, *data)
	ctx, cancel := timeout(*retry)
	defer cancel()
	var res *http.Response
	var dump []byte
	err := harness.Eventually(ctx, func() (err error) {
		if res, dump, err = exchange(method, target, header, body); err != nil {
			return err
		}
		if *status != 0 && res.StatusCode != *status {
			return fmt.Errorf("%s %s: want status %d, got\n%s", method, target, *status, dump)
		}
		return nil
	})
	ts.Check(err)
	ts.Setenv("STATUS", strconv.Itoa(res.StatusCode))
	if location, err := res.Location(); err == nil {
		if host := res.Request.Host; host != "" && !strings.Contains(host, ":") { // it is good on the host of its site only
			location.Host = net.JoinHostPort(host, location.Port())
		}
		ts.Setenv("LOCATION", location.String())
	}
	_, err = ts.Stdout().Write(dump)
	ts.Check(err)
}

// verbCapture reads the output of the last command or verb.
func verbCapture(ts *testscript.TestScript, _ bool, args []string) {
	if len(args) != 2 {
		usage(ts, "capture NAME REGEXP")
	}
	re, err := regexp.Compile("(?m)" + args[1])
	ts.Check(err)
	found := re.FindStringSubmatch(ts.ReadFile("stdout"))
	if len(found) != 2 {
		ts.Fatalf("the output has nothing that the group in %s matches", re)
	}
	ts.Setenv(args[0], found[1])
}

func bodyOf(ts *testscript.TestScript, data string) []byte {
	if file, ok := strings.CutPrefix(data, "@"); ok {
		return []byte(ts.ReadFile(file))
	}
	if size, ok := strings.CutPrefix(data, "bytes:"); ok {
		n, err := strconv.Atoi(size)
		ts.Check(err)
		return bytes.Repeat([]byte("x"), n)
	}
	return []byte(data)
}

func exchange(method, target string, header headers, body []byte) (*http.Response, []byte, error) {
	req, err := http.NewRequest(method, target, bytes.NewReader(body))
	if err != nil {
		return nil, nil, err
	}
	if len(body) > 0 {
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded") // as curl -d does
	}
	for _, h := range header {
		key, value, _ := strings.Cut(h, ":")
		req.Header.Set(key, strings.TrimSpace(value))
		if strings.EqualFold(key, "Host") { // which the client takes from nowhere else
			req.Host = strings.TrimSpace(value)
		}
	}
	res, err := client.Do(req)
	if err != nil {
		return nil, nil, err
	}
	defer res.Body.Close()
	answer, err := io.ReadAll(res.Body)
	if err != nil {
		return nil, nil, fmt.Errorf("reading the answer of %s %s: %w", method, target, err)
	}
	var dump bytes.Buffer
	fmt.Fprintf(&dump, "%s %s\n", res.Proto, res.Status)
	for _, key := range slices.Sorted(maps.Keys(res.Header)) {
		for _, value := range res.Header[key] {
			fmt.Fprintf(&dump, "%s: %s\n", key, value)
		}
	}
	fmt.Fprintf(&dump, "\n%s", answer)
	return res, dump.Bytes(), nil
}

// record reads an invocation from its location.
func record(location string) (api.Invocation, []byte, error) {
	res, err := client.Get(location)
	if err != nil {
		return api.Invocation{}, nil, err
	}
	defer res.Body.Close()
	raw, err := io.ReadAll(res.Body)
	if err != nil {
		return api.Invocation{}, nil, err
	}
	var inv api.Invocation
	if res.StatusCode != http.StatusOK {
		return inv, raw, fmt.Errorf("GET %s: %s\n%s", location, res.Status, raw)
	}
	return inv, raw, json.Unmarshal(raw, &inv)
}

// verbAwait polls a record until it is in the state, and prints the outcomes of
// its attempts in one line and then the record, indented.
func verbAwait(ts *testscript.TestScript, _ bool, args []string) {
	flags := newFlags("await")
	wait := flags.Duration("within", within, "")
	ts.Check(flags.Parse(args))
	if flags.NArg() != 2 {
		usage(ts, "await [-within D] URL STATE")
	}
	location, state := flags.Arg(0), flags.Arg(1)
	ctx, cancel := timeout(*wait)
	defer cancel()
	begun := time.Now()
	var inv api.Invocation
	var raw []byte
	ts.Check(harness.Eventually(ctx, func() (err error) {
		if inv, raw, err = record(location); err != nil {
			return err
		}
		if string(inv.State) == state {
			return nil
		}
		if inv.State.Terminal() {
			ts.Fatalf("the invocation is %s, want %s:\n%s", inv.State, state, raw)
		}
		return fmt.Errorf("the invocation is %s, want %s:\n%s", inv.State, state, raw)
	}))
	var outcomes []string
	for _, a := range inv.Attempts {
		outcomes = append(outcomes, string(a.Outcome))
	}
	ts.Logf("%s after %v", state, time.Since(begun).Round(time.Millisecond))
	var pretty bytes.Buffer
	ts.Check(json.Indent(&pretty, raw, "", "  "))
	_, err := fmt.Fprintf(ts.Stdout(), "outcomes: %s\n%s\n", strings.Join(outcomes, " "), pretty.Bytes())
	ts.Check(err)
}

func verbCollector(ts *testscript.TestScript, _ bool, _ []string) {
	c, err := harness.StartCollector()
	ts.Check(err)
	worldOf(ts).collector = c
	ts.Setenv("COLLECTOR", c.URL())
}

// verbHits waits for N reports, prints one line per report, and sets HIT_NAME
// for each value of the newest.
func verbHits(ts *testscript.TestScript, _ bool, args []string) {
	flags := newFlags("hits")
	wait := flags.Duration("within", within, "")
	ts.Check(flags.Parse(args))
	n, err := strconv.Atoi(flags.Arg(0))
	ts.Check(err)
	ctx, cancel := timeout(*wait)
	defer cancel()
	ts.Check(harness.Eventually(ctx, func() error {
		if got := len(worldOf(ts).collector.Hits()); got < n {
			return fmt.Errorf("%d reports came, want %d", got, n)
		}
		return nil
	}))
	hits := worldOf(ts).collector.Hits()
	for _, hit := range hits {
		fmt.Fprintln(ts.Stdout(), hit.Query.Encode())
	}
	if len(hits) == 0 {
		return
	}
	for key, values := range hits[len(hits)-1].Query {
		ts.Setenv("HIT_"+strings.ToUpper(key), values[0])
	}
}

// verbMails waits until the sink has N mails that match, and no more.
func verbMails(ts *testscript.TestScript, _ bool, args []string) {
	flags := newFlags("mails")
	wait := flags.Duration("within", within, "")
	ts.Check(flags.Parse(args))
	n, err := strconv.Atoi(flags.Arg(0))
	ts.Check(err)
	re, err := regexp.Compile("(?m)" + flags.Arg(1))
	ts.Check(err)
	ctx, cancel := timeout(*wait)
	defer cancel()
	ts.Check(harness.Eventually(ctx, func() error {
		var matching int
		for _, m := range worldOf(ts).mail.Mails() {
			if re.MatchString(strings.ReplaceAll(m.Data, "\r\n", "\n")) {
				matching++
			}
		}
		if matching != n {
			return fmt.Errorf("%d mails match %q, want %d", matching, re, n)
		}
		return nil
	}))
}
